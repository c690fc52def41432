/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/compose_suite.h"

#include <criterion/criterion.h>

Test(hier_broadcast, holds_for_hosts_of_many_shapes)
{
    compose_suite_check_all(WH_COLL_BROADCAST);
}

/* Phases that rank has a part in. */
static uint32_t count_phases(const char *name, uint32_t root, uint32_t rank)
{
    struct compose_suite *suite =
        compose_suite_create(compose_suite_algo(WH_COLL_BROADCAST, name), "aaabb", root);
    uint32_t nphases = suite->compositions[rank]->nphases;
    compose_suite_destroy(suite);
    return nphases;
}

Test(hier_broadcast, a_root_on_a_rail_speaks_for_its_host)
{
    cr_expect_eq(count_phases("leader", 1, 1), 2);
    cr_expect_eq(count_phases("leader", 1, 0), 1);
    cr_expect_eq(count_phases("leader", 1, 4), 2);
}

Test(hier_broadcast, a_root_on_no_rail_tells_its_host_first)
{
    cr_expect_eq(count_phases("leader", 2, 2), 1); /* its host has it then */
    cr_expect_eq(count_phases("leader", 2, 0), 2);
    cr_expect_eq(count_phases("leader", 2, 3), 2);
}

Test(hier_broadcast, only_the_roots_host_scatters)
{
    cr_expect_eq(count_phases("rails", 2, 0), 3);
    cr_expect_eq(count_phases("rails", 2, 2), 2);
    cr_expect_eq(count_phases("rails", 2, 3), 2);
}
