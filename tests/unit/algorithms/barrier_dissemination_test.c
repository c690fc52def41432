/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

static const struct wh_algo *algo(void)
{
    return wh_algo_find(WH_COLL_BARRIER, "dissemination");
}

Test(barrier_dissemination, up_to_nine_ranks_hold)
{
    sched_suite_check_up_to(algo(), 9);
}

Test(barrier_dissemination, ceil_log2_n_signals_and_no_data)
{
    uint32_t nrounds = 1;
    for (uint32_t n = 2; n <= 70; n++) {
        nrounds += n > 1u << nrounds;
        struct sched_suite *suite = sched_suite_create(algo(), n, 0);
        for (uint32_t rank = 0; rank < n; rank++) {
            struct sched_suite_sent sent = sched_suite_sent_by(suite, rank);
            cr_expect_eq(sent.nsignals, nrounds);
            cr_expect_eq(sent.nmessages, 0);
        }
        sched_suite_destroy(suite);
    }
}

Test(barrier_dissemination, cost_is_a_hop_a_round)
{
    cr_expect_eq(sched_suite_cost_ns(algo(), 5, 0), 3000);
    cr_expect_eq(sched_suite_cost_ns(algo(), 1, 0), 0);
}
