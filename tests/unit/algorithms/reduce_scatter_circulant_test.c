/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_REDUCE_SCATTER, "circulant");
}

Test(reduce_scatter_circulant, up_to_nine_ranks_hold)
{
    sched_suite_check_up_to(algo(), 9);
}

Test(reduce_scatter_circulant, n_minus_1_blocks_leave_in_ceil_log2_n_messages)
{
    uint32_t nrounds = 1;
    for (uint32_t n = 2; n <= 70; n++) {
        nrounds += n > 1u << nrounds;
        struct sched_suite *suite = sched_suite_create(algo(), n, 0);
        for (uint32_t rank = 0; rank < n; rank++) {
            struct sched_suite_sent sent = sched_suite_sent_by(suite, rank);
            cr_expect_eq(sent.nmessages, nrounds, "%u ranks: %u messages", n, sent.nmessages);
            cr_expect_eq(sent.nchunks, n - 1, "%u ranks: %u blocks", n, sent.nchunks);
            cr_expect_eq(sent.nsignals, n > 2 ? 1 : 0, "what sealing adds");
        }
        cr_expect_eq(suite->scheds[0]->nchunks_per_step, n / 2);
        sched_suite_destroy(suite);
    }
}

Test(reduce_scatter_circulant, five_ranks_send_as_the_table_says)
{
    static const struct {
        uint32_t distance, ahead, nblocks;
    } rounds[] = {{3, 3, 2}, {2, 2, 1}, {1, 1, 1}};

    struct sched_suite *suite = sched_suite_create(algo(), 5, 0);
    for (uint32_t rank = 0; rank < 5; rank++) {
        for (uint32_t i = 0; i < 3; i++) {
            const struct wh_step *step = sched_suite_nth_send(suite, rank, i);
            cr_expect_eq(sched_suite_receiver(suite, rank, step), (rank + rounds[i].distance) % 5);
            cr_expect_eq(step->chunk, (rank + rounds[i].ahead) % 5);
            cr_expect_eq(step->nchunks, rounds[i].nblocks);
        }
    }
    sched_suite_destroy(suite);
}

Test(reduce_scatter_circulant, cost_is_the_formula)
{
    cr_expect_eq(sched_suite_cost_ns(algo(), 5, 250), 3000 + 200 + 100);
    cr_expect_eq(sched_suite_cost_ns(algo(), 1, 250), 0);
}
