/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/rank_order.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { NRANKS_MAX = 7, EXPR_NBYTES = 256 };

/*
 * Runs the steps of one rank on words: rank r's part is "r" and a op b is "(a b)". The operands of
 * the two lowest ranks may stand either way, which op does not mind, so a step sorts them.
 */
static void combine(char *out, const char *a, const char *b)
{
    char text[2 * EXPR_NBYTES + 4];
    const bool b_first = strlen(b) > strlen(a) || (strlen(b) == strlen(a) && strcmp(b, a) < 0);
    snprintf(text, sizeof(text), "(%s %s)", b_first ? b : a, b_first ? a : b);
    cr_assert_lt(strlen(text), EXPR_NBYTES);
    strcpy(out, text);
}

static void run(const struct wh_sched *sched, char *output)
{
    char bufs[WH_NBUFS][EXPR_NBYTES] = {"", "", ""};
    snprintf(bufs[WH_INPUT], EXPR_NBYTES, "%u", sched->rank);

    for (uint32_t i = 0; i < sched->lanes[0].nsteps; i++) {
        const struct wh_step *step = &sched->steps[i];
        char value[EXPR_NBYTES];
        if (step->flags & WH_RECV) {
            snprintf(value, sizeof(value), "%u", sched->links[step->recv_link].peer);
        } else if (step->flags & WH_REDUCE) {
            strcpy(value, bufs[step->store]);
        } else {
            strcpy(value, bufs[step->local]);
        }
        if (step->flags & WH_REDUCE) {
            combine(value, value, bufs[step->local]);
        }
        cr_expect_eq((step->flags & WH_FINISH) != 0, i + 1 == sched->lanes[0].nsteps);
        strcpy(bufs[step->store], value);
    }
    strcpy(output, bufs[WH_OUTPUT]);
}

Test(rank_order, every_rank_combines_in_the_same_order)
{
    char want[EXPR_NBYTES] = "(0 1)";

    for (uint32_t n = 2; n <= NRANKS_MAX; n++) {
        if (n > 2) {
            char last[8];
            snprintf(last, sizeof(last), "%u", n - 1);
            combine(want, want, last);
        }
        for (uint32_t rank = 0; rank < n; rank++) {
            const struct wh_problem problem = {
                .coll = WH_COLL_ALL_REDUCE, .rank = rank, .nranks = n};
            struct wh_builder *b = wh_builder_create(&problem, "rank_order", 1);
            wh_build_lane(b, 0);
            wh_rank_order_reduce(&problem, b, 0, rank % 2 == 0 ? WH_SEND : 0);
            struct wh_sched *sched = NULL;
            cr_assert_eq(wh_builder_seal(b, &sched), WHORL_OK);

            char got[EXPR_NBYTES];
            run(sched, got);
            cr_expect_str_eq(got, want, "rank %u of %u: %s", rank, n, got);
            const struct wh_step *last_step = &sched->steps[sched->lanes[0].nsteps - 1];
            cr_expect_eq((last_step->flags & WH_SEND) != 0, rank % 2 == 0);
            wh_sched_destroy(sched);
        }
    }
}

Test(rank_order, two_ranks_take_one_step_each)
{
    for (uint32_t rank = 0; rank < 2; rank++) {
        const struct wh_problem problem = {.coll = WH_COLL_ALL_REDUCE, .rank = rank, .nranks = 2};
        struct wh_builder *b = wh_builder_create(&problem, "rank_order", 1);
        wh_build_lane(b, 0);
        wh_rank_order_reduce(&problem, b, 0, 0);
        struct wh_sched *sched = NULL;
        cr_assert_eq(wh_builder_seal(b, &sched), WHORL_OK);
        cr_expect_eq(sched->lanes[0].nsteps, 1);
        wh_sched_destroy(sched);
    }
}
