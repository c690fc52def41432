/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/compose_suite.h"

#include <criterion/criterion.h>

Test(hier_allreduce, holds_for_hosts_of_many_shapes)
{
    compose_suite_check_all(WH_COLL_ALL_REDUCE);
}

static void expect_text(const char *name, const char *hosts, uint32_t rank, const char *want)
{
    struct compose_suite *suite =
        compose_suite_create(compose_suite_algo(WH_COLL_ALL_REDUCE, name), hosts, 0);
    char text[1024];
    wh_composition_print(suite->compositions[rank], text, sizeof(text));
    cr_expect_str_eq(text, want);
    compose_suite_destroy(suite);
}

Test(hier_allreduce, rails_give_each_rail_a_cell)
{
    expect_text("rails", "aaabbb", 4,
                "all_reduce rails: rank 4 of 6, pieces of 3 cells, 0 of scratch\n"
                "  0  host: reduce_scatter input 0,1,2 -> output 1, scale\n"
                "  1  rail: all_reduce output 1 -> output 1, finish\n"
                "  2  host: all_gather output 1 -> output 0,1,2\n");
}

Test(hier_allreduce, ranks_on_no_rail_get_nothing_until_the_end)
{
    expect_text("rails", "aaabb", 2,
                "all_reduce rails: rank 2 of 5, pieces of 2 cells, 0 of scratch\n"
                "  0  host: reduce_scatter input 0,1,- -> output -, scale\n"
                "  2  host: all_gather output - -> output 0,1,-\n");
}

Test(hier_allreduce, a_leader_alone_brings_its_input)
{
    expect_text("leader", "aab", 2,
                "all_reduce leader: rank 2 of 3, pieces of 1 cells, 0 of scratch\n"
                "  1  rail: all_reduce input 0 -> output 0, scale, finish\n");
}

Test(hier_allreduce, one_rail_is_what_leaders_are_for)
{
    struct wh_hosts *hosts = compose_suite_hosts("aaab");
    cr_expect_not(wh_hier_algo_fits(compose_suite_algo(WH_COLL_ALL_REDUCE, "rails"), hosts));
    cr_expect(wh_hier_algo_fits(compose_suite_algo(WH_COLL_ALL_REDUCE, "leader"), hosts));
    wh_hosts_destroy(hosts);
}
