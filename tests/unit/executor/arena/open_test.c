/* SPDX-License-Identifier: Apache-2.0 */
/* How a long operation begins: some buffers can be addressed, some not, some not any more. */
#include "world.h"

Test(open, ranks_with_and_without_shared_buffers_work_together)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct world world;
        uint32_t n = 2 + (uint32_t)(seed % 4);
        world_open(&world, n, false, seed);
        for (int coll = 0; coll < WH_COLL_SEND; coll++) {
            struct call_spec spec = {.coll = (enum wh_coll)coll,
                                     .count = 9000,
                                     .dtype = WHORL_BFLOAT16,
                                     .memory = CALL_MIXED,
                                     .root = (uint32_t)(seed % n),
                                     .in_place = seed % 3 == 0,
                                     .seed = seed * 100 + (uint64_t)coll};
            world_do(&world, &spec);
        }
        world_close(&world);
    }
}

/* Shared, private and mixed ones in a row, without a barrier in between. */
Test(open, calls_of_all_kinds_of_memory_follow_one_another)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct world world;
        struct call *calls[16];
        world_open(&world, 3, false, seed);
        for (uint32_t i = 0; i < 16; i++) {
            uint64_t state = seed * 16 + i;
            uint64_t h = ref_random(&state);
            struct call_spec spec = {.coll = (enum wh_coll)(h % WH_COLL_SEND),
                                     .count = 3000 + h % 5000,
                                     .dtype = WHORL_INT32,
                                     .memory = (enum call_memory)(h >> 20) % 3,
                                     .root = (uint32_t)(h >> 30) % 3,
                                     .in_place = h >> 40 & 1,
                                     .seed = h};
            calls[i] = call_create(&spec, 3);
        }
        world_play(&world, calls, 16);
        for (uint32_t i = 0; i < 16; i++) {
            call_destroy(calls[i]);
        }
        world_close(&world);
    }
}

/* A peer that cannot map a window makes everyone take the private way, for good. */
Test(open, a_window_that_a_peer_cannot_map_is_staged)
{
    for (int coll = 0; coll < WH_COLL_SEND; coll++) {
        struct world world;
        struct call_spec spec = {.coll = (enum wh_coll)coll,
                                 .count = 5000,
                                 .dtype = WHORL_INT32,
                                 .memory = CALL_SHARED,
                                 .seed = 8};
        struct call *call = call_create(&spec, 3);
        world_open(&world, 3, false, 1);
        struct world_drive d = {.world = &world, .calls = &call, .ncalls = 1};
        bool moved = false;
        cr_assert_eq(world_step(&d, 2, &moved), WHORL_OK);
        struct arena_record record;
        arena_read_record(world.arenas[2], 2, &record);
        if (!wh_coll_is_v((enum wh_coll)coll) && record.reach == ARENA_MAPPED && record.new_send) {
            /* Nobody has a file like that. */
            struct wh_window_record *window = (void *)arena_slot(world.arenas[2], 2, 1)->data;
            window->ino ^= 1;
            window->pid = 0;
        }
        cr_assert_eq(world_drive(&d), WHORL_OK, "%s", wh_error_get());
        call_check(call);
        world_play(&world, &call, 1);
        call_destroy(call);
        world_close(&world);
    }
}

/* Has rank 0 staged anything? */
static bool has_staged(uint32_t n, enum wh_coll coll, size_t nbytes)
{
    struct world world;
    bool is_block = coll != WH_COLL_ALL_REDUCE && coll != WH_COLL_BROADCAST;
    struct call_spec spec = {.coll = coll,
                             .count = is_block ? nbytes / n : nbytes,
                             .dtype = WHORL_INT8,
                             .memory = CALL_SHARED,
                             .seed = nbytes};
    world_open_with(&world, n, &(struct world_options){.direct_nbytes = 1 << 20, .seed = nbytes});
    world_do(&world, &spec);
    bool staged = world.arenas[0]->has_staged;
    world_close(&world);
    return staged;
}

/* Short vectors are staged although they could be read where they are. */
Test(open, shared_buffers_are_read_where_they_are_from_some_length_on)
{
    static const enum wh_coll blocks[] = {WH_COLL_ALL_GATHER, WH_COLL_REDUCE_SCATTER,
                                          WH_COLL_ALL_TO_ALL};
    const size_t most = 1 << 20;
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
        cr_expect(has_staged(2, blocks[i], most - 2), "%s", wh_coll_str(blocks[i]));
        cr_expect(!has_staged(2, blocks[i], most), "%s", wh_coll_str(blocks[i]));
        cr_expect(has_staged(4, blocks[i], most / 8 - 4), "%s", wh_coll_str(blocks[i]));
        cr_expect(!has_staged(4, blocks[i], most / 8), "%s", wh_coll_str(blocks[i]));
    }
    cr_expect(has_staged(2, WH_COLL_BROADCAST, most - 1));
    cr_expect(!has_staged(2, WH_COLL_BROADCAST, most));
    cr_expect(has_staged(2, WH_COLL_ALL_REDUCE, most / 8 - 1));
    cr_expect(!has_staged(2, WH_COLL_ALL_REDUCE, most / 8));
    cr_expect(!has_staged(3, WH_COLL_ALL_REDUCE, 20000));
}
