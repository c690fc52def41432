/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks die in the middle of a collective; those who are left get the error that names one of them,
 * shrink, and go on with a communicator whose results are right.
 */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NBEFORE = 3, RECOVERED_MS = 5000, VECTOR = 100000 };
enum { CELL_DONE, CELL_KILLED_AT_MS, CELL_ROUND };

static const char *const links_only[] = {"WHORL_ALGO=^arena", NULL};

struct plan {
    uint64_t victims; /* a bit per process */
    size_t count;
};

static bool is_victim(const struct plan *plan, int rank)
{
    return (plan->victims >> rank & 1) != 0;
}

static int count_survivors(const struct plan *plan, int nranks)
{
    int n = 0;
    for (int r = 0; r < nranks; r++) {
        n += !is_victim(plan, r);
    }
    return n;
}

static void *kill_in_the_middle(void *arg)
{
    struct rank *rank = arg;
    rank_wait_cell(rank, CELL_DONE, NBEFORE);
    int64_t none = 0;
    atomic_compare_exchange_strong(rank_cell(rank, CELL_KILLED_AT_MS), &none, rank_now_ms());
    kill(getpid(), SIGKILL);
    return NULL;
}

/* All kinds of collectives work on comm, and this rank has the right place in it. */
static void expect_works(struct rank *rank, whorl_comm_t comm, int place, int nplaces)
{
    int got_rank = -1, got_nranks = -1;
    RANK_OK(rank, whorl_comm_rank(comm, &got_rank));
    RANK_OK(rank, whorl_comm_size(comm, &got_nranks));
    RANK_CHECK(rank, got_rank == place && got_nranks == nplaces, "rank %d of %d, not %d of %d",
               got_rank, got_nranks, place, nplaces);
    int32_t value = 1 << place, sum = 0;
    RANK_OK(rank, whorl_all_reduce(&value, &sum, 1, WHORL_INT32, WHORL_SUM, comm, NULL));
    RANK_CHECK(rank, sum == (1 << nplaces) - 1, "the sum is %d", sum);
    float *vector = malloc(VECTOR * sizeof(*vector));
    for (int i = 0; i < VECTOR; i++) {
        vector[i] = (float)(place + i);
    }
    RANK_OK(rank, whorl_all_reduce(vector, vector, VECTOR, WHORL_FLOAT32, WHORL_MAX, comm, NULL));
    for (int i = 0; i < VECTOR; i++) {
        RANK_CHECK(rank, vector[i] == (float)(nplaces - 1 + i), "element %d", i);
    }
    free(vector);
    RANK_OK(rank, whorl_barrier(comm, NULL));
}

static int place_of(const struct plan *plan, int rank)
{
    int place = 0;
    for (int r = 0; r < rank; r++) {
        place += !is_victim(plan, r);
    }
    return place;
}

static void die_and_shrink(struct rank *rank)
{
    const struct plan *plan = rank->arg;
    if (is_victim(plan, rank->process)) {
        pthread_t thread;
        RANK_CHECK(rank, pthread_create(&thread, NULL, kill_in_the_middle, rank) == 0, "no thread");
    }
    static float buffer[1 << 20];
    whorl_result_t rc = WHORL_OK;
    for (int i = 0; rc == WHORL_OK; i++) {
        rank_at(rank, "is in all_reduce %d", i);
        rc = whorl_all_reduce(buffer, buffer, plan->count, WHORL_FLOAT32, WHORL_MAX, rank->comm,
                              NULL);
        if (rc == WHORL_OK && rank->process == 1) {
            atomic_fetch_add(rank_cell(rank, CELL_DONE), 1);
        }
    }
    if (is_victim(plan, rank->process)) {
        pause();
    }
    RANK_CHECK(rank, rc == WHORL_E_PEER, "%d: %s", rc, whorl_last_error(NULL));
    const char *text = whorl_last_error(rank->comm);
    bool named = false;
    for (int r = 0; r < rank->nranks; r++) {
        char name[32];
        snprintf(name, sizeof(name), "rank %d ", r);
        named |= is_victim(plan, r) && strstr(text, name) != NULL;
    }
    RANK_CHECK(rank, named, "no dead rank is named: %s", text);

    whorl_comm_t left = NULL;
    rank_at(rank, "shrinks");
    RANK_OK(rank, whorl_comm_shrink(rank->comm, NULL, 0, NULL, &left));
    int64_t took_ms = rank_now_ms() - atomic_load(rank_cell(rank, CELL_KILLED_AT_MS));
    RANK_CHECK(rank, took_ms <= RECOVERED_MS * (1 + RANKS_SLOW_BUILD), "took %lld ms",
               (long long)took_ms);
    rank_at(rank, "uses the new communicator");
    expect_works(rank, left, place_of(plan, rank->rank), count_survivors(plan, rank->nranks));
    RANK_OK(rank, whorl_comm_destroy(rank->comm));
    rank->comm = left;
    expect_works(rank, left, place_of(plan, rank->rank), count_survivors(plan, rank->nranks));
}

static void expect_recovery(int nranks, uint64_t victims, size_t count)
{
    struct plan plan = {victims, count};
    for (int i = 0; i < 2; i++) {
        ranks_run(&(struct ranks_job){.nprocesses = nranks,
                                      .run = die_and_shrink,
                                      .arg = &plan,
                                      .env = i == 0 ? NULL : links_only,
                                      .may_die = victims});
    }
}

Test(shrink, goes_on_without_one_dead_rank, .timeout = 120)
{
    expect_recovery(4, 1 << 2, 1 << 20);
    expect_recovery(4, 1 << 3, 1);
}

Test(shrink, goes_on_without_rank_0, .timeout = 120)
{
    expect_recovery(4, 1 << 0, 1 << 20);
}

Test(shrink, goes_on_without_two_dead_ranks, .timeout = 120)
{
    expect_recovery(4, 1 << 0 | 1 << 3, 1 << 20);
    expect_recovery(5, 1 << 2 | 1 << 3, 1000);
}

Test(shrink, may_leave_a_single_rank, .timeout = 120)
{
    expect_recovery(3, 1 << 0 | 1 << 2, 1000);
}

Test(shrink, goes_on_encrypted, .timeout = 120)
{
    static const char *const env[] = {"WHORL_TRANSPORTS=tcp", "WHORL_ENCRYPT=1", NULL};
    struct plan plan = {1 << 1, 1 << 20};
    ranks_run(&(struct ranks_job){
        .nprocesses = 4, .run = die_and_shrink, .arg = &plan, .env = env, .may_die = 1 << 1});
}

/* ---- of a communicator that works ----------------------------------------------------------- */

static void leave_two_out(struct rank *rank)
{
    static const int excluded[] = {3, 1};
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    if (rank->rank == 1 || rank->rank == 3) {
        rank_meet(rank);
        return;
    }
    whorl_options_t options = WHORL_OPTIONS_INIT;
    options.name = "less";
    whorl_comm_t left = NULL;
    RANK_OK(rank, whorl_comm_shrink(rank->comm, excluded, 2, &options, &left));
    whorl_result_t error = WHORL_E_INTERNAL;
    RANK_OK(rank, whorl_comm_async_error(rank->comm, &error));
    RANK_CHECK(rank, error == WHORL_OK, "the old one broke: %s", whorl_last_error(rank->comm));
    int place = rank->rank == 0 ? 0 : rank->rank == 2 ? 1 : 2;
    expect_works(rank, left, place, 3);
    RANK_OK(rank, whorl_comm_destroy(left));
    rank_meet(rank);
}

Test(shrink, of_a_working_communicator_leaves_out_who_is_named, .timeout = 120)
{
    ranks_run(&(struct ranks_job){.nprocesses = 5, .run = leave_two_out});
    ranks_run(&(struct ranks_job){.nthreads = 5, .run = leave_two_out});
}

static void abort_then_shrink(struct rank *rank)
{
    rank_meet(rank); /* everyone has it before it breaks */
    if (rank->rank == 1) {
        RANK_OK(rank, whorl_comm_abort(rank->comm));
    } else {
        RANK_EXPECT(rank, WHORL_E_PEER, whorl_barrier(rank->comm, NULL));
    }
    whorl_comm_t left = NULL;
    RANK_OK(rank, whorl_comm_shrink(rank->comm, NULL, 0, NULL, &left));
    RANK_OK(rank, whorl_comm_destroy(rank->comm));
    rank->comm = left;
    expect_works(rank, left, rank->rank, rank->nranks);
}

Test(shrink, after_an_abort_keeps_everyone, .timeout = 120)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = abort_then_shrink});
}

/* ---- again and again ------------------------------------------------------------------------ */

static void shrink_twice(struct rank *rank)
{
    int nleft = rank->nranks;
    for (int victim = rank->nranks - 1; victim > 1; victim--) {
        atomic_fetch_add(rank_cell(rank, CELL_ROUND + nleft), 1);
        if (rank->rank == victim) {
            rank_wait_cell(rank, CELL_ROUND + nleft, nleft); /* the others are through */
            kill(getpid(), SIGKILL);
        }
        whorl_result_t rc = WHORL_OK;
        while (rc == WHORL_OK) {
            rc = whorl_barrier(rank->comm, NULL);
        }
        RANK_CHECK(rank, rc == WHORL_E_PEER, "%d", rc);
        whorl_comm_t left = NULL;
        rank_at(rank, "shrinks because rank %d died", victim);
        RANK_OK(rank, whorl_comm_shrink(rank->comm, NULL, 0, NULL, &left));
        RANK_OK(rank, whorl_comm_destroy(rank->comm));
        rank->comm = left;
        nleft--;
        expect_works(rank, left, rank->rank, nleft);
    }
}

Test(shrink, works_again_on_what_came_of_it, .timeout = 120)
{
    ranks_run(&(struct ranks_job){
        .nprocesses = 4, .run = shrink_twice, .may_die = 1 << 2 | 1 << 3});
}

/* The same communicator twice, by all: the second one is as good as the first. */
static void shrink_one_twice(struct rank *rank)
{
    whorl_comm_t first = NULL, second = NULL;
    RANK_OK(rank, whorl_comm_shrink(rank->comm, NULL, 0, NULL, &first));
    RANK_OK(rank, whorl_comm_shrink(rank->comm, NULL, 0, NULL, &second));
    expect_works(rank, first, rank->rank, rank->nranks);
    expect_works(rank, second, rank->rank, rank->nranks);
    RANK_OK(rank, whorl_comm_destroy(first));
    RANK_OK(rank, whorl_comm_destroy(second));
}

Test(shrink, may_be_repeated, .timeout = 120)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = shrink_one_twice});
}

/* ---- a survivor that does not come ---------------------------------------------------------- */

static void stay_away(struct rank *rank)
{
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    if (rank->rank == 1) {
        rank_meet(rank);
        return;
    }
    whorl_options_t options = WHORL_OPTIONS_INIT;
    options.init_timeout_ms = 1500;
    whorl_comm_t left = NULL;
    rank_at(rank, "shrinks without rank 1");
    int64_t before_ms = rank_now_ms();
    whorl_result_t rc = whorl_comm_shrink(rank->comm, NULL, 0, &options, &left);
    RANK_CHECK(rank, rank_now_ms() - before_ms < 20000, "took too long");
    RANK_CHECK(rank, rc == WHORL_OK, "%d: %s", rc, whorl_last_error(NULL));
    options.init_timeout_ms = 0;
    expect_works(rank, left, rank->rank == 0 ? 0 : 1, 2);
    RANK_OK(rank, whorl_comm_destroy(left));
    rank_meet(rank);
}

Test(shrink, does_not_wait_for_ever_for_a_rank_that_stays_away, .timeout = 120)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = stay_away});
}

/* ---- what is wrong -------------------------------------------------------------------------- */

static void call_it_wrong(struct rank *rank)
{
    static const int outside[] = {0, 2}, negative[] = {-1};
    int self[] = {rank->rank};
    whorl_comm_t left = NULL;
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_comm_shrink(NULL, NULL, 0, NULL, &left));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_comm_shrink(rank->comm, NULL, 0, NULL, NULL));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_comm_shrink(rank->comm, NULL, 1, NULL, &left));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_comm_shrink(rank->comm, outside + 1, 1, NULL, &left));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_comm_shrink(rank->comm, negative, 1, NULL, &left));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_comm_shrink(rank->comm, outside, 3, NULL, &left));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_comm_shrink(rank->comm, self, 1, NULL, &left));
    RANK_TEXT(rank, whorl_last_error(NULL), "which is this rank");
    RANK_CHECK(rank, left == NULL, "written on failure");
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
}

Test(shrink, with_wrong_arguments_changes_nothing, .timeout = 60)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = call_it_wrong});
}
