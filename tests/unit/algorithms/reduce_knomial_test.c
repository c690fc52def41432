/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_REDUCE, "knomial");
}

Test(reduce_knomial, up_to_nine_ranks_hold)
{
    sched_suite_check_up_to(algo(), 9);
}

Test(reduce_knomial, all_but_the_root_send_once_to_their_parent)
{
    struct sched_suite *suite = sched_suite_create(algo(), 16, 5);
    for (uint32_t distance = 1; distance < 16; distance++) {
        const uint32_t rank = (5 + distance) % 16;
        const uint32_t parent = distance % 4 == 0 ? 5 : (5 + distance / 4 * 4) % 16;
        cr_expect_eq(sched_suite_sent_by(suite, rank).nmessages, 1);
        const struct wh_step *step = sched_suite_nth_send(suite, rank, 0);
        cr_expect_eq(sched_suite_receiver(suite, rank, step), parent);
    }
    cr_expect_eq(sched_suite_sent_by(suite, 5).nmessages, 0);
    sched_suite_destroy(suite);
}

Test(reduce_knomial, cost_is_the_formula)
{
    cr_expect_eq(sched_suite_cost_ns(algo(), 16, 100), 6000 + 600 + 300);
    cr_expect_eq(sched_suite_cost_ns(algo(), 1, 100), 0);
}
