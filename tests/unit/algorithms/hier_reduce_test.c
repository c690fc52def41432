/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/compose_suite.h"

#include <criterion/criterion.h>

Test(hier_reduce, holds_for_hosts_of_many_shapes)
{
    compose_suite_check_all(WH_COLL_REDUCE);
}

Test(hier_reduce, a_root_on_no_rail_gets_it_from_local_rank_0)
{
    struct compose_suite *suite =
        compose_suite_create(compose_suite_algo(WH_COLL_REDUCE, "leader"), "aaabb", 2);
    char text[1024];
    wh_composition_print(suite->compositions[2], text, sizeof(text));
    cr_expect_str_eq(text, "reduce leader: rank 2 of 5, pieces of 1 cells, 1 of scratch\n"
                           "  0  host: reduce root 0 input 0 -> scratch 0, scale\n"
                           "  2  host: scatter root 0 scratch -,-,0 -> output 0\n");
    compose_suite_destroy(suite);
}
