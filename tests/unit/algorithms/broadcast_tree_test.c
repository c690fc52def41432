/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_BROADCAST, "tree");
}

Test(broadcast_tree, up_to_nine_ranks_hold)
{
    sched_suite_check_up_to(algo(), 9);
}

Test(broadcast_tree, nobody_sends_more_than_the_buffer_once)
{
    for (uint32_t n = 2; n <= 40; n++) {
        struct sched_suite *suite = sched_suite_create(algo(), n, n / 2);
        uint32_t nmessages = 0;
        for (uint32_t rank = 0; rank < n; rank++) {
            struct sched_suite_sent sent = sched_suite_sent_by(suite, rank);
            cr_expect_leq(sent.nchunks, 2, "two chunks are the buffer");
            nmessages += sent.nmessages;
        }
        cr_expect_eq(sched_suite_sent_by(suite, n / 2).nchunks, 2);
        cr_expect_eq(nmessages, 2 * (n - 1));
        sched_suite_destroy(suite);
    }
}

Test(broadcast_tree, cost_is_the_formula)
{
    cr_expect_eq(sched_suite_cost_ns(algo(), 4, 200), 4000 + 400);
    cr_expect_eq(sched_suite_cost_ns(algo(), 4, 400), 6000 + 600);
    cr_expect_eq(sched_suite_cost_ns(algo(), 1, 200), 0);
}
