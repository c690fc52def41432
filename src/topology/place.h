/* SPDX-License-Identifier: Apache-2.0 */
/* Where on its machine this process runs: in which last-level cache, in which NUMA node. */
#ifndef WH_TOPOLOGY_PLACE_H
#define WH_TOPOLOGY_PLACE_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stdint.h>

/** What ranks may share, smallest first. */
enum wh_topology_level { WH_TOPOLOGY_LLC, WH_TOPOLOGY_NUMA, WH_TOPOLOGY_NLEVELS };

/** A key per level: equal keys of one host are the same cache or node. 0: the process may run in
 *  several of them, or nobody knows. */
struct wh_topology_place {
    uint64_t keys[WH_TOPOLOGY_NLEVELS];
};

/** What to look at instead of this machine and this process; as in WHORL_TOPO_FILE and
 *  WHORL_TOPO_CPU, never NULL. */
struct wh_topology_source {
    const char *file; /* an hwloc XML file, or "synthetic:" and hwloc's description; "": look */
    const char *cpus; /* a list of cores, "0-3,8"; "": those that the process is bound to */
};

/**
 * Finds the smallest cache and the smallest node that hold all cores on which the process may run.
 *
 * A key is made of the number of the first core in the object, so processes that see different
 * parts of the machine (containers) still agree. Cores of the process that an injected machine does
 * not have are left out. Without hwloc every key is 0.
 *
 * Blocking  Reads files; milliseconds on a large machine.
 * Threads   Any.
 * Errors    WHORL_E_CONFIG, reported: a setting that cannot be followed. Where the machine itself
 *           cannot be read, keys are 0 and one INFO line says why.
 */
WH_MUST_CHECK whorl_result_t wh_topology_find_place(const struct wh_topology_source *source,
                                                    struct wh_topology_place *place_out);

#endif
