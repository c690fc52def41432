/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers that all ranks can address: nothing is staged, and what a peer says is checked. */
#include "world.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

static const enum wh_coll colls[] = {WH_COLL_ALL_REDUCE, WH_COLL_ALL_GATHER, WH_COLL_REDUCE_SCATTER,
                                     WH_COLL_BROADCAST,  WH_COLL_REDUCE,     WH_COLL_ALL_TO_ALL,
                                     WH_COLL_GATHER,     WH_COLL_SCATTER};

static struct call_spec spec_of(enum wh_coll coll, size_t count)
{
    return (struct call_spec){
        .coll = coll, .count = count, .dtype = WHORL_FLOAT32, .memory = CALL_SHARED, .seed = count};
}

/* Has anybody staged anything? */
static bool is_staging_clean(const struct world *world)
{
    for (uint32_t r = 0; r < world->n; r++) {
        const uint8_t *staging = arena_staging(world->arenas[r], r, 0);
        const uint8_t *other = arena_staging(world->arenas[r], r, 1);
        for (size_t i = 0; i < WORLD_CHUNK_NBYTES; i++) {
            if (staging[i] != 0 || other[i] != 0) {
                return false;
            }
        }
    }
    return true;
}

Test(direct, buffers_in_shared_memory_are_not_staged)
{
    for (int is_one_process = 0; is_one_process < 2; is_one_process++) {
        for (size_t i = 0; i < ARRAY_LEN(colls); i++) {
            struct world world;
            world_open(&world, 4, is_one_process, i);
            struct call_spec spec = spec_of(colls[i], 10000);
            spec.memory = is_one_process ? CALL_PRIVATE : CALL_SHARED;
            world_do(&world, &spec);
            cr_expect(is_staging_clean(&world), "%s", wh_coll_str(colls[i]));
            spec.memory = CALL_PRIVATE;
            world_do(&world, &spec);
            cr_expect_eq(is_staging_clean(&world), is_one_process != 0, "%s",
                         wh_coll_str(colls[i]));
            world_close(&world);
        }
    }
}

/* The same buffers again and again, in place too: windows are mapped once. */
Test(direct, windows_are_used_again)
{
    for (size_t i = 0; i < ARRAY_LEN(colls); i++) {
        struct world world;
        struct call_spec spec = spec_of(colls[i], 4001);
        struct call *call = call_create(&spec, 3);
        world_open(&world, 3, false, i);
        for (uint32_t k = 0; k < 4; k++) {
            world_play(&world, &call, 1);
        }
        cr_expect(is_staging_clean(&world));
        call_destroy(call);
        world_close(&world);
    }
}

/* More regions than a rank has slots, each used once and gone. */
Test(direct, regions_come_and_go)
{
    struct world world;
    world_open(&world, 2, false, 4);
    for (uint32_t i = 0; i < 2 * WH_WINDOWS_MAX; i++) {
        struct call_spec spec = spec_of(colls[i % ARRAY_LEN(colls)], 5000 + i);
        world_do(&world, &spec);
    }
    cr_expect(is_staging_clean(&world));
    world_close(&world);
}

Test(direct, vectors_of_any_length_and_alignment_are_right)
{
    for (uint32_t n = 2; n <= 5; n++) {
        struct world world;
        world_open(&world, n, n % 2, n);
        for (size_t count = 2049; count < 2049 + 70; count += 3) {
            struct call_spec spec = spec_of(count % 2 ? WH_COLL_ALL_REDUCE : WH_COLL_REDUCE, count);
            spec.misaligned = (unsigned)count % 64;
            spec.in_place = count % 4 == 1;
            spec.root = (uint32_t)count % n;
            world_do(&world, &spec);
        }
        world_close(&world);
    }
}

/* ---- damage ---- */

/* Rank 1 of two has entered an all_reduce with buffers that were mapped before; its record is
 * changed before rank 0 reads it. */
static whorl_result_t with_record(void (*damage)(struct arena_record *record), enum wh_coll coll)
{
    struct world world;
    struct call_spec spec = spec_of(coll, 5000);
    struct call *call = call_create(&spec, 2);
    struct world_drive d = {.world = &world, .calls = &call, .ncalls = 1};
    struct arena_record record;
    bool moved = false;
    world_open(&world, 2, false, 1);
    world_play(&world, &call, 1);
    cr_assert_eq(world_step(&d, 1, &moved), WHORL_OK);
    arena_read_record(world.arenas[1], 1, &record);
    cr_assert(record.reach == ARENA_MAPPED && !record.new_send && !record.new_recv);
    damage(&record);
    memcpy(arena_slot(world.arenas[1], 1, 2)->inside, &record, sizeof(record));
    whorl_result_t rc = WHORL_OK;
    for (uint32_t i = 0; i < 10 && rc == WHORL_OK && d.next[0] == 0; i++) {
        rc = world_step(&d, 0, &moved);
    }
    call_destroy(call);
    world_close(&world);
    return rc;
}

static void far_send(struct arena_record *record)
{
    record->send = UINT64_MAX - 64;
}

static void far_recv(struct arena_record *record)
{
    record->recv = (uint64_t)1 << 40;
}

static void end_of_region(struct arena_record *record)
{
    record->send = (2 << 20) - 8;
}

static void other_send_slot(struct arena_record *record)
{
    record->send_slot = UINT32_MAX;
}

static void unused_recv_slot(struct arena_record *record)
{
    record->recv_slot = WH_WINDOWS_MAX - 1;
}

Test(direct, records_that_point_outside_are_damage_and_are_not_followed)
{
    cr_expect_eq(with_record(far_send, WH_COLL_ALL_REDUCE), WHORL_E_PEER);
    cr_expect_not_null(strstr(wh_error_get(), "rank 1"), "%s", wh_error_get());
    cr_expect_eq(with_record(far_recv, WH_COLL_ALL_REDUCE), WHORL_E_PEER);
    cr_expect_eq(with_record(end_of_region, WH_COLL_ALL_GATHER), WHORL_E_PEER);
    cr_expect_eq(with_record(other_send_slot, WH_COLL_ALL_TO_ALL), WHORL_E_PEER);
    cr_expect_eq(with_record(other_send_slot, WH_COLL_REDUCE_SCATTER), WHORL_E_PEER);
    cr_expect_eq(with_record(unused_recv_slot, WH_COLL_ALL_REDUCE), WHORL_E_PEER);
}

static void new_window_nowhere(struct arena_record *record)
{
    record->new_send = 1;
    record->send_slot = 12345;
}

/* What cannot be mapped is refused by all, and goes through staging. */
Test(direct, a_new_window_that_is_nowhere_is_not_mapped)
{
    cr_expect_eq(with_record(new_window_nowhere, WH_COLL_ALL_REDUCE), WHORL_OK);
}

/* A rank that gives up may change its buffers while others still read them. */
Test(direct, nobody_succeeds_when_a_rank_has_left)
{
    struct world world;
    struct call_spec spec = spec_of(WH_COLL_ALL_REDUCE, 10000);
    spec.memory = CALL_PRIVATE;
    struct call *call = call_create(&spec, 3);
    bool moved;
    world_open(&world, 3, true, 1);
    for (uint32_t r = 0; r < 3; r++) {
        wh_arena_start(world.arenas[r], WH_COLL_ALL_REDUCE, 0, &call->ranks[r].op);
        cr_assert_eq(wh_arena_advance(world.arenas[r], &moved), WHORL_IN_PROGRESS);
    }
    /* All have done their parts, rank 0 last, so it alone knows; its next call fails. */
    cr_assert_eq(wh_arena_advance(world.arenas[1], &moved), WHORL_IN_PROGRESS);
    cr_assert_eq(wh_arena_advance(world.arenas[0], &moved), WHORL_OK);
    wh_arena_leave(world.arenas[0]);
    for (int i = 0; i < 10; i++) {
        cr_expect_eq(wh_arena_advance(world.arenas[1], &moved), WHORL_IN_PROGRESS);
        cr_expect_eq(wh_arena_advance(world.arenas[2], &moved), WHORL_IN_PROGRESS);
    }
    call_destroy(call);
    world_close(&world);
}

/* The buffers of a rank that has left may be gone: nobody begins to work on them, and nobody's
 * result is written any more. */
Test(direct, nobody_works_on_the_buffers_of_a_rank_that_has_left)
{
    struct world world;
    struct call_spec spec = spec_of(WH_COLL_ALL_REDUCE, 10000);
    spec.memory = CALL_PRIVATE;
    struct call *call = call_create(&spec, 3);
    bool moved;
    world_open(&world, 3, true, 1);
    for (uint32_t r = 0; r < 3; r++) {
        memset(call->ranks[r].op.output, 0x5e, 10000 * call->elem_nbytes);
        wh_arena_start(world.arenas[r], WH_COLL_ALL_REDUCE, 0, &call->ranks[r].op);
    }
    /* Rank 0 leaves before the last one has come, who would begin at once. */
    cr_assert_eq(wh_arena_advance(world.arenas[0], &moved), WHORL_IN_PROGRESS);
    wh_arena_leave(world.arenas[0]);
    for (int i = 0; i < 10; i++) {
        cr_expect_eq(wh_arena_advance(world.arenas[1], &moved), WHORL_IN_PROGRESS);
        cr_expect_eq(wh_arena_advance(world.arenas[2], &moved), WHORL_IN_PROGRESS);
    }
    for (uint32_t r = 0; r < 3; r++) {
        const uint8_t *output = call->ranks[r].op.output;
        for (size_t at = 0; at < 10000 * call->elem_nbytes; at++) {
            cr_assert_eq(output[at], 0x5e, "rank %u, byte %zu", r, at);
        }
    }
    call_destroy(call);
    world_close(&world);
}

/* Another thread that is at work on buffers when this one leaves. */
struct worker {
    struct arena_head *leaver, *own;
    _Atomic bool is_done;
};

static void *work_until_somebody_leaves(void *arg)
{
    struct worker *worker = arg;
    while (atomic_load(&worker->leaver->has_left) == 0) {
        sched_yield();
    }
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    atomic_store(&worker->is_done, true);
    atomic_store(&worker->own->at_work, 0);
    return NULL;
}

Test(direct, who_leaves_waits_for_those_who_are_at_work)
{
    struct world world;
    pthread_t thread;
    world_open(&world, 3, true, 1);
    struct worker worker = {.leaver = arena_head(world.arenas[0], 0),
                            .own = arena_head(world.arenas[0], 1)};
    atomic_store(&worker.own->at_work, 1);
    cr_assert_eq(pthread_create(&thread, NULL, work_until_somebody_leaves, &worker), 0);
    wh_arena_leave(world.arenas[0]);
    cr_expect(atomic_load(&worker.is_done));
    pthread_join(thread, NULL);
    world_close(&world);
}

/* What rank 1 finds when it begins to work. */
struct beginning {
    struct wh_doorbell *bell; /* of rank 0 */
    uint32_t nrings;
    bool has_begun;
};

static void fold_and_look(const void *in, void *inout, size_t nelems, whorl_dtype_t dtype,
                          void *ctx)
{
    struct beginning *beginning = ctx;
    if (!beginning->has_begun) {
        beginning->has_begun = true;
        beginning->nrings = atomic_load(&beginning->bell->rings);
    }
    call_user_fn(in, inout, nelems, dtype, NULL);
}

/* All work is one step: who sleeps until the last rank comes is woken before that one works. */
Test(direct, whoever_sleeps_is_woken_before_the_work)
{
    struct world world;
    struct call_spec spec = spec_of(WH_COLL_ALL_REDUCE, 10000);
    spec.dtype = WHORL_INT32;
    spec.redop = WH_REDOP_USER;
    struct call *call = call_create(&spec, 2);
    struct beginning beginning = {0};
    bool moved;
    world_open(&world, 2, false, 1);
    world_play(&world, &call, 1); /* maps the buffers */

    beginning.bell = world.bell_ptrs[0];
    call->ranks[1].op.user = (struct wh_user_redop){.fn = fold_and_look, .ctx = &beginning};
    for (uint32_t r = 0; r < 2; r++) {
        wh_arena_start(world.arenas[r], WH_COLL_ALL_REDUCE, 0, &call->ranks[r].op);
    }
    cr_assert_eq(wh_arena_advance(world.arenas[0], &moved), WHORL_IN_PROGRESS);
    wh_arena_wake(world.arenas[0]);
    uint32_t before = atomic_load(&beginning.bell->rings);
    atomic_store(&beginning.bell->sleepers, 1);
    cr_assert_eq(wh_arena_advance(world.arenas[1], &moved), WHORL_IN_PROGRESS);
    cr_expect(beginning.has_begun && beginning.nrings == before + 1, "rank 0 sleeps on");
    call_destroy(call);
    world_close(&world);
}
