/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "schedule/sched.h"
#include "world.h"

static const struct wh_problem all_reduce_of_4 = {
    .coll = WH_COLL_ALL_REDUCE,
    .rank = 1,
    .nranks = 4,
};

/* One move in a lane on `channel`, sealed: it must be refused with this text somewhere. */
static void expect_refused(struct wh_problem problem, uint32_t channel, struct wh_move move,
                           const char *rule)
{
    struct wh_sched *sched = NULL;
    uint32_t nchunks = problem.coll == WH_COLL_ALL_GATHER ? problem.nranks : 3;
    struct wh_builder *b = wh_builder_create(&problem, "test", nchunks);

    wh_build_lane(b, channel);
    wh_build_step(b, &move);
    cr_expect_eq(wh_builder_seal(b, &sched), WHORL_E_INTERNAL, "not refused: %s", rule);
    cr_expect_null(sched);
    cr_expect_not_null(strstr(wh_error_get(), rule), "got \"%s\", want \"%s\"", wh_error_get(),
                       rule);
}

Test(build, seals_what_was_built)
{
    struct wh_sched *sched = NULL;
    struct wh_builder *b = wh_builder_create(&all_reduce_of_4, "hand", 3);

    wh_build_lane(b, 0);
    wh_build_send(b, 2, WH_INPUT, 4, 2);
    wh_build_recv(b, 0, WH_OUTPUT, 0, 1);
    wh_build_lane(b, 2);
    wh_build_copy(b, WH_INPUT, WH_SCRATCH, 0, 3);
    cr_assert_eq(wh_builder_seal(b, &sched), WHORL_OK);

    cr_expect_eq(sched->coll, WH_COLL_ALL_REDUCE);
    cr_expect_str_eq(sched->algo, "hand");
    cr_expect_eq(sched->rank, 1);
    cr_expect_eq(sched->nranks, 4);
    cr_expect_eq(sched->nchunks, 3);
    cr_expect_eq(sched->nchunks_per_step, 2, "copies are no messages");
    cr_assert_eq(sched->nlanes, 2);
    cr_assert_eq(sched->nsteps, 3);
    cr_assert_eq(sched->nlinks, 2);

    const struct wh_step *send = &sched->steps[0];
    cr_expect_eq(send->flags, WH_SEND);
    cr_expect_eq(send->local, WH_INPUT);
    cr_expect_eq(send->chunk, 1, "4 modulo 3");
    cr_expect_eq(send->nchunks, 2);
    cr_expect_eq(send->recv_link, WH_NO_LINK);
    cr_assert_lt(send->send_link, sched->nlinks);
    cr_expect_eq(sched->links[send->send_link].peer, 2);
    cr_expect_eq(sched->links[send->send_link].channel, 0);
    cr_expect(sched->links[send->send_link].is_send);

    const struct wh_step *recv = &sched->steps[1];
    cr_expect_eq(recv->flags, WH_RECV | WH_STORE);
    cr_expect_eq(recv->store, WH_OUTPUT);
    cr_assert_lt(recv->recv_link, sched->nlinks);
    cr_expect_eq(sched->links[recv->recv_link].peer, 0);
    cr_expect_not(sched->links[recv->recv_link].is_send);

    const struct wh_step *copy = &sched->steps[2];
    cr_expect_eq(copy->flags, WH_STORE);
    cr_expect_eq(copy->store, WH_SCRATCH);
    cr_expect_eq(sched->lanes[1].first_step, 2);
    cr_expect_eq(sched->lanes[1].nsteps, 1);
    cr_expect_eq(sched->lanes[1].channel, 2);
    cr_expect(sched->lanes[1].uses_scratch);
    cr_expect_not(sched->lanes[0].uses_scratch);
    wh_sched_destroy(sched);
}

Test(build, one_lane_uses_one_link_for_all_messages_to_a_peer)
{
    struct wh_sched *sched = NULL;
    struct wh_builder *b = wh_builder_create(&all_reduce_of_4, "test", 3);

    wh_build_lane(b, 0);
    for (uint32_t i = 0; i < 100; i++) {
        wh_build_send(b, 2, WH_INPUT, i, 1);
        wh_build_recv(b, 0, WH_OUTPUT, i, 1);
    }
    cr_assert_eq(wh_builder_seal(b, &sched), WHORL_OK);
    cr_expect_eq(sched->nlinks, 2);
    cr_expect_eq(sched->nsteps, 200);
    cr_expect_eq(sched->nlanes, 1, "the entry rule is kept already");
    wh_sched_destroy(sched);
}

Test(build, steps_are_canonical)
{
    struct wh_sched *sched = NULL;
    struct wh_builder *b = wh_builder_create(&all_reduce_of_4, "test", 3);

    wh_build_lane(b, 0);
    wh_build_step(b, &(struct wh_move){.flags = WH_SEND | WH_STORE | WH_REDUCE | WH_FINISH,
                                       .to = 2,
                                       .from = 77,
                                       .local = WH_SCRATCH,
                                       .store = WH_SCRATCH,
                                       .chunk = 2,
                                       .nchunks = 0});
    wh_build_step(b, &(struct wh_move){.flags = WH_RECV | WH_STORE,
                                       .from = 0,
                                       .to = 77,
                                       .local = WH_SCRATCH,
                                       .store = WH_OUTPUT,
                                       .chunk = 5,
                                       .nchunks = 1});
    cr_assert_eq(wh_builder_seal(b, &sched), WHORL_OK);
    cr_expect_eq(sched->steps[0].flags, WH_SEND, "without data nothing is reduced or stored");
    cr_expect_eq(sched->steps[0].chunk, 0);
    cr_expect_eq(sched->steps[0].local, 0);
    cr_expect_eq(sched->steps[0].store, 0);
    cr_expect_eq(sched->steps[1].chunk, 2);
    cr_expect_eq(sched->steps[1].local, 0, "not read");
    cr_expect_not(sched->lanes[0].uses_scratch);
    wh_sched_destroy(sched);
}

Test(build, copy_within_one_buffer_or_of_nothing_is_no_step)
{
    struct wh_sched *sched = NULL;
    struct wh_problem alone = {.coll = WH_COLL_BROADCAST, .nranks = 1};
    struct wh_builder *b = wh_builder_create(&alone, "test", 2);

    wh_build_lane(b, 0);
    wh_build_copy(b, WH_OUTPUT, WH_OUTPUT, 0, 2);
    wh_build_copy(b, WH_INPUT, WH_OUTPUT, 0, 0);
    cr_assert_eq(wh_builder_seal(b, &sched), WHORL_OK);
    cr_expect_eq(sched->nsteps, 0);
    cr_expect_eq(sched->nlanes, 0, "a lane without steps is left out");
    cr_expect_eq(sched->nchunks_per_step, 1);
    wh_sched_destroy(sched);
}

Test(build, empty_lanes_are_left_out)
{
    struct wh_sched *sched = NULL;
    struct wh_problem alone = {.coll = WH_COLL_BROADCAST, .nranks = 1};
    struct wh_builder *b = wh_builder_create(&alone, "test", 1);

    wh_build_lane(b, 0);
    wh_build_lane(b, 1);
    wh_build_copy(b, WH_INPUT, WH_OUTPUT, 0, 1);
    wh_build_lane(b, 2);
    cr_assert_eq(wh_builder_seal(b, &sched), WHORL_OK);
    cr_assert_eq(sched->nlanes, 1);
    cr_expect_eq(sched->lanes[0].channel, 1);
    wh_sched_destroy(sched);
}

Test(build, widest_raises_what_the_steps_say_and_never_lowers_it)
{
    for (uint32_t widest = 1; widest <= 3; widest++) {
        struct wh_sched *sched = NULL;
        struct wh_builder *b = wh_builder_create(&all_reduce_of_4, "test", 3);
        wh_build_widest(b, widest);
        wh_build_lane(b, 0);
        wh_build_send(b, 2, WH_INPUT, 0, 2);
        cr_assert_eq(wh_builder_seal(b, &sched), WHORL_OK);
        cr_expect_eq(sched->nchunks_per_step, widest < 2 ? 2 : widest);
        wh_sched_destroy(sched);
    }
}

/* ---- entry ---------------------------------------------------------------------------------- */

/* The last lane of rank 1 of n, which sends and receives as told on channel 0. */
static struct wh_sched *seal_with_entry(enum wh_coll coll, uint32_t n, bool sends, bool receives)
{
    struct wh_sched *sched = NULL;
    struct wh_problem problem = {.coll = coll, .rank = 1, .nranks = n};
    struct wh_builder *b = wh_builder_create(&problem, "test", 1);

    wh_build_lane(b, 0);
    if (sends) {
        wh_build_send(b, 2 % n, WH_INPUT, 0, 1);
    }
    if (receives) {
        wh_build_recv(b, 0, WH_OUTPUT, 0, 1);
    }
    cr_assert_eq(wh_builder_seal(b, &sched), WHORL_OK);
    return sched;
}

Test(build, entry_lane_has_only_the_missing_halves)
{
    for (uint32_t n = 2; n <= 3; n++) {
        for (uint32_t has = 0; has < 4; has++) {
            const bool sends = has & 1;
            const bool receives = has & 2;
            struct wh_sched *sched = seal_with_entry(WH_COLL_ALL_REDUCE, n, sends, receives);
            const uint32_t nown = (sends ? 1u : 0) + (receives ? 1u : 0);

            cr_expect_eq(sched->nsteps, 2);
            cr_expect_eq(sched->nlinks, 2);
            cr_expect_eq(sched->nlanes, nown == 1 ? 2 : 1);
            if (nown < 2) {
                const struct wh_lane *entry = &sched->lanes[sched->nlanes - 1];
                cr_expect_eq(entry->channel, 0);
                cr_expect_eq(entry->nsteps, 2 - nown);
                for (uint32_t s = entry->first_step; s < sched->nsteps; s++) {
                    cr_expect_eq(sched->steps[s].nchunks, 0);
                }
                cr_expect_eq(sched->steps[entry->first_step].flags, sends ? WH_RECV : WH_SEND,
                             "the send comes first");
            }
            wh_sched_destroy(sched);
        }
    }
}

Test(build, collectives_with_a_root_have_entry_messages_in_front)
{
    for (uint32_t has = 0; has < 4; has++) {
        const bool sends = has & 1;
        const bool receives = has & 2;
        struct wh_sched *sched = seal_with_entry(WH_COLL_BROADCAST, 3, sends, receives);
        const struct wh_lane *own = &sched->lanes[0];
        const uint32_t nown = (sends ? 1u : 0) + (receives ? 1u : 0);

        cr_expect_eq(sched->nsteps, 2 + nown);
        cr_expect_eq(sched->nlinks, 2);
        cr_expect_eq(own->nentry, nown == 0 ? 2 : nown);
        for (uint32_t s = 0; s < own->nentry; s++) {
            const struct wh_step *step = &sched->steps[own->first_step + s];
            cr_expect_eq(step->nchunks, 0);
            cr_expect_eq(step->flags, s == 0 && (sends || nown == 0) ? WH_SEND : WH_RECV);
        }
        if (nown == 1) {
            const struct wh_lane *entry = &sched->lanes[1];
            cr_expect_eq(entry->first_step, 2, "behind the lane that has grown");
            cr_expect_eq(entry->nentry, 1);
            cr_expect_eq(sched->steps[entry->first_step].flags, sends ? WH_RECV : WH_SEND);
        }
        wh_sched_destroy(sched);
    }
}

Test(build, two_ranks_need_no_entry_messages_in_front)
{
    struct wh_sched *sched = seal_with_entry(WH_COLL_BROADCAST, 2, true, true);
    cr_expect_eq(sched->nsteps, 2);
    cr_expect_eq(sched->lanes[0].nentry, 0);
    wh_sched_destroy(sched);
}

Test(build, traffic_on_another_channel_or_with_another_peer_is_no_entry)
{
    struct wh_sched *sched = NULL;
    struct wh_builder *b = wh_builder_create(&all_reduce_of_4, "test", 1);

    wh_build_lane(b, 1);
    wh_build_send(b, 2, WH_INPUT, 0, 1);
    wh_build_recv(b, 0, WH_OUTPUT, 0, 1);
    wh_build_lane(b, 0);
    wh_build_send(b, 3, WH_INPUT, 0, 1);
    wh_build_recv(b, 2, WH_OUTPUT, 0, 1);
    cr_assert_eq(wh_builder_seal(b, &sched), WHORL_OK);
    cr_expect_eq(sched->nlanes, 3);
    cr_expect_eq(sched->nlinks, 6);
    wh_sched_destroy(sched);
}

Test(build, one_rank_has_no_links)
{
    struct world world = world_create_ring(1);

    cr_expect_eq(world.scheds[0]->nlinks, 0);
    cr_expect_eq(world.scheds[0]->nlanes, 1);
    world_destroy(&world);
}

Test(build, sends_and_receives_have_no_entry)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct wh_sched *sched = NULL;
        struct wh_problem problem = {
            .coll = i == 0 ? WH_COLL_SEND : WH_COLL_RECV, .nranks = 3, .root = 2};
        struct wh_builder *b = wh_builder_create(&problem, "test", 1);
        wh_build_lane(b, WH_CHANNEL_P2P);
        if (i == 0) {
            wh_build_send(b, 2, WH_INPUT, 0, 1);
        } else {
            wh_build_recv(b, 2, WH_OUTPUT, 0, 1);
        }
        cr_assert_eq(wh_builder_seal(b, &sched), WHORL_OK);
        cr_expect_eq(sched->nlinks, 1);
        cr_expect_eq(sched->nsteps, 1);
        wh_sched_destroy(sched);
    }
}

/* ---- refusals ------------------------------------------------------------------------------- */

Test(build, seal_without_builder_is_out_of_memory)
{
    struct wh_sched *sched = NULL;

    wh_build_lane(NULL, 0);
    wh_build_step(NULL, &(struct wh_move){.flags = WH_SEND});
    wh_build_widest(NULL, 1);
    cr_expect_eq(wh_builder_seal(NULL, &sched), WHORL_E_NOMEM);
    cr_expect_null(sched);
}

Test(build, problems_that_make_no_sense_are_refused)
{
    const struct {
        struct wh_problem problem;
        uint32_t nchunks;
        const char *rule;
    } rows[] = {
        {{.coll = WH_NCOLLS, .nranks = 1}, 1, "unknown collective"},
        {{.rank = 2, .nranks = 2}, 1, "the rank is none of the ranks"},
        {{.nranks = 0}, 1, "the rank is none of the ranks"},
        {{.nranks = 2, .root = 2}, 1, "the root is none of the ranks"},
        {{.nranks = 2}, 0, "at least one chunk"},
        {{.coll = WH_COLL_ALL_GATHER, .nranks = 2}, 3, "a chunk for every rank"},
        {{.coll = WH_COLL_REDUCE_SCATTER, .nranks = 2}, 1, "a chunk for every rank"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wh_sched *sched = NULL;
        struct wh_builder *b = wh_builder_create(&rows[i].problem, "test", rows[i].nchunks);
        wh_build_lane(b, 0);
        cr_expect_eq(wh_builder_seal(b, &sched), WHORL_E_INTERNAL);
        cr_expect_not_null(strstr(wh_error_get(), rows[i].rule), "%s", wh_error_get());
    }
}

Test(build, channels_out_of_range_are_refused)
{
    const struct wh_move send = {.flags = WH_SEND, .to = 2, .nchunks = 1};
    struct wh_problem p2p = {.coll = WH_COLL_SEND, .rank = 1, .nranks = 4, .root = 2};

    expect_refused(all_reduce_of_4, WH_CHANNELS_MAX, send, "a all_reduce has no channel 4");
    expect_refused(all_reduce_of_4, 9, send, "has no channel 9");
    expect_refused(p2p, 0, send, "a send has no channel 0");
}

Test(build, steps_that_break_a_rule_are_refused)
{
    const struct {
        struct wh_move move;
        const char *rule;
    } rows[] = {
        {{.flags = 32, .nchunks = 1}, "unknown flags"},
        {{.flags = WH_SEND, .to = 2, .nchunks = 4}, "more chunks than the pass has"},
        {{.flags = WH_STORE, .nchunks = 0}, "neither data nor a message"},
        {{.flags = 0, .nchunks = 1}, "the value goes nowhere"},
        {{.flags = WH_RECV, .from = 0, .nchunks = 1}, "the value goes nowhere"},
        {{.flags = WH_REDUCE | WH_SEND, .to = 2, .nchunks = 1}, "REDUCE without RECV needs STORE"},
        {{.flags = WH_SEND, .to = 2, .local = WH_NBUFS, .nchunks = 1}, "unknown local buffer"},
        {{.flags = WH_STORE, .store = WH_INPUT, .nchunks = 1}, "STORE goes to OUTPUT or SCRATCH"},
        {{.flags = WH_STORE, .store = WH_NBUFS, .nchunks = 1}, "STORE goes to OUTPUT or SCRATCH"},
        {{.flags = WH_SEND, .to = 4, .nchunks = 1}, "lane 0 step 0: the peer is no other rank"},
        {{.flags = WH_SEND, .to = 1, .nchunks = 1}, "the peer is no other rank"},
        {{.flags = WH_RECV, .from = 1, .nchunks = 0}, "the peer is no other rank"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        expect_refused(all_reduce_of_4, 0, rows[i].move, rows[i].rule);
    }
}

Test(build, only_collectives_that_reduce_may_reduce_and_finish)
{
    struct wh_problem gather = {.coll = WH_COLL_ALL_GATHER, .rank = 1, .nranks = 4};
    const char *rule = "in a collective that does not reduce";

    expect_refused(
        gather, 0,
        (struct wh_move){.flags = WH_STORE | WH_FINISH, .store = WH_OUTPUT, .nchunks = 1}, rule);
    expect_refused(
        gather, 0,
        (struct wh_move){.flags = WH_STORE | WH_REDUCE, .store = WH_OUTPUT, .nchunks = 1}, rule);
}

Test(build, barriers_move_no_data)
{
    struct wh_problem barrier = {.coll = WH_COLL_BARRIER, .rank = 1, .nranks = 4};

    expect_refused(barrier, 0, (struct wh_move){.flags = WH_SEND, .to = 2, .nchunks = 1},
                   "a barrier moves no data");
}

Test(build, a_link_in_two_lanes_is_refused)
{
    struct wh_sched *sched = NULL;
    struct wh_builder *b = wh_builder_create(&all_reduce_of_4, "test", 3);

    wh_build_lane(b, 0);
    wh_build_send(b, 2, WH_INPUT, 0, 1);
    wh_build_recv(b, 2, WH_OUTPUT, 0, 1); /* the other direction is another link */
    wh_build_lane(b, 1);
    wh_build_send(b, 2, WH_INPUT, 0, 1); /* and so is another channel */
    wh_build_lane(b, 0);
    wh_build_send(b, 2, WH_INPUT, 0, 1);
    cr_expect_eq(wh_builder_seal(b, &sched), WHORL_E_INTERNAL);
    cr_expect_not_null(
        strstr(wh_error_get(), "lane 2 step 0: the link to rank 2 on channel 0 belongs to lane 0"),
        "%s", wh_error_get());
}

Test(build, a_step_before_the_first_lane_is_refused)
{
    struct wh_sched *sched = NULL;
    struct wh_builder *b = wh_builder_create(&all_reduce_of_4, "test", 3);

    wh_build_send(b, 2, WH_INPUT, 0, 1);
    cr_expect_eq(wh_builder_seal(b, &sched), WHORL_E_INTERNAL);
    cr_expect_not_null(strstr(wh_error_get(), "before the first wh_build_lane()"));
}

Test(build, messages_wider_than_the_pass_are_refused)
{
    struct wh_sched *sched = NULL;
    struct wh_builder *b = wh_builder_create(&all_reduce_of_4, "test", 3);

    wh_build_widest(b, 4);
    cr_expect_eq(wh_builder_seal(b, &sched), WHORL_E_INTERNAL);
    cr_expect_not_null(strstr(wh_error_get(), "a message of 4 chunks, but a pass has 3"));
}

Test(build, the_first_mistake_is_the_one_that_is_reported)
{
    struct wh_sched *sched = NULL;
    struct wh_builder *b = wh_builder_create(&all_reduce_of_4, "test", 3);

    wh_build_lane(b, 0);
    wh_build_send(b, 2, WH_INPUT, 0, 1);
    wh_build_send(b, 1, WH_INPUT, 0, 1);
    wh_build_send(b, 2, WH_INPUT, 0, 9);
    cr_expect_eq(wh_builder_seal(b, &sched), WHORL_E_INTERNAL);
    cr_expect_not_null(strstr(wh_error_get(), "schedule of all_reduce test for rank 1 of 4: "
                                              "lane 0 step 1: the peer is no other rank"),
                       "%s", wh_error_get());
}
