/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_ALL_REDUCE, "tree");
}

Test(allreduce_dbtree, up_to_nine_ranks_hold)
{
    sched_suite_check_up_to(algo(), 9);
}

Test(allreduce_dbtree, nobody_sends_more_than_four_half_buffers)
{
    for (uint32_t n = 2; n <= 40; n++) {
        struct sched_suite *suite = sched_suite_create(algo(), n, 0);
        uint32_t nmessages = 0;
        for (uint32_t rank = 0; rank < n; rank++) {
            struct sched_suite_sent sent = sched_suite_sent_by(suite, rank);
            cr_expect_leq(sent.nmessages, 4);
            cr_expect_eq(sent.nmessages, sent.nchunks);
            nmessages += sent.nmessages;
        }
        cr_expect_eq(nmessages, 2 * 2 * (n - 1), "every tree edge is used once up and once down");
        cr_expect_eq(suite->scheds[0]->nchunks, 2);
        sched_suite_destroy(suite);
    }
}

Test(allreduce_dbtree, the_trees_use_channels_0_and_1_up_and_down)
{
    struct sched_suite *suite = sched_suite_create(algo(), 8, 0);
    const struct wh_sched *sched = suite->scheds[4];
    cr_assert_geq(sched->nlanes, 4);
    for (uint32_t lane = 0; lane < 4; lane++) {
        cr_expect_eq(sched->lanes[lane].channel, lane / 2);
    }
    sched_suite_destroy(suite);
}

Test(allreduce_dbtree, the_root_turns_around_in_one_step)
{
    struct sched_suite *suite = sched_suite_create(algo(), 8, 0);
    const struct wh_sched *root = suite->scheds[0];
    cr_assert_geq(root->nlanes, 2);
    for (uint32_t lane = 0; lane < 2; lane++) {
        cr_expect_eq(root->lanes[lane].nsteps, 1);
        cr_expect_eq(root->steps[root->lanes[lane].first_step].flags,
                     WH_RECV | WH_REDUCE | WH_FINISH | WH_STORE | WH_SEND);
    }
    sched_suite_destroy(suite);
}

Test(allreduce_dbtree, cost_is_the_formula)
{
    /* 4 ranks: depth 2. One pass: 8 messages of 100 bytes; a second: 4 more. */
    cr_expect_eq(sched_suite_cost_ns(algo(), 4, 200), 8000 + 800 + 200);
    cr_expect_eq(sched_suite_cost_ns(algo(), 4, 400), 12000 + 1200 + 300);
    cr_expect_eq(sched_suite_cost_ns(algo(), 1, 400), 0);
}
