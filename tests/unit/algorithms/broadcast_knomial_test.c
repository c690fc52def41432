/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_BROADCAST, "knomial");
}

Test(broadcast_knomial, up_to_nine_ranks_hold)
{
    sched_suite_check_up_to(algo(), 9);
}

Test(broadcast_knomial, sixteen_ranks_take_two_rounds_of_three_sends)
{
    struct sched_suite *suite = sched_suite_create(algo(), 16, 5);
    for (uint32_t distance = 0; distance < 16; distance++) {
        const uint32_t rank = (5 + distance) % 16;
        const uint32_t nsends = distance == 0 ? 6 : distance % 4 == 0 ? 3 : 0;
        cr_expect_eq(sched_suite_sent_by(suite, rank).nmessages, nsends);
    }
    const struct wh_step *first = sched_suite_nth_send(suite, 5, 0);
    cr_expect_eq(sched_suite_receiver(suite, 5, first), 9, "the largest subtree is served first");
    sched_suite_destroy(suite);
}

Test(broadcast_knomial, cost_is_the_formula)
{
    cr_expect_eq(sched_suite_cost_ns(algo(), 16, 100), 6000 + 600);
    cr_expect_eq(sched_suite_cost_ns(algo(), 1, 100), 0);
}
