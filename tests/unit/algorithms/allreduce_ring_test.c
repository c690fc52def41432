/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_ALL_REDUCE, "ring");
}

Test(allreduce_ring, up_to_nine_ranks_hold)
{
    sched_suite_check_up_to(algo(), 9);
}

Test(allreduce_ring, every_rank_sends_2n_minus_2_chunks_to_its_right)
{
    for (uint32_t n = 2; n <= 9; n++) {
        struct sched_suite *suite = sched_suite_create(algo(), n, 0);
        for (uint32_t rank = 0; rank < n; rank++) {
            struct sched_suite_sent sent = sched_suite_sent_by(suite, rank);
            cr_expect_eq(sent.nmessages, 2 * (n - 1));
            cr_expect_eq(sent.nchunks, 2 * (n - 1));
            cr_expect_eq(sent.nsignals, 0);
            for (uint32_t i = 0; i < sent.nmessages; i++) {
                const struct wh_step *step = sched_suite_nth_send(suite, rank, i);
                cr_expect_eq(sched_suite_receiver(suite, rank, step), (rank + 1) % n);
            }
        }
        sched_suite_destroy(suite);
    }
}

Test(allreduce_ring, three_ranks_send_as_the_table_says)
{
    static const uint32_t table[3][4] = {{0, 2, 1, 0}, {1, 0, 2, 1}, {2, 1, 0, 2}};

    struct sched_suite *suite = sched_suite_create(algo(), 3, 0);
    for (uint32_t rank = 0; rank < 3; rank++) {
        for (uint32_t round = 0; round < 4; round++) {
            cr_expect_eq(sched_suite_nth_send(suite, rank, round)->chunk, table[rank][round]);
        }
    }
    sched_suite_destroy(suite);
}

Test(allreduce_ring, needs_no_scratch)
{
    struct sched_suite *suite = sched_suite_create(algo(), 5, 0);
    cr_expect_eq(suite->scheds[0]->nlanes, 1);
    cr_expect_not(suite->scheds[0]->lanes[0].uses_scratch);
    sched_suite_destroy(suite);
}

Test(allreduce_ring, cost_is_the_formula)
{
    /* 6 hops, 600 of 400 bytes moved, 300 reduced; then a second pass of 6 messages. */
    cr_expect_eq(sched_suite_cost_ns(algo(), 4, 400), 6000 + 600 + 150);
    cr_expect_eq(sched_suite_cost_ns(algo(), 4, 800), 12000 + 1200 + 300);
    cr_expect_eq(sched_suite_cost_ns(algo(), 1, 400), 0);
}
