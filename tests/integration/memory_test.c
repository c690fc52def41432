/* SPDX-License-Identifier: Apache-2.0 */
/* What a communicator costs in memory, whatever it has done: its shared part, which is staging, at
 * most 8 MiB a rank; all of it, with four ranks, at most 32 MiB a rank. */
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NBYTES = 8 << 20, LIMIT_KIB = 32 << 10, STAGING_LIMIT_KIB = 8 << 10 };

/* Everything that pages of this process cost: its private ones, and its share of the shared ones.
 * */
static long cost_kib(struct rank *rank)
{
    rank_meet(rank); /* shares depend on what the others have mapped */
    long kib = rank_smaps_kib("Pss");
    rank_meet(rank);
    return kib;
}

static void call_all(struct rank *rank, char *from, char *to)
{
    whorl_comm_t comm = rank->comm;
    int n = rank->nranks, right = (rank->rank + 1) % n, left = (rank->rank + n - 1) % n;
    size_t all = NBYTES / 4, share = all / (size_t)n;
    RANK_OK(rank, whorl_all_reduce(from, to, all, WHORL_FLOAT32, WHORL_SUM, comm, NULL));
    RANK_OK(rank, whorl_all_reduce(from, to, 1, WHORL_FLOAT32, WHORL_SUM, comm, NULL));
    RANK_OK(rank, whorl_all_gather(from, to, share, WHORL_FLOAT32, comm, NULL));
    RANK_OK(rank, whorl_reduce_scatter(from, to, share, WHORL_FLOAT32, WHORL_SUM, comm, NULL));
    for (int root = 0; root < n; root++) {
        RANK_OK(rank, whorl_broadcast(from, to, all, WHORL_FLOAT32, root, comm, NULL));
        RANK_OK(rank, whorl_reduce(from, to, all, WHORL_FLOAT32, WHORL_SUM, root, comm, NULL));
    }
    RANK_OK(rank, whorl_group_start());
    RANK_OK(rank, whorl_send(from, all, WHORL_FLOAT32, right, comm, NULL));
    RANK_OK(rank, whorl_recv(to, all, WHORL_FLOAT32, left, comm, NULL));
    RANK_OK(rank, whorl_group_end());
    RANK_OK(rank, whorl_barrier(comm, NULL));
}

static void measure(struct rank *rank)
{
    char *from = malloc(NBYTES), *to = malloc(NBYTES);
    RANK_CHECK(rank, from != NULL && to != NULL, "no memory");
    memset(from, 0, NBYTES);
    memset(to, 0, NBYTES);

    long before = cost_kib(rank);
    rank_create_comm(rank);
    long created = cost_kib(rank) - before;
    call_all(rank, from, to);
    long used = cost_kib(rank) - before;
    fprintf(stderr,
            "rank %d of %d: %ld KiB when created, %ld KiB after every collective at 8 MiB\n",
            rank->rank, rank->nranks, created, used);
    RANK_CHECK(rank, before > 0, "no Pss in /proc/self/smaps_rollup");
    RANK_CHECK(rank, used <= LIMIT_KIB, "%ld KiB", used);
    free(from);
    free(to);
}

Test(memory, of_a_communicator_of_four_ranks_is_at_most_32_mebibytes_a_rank)
{
    if (RANKS_SLOW_BUILD) {
        cr_skip("a sanitizer's own memory cannot be told from the communicator's");
    }
    ranks_run(&(struct ranks_job){.nprocesses = 4, .run = measure, .no_comm = true});
}

/* The same with every algorithm allowed in turn, on one communicator after the other. */
Test(memory, of_a_communicator_is_within_bounds_with_any_algorithm)
{
    static const char *const settings[][2] = {
        {"WHORL_ALGO=ring", NULL},
        {"WHORL_ALGO=tree", NULL},
        {"WHORL_ALGO=doubling,direct,knomial", NULL},
        {"WHORL_ALGO=halving,circulant,chain", NULL},
        {"WHORL_ALGO=oneshot", NULL},
        {"WHORL_ALGO=twoshot", NULL},
    };
    if (RANKS_SLOW_BUILD) {
        cr_skip("a sanitizer's own memory cannot be told from the communicator's");
    }
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        fprintf(stderr, "%s\n", settings[i][0]);
        ranks_run(&(struct ranks_job){
            .nprocesses = 4, .run = measure, .no_comm = true, .env = settings[i]});
    }
}

/* ---- staging -------------------------------------------------------------------------------- */

/* Pages that the shared segments of communicators really have: one file for all ranks of a host. */
static long segments_kib(struct rank *rank)
{
    DIR *dir = opendir("/proc/self/fd");
    RANK_CHECK(rank, dir != NULL, "no /proc/self/fd");
    int nsegments = 0;
    long nblocks = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        char target[128] = "";
        struct stat info;
        if (readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1) > 0 &&
            strstr(target, "memfd:whorl") != NULL && fstat(atoi(entry->d_name), &info) == 0) {
            nsegments++;
            nblocks += (long)info.st_blocks;
        }
    }
    closedir(dir);
    RANK_CHECK(rank, nsegments == 1, "%d segments are open, not one", nsegments);
    return nblocks / 2;
}

static void call_newer(struct rank *rank, char *from, char *to)
{
    whorl_comm_t comm = rank->comm;
    size_t n = (size_t)rank->nranks, all = NBYTES / 4, share = all / n;
    size_t counts[RANKS_MAX];
    for (size_t r = 0; r < n; r++) {
        counts[r] = share;
    }
    RANK_OK(rank, whorl_all_to_all(from, to, share, WHORL_FLOAT32, comm, NULL));
    RANK_OK(rank, whorl_all_gather_v(from, share, to, counts, NULL, WHORL_FLOAT32, comm, NULL));
    RANK_OK(rank, whorl_reduce_scatter_v(from, counts, NULL, to, share, WHORL_FLOAT32, WHORL_SUM,
                                         comm, NULL));
    RANK_OK(rank,
            whorl_all_to_all_v(from, counts, NULL, to, counts, NULL, WHORL_FLOAT32, comm, NULL));
    for (int root = 0; root < rank->nranks; root++) {
        RANK_OK(rank, whorl_gather(from, to, share, WHORL_FLOAT32, root, comm, NULL));
        RANK_OK(rank, whorl_scatter(from, to, share, WHORL_FLOAT32, root, comm, NULL));
        RANK_OK(rank,
                whorl_gather_v(from, share, to, counts, NULL, WHORL_FLOAT32, root, comm, NULL));
        RANK_OK(rank,
                whorl_scatter_v(from, counts, NULL, to, share, WHORL_FLOAT32, root, comm, NULL));
    }
}

/* Messages between all ranks at once. */
static void exchange_with_all(struct rank *rank, char *from, char *to)
{
    size_t share = NBYTES / (size_t)rank->nranks;
    RANK_OK(rank, whorl_group_start());
    for (int peer = 0; peer < rank->nranks; peer++) {
        RANK_OK(rank, whorl_send(from, share, WHORL_INT8, peer, rank->comm, NULL));
        RANK_OK(rank,
                whorl_recv(to + (size_t)peer * share, share, WHORL_INT8, peer, rank->comm, NULL));
    }
    RANK_OK(rank, whorl_group_end());
}

/* What the segment has now, told by rank 0; at most the limit. */
static void check_segment(struct rank *rank, const char *when)
{
    rank_meet(rank);
    long kib = segments_kib(rank);
    rank_meet(rank);
    if (rank->rank == 0) {
        fprintf(stderr, "%d ranks: %ld KiB are shared, %ld a rank, %s\n", rank->nranks, kib,
                kib / rank->nranks, when);
    }
    RANK_CHECK(rank, kib > 0 && kib <= (long)STAGING_LIMIT_KIB * rank->nranks,
               "%ld KiB for %d ranks %s", kib, rank->nranks, when);
}

static void measure_staging(struct rank *rank)
{
    char *from = calloc(1, NBYTES), *to = calloc(1, NBYTES);
    RANK_CHECK(rank, from != NULL && to != NULL, "no memory");
    check_segment(rank, "when created");
    call_newer(rank, from, to);
    check_segment(rank, "after some collectives");
    call_all(rank, from, to);
    check_segment(rank, "after all collectives, and messages to a neighbour");
    free(from);
    free(to);
}

static const int staging_nranks[] = {2, 4, 8, 16};
enum { NSTAGING = sizeof(staging_nranks) / sizeof(staging_nranks[0]) };

Test(memory, shared_by_ranks_is_at_most_8_mebibytes_a_rank)
{
    for (int i = 0; i < NSTAGING; i++) {
        ranks_run(&(struct ranks_job){.nprocesses = staging_nranks[i], .run = measure_staging});
    }
}

static void measure_messages(struct rank *rank)
{
    char *from = calloc(1, NBYTES), *to = calloc(1, NBYTES);
    RANK_CHECK(rank, from != NULL && to != NULL, "no memory");
    call_all(rank, from, to);
    exchange_with_all(rank, from, to);
    check_segment(rank, "after messages between all");
    free(from);
    free(to);
}

Test(memory, shared_by_ranks_with_messages_between_all_is_at_most_8_mebibytes_a_rank)
{
    for (int i = 0; i < NSTAGING; i++) {
        ranks_run(&(struct ranks_job){.nprocesses = staging_nranks[i], .run = measure_messages});
    }
}
