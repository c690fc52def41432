/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same list of calls through every executor: the arena, and schedules or messages over links.
 * Every call is checked against the same independent reference, which is exact, so executors that
 * pass give the same bits as each other.
 *
 * Ranks are processes, threads, or both; buffers are private, symmetric or registered, each rank's
 * as it likes. Sizes lie around those at which calls take another way.
 */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { NCASES = 6 * CASE_KINDS, CHUNK_NBYTES = 128 << 10, NOPS = VALUES_PREMUL + 1 };

/* The smallest chunk there is makes many of them. */
static const char *const executors[][4] = {
    {"WHORL_ALGO=", "WHORL_CHUNK=128K", NULL},
    {"WHORL_ALGO=^arena", "WHORL_CHUNK=128K", NULL},
    {"WHORL_ALGO=^arena;AllReduce:arena;AllToAll:arena", "WHORL_BUFFSIZE=8K", NULL},
    {"WHORL_ALGO=", "WHORL_CMA=64K", "WHORL_DIRECT=0"},
};
enum { NEXECUTORS = sizeof(executors) / sizeof(executors[0]) };

static size_t pick_nbytes(uint64_t *state)
{
    static const size_t sizes[] = {
        0, 1, 8, 56, 57, 64, 1000, 8192, 8193, CHUNK_NBYTES, CHUNK_NBYTES + 8, 3 * CHUNK_NBYTES + 8,
    };
    uint64_t h = ranks_random(state);
    return h % 8 == 0 ? (size_t)(h >> 8) % 300000 : sizes[(h >> 8) % 12];
}

/* Call i of a list; the same on every rank, but for where it has its buffers. */
static struct coll_case deal(uint64_t seed, int i, const struct rank *rank)
{
    uint64_t state = seed + (uint64_t)i * 1000003;
    uint64_t own = state ^ (uint64_t)rank->rank << 40;
    struct coll_case c = {
        .kind = (enum case_kind)((uint64_t)i % CASE_KINDS),
        .dtype = (whorl_dtype_t)(ranks_random(&state) % WHORL_DTYPE_COUNT),
        .op = (int)(ranks_random(&state) % NOPS),
        .root = (int)(ranks_random(&state) % (uint64_t)rank->nranks),
        .in_place = ranks_random(&state) % 2 == 0,
        .seed = ranks_random(&state),
        .send_memory = (enum case_memory)(ranks_random(&own) % CASE_MEMORIES),
        .recv_memory = (enum case_memory)(ranks_random(&own) % CASE_MEMORIES),
    };
    if (ranks_random(&state) % 3 == 0) { /* all in memory that all can have */
        c.send_memory = c.recv_memory = CASE_SYMMETRIC;
    }
    if (ranks_random(&own) % 4 == 0) {
        c.send_offset = (unsigned)(ranks_random(&own) % 64);
        c.recv_offset = (unsigned)(ranks_random(&own) % 64);
    }
    c.count = pick_nbytes(&state) / whorl_dtype_nbytes(c.dtype);
    return c;
}

static void play(struct rank *rank)
{
    const uint64_t *seed = rank->arg;
    for (int i = 0; i < NCASES; i++) {
        struct coll_case c = deal(*seed, i, rank);
        case_do(rank, rank->comm, &c);
    }
}

static void play_everywhere(int nprocesses, int nthreads)
{
    uint64_t seed = ranks_seed() + (uint64_t)(nprocesses * 100 + nthreads);
    fprintf(stderr, "WHORL_TESTS_SEED=%llu\n", (unsigned long long)ranks_seed());
    for (int e = 0; e < NEXECUTORS; e++) {
        cr_log_info("%s %s, %d processes of %d threads", executors[e][0], executors[e][1],
                    nprocesses, nthreads);
        ranks_run(&(struct ranks_job){
            .nprocesses = nprocesses,
            .nthreads = nthreads,
            .run = play,
            .arg = &seed,
            .env = executors[e],
        });
    }
}

Test(executors, give_the_same_results_to_processes)
{
    play_everywhere(2, 1);
    play_everywhere(3, 1);
    play_everywhere(5, 1);
}

Test(executors, give_the_same_results_to_threads)
{
    play_everywhere(1, 1);
    play_everywhere(1, 2);
    play_everywhere(1, 4);
}

Test(executors, give_the_same_results_to_threads_of_several_processes)
{
    play_everywhere(2, 2);
    play_everywhere(3, 2);
}
