/* SPDX-License-Identifier: Apache-2.0 */
/* What one phase must not do. */
#include "harness/compose_suite.h"
#include "schedule/compose_model.h"

#include <criterion/criterion.h>

static struct compose_suite *suite_of(enum wh_coll coll, const char *name)
{
    return compose_suite_create(compose_suite_algo(coll, name), "aabb", 0);
}

static struct compose_suite *all_reduce(void)
{
    return suite_of(WH_COLL_ALL_REDUCE, "rails");
}

Test(compose_phase, members_must_do_the_same)
{
    struct compose_suite *suite = all_reduce();
    compose_suite_phase(suite, 1, 0)->coll = WH_COLL_SCATTER;
    compose_suite_expect(suite, false,
                         "rank 1 phase 0 (reduce_scatter): its group does something else");

    suite = all_reduce();
    compose_suite_phase(suite, 3, 1)->finishes = false;
    compose_suite_expect(suite, false,
                         "rank 3 phase 1 (all_reduce): its group does something else");
}

Test(compose_phase, members_must_agree_about_blocks)
{
    struct compose_suite *suite = all_reduce();
    compose_suite_dst(suite, 1, 0)->n = 0;
    compose_suite_expect(suite, false,
                         "rank 1 phase 0 (reduce_scatter): sizes of blocks do not agree");

    suite = all_reduce();
    compose_suite_phase(suite, 1, 0)->from = WH_OUTPUT;
    compose_suite_expect(
        suite, false,
        "rank 1 phase 0 (reduce_scatter): blocks are in another buffer than for others of its "
        "host");
}

Test(compose_phase, buffers_end)
{
    struct compose_suite *suite = all_reduce();
    compose_suite_dst(suite, 1, 0)->first = 2;
    compose_suite_expect(suite, false,
                         "rank 1 phase 0 (reduce_scatter): uses cells that the buffer does not "
                         "have");

    suite = suite_of(WH_COLL_REDUCE, "rails");
    compose_suite_phase(suite, 1, 0)->to = WH_OUTPUT; /* not the root */
    compose_suite_expect(suite, false,
                         "rank 1 phase 0 (reduce_scatter): uses a buffer that the rank does not "
                         "have");
}

Test(compose_phase, input_is_not_written)
{
    struct compose_suite *suite = all_reduce();
    compose_suite_phase(suite, 1, 0)->to = WH_INPUT;
    compose_suite_expect(suite, false, "rank 1 phase 0 (reduce_scatter): writes INPUT");
}

Test(compose_phase, nothing_is_read_before_it_is_written)
{
    struct compose_suite *suite = all_reduce();
    compose_suite_src(suite, 2, 1)->first = 1;
    compose_suite_expect(suite, false,
                         "rank 2 phase 1 (all_reduce): reads what nobody has written");
}

Test(compose_phase, in_place_input_is_gone_once_output_was_stored)
{
    struct compose_suite *suite = all_reduce();
    for (uint32_t r = 0; r < 4; r++) {
        compose_suite_phase(suite, r, 1)->from = WH_INPUT;
        compose_suite_phase(suite, r, 1)->scales = true;
    }
    compose_suite_expect(suite, true,
                         "rank 0 phase 1 (all_reduce): reads INPUT after OUTPUT was stored over "
                         "it");
}

Test(compose_phase, in_place_a_rank_writes_only_over_its_own_block)
{
    struct compose_suite *suite = all_reduce();
    for (uint32_t r = 0; r < 2; r++) {
        compose_suite_dst(suite, r, 0)->first = 1 - r;
    }
    compose_suite_expect(suite, true,
                         "rank 0 phase 0 (reduce_scatter): writes over what it reads");
}

Test(compose_phase, contributions_are_scaled_once)
{
    struct compose_suite *suite = all_reduce();
    compose_suite_phase(suite, 3, 0)->scales = false;
    compose_suite_expect(suite, false,
                         "rank 3 phase 0 (reduce_scatter): adds up what is not scaled");

    suite = all_reduce();
    compose_suite_phase(suite, 3, 1)->scales = true;
    compose_suite_expect(suite, false, "rank 3 phase 1 (all_reduce): scales twice");
}

Test(compose_phase, contributions_are_counted_once)
{
    struct compose_suite *suite = all_reduce();
    for (uint32_t r = 0; r < 4; r++) { /* the rails add up their results once more */
        struct wh_composition *k = suite->compositions[r];
        k->phases[1].finishes = false;
        k->phases[2] = k->phases[1];
        k->phases[2].id = 2;
    }
    compose_suite_expect(suite, false,
                         "rank 2 phase 2 (all_reduce): counts a contribution twice");

    suite = all_reduce();
    for (uint32_t r = 0; r < 4; r++) {
        compose_suite_phase(suite, r, 0)->finishes = true;
    }
    compose_suite_expect(suite, false,
                         "rank 0 phase 0 (reduce_scatter): finishes what lacks contributions");
}

Test(compose_phase, only_the_same_data_are_added_up)
{
    struct compose_suite *suite = suite_of(WH_COLL_REDUCE_SCATTER, "rails");
    for (uint32_t r = 0; r < 2; r++) { /* host a: what is for itself goes to b */
        compose_suite_dst(suite, r, 0)->first = 1;
        compose_suite_dst(suite, r, 1)->first = 0;
    }
    compose_suite_expect(suite, false,
                         "rank 2 phase 2 (reduce_scatter): adds up different parts of the data");
}
