/* SPDX-License-Identifier: Apache-2.0 */
/* Right compositions are broken, and the checker says where. */
#include "schedule/compose_check.h"

#include "harness/compose_suite.h"

#include <criterion/criterion.h>

/* all_reduce by rails of two hosts with two ranks each. */
static struct compose_suite *all_reduce(void)
{
    return compose_suite_create(compose_suite_algo(WH_COLL_ALL_REDUCE, "rails"), "aabb", 0);
}

Test(compose_check, finds_nothing_where_nothing_is_wrong)
{
    compose_suite_expect(all_reduce(), false, NULL);
    compose_suite_expect(all_reduce(), true, NULL);
}

Test(compose_check, a_phase_that_one_rank_leaves_out)
{
    struct compose_suite *suite = all_reduce();
    suite->compositions[3]->nphases = 2;
    compose_suite_expect(suite, false,
                         "rank 2 waits in phase 2 (all_gather) for rank 3, which is done");

    suite = all_reduce();
    struct wh_composition *k = suite->compositions[3];
    k->phases[1] = k->phases[2];
    k->nphases = 2;
    compose_suite_expect(suite, false,
                         "rank 0 waits in phase 2 (all_gather) for rank 1, which is in phase 1 "
                         "(all_reduce)");
}

Test(compose_check, phases_out_of_order)
{
    struct compose_suite *suite = all_reduce();
    compose_suite_phase(suite, 1, 1)->id = 0;
    compose_suite_expect(suite, false, "rank 1 phase 0: not of this group, or out of order");

    suite = all_reduce();
    compose_suite_phase(suite, 1, 0)->nranks = 1;
    compose_suite_expect(suite, false, "rank 1 phase 0: not of this group, or out of order");
}

Test(compose_check, a_phase_of_a_rail_that_the_rank_is_not_on)
{
    struct compose_suite *suite =
        compose_suite_create(compose_suite_algo(WH_COLL_ALL_REDUCE, "leader"), "aab", 0);
    struct wh_phase *phase = compose_suite_phase(suite, 1, 1);
    phase->place = WH_PHASE_ACROSS;
    compose_suite_expect(suite, false, "rank 1 phase 2: not of this group, or out of order");
}

Test(compose_check, an_operation_is_checked_wherever_it_is_used)
{
    /* The checker runs whatever it is given, so it must see the last phase of the last rank. */
    struct compose_suite *suite = all_reduce();
    compose_suite_dst(suite, 3, 2)[0].first = 1;
    compose_suite_expect(
        suite, false,
        "rank 3 phase 2 (all_gather): blocks are elsewhere than for others of its group");
}
