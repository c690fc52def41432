/* SPDX-License-Identifier: Apache-2.0 */
/* What ranks tell each other: calls that differ, memory that is damaged, and who waits for whom. */
#include "base/wait.h"
#include "world.h"

#include <sched.h>

/* Drives two ranks or more through their calls until one fails; NULL calls are not made. */
static whorl_result_t drive(struct world *world, struct call *const *calls, uint32_t ncalls,
                            struct world_drive *d)
{
    *d = (struct world_drive){.world = world, .calls = calls, .ncalls = ncalls};
    return world_drive(d);
}

static struct call_spec spec_of(enum wh_coll coll, uint32_t root, size_t count)
{
    return (struct call_spec){
        .coll = coll, .root = root, .count = count, .dtype = WHORL_INT32, .seed = 3};
}

/* Gives rank the part of another call. */
static void swap_part(struct call *into, struct call *from, uint32_t rank)
{
    struct call_rank part = into->ranks[rank];
    into->ranks[rank] = from->ranks[rank];
    from->ranks[rank] = part;
}

static void expect_both_named(const struct call *a, const struct call *b, const char *text)
{
    const char *first = wh_coll_str(a->spec.coll), *second = wh_coll_str(b->spec.coll);
    cr_expect_not_null(strstr(text, first), "%s and %s: %s", first, second, text);
    cr_expect_not_null(strstr(text, second), "%s and %s: %s", first, second, text);
}

/* Rank `odd` makes one call and all others the other; then all meet in an all_reduce. */
static void play_mismatch(uint32_t n, uint32_t odd, const struct call_spec *most,
                          const struct call_spec *one)
{
    struct world world;
    struct world_drive d;
    struct call_spec before = spec_of(WH_COLL_ALL_REDUCE, 0, 2);
    struct call_spec after = spec_of(WH_COLL_ALL_REDUCE, 0, 5);
    struct call *calls[] = {call_create(&before, n), call_create(most, n), call_create(&after, n)};
    struct call *other = call_create(one, n);
    swap_part(calls[1], other, odd);
    for (uint32_t seed = 0; seed < 3; seed++) {
        world_open(&world, n, false, 17 * seed + odd);
        whorl_result_t rc = drive(&world, calls, 3, &d);
        char text[256];
        call_print(calls[1], text, sizeof(text));
        cr_assert_eq(rc, WHORL_E_MISMATCH, "%s: %s", whorl_result_str(rc), text);
        expect_both_named(calls[1], other, wh_error_get());
        world_close(&world);
    }
    swap_part(calls[1], other, odd);
    for (uint32_t i = 0; i < 3; i++) {
        call_destroy(calls[i]);
    }
    call_destroy(other);
}

Test(enter, two_different_collectives_are_found_out_and_named)
{
    for (int a = 0; a < WH_COLL_SEND; a++) {
        for (int b = 0; b < WH_COLL_SEND; b++) {
            struct call_spec most = spec_of((enum wh_coll)a, 0, 4);
            struct call_spec one = spec_of((enum wh_coll)b, 0, 4);
            if (a != b) {
                play_mismatch(3, (uint32_t)(a + b) % 3, &most, &one);
                most.count = 6000;
                play_mismatch(2, 1, &most, &one);
                one.count = 6000;
                play_mismatch(2, 0, &most, &one);
            }
        }
    }
}

Test(enter, calls_that_differ_in_an_argument_are_found_out)
{
    for (int coll = 0; coll < WH_COLL_SEND; coll++) {
        struct call_spec most = spec_of((enum wh_coll)coll, 0, 8);
        struct call_spec one = most;
        if (coll == WH_COLL_BARRIER) {
            continue;
        }
        one.dtype = WHORL_UINT32;
        play_mismatch(3, 1, &most, &one);
        if (wh_coll_has_root(most.coll)) {
            one = most;
            one.root = 1;
            play_mismatch(3, 1, &most, &one);
            play_mismatch(3, 2, &most, &one);
        }
        if (wh_coll_reduces(most.coll)) {
            one = most;
            one.redop = WHORL_MAX;
            play_mismatch(3, 2, &most, &one);
        }
        if (!wh_coll_is_v(most.coll)) {
            one = most;
            one.count = 9;
            play_mismatch(3, 0, &most, &one);
            one.count = 9000;
            play_mismatch(3, 0, &most, &one);
        }
    }
}

Test(enter, the_first_call_that_differs_is_named_not_the_one_that_noticed)
{
    struct world world;
    struct world_drive d;
    struct call_spec specs[] = {spec_of(WH_COLL_BROADCAST, 0, 3), spec_of(WH_COLL_BROADCAST, 0, 7),
                                spec_of(WH_COLL_BROADCAST, 0, 4), spec_of(WH_COLL_BARRIER, 0, 0)};
    struct call *calls[4];
    for (uint32_t i = 0; i < 4; i++) {
        calls[i] = call_create(&specs[i], 2);
    }
    calls[1]->ranks[0].op.count = 8; /* the root: it waits for nobody */
    calls[1]->ranks[0].op.seq = calls[1]->ranks[1].op.seq = 2;
    free(calls[1]->ranks[0].send.memory);
    calls[1]->ranks[0].send.memory = malloc(4 * 8 + 256);
    calls[1]->ranks[0].op.input = calls[1]->ranks[0].op.output = calls[1]->ranks[0].send.memory;
    world_open(&world, 2, false, 1);
    cr_assert_eq(drive(&world, calls, 4, &d), WHORL_E_MISMATCH);
    cr_expect_not_null(strstr(wh_error_get(), "broadcast(count 7, int32, root 0) as operation 2"),
                       "%s", wh_error_get());
    cr_expect_not_null(strstr(wh_error_get(), "broadcast(count 8, int32, root 0) as operation 2"),
                       "%s", wh_error_get());
    world_close(&world);
    for (uint32_t i = 0; i < 4; i++) {
        call_destroy(calls[i]);
    }
}

/* ---- damage ---- */

/* Rank 1 of two has entered; its slot is changed; what does rank 0 say? */
static whorl_result_t with_tag(uint64_t tag)
{
    struct world world;
    struct call_spec spec = spec_of(WH_COLL_ALL_REDUCE, 0, 4);
    struct call *call = call_create(&spec, 2);
    struct world_drive d = {.world = &world, .calls = &call, .ncalls = 1};
    bool moved = false;
    world_open(&world, 2, false, 1);
    cr_assert_eq(world_step(&d, 1, &moved), WHORL_OK);
    atomic_store(&arena_slot(world.arenas[1], 1, 1)->tag, tag);
    whorl_result_t rc = world_step(&d, 0, &moved);
    world_close(&world);
    call_destroy(call);
    return rc;
}

Test(enter, a_tag_from_the_future_is_damage)
{
    cr_expect_eq(with_tag(UINT64_C(5) << 32), WHORL_E_PEER);
    cr_expect_not_null(strstr(wh_error_get(), "rank 1"), "%s", wh_error_get());
    cr_expect_eq(with_tag(UINT64_C(0x7fffffff) << 32), WHORL_E_PEER);
    cr_expect_eq(with_tag(UINT64_C(1) << 32 | 12345), WHORL_E_MISMATCH, "another hash");
    cr_expect_eq(with_tag(0), WHORL_OK, "not there yet");
}

Test(enter, damaged_records_of_calls_are_still_a_mismatch_without_a_crash)
{
    struct world world;
    struct call_spec spec = spec_of(WH_COLL_ALL_REDUCE, 0, 4);
    struct call *call = call_create(&spec, 2);
    struct world_drive d = {.world = &world, .calls = &call, .ncalls = 1};
    bool moved = false;
    world_open(&world, 2, false, 1);
    cr_assert_eq(world_step(&d, 1, &moved), WHORL_OK);
    struct arena_head *head = arena_head(world.arenas[1], 1);
    memset(head->calls, 0xff, sizeof(head->calls));
    atomic_store(&arena_slot(world.arenas[1], 1, 1)->tag, UINT64_C(1) << 32 | 7);
    cr_expect_eq(world_step(&d, 0, &moved), WHORL_E_MISMATCH);
    world_close(&world);
    call_destroy(call);
}

/* ---- who waits for whom ---- */

static void expect_waits(const struct world *world, uint32_t rank, const char *part)
{
    char text[256];
    wh_arena_describe(world->arenas[rank], text, sizeof(text));
    cr_expect_not_null(strstr(text, part), "rank %u %s, not: %s", rank, text, part);
}

/* All ranks but `late` go on as far as they can. */
static void leave_behind(struct world_drive *d, uint32_t late)
{
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t r = 0; r < d->world->n; r++) {
            bool moved = false;
            cr_assert(r == late || world_exhaust(d, r, &moved) == WHORL_OK);
        }
    }
}

/* Who of n ranks waits, and for whom, if `late` has not made a call. */
static void play_late(const struct call_spec *spec, uint32_t n, uint32_t late, bool is_one_process)
{
    struct world world;
    struct call *call = call_create(spec, n);
    struct world_drive d = {.world = &world, .calls = &call, .ncalls = 1};
    char want[64];
    world_open(&world, n, is_one_process, 1);
    leave_behind(&d, late);
    snprintf(want, sizeof(want), "waits for rank %u", late);
    for (uint32_t r = 0; r < n; r++) {
        expect_waits(&world, r, r == late || d.next[r] == 1 ? "nothing is going on" : want);
    }
    world_close(&world);
    call_destroy(call);
}

Test(enter, the_rank_that_has_not_come_is_named)
{
    for (int coll = 0; coll < WH_COLL_SEND; coll++) {
        for (uint32_t late = 0; late < 4; late++) {
            struct call_spec spec = spec_of((enum wh_coll)coll, late == 1 ? 2 : 0, 4);
            play_late(&spec, 4, late, false);
            spec.count = 9000;
            play_late(&spec, 4, late, false);
            play_late(&spec, 4, late, true);
        }
    }
}

/* The late rank enters, and stops. */
Test(enter, the_rank_that_does_not_go_on_is_named)
{
    for (int coll = 0; coll < WH_COLL_SEND; coll++) {
        for (uint32_t late = 0; late < 4; late++) {
            struct world world;
            struct call_spec spec = spec_of((enum wh_coll)coll, 3, 9000);
            struct call *call = call_create(&spec, 4);
            struct world_drive d = {.world = &world, .calls = &call, .ncalls = 1};
            bool moved = false;
            world_open(&world, 4, late % 2, 1);
            cr_assert_eq(world_step(&d, late, &moved), WHORL_OK);
            leave_behind(&d, late);
            char text[256], want[64];
            snprintf(want, sizeof(want), "rank %u", late);
            for (uint32_t r = 0; r < 4; r++) {
                wh_arena_describe(world.arenas[r], text, sizeof(text));
                /* A rank that waits for the root is not told for whom the root waits. */
                bool waits_for_root = wh_coll_has_root(spec.coll) && r != 3;
                bool is_named = strstr(text, want) != NULL ||
                                (waits_for_root && strstr(text, "rank 3") != NULL);
                cr_expect(r == late || d.next[r] == 1 || is_named, "%s: rank %u %s, not %s",
                          wh_coll_str(spec.coll), r, text, want);
            }
            world_close(&world);
            call_destroy(call);
        }
    }
}

/* A root that broadcasts nbytes, which its slot holds. */
static void run_ahead(size_t nbytes)
{
    struct world world;
    struct call_spec spec = spec_of(WH_COLL_BROADCAST, 0, nbytes / 4);
    struct call *calls[10];
    for (uint32_t i = 0; i < 10; i++) {
        calls[i] = call_create(&spec, 3);
    }
    struct world_drive d = {.world = &world, .calls = calls, .ncalls = 10};
    bool moved = false;
    world_open_with(&world, 3, &(struct world_options){.chunk_nbytes = 2 * ARENA_DATA_NBYTES});
    cr_assert_eq(world_exhaust(&d, 0, &moved), WHORL_OK);
    cr_expect_eq(d.next[0], ARENA_NSLOTS - 1, "the root is as far ahead as there are slots for");
    expect_waits(&world, 0, "to end earlier collectives");
    cr_assert_eq(world_exhaust(&d, 1, &moved), WHORL_OK);
    cr_expect_eq(d.next[1], ARENA_NSLOTS - 1);
    cr_assert_eq(world_exhaust(&d, 0, &moved), WHORL_OK);
    expect_waits(&world, 0, "waits for rank 2");
    cr_assert_eq(world_drive(&d), WHORL_OK);
    world_close(&world);
    for (uint32_t i = 0; i < 10; i++) {
        call_check(calls[i]);
        call_destroy(calls[i]);
    }
}

Test(enter, a_rank_too_far_ahead_waits_for_the_slowest)
{
    run_ahead(16);
    run_ahead(ARENA_DATA_NBYTES);
}

Test(enter, descriptions_are_terminated_however_short)
{
    struct world world;
    world_open(&world, 2, false, 1);
    char text[8] = "xxxxxxx";
    wh_arena_describe(world.arenas[0], text, 5);
    cr_expect_eq(strlen(text), 4);
    world_close(&world);
}

Test(enter, ranks_that_share_a_core_move_apart)
{
    cpu_set_t mask;
    cr_assert_eq(sched_getaffinity(0, sizeof(mask), &mask), 0);
    if (CPU_COUNT(&mask) < 2) {
        cr_skip_test("one core: there is nowhere to go");
    }
    struct world world;
    world_open(&world, 2, false, 1);
    int nmoved = 0;
    for (int i = 0; i < 100; i++) {
        uint32_t cpu = wh_current_cpu();
        atomic_store(&arena_head(world.arenas[1], 0)->cpu, cpu + 1);
        wh_arena_spread(world.arenas[1]);
        nmoved += wh_current_cpu() != cpu;
    }
    cr_expect_gt(nmoved, 50, "%d of 100", nmoved);
    world_close(&world);
}
