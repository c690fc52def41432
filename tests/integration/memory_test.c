/* SPDX-License-Identifier: Apache-2.0 */
/* What a communicator of four ranks costs in memory: at most 32 MiB a rank, whatever it has done.
 * */
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NBYTES = 8 << 20, LIMIT_KIB = 32 << 10 };

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
