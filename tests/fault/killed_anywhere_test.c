/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rank is killed at a random moment of a stream of operations that go every way there is: small,
 * two-shot, exchange, direct, messages. Wherever that was, also between publishing and reading,
 * every other rank's call fails with an error that names it.
 */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NSIZES = 4 };
enum { CELL_STARTED };

struct plan {
    uint64_t seed;
    unsigned most_us;    /* the victim's last moment is within this time */
    size_t count;        /* 0: all sizes in turn */
    uint64_t victims;    /* a bit per process */
    bool symmetric;      /* buffers that others map */
    enum case_kind kind; /* CASE_KINDS: all in turn */
};

static void *kill_at_some_time(void *arg)
{
    struct rank *rank = arg;
    const struct plan *plan = rank->arg;
    uint64_t state = plan->seed;
    rank_wait_cell(rank, CELL_STARTED, rank->nranks);
    usleep((useconds_t)(ranks_random(&state) % plan->most_us));
    kill(getpid(), SIGKILL);
    return NULL;
}

static struct coll_case case_at(const struct plan *plan, int i, int nranks)
{
    static const size_t counts[NSIZES] = {5, 1000, 30000, 300000};
    uint64_t state = plan->seed * 1000 + (uint64_t)i;
    enum case_memory memory = plan->symmetric ? CASE_SYMMETRIC : CASE_PRIVATE;
    struct coll_case c = {
        .kind = plan->kind < CASE_KINDS ? plan->kind : (enum case_kind)(i % CASE_KINDS),
        .count = plan->count > 0 ? plan->count : counts[ranks_random(&state) % NSIZES],
        .dtype = WHORL_FLOAT32,
        .op = WHORL_SUM,
        .root = (int)(ranks_random(&state) % (uint64_t)nranks),
        .send_memory = memory,
        .recv_memory = memory,
        .seed = 1,
    };
    return c;
}

static bool is_victim(const struct rank *rank)
{
    const struct plan *plan = rank->arg;
    return (plan->victims >> rank->process & 1) != 0;
}

/* The error names a victim. */
static void expect_a_victim_named(struct rank *rank, whorl_result_t rc)
{
    const struct plan *plan = rank->arg;
    const char *text = whorl_last_error(rank->comm);
    bool named = false;
    for (int p = 0; p < rank->job->nprocesses; p++) {
        char name[32];
        snprintf(name, sizeof(name), "rank %d ", p);
        named |= (plan->victims >> p & 1) != 0 && strstr(text, name) != NULL;
    }
    RANK_CHECK(rank, rc == WHORL_E_PEER && named, "%d: %s", rc, text);
    RANK_EXPECT(rank, WHORL_E_PEER, whorl_barrier(rank->comm, NULL));
}

static void go_on_until_somebody_dies(struct rank *rank)
{
    const struct plan *plan = rank->arg;
    pthread_t thread;
    if (is_victim(rank)) {
        RANK_CHECK(rank, pthread_create(&thread, NULL, kill_at_some_time, rank) == 0, "no thread");
    }
    atomic_fetch_add(rank_cell(rank, CELL_STARTED), 1);
    whorl_result_t rc = WHORL_OK;
    for (int i = 0; rc == WHORL_OK; i++) {
        char text[200];
        struct coll_case c = case_at(plan, i, rank->nranks);
        case_print(&c, text, sizeof(text));
        rank_at(rank, "is in call %d, %s", i, text);
        struct case_run *run = case_begin(rank, rank->comm, &c);
        rc = case_call(run, NULL);
        if (rc == WHORL_OK) {
            case_end(run);
        } else {
            case_drop(run);
        }
    }
    if (is_victim(rank)) {
        pause(); /* its last moment, if there are two of them */
    }
    expect_a_victim_named(rank, rc);
}

static void kill_often(struct plan plan, int nranks, const char *const *env)
{
    int nkills = RANKS_SLOW_BUILD ? 4 : 25;
    fprintf(stderr, "WHORL_TESTS_SEED=%llu\n", (unsigned long long)ranks_seed());
    for (int i = 0; i < nkills; i++) {
        plan.seed = ranks_seed() + (uint64_t)i;
        ranks_run(&(struct ranks_job){.nprocesses = nranks,
                                      .run = go_on_until_somebody_dies,
                                      .arg = &plan,
                                      .env = env,
                                      .may_die = plan.victims});
    }
}

static const char *const links_only[] = {"WHORL_ALGO=^arena", NULL};

Test(killed_anywhere, a_rank_of_two_is_named)
{
    kill_often((struct plan){.most_us = 8000, .victims = 1, .kind = CASE_KINDS}, 2, NULL);
}

Test(killed_anywhere, a_rank_of_four_is_named_by_all)
{
    kill_often((struct plan){.most_us = 15000, .victims = 4, .kind = CASE_KINDS}, 4, NULL);
}

Test(killed_anywhere, a_rank_whose_memory_is_mapped_is_named_by_all)
{
    kill_often((struct plan){.most_us = 15000, .victims = 2, .symmetric = true, .kind = CASE_KINDS},
               3, NULL);
}

Test(killed_anywhere, a_rank_in_reductions_is_named_by_all)
{
    kill_often((struct plan){.most_us = 10000, .victims = 1, .kind = CASE_ALL_REDUCE}, 3, NULL);
}

Test(killed_anywhere, a_rank_in_symmetric_reductions_is_named_by_all)
{
    kill_often(
        (struct plan){.most_us = 10000, .victims = 1, .symmetric = true, .kind = CASE_ALL_REDUCE},
        3, NULL);
}

Test(killed_anywhere, a_rank_in_exchanges_is_named_by_all)
{
    kill_often((struct plan){.most_us = 10000, .victims = 2, .kind = CASE_ALL_TO_ALL_V}, 3, NULL);
}

Test(killed_anywhere, two_ranks_of_four_are_named)
{
    kill_often((struct plan){.most_us = 10000, .victims = 5, .kind = CASE_KINDS}, 4, NULL);
}

Test(killed_anywhere, a_rank_on_links_is_named_by_all)
{
    kill_often((struct plan){.most_us = 15000, .victims = 2, .kind = CASE_KINDS}, 3, links_only);
}

/* The others wait so long for the victim that they sleep. */
static void die_while_others_sleep(struct rank *rank)
{
    const struct plan *plan = rank->arg;
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    if (is_victim(rank)) {
        rank_wait_cell(rank, CELL_STARTED, rank->nranks - 1);
        usleep(50000);
        kill(getpid(), SIGKILL);
    }
    struct coll_case c = {.kind = plan->kind,
                          .count = plan->count,
                          .dtype = WHORL_INT32,
                          .root = 2, /* the victim, so that all wait for it */
                          .seed = 1};
    struct case_run *run = case_begin(rank, rank->comm, &c);
    atomic_fetch_add(rank_cell(rank, CELL_STARTED), 1);
    rank_at(rank, "sleeps in %s", case_kind_str(c.kind));
    whorl_result_t rc = case_call(run, NULL);
    expect_a_victim_named(rank, rc);
    case_drop(run);
}

Test(killed_anywhere, a_rank_for_which_others_sleep_is_named_by_all)
{
    static const enum case_kind kinds[] = {CASE_ALL_REDUCE,       CASE_ALL_GATHER, CASE_BROADCAST,
                                           CASE_REDUCE_SCATTER_V, CASE_SCATTER,    CASE_BARRIER};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct plan plan = {.victims = 4, .kind = kinds[i]};
        for (plan.count = 3; plan.count < 1000000; plan.count *= 300) {
            ranks_run(&(struct ranks_job){
                .nprocesses = 3, .run = die_while_others_sleep, .arg = &plan, .may_die = 4});
        }
    }
}
