/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/algo.h"

#include <criterion/criterion.h>
#include <string.h>

Test(registry, names_are_found_whatever_their_case)
{
    const struct wh_algo *ring = wh_algo_find(WH_COLL_ALL_REDUCE, "Ring");
    cr_assert_not_null(ring);
    cr_expect_str_eq(ring->name, "ring");
    cr_expect_eq(ring->coll, WH_COLL_ALL_REDUCE);
    cr_expect_not_null(wh_algo_find(WH_COLL_ALL_REDUCE, "Tree"), "as in NCCL_ALGO=Tree");
    cr_expect_null(wh_algo_find(WH_COLL_ALL_REDUCE, "dissemination"));
    cr_expect_null(wh_algo_find(WH_COLL_ALL_REDUCE, ""));
}

Test(registry, every_row_is_complete_and_its_name_is_its_own)
{
    for (size_t i = 0; i < wh_nalgos; i++) {
        const struct wh_algo *algo = wh_algos[i];
        cr_expect(algo->name != NULL && algo->build != NULL && algo->nchunks != NULL &&
                  algo->cost_ns != NULL);
        cr_expect_eq(wh_algo_find(algo->coll, algo->name), algo, "two rows are named %s",
                     algo->name);
    }
}

/* all_to_all and what comes behind it run in the arena, or as messages. */
Test(registry, the_first_collectives_and_messages_have_schedules_and_the_others_have_not)
{
    bool has[WH_NCOLLS] = {false};
    for (size_t i = 0; i < wh_nalgos; i++) {
        has[wh_algos[i]->coll] = true;
    }
    for (int coll = 0; coll < WH_NCOLLS; coll++) {
        bool wants = coll < WH_COLL_ALL_TO_ALL || wh_coll_is_p2p((enum wh_coll)coll);
        cr_expect_eq(has[coll], wants, "%s", wh_coll_str((enum wh_coll)coll));
    }
}

Test(registry, one_rank_copies_and_finishes)
{
    for (size_t i = 0; i < wh_nalgos; i++) {
        const struct wh_algo *algo = wh_algos[i];
        if (wh_coll_is_p2p(algo->coll)) {
            continue;
        }
        const struct wh_problem problem = {.coll = algo->coll, .nranks = 1};
        struct wh_sched *sched = NULL;
        cr_assert_eq(wh_algo_build(algo, &problem, &sched), WHORL_OK);
        cr_expect_eq(sched->nlinks, 0);
        if (algo->coll == WH_COLL_BARRIER) {
            cr_expect_eq(sched->nsteps, 0);
        } else {
            cr_expect_eq(sched->nsteps, 1);
            cr_expect_eq(sched->steps[0].flags,
                         WH_STORE | (wh_coll_reduces(algo->coll) ? WH_FINISH : 0));
        }
        wh_sched_destroy(sched);
    }
}

Test(registry, the_same_problem_gives_the_same_schedule)
{
    for (size_t i = 0; i < wh_nalgos; i++) {
        const struct wh_problem problem = {
            .coll = wh_algos[i]->coll, .rank = 3, .nranks = 7, .root = 0};
        struct wh_sched *scheds[2] = {NULL, NULL};
        for (size_t k = 0; k < 2; k++) {
            cr_assert_eq(wh_algo_build(wh_algos[i], &problem, &scheds[k]), WHORL_OK);
        }
        cr_assert_eq(scheds[0]->nsteps, scheds[1]->nsteps);
        cr_expect_eq(
            memcmp(scheds[0]->steps, scheds[1]->steps, scheds[0]->nsteps * sizeof(struct wh_step)),
            0);
        wh_sched_destroy(scheds[0]);
        wh_sched_destroy(scheds[1]);
    }
}
