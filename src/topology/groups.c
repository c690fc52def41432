/* SPDX-License-Identifier: Apache-2.0 */
#include "topology/groups.h"

#include <stdbool.h>
#include <string.h>

/* Numbers groups by first appearance; the first rank that has the key of rank tells its group. */
static uint32_t number_groups(const struct wh_topology_place *places, uint32_t nranks,
                              enum wh_topology_level level, uint32_t *groups)
{
    uint32_t ngroups = 0;
    for (uint32_t r = 0; r < nranks; r++) {
        uint32_t first = 0;
        while (places[first].keys[level] != places[r].keys[level]) {
            first++;
        }
        groups[r] = first < r ? groups[first] : ngroups++;
    }
    return ngroups;
}

static bool are_even(const uint32_t *groups, uint32_t nranks, uint32_t ngroups)
{
    for (uint32_t g = 0; g < ngroups; g++) {
        uint32_t n = 0;
        for (uint32_t r = 0; r < nranks; r++) {
            n += groups[r] == g;
        }
        if (n * ngroups != nranks) {
            return false;
        }
    }
    return true;
}

static bool are_known(const struct wh_topology_place *places, uint32_t nranks,
                      enum wh_topology_level level)
{
    for (uint32_t r = 0; r < nranks; r++) {
        if (places[r].keys[level] == 0) {
            return false;
        }
    }
    return true;
}

/* Divides by one level; NULL, or why that does not do. */
static const char *divide_by(const struct wh_topology_place *places, uint32_t nranks,
                             enum wh_topology_level level, uint32_t *groups, uint32_t *ngroups_out)
{
    if (!are_known(places, nranks, level)) {
        return "a rank may run in several, or it is unknown where";
    }
    *ngroups_out = number_groups(places, nranks, level, groups);
    if (*ngroups_out == 1) {
        return "all ranks are in one";
    }
    if (*ngroups_out == nranks) {
        return "every rank has one for itself";
    }
    return are_even(groups, nranks, *ngroups_out) ? NULL : "not all have the same number of ranks";
}

struct wh_topology_division wh_topology_divide(const struct wh_topology_place *places,
                                               uint32_t nranks, uint32_t ngroups_max,
                                               uint32_t *groups_out)
{
    struct wh_topology_division division = {.ngroups = 1};
    for (int level = 0; level < WH_TOPOLOGY_NLEVELS; level++) {
        uint32_t ngroups = 1;
        division.level = (enum wh_topology_level)level;
        const char *why = divide_by(places, nranks, division.level, groups_out, &ngroups);
        if (why == NULL && ngroups <= ngroups_max) {
            division.ngroups = ngroups;
            return division;
        }
        division.why[level] = why != NULL ? why : "there are too many";
    }
    memset(groups_out, 0, nranks * sizeof(*groups_out));
    return division;
}
