/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of wh_usable_cpus() (see wait.h) that can be tested on any machine. */
#ifndef WH_BASE_CPUS_H
#define WH_BASE_CPUS_H

#include <stdbool.h>
#include <stdint.h>

/* No limit. */
#define WH_CPUS_ANY UINT32_MAX

/** Cores that a cpu.max of cgroup v2 allows, rounded up: "max 100000", "150000 100000".
 *  WH_CPUS_ANY if text is no limit or no cpu.max. */
uint32_t wh_cpus_of_cpu_max(const char *text);

/** The same of cgroup v1: the texts of cpu.cfs_quota_us ("-1": no limit) and cpu.cfs_period_us. */
uint32_t wh_cpus_of_cfs(const char *quota_text, const char *period_text);

/**
 * The least that the cgroups of a process and all their parents allow; WH_CPUS_ANY if none limits.
 *
 * proc_cgroup   the text of its /proc/PID/cgroup
 * mount         where cgroups are mounted: "/sys/fs/cgroup", or a test's folder
 */
uint32_t wh_cpus_of_cgroups(const char *proc_cgroup, const char *mount);

/**
 * What a thread remembers to find out that it shares its core with whom it waits for. Ranks of
 * hosts that are one machine (containers) do not see that, and ranks that yield to each other look
 * content to the kernel, though other cores are idle. Zeros to begin with.
 */
struct wh_sharing {
    uint32_t nwaits; /* in a row that polling did not end */
    uint32_t shift;  /* how often it has left a core */
    uint64_t nlost;  /* wh_lost_cores() at the first of them */
};

/** After so many waits in a row a thread that leaves first may leave its core, others after three
 *  times as many. */
enum { WH_SHARING_NWAITS = 32 };

/**
 * After every wait: should the thread leave its core? Yes where it has lost it in most of so many
 * waits in a row. Each time it takes twice as many, because where ranks outnumber cores leaving
 * does not help.
 *
 * paid         polling alone ended the wait
 * leaves_first of two that share a core not both should go
 * nlost        wh_lost_cores()
 */
bool wh_sharing_should_leave(struct wh_sharing *sharing, bool paid, bool leaves_first,
                             uint64_t nlost);

#endif
