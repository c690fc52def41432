/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>

/* It is not in the registry, which conformance tests go through, so it is checked here. */
Test(alltoall_pairwise, holds_for_every_rank_count)
{
    for (uint32_t n = 2; n <= 33; n++) {
        struct wh_sched *scheds[33];
        for (uint32_t r = 0; r < n; r++) {
            const struct wh_problem problem = {WH_COLL_ALL_TO_ALL, r, n, 0};
            cr_assert_eq(wh_algo_build(&wh_algo_alltoall_pairwise, &problem, &scheds[r]), WHORL_OK);
        }
        for (uint32_t i = 0; i < 4; i++) {
            const struct wh_check_options options = {
                .fifo_slots = i < 2 ? 1 : 8, .npasses = 2, .order_seed = i};
            char why[256] = "";
            cr_assert_eq(wh_check(scheds, n, &options, why, sizeof(why)), WHORL_OK, "%u ranks: %s",
                         n, why);
        }
        for (uint32_t r = 0; r < n; r++) {
            wh_sched_destroy(scheds[r]);
        }
    }
}

Test(alltoall_pairwise, a_pass_has_a_chunk_for_every_pair)
{
    const struct wh_problem problem = {WH_COLL_ALL_TO_ALL, 1, 3, 0};
    struct wh_sched *sched;
    cr_assert_eq(wh_algo_build(&wh_algo_alltoall_pairwise, &problem, &sched), WHORL_OK);
    cr_expect_eq(sched->nchunks, 9);
    cr_expect_eq(sched->nchunks_per_step, 1);
    wh_sched_destroy(sched);
}

Test(alltoall_pairwise, does_not_fit_more_pairs_than_can_be_counted)
{
    const struct wh_problem many = {WH_COLL_ALL_TO_ALL, 0, 4097, 0};
    const struct wh_problem fewer = {WH_COLL_ALL_TO_ALL, 0, 4096, 0};
    cr_expect_not(wh_algo_alltoall_pairwise.fits(&many));
    cr_expect(wh_algo_alltoall_pairwise.fits(&fewer));
}

Test(alltoall_pairwise, cost_is_the_formula)
{
    cr_expect_eq(sched_suite_cost_ns(&wh_algo_alltoall_pairwise, 4, 400), 3000 + 300);
}
