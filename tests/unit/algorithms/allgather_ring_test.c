/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_ALL_GATHER, "ring");
}

Test(allgather_ring, up_to_nine_ranks_hold)
{
    sched_suite_check_up_to(algo(), 9);
}

Test(allgather_ring, every_rank_sends_n_minus_1_blocks_to_its_right)
{
    struct sched_suite *suite = sched_suite_create(algo(), 6, 0);
    for (uint32_t rank = 0; rank < 6; rank++) {
        cr_expect_eq(sched_suite_sent_by(suite, rank).nmessages, 5);
        for (uint32_t i = 0; i < 5; i++) {
            const struct wh_step *step = sched_suite_nth_send(suite, rank, i);
            cr_expect_eq(sched_suite_receiver(suite, rank, step), (rank + 1) % 6);
            cr_expect_eq(step->chunk, (rank + 6 - i) % 6);
        }
    }
    sched_suite_destroy(suite);
}

Test(allgather_ring, cost_is_the_formula)
{
    cr_expect_eq(sched_suite_cost_ns(algo(), 4, 400), 3000 + 300);
    cr_expect_eq(sched_suite_cost_ns(algo(), 1, 400), 0);
}
