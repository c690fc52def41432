/* SPDX-License-Identifier: Apache-2.0 */
/* Division into groups: which level, which numbers, and when ranks do not divide. */
#include "topology/groups.h"

#include <criterion/criterion.h>
#include <string.h>

enum { RANKS_MAX = 16, MOST = 64 };

/* Divides ranks whose keys are the digits of two texts, one digit a rank. */
static struct wh_topology_division divide(const char *llc, const char *numa, uint32_t most,
                                          uint32_t *groups)
{
    struct wh_topology_place places[RANKS_MAX];
    uint32_t n = (uint32_t)strlen(llc);
    cr_assert(n <= RANKS_MAX && strlen(numa) == n);
    for (uint32_t r = 0; r < n; r++) {
        places[r].keys[WH_TOPOLOGY_LLC] = (uint64_t)(llc[r] - '0');
        places[r].keys[WH_TOPOLOGY_NUMA] = (uint64_t)(numa[r] - '0');
    }
    memset(groups, 0xff, RANKS_MAX * sizeof(*groups));
    return wh_topology_divide(places, n, most, groups);
}

Test(groups, even_groups_are_numbered_by_their_lowest_rank)
{
    static const struct {
        const char *llc, *numa, *groups;
        uint32_t ngroups;
        enum wh_topology_level level;
    } rows[] = {
        {"1122", "1111", "0011", 2, WH_TOPOLOGY_LLC},
        {"9191", "1111", "0101", 2, WH_TOPOLOGY_LLC},
        {"311333111", "111111111", "", 0, WH_TOPOLOGY_LLC}, /* 4 and 5 */
        {"332211", "111111", "001122", 3, WH_TOPOLOGY_LLC},
        {"1234", "1122", "0011", 2, WH_TOPOLOGY_NUMA},
        {"1111", "1212", "0101", 2, WH_TOPOLOGY_NUMA},
        {"0000", "1122", "0011", 2, WH_TOPOLOGY_NUMA},
        {"1112", "1122", "0011", 2, WH_TOPOLOGY_NUMA},
        {"11223344", "11112222", "00112233", 4, WH_TOPOLOGY_LLC},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t groups[RANKS_MAX];
        struct wh_topology_division d = divide(rows[i].llc, rows[i].numa, MOST, groups);
        size_t n = strlen(rows[i].llc);
        if (rows[i].ngroups == 0) {
            cr_expect_eq(d.ngroups, 1, "%s", rows[i].llc);
            continue;
        }
        cr_expect_eq(d.ngroups, rows[i].ngroups, "%s", rows[i].llc);
        cr_expect_eq(d.level, rows[i].level, "%s", rows[i].llc);
        cr_expect_null(d.why[d.level]);
        for (size_t r = 0; r < n; r++) {
            cr_expect_eq(groups[r], (uint32_t)(rows[i].groups[r] - '0'), "%s: rank %zu",
                         rows[i].llc, r);
        }
    }
}

Test(groups, ranks_that_do_not_divide_are_one_group_and_each_level_says_why)
{
    static const struct {
        const char *llc, *numa, *llc_why, *numa_why;
        uint32_t most;
    } rows[] = {
        {"1111", "1111", "all ranks are in one", "all ranks are in one", MOST},
        {"1234", "1111", "every rank has one for itself", "all ranks are in one", MOST},
        {"11122", "11222", "not all have the same number", "not all have the same number", MOST},
        {"112233", "111222", "there are too many", "there are too many", 1},
        {"1120", "1101", "unknown where", "unknown where", MOST},
        {"1", "1", "all ranks are in one", "all ranks are in one", MOST},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t groups[RANKS_MAX];
        struct wh_topology_division d = divide(rows[i].llc, rows[i].numa, rows[i].most, groups);
        cr_expect_eq(d.ngroups, 1, "%s", rows[i].llc);
        cr_assert_not_null(d.why[WH_TOPOLOGY_LLC]);
        cr_assert_not_null(d.why[WH_TOPOLOGY_NUMA]);
        cr_expect_not_null(strstr(d.why[WH_TOPOLOGY_LLC], rows[i].llc_why), "%s: %s", rows[i].llc,
                           d.why[WH_TOPOLOGY_LLC]);
        cr_expect_not_null(strstr(d.why[WH_TOPOLOGY_NUMA], rows[i].numa_why), "%s: %s",
                           rows[i].numa, d.why[WH_TOPOLOGY_NUMA]);
        for (size_t r = 0; r < strlen(rows[i].llc); r++) {
            cr_expect_eq(groups[r], 0, "%s: rank %zu", rows[i].llc, r);
        }
    }
}

Test(groups, too_many_of_the_smaller_level_leave_the_larger_one)
{
    uint32_t groups[RANKS_MAX];
    struct wh_topology_division d = divide("11223344", "11112222", 2, groups);
    cr_expect_eq(d.ngroups, 2);
    cr_expect_eq(d.level, WH_TOPOLOGY_NUMA);
    cr_expect_not_null(d.why[WH_TOPOLOGY_LLC]);
    cr_expect_eq(groups[3], 0);
    cr_expect_eq(groups[4], 1);
}
