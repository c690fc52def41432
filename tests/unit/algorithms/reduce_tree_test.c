/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_REDUCE, "tree");
}

Test(reduce_tree, up_to_nine_ranks_hold)
{
    sched_suite_check_up_to(algo(), 9);
}

Test(reduce_tree, all_but_the_root_send_both_halves_once)
{
    for (uint32_t n = 2; n <= 40; n++) {
        struct sched_suite *suite = sched_suite_create(algo(), n, n / 2);
        for (uint32_t rank = 0; rank < n; rank++) {
            struct sched_suite_sent sent = sched_suite_sent_by(suite, rank);
            cr_expect_eq(sent.nmessages, rank == n / 2 ? 0 : 2);
        }
        sched_suite_destroy(suite);
    }
}

Test(reduce_tree, cost_is_the_formula)
{
    cr_expect_eq(sched_suite_cost_ns(algo(), 4, 200), 4000 + 400 + 200);
    cr_expect_eq(sched_suite_cost_ns(algo(), 1, 200), 0);
}
