/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every collective, with every algorithm and in the arena, for 1 to 17 ranks, against an independent reference.
 *
 * The full product of kinds, algorithms, ranks, sizes, datatypes, reductions, placements and
 * alignments is far too large. Each (algorithm, rank count) is one job with its own slots and its
 * own mixture of processes and threads; a job deals a hand of cases from a shuffled deck, such that
 * every collective is in it and every pair of datatype and reduction comes up in turn. The seed
 * decides; WHORL_TESTS_SEED sets another.
 */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { NOPS = VALUES_PREMUL + 1, NPAIRS = WHORL_DTYPE_COUNT * NOPS };

/* One way to choose algorithms: a name for each collective that has a choice. */
static const char *const algo_settings[] = {
    "WHORL_ALGO=AllReduce:ring;AllGather:ring;ReduceScatter:ring;Broadcast:chain;Reduce:chain",
    "WHORL_ALGO=AllReduce:tree;AllGather:circulant;ReduceScatter:circulant;Broadcast:tree;"
    "Reduce:tree",
    "WHORL_ALGO=AllReduce:doubling;AllGather:direct;ReduceScatter:direct;Broadcast:knomial;"
    "Reduce:knomial",
    "WHORL_ALGO=AllReduce:halving;AllGather:circulant;ReduceScatter:direct;Broadcast:chain;"
    "Reduce:tree",
    "WHORL_ALGO=AllReduce:oneshot;AllGather:direct;ReduceScatter:ring;Broadcast:tree;"
    "Reduce:knomial",
    "WHORL_ALGO=AllReduce:twoshot;AllGather:ring;ReduceScatter:circulant;Broadcast:knomial;"
    "Reduce:chain",
    "WHORL_ALGO=^arena",
    "WHORL_ALGO=",
};
enum { NALGO_SETTINGS = sizeof(algo_settings) / sizeof(algo_settings[0]) };

/* Small slots make many passes of few bytes. */
static const struct slots {
    size_t slot_nbytes;
    const char *buffsize, *nslots;
} slot_settings[] = {
    {1024, "WHORL_BUFFSIZE=4K", "WHORL_SLOTS=4"},     {512, "WHORL_BUFFSIZE=4K", "WHORL_SLOTS=8"},
    {4096, "WHORL_BUFFSIZE=8K", "WHORL_SLOTS=2"},     {2048, "WHORL_BUFFSIZE=4K", "WHORL_SLOTS=2"},
    {131072, "WHORL_BUFFSIZE=512K", "WHORL_SLOTS=4"},
};
enum { NSLOT_SETTINGS = sizeof(slot_settings) / sizeof(slot_settings[0]) };

struct hand {
    int ncases;
    uint64_t seed;
    size_t slot_nbytes;
    size_t nbytes_max; /* of a buffer */
};

static size_t pick_count(uint64_t *state, size_t slot_nelems, size_t nranks)
{
    const size_t counts[] = {
        0,
        1,
        7,
        1023,
        slot_nelems - 1,
        slot_nelems,
        slot_nelems + 1,
        slot_nelems / nranks + 1,
        3 * slot_nelems + 5,
        nranks * slot_nelems - 1,
        nranks * slot_nelems + 1,
        2 * nranks * slot_nelems + 3,
        ranks_random(state) % (4 * slot_nelems),
    };
    return counts[ranks_random(state) % (sizeof(counts) / sizeof(counts[0]))];
}

/* Case i of a hand; the same on every rank. */
static struct coll_case deal(const struct hand *hand, int i, int nranks)
{
    uint64_t state = hand->seed + (uint64_t)i * 1000003;
    uint64_t pair = (hand->seed + (uint64_t)i * 29) % NPAIRS; /* 29 and 72 have no common factor */
    struct coll_case c = {
        .kind = (enum case_kind)(i % CASE_KINDS),
        .dtype = (whorl_dtype_t)(pair % WHORL_DTYPE_COUNT),
        .op = (int)(pair / WHORL_DTYPE_COUNT),
        .root = (int)(ranks_random(&state) % (uint64_t)nranks),
        .in_place = ranks_random(&state) % 2 == 0,
        .seed = ranks_random(&state),
    };
    if (ranks_random(&state) % 2 == 0) {
        c.send_offset = (unsigned)(ranks_random(&state) % 16);
        c.recv_offset = (unsigned)(ranks_random(&state) % 16);
    }
    size_t elem_nbytes = whorl_dtype_nbytes(c.dtype);
    c.count = pick_count(&state, hand->slot_nbytes / elem_nbytes, (size_t)nranks);
    size_t nbytes = case_buffer_nbytes(&c, nranks);
    if (nbytes > hand->nbytes_max) {
        c.count = c.count * (hand->nbytes_max / 64) / (nbytes / 64);
    }
    return c;
}

static void play(struct rank *rank)
{
    const struct hand *hand = rank->arg;
    for (int i = 0; i < hand->ncases; i++) {
        struct coll_case c = deal(hand, i, rank->nranks);
        case_do(rank, rank->comm, &c);
    }
}

static void shuffle(uint64_t *state, struct hand *hand)
{
    hand->seed = ranks_random(state) >> 8;
}

/* Ranks as processes, as threads, or as a mixture. */
static void arrange(uint64_t *state, int nranks, struct ranks_job *job)
{
    static const int per_process[] = {1, 1, 64, 2, 3};
    int nthreads = per_process[ranks_random(state) % 5];
    if (nthreads == 64 || nranks % nthreads != 0) {
        nthreads = nthreads == 64 ? nranks : 1;
    }
    job->nthreads = nthreads;
    job->nprocesses = nranks / nthreads;
}

static void play_rank_count(uint64_t seed, int nranks)
{
    uint64_t state = seed + (uint64_t)nranks;
    for (int a = 0; a < NALGO_SETTINGS; a++) {
        bool skip = RANKS_SLOW_BUILD && (a + nranks) % 3 != 0;
        const struct slots *slots = &slot_settings[ranks_random(&state) % NSLOT_SETTINGS];
        if (slots->slot_nbytes > 4096 && nranks > 5) {
            slots = &slot_settings[a % 4];
        }
        struct hand hand = {
            .ncases = 6 * CASE_KINDS,
            .slot_nbytes = slots->slot_nbytes,
            .nbytes_max = (nranks > 8 ? 256 : 1024) * 1024,
        };
        shuffle(&state, &hand);
        const char *env[] = {algo_settings[a], slots->buffsize, slots->nslots, NULL};
        struct ranks_job job = {.run = play, .arg = &hand, .env = env};
        arrange(&state, nranks, &job);
        if (!skip) {
            cr_log_info("seed %llu, %s, %s, %s", (unsigned long long)seed, env[0], env[1], env[2]);
            ranks_run(&job);
        }
    }
}

static uint64_t announced_seed(void)
{
    uint64_t seed = ranks_seed();
    fprintf(stderr, "WHORL_TESTS_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

Test(collectives, are_right_for_one_to_four_ranks)
{
    uint64_t seed = announced_seed();
    for (int nranks = 1; nranks <= 4; nranks++) {
        play_rank_count(seed, nranks);
    }
}

Test(collectives, are_right_for_five_to_nine_ranks)
{
    uint64_t seed = announced_seed();
    for (int nranks = 5; nranks <= 9; nranks++) {
        play_rank_count(seed, nranks);
    }
}

Test(collectives, are_right_for_ten_to_thirteen_ranks)
{
    uint64_t seed = announced_seed();
    for (int nranks = 10; nranks <= 13; nranks++) {
        play_rank_count(seed, nranks);
    }
}

Test(collectives, are_right_for_fourteen_to_seventeen_ranks)
{
    uint64_t seed = announced_seed();
    for (int nranks = 14; nranks <= 17; nranks++) {
        play_rank_count(seed, nranks);
    }
}

/* Every datatype with every reduction, through the collectives that reduce. */
static void play_all_pairs(struct rank *rank)
{
    static const enum case_kind kinds[] = {CASE_ALL_REDUCE, CASE_REDUCE_SCATTER, CASE_REDUCE};
    for (int pair = 0; pair < NPAIRS; pair++) {
        for (int k = 0; k < 3; k++) {
            struct coll_case c = {
                .kind = kinds[k],
                .count = 1500,
                .dtype = (whorl_dtype_t)(pair % WHORL_DTYPE_COUNT),
                .op = pair / WHORL_DTYPE_COUNT,
                .root = pair % rank->nranks,
                .in_place = pair % 2 == 0,
                .seed = 77 + (uint64_t)pair,
            };
            case_do(rank, rank->comm, &c);
        }
    }
}

Test(collectives, reduce_every_datatype_with_every_reduction)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = play_all_pairs});
    ranks_run(&(struct ranks_job){.nthreads = 2, .run = play_all_pairs});
    ranks_run(&(struct ranks_job){.run = play_all_pairs});
}

/* The default slots, a byte around their edges, for each collective. */
static void play_slot_edges(struct rank *rank)
{
    static const size_t counts[] = {131071, 131072, 131073, 4 * 131072 + 1, 3 * 4 * 131072 - 1};
    for (int i = 0; i < 5; i++) {
        for (int kind = 0; kind < CASE_BARRIER; kind++) {
            struct coll_case c = {
                .kind = (enum case_kind)kind,
                .count = counts[i],
                .dtype = WHORL_UINT8,
                .op = WHORL_SUM,
                .root = kind % rank->nranks,
                .in_place = (i + kind) % 2 == 0,
                .seed = 5 + (uint64_t)i,
            };
            case_do(rank, rank->comm, &c);
        }
    }
}

Test(collectives, are_right_a_byte_around_the_edges_of_default_slots)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = play_slot_edges});
    ranks_run(&(struct ranks_job){.nthreads = 4, .run = play_slot_edges});
}

static void play_large(struct rank *rank)
{
    size_t nelems = ((size_t)64 << 20) / 4;
    for (int kind = CASE_ALL_REDUCE; kind < CASE_BARRIER; kind++) {
        bool blocks = kind == CASE_ALL_GATHER || kind == CASE_REDUCE_SCATTER;
        struct coll_case c = {
            .kind = kind,
            .count = blocks ? nelems / (size_t)rank->nranks : nelems,
            .dtype = WHORL_FLOAT32,
            .op = WHORL_SUM,
            .root = 1,
            .seed = 3,
        };
        case_do(rank, rank->comm, &c);
    }
}

Test(collectives, are_right_for_64_mebibytes)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = play_large});
}

/* NaN in one rank's input is in every rank's maximum. */
static void spread_nan(struct rank *rank)
{
    float mine[3] = {1, rank->rank == 1 ? __builtin_nanf("") : 2, 3};
    float all[3] = {0};
    for (whorl_redop_t op = WHORL_MAX; op <= WHORL_MIN; op++) {
        RANK_OK(rank, whorl_all_reduce(mine, all, 3, WHORL_FLOAT32, op, rank->comm, NULL));
        RANK_CHECK(rank, all[0] == 1 && all[2] == 3, "numbers beside a NaN are wrong");
        RANK_CHECK(rank, all[1] != all[1], "the NaN is lost: %g", (double)all[1]);
    }
}

Test(collectives, keep_a_nan_of_any_rank_in_maximum_and_minimum)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = spread_nan});
}

static void want_unknown_algorithm(struct rank *rank)
{
    whorl_id_t id = rank_job_id(rank);
    RANK_EXPECT(rank, WHORL_E_CONFIG, whorl_comm_create(1, 0, &id, NULL, &rank->comm));
    RANK_TEXT(rank, whorl_last_error(NULL), "circle");
    RANK_TEXT(rank, whorl_last_error(NULL), "ring");
}

Test(collectives, of_an_unknown_algorithm_are_refused_with_the_known_ones_named)
{
    static const char *const env[] = {"WHORL_ALGO=circle", NULL};
    ranks_run(&(struct ranks_job){.run = want_unknown_algorithm, .env = env, .no_comm = true});
}
