/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/compose_suite.h"

#include <criterion/criterion.h>

Test(hier_alltoall, holds_for_hosts_of_many_shapes)
{
    compose_suite_check_all(WH_COLL_ALL_TO_ALL);
}

Test(hier_alltoall, a_twin_gets_the_blocks_of_a_host_at_once)
{
    struct compose_suite *suite =
        compose_suite_create(compose_suite_algo(WH_COLL_ALL_TO_ALL, "rails"), "aabb", 0);
    char text[1024];
    wh_composition_print(suite->compositions[1], text, sizeof(text));
    cr_expect_str_eq(text, "all_to_all rails: rank 1 of 4, pieces of 1 cells, 4 of scratch\n"
                           "  0  host: all_to_all input 0,1 -> scratch 0,1\n"
                           "  1  host: all_to_all input 2,3 -> scratch 2,3\n"
                           "  2  rail: all_to_all scratch 0..1,2..3 -> output 0..1,2..3\n");
    compose_suite_destroy(suite);
}
