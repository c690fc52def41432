/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several hosts for a test: network namespaces that tools/hosts.sh makes and removes.
 *
 * A host has a network, a loopback, abstract sockets and a host name of its own; it shares this
 * machine's files, cores and /dev/shm. To the library that is another host.
 *
 * The hosts of a test go when it ends, however it ends: a process that waits for that removes them.
 * Those of a test that was killed together with that process go when the next test makes hosts.
 * A program in which every test was skipped ends as a skipped one, with the reason.
 */
#ifndef WH_TESTS_HARNESS_HOSTS_H
#define WH_TESTS_HARNESS_HOSTS_H

#include "harness/ranks.h"

#include <stdint.h>
#include <sys/types.h>

enum { HOSTS_MAX = 8, HOSTS_NAME_NBYTES = 64, HOSTS_ADDR_NBYTES = 48 };

/** Plain values; ranks that are forked from the test may read it too. */
struct hosts {
    char name[HOSTS_NAME_NBYTES]; /* as tools/hosts.sh takes it; hosts are called <name>-0 ... */
    int n;
    pid_t keeper; /* removes the hosts when the other end of keeper_fd is closed */
    int keeper_fd;
    char addrs[HOSTS_MAX][HOSTS_ADDR_NBYTES]; /* of eth0 */
    char addrs6[HOSTS_MAX][HOSTS_ADDR_NBYTES];
    char rail_addrs[HOSTS_MAX][HOSTS_ADDR_NBYTES]; /* of eth1, after hosts_add_rail() */
};

/** tools/hosts.sh: beside these sources, or what WHORL_TESTS_HOSTS names. */
const char *hosts_script(void);

/** Why there can be no hosts here (no root, no iproute2); NULL if there can. Asks once. */
const char *hosts_why_not(void);

/**
 * Makes n hosts. Skips the test with the reason where there can be none.
 *
 * rate    what each host may send, as tc reads it ("100mbit"); NULL: no limit
 * Memory  given back with hosts_destroy().
 */
struct hosts *hosts_create(int n, const char *rate);

/** Ends what runs in the hosts and removes them. Takes NULL. */
void hosts_destroy(struct hosts *hosts);

/** Puts the calling thread into host i; threads and processes that it starts are there too. False
 *  with errno if that fails. */
bool hosts_enter(const struct hosts *hosts, int i);

/** Gives every host an interface eth1, on a network of its own. Fails the test if it cannot. */
void hosts_add_rail(struct hosts *hosts);

/** Runs a command of `ip` ("route add ...") in host i; true if it succeeded. Also for ranks. */
bool hosts_ip(const struct hosts *hosts, int i, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Sets the cable of eth<rail> of host i: "down" (pulled), "cut" (all that it carries is lost, and
 *  nobody is told), "up"; true if it succeeded. Also for ranks. */
bool hosts_link(const struct hosts *hosts, int i, int rail, const char *state);

/** Bytes that an interface of the calling thread's host has sent or received; -1: no such. */
int64_t hosts_bytes_sent(const char *ifname);
int64_t hosts_bytes_received(const char *ifname);

/** A job whose processes are in hosts. */
struct hosts_job {
    struct ranks_job job; /* nprocesses and enter are set by hosts_run() */
    const struct hosts *hosts;
    int nprocesses[HOSTS_MAX]; /* of each host; processes are numbered host by host */
    bool round_robin;          /* or dealt to hosts in turn: ranks of a host are no neighbours */
};

/** As ranks_run(). gethostname() in host i is <name>-<i>, and so it is in error texts. */
void hosts_run(const struct hosts_job *job);

/** The host of process p. */
int hosts_of_process(const struct hosts_job *job, int p);

/** The host of a rank of the job that rank belongs to; which the hosts' own functions take. */
int hosts_of_rank(const struct rank *rank, int other);
const struct hosts *hosts_of_job(const struct rank *rank);

#endif
