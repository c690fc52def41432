/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/compose_suite.h"

#include <criterion/criterion.h>

Test(hier_allgather, holds_for_hosts_of_many_shapes)
{
    compose_suite_check_all(WH_COLL_ALL_GATHER);
}

Test(hier_allgather, rails_bring_a_host_after_the_other)
{
    struct compose_suite *suite =
        compose_suite_create(compose_suite_algo(WH_COLL_ALL_GATHER, "rails"), "abab", 0);
    char text[1024];
    wh_composition_print(suite->compositions[3], text, sizeof(text));
    cr_expect_str_eq(text, "all_gather rails: rank 3 of 4, pieces of 1 cells, 0 of scratch\n"
                           "  0  rail: all_gather input 0 -> output 2,3\n"
                           "  1  host: all_gather output 2 -> output 0,2\n"
                           "  2  host: all_gather output 3 -> output 1,3\n");
    compose_suite_destroy(suite);
}

Test(hier_allgather, shapes_decide_which_rows_fit)
{
    const struct wh_hier_algo *leader = compose_suite_algo(WH_COLL_ALL_GATHER, "leader");
    const struct wh_hier_algo *rails = compose_suite_algo(WH_COLL_ALL_GATHER, "rails");
    struct wh_hosts *uneven = compose_suite_hosts("aaab");
    cr_expect(wh_hier_algo_fits(leader, uneven) && !wh_hier_algo_fits(rails, uneven));
    struct wh_hosts *dealt = compose_suite_hosts("abab");
    cr_expect(!wh_hier_algo_fits(leader, dealt) && wh_hier_algo_fits(rails, dealt));
    wh_hosts_destroy(dealt);
    wh_hosts_destroy(uneven);
}
