/* SPDX-License-Identifier: Apache-2.0 */
/* How the ranks of a host divide into groups that share a cache or a NUMA node. */
#ifndef WH_TOPOLOGY_GROUPS_H
#define WH_TOPOLOGY_GROUPS_H

#include "topology/place.h"

#include <stddef.h>

/** How ranks divide; plain values. */
struct wh_topology_division {
    uint32_t ngroups;                     /* 1: they do not */
    enum wh_topology_level level;         /* what the ranks of a group share */
    const char *why[WH_TOPOLOGY_NLEVELS]; /* why not by that; NULL: divided, or not asked */
};

/**
 * Divides nranks ranks, by the smallest level that gives at least two groups with equally many
 * ranks, at least two, in each. Groups are numbered in the order of their lowest rank.
 *
 * Equal places give equal divisions: every rank can compute this for itself.
 *
 * places      nranks of them, all of one host
 * ngroups_max groups that the caller can do with
 * groups_out  nranks of them: the group of each rank; all 0 if the ranks do not divide
 */
struct wh_topology_division wh_topology_divide(const struct wh_topology_place *places,
                                               uint32_t nranks, uint32_t ngroups_max,
                                               uint32_t *groups_out);

#endif
