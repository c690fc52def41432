/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network between hosts fails while ranks work: cables are pulled, or lose what they carry
 * without a word. What is out for a moment only breaks nothing; else every rank gets an error in
 * time that names another one.
 */
#include "harness/cases.h"
#include "harness/hosts.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NBEFORE = 3, TIMEOUT_MS = 2000, GRACE_MS = 4000 };
enum { CELL_DONE, CELL_OUT_AT_MS, CELL_BACK };

static const char *const short_timeout[] = {"WHORL_TIMEOUT=2s", NULL};
static const char *const long_timeout[] = {"WHORL_TIMEOUT=60s", NULL};

static struct hosts *hosts;

static void make_hosts(void)
{
    hosts = hosts_create(3, NULL);
}

static void remove_hosts(void)
{
    hosts_destroy(hosts);
}

TestSuite(hosts_cable, .init = make_hosts, .fini = remove_hosts);

struct plan {
    struct coll_case c;
    const char *state; /* of the cable of host 1 */
    bool comes_back;
};

/* In rank 0's process: takes the cable away once a few calls are done. */
static void *take_cable(void *arg)
{
    struct rank *rank = arg;
    const struct plan *plan = rank->arg;
    rank_wait_cell(rank, CELL_DONE, NBEFORE);
    atomic_store(rank_cell(rank, CELL_OUT_AT_MS), rank_now_ms());
    RANK_CHECK(rank, hosts_link(hosts_of_job(rank), 1, 0, plan->state), "link %s", plan->state);
    if (plan->comes_back) {
        sleep(1);
        RANK_CHECK(rank, hosts_link(hosts_of_job(rank), 1, 0, "up"), "link up");
        atomic_store(rank_cell(rank, CELL_BACK), 1);
    }
    return NULL;
}

static bool names_rank(const char *text, int r)
{
    char name[32];
    int len = snprintf(name, sizeof(name), "rank %d", r);
    for (const char *at = strstr(text, name); at != NULL; at = strstr(at + 1, name)) {
        if (at[len] < '0' || at[len] > '9') {
            return true;
        }
    }
    return false;
}

/* Is another rank named? With one rank a host that is the one that cannot be reached; with more,
 * the one that is waited for may itself be held up by another. */
static bool names_another(const struct rank *rank, const char *text)
{
    bool is_named = false;
    for (int r = 0; r < rank->nranks; r++) {
        is_named |= r != rank->rank && names_rank(text, r);
    }
    return is_named;
}

static void expect_outage_noticed(struct rank *rank, whorl_result_t rc)
{
    int64_t out_ms = atomic_load(rank_cell(rank, CELL_OUT_AT_MS));
    int64_t took_ms = rank_now_ms() - out_ms;
    const char *text = whorl_last_error(rank->comm);
    RANK_CHECK(rank, rc == WHORL_E_TIMEOUT || rc == WHORL_E_PEER, "%d: %s", rc, text);
    RANK_CHECK(rank, out_ms > 0, "before the outage: %s", text);
    RANK_CHECK(rank, names_another(rank, text), "nobody else is named: %s", text);
    RANK_CHECK(rank, took_ms <= TIMEOUT_MS + GRACE_MS, "noticed only after %lld ms",
               (long long)took_ms);
    RANK_CHECK(rank, whorl_barrier(rank->comm, NULL) == rc, "the error has changed");
}

static void work_through_outage(struct rank *rank)
{
    const struct plan *plan = rank->arg;
    pthread_t thread;
    if (rank->rank == 0) {
        RANK_CHECK(rank, pthread_create(&thread, NULL, take_cable, rank) == 0, "no thread");
    }
    struct case_run *run = case_begin(rank, rank->comm, &plan->c);
    whorl_result_t rc = WHORL_OK;
    for (int i = 0; rc == WHORL_OK; i++) {
        rank_at(rank, "is in call %d", i);
        rc = case_call(run, NULL);
        atomic_fetch_add(rank_cell(rank, CELL_DONE), rank->rank == 0 && rc == WHORL_OK);
    }
    expect_outage_noticed(rank, rc);
    case_drop(run);
    if (rank->rank == 0) {
        pthread_join(thread, NULL);
    }
}

static void expect_error(enum case_kind kind, size_t count, const char *state, bool many)
{
    struct plan plan = {
        .c = {.kind = kind, .count = count, .dtype = WHORL_FLOAT32, .op = WHORL_MAX, .root = 1},
        .state = state,
    };
    hosts_run(
        &(struct hosts_job){.job = {.run = work_through_outage, .arg = &plan, .env = short_timeout},
                            .hosts = hosts,
                            .nprocesses = {many ? 2 : 1, many ? 2 : 1, many ? 1 : 0}});
    cr_assert(hosts_link(hosts, 1, 0, "up"));
}

enum { LARGE = 1 << 20 };

Test(hosts_cable, that_is_pulled_ends_a_small_call_with_an_error_in_time)
{
    expect_error(CASE_ALL_REDUCE, 1, "down", false);
    expect_error(CASE_ALL_REDUCE, 1, "down", true);
}

Test(hosts_cable, that_is_pulled_ends_a_large_call_with_an_error_in_time)
{
    expect_error(CASE_ALL_REDUCE, LARGE, "down", false);
    expect_error(CASE_ALL_TO_ALL, LARGE / 4, "down", true);
}

Test(hosts_cable, that_loses_everything_ends_a_small_call_with_an_error_in_time)
{
    expect_error(CASE_ALL_REDUCE, 1, "cut", false);
    expect_error(CASE_ALL_REDUCE, 1, "cut", true);
}

Test(hosts_cable, that_loses_everything_ends_a_large_call_with_an_error_in_time)
{
    expect_error(CASE_ALL_REDUCE, LARGE, "cut", false);
    expect_error(CASE_SENDRECV, LARGE, "cut", true);
}

/* ---- for a moment --------------------------------------------------------------------------- */

/* Checked calls until the cable is back, as all ranks agree, and some more. */
static void work_on(struct rank *rank)
{
    static const size_t counts[] = {3, 1500, 200000};
    pthread_t thread;
    if (rank->rank == 0) {
        RANK_CHECK(rank, pthread_create(&thread, NULL, take_cable, rank) == 0, "no thread");
    }
    int32_t is_back = 0;
    for (int i = 0; is_back == 0 || i % (3 * CASE_KINDS) != 0; i++) {
        struct coll_case c = {.kind = (enum case_kind)(i % CASE_KINDS),
                              .count = counts[i / CASE_KINDS % 3],
                              .dtype = WHORL_FLOAT32,
                              .root = i % rank->nranks,
                              .seed = (uint64_t)i};
        case_do(rank, rank->comm, &c);
        int32_t mine = (int32_t)atomic_load(rank_cell(rank, CELL_BACK));
        rank_at(rank, "asks whether the cable is back");
        RANK_OK(rank,
                whorl_all_reduce(&mine, &is_back, 1, WHORL_INT32, WHORL_MAX, rank->comm, NULL));
        atomic_fetch_add(rank_cell(rank, CELL_DONE), rank->rank == 0);
    }
    if (rank->rank == 0) {
        pthread_join(thread, NULL);
    }
}

static void expect_no_error(const char *state)
{
    struct plan plan = {.state = state, .comes_back = true};
    hosts_run(&(struct hosts_job){.job = {.run = work_on, .arg = &plan, .env = long_timeout},
                                  .hosts = hosts,
                                  .nprocesses = {2, 1, 1}});
}

Test(hosts_cable, that_loses_everything_for_a_second_breaks_nothing)
{
    expect_no_error("cut");
}

Test(hosts_cable, that_is_pulled_for_a_second_breaks_nothing)
{
    expect_no_error("down");
}

/* ---- a host that vanishes ------------------------------------------------------------------- */

/* The rank is killed behind its cut cable: nobody hears of it. When the cable is back the other
 * hosts talk to a machine that knows nothing of them, as after a power failure. */
static void vanish(struct rank *rank)
{
    const struct hosts *all = hosts_of_job(rank);
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    rank_meet(rank);
    if (rank->rank == 1) {
        RANK_CHECK(rank, hosts_link(all, 1, 0, "cut"), "cut");
        RANK_CHECK(rank, hosts_ip(all, 1, "link set eth0 down"), "eth0 down");
        atomic_store(rank_cell(rank, CELL_OUT_AT_MS), rank_now_ms());
        kill(getpid(), SIGKILL);
    }
    rank_wait_cell(rank, CELL_OUT_AT_MS, 1);
    float value = 1;
    rank_at(rank, "calls after a host has vanished");
    whorl_result_t rc =
        whorl_all_reduce(&value, &value, 1, WHORL_FLOAT32, WHORL_SUM, rank->comm, NULL);
    int64_t took_ms = rank_now_ms() - atomic_load(rank_cell(rank, CELL_OUT_AT_MS));
    const char *text = whorl_last_error(rank->comm);
    RANK_CHECK(rank, rc == WHORL_E_TIMEOUT || rc == WHORL_E_PEER, "%d: %s", rc, text);
    RANK_TEXT(rank, text, "rank 1 ");
    RANK_CHECK(rank, took_ms <= TIMEOUT_MS + GRACE_MS, "noticed only after %lld ms",
               (long long)took_ms);
}

Test(hosts_cable, of_a_host_that_vanished_without_a_word_is_reported_in_time)
{
    hosts_run(&(struct hosts_job){.job = {.run = vanish, .env = short_timeout, .may_die = 1 << 1},
                                  .hosts = hosts,
                                  .nprocesses = {1, 1, 1}});
}

/* ---- one way only --------------------------------------------------------------------------- */

/* Host 1 cannot answer host 0 any more, while it hears it: half of a connection. */
static void lose_one_way(struct rank *rank)
{
    const struct hosts *all = hosts_of_job(rank);
    for (int i = 0; i < NBEFORE; i++) {
        RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    }
    rank_meet(rank);
    if (rank->rank == 1) {
        RANK_CHECK(rank, hosts_ip(all, 1, "route add blackhole %s/32", all->addrs[0]), "route");
        RANK_CHECK(rank, hosts_ip(all, 1, "route add blackhole %s/128", all->addrs6[0]), "route");
        atomic_store(rank_cell(rank, CELL_OUT_AT_MS), rank_now_ms());
    }
    rank_wait_cell(rank, CELL_OUT_AT_MS, 1);
    rank_at(rank, "calls over half a connection");
    float value = 1;
    whorl_result_t rc = WHORL_OK;
    for (int i = 0; rc == WHORL_OK && i < 3; i++) {
        rc = whorl_all_reduce(&value, &value, 1, WHORL_FLOAT32, WHORL_MAX, rank->comm, NULL);
    }
    expect_outage_noticed(rank, rc);
}

Test(hosts_cable, that_works_one_way_only_ends_calls_with_an_error_in_time)
{
    hosts_run(&(struct hosts_job){
        .job = {.run = lose_one_way, .env = short_timeout}, .hosts = hosts, .nprocesses = {1, 1}});
}

/* ---- nobody calls --------------------------------------------------------------------------- */

/* No call is under way when a host vanishes: TCP's own probes tell, within a minute. */
static void notice_while_idle(struct rank *rank)
{
    const struct hosts *all = hosts_of_job(rank);
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    rank_meet(rank);
    if (rank->rank == 1) {
        RANK_CHECK(rank, hosts_link(all, 1, 0, "cut"), "cut");
        atomic_store(rank_cell(rank, CELL_OUT_AT_MS), rank_now_ms());
    }
    rank_wait_cell(rank, CELL_OUT_AT_MS, 1);
    rank_at(rank, "waits for the outage to be noticed");
    whorl_result_t rc = rank_await_failure(rank);
    int64_t took_ms = rank_now_ms() - atomic_load(rank_cell(rank, CELL_OUT_AT_MS));
    RANK_CHECK(rank, rc == WHORL_E_PEER, "%d: %s", rc, whorl_last_error(rank->comm));
    RANK_CHECK(rank, took_ms <= 60000, "noticed only after %lld ms", (long long)took_ms);
    RANK_CHECK(rank, names_another(rank, whorl_last_error(rank->comm)), "%s",
               whorl_last_error(rank->comm));
}

Test(hosts_cable, that_is_cut_while_nobody_calls_is_noticed_within_a_minute)
{
    hosts_run(&(struct hosts_job){
        .job = {.run = notice_while_idle}, .hosts = hosts, .nprocesses = {1, 1}});
}
