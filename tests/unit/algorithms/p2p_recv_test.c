/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_RECV, "p2p");
}

Test(p2p_recv, a_sender_and_a_receiver_hold)
{
    struct sched_suite *suite = sched_suite_create(algo(), 2, 0);
    sched_suite_check_small(suite);
    cr_expect_eq(suite->scheds[0]->nsteps, 1);
    cr_expect_eq(suite->scheds[1]->nsteps, 1);
    cr_expect_eq(suite->scheds[0]->lanes[0].channel, WH_CHANNEL_P2P);
    sched_suite_destroy(suite);
}

Test(p2p_recv, does_not_fit_a_rank_and_itself)
{
    const struct wh_problem problem = {.coll = WH_COLL_RECV, .rank = 2, .nranks = 4, .root = 2};
    struct wh_sched *sched = NULL;
    cr_expect_eq(wh_algo_build(algo(), &problem, &sched), WHORL_E_UNSUPPORTED);
    cr_expect_null(sched);
}

Test(p2p_recv, cost_is_a_message_a_slot)
{
    cr_expect_eq(sched_suite_cost_ns(algo(), 2, 100), 1000 + 100);
    cr_expect_eq(sched_suite_cost_ns(algo(), 2, 250), 3000 + 250);
}
