/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks that disagree about the sizes of blocks: every rank gets WHORL_E_MISMATCH, in that call or,
 * where its own was complete, in the next one, and both who disagree are named.
 *
 * Rank 1 is the odd one. What it calls makes sense by itself, as arguments that do not are refused
 * before anybody else is told.
 */
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NRANKS_MAX = 4, ODD = 1 };

enum way {
    MORE,    /* the odd rank has one element more than the others think */
    LESS,    /* one less */
    NONE,    /* none at all */
    SWAPPED, /* the same sum: two blocks changed their sizes */
    NWAYS
};

static const char *const names[] = {"all_gather_v", "reduce_scatter_v", "all_to_all_v", "gather_v",
                                    "scatter_v"};
enum { ALL_GATHER_V, REDUCE_SCATTER_V, ALL_TO_ALL_V, GATHER_V, SCATTER_V, NCOLLS };

struct odd {
    int coll;
    enum way way;
    size_t count;
};

/* The size of the odd rank's own block, as the odd rank sees it. */
static size_t odd_count(const struct odd *odd)
{
    return odd->way == MORE ? odd->count + 1 : odd->way == NONE ? 0 : odd->count - 1;
}

/* What this rank believes the sizes to be. */
static void fill_counts(const struct rank *rank, const struct odd *odd, size_t *counts)
{
    for (int r = 0; r < rank->nranks; r++) {
        counts[r] = odd->count;
    }
    if (rank->rank == ODD) {
        counts[ODD] = odd_count(odd);
        counts[0] += odd->way == SWAPPED;
    }
}

static whorl_result_t call(struct rank *rank, const struct odd *odd, char *from, char *to)
{
    whorl_comm_t comm = rank->comm;
    int me = rank->rank;
    size_t counts[NRANKS_MAX], plain[NRANKS_MAX];
    fill_counts(rank, odd, counts);
    for (int r = 0; r < rank->nranks; r++) {
        plain[r] = odd->count;
    }
    switch (odd->coll) {
    case ALL_GATHER_V:
        return whorl_all_gather_v(from, counts[me], to, counts, NULL, WHORL_INT32, comm, NULL);
    case REDUCE_SCATTER_V:
        return whorl_reduce_scatter_v(from, counts, NULL, to, counts[me], WHORL_INT32, WHORL_SUM,
                                      comm, NULL);
    case ALL_TO_ALL_V: /* the odd rank disagrees with rank 0 about what it sends to it */
        if (me == ODD) {
            plain[0] = odd_count(odd);
        }
        return whorl_all_to_all_v(from, plain, NULL, to,
                                  (size_t[]){odd->count, odd->count, odd->count, odd->count}, NULL,
                                  WHORL_INT32, comm, NULL);
    case GATHER_V:
        return whorl_gather_v(from, counts[me], to, plain, NULL, WHORL_INT32, 0, comm, NULL);
    default:
        return whorl_scatter_v(from, plain, NULL, to, counts[me], WHORL_INT32, 0, comm, NULL);
    }
}

static bool names_other_than_odd(const struct rank *rank, const char *text)
{
    bool named = false;
    for (int r = 0; r < rank->nranks; r++) {
        char name[16];
        snprintf(name, sizeof(name), "rank %d", r);
        named |= r != ODD && strstr(text, name) != NULL;
    }
    return named;
}

static void disagree(struct rank *rank)
{
    const struct odd *odd = rank->arg;
    size_t nbytes = (odd->count + 2) * 4 * NRANKS_MAX;
    char *from = calloc(1, nbytes), *to = calloc(1, nbytes);
    RANK_CHECK(rank, from != NULL && to != NULL, "no memory");
    rank_at(rank, "disagrees in %s, way %d, count %zu", names[odd->coll], (int)odd->way,
            odd->count);
    whorl_result_t rc = call(rank, odd, from, to);
    if (rc == WHORL_OK) {
        rank_at(rank, "calls barrier after %s, way %d, count %zu", names[odd->coll], (int)odd->way,
                odd->count);
        rc = whorl_barrier(rank->comm, NULL);
    }
    const char *text = whorl_last_error(rank->comm);
    RANK_CHECK(rank, rc == WHORL_E_MISMATCH, "%s, way %d, count %zu: %d: %s", names[odd->coll],
               (int)odd->way, odd->count, rc, text);
    /* Over links it is made of reductions, and one of those is named. */
    bool is_made_of_others = odd->coll == REDUCE_SCATTER_V && rank->job->env[1] != NULL;
    RANK_TEXT(rank, text, is_made_of_others ? "reduce" : names[odd->coll]);
    RANK_TEXT(rank, text, "rank 1");
    RANK_CHECK(rank, names_other_than_odd(rank, text), "only one rank is named: %s", text);
    RANK_EXPECT(rank, WHORL_E_MISMATCH, whorl_barrier(rank->comm, NULL));
    rank_meet(rank);
    free(from);
    free(to);
}

static void disagree_every_way(int nprocesses, int nthreads, const char *algo)
{
    static const size_t counts[] = {4, 3000, 300000};
    const char *env[] = {"WHORL_TIMEOUT=20s", algo, NULL};
    for (int coll = 0; coll < NCOLLS; coll++) {
        for (int i = 0; i < 3 * NWAYS; i++) {
            struct odd odd = {
                .coll = coll, .way = (enum way)(i % NWAYS), .count = counts[i / NWAYS]};
            bool has_one_block = coll == ALL_TO_ALL_V || coll == GATHER_V || coll == SCATTER_V;
            if (odd.way == SWAPPED && has_one_block) {
                continue; /* only one block is in dispute there */
            }
            ranks_run(&(struct ranks_job){.nprocesses = nprocesses,
                                          .nthreads = nthreads,
                                          .run = disagree,
                                          .arg = &odd,
                                          .env = env});
        }
    }
}

Test(mismatch_v, of_two_processes_is_told_to_both)
{
    disagree_every_way(2, 1, NULL);
}

Test(mismatch_v, of_three_processes_is_told_to_all)
{
    disagree_every_way(3, 1, NULL);
}

Test(mismatch_v, of_four_threads_is_told_to_all)
{
    disagree_every_way(1, 4, NULL);
}

Test(mismatch_v, on_links_is_told_to_all)
{
    disagree_every_way(3, 1, "WHORL_ALGO=^arena");
}

/* The same blocks by another call, or to another root. */
static void call_another_name(struct rank *rank)
{
    int32_t from[8] = {0}, to[8];
    size_t counts[] = {2, 2};
    whorl_result_t rc =
        rank->rank == 0
            ? whorl_all_gather(from, to, 2, WHORL_INT32, rank->comm, NULL)
            : whorl_all_gather_v(from, 2, to, counts, NULL, WHORL_INT32, rank->comm, NULL);
    RANK_CHECK(rank, rc == WHORL_E_MISMATCH, "%d: %s", rc, whorl_last_error(NULL));
    RANK_TEXT(rank, whorl_last_error(rank->comm), "all_gather_v(");
    RANK_TEXT(rank, whorl_last_error(rank->comm), "all_gather(");
    rank_meet(rank);
}

static void name_another_root(struct rank *rank)
{
    int32_t from[8] = {0}, to[8];
    size_t counts[] = {2, 2};
    whorl_result_t rc =
        whorl_gather_v(from, 2, to, counts, NULL, WHORL_INT32, rank->rank, rank->comm, NULL);
    RANK_CHECK(rank, rc == WHORL_E_MISMATCH, "%d: %s", rc, whorl_last_error(NULL));
    RANK_TEXT(rank, whorl_last_error(rank->comm), "root 0");
    RANK_TEXT(rank, whorl_last_error(rank->comm), "root 1");
    rank_meet(rank);
}

Test(mismatch_v, of_name_or_root_is_told_to_both)
{
    static const char *const links_only[] = {"WHORL_ALGO=^arena", NULL};
    for (int i = 0; i < 2; i++) {
        const char *const *env = i == 0 ? NULL : links_only;
        ranks_run(&(struct ranks_job){.nprocesses = 2, .run = call_another_name, .env = env});
        ranks_run(&(struct ranks_job){.nprocesses = 2, .run = name_another_root, .env = env});
        ranks_run(&(struct ranks_job){.nthreads = 2, .run = name_another_root, .env = env});
    }
}
