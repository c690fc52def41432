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
