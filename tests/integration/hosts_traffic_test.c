/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes between hosts, by the library's own counters and by those of the interfaces: of an
 * all_reduce over N hosts each host must send 2(N-1)/N of the bytes, and hardly more, however many
 * ranks it has.
 */
#include "harness/hosts.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { COUNT = 1 << 20, NREPEATS = 4, NBYTES = COUNT * (int)sizeof(float) };

/* Cells: what the ranks of a host sent by their own counters. */
enum { SENT = 8 };

static struct hosts *hosts;

static void make_hosts(void)
{
    hosts = hosts_create(3, NULL);
}

static void remove_hosts(void)
{
    hosts_destroy(hosts);
}

TestSuite(hosts_traffic, .init = make_hosts, .fini = remove_hosts);

static uint64_t sent_by(struct rank *rank)
{
    uint64_t nbytes = 0;
    RANK_OK(rank, whorl_comm_sent(rank->comm, &nbytes));
    return nbytes;
}

/* Is it at least what a host must send, and at most 5 percent more? */
static void expect_share(struct rank *rank, const char *what, int64_t nbytes, int nhosts)
{
    double least = 2.0 * (nhosts - 1) / nhosts * NBYTES * NREPEATS;
    RANK_CHECK(rank, (double)nbytes >= least && (double)nbytes <= 1.05 * least,
               "%s: a host sent %lld bytes, %.3f of what it must", what, (long long)nbytes,
               (double)nbytes / least);
}

static void count_bytes(struct rank *rank)
{
    int nhosts = *(const int *)rank->arg, host = hosts_of_rank(rank, rank->rank);
    float *buf = malloc(NBYTES);
    RANK_CHECK(rank, buf != NULL, "no memory");
    for (int i = 0; i < COUNT; i++) {
        buf[i] = (float)(i % 7);
    }
    /* Once before: connecting takes bytes too. */
    RANK_OK(rank, whorl_all_reduce(buf, buf, COUNT, WHORL_FLOAT32, WHORL_MAX, rank->comm, NULL));
    rank_meet(rank);
    uint64_t before = sent_by(rank);
    int64_t wire_before = hosts_bytes_sent("eth0");
    rank_meet(rank);
    for (int i = 0; i < NREPEATS; i++) {
        RANK_OK(rank,
                whorl_all_reduce(buf, buf, COUNT, WHORL_FLOAT32, WHORL_MAX, rank->comm, NULL));
    }
    atomic_fetch_add(rank_cell(rank, SENT + host), (int64_t)(sent_by(rank) - before));
    rank_meet(rank);
    expect_share(rank, "counters", atomic_load(rank_cell(rank, SENT + host)), nhosts);
    expect_share(rank, "interface", hosts_bytes_sent("eth0") - wire_before, nhosts);
    free(buf);
}

static void count_on(int nhosts, int nlocal)
{
    struct hosts_job job = {.job = {.run = count_bytes, .arg = &nhosts}, .hosts = hosts};
    for (int h = 0; h < nhosts; h++) {
        job.nprocesses[h] = nlocal;
    }
    hosts_run(&job);
}

Test(hosts_traffic, is_what_it_must_be_for_two_hosts_of_four)
{
    count_on(2, 4);
}

Test(hosts_traffic, is_what_it_must_be_for_three_hosts_of_one_and_of_two)
{
    count_on(3, 1);
    count_on(3, 2);
}
