/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The discoverer: asks hwloc, which by default leaves out devices, the slow part of a look.
 *
 * The whole machine is read, also what a container may not use, and objects are known by the cores
 * that belong to them: numbers that hwloc counts itself would depend on who looks.
 */
#include "topology/place.h"

#include "base/log.h"

#if WHORL_HAVE_HWLOC

#include <hwloc.h>
#include <hwloc/linux.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char synthetic[] = "synthetic:";

static whorl_result_t bad_file(const char *file, const char *why)
{
    return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_GRAPH,
                   "WHORL_TOPO_FILE=%s %s: use the path of an hwloc XML file (lstopo writes one), "
                   "or synthetic: and a description such as synthetic:pack:2 l3:1 core:4 pu:1",
                   file, why);
}

/* Says what is to be read. */
static whorl_result_t set_source(hwloc_topology_t topology, const char *file)
{
    hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    size_t prefix_nbytes = sizeof(synthetic) - 1;
    if (strncmp(file, synthetic, prefix_nbytes) == 0) {
        return hwloc_topology_set_synthetic(topology, file + prefix_nbytes) == 0
                   ? WHORL_OK
                   : bad_file(file, "is not a description that hwloc understands");
    }
    if (file[0] != '\0' && hwloc_topology_set_xml(topology, file) != 0) {
        return bad_file(file, "cannot be read");
    }
    return WHORL_OK;
}

/* Is text a list that hwloc may read? It takes what it does not understand for a 0, and a number for
 * as many bits. */
static bool is_list(const char *text)
{
    enum { NDIGITS_MAX = 6 };
    for (;;) {
        size_t ndigits = strspn(text, "0123456789");
        if (ndigits == 0 || ndigits > NDIGITS_MAX) {
            return false;
        }
        text += ndigits;
        if (*text == '\0') {
            return true;
        }
        if (*text != ',' && *text != '-') {
            return false;
        }
        text++;
    }
}

/* The cores on which the process may run, or those that it is to pretend. */
static whorl_result_t read_cpus(hwloc_topology_t topology, const char *text, hwloc_bitmap_t cpus)
{
    if (text[0] == '\0') {
        /* Of the process: a thread may be tied to one core for itself. */
        if (hwloc_linux_get_tid_cpubind(topology, getpid(), cpus) != 0) {
            hwloc_bitmap_zero(cpus);
        }
        return WHORL_OK;
    }
    if (!is_list(text) || hwloc_bitmap_list_sscanf(cpus, text) != 0 || hwloc_bitmap_iszero(cpus) ||
        !hwloc_bitmap_isincluded(cpus, hwloc_topology_get_complete_cpuset(topology))) {
        return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_GRAPH,
                       "WHORL_TOPO_CPU=%s names no cores of the machine: use a list such as "
                       "0-3,8, of numbers up to %d",
                       text, hwloc_bitmap_last(hwloc_topology_get_complete_cpuset(topology)));
    }
    return WHORL_OK;
}

/* The key of the smallest object of the type that has all these cores; 0: there is none. */
static uint64_t key_of(hwloc_topology_t topology, hwloc_obj_type_t type, hwloc_const_bitmap_t cpus)
{
    hwloc_obj_t smallest = NULL;
    hwloc_obj_t obj = NULL;
    while ((obj = hwloc_get_next_obj_by_type(topology, type, obj)) != NULL) {
        if (hwloc_bitmap_isincluded(cpus, obj->complete_cpuset) &&
            (smallest == NULL || hwloc_bitmap_weight(obj->complete_cpuset) <
                                     hwloc_bitmap_weight(smallest->complete_cpuset))) {
            smallest = obj;
        }
    }
    return smallest != NULL ? (uint64_t)hwloc_bitmap_first(smallest->complete_cpuset) + 1 : 0;
}

static whorl_result_t find_place(hwloc_topology_t topology, const char *text,
                                 struct wh_topology_place *place)
{
    hwloc_bitmap_t cpus = hwloc_bitmap_alloc();
    if (cpus == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a set of cores");
    }
    whorl_result_t rc = read_cpus(topology, text, cpus);
    if (rc == WHORL_OK && !hwloc_bitmap_iszero(cpus)) {
        place->keys[WH_TOPOLOGY_LLC] = key_of(topology, HWLOC_OBJ_L3CACHE, cpus);
        place->keys[WH_TOPOLOGY_NUMA] = key_of(topology, HWLOC_OBJ_NUMANODE, cpus);
    }
    hwloc_bitmap_free(cpus);
    return rc;
}

whorl_result_t wh_topology_find_place(const struct wh_topology_source *source,
                                      struct wh_topology_place *place_out)
{
    *place_out = (struct wh_topology_place){.keys = {0}};
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) != 0) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a topology");
    }
    whorl_result_t rc = set_source(topology, source->file);
    if (rc == WHORL_OK && hwloc_topology_load(topology) != 0) {
        if (source->file[0] != '\0') {
            rc = bad_file(source->file, "is not what hwloc understands");
        } else {
            wh_log(WH_LOG_INFO, WH_SUBSYS_GRAPH, "hwloc cannot read this machine: %s",
                   strerror(errno));
        }
    } else if (rc == WHORL_OK) {
        rc = find_place(topology, source->cpus, place_out);
    }
    hwloc_topology_destroy(topology);
    return rc;
}

#else

whorl_result_t wh_topology_find_place(const struct wh_topology_source *source,
                                      struct wh_topology_place *place_out)
{
    *place_out = (struct wh_topology_place){.keys = {0}};
    bool has_file = source->file[0] != '\0';
    if (!has_file && source->cpus[0] == '\0') {
        return WHORL_OK;
    }
    return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_GRAPH,
                   "%s=%s cannot be followed: this library was built without hwloc",
                   has_file ? "WHORL_TOPO_FILE" : "WHORL_TOPO_CPU",
                   has_file ? source->file : source->cpus);
}

#endif
