/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runs: what passes, what locks up, and what depends on the order of lanes. */
#include "schedule/check.h"
#include "world.h"

static const struct wh_problem all_reduce_of_2 = {.coll = WH_COLL_ALL_REDUCE, .nranks = 2};

/* ---- what is right passes -------------------------------------------------------------------- */

Test(check, rings_pass_with_every_option)
{
    for (uint32_t n = 1; n <= 17; n++) {
        struct world world = world_create_ring(n);
        for (uint32_t i = 0; i < 2 * 2 * 2 * 4; i++) {
            const struct wh_check_options options = {
                .fifo_slots = i & 1 ? 5 : 1,
                .npasses = i & 2 ? 3 : 1,
                .in_place = i & 4,
                .order_seed = i >> 3,
            };
            const char *fault = world_fault(&world, &options);
            cr_assert_str_empty(fault, "%u ranks, options %u: %s", n, i, fault);
        }
        world_destroy(&world);
    }
}

Test(check, a_ring_of_1024_ranks_passes)
{
    struct world world = world_create_ring(1024);
    world_expect(&world, &world_in_place, "");
}

/* Two ranks, by hand: each sends its half, adds and returns the other's. */
static void build_ring_of_two(const struct wh_problem *p, struct wh_builder *b)
{
    const uint32_t peer = 1 - p->rank;

    wh_build_lane(b, 0);
    wh_build_send(b, peer, WH_INPUT, p->rank, 1);
    wh_build_step(b, &(struct wh_move){
                         .flags = WH_RECV | WH_REDUCE | WH_FINISH | WH_STORE | WH_SEND,
                         .from = peer,
                         .to = peer,
                         .local = WH_INPUT,
                         .store = WH_OUTPUT,
                         .chunk = peer,
                         .nchunks = 1,
                     });
    wh_build_recv(b, peer, WH_OUTPUT, p->rank, 1);
}

Test(check, a_ring_of_two_written_by_hand_passes)
{
    struct world world = world_create(all_reduce_of_2, 2, build_ring_of_two);
    world_expect(&world, &world_in_place, "");
}

/* Three ranks, by hand: rank 0 collects from both sides, then tells both. */
static void build_star_of_three(const struct wh_problem *p, struct wh_builder *b)
{
    wh_build_lane(b, 0);
    if (p->rank > 0) {
        wh_build_send(b, 0, WH_INPUT, 0, 2);
        wh_build_recv(b, 0, WH_OUTPUT, 0, 2);
        return;
    }
    wh_build_step(b, &(struct wh_move){.flags = WH_RECV | WH_REDUCE | WH_STORE,
                                       .from = 1,
                                       .local = WH_INPUT,
                                       .store = WH_OUTPUT,
                                       .nchunks = 2});
    wh_build_step(b,
                  &(struct wh_move){.flags = WH_RECV | WH_REDUCE | WH_FINISH | WH_STORE | WH_SEND,
                                    .from = 2,
                                    .to = 2,
                                    .local = WH_OUTPUT,
                                    .store = WH_OUTPUT,
                                    .nchunks = 2});
    wh_build_send(b, 1, WH_OUTPUT, 0, 2);
}

Test(check, a_star_of_three_with_an_entry_lane_passes)
{
    const struct wh_check_options passes = {.fifo_slots = 1, .npasses = 3, .in_place = true};
    struct world world = world_create((struct wh_problem){.coll = WH_COLL_ALL_REDUCE, .nranks = 3},
                                      2, build_star_of_three);
    cr_expect_gt(world.scheds[1]->nlanes, 1, "the entry lane");
    world_expect(&world, &passes, "");
}

Test(check, ranges_may_wrap_around_the_end_of_the_pass)
{
    struct world world = world_create((struct wh_problem){.coll = WH_COLL_ALL_REDUCE, .nranks = 3},
                                      2, build_star_of_three);
    for (uint32_t r = 0; r < 3; r++) {
        for (uint32_t s = 0; s < world.scheds[r]->lanes[0].nsteps; s++) {
            world_step(&world, r, 0, s)->chunk = 1; /* 1, then 0 */
        }
    }
    world_expect(&world, &world_plain, "");
}

/* ---- what locks up is found ------------------------------------------------------------------ */

/* Both send both halves before they receive any. */
static void build_send_twice(const struct wh_problem *p, struct wh_builder *b)
{
    const uint32_t peer = 1 - p->rank;

    wh_build_lane(b, 0);
    for (uint32_t c = 0; c < 2; c++) {
        wh_build_send(b, peer, WH_INPUT, c, 1);
    }
    for (uint32_t c = 0; c < 2; c++) {
        wh_build_step(b, &(struct wh_move){.flags = WH_RECV | WH_REDUCE | WH_FINISH | WH_STORE,
                                           .from = peer,
                                           .local = WH_INPUT,
                                           .store = WH_OUTPUT,
                                           .chunk = c,
                                           .nchunks = 1});
    }
}

Test(check, too_many_sends_lock_up_with_links_of_one_message)
{
    const struct wh_check_options roomy = {.fifo_slots = 2, .npasses = 2};
    struct world world = world_create(all_reduce_of_2, 2, build_send_twice);
    world_expect(&world, &roomy, "");

    world = world_create(all_reduce_of_2, 2, build_send_twice);
    world_expect(&world, &world_plain,
                 "deadlock: rank 0 lane 0 step 1: waits for room to send to rank 1 on channel 0; "
                 "rank 1 lane 0 step 1: waits for room to send to rank 0 on channel 0");
}

static void build_receive_first(const struct wh_problem *p, struct wh_builder *b)
{
    const uint32_t right = (p->rank + 1) % p->nranks;
    const uint32_t left = (p->rank + p->nranks - 1) % p->nranks;

    wh_build_lane(b, 0);
    wh_build_step(b, &(struct wh_move){.flags = WH_RECV, .from = left});
    wh_build_step(b, &(struct wh_move){.flags = WH_SEND, .to = right});
}

Test(check, a_circle_of_receives_locks_up_whatever_the_links_hold)
{
    const struct wh_check_options roomy = {.fifo_slots = 100, .npasses = 1};
    struct world world = world_create((struct wh_problem){.coll = WH_COLL_BARRIER, .nranks = 6}, 1,
                                      build_receive_first);
    world_expect(&world, &roomy,
                 "deadlock: rank 0 lane 0 step 0: waits for a message from rank 5 on channel 0; "
                 "rank 1 lane 0 step 0: waits for a message from rank 0 on channel 0; "
                 "rank 2 lane 0 step 0: waits for a message from rank 1 on channel 0; "
                 "rank 3 lane 0 step 0: waits for a message from rank 2 on channel 0; and 2 more");
}

Test(check, a_deadlock_is_found_in_every_order)
{
    for (uint32_t seed = 0; seed < 50; seed++) {
        const struct wh_check_options options = {.fifo_slots = 1, .npasses = 1, .order_seed = seed};
        struct world world = world_create(all_reduce_of_2, 2, build_send_twice);
        world_expect(
            &world, &options,
            "deadlock: rank 0 lane 0 step 1: waits for room to send to rank 1 on channel 0; "
            "rank 1 lane 0 step 1: waits for room to send to rank 0 on channel 0");
    }
}

/* Rank 0 receives one message more than rank 1 sends. */
static void build_message_too_few(const struct wh_problem *p, struct wh_builder *b)
{
    wh_build_lane(b, 1);
    if (p->rank == 1) {
        wh_build_step(b, &(struct wh_move){.flags = WH_SEND, .to = 0});
        return;
    }
    wh_build_step(b, &(struct wh_move){.flags = WH_RECV, .from = 1});
    wh_build_step(b, &(struct wh_move){.flags = WH_RECV, .from = 1});
}

Test(check, waiting_for_a_message_that_nobody_sends_is_found)
{
    struct world world = world_create((struct wh_problem){.coll = WH_COLL_BARRIER, .nranks = 2}, 1,
                                      build_message_too_few);
    world_expect(&world, &world_plain,
                 "deadlock: rank 0 lane 0 step 1: waits for a message from rank 1 on channel 1");
}

/* ---- lanes of one rank ----------------------------------------------------------------------- */

/* Rank 1 answers on lane 1 with what lane 0 stores; nothing makes lane 1 wait for lane 0. */
static void build_race(const struct wh_problem *p, struct wh_builder *b)
{
    const bool is_root = p->rank == p->root;

    wh_build_lane(b, 0);
    if (is_root) {
        wh_build_copy(b, WH_INPUT, WH_OUTPUT, 0, 1);
        wh_build_send(b, 1, WH_INPUT, 0, 1);
        wh_build_lane(b, 1);
        wh_build_recv(b, 1, WH_SCRATCH, 0, 1);
    } else {
        wh_build_recv(b, 0, WH_OUTPUT, 0, 1);
        wh_build_lane(b, 1);
        wh_build_send(b, 0, WH_OUTPUT, 0, 1);
    }
}

Test(check, a_race_between_lanes_shows_in_another_order)
{
    uint32_t nfound = 0;

    for (uint32_t seed = 0; seed < 20; seed++) {
        const struct wh_check_options options = {.fifo_slots = 1, .npasses = 1, .order_seed = seed};
        struct world world = world_create(
            (struct wh_problem){.coll = WH_COLL_BROADCAST, .nranks = 2}, 1, build_race);
        const char *fault = world_fault(&world, &options);
        if (fault[0] != '\0') {
            cr_expect_str_eq(fault, "rank 1 lane 1 step 0: reads chunk 0 of OUTPUT before anything "
                                    "was stored there");
            nfound++;
        }
        world_destroy(&world);
    }
    cr_expect_gt(nfound, 0);
    cr_expect_lt(nfound, 20, "in round robin it goes well");
}

Test(check, the_same_seed_finds_the_same)
{
    for (uint32_t seed = 1; seed < 20; seed++) {
        const struct wh_check_options options = {.fifo_slots = 1, .npasses = 1, .order_seed = seed};
        const struct wh_problem problem = {.coll = WH_COLL_BROADCAST, .nranks = 2};
        struct world world = world_create(problem, 1, build_race);
        char first[1024];
        snprintf(first, sizeof(first), "%s", world_fault(&world, &options));
        cr_expect_str_eq(world_fault(&world, &options), first);
        world_destroy(&world);
    }
}

/* ---- the report ------------------------------------------------------------------------------ */

Test(check, a_report_that_does_not_fit_is_cut)
{
    struct world world = world_create(all_reduce_of_2, 2, build_send_twice);
    char why[16];

    memset(why, '#', sizeof(why));
    cr_expect_eq(wh_check(world.scheds, 2, &world_plain, why, 10), WHORL_E_INTERNAL);
    cr_expect_str_eq(why, "deadlock:");
    cr_expect_eq(why[10], '#');
    world_destroy(&world);
}
