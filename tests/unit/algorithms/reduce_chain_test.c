/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_REDUCE, "chain");
}

Test(reduce_chain, up_to_nine_ranks_hold)
{
    sched_suite_check_up_to(algo(), 9);
}

Test(reduce_chain, all_but_the_root_send_once_to_their_right)
{
    struct sched_suite *suite = sched_suite_create(algo(), 5, 3);
    for (uint32_t rank = 0; rank < 5; rank++) {
        struct sched_suite_sent sent = sched_suite_sent_by(suite, rank);
        cr_expect_eq(sent.nmessages, rank == 3 ? 0 : 1);
        if (sent.nmessages == 1) {
            const struct wh_step *step = sched_suite_nth_send(suite, rank, 0);
            cr_expect_eq(sched_suite_receiver(suite, rank, step), (rank + 1) % 5);
        }
    }
    sched_suite_destroy(suite);
}

Test(reduce_chain, cost_is_the_formula)
{
    cr_expect_eq(sched_suite_cost_ns(algo(), 4, 100), 3000 + 300 + 150);
    cr_expect_eq(sched_suite_cost_ns(algo(), 4, 200), 4000 + 400 + 200);
    cr_expect_eq(sched_suite_cost_ns(algo(), 1, 100), 0);
}
