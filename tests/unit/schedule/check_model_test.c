/* SPDX-License-Identifier: Apache-2.0 */
/* Links without a second end, and outcomes that are not what the collective promises. */
#include "schedule/check_model.h"
#include "world.h"

static const struct wh_check_options two_passes = {.fifo_slots = 1, .npasses = 2};

/* ---- links ----------------------------------------------------------------------------------- */

/* Something on channel 1 beside a right ring, which keeps the entry rule. */
static void build_with_extra(const struct wh_problem *p, struct wh_builder *b, bool sends,
                             bool receives)
{
    world_build_ring(p, b);
    wh_build_lane(b, 1);
    if (p->rank == 0 && sends) {
        wh_build_step(b, &(struct wh_move){.flags = WH_SEND, .to = 2});
    }
    if (p->rank == 2 && receives) {
        wh_build_step(b, &(struct wh_move){.flags = WH_RECV, .from = 0});
    }
}

static void build_lone_send(const struct wh_problem *p, struct wh_builder *b)
{
    build_with_extra(p, b, true, false);
}

static void build_lone_recv(const struct wh_problem *p, struct wh_builder *b)
{
    build_with_extra(p, b, false, true);
}

static void build_both(const struct wh_problem *p, struct wh_builder *b)
{
    build_with_extra(p, b, true, true);
}

Test(check_model, links_have_two_ends)
{
    const struct wh_problem problem = {.coll = WH_COLL_ALL_REDUCE, .nranks = 3};
    struct world world = world_create(problem, 3, build_both);
    world_expect(&world, &world_plain, "");

    world = world_create(problem, 3, build_lone_send);
    world_expect(
        &world, &world_plain,
        "rank 0 lane 1 step 0: sends to rank 2 on channel 1, which never receives from it");

    world = world_create(problem, 3, build_lone_recv);
    world_expect(
        &world, &world_plain,
        "rank 2 lane 1 step 0: receives from rank 0 on channel 1, which never sends to it");
}

/* On channel 1 rank 0 sends to both others. */
static void build_two_sends(const struct wh_problem *p, struct wh_builder *b)
{
    world_build_ring(p, b);
    wh_build_lane(b, 1);
    if (p->rank == 0) {
        wh_build_step(b, &(struct wh_move){.flags = WH_SEND, .to = 1});
        wh_build_step(b, &(struct wh_move){.flags = WH_SEND, .to = 2});
    } else {
        wh_build_step(b, &(struct wh_move){.flags = WH_RECV, .from = 0});
    }
}

Test(check_model, a_rank_names_a_link_once)
{
    const struct wh_problem problem = {.coll = WH_COLL_ALL_REDUCE, .nranks = 3};
    struct world world = world_create(problem, 3, build_two_sends);
    uint16_t link = world_step(&world, 0, 1, 1)->send_link;

    world.scheds[0]->links[link].peer = 1; /* as the other one */
    const char *fault = world_fault(&world, &world_plain);
    cr_expect_not_null(strstr(fault, "the schedule has another link to rank 1 on channel 1"), "%s",
                       fault);
    world_destroy(&world);
}

/* Rank 0 sends three messages without data, rank 1 receives two. */
static void build_two_or_three(const struct wh_problem *p, struct wh_builder *b)
{
    wh_build_lane(b, 1);
    if (p->rank == 0) {
        for (uint32_t i = 0; i < 3; i++) {
            wh_build_step(b, &(struct wh_move){.flags = WH_SEND, .to = 1});
        }
    } else {
        wh_build_step(b, &(struct wh_move){.flags = WH_RECV, .from = 0});
        wh_build_step(b, &(struct wh_move){.flags = WH_RECV, .from = 0});
    }
}

Test(check_model, a_message_left_on_a_link_is_found)
{
    struct world world = world_create((struct wh_problem){.coll = WH_COLL_BARRIER, .nranks = 2}, 1,
                                      build_two_or_three);
    world_expect(&world, &world_plain,
                 "rank 0 lane 0 step 2: its message to rank 1 on channel 1 is never received");
}

/* ---- sums ------------------------------------------------------------------------------------ */

Test(check_model, a_lost_chunk_is_found)
{
    struct world world = world_create_ring(3);
    world.scheds[1]->lanes[0].uses_scratch = true;
    world_step(&world, 1, 0, 4)->store = WH_SCRATCH;
    world_expect(&world, &world_plain, "rank 1: chunk 0 of OUTPUT was never stored");
}

Test(check_model, a_lost_chunk_is_found_in_the_pass_that_lost_it)
{
    struct world world = world_create_ring(3);
    world.scheds[1]->lanes[0].uses_scratch = true;
    world_step(&world, 1, 0, 4)->store = WH_SCRATCH;
    world_expect(&world, &two_passes, "rank 1 pass 0: chunk 0 of OUTPUT was never stored");
}

Test(check_model, a_lost_contribution_is_found)
{
    struct world world = world_create_ring(3);
    /* Rank 0 keeps chunk 1 without its own part, and so do all. */
    world_step(&world, 0, 0, 2)->flags &= (uint8_t) ~(WH_REDUCE | WH_FINISH);
    world_expect(&world, &world_plain,
                 "rank 0: chunk 1 of OUTPUT holds 2 of 3 contributions; rank 0's is missing");
}

Test(check_model, a_missing_finish_is_found)
{
    struct world world = world_create_ring(3);
    world_step(&world, 0, 0, 2)->flags &= (uint8_t)~WH_FINISH;
    world_expect(&world, &world_plain, "rank 0: chunk 1 of OUTPUT was never finished");
}

Test(check_model, one_rank_has_to_finish_too)
{
    struct world world = world_create_ring(1);
    world_step(&world, 0, 0, 0)->flags &= (uint8_t)~WH_FINISH;
    world_expect(&world, &world_plain, "rank 0: chunk 0 of OUTPUT was never finished");
}

/* ---- copies ---------------------------------------------------------------------------------- */

/* Two ranks swap their chunks; each also copies its own. */
static void build_gather(const struct wh_problem *p, struct wh_builder *b)
{
    const uint32_t peer = 1 - p->rank;

    wh_build_lane(b, 0);
    wh_build_copy(b, WH_INPUT, WH_OUTPUT, p->rank, 1);
    wh_build_send(b, peer, WH_INPUT, p->rank, 1);
    wh_build_recv(b, peer, WH_OUTPUT, peer, 1);
}

Test(check_model, all_gather_of_two_ranks_passes_also_in_place)
{
    const struct wh_problem problem = {.coll = WH_COLL_ALL_GATHER, .nranks = 2};
    struct world world = world_create(problem, 2, build_gather);
    world_expect(&world, &two_passes, "");

    world = world_create(problem, 2, build_gather);
    world_expect(&world, &world_in_place, "");
}

static void build_gather_without_copy(const struct wh_problem *p, struct wh_builder *b)
{
    const uint32_t peer = 1 - p->rank;

    wh_build_lane(b, 0);
    wh_build_send(b, peer, WH_INPUT, p->rank, 1);
    wh_build_recv(b, peer, WH_OUTPUT, peer, 1);
}

Test(check_model, the_own_chunk_of_an_all_gather_must_be_stored_too)
{
    const struct wh_problem problem = {.coll = WH_COLL_ALL_GATHER, .nranks = 2};
    struct world world = world_create(problem, 2, build_gather_without_copy);
    world_expect(&world, &world_plain, "rank 0: chunk 0 of OUTPUT was never stored");
}

static void build_reduce(const struct wh_problem *p, struct wh_builder *b)
{
    wh_build_lane(b, 0);
    if (p->rank != p->root) {
        wh_build_send(b, p->root, WH_INPUT, 0, 2);
        return;
    }
    wh_build_step(b, &(struct wh_move){.flags = WH_RECV | WH_REDUCE | WH_FINISH | WH_STORE,
                                       .from = 1 - p->rank,
                                       .local = WH_INPUT,
                                       .store = WH_OUTPUT,
                                       .nchunks = 2});
}

Test(check_model, reduce_to_either_root_passes)
{
    for (uint32_t root = 0; root < 2; root++) {
        struct wh_problem problem = {.coll = WH_COLL_REDUCE, .nranks = 2, .root = root};
        struct world world = world_create(problem, 2, build_reduce);
        world_expect(&world, &two_passes, "");
        world = world_create(problem, 2, build_reduce);
        world_expect(&world, &world_in_place, "");
    }
}

/* Each rank gets its block of the sum. */
static void build_reduce_scatter(const struct wh_problem *p, struct wh_builder *b)
{
    const uint32_t peer = 1 - p->rank;

    wh_build_lane(b, 0);
    wh_build_send(b, peer, WH_INPUT, peer, 1);
    wh_build_step(b, &(struct wh_move){.flags = WH_RECV | WH_REDUCE | WH_FINISH | WH_STORE,
                                       .from = peer,
                                       .local = WH_INPUT,
                                       .store = WH_OUTPUT,
                                       .chunk = p->rank,
                                       .nchunks = 1});
}

Test(check_model, reduce_scatter_of_two_ranks_passes_also_in_place)
{
    const struct wh_problem problem = {.coll = WH_COLL_REDUCE_SCATTER, .nranks = 2};
    struct world world = world_create(problem, 2, build_reduce_scatter);
    world_expect(&world, &two_passes, "");

    world = world_create(problem, 2, build_reduce_scatter);
    world_expect(&world, &world_in_place, "");
}

/* A send and its recv, as the two ranks that they join. */
Test(check_model, a_send_and_its_recv_are_checked_as_a_pair)
{
    struct wh_sched *scheds[2];
    char why[256];

    for (uint32_t r = 0; r < 2; r++) {
        struct wh_problem problem = {
            .coll = r == 0 ? WH_COLL_SEND : WH_COLL_RECV, .rank = r, .nranks = 2, .root = 1 - r};
        struct wh_builder *b = wh_builder_create(&problem, "test", 1);
        wh_build_lane(b, WH_CHANNEL_P2P);
        if (r == 0) {
            wh_build_send(b, 1, WH_INPUT, 0, 1);
        } else {
            wh_build_recv(b, 0, WH_OUTPUT, 0, 1);
        }
        cr_assert_eq(wh_builder_seal(b, &scheds[r]), WHORL_OK);
    }

    cr_expect_eq(wh_check(scheds, 2, &two_passes, why, sizeof(why)), WHORL_OK, "%s", why);
    scheds[1]->coll = WH_COLL_SEND;
    cr_expect_eq(wh_check(scheds, 2, &two_passes, why, sizeof(why)), WHORL_E_INTERNAL);
    cr_expect_str_eq(why, "rank 1: send with root 0, but rank 0 has send with root 1");
    wh_sched_destroy(scheds[0]);
    wh_sched_destroy(scheds[1]);
}

/* ---- barrier --------------------------------------------------------------------------------- */

static void barrier_send(struct wh_builder *b, uint32_t to)
{
    wh_build_step(b, &(struct wh_move){.flags = WH_SEND, .to = to});
}

static void barrier_recv(struct wh_builder *b, uint32_t from)
{
    wh_build_step(b, &(struct wh_move){.flags = WH_RECV, .from = from});
}

/* Dissemination: after round k everyone has heard of 2^(k+1) ranks to its left. */
static void build_dissemination(const struct wh_problem *p, struct wh_builder *b)
{
    wh_build_lane(b, 0);
    for (uint32_t far = 1; far < p->nranks; far *= 2) {
        barrier_send(b, (p->rank + far) % p->nranks);
        barrier_recv(b, (p->rank + p->nranks - far) % p->nranks);
    }
}

/* The same rounds, but each in a lane of its own: nobody passes on what others said. */
static void build_deaf_lanes(const struct wh_problem *p, struct wh_builder *b)
{
    uint32_t channel = 0;
    for (uint32_t far = 1; far < p->nranks; far *= 2) {
        wh_build_lane(b, channel++);
        barrier_send(b, (p->rank + far) % p->nranks);
        barrier_recv(b, (p->rank + p->nranks - far) % p->nranks);
    }
}

Test(check_model, a_barrier_of_dissemination_passes)
{
    for (uint32_t n = 1; n <= 17; n++) {
        struct world world = world_create((struct wh_problem){.coll = WH_COLL_BARRIER, .nranks = n},
                                          1, build_dissemination);
        world_expect(&world, &two_passes, "");
    }
}

Test(check_model, a_barrier_that_lets_someone_through_is_found)
{
    struct world world = world_create((struct wh_problem){.coll = WH_COLL_BARRIER, .nranks = 4}, 1,
                                      build_deaf_lanes);
    world_expect(&world, &world_plain, "rank 0: leaves the barrier without having heard of rank 1");

    world = world_create((struct wh_problem){.coll = WH_COLL_BARRIER, .nranks = 4}, 1,
                         build_deaf_lanes);
    world_expect(&world, &two_passes,
                 "rank 0 pass 0: leaves the barrier without having heard of rank 1");
}
