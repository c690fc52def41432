/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rank is stopped for two seconds, wherever it is, and continued: to the others it is a rank that
 * is late, and everything ends with the right results.
 */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { CELL_PID, CELL_NSTOPS };
enum { STOPPED_S = 2, VICTIM = 1 };

/* In rank 0's process: stops the victim, once. */
static void *stop_the_victim(void *arg)
{
    struct rank *rank = arg;
    uint64_t state = ranks_seed() + (uint64_t)getpid();
    rank_wait_cell(rank, CELL_PID, 1);
    pid_t pid = (pid_t)atomic_load(rank_cell(rank, CELL_PID));
    usleep((useconds_t)(ranks_random(&state) % 20000));
    RANK_CHECK(rank, kill(pid, SIGSTOP) == 0, "SIGSTOP");
    sleep(STOPPED_S);
    RANK_CHECK(rank, kill(pid, SIGCONT) == 0, "SIGCONT");
    atomic_fetch_add(rank_cell(rank, CELL_NSTOPS), 1);
    return NULL;
}

static struct coll_case case_at(int i, int nranks)
{
    static const size_t counts[] = {3, 1500, 70000, 400000};
    return (struct coll_case){
        .kind = (enum case_kind)(i % CASE_KINDS),
        .count = counts[i / CASE_KINDS % 4],
        .dtype = i % 2 ? WHORL_FLOAT32 : WHORL_BFLOAT16,
        .op = i % 5,
        .root = i % nranks,
        .in_place = i % 3 == 0,
        .send_memory = i % 7 == 0 ? CASE_SYMMETRIC : CASE_PRIVATE,
        .recv_memory = i % 7 == 0 ? CASE_SYMMETRIC : CASE_PRIVATE,
        .seed = 1,
    };
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
    int32_t nstops = 0;
    for (int i = 0; nstops == 0 || i % (4 * CASE_KINDS) != 0; i++) {
        struct coll_case c = case_at(i, rank->nranks);
        case_do(rank, rank->comm, &c);
        int32_t mine = (int32_t)atomic_load(rank_cell(rank, CELL_NSTOPS));
        RANK_OK(rank,
                whorl_all_reduce(&mine, &nstops, 1, WHORL_INT32, WHORL_MAX, rank->comm, NULL));
    }
    if (rank->rank == 0) {
        pthread_join(thread, NULL);
    }
}

Test(stopped_rank, of_two_holds_up_the_other_but_breaks_nothing)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = go_on});
}

Test(stopped_rank, of_three_holds_up_the_others_but_breaks_nothing)
{
    for (int i = 0; i < 3; i++) {
        ranks_run(&(struct ranks_job){.nprocesses = 3, .run = go_on});
    }
}

Test(stopped_rank, on_links_holds_up_the_others_but_breaks_nothing)
{
    static const char *const env[] = {"WHORL_ALGO=^arena", NULL};
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = go_on, .env = env});
}
