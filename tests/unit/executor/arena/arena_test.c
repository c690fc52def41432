/* SPDX-License-Identifier: Apache-2.0 */
/* Whole collectives in the arena: each of them, around every size at which something changes, and
 * long sequences of different ones without a barrier between them. */
#include "executor/arena/arena.h"
#include "world.h"

/* Bytes that a rank brings, around the places where calls take another way. */
static const size_t sizes_nbytes[] = {
    0,    1,    8,    48,   56,    57,    64,    1000,  4095,  4096,
    4097, 8191, 8192, 8193, 12288, 16383, 16384, 16385, 20000, 50001,
};

static const whorl_dtype_t dtypes[] = {WHORL_FLOAT32, WHORL_BFLOAT16, WHORL_INT8, WHORL_FLOAT64};

/* What else a call is, drawn by lot. */
static struct call_spec draw(uint64_t *random, enum wh_coll coll, uint32_t n)
{
    uint64_t h = ref_random(random);
    struct call_spec spec = {
        .coll = coll,
        .root = (uint32_t)(h % n),
        .dtype = dtypes[(h >> 8) % 4],
        .redop = (uint8_t)((h >> 16) % (WH_REDOP_USER + 1)),
        .in_place = (h >> 24) % 2,
        .has_displs = (h >> 25) % 2,
        .memory = (enum call_memory)((h >> 26) % 4), /* CALL_PRIVATE twice as often */
        .misaligned = (h >> 32) % 4 == 0 ? (unsigned)(h >> 40) % CALLS_MISALIGNED_MAX : 0,
        .seed = ref_random(random),
    };
    spec.memory = spec.memory > CALL_MIXED ? CALL_PRIVATE : spec.memory;
    return spec;
}

/* Elements so that a rank brings about nbytes. */
static size_t count_for(enum wh_coll coll, whorl_dtype_t dtype, uint32_t n, size_t nbytes,
                        bool per_block)
{
    size_t elem = wh_dtype_nbytes(dtype);
    size_t nblocks = call_is_per_dest(coll) && !per_block ? n : 1;
    return (nbytes + elem * nblocks - 1) / (elem * nblocks);
}

/* Every size, or one in so many. */
static void play_sizes(uint32_t n, bool is_one_process, uint64_t seed, size_t one_in)
{
    struct world world;
    uint64_t random = seed;
    world_open(&world, n, is_one_process, seed);
    for (size_t i = seed % one_in; i < ARRAY_LEN(sizes_nbytes); i += one_in) {
        for (int coll = 0; coll < WH_COLL_SEND; coll++) {
            struct call_spec spec = draw(&random, (enum wh_coll)coll, n);
            bool per_block = n < 10 && ref_random(&random) % 2;
            spec.count = count_for(spec.coll, spec.dtype, n, sizes_nbytes[i], per_block);
            world_do(&world, &spec);
        }
    }
    world_close(&world);
}

Test(arena, every_collective_is_right_for_all_sizes_and_few_ranks)
{
    for (uint32_t n = 1; n <= 9; n++) {
        play_sizes(n, false, n, 1);
        play_sizes(n, true, 100 + n, 1);
    }
}

Test(arena, every_collective_is_right_for_all_sizes_and_many_ranks)
{
    play_sizes(16, false, 16, 3);
    play_sizes(33, true, 33, 5);
    play_sizes(33, false, 34, 5);
}

/* Different calls, back to back: ranks that receive nothing run ahead of the others. */
static void play_sequence(uint32_t n, bool is_one_process, uint64_t seed, uint32_t ncalls)
{
    struct world world;
    struct call *calls[64];
    uint64_t random = seed;
    world_open(&world, n, is_one_process, seed);
    for (uint32_t i = 0; i < ncalls; i++) {
        enum wh_coll coll = (enum wh_coll)(ref_random(&random) % WH_COLL_SEND);
        struct call_spec spec = draw(&random, coll, n);
        size_t nbytes = sizes_nbytes[ref_random(&random) % ARRAY_LEN(sizes_nbytes)];
        spec.count = count_for(coll, spec.dtype, n, nbytes, false);
        calls[i] = call_create(&spec, n);
    }
    world_play(&world, calls, ncalls);
    for (uint32_t i = 0; i < ncalls; i++) {
        call_destroy(calls[i]);
    }
    world_close(&world);
}

Test(arena, sequences_of_different_collectives_are_right_in_any_interleaving)
{
    for (uint64_t seed = 0; seed < 100; seed++) {
        play_sequence(2 + (uint32_t)(seed % 6), seed % 3 == 0, 1000 + seed, 30);
    }
}

/* Rooted ones only, for which some ranks wait for nobody. */
Test(arena, rooted_collectives_may_run_ahead)
{
    static const enum wh_coll colls[] = {WH_COLL_BROADCAST, WH_COLL_REDUCE,   WH_COLL_GATHER,
                                         WH_COLL_SCATTER,   WH_COLL_GATHER_V, WH_COLL_SCATTER_V};
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct world world;
        struct call *calls[50];
        uint64_t random = seed;
        uint32_t n = 2 + (uint32_t)(seed % 4);
        world_open(&world, n, seed % 2, seed);
        for (uint32_t i = 0; i < 50; i++) {
            struct call_spec spec = draw(&random, colls[ref_random(&random) % 6], n);
            bool is_small = ref_random(&random) % 4 != 0;
            spec.root = ref_random(&random) % 3 == 0 ? spec.root : 0;
            spec.count = (is_small ? 3 : 5000) / (call_is_per_dest(spec.coll) ? n : 1);
            calls[i] = call_create(&spec, n);
        }
        world_play(&world, calls, 50);
        for (uint32_t i = 0; i < 50; i++) {
            call_destroy(calls[i]);
        }
        world_close(&world);
    }
}

/* Puts all ranks where they are after `seq` calls. */
static void pretend_calls(struct world *world, uint32_t seq)
{
    for (uint32_t r = 0; r < world->n; r++) {
        struct wh_arena *a = world->arenas[r];
        a->seq = a->all_entered = seq;
        for (uint32_t back = 0; back < ARENA_NSLOTS; back++) {
            atomic_store(&arena_slot(a, r, seq - back)->tag, (uint64_t)(seq - back) << 32);
        }
        a->steps = UINT64_MAX - 20;
        atomic_store(&arena_head(a, r)->progress, a->steps);
    }
}

Test(arena, counters_of_calls_and_steps_may_wrap_around)
{
    struct world world;
    uint64_t random = 5;
    world_open(&world, 3, false, 5);
    pretend_calls(&world, UINT32_MAX - 10);
    for (uint32_t i = 0; i < 40; i++) {
        struct call_spec spec = draw(&random, (enum wh_coll)(i % WH_COLL_SEND), 3);
        spec.count = i % 3 == 0 ? 5 : 4000;
        world_do(&world, &spec);
    }
    world_close(&world);
}

Test(arena, tells_how_much_memory_it_takes)
{
    struct world world;
    world_open(&world, 4, false, 1);
    struct wh_arena *a = world.arenas[1];
    struct call_spec spec = {.coll = WH_COLL_ALL_REDUCE, .count = 100, .dtype = WHORL_INT32};
    world_do(&world, &spec);
    uint64_t small = wh_arena_memory_nbytes(a);
    cr_expect_lt(small, 64 * 1024 + ARENA_NSLOTS * 2 * ARENA_DATA_NBYTES);
    spec.count = 100000;
    world_do(&world, &spec);
    uint64_t large = wh_arena_memory_nbytes(a);
    cr_expect_geq(large, small + 2 * WORLD_CHUNK_NBYTES);
    cr_expect_leq(large, wh_arena_region_nbytes(4, WORLD_CHUNK_NBYTES) + 64 * 1024);
    world_close(&world);
}

Test(arena, a_region_has_room_for_what_ranks_write)
{
    static const uint32_t ns[] = {1, 2, 33, 64, 1000};
    for (size_t i = 0; i < ARRAY_LEN(ns); i++) {
        size_t chunk = 4096 + 1024 * 128 * i;
        size_t nbytes = wh_arena_region_nbytes(ns[i], chunk);
        cr_expect_eq(nbytes % WH_REGION_ALIGN_NBYTES, 0);
        cr_expect_gt(nbytes, 2 * chunk + ARENA_NSLOTS * (ARENA_DATA_NBYTES + 8 * ns[i]));
    }
}

Test(arena, destroy_takes_null)
{
    wh_arena_destroy(NULL);
}
