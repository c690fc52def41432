/* SPDX-License-Identifier: Apache-2.0 */
/* What the outputs must hold in the end; and which memory is which in place. */
#include "schedule/compose_model.h"

#include "harness/compose_suite.h"

#include <criterion/criterion.h>

static struct compose_suite *suite_of(enum wh_coll coll, const char *name)
{
    return compose_suite_create(compose_suite_algo(coll, name), "aabb", 0);
}

Test(compose_model, ranks_must_agree_about_the_piece)
{
    struct compose_suite *suite = suite_of(WH_COLL_ALL_REDUCE, "rails");
    suite->compositions[2]->ncells = 3;
    compose_suite_expect(suite, false, "ranks 0 and 2 do not agree about the piece or the phases");
    suite = suite_of(WH_COLL_ALL_REDUCE, "rails");
    suite->compositions[2]->rank = 1;
    compose_suite_expect(suite, false, "rank 2: the composition is rank 1's of 4");
}

Test(compose_model, outputs_must_be_there)
{
    struct compose_suite *suite = suite_of(WH_COLL_ALL_GATHER, "rails");
    for (uint32_t r = 0; r < 4; r++) {
        suite->compositions[r]->nphases = 2;
    }
    compose_suite_expect(suite, false, "rank 0: cell 3 of OUTPUT was never written");
}

Test(compose_model, sums_must_be_whole_finished_and_scaled)
{
    struct compose_suite *suite = suite_of(WH_COLL_ALL_REDUCE, "rails");
    for (uint32_t r = 0; r < 4; r++) {
        struct wh_composition *k = suite->compositions[r];
        k->phases[1] = k->phases[2];
        k->nphases = 2;
    }
    compose_suite_expect(suite, false, "rank 0: cell 0 of OUTPUT lacks rank 2's contribution");

    suite = suite_of(WH_COLL_ALL_REDUCE, "rails");
    for (uint32_t r = 0; r < 4; r++) {
        compose_suite_phase(suite, r, 1)->finishes = false;
    }
    compose_suite_expect(suite, false, "rank 0: cell 0 of OUTPUT was never finished");
}

Test(compose_model, blocks_must_be_the_right_ones)
{
    struct compose_suite *suite = suite_of(WH_COLL_ALL_TO_ALL, "rails");
    for (uint32_t r = 0; r < 4; r++) { /* both hosts get what the other should */
        struct wh_cells *src = compose_suite_src(suite, r, 2);
        src[0].first = 2;
        src[1].first = 0;
    }
    compose_suite_expect(suite, false, "rank 0: cell 0 of OUTPUT is not number 0 of rank 0");
}

static void expect_alias(enum wh_coll coll, const char *name, uint32_t rank, uint32_t cell,
                         enum wh_buf want_buf, uint32_t want_cell)
{
    struct compose_suite *suite = suite_of(coll, name);
    char text[64];
    struct wh_why why = {text, sizeof(text)};
    struct wh_compose_model *m;
    cr_assert_eq(wh_compose_model_create(suite->compositions, suite->hosts, true, &why, &m),
                 WHORL_OK);
    enum wh_buf buf = WH_OUTPUT;
    wh_compose_model_alias(m, rank, &buf, &cell);
    cr_expect_eq(buf, want_buf);
    cr_expect_eq(cell, want_cell);
    wh_compose_model_destroy(m);
    compose_suite_destroy(suite);
}

Test(compose_model, in_place_buffers_meet_where_the_api_says)
{
    expect_alias(WH_COLL_ALL_REDUCE, "rails", 2, 1, WH_INPUT, 1);
    expect_alias(WH_COLL_ALL_GATHER, "rails", 2, 2, WH_INPUT, 0);
    expect_alias(WH_COLL_ALL_GATHER, "rails", 2, 1, WH_OUTPUT, 1);
    expect_alias(WH_COLL_REDUCE_SCATTER, "rails", 2, 0, WH_INPUT, 2);
    expect_alias(WH_COLL_BROADCAST, "rails", 0, 1, WH_INPUT, 1);
    expect_alias(WH_COLL_BROADCAST, "rails", 2, 1, WH_OUTPUT, 1);
    expect_alias(WH_COLL_ALL_TO_ALL, "rails", 2, 1, WH_OUTPUT, 1);
}
