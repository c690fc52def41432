/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rank on another host is killed in the middle of a call: every other rank's call fails with an
 * error that names it and its host, within five seconds. A rank that is only stopped for a while
 * holds the others up and breaks nothing.
 */
#include "harness/cases.h"
#include "harness/hosts.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NOTICE_MS = 5000, NBEFORE = 3, STOPPED_S = 2 };
enum { CELL_DONE, CELL_KILLED_AT_MS, CELL_PID, CELL_NSTOPS };

static struct hosts *hosts;

static void make_hosts(void)
{
    hosts = hosts_create(3, NULL);
}

static void remove_hosts(void)
{
    hosts_destroy(hosts);
}

TestSuite(hosts_killed, .init = make_hosts, .fini = remove_hosts);

/* ---- killed --------------------------------------------------------------------------------- */

struct plan {
    struct coll_case c;
    int victim;
};

static void *kill_in_the_middle(void *arg)
{
    struct rank *rank = arg;
    rank_wait_cell(rank, CELL_DONE, NBEFORE);
    atomic_store(rank_cell(rank, CELL_KILLED_AT_MS), rank_now_ms());
    kill(getpid(), SIGKILL);
    return NULL;
}

static void expect_death_noticed(struct rank *rank, whorl_result_t rc, int victim)
{
    int64_t killed_ms = atomic_load(rank_cell(rank, CELL_KILLED_AT_MS));
    int64_t took_ms = rank_now_ms() - killed_ms;
    const char *text = whorl_last_error(rank->comm);
    char name[32], host[HOSTS_NAME_NBYTES + 32];
    snprintf(name, sizeof(name), "rank %d ", victim);
    snprintf(host, sizeof(host), "%s-%d", hosts_of_job(rank)->name, hosts_of_rank(rank, victim));
    RANK_CHECK(rank, rc == WHORL_E_PEER, "%d: %s", rc, whorl_last_error(NULL));
    RANK_CHECK(rank, killed_ms > 0, "before the death: %s", text);
    RANK_TEXT(rank, text, name);
    RANK_TEXT(rank, text, host);
    RANK_CHECK(rank, took_ms <= NOTICE_MS, "noticed only after %lld ms", (long long)took_ms);

    /* From now on nothing works, at once and with the same story. */
    RANK_EXPECT(rank, WHORL_E_PEER, whorl_barrier(rank->comm, NULL));
    RANK_TEXT(rank, whorl_last_error(rank->comm), name);
}

static void repeat_until_error(struct rank *rank)
{
    const struct plan *plan = rank->arg;
    char text[224];
    case_print(&plan->c, text, sizeof(text));
    struct case_run *run = case_begin(rank, rank->comm, &plan->c);
    bool is_victim = rank->rank == plan->victim;
    if (is_victim) {
        pthread_t thread;
        RANK_CHECK(rank, pthread_create(&thread, NULL, kill_in_the_middle, rank) == 0, "no thread");
    }
    whorl_result_t rc = WHORL_OK;
    for (int i = 0; rc == WHORL_OK; i++) {
        rank_at(rank, "is in call %d of %s", i, text);
        rc = case_call(run, NULL);
        if (rc == WHORL_OK && is_victim) {
            atomic_fetch_add(rank_cell(rank, CELL_DONE), 1);
        }
    }
    if (is_victim) {
        pause(); /* the last moment of the victim: the others may not be named in its place */
    }
    expect_death_noticed(rank, rc, plan->victim);
    case_drop(run);
}

static void expect_notice(enum case_kind kind, size_t count, const int nprocesses[3], int victim)
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
    struct hosts_job job = {
        .job = {.run = repeat_until_error, .arg = &plan, .may_die = UINT64_C(1) << victim},
        .hosts = hosts,
    };
    memcpy(job.nprocesses, nprocesses, 3 * sizeof(nprocesses[0]));
    hosts_run(&job);
}

enum { LARGE = 1 << 20 };
static const int one_and_one[] = {1, 1, 0}, two_and_two[] = {2, 2, 0}, uneven[] = {3, 1, 2};

Test(hosts_killed, a_rank_is_named_by_all_in_a_small_call)
{
    expect_notice(CASE_ALL_REDUCE, 1, one_and_one, 0);
    expect_notice(CASE_ALL_REDUCE, 1, one_and_one, 1);
    expect_notice(CASE_ALL_REDUCE, 1, two_and_two, 2);
    expect_notice(CASE_ALL_REDUCE, 1, uneven, 4);
    expect_notice(CASE_BARRIER, 0, uneven, 3);
}

Test(hosts_killed, a_rank_is_named_by_all_in_a_large_call)
{
    expect_notice(CASE_ALL_REDUCE, LARGE, one_and_one, 1);
    expect_notice(CASE_ALL_REDUCE, LARGE, two_and_two, 3);
    expect_notice(CASE_ALL_REDUCE, LARGE, uneven, 0);
    expect_notice(CASE_ALL_GATHER, LARGE / 4, uneven, 3);
    expect_notice(CASE_REDUCE_SCATTER, LARGE / 4, uneven, 5);
    expect_notice(CASE_BROADCAST, LARGE, uneven, 1);
    expect_notice(CASE_ALL_TO_ALL, LARGE / 4, uneven, 2);
}

Test(hosts_killed, a_rank_is_named_by_all_in_an_exchange_of_messages)
{
    expect_notice(CASE_SENDRECV, LARGE, one_and_one, 1);
    expect_notice(CASE_SENDRECV, 5, two_and_two, 2);
    expect_notice(CASE_SENDRECV, LARGE, uneven, 3);
}

/* Nobody is in a call: the death is known nevertheless. */
static void idle_until_error(struct rank *rank)
{
    const struct plan *plan = rank->arg;
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    rank_meet(rank); /* who has left the barrier first must not die while others are in it */
    if (rank->rank == plan->victim) {
        atomic_store(rank_cell(rank, CELL_KILLED_AT_MS), rank_now_ms());
        kill(getpid(), SIGKILL);
    }
    rank_at(rank, "waits for the death to be known");
    expect_death_noticed(rank, rank_await_failure(rank), plan->victim);
}

Test(hosts_killed, a_rank_is_named_by_all_that_are_in_no_call)
{
    static const struct plan plan = {.victim = 3};
    hosts_run(&(struct hosts_job){.job = {.run = idle_until_error, .arg = &plan, .may_die = 1 << 3},
                                  .hosts = hosts,
                                  .nprocesses = {3, 1, 2}});
}

/* A whole host goes: each death is the first one to somebody; every survivor names one of them. */
static void die_by_host(struct rank *rank)
{
    int mine = hosts_of_rank(rank, rank->rank);
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    float value = 1;
    whorl_result_t rc = WHORL_OK;
    for (int i = 0; rc == WHORL_OK; i++) {
        if (mine == 0 && i == NBEFORE) {
            kill(getpid(), SIGKILL);
        }
        rank_at(rank, "is in call %d", i);
        rc = whorl_all_reduce(&value, &value, 1, WHORL_FLOAT32, WHORL_MAX, rank->comm, NULL);
    }
    RANK_CHECK(rank, rc == WHORL_E_PEER, "%d: %s", rc, whorl_last_error(NULL));
    const char *text = whorl_last_error(rank->comm);
    bool is_named = strstr(text, "rank 0 ") != NULL || strstr(text, "rank 1 ") != NULL ||
                    strstr(text, "rank 2 ") != NULL;
    RANK_CHECK(rank, is_named, "%s", text);
}

Test(hosts_killed, a_whole_host_of_ranks_is_noticed_by_the_others)
{
    hosts_run(&(struct hosts_job){
        .job = {.run = die_by_host, .may_die = 7}, .hosts = hosts, .nprocesses = {3, 1, 2}});
}

/* ---- stopped -------------------------------------------------------------------------------- */

enum { VICTIM = 3 }; /* the only one of its host */

/* In rank 0's process: stops the victim, once. */
static void *stop_the_victim(void *arg)
{
    struct rank *rank = arg;
    rank_wait_cell(rank, CELL_PID, 1);
    pid_t pid = (pid_t)atomic_load(rank_cell(rank, CELL_PID));
    RANK_CHECK(rank, kill(pid, SIGSTOP) == 0, "SIGSTOP");
    sleep(STOPPED_S);
    RANK_CHECK(rank, kill(pid, SIGCONT) == 0, "SIGCONT");
    atomic_fetch_add(rank_cell(rank, CELL_NSTOPS), 1);
    return NULL;
}

/* All kinds in turn until the victim has been stopped and continued, as all ranks agree. */
static void go_on(struct rank *rank)
{
    pthread_t thread;
    if (rank->rank == 0) {
        RANK_CHECK(rank, pthread_create(&thread, NULL, stop_the_victim, rank) == 0, "no thread");
    }
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    if (rank->rank == VICTIM) {
        atomic_store(rank_cell(rank, CELL_PID), getpid());
    }
    static const size_t counts[] = {3, 1500, 70000, 400000};
    int32_t nstops = 0;
    for (int i = 0; nstops == 0 || i % (4 * CASE_KINDS) != 0; i++) {
        struct coll_case c = {.kind = (enum case_kind)(i % CASE_KINDS),
                              .count = counts[i / CASE_KINDS % 4],
                              .dtype = i % 2 ? WHORL_FLOAT32 : WHORL_BFLOAT16,
                              .op = i % 5,
                              .root = i % rank->nranks,
                              .seed = 1};
        case_do(rank, rank->comm, &c);
        int32_t mine = (int32_t)atomic_load(rank_cell(rank, CELL_NSTOPS));
        RANK_OK(rank,
                whorl_all_reduce(&mine, &nstops, 1, WHORL_INT32, WHORL_MAX, rank->comm, NULL));
    }
    if (rank->rank == 0) {
        pthread_join(thread, NULL);
    }
}

Test(hosts_killed, a_rank_that_is_stopped_and_continued_breaks_nothing)
{
    hosts_run(&(struct hosts_job){.job = {.run = go_on}, .hosts = hosts, .nprocesses = {3, 1, 2}});
}
