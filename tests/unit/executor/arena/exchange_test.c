/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks through staging: every count around every number of chunks. */
#include "world.h"

static const enum wh_coll colls[] = {WH_COLL_ALL_GATHER, WH_COLL_REDUCE_SCATTER, WH_COLL_BROADCAST,
                                     WH_COLL_ALL_TO_ALL, WH_COLL_GATHER,         WH_COLL_SCATTER};

static void play(uint32_t n, size_t block_nbytes)
{
    struct world world;
    world_open(&world, n, false, block_nbytes);
    for (size_t i = 0; i < ARRAY_LEN(colls); i++) {
        for (uint32_t k = 0; k < 2; k++) {
            struct call_spec spec = {.coll = colls[i],
                                     .count = block_nbytes / 4,
                                     .dtype = WHORL_FLOAT32,
                                     .root = (n - 1) * k,
                                     .in_place = k == 1,
                                     .seed = block_nbytes + i};
            world_do(&world, &spec);
        }
    }
    world_close(&world);
}

Test(exchange, blocks_are_right_around_the_edges_of_chunks_and_parts)
{
    static const uint32_t ns[] = {2, 3, 5, 8};
    for (size_t i = 0; i < ARRAY_LEN(ns); i++) {
        size_t part = WORLD_CHUNK_NBYTES / (ns[i] - 1) / 64 * 64;
        size_t edges[] = {2 * WORLD_CHUNK_NBYTES, 3 * WORLD_CHUNK_NBYTES, 4 * part, 9 * part};
        for (size_t e = 0; e < ARRAY_LEN(edges); e++) {
            play(ns[i], edges[e] - 4);
            play(ns[i], edges[e]);
            play(ns[i], edges[e] + 4);
        }
    }
}

/* As many ranks as leave a part of one line each. */
Test(exchange, parts_may_be_as_small_as_a_line)
{
    struct world world;
    world_open(&world, 40, false, 3); /* 105 bytes of a chunk for each of 39 blocks */
    for (size_t i = 0; i < ARRAY_LEN(colls); i++) {
        struct call_spec spec = {
            .coll = colls[i], .count = 9000, .dtype = WHORL_INT8, .root = 39, .seed = i};
        world_do(&world, &spec);
    }
    world_close(&world);
}

/* Leaves each rank behind in turn at every chunk: nobody may overwrite what it has not taken. */
Test(exchange, nobody_overwrites_what_the_slowest_has_not_taken)
{
    for (uint64_t seed = 0; seed < 120; seed++) {
        struct world world;
        uint32_t n = 2 + (uint32_t)(seed % 4);
        world_open(&world, n, false, seed);
        struct call_spec spec = {.coll = colls[seed % ARRAY_LEN(colls)],
                                 .count = 20001,
                                 .dtype = WHORL_INT8,
                                 .root = (uint32_t)(seed / 7 % n),
                                 .seed = seed};
        struct call *calls[4];
        for (uint32_t i = 0; i < 4; i++) {
            spec.root = (spec.root + 1) % n;
            spec.count += 777;
            calls[i] = call_create(&spec, n);
        }
        world_play(&world, calls, 4);
        for (uint32_t i = 0; i < 4; i++) {
            call_destroy(calls[i]);
        }
        world_close(&world);
    }
}

/* Of three calls that take a buffer each the third is in the place of the first, where each rank
 * has then written what the other one had: see exchange.c. */
Test(exchange, two_ranks_write_where_they_have_read)
{
    enum { NBYTES = 3 * WORLD_CHUNK_NBYTES }; /* longer than what goes through slots */
    static const enum wh_coll both[] = {WH_COLL_ALL_REDUCE, WH_COLL_ALL_GATHER};
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        struct world world;
        struct call_spec spec = {
            .coll = both[i], .count = NBYTES, .dtype = WHORL_UINT8, .redop = WHORL_SUM};
        world_open_with(&world, 2, &(struct world_options){.chunk_nbytes = 4 * WORLD_CHUNK_NBYTES});
        for (uint32_t k = 0; k < 5; k++) {
            spec.seed = 10 * i + k;
            struct call *call = call_create(&spec, 2);
            uint8_t input[2][NBYTES];
            for (uint32_t r = 0; r < 2; r++) {
                memcpy(input[r], call->ranks[r].op.input, sizeof(input[r]));
            }
            world_play(&world, &call, 1);
            for (uint32_t r = 0; r < 2; r++) {
                uint32_t owner = k / ARENA_NCHUNKS % 2 == 0 ? r : 1 - r;
                cr_expect_arr_eq(arena_staging(world.arenas[0], owner, 0), input[r],
                                 sizeof(input[r]), "%s, call %u, rank %u", wh_coll_str(both[i]), k,
                                 r);
            }
            call_destroy(call);
        }
        world_close(&world);
    }
}
