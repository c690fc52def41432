/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed schedules are edited by hand, as the builder would not make these. */
#include "schedule/check_rules.h"
#include "world.h"

/* Breaks something in a right ring of 3 ranks. */
typedef void (*damage_fn)(struct world *world);

static void expect_fault(damage_fn damage, const char *fault)
{
    struct world world = world_create_ring(3);
    damage(&world);
    world_expect(&world, &world_plain, fault);
}

static void foreign_rank(struct world *world)
{
    world->scheds[1]->rank = 2;
}

static void other_root(struct world *world)
{
    world->scheds[2]->root = 1;
}

static void other_coll(struct world *world)
{
    world->scheds[1]->coll = WH_COLL_REDUCE;
}

static void other_nchunks(struct world *world)
{
    world->scheds[2]->nchunks = 4;
}

static void other_message_size(struct world *world)
{
    world->scheds[2]->nchunks_per_step = 2;
}

static void only_one_abreast(struct world *world)
{
    world->scheds[1]->goes_abreast = !world->scheds[0]->goes_abreast;
}

Test(check_rules, ranks_must_agree)
{
    expect_fault(foreign_rank, "rank 1: the schedule is rank 2's of 3, root 0");
    expect_fault(other_root,
                 "rank 2: all_reduce with root 1, but rank 0 has all_reduce with root 0");
    expect_fault(other_coll, "rank 1: reduce with root 0, but rank 0 has all_reduce with root 0");
    expect_fault(other_nchunks, "rank 2: 4 chunks in a pass, but rank 0 has 3");
    expect_fault(other_message_size, "rank 2: messages of up to 2 chunks, but rank 0 has up to 1 "
                                     "(wh_build_widest() makes them agree)");
    expect_fault(only_one_abreast, "rank 1: passes go side by side, or not, unlike rank 0's");
}

static void blocks_without_chunks(struct world *world)
{
    for (uint32_t r = 0; r < world->nranks; r++) {
        world->scheds[r]->coll = WH_COLL_REDUCE_SCATTER;
        world->scheds[r]->nchunks = 4;
    }
}

Test(check_rules, collectives_of_blocks_have_a_chunk_for_every_rank)
{
    expect_fault(blocks_without_chunks, "rank 0: 4 chunks for the blocks of 3 ranks");
}

static void steps_out_of_range(struct world *world)
{
    world->scheds[1]->lanes[0].nsteps = 6;
}

static void unknown_flags(struct world *world)
{
    world_step(world, 1, 0, 2)->flags |= 64;
}

static void chunk_out_of_range(struct world *world)
{
    world_step(world, 1, 0, 2)->chunk = 3;
}

static void recv_without_link(struct world *world)
{
    world_step(world, 1, 0, 2)->recv_link = WH_NO_LINK;
}

static void recv_on_a_send_link(struct world *world)
{
    world_step(world, 1, 0, 2)->recv_link = world_step(world, 1, 0, 2)->send_link;
}

static void send_link_without_send(struct world *world)
{
    world_step(world, 1, 0, 2)->flags &= (uint8_t)~WH_SEND;
}

static void wide_message(struct world *world)
{
    world_step(world, 2, 0, 1)->nchunks = 2;
}

static void scratch_by_stealth(struct world *world)
{
    world_step(world, 2, 0, 1)->local = WH_SCRATCH;
}

static void store_to_input(struct world *world)
{
    world_step(world, 2, 0, 3)->store = WH_INPUT;
}

static void value_to_nowhere(struct world *world)
{
    world_step(world, 2, 0, 4)->flags = WH_RECV;
}

static void reduce_alone(struct world *world)
{
    world_step(world, 2, 0, 0)->flags |= WH_REDUCE;
}

static void store_without_data(struct world *world)
{
    world_step(world, 2, 0, 4)->nchunks = 0;
}

Test(check_rules, steps_must_obey_the_language)
{
    expect_fault(steps_out_of_range, "rank 1 lane 0: steps that the schedule does not have");
    expect_fault(unknown_flags, "rank 1 lane 0 step 2: unknown flags");
    expect_fault(chunk_out_of_range, "rank 1 lane 0 step 2: chunks that the pass does not have");
    expect_fault(recv_without_link, "rank 1 lane 0 step 2: recv_link is no link to receive from");
    expect_fault(recv_on_a_send_link, "rank 1 lane 0 step 2: recv_link is no link to receive from");
    expect_fault(send_link_without_send, "rank 1 lane 0 step 2: send_link is no link to send on");
    expect_fault(wide_message,
                 "rank 2 lane 0 step 1: a message of more chunks than nchunks_per_step");
    expect_fault(scratch_by_stealth,
                 "rank 2 lane 0 step 1: SCRATCH in a lane that says it uses none");
    expect_fault(store_to_input, "rank 2 lane 0 step 3: STORE goes to OUTPUT or SCRATCH");
    expect_fault(value_to_nowhere, "rank 2 lane 0 step 4: the value goes nowhere");
    expect_fault(reduce_alone, "rank 2 lane 0 step 0: REDUCE without RECV needs STORE");
    expect_fault(store_without_data,
                 "rank 2 lane 0 step 4: without data there is only RECV and SEND");
}

static void shared_scratch(struct world *world)
{
    for (uint32_t r = 0; r < world->nranks; r++) {
        world->scheds[r]->goes_abreast = true;
        world->scheds[r]->lanes[0].uses_scratch = true;
    }
}

Test(check_rules, passes_side_by_side_have_no_scratch)
{
    expect_fault(shared_scratch, "rank 0 lane 0 step 0: SCRATCH, which passes that go side by side "
                                 "would share");
}

static void finish_in_a_broadcast(struct world *world)
{
    for (uint32_t r = 0; r < world->nranks; r++) {
        world->scheds[r]->coll = WH_COLL_BROADCAST;
    }
}

static void data_in_a_barrier(struct world *world)
{
    for (uint32_t r = 0; r < world->nranks; r++) {
        world->scheds[r]->coll = WH_COLL_BARRIER;
    }
}

Test(check_rules, collectives_must_not_do_what_is_not_theirs)
{
    expect_fault(finish_in_a_broadcast,
                 "rank 0 lane 0 step 1: REDUCE or FINISH in a collective that does not reduce");
    expect_fault(data_in_a_barrier, "rank 0 lane 0 step 0: a barrier moves no data");
}

static void link_to_nobody(struct world *world)
{
    world->scheds[1]->links[0].peer = 3;
}

static void link_to_itself(struct world *world)
{
    world->scheds[1]->links[0].peer = 1;
}

static void channel_of_the_others(struct world *world)
{
    for (uint32_t r = 0; r < world->nranks; r++) {
        world->scheds[r]->lanes[0].channel = WH_CHANNEL_P2P;
        world->scheds[r]->links[0].channel = WH_CHANNEL_P2P;
        world->scheds[r]->links[1].channel = WH_CHANNEL_P2P;
    }
}

static void link_off_the_lane(struct world *world)
{
    world->scheds[2]->lanes[0].channel = 1;
}

static void link_unused(struct world *world)
{
    world->scheds[1]->lanes[0].nsteps = 1; /* only the send is left */
}

Test(check_rules, links_must_be_in_range_and_used)
{
    expect_fault(link_to_nobody, "rank 1 link 0: peer 3 is no other rank");
    expect_fault(link_to_itself, "rank 1 link 0: peer 1 is no other rank");
    expect_fault(channel_of_the_others, "rank 0 link 0: a all_reduce has no channel 4");
    expect_fault(link_off_the_lane,
                 "rank 2 lane 0 step 0: the lane is on channel 1, its link on 0");
    expect_fault(link_unused, "rank 1 link 1: no step uses it");
}

/* Two lanes to the same peer, on two channels. */
static void build_two_lanes(const struct wh_problem *p, struct wh_builder *b)
{
    const uint32_t peer = 1 - p->rank;

    for (uint32_t channel = 0; channel < 2; channel++) {
        wh_build_lane(b, channel);
        wh_build_send(b, peer, WH_INPUT, channel, 1);
        wh_build_step(b, &(struct wh_move){
                             .flags = WH_RECV | WH_REDUCE | WH_FINISH | WH_STORE,
                             .from = peer,
                             .local = WH_INPUT,
                             .store = WH_OUTPUT,
                             .chunk = channel,
                             .nchunks = 1,
                         });
    }
}

Test(check_rules, a_link_belongs_to_one_lane)
{
    struct wh_problem problem = {.coll = WH_COLL_ALL_REDUCE, .nranks = 2};
    struct world world = world_create(problem, 2, build_two_lanes);
    world_expect(&world, &world_plain, "");

    world = world_create(problem, 2, build_two_lanes);
    world.scheds[1]->lanes[1].channel = 0;
    world_step(&world, 1, 1, 0)->send_link = world_step(&world, 1, 0, 0)->send_link;
    world_expect(&world, &world_plain,
                 "rank 1 lane 1 step 0: the link to rank 0 on channel 0 belongs to lane 0");

    world = world_create(problem, 2, build_two_lanes);
    world.scheds[1]->lanes[1].channel = 0;
    world_step(&world, 1, 1, 0)->send_link = WH_NO_LINK;
    world_step(&world, 1, 1, 0)->flags = WH_STORE;
    world_step(&world, 1, 1, 0)->store = WH_OUTPUT;
    world_step(&world, 1, 1, 1)->recv_link = world_step(&world, 1, 0, 1)->recv_link;
    world_expect(&world, &world_plain,
                 "rank 1 lane 1 step 1: the link from rank 0 on channel 0 belongs to lane 0");
}

/* The whole ring moves to channel 1. */
static void no_entry_at_all(struct world *world)
{
    for (uint32_t r = 0; r < world->nranks; r++) {
        world->scheds[r]->lanes[0].channel = 1;
        world->scheds[r]->links[0].channel = 1;
        world->scheds[r]->links[1].channel = 1;
    }
}

/* Rank 1 listens to its right. */
static void entry_from_the_wrong_side(struct world *world)
{
    struct wh_sched *sched = world->scheds[1];
    uint32_t recv = world_step(world, 1, 0, 1)->recv_link;
    sched->links[recv].peer = 2;
}

Test(check_rules, the_entry_rule_holds)
{
    expect_fault(no_entry_at_all, "rank 0: entry: sends nothing to rank 1 on channel 0");
    expect_fault(entry_from_the_wrong_side,
                 "rank 1: entry: receives nothing from rank 0 on channel 0");
}

static void an_entry_step_that_moves_data(struct world *world)
{
    world->scheds[1]->lanes[0].nentry = 1;
}

static void entry_steps_that_are_not_there(struct world *world)
{
    world->scheds[1]->lanes[0].nentry = world->scheds[1]->lanes[0].nsteps + 1;
}

Test(check_rules, entry_steps_are_steps_without_data)
{
    expect_fault(an_entry_step_that_moves_data, "rank 1 lane 0 step 0: an entry step with data");
    expect_fault(entry_steps_that_are_not_there, "rank 1 lane 0: more entry steps than steps");
}
