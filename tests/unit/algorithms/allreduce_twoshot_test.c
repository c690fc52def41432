/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_ALL_REDUCE, "twoshot");
}

Test(allreduce_twoshot, up_to_nine_ranks_hold)
{
    sched_suite_check_up_to(algo(), 9);
}

Test(allreduce_twoshot, every_rank_sends_each_peer_its_chunk_and_then_its_own)
{
    struct sched_suite *suite = sched_suite_create(algo(), 5, 0);
    for (uint32_t rank = 0; rank < 5; rank++) {
        cr_expect_eq(sched_suite_sent_by(suite, rank).nmessages, 8);
        for (uint32_t i = 0; i < 8; i++) {
            const struct wh_step *step = sched_suite_nth_send(suite, rank, i);
            const uint32_t peer = (rank + 1 + i % 4) % 5;
            cr_expect_eq(sched_suite_receiver(suite, rank, step), peer);
            cr_expect_eq(step->chunk, i < 4 ? peer : rank);
        }
    }
    sched_suite_destroy(suite);
}

Test(allreduce_twoshot, cost_is_the_formula)
{
    cr_expect_eq(sched_suite_cost_ns(algo(), 4, 400), 6000 + 600 + 150);
    cr_expect_eq(sched_suite_cost_ns(algo(), 1, 400), 0);
}
