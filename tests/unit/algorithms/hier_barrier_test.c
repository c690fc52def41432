/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/compose_suite.h"

#include <criterion/criterion.h>

Test(hier_barrier, holds_for_hosts_of_many_shapes)
{
    compose_suite_check_all(WH_COLL_BARRIER);
}

Test(hier_barrier, ends_only_when_rail_0_has_come_back)
{
    struct compose_suite *suite =
        compose_suite_create(compose_suite_algo(WH_COLL_BARRIER, "leader"), "aabb", 0);
    for (uint32_t r = 0; r < 4; r++) { /* nobody waits for its host again */
        suite->compositions[r]->nphases--;
    }
    compose_suite_expect(suite, false, "rank 1 leaves without having heard of rank 2");
}
