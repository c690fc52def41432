/* SPDX-License-Identifier: Apache-2.0 */
/* What a step must not do, each by a small schedule that does it, and what the report says. */
#include "schedule/check_model.h"
#include "world.h"

static const struct wh_problem all_reduce_of_2 = {.coll = WH_COLL_ALL_REDUCE, .nranks = 2};

/* ---- contributions --------------------------------------------------------------------------- */

static void build_double_count(const struct wh_problem *p, struct wh_builder *b)
{
    (void)p;
    wh_build_lane(b, 0);
    wh_build_copy(b, WH_INPUT, WH_OUTPUT, 0, 1);
    wh_build_step(b, &(struct wh_move){.flags = WH_REDUCE | WH_STORE,
                                       .local = WH_INPUT,
                                       .store = WH_OUTPUT,
                                       .chunk = 0,
                                       .nchunks = 1});
}

Test(check_step, a_contribution_counted_twice_is_found)
{
    struct world world = world_create(all_reduce_of_2, 1, build_double_count);
    world_expect(&world, &world_plain,
                 "rank 0 lane 0 step 1: counts rank 0's contribution to chunk 0 twice");
}

/* Everyone adds what comes from the left to all it has, and sends all of it on, twice. */
static void build_gossip(const struct wh_problem *p, struct wh_builder *b)
{
    const uint32_t left = (p->rank + 2) % 3;
    const uint32_t right = (p->rank + 1) % 3;

    wh_build_lane(b, 0);
    wh_build_copy(b, WH_INPUT, WH_OUTPUT, 0, 1);
    for (uint32_t round = 0; round < 2; round++) {
        wh_build_send(b, right, WH_OUTPUT, 0, 1);
        wh_build_step(b, &(struct wh_move){.flags = WH_RECV | WH_REDUCE | WH_STORE,
                                           .from = left,
                                           .local = WH_OUTPUT,
                                           .store = WH_OUTPUT,
                                           .nchunks = 1});
    }
}

Test(check_step, a_contribution_that_comes_two_ways_is_found)
{
    struct world world =
        world_create((struct wh_problem){.coll = WH_COLL_ALL_REDUCE, .nranks = 3}, 1, build_gossip);
    world_expect(&world, &world_plain,
                 "rank 0 lane 0 step 4: counts rank 2's contribution to chunk 0 twice");
}

Test(check_step, finish_before_all_is_there_is_found)
{
    struct world world = world_create_ring(3);
    world_step(&world, 1, 0, 1)->flags &= (uint8_t)~WH_REDUCE; /* rank 1 does not add its part */
    world_expect(&world, &world_plain,
                 "rank 2 lane 0 step 2: finishes chunk 0 with 2 of 3 contributions; rank 1's is "
                 "missing");
}

Test(check_step, finish_twice_is_found)
{
    struct world world = world_create_ring(3);
    world_step(&world, 1, 0, 3)->flags |= WH_FINISH;
    world_expect(&world, &world_plain, "rank 1 lane 0 step 3: finishes chunk 1 twice");
}

Test(check_step, reducing_after_finish_is_found)
{
    struct world world = world_create_ring(3);
    world_step(&world, 1, 0, 3)->flags |= WH_REDUCE;
    world_expect(&world, &world_plain, "rank 1 lane 0 step 3: reduces chunk 1 after FINISH");
}

/* ---- buffers --------------------------------------------------------------------------------- */

Test(check_step, scratch_before_a_store_is_undefined)
{
    struct world world = world_create_ring(3);
    world.scheds[2]->lanes[0].uses_scratch = true;
    world_step(&world, 2, 0, 0)->local = WH_SCRATCH;
    world_expect(&world, &world_plain,
                 "rank 2 lane 0 step 0: reads chunk 2 of SCRATCH before anything was stored there");
}

Test(check_step, output_before_a_store_is_undefined)
{
    struct world world = world_create_ring(3);
    world_step(&world, 2, 0, 0)->local = WH_OUTPUT;
    world_expect(&world, &world_plain,
                 "rank 2 lane 0 step 0: reads chunk 2 of OUTPUT before anything was stored there");
}

static void build_scratch_first(const struct wh_problem *p, struct wh_builder *b)
{
    const uint32_t peer = 1 - p->rank;

    wh_build_lane(b, 0);
    wh_build_copy(b, WH_INPUT, WH_SCRATCH, 0, 1);
    wh_build_send(b, peer, WH_SCRATCH, 0, 1);
    wh_build_step(b, &(struct wh_move){.flags = WH_RECV | WH_REDUCE | WH_FINISH | WH_STORE,
                                       .from = peer,
                                       .local = WH_SCRATCH,
                                       .store = WH_OUTPUT,
                                       .nchunks = 1});
}

Test(check_step, scratch_holds_what_was_stored)
{
    const struct wh_check_options two_passes = {.fifo_slots = 1, .npasses = 2};
    struct world world = world_create(all_reduce_of_2, 1, build_scratch_first);
    world_expect(&world, &two_passes, "");
}

/* Two ranks swap and add; rank 0 then sends its input again. */
static void build_second_look(const struct wh_problem *p, struct wh_builder *b)
{
    const uint32_t peer = 1 - p->rank;

    wh_build_lane(b, 0);
    wh_build_send(b, peer, WH_INPUT, 0, 1);
    wh_build_step(b, &(struct wh_move){.flags = WH_RECV | WH_REDUCE | WH_FINISH | WH_STORE,
                                       .from = peer,
                                       .local = WH_INPUT,
                                       .store = WH_OUTPUT,
                                       .nchunks = 1});
    if (p->rank == 0) {
        wh_build_send(b, peer, WH_INPUT, 0, 1);
    } else {
        wh_build_recv(b, peer, WH_SCRATCH, 0, 1);
    }
}

Test(check_step, input_is_gone_after_a_store_in_place)
{
    struct world world = world_create(all_reduce_of_2, 1, build_second_look);
    world_expect(&world, &world_plain, "");

    world = world_create(all_reduce_of_2, 1, build_second_look);
    world_expect(&world, &world_in_place,
                 "rank 0 lane 0 step 2: reads chunk 0 of INPUT after OUTPUT was stored over it in "
                 "place");
}

/* The root copies first and sends from INPUT afterwards. */
static void build_copy_then_send(const struct wh_problem *p, struct wh_builder *b)
{
    wh_build_lane(b, 0);
    if (p->rank == p->root) {
        wh_build_copy(b, WH_INPUT, WH_OUTPUT, 0, 1);
        wh_build_send(b, 1 - p->rank, WH_INPUT, 0, 1);
    } else {
        wh_build_recv(b, p->root, WH_OUTPUT, 0, 1);
    }
}

Test(check_step, copying_input_to_output_in_place_moves_nothing)
{
    struct world world = world_create((struct wh_problem){.coll = WH_COLL_BROADCAST, .nranks = 2},
                                      1, build_copy_then_send);
    world_expect(&world, &world_in_place, "");
}

/* Scaled sums read INPUT through a factor, so a copy in place changes what is read next. */
static void build_copy_then_reduce(const struct wh_problem *p, struct wh_builder *b)
{
    const uint32_t peer = 1 - p->rank;

    wh_build_lane(b, 0);
    wh_build_copy(b, WH_INPUT, WH_OUTPUT, 0, 1);
    wh_build_send(b, peer, WH_INPUT, 0, 1);
    wh_build_step(b, &(struct wh_move){.flags = WH_RECV | WH_REDUCE | WH_FINISH | WH_STORE,
                                       .from = peer,
                                       .local = WH_OUTPUT,
                                       .store = WH_OUTPUT,
                                       .nchunks = 1});
}

Test(check_step, copying_input_to_output_in_place_uses_it_up_where_it_reduces)
{
    struct world world = world_create(all_reduce_of_2, 1, build_copy_then_reduce);
    world_expect(&world, &world_plain, "");

    world = world_create(all_reduce_of_2, 1, build_copy_then_reduce);
    world_expect(&world, &world_in_place,
                 "rank 0 lane 0 step 1: reads chunk 0 of INPUT after OUTPUT was stored over it in "
                 "place");
}

static void build_output_everywhere(const struct wh_problem *p, struct wh_builder *b)
{
    const uint32_t peer = 1 - p->rank;

    wh_build_lane(b, 0);
    wh_build_send(b, peer, WH_INPUT, 0, 1);
    wh_build_step(b, &(struct wh_move){.flags = WH_RECV | WH_REDUCE | WH_FINISH | WH_STORE,
                                       .from = peer,
                                       .local = WH_INPUT,
                                       .store = WH_OUTPUT,
                                       .nchunks = 1});
}

Test(check_step, only_the_root_of_a_reduce_has_an_output)
{
    struct world world =
        world_create((struct wh_problem){.coll = WH_COLL_REDUCE, .nranks = 2, .root = 1}, 1,
                     build_output_everywhere);
    world_expect(&world, &world_plain,
                 "rank 0 lane 0 step 1: stores chunk 0 of OUTPUT, which this rank does not have");
}

static void build_input_everywhere(const struct wh_problem *p, struct wh_builder *b)
{
    wh_build_lane(b, 0);
    wh_build_copy(b, WH_INPUT, WH_OUTPUT, 0, 1);
    (void)p;
}

Test(check_step, only_the_root_of_a_broadcast_has_an_input)
{
    struct world world = world_create((struct wh_problem){.coll = WH_COLL_BROADCAST, .nranks = 2},
                                      1, build_input_everywhere);
    world_expect(&world, &world_plain,
                 "rank 1 lane 0 step 0: reads chunk 0 of INPUT, which this rank does not have");
}

Test(check_step, the_input_of_an_all_gather_is_the_ranks_own_chunk)
{
    struct world world = world_create((struct wh_problem){.coll = WH_COLL_ALL_GATHER, .nranks = 2},
                                      2, build_input_everywhere);
    world_expect(&world, &world_plain,
                 "rank 1 lane 0 step 0: reads chunk 0 of INPUT, which this rank does not have");
}

Test(check_step, the_output_of_a_reduce_scatter_is_the_ranks_own_chunk)
{
    const struct wh_problem problem = {.coll = WH_COLL_REDUCE_SCATTER, .nranks = 2};
    struct world world = world_create(problem, 2, build_input_everywhere);
    world_expect(&world, &world_plain,
                 "rank 1 lane 0 step 0: stores chunk 0 of OUTPUT, which this rank does not have");

    world = world_create(problem, 2, build_output_everywhere);
    world_step(&world, 1, 0, 1)->local = WH_OUTPUT;
    world_step(&world, 1, 0, 1)->flags = WH_RECV | WH_REDUCE | WH_STORE;
    world_expect(&world, &world_plain,
                 "rank 1 lane 0 step 1: reads chunk 0 of OUTPUT, which this rank does not have");
}

/* ---- messages -------------------------------------------------------------------------------- */

Test(check_step, a_message_received_as_another_chunk_is_found)
{
    struct world world = world_create_ring(3);
    world_step(&world, 1, 0, 4)->chunk = 1; /* should be 0 */
    world_expect(
        &world, &world_plain,
        "rank 1 lane 0 step 4: expects chunks 1+1, but lane 0 step 3 of rank 0 sent chunks "
        "0+1");
}

Test(check_step, a_message_received_as_more_chunks_is_found)
{
    struct world world = world_create_ring(3);
    for (uint32_t r = 0; r < 3; r++) {
        world.scheds[r]->nchunks_per_step = 2;
    }
    world_step(&world, 1, 0, 4)->nchunks = 2;
    world_expect(
        &world, &world_plain,
        "rank 1 lane 0 step 4: expects chunks 0+2, but lane 0 step 3 of rank 0 sent chunks "
        "0+1");
}

/* Rank 0 sends twice in a pass and rank 1 receives three times, so pass 0 ends in pass 1. */
static void build_uneven(const struct wh_problem *p, struct wh_builder *b)
{
    wh_build_lane(b, 1);
    for (uint32_t i = 0; i < 2 + p->rank; i++) {
        wh_build_step(b, &(struct wh_move){
                             .flags = p->rank == 0 ? WH_SEND : WH_RECV,
                             .from = 0,
                             .to = 1,
                         });
    }
}

Test(check_step, a_message_of_another_pass_is_found)
{
    const struct wh_check_options passes = {.fifo_slots = 1, .npasses = 3};
    struct world world =
        world_create((struct wh_problem){.coll = WH_COLL_BARRIER, .nranks = 2}, 1, build_uneven);
    world_expect(&world, &passes,
                 "rank 1 lane 0 step 2 pass 0: receives what lane 0 step 0 of rank 0 sent in pass "
                 "1");
}
