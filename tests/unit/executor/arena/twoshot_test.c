/* SPDX-License-Identifier: Apache-2.0 */
/* all_reduce and reduce through staging: chunks, slices, and ranks that are slow between them. */
#include "world.h"

static void play(uint32_t n, enum wh_coll coll, size_t count, uint8_t redop, uint64_t seed)
{
    struct call_spec spec = {.coll = coll,
                             .root = (uint32_t)(seed % n),
                             .count = count,
                             .dtype = WHORL_FLOAT32,
                             .redop = redop,
                             .in_place = seed % 2,
                             .seed = seed};
    world_do_alone(n, false, &spec);
}

Test(twoshot, vectors_are_right_around_the_edges_of_chunks)
{
    size_t chunk = WORLD_CHUNK_NBYTES / 4;
    for (uint32_t n = 2; n <= 6; n++) {
        for (size_t nchunks = 2; nchunks <= 5; nchunks++) {
            for (size_t count = nchunks * chunk - 2; count <= nchunks * chunk + 2; count++) {
                play(n, WH_COLL_ALL_REDUCE, count, WHORL_SUM, count);
                play(n, WH_COLL_REDUCE, count, WHORL_AVG, count);
            }
        }
    }
}

Test(twoshot, slices_may_be_empty)
{
    struct world world;
    world_open(&world, 40, false, 5); /* about 70 elements of a chunk, in whole lines, a rank */
    for (size_t count = 8193; count < 8193 + 640; count += 61) {
        struct call_spec spec = {
            .coll = WH_COLL_ALL_REDUCE, .count = count, .dtype = WHORL_INT8, .seed = count};
        world_do(&world, &spec);
    }
    world_close(&world);
}

/* The last chunk is shorter than the others, and a rank stages it while others still read what it
 * has combined two chunks before, in the same buffer. */
Test(twoshot, what_was_combined_stays_until_the_slowest_has_it)
{
    static const size_t counts[] = {3 * 1024 + 1, 3 * 1024 + 500, 5000, 98000, 97 * 1024 + 17};
    static const uint8_t redops[] = {WHORL_SUM, WH_REDOP_PREMUL_SUM, WH_REDOP_USER};
    for (uint64_t seed = 0; seed < 20; seed++) {
        for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
            uint32_t n = 2 + (uint32_t)(seed % 3);
            play(n, WH_COLL_ALL_REDUCE, counts[i], redops[(seed + i) % 3], seed);
            play(n, WH_COLL_REDUCE, counts[i], redops[(seed + i) % 3], seed);
        }
    }
}
