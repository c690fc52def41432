/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_ALL_REDUCE, "halving");
}

Test(allreduce_halving, up_to_nine_ranks_hold)
{
    sched_suite_check_up_to(algo(), 9);
}

Test(allreduce_halving, the_biggest_exchange_is_with_the_nearest_rank)
{
    struct sched_suite *suite = sched_suite_create(algo(), 16, 0);
    for (uint32_t rank = 0; rank < 16; rank++) {
        struct sched_suite_sent sent = sched_suite_sent_by(suite, rank);
        cr_expect_eq(sent.nmessages, 8);
        cr_expect_eq(sent.nchunks, 2 * 15);
        for (uint32_t i = 0; i < 8; i++) {
            const uint32_t dim = i < 4 ? i : 7 - i;
            const struct wh_step *step = sched_suite_nth_send(suite, rank, i);
            cr_expect_eq(sched_suite_receiver(suite, rank, step), rank ^ ((2u << dim) - 1));
            cr_expect_eq(step->nchunks, 8u >> dim);
        }
    }
    sched_suite_destroy(suite);
}

Test(allreduce_halving, messages_of_guests_are_no_larger_than_the_first_exchange)
{
    for (uint32_t n = 2; n <= 33; n++) {
        struct sched_suite *suite = sched_suite_create(algo(), n, 0);
        cr_expect_eq(2 * suite->scheds[0]->nchunks_per_step, suite->scheds[0]->nchunks);
        sched_suite_destroy(suite);
    }
}

Test(allreduce_halving, cost_is_the_formula)
{
    cr_expect_eq(sched_suite_cost_ns(algo(), 8, 200), 6000 + 350 + 87.5);
    cr_expect_eq(sched_suite_cost_ns(algo(), 6, 200), 8000 + 700 + 175, "4 messages for guests");
    cr_expect_eq(sched_suite_cost_ns(algo(), 1, 200), 0);
}
