/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_ALL_REDUCE, "doubling");
}

Test(allreduce_doubling, up_to_nine_ranks_hold)
{
    sched_suite_check_up_to(algo(), 9);
}

Test(allreduce_doubling, a_power_of_two_exchanges_log2_n_times_near_first)
{
    struct sched_suite *suite = sched_suite_create(algo(), 16, 0);
    for (uint32_t rank = 0; rank < 16; rank++) {
        cr_expect_eq(sched_suite_sent_by(suite, rank).nmessages, 4);
        for (uint32_t dim = 0; dim < 4; dim++) {
            const struct wh_step *step = sched_suite_nth_send(suite, rank, dim);
            cr_expect_eq(sched_suite_receiver(suite, rank, step), rank ^ ((2u << dim) - 1));
        }
    }
    sched_suite_destroy(suite);
}

Test(allreduce_doubling, guests_send_once_and_hosts_once_more)
{
    /* 6 ranks: 0 and 2 are guests of 1 and 3; 4 members exchange twice. */
    static const uint32_t nmessages[6] = {1, 3, 1, 3, 2, 2};

    struct sched_suite *suite = sched_suite_create(algo(), 6, 0);
    for (uint32_t rank = 0; rank < 6; rank++) {
        cr_expect_eq(sched_suite_sent_by(suite, rank).nmessages, nmessages[rank]);
    }
    sched_suite_destroy(suite);
}

Test(allreduce_doubling, cost_is_the_formula)
{
    cr_expect_eq(sched_suite_cost_ns(algo(), 8, 100), 3000 + 300 + 150);
    cr_expect_eq(sched_suite_cost_ns(algo(), 6, 100), 4000 + 400 + 150, "2 dimensions, a fold");
    cr_expect_eq(sched_suite_cost_ns(algo(), 1, 100), 0);
}
