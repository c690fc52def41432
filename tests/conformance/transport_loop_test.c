/* SPDX-License-Identifier: Apache-2.0 */
#include "../../transports/loop/loop.h"
#include "conformance/wire_suite.h"
#include "conformance/wire_world.h"

WIRE_SUITE(loop, threads)

/* ---- faults on order ------------------------------------------------------------------------ */

/* Two connected wires of this thread; links from rank 0 to rank 1 on two channels. */
struct rig {
    struct world_pair pair;
    struct wh_link *out[2], *in[2];
};

static void rig_open(struct rig *rig)
{
    const struct world_spec spec = {.ops = &whorl_transport_loop,
                                    .ranks = wire_threads,
                                    .nranks = 2,
                                    .nchannels = 2,
                                    .nslots = 8,
                                    .slot_nbytes = 64};

    world_pair_open(&spec, &rig->pair);
    cr_assert_eq(world_pair_connect(&rig->pair, 2), WHORL_OK);
    for (uint32_t c = 0; c < 2; c++) {
        rig->out[c] = world_link(&rig->pair.ranks[0], 1, c, true);
        rig->in[c] = world_link(&rig->pair.ranks[1], 0, c, false);
    }
}

static void rig_close(struct rig *rig)
{
    for (uint32_t c = 0; c < 2; c++) {
        rig->out[c]->ops->link_close(rig->out[c]);
        rig->in[c]->ops->link_close(rig->in[c]);
    }
    world_pair_close(&rig->pair);
    loop_faults_set(NULL);
}

static whorl_result_t post(struct wh_link *link, uint64_t seed)
{
    struct wh_slot slot;
    whorl_result_t rc = link->ops->acquire(link, &slot);

    if (rc != WHORL_OK) {
        return rc;
    }
    world_fill(&slot, seed, 20);
    return link->ops->post(link, 20);
}

static whorl_result_t take(struct wh_link *link, uint64_t seed)
{
    struct wh_slot slot;
    whorl_result_t rc = link->ops->poll(link, &slot);

    if (rc == WHORL_OK) {
        cr_expect(world_is_filled(&slot, seed, 20));
        link->ops->release(link);
    }
    return rc;
}

Test(loop_faults, a_delayed_message_is_seen_after_so_many_polls)
{
    struct rig rig;

    loop_faults_set(&(struct loop_faults){.delay_npolls = 3});
    rig_open(&rig);
    cr_assert_eq(post(rig.out[0], 1), WHORL_OK);
    cr_assert_eq(post(rig.out[0], 2), WHORL_OK);
    for (uint64_t seed = 1; seed <= 2; seed++) {
        for (int i = 0; i < 3; i++) {
            cr_expect_eq(take(rig.in[0], seed), WHORL_IN_PROGRESS);
        }
        cr_expect_eq(take(rig.in[0], seed), WHORL_OK);
    }
    rig_close(&rig);
}

Test(loop_faults, a_delay_lets_nobody_oversleep)
{
    struct rig rig;

    loop_faults_set(&(struct loop_faults){.delay_npolls = 1});
    rig_open(&rig);
    struct wh_transport_wire *wire = rig.pair.ranks[1].wire;
    struct wh_doorbell *bell = wire->ops->bell(wire);
    cr_assert_eq(post(rig.out[0], 1), WHORL_OK);

    atomic_fetch_add(&bell->sleepers, 1);
    uint32_t rings = atomic_load(&bell->rings);
    cr_expect_eq(take(rig.in[0], 1), WHORL_IN_PROGRESS);
    cr_expect_neq(atomic_load(&bell->rings), rings);
    rig_close(&rig);
}

/* Which channel's message is seen first, when both are polled in turns? The one of channel 0 was
 * posted, and is polled, first. */
static uint32_t first_channel(uint64_t seed)
{
    struct rig rig;
    uint32_t first = 2;

    loop_faults_set(&(struct loop_faults){.shuffle_npolls = 4, .seed = seed});
    rig_open(&rig);
    for (uint32_t c = 0; c < 2; c++) {
        cr_assert_eq(post(rig.out[c], c), WHORL_OK);
    }
    for (uint32_t i = 0; first == 2; i++) {
        cr_assert_lt(i, 20);
        if (take(rig.in[i % 2], i % 2) == WHORL_OK) {
            first = i % 2;
        }
    }
    rig_close(&rig);
    return first;
}

Test(loop_faults, shuffled_links_overtake_each_other_and_a_seed_repeats)
{
    uint32_t nfirst[2] = {0, 0};

    for (uint64_t seed = 0; seed < 32; seed++) {
        uint32_t first = first_channel(seed);
        cr_expect_eq(first_channel(seed), first);
        nfirst[first]++;
    }
    cr_expect_gt(nfirst[0], 0);
    cr_expect_gt(nfirst[1], 0);
}

Test(loop_faults, shuffled_or_not_a_link_stays_in_order)
{
    loop_faults_set(&(struct loop_faults){.delay_npolls = 1, .shuffle_npolls = 5, .seed = 7});
    wire_case_messages_arrive_complete_and_in_order(&whorl_transport_loop, wire_threads);
    wire_case_eight_ranks_talk_to_all(&whorl_transport_loop, wire_threads);
}

Test(loop_faults, one_message_is_dropped)
{
    struct rig rig;

    loop_faults_set(&(struct loop_faults){.drop_post = 2});
    rig_open(&rig);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        cr_assert_eq(post(rig.out[0], seed), WHORL_OK);
    }
    cr_expect_eq(take(rig.in[0], 1), WHORL_OK);
    cr_expect_eq(take(rig.in[0], 3), WHORL_OK);
    cr_expect_eq(take(rig.in[0], 4), WHORL_IN_PROGRESS);
    rig_close(&rig);
}

Test(loop_faults, acquire_fails_from_the_given_one_on)
{
    struct rig rig;

    rig_open(&rig);
    loop_wire_faults_set(rig.pair.ranks[0].wire,
                         &(struct loop_faults){.fail_acquire = 3, .failure = WHORL_E_PEER});
    cr_expect_eq(post(rig.out[0], 1), WHORL_OK);
    cr_expect_eq(post(rig.out[1], 2), WHORL_OK);
    cr_expect_eq(post(rig.out[0], 3), WHORL_E_PEER);
    cr_expect_eq(post(rig.out[1], 4), WHORL_E_PEER);
    rig_close(&rig);
}

Test(loop_faults, post_fails_and_sends_nothing)
{
    struct rig rig;

    rig_open(&rig);
    loop_wire_faults_set(rig.pair.ranks[0].wire,
                         &(struct loop_faults){.fail_post = 2, .failure = WHORL_E_SYS});
    cr_expect_eq(post(rig.out[0], 1), WHORL_OK);
    cr_expect_eq(post(rig.out[0], 2), WHORL_E_SYS);
    cr_expect_eq(take(rig.in[0], 1), WHORL_OK);
    cr_expect_eq(take(rig.in[0], 2), WHORL_IN_PROGRESS);
    rig_close(&rig);
}

Test(loop_faults, poll_fails_where_there_is_a_message)
{
    struct rig rig;

    rig_open(&rig);
    loop_wire_faults_set(rig.pair.ranks[1].wire,
                         &(struct loop_faults){.fail_poll = 2, .failure = WHORL_E_PEER});
    cr_expect_eq(take(rig.in[0], 1), WHORL_IN_PROGRESS);
    cr_assert_eq(post(rig.out[0], 1), WHORL_OK);
    cr_assert_eq(post(rig.out[0], 2), WHORL_OK);
    cr_expect_eq(take(rig.in[0], 1), WHORL_OK);
    cr_expect_eq(take(rig.in[0], 2), WHORL_E_PEER);
    rig_close(&rig);
}

Test(loop_faults, one_rank_alone_can_be_faulty)
{
    struct rig rig;

    loop_faults_set(&(struct loop_faults){
        .is_one_rank = true, .rank = 1, .fail_acquire = 1, .failure = WHORL_E_PEER});
    rig_open(&rig);
    cr_expect_eq(post(rig.out[0], 1), WHORL_OK);

    struct wh_link *back = world_link(&rig.pair.ranks[1], 0, 0, true);
    cr_expect_eq(post(back, 1), WHORL_E_PEER);
    back->ops->link_close(back);
    rig_close(&rig);
}

Test(loop_faults, memory_is_what_is_under_way)
{
    struct rig rig;

    rig_open(&rig);
    struct wh_transport_wire *wire = rig.pair.ranks[0].wire;
    cr_expect_eq(wire->ops->memory_nbytes(wire), 0);
    cr_assert_eq(post(rig.out[0], 1), WHORL_OK);
    cr_expect_geq(wire->ops->memory_nbytes(wire), 64);
    cr_assert_eq(take(rig.in[0], 1), WHORL_OK);
    cr_expect_eq(wire->ops->memory_nbytes(wire), 0);
    rig_close(&rig);
}
