/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_ALL_REDUCE, "oneshot");
}

Test(allreduce_oneshot, up_to_nine_ranks_hold)
{
    sched_suite_check_up_to(algo(), 9);
}

Test(allreduce_oneshot, everyone_sends_to_everyone_beginning_at_its_right)
{
    struct sched_suite *suite = sched_suite_create(algo(), 7, 0);
    for (uint32_t rank = 0; rank < 7; rank++) {
        cr_expect_eq(sched_suite_sent_by(suite, rank).nmessages, 6);
        for (uint32_t i = 0; i < 6; i++) {
            const struct wh_step *step = sched_suite_nth_send(suite, rank, i);
            cr_expect_eq(sched_suite_receiver(suite, rank, step), (rank + 1 + i) % 7);
        }
    }
    sched_suite_destroy(suite);
}

Test(allreduce_oneshot, cost_is_the_formula)
{
    cr_expect_eq(sched_suite_cost_ns(algo(), 4, 100), 3000 + 300 + 150);
    cr_expect_eq(sched_suite_cost_ns(algo(), 1, 100), 0);
}
