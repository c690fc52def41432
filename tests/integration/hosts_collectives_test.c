/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every collective on jobs of several hosts, against an independent reference.
 *
 * Each layout of ranks over hosts is dealt cases in which every collective meets counts from none
 * to a few MiB, odd ones, every root, both placements, and every pair of datatype and reduction.
 * The seed decides; WHORL_TESTS_SEED sets another.
 */
#include "harness/cases.h"
#include "harness/hosts.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOPS = VALUES_PREMUL + 1, NPAIRS = WHORL_DTYPE_COUNT * NOPS, NHOSTS = 4 };

/* How ranks lie on hosts. */
struct layout {
    const char *name;
    int nprocesses[HOSTS_MAX];
    bool round_robin;
    int nthreads;
};

static const struct layout two_by_one = {"2 hosts of 1", {1, 1}, false, 1};
static const struct layout two_by_two = {"2 hosts of 2", {2, 2}, false, 1};
static const struct layout four_by_one = {"4 hosts of 1", {1, 1, 1, 1}, false, 1};
static const struct layout uneven = {"hosts of 3, 1 and 2", {3, 1, 2}, false, 1};
static const struct layout dealt = {"hosts of 3, 1 and 2, dealt in turn", {3, 1, 2}, true, 1};
static const struct layout threads = {"2 hosts of 1 process of 2 threads", {1, 1}, false, 2};

static struct hosts *hosts;

static void make_hosts(void)
{
    hosts = hosts_create(NHOSTS, NULL);
}

static void remove_hosts(void)
{
    hosts_destroy(hosts);
}

static void run_on(const struct layout *layout, void (*run)(struct rank *), const void *arg)
{
    struct hosts_job job = {
        .job = {.run = run, .arg = arg, .nthreads = layout->nthreads},
        .hosts = hosts,
        .round_robin = layout->round_robin,
    };
    memcpy(job.nprocesses, layout->nprocesses, sizeof(job.nprocesses));
    cr_log_info("%s", layout->name);
    hosts_run(&job);
}

static uint64_t announced_seed(void)
{
    uint64_t seed = ranks_seed();
    fprintf(stderr, "WHORL_TESTS_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* ---- cases ---------------------------------------------------------------------------------- */

/* Bytes in the call's larger buffer, about; 3 stands for counts from 0 to 3. */
static const size_t sizes[] = {3, 300, 5000, 70000, 300001};
enum { NSIZES = sizeof(sizes) / sizeof(sizes[0]) };

/* Case i: kinds first, then sizes, so that the first CASE_KINDS * NSIZES are their product. */
static struct coll_case deal(uint64_t seed, int i, int nranks)
{
    uint64_t state = seed + (uint64_t)i * 1000003;
    uint64_t pair = (seed + (uint64_t)i * 29) % NPAIRS; /* 29 has no factor of NPAIRS */
    struct coll_case c = {
        .kind = (enum case_kind)(i % CASE_KINDS),
        .dtype = (whorl_dtype_t)(pair % WHORL_DTYPE_COUNT),
        .op = (int)(pair / WHORL_DTYPE_COUNT),
        .root = i / CASE_KINDS % nranks,
        .in_place = ranks_random(&state) % 2 == 0,
        .seed = ranks_random(&state),
    };
    if (ranks_random(&state) % 2 == 0) {
        c.send_offset = (unsigned)(ranks_random(&state) % 16);
        c.recv_offset = (unsigned)(ranks_random(&state) % 16);
    }
    size_t nbytes = sizes[i / CASE_KINDS % NSIZES];
    c.count = 1;
    c.count = nbytes == 3 ? ranks_random(&state) % 4
                          : nbytes / case_buffer_nbytes(&c, nranks) + ranks_random(&state) % 7;
    return c;
}

static void play(struct rank *rank)
{
    const uint64_t *seed = rank->arg;
    int ncases = CASE_KINDS * NSIZES * (RANKS_SLOW_BUILD ? 1 : 2);
    for (int i = 0; i < ncases; i++) {
        struct coll_case c = deal(*seed, i, rank->nranks);
        case_do(rank, rank->comm, &c);
    }
}

static void play_on(const struct layout *layout)
{
    uint64_t seed = announced_seed() + (uint64_t)layout->nprocesses[0] * 7;
    run_on(layout, play, &seed);
}

TestSuite(hosts_collectives, .init = make_hosts, .fini = remove_hosts);

Test(hosts_collectives, are_right_on_two_hosts_of_one)
{
    play_on(&two_by_one);
}

Test(hosts_collectives, are_right_on_two_hosts_of_two)
{
    play_on(&two_by_two);
}

Test(hosts_collectives, are_right_on_four_hosts_of_one)
{
    play_on(&four_by_one);
}

Test(hosts_collectives, are_right_on_uneven_hosts)
{
    play_on(&uneven);
}

Test(hosts_collectives, are_right_where_ranks_of_a_host_are_no_neighbours)
{
    play_on(&dealt);
}

Test(hosts_collectives, are_right_where_ranks_are_threads)
{
    play_on(&threads);
}

/* ---- all pairs of datatype and reduction ---------------------------------------------------- */

static void play_all_pairs(struct rank *rank)
{
    static const enum case_kind kinds[] = {CASE_ALL_REDUCE, CASE_REDUCE_SCATTER, CASE_REDUCE};
    for (int pair = 0; pair < NPAIRS; pair++) {
        struct coll_case c = {
            .kind = kinds[pair % 3],
            .count = 1501,
            .dtype = (whorl_dtype_t)(pair % WHORL_DTYPE_COUNT),
            .op = pair / WHORL_DTYPE_COUNT,
            .root = pair % rank->nranks,
            .in_place = pair % 2 == 0,
            .seed = 77 + (uint64_t)pair,
        };
        case_do(rank, rank->comm, &c);
        c.kind = CASE_ALL_REDUCE;
        c.count = 3;
        case_do(rank, rank->comm, &c);
    }
}

Test(hosts_collectives, reduce_every_datatype_with_every_reduction)
{
    run_on(&two_by_one, play_all_pairs, NULL);
    run_on(&two_by_two, play_all_pairs, NULL);
    run_on(&uneven, play_all_pairs, NULL);
}

/* ---- large ---------------------------------------------------------------------------------- */

static void play_large(struct rank *rank)
{
    size_t nelems = ((size_t)4 << 20) / sizeof(float) + 1;
    for (int kind = 0; kind < CASE_KINDS; kind++) {
        struct coll_case c = {
            .kind = (enum case_kind)kind, .dtype = WHORL_FLOAT32, .count = 1, .root = 1, .seed = 3};
        size_t nblocks = case_buffer_nbytes(&c, rank->nranks) / sizeof(float);
        c.count = nelems / nblocks;
        c.in_place = kind % 2 == 0;
        case_do(rank, rank->comm, &c);
    }
}

Test(hosts_collectives, are_right_for_some_mebibytes)
{
    run_on(&two_by_one, play_large, NULL);
    run_on(&two_by_two, play_large, NULL);
    run_on(&uneven, play_large, NULL);
}

/* ---- the same bits everywhere --------------------------------------------------------------- */

static uint64_t hash_bytes(const void *bytes, size_t nbytes)
{
    const unsigned char *at = bytes;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < nbytes; i++) {
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* Sums of floats that no two orders of adding give alike. */
static void compare_bits(struct rank *rank)
{
    static const size_t counts[] = {1, 5, 1000, 30001, 400003};
    for (int i = 0; i < 5; i++) {
        size_t n = counts[i];
        float *x = malloc(n * sizeof(*x));
        RANK_CHECK(rank, x != NULL, "no memory");
        uint64_t state = (uint64_t)rank->rank * 1000 + (uint64_t)i;
        for (size_t k = 0; k < n; k++) {
            double u = (double)(ranks_random(&state) >> 11) / (double)(UINT64_C(1) << 53);
            x[k] = (float)((u - 0.5) * (k % 3 == 0 ? 1e6 : 1e-3));
        }
        rank_at(rank, "sums %zu floats", n);
        RANK_OK(rank, whorl_all_reduce(x, x, n, WHORL_FLOAT32, WHORL_SUM, rank->comm, NULL));
        int64_t hash = (int64_t)hash_bytes(x, n * sizeof(*x));
        if (rank->rank == 0) {
            atomic_store(rank_cell(rank, i), hash);
        }
        rank_meet(rank);
        RANK_CHECK(rank, hash == atomic_load(rank_cell(rank, i)),
                   "the sum of %zu floats is not what rank 0 has", n);
        free(x);
    }
}

Test(hosts_collectives, give_every_rank_the_same_bits)
{
    run_on(&two_by_one, compare_bits, NULL);
    run_on(&two_by_two, compare_bits, NULL);
    run_on(&four_by_one, compare_bits, NULL);
    run_on(&uneven, compare_bits, NULL);
    run_on(&dealt, compare_bits, NULL);
}

/* ---- over a slow network -------------------------------------------------------------------- */

/* Shapes the timing of everything: data comes in pieces, and long after it was sent. */
static void play_slowly(struct rank *rank)
{
    for (int kind = 0; kind < CASE_KINDS; kind++) {
        struct coll_case c = {
            .kind = (enum case_kind)kind, .dtype = WHORL_FLOAT16, .count = 9001, .seed = 9};
        case_do(rank, rank->comm, &c);
    }
}

Test(hosts_slow, collectives_are_right_on_a_slow_network)
{
    hosts = hosts_create(3, "50mbit");
    run_on(&uneven, play_slowly, NULL);
    remove_hosts();
}
