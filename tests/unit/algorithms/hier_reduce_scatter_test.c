/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/compose_suite.h"

#include <criterion/criterion.h>

Test(hier_reduce_scatter, holds_for_hosts_of_many_shapes)
{
    compose_suite_check_all(WH_COLL_REDUCE_SCATTER);
}

Test(hier_reduce_scatter, leaders_get_what_their_host_gets)
{
    struct compose_suite *suite =
        compose_suite_create(compose_suite_algo(WH_COLL_REDUCE_SCATTER, "leader"), "abb", 0);
    char text[1024];
    wh_composition_print(suite->compositions[0], text, sizeof(text));
    cr_expect_str_eq(text, "reduce_scatter leader: rank 0 of 3, pieces of 1 cells, 3 of scratch\n"
                           "  1  rail: reduce_scatter input 0,1..2 -> output 0, scale, finish\n");
    wh_composition_print(suite->compositions[1], text, sizeof(text));
    cr_expect_str_eq(text,
                     "reduce_scatter leader: rank 1 of 3, pieces of 1 cells, 3 of scratch\n"
                     "  0  host: reduce root 0 input 0..2 -> scratch 0..2, scale\n"
                     "  1  rail: reduce_scatter scratch 0,1..2 -> scratch 1..2, finish\n"
                     "  2  host: scatter root 0 scratch 1,2 -> output 0\n");
    compose_suite_destroy(suite);
}
