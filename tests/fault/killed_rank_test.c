/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rank is killed in the middle of a collective: every other rank's call fails with an error that
 * names it, within five seconds.
 *
 * All ranks repeat one collective without end. In one of them a second thread waits until a few
 * have been done, and then kills the process, wherever it is at that moment.
 */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NOTICE_MS = 5000, NBEFORE = 3 };
enum { CELL_DONE, CELL_KILLED_AT_MS, CELL_ENDED };

struct plan {
    struct coll_case c;
    int victim;
};

/* Each test runs twice: as it comes, in the arena, and over links alone. */
static const char *const links_only[] = {"WHORL_ALGO=^arena", NULL};

static void *kill_in_the_middle(void *arg)
{
    struct rank *rank = arg;
    rank_wait_cell(rank, CELL_DONE, NBEFORE);
    atomic_store(rank_cell(rank, CELL_KILLED_AT_MS), rank_now_ms());
    kill(getpid(), SIGKILL);
    return NULL;
}

/* The error is the one that the death of the victim must give, and it came in time. */
static void expect_death_noticed(struct rank *rank, whorl_result_t rc, int victim)
{
    int64_t took_ms = rank_now_ms() - atomic_load(rank_cell(rank, CELL_KILLED_AT_MS));
    char name[32];
    snprintf(name, sizeof(name), "rank %d ", victim);
    RANK_CHECK(rank, rc == WHORL_E_PEER, "%d: %s", rc, whorl_last_error(NULL));
    RANK_TEXT(rank, whorl_last_error(rank->comm), name);
    RANK_CHECK(rank, atomic_load(rank_cell(rank, CELL_KILLED_AT_MS)) > 0, "before the death: %s",
               whorl_last_error(NULL));
    RANK_CHECK(rank, took_ms <= NOTICE_MS, "noticed only after %lld ms", (long long)took_ms);

    /* From now on nothing works, at once and with the same story. */
    RANK_EXPECT(rank, WHORL_E_PEER, whorl_barrier(rank->comm, NULL));
    RANK_TEXT(rank, whorl_last_error(rank->comm), name);
    whorl_result_t error = WHORL_OK;
    RANK_OK(rank, whorl_comm_async_error(rank->comm, &error));
    RANK_CHECK(rank, error == WHORL_E_PEER, "%d", error);
}

static void repeat_until_error(struct rank *rank)
{
    const struct plan *plan = rank->arg;
    char text[224];
    case_print(&plan->c, text, sizeof(text));
    struct case_run *run = case_begin(rank, rank->comm, &plan->c);
    if (rank->process == plan->victim) {
        pthread_t thread;
        RANK_CHECK(rank, pthread_create(&thread, NULL, kill_in_the_middle, rank) == 0, "no thread");
    }
    whorl_result_t rc = WHORL_OK;
    for (int i = 0; rc == WHORL_OK; i++) {
        rank_at(rank, "is in call %d of %s", i, text);
        rc = case_call(run, NULL);
        if (rc == WHORL_OK && rank->process == plan->victim) {
            atomic_fetch_add(rank_cell(rank, CELL_DONE), 1);
        }
    }
    if (rank->process == plan->victim) {
        pause(); /* the last moment of the victim: the others may not be named in its place */
    }
    expect_death_noticed(rank, rc, plan->victim);
    case_drop(run);
}

static void expect_notice(enum case_kind kind, size_t count, int nranks, int victim)
{
    struct plan plan = {
        .c = {.kind = kind,
              .count = count,
              .dtype = WHORL_FLOAT32,
              .op = WHORL_SUM,
              .root = 1,
              .seed = 1},
        .victim = victim,
    };
    for (int i = 0; i < 2; i++) {
        ranks_run(&(struct ranks_job){.nprocesses = nranks,
                                      .run = repeat_until_error,
                                      .arg = &plan,
                                      .env = i == 0 ? NULL : links_only,
                                      .may_die = UINT64_C(1) << victim});
    }
}

enum { LARGE = 4 << 20 };

Test(killed_rank, is_named_by_all_in_a_large_all_reduce)
{
    expect_notice(CASE_ALL_REDUCE, LARGE, 4, 2);
    expect_notice(CASE_ALL_REDUCE, LARGE, 3, 0);
    expect_notice(CASE_ALL_REDUCE, LARGE, 2, 1);
}

Test(killed_rank, is_named_by_all_in_a_small_all_reduce)
{
    expect_notice(CASE_ALL_REDUCE, 1, 4, 3);
    expect_notice(CASE_ALL_REDUCE, 1, 2, 0);
}

Test(killed_rank, is_named_by_all_in_an_all_gather)
{
    expect_notice(CASE_ALL_GATHER, LARGE / 4, 4, 1);
    expect_notice(CASE_ALL_GATHER, LARGE / 4, 3, 0);
}

Test(killed_rank, is_named_by_all_in_a_reduce_scatter)
{
    expect_notice(CASE_REDUCE_SCATTER, LARGE / 4, 4, 3);
    expect_notice(CASE_REDUCE_SCATTER, LARGE / 4, 3, 0);
}

Test(killed_rank, is_named_by_all_in_a_broadcast)
{
    expect_notice(CASE_BROADCAST, LARGE, 4, 1); /* the root */
    expect_notice(CASE_BROADCAST, LARGE, 4, 3);
}

Test(killed_rank, is_named_by_all_in_a_reduce)
{
    expect_notice(CASE_REDUCE, LARGE, 4, 1); /* the root */
    expect_notice(CASE_REDUCE, LARGE, 4, 2);
}

Test(killed_rank, is_named_by_all_in_the_other_collectives)
{
    expect_notice(CASE_ALL_TO_ALL, LARGE / 4, 3, 1);
    expect_notice(CASE_GATHER, LARGE / 4, 3, 1); /* the root */
    expect_notice(CASE_GATHER, LARGE / 4, 3, 2);
    expect_notice(CASE_SCATTER, LARGE / 4, 3, 1); /* the root */
    expect_notice(CASE_SCATTER, LARGE / 4, 3, 0);
    for (int kind = CASE_ALL_GATHER_V; kind <= CASE_SCATTER_V; kind++) {
        expect_notice((enum case_kind)kind, LARGE / 8, 3, 2);
    }
}

Test(killed_rank, is_named_by_all_in_an_exchange_of_messages)
{
    expect_notice(CASE_SENDRECV, LARGE, 4, 2);
    expect_notice(CASE_SENDRECV, LARGE, 2, 0);
}

Test(killed_rank, is_named_by_all_in_a_barrier)
{
    expect_notice(CASE_BARRIER, 0, 4, 2);
    expect_notice(CASE_BARRIER, 0, 2, 0);
}

/* Dead before it called: the others wait in their call for a rank that never comes. */
static void die_before_the_call(struct rank *rank)
{
    const struct plan *plan = rank->arg;
    if (rank->process == plan->victim) {
        rank_wait_cell(rank, CELL_ENDED, rank->nranks - 1);
        atomic_store(rank_cell(rank, CELL_KILLED_AT_MS), rank_now_ms());
        kill(getpid(), SIGKILL);
    }
    struct case_run *run = case_begin(rank, rank->comm, &plan->c);
    atomic_fetch_add(rank_cell(rank, CELL_ENDED), 1);
    whorl_result_t rc = case_call(run, NULL);
    expect_death_noticed(rank, rc, plan->victim);
    case_drop(run);
}

static bool may_be_done_without_the_victim(enum case_kind kind)
{
    return kind == CASE_BROADCAST || kind == CASE_REDUCE || kind == CASE_SENDRECV ||
           kind == CASE_GATHER || kind == CASE_SCATTER || kind == CASE_GATHER_V ||
           kind == CASE_SCATTER_V;
}

Test(killed_rank, is_named_by_those_who_wait_for_it)
{
    for (int kind = 0; kind < CASE_KINDS; kind++) {
        if (may_be_done_without_the_victim((enum case_kind)kind)) {
            continue;
        }
        struct plan plan = {.c = {.kind = (enum case_kind)kind,
                                  .count = 1000,
                                  .dtype = WHORL_INT32,
                                  .op = WHORL_MAX,
                                  .seed = 1},
                            .victim = 1};
        for (int i = 0; i < 2; i++) {
            ranks_run(&(struct ranks_job){.nprocesses = 3,
                                          .run = die_before_the_call,
                                          .arg = &plan,
                                          .env = i == 0 ? NULL : links_only,
                                          .may_die = 2});
        }
    }
}

/* Calls that wait in a stream fail too. */
static void die_under_a_stream(struct rank *rank)
{
    const struct plan *plan = rank->arg;
    if (rank->process == plan->victim) {
        rank_wait_cell(rank, CELL_ENDED, rank->nranks - 1);
        atomic_store(rank_cell(rank, CELL_KILLED_AT_MS), rank_now_ms());
        kill(getpid(), SIGKILL);
    }
    whorl_stream_t stream;
    RANK_OK(rank, whorl_stream_create(&stream));
    struct case_run *run = case_begin(rank, rank->comm, &plan->c);
    RANK_OK(rank, case_call(run, stream));
    RANK_OK(rank, case_call(run, stream));
    atomic_fetch_add(rank_cell(rank, CELL_ENDED), 1);
    whorl_result_t rc = whorl_stream_synchronize(stream);
    expect_death_noticed(rank, rc, plan->victim);
    RANK_OK(rank, whorl_stream_destroy(stream));
    case_drop(run);
}

Test(killed_rank, ends_calls_that_wait_in_streams)
{
    struct plan plan = {
        .c = {.kind = CASE_ALL_REDUCE, .count = LARGE, .dtype = WHORL_FLOAT32, .seed = 1},
        .victim = 0};
    ranks_run(&(struct ranks_job){
        .nprocesses = 3, .run = die_under_a_stream, .arg = &plan, .may_die = 1});
}

/* Nobody is in a call: the next one fails, and async_error() knows before. */
static void die_between_calls(struct rank *rank)
{
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    rank_meet(rank);
    if (rank->process == 1) {
        atomic_store(rank_cell(rank, CELL_KILLED_AT_MS), rank_now_ms());
        kill(getpid(), SIGKILL);
    }
    rank_await_failure(rank);
    whorl_result_t rc = whorl_barrier(rank->comm, NULL);
    expect_death_noticed(rank, rc, 1);
}

Test(killed_rank, is_noticed_while_nobody_calls)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = die_between_calls, .may_die = 2});
}

/* All ranks of a process die together, and any of them is the right one to name. */
static void lose_a_process_of_threads(struct rank *rank)
{
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    if (rank->process == 1) {
        rank_wait_cell(rank, CELL_ENDED, 2);
        kill(getpid(), SIGKILL);
    }
    int32_t one = 1, sum;
    atomic_fetch_add(rank_cell(rank, CELL_ENDED), 1);
    RANK_EXPECT(rank, WHORL_E_PEER,
                whorl_all_reduce(&one, &sum, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
    const char *text = whorl_last_error(rank->comm);
    RANK_CHECK(rank, strstr(text, "rank 2 ") != NULL || strstr(text, "rank 3 ") != NULL, "%s",
               text);
}

Test(killed_rank, may_be_one_of_several_threads_of_a_process)
{
    ranks_run(&(struct ranks_job){
        .nprocesses = 2, .nthreads = 2, .run = lose_a_process_of_threads, .may_die = 2});
}
