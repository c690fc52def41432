/* SPDX-License-Identifier: Apache-2.0 */
/* Large blocks out of each other's memory. All ranks are this process, which may read itself. */
#include "world.h"

enum { LARGE_NELEMS = WORLD_CMA_NBYTES + 1234 };

static const enum wh_coll colls[] = {WH_COLL_ALL_TO_ALL, WH_COLL_SCATTER};

static struct call_spec spec_of(enum wh_coll coll, uint64_t seed)
{
    return (struct call_spec){.coll = coll,
                              .count = LARGE_NELEMS + seed,
                              .dtype = WHORL_UINT8,
                              .root = (uint32_t)seed % 3,
                              .in_place = seed % 2,
                              .seed = seed};
}

Test(cma, large_blocks_are_right)
{
    struct world world;
    struct call *calls[10];
    world_open(&world, 3, false, 1);
    for (uint32_t i = 0; i < 10; i++) {
        struct call_spec spec = spec_of(colls[i % ARRAY_LEN(colls)], i);
        spec.count = i == 7 ? 1000 : spec.count;
        calls[i] = call_create(&spec, 3);
    }
    world_play(&world, calls, 10);
    for (uint32_t i = 0; i < 10; i++) {
        call_destroy(calls[i]);
    }
    world_close(&world);
}

/* A block that several receive goes through staging, from which all of them read it in cache. */
Test(cma, blocks_for_everyone_are_staged)
{
    struct world world;
    struct call_spec spec = spec_of(WH_COLL_ALL_GATHER, 0);
    struct call *call = call_create(&spec, 3);
    world_open(&world, 3, false, 1);
    world_play(&world, &call, 1);
    cr_expect_eq(world.arenas[0]->cma, ARENA_CMA_UNTRIED);
    cr_expect(world.arenas[0]->has_staged);
    call_destroy(call);
    world_close(&world);
}

/* Whoever tells a place that cannot be read, or that holds something else, has it staged. */
Test(cma, memory_that_cannot_be_read_is_staged)
{
    for (size_t i = 0; i < ARRAY_LEN(colls); i++) {
        struct world world;
        struct call_spec spec = spec_of(colls[i], i);
        struct call *call = call_create(&spec, 3);
        struct world_drive d = {.world = &world, .calls = &call, .ncalls = 1};
        bool moved = false;
        world_open(&world, 3, false, i);
        cr_assert_eq(world_step(&d, 2, &moved), WHORL_OK);
        struct arena_record record;
        arena_read_record(world.arenas[2], 2, &record);
        cr_assert(record.tries_cma, "the first large blocks are a trial");
        world.arenas[2]->cma_value ^= 1;
        cr_assert_eq(world_drive(&d), WHORL_OK, "%s", wh_error_get());
        call_check(call);
        for (uint32_t r = 0; r < 3; r++) {
            cr_expect_eq(world.arenas[r]->cma, ARENA_CMA_REFUSED);
        }
        world_play(&world, &call, 1);
        call_destroy(call);
        world_close(&world);
    }
}

Test(cma, memory_that_is_gone_is_a_failure_that_names_its_rank)
{
    struct world world;
    struct call_spec spec = spec_of(WH_COLL_ALL_TO_ALL, 1);
    spec.in_place = false;
    struct call *call = call_create(&spec, 3);
    struct world_drive d = {.world = &world, .calls = &call, .ncalls = 1};
    bool moved = false;
    world_open(&world, 3, false, 1);
    world_play(&world, &call, 1);
    cr_assert_eq(world_step(&d, 1, &moved), WHORL_OK);
    cr_assert_eq(world_step(&d, 2, &moved), WHORL_OK);
    struct arena_record record;
    arena_read_record(world.arenas[1], 1, &record);
    record.send = 4096;
    memcpy(arena_slot(world.arenas[1], 1, 2)->inside, &record, sizeof(record));
    whorl_result_t rc = WHORL_OK;
    for (uint32_t i = 0; i < 10 && rc == WHORL_OK; i++) {
        rc = world_step(&d, 0, &moved);
    }
    cr_expect_eq(rc, WHORL_E_PEER);
    cr_expect_not_null(strstr(wh_error_get(), "rank 1"), "%s", wh_error_get());
    call_destroy(call);
    world_close(&world);
}

/* Who has left may have given its memory back while another one reads it. That one will be told why
 * the other has left; the read is not the cause. */
Test(cma, memory_that_is_gone_with_who_has_left_is_no_failure_of_its_own)
{
    struct world world;
    struct call_spec spec = spec_of(WH_COLL_ALL_TO_ALL, 1);
    struct call *call = call_create(&spec, 3);
    uint8_t to[64];
    world_open(&world, 3, false, 1);
    world_play(&world, &call, 1);
    cr_assert_eq(arena_cma_read(world.arenas[0], 1, 4096, to, sizeof(to)), WHORL_E_PEER);
    wh_arena_leave(world.arenas[1]);
    cr_expect_eq(arena_cma_read(world.arenas[0], 1, 4096, to, sizeof(to)), WHORL_IN_PROGRESS);
    call_destroy(call);
    world_close(&world);
}
