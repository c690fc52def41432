/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that fit their slots: one wait, and none for who receives nothing. */
#include "world.h"

static struct call_spec spec_of(enum wh_coll coll, size_t nbytes)
{
    return (struct call_spec){.coll = coll, .count = nbytes, .dtype = WHORL_INT8, .seed = nbytes};
}

/* Around the line that also holds the tag, byte by byte. */
Test(small, every_byte_count_around_a_line_is_right)
{
    struct world world;
    world_open(&world, 2, false, 9);
    for (size_t nbytes = 0; nbytes <= 130; nbytes++) {
        for (int coll = 0; coll < WH_COLL_SEND; coll++) {
            struct call_spec spec = spec_of((enum wh_coll)coll, nbytes);
            spec.root = nbytes % 2;
            world_do(&world, &spec);
        }
    }
    world_close(&world);
}

/* Nobody has to advance twice once all are there. */
Test(small, a_small_call_costs_one_wait)
{
    for (int coll = 0; coll < WH_COLL_SEND; coll++) {
        struct world world;
        struct call_spec spec = spec_of((enum wh_coll)coll, 64);
        struct call *call = call_create(&spec, 4);
        struct world_drive d = {.world = &world, .calls = &call, .ncalls = 1};
        bool moved = false;
        world_open(&world, 4, false, 1);
        cr_assert_eq(world_sweep(&d, &moved), WHORL_OK);
        cr_assert_eq(world_sweep(&d, &moved), WHORL_OK);
        cr_expect_eq(d.ndone, 4, "%s: %u of 4 ranks are done", wh_coll_str(spec.coll), d.ndone);
        call_check(call);
        call_destroy(call);
        world_close(&world);
    }
}

Test(small, who_receives_nothing_waits_for_nobody)
{
    static const enum wh_coll colls[] = {WH_COLL_BROADCAST, WH_COLL_SCATTER, WH_COLL_REDUCE,
                                         WH_COLL_GATHER};
    for (size_t i = 0; i < ARRAY_LEN(colls); i++) {
        struct world world;
        struct call_spec spec = spec_of(colls[i], 40);
        struct call *call = call_create(&spec, 3);
        struct world_drive d = {.world = &world, .calls = &call, .ncalls = 1};
        bool moved = false;
        world_open(&world, 3, false, 1);
        bool root_waits = call_is_to_root(colls[i]);
        for (uint32_t r = 0; r < 3; r++) {
            cr_assert_eq(world_exhaust(&d, r, &moved), WHORL_OK);
            /* The root comes first: it sends and is done, or waits for the others. */
            cr_expect_eq(d.next[r], r == 0 && root_waits ? 0 : 1, "%s: rank %u",
                         wh_coll_str(colls[i]), r);
        }
        cr_assert_eq(world_exhaust(&d, 0, &moved), WHORL_OK);
        cr_expect_eq(d.ndone, 3);
        call_check(call);
        call_destroy(call);
        world_close(&world);
    }
}

/* What a root brings for two or more goes through slots up to half a chunk, through staging above:
 * both in a row, with calls of everyone's in between. */
Test(small, a_root_brings_up_to_half_a_chunk)
{
    static const enum wh_coll colls[] = {WH_COLL_BROADCAST, WH_COLL_SCATTER, WH_COLL_ALL_REDUCE};
    enum { HALF = ARENA_DATA_NBYTES, NCALLS = 12 };
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct world world;
        struct call *calls[NCALLS];
        uint32_t n = 3 + (uint32_t)(seed % 3);
        uint64_t state = seed;
        world_open_with(&world, n, &(struct world_options){.chunk_nbytes = 2 * HALF, .seed = seed});
        for (uint32_t i = 0; i < NCALLS; i++) {
            uint64_t h = ref_random(&state);
            struct call_spec spec = spec_of(colls[h % ARRAY_LEN(colls)], HALF);
            size_t per_rank = spec.coll == WH_COLL_SCATTER ? spec.count / n : spec.count;
            spec.count = h >> 60 < 8 ? per_rank + (h >> 8) % 3 - 1 : (h >> 8) % (2 * per_rank);
            spec.root = (uint32_t)(h >> 40) % n;
            calls[i] = call_create(&spec, n);
        }
        world_play(&world, calls, NCALLS);
        for (uint32_t i = 0; i < NCALLS; i++) {
            call_destroy(calls[i]);
        }
        world_close(&world);
    }
}

Test(small, one_rank_alone_copies)
{
    for (int coll = 0; coll < WH_COLL_SEND; coll++) {
        for (int redop = 0; redop <= WH_REDOP_USER; redop++) {
            struct call_spec spec = spec_of((enum wh_coll)coll, 100);
            spec.dtype = WHORL_BFLOAT16;
            spec.redop = (uint8_t)redop;
            spec.in_place = redop % 2;
            world_do_alone(1, redop % 3 == 0, &spec);
        }
    }
}

/* Once round the slots they are the ranks' own, the next time the other one's: see exchange.c. */
Test(small, two_ranks_write_where_they_have_read)
{
    enum { NBYTES = 1000 };
    struct world world;
    world_open(&world, 2, false, 5);
    for (uint32_t seq = 1; seq <= 3 * ARENA_NSLOTS; seq++) {
        bool is_swapped = seq / ARENA_NSLOTS % 2 == 1;
        struct call_spec spec = spec_of(seq % 2 ? WH_COLL_ALL_GATHER : WH_COLL_ALL_REDUCE, NBYTES);
        spec.seed = seq;
        struct call *call = call_create(&spec, 2);
        uint8_t input[2][NBYTES];
        for (uint32_t r = 0; r < 2; r++) {
            memcpy(input[r], call->ranks[r].op.input, NBYTES);
        }
        world_play(&world, &call, 1);
        cr_assert_eq(world.arenas[0]->seq, seq);
        for (uint32_t r = 0; r < 2; r++) {
            const struct arena_slot *slot =
                arena_slot(world.arenas[0], is_swapped ? 1 - r : r, seq);
            cr_expect_arr_eq(slot->data, input[r], NBYTES, "call %u, rank %u", seq, r);
        }
        call_destroy(call);
    }
    world_close(&world);
}
