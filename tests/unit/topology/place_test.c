/* SPDX-License-Identifier: Apache-2.0 */
/* Where a process is, in machines that hwloc makes from a description, and on this one. */
#include "base/log.h"
#include "topology/place.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static whorl_result_t find(const char *file, const char *cpus, struct wh_topology_place *place)
{
    memset(place, 0xee, sizeof(*place));
    return wh_topology_find_place(&(struct wh_topology_source){.file = file, .cpus = cpus}, place);
}

/* Was this built with hwloc? If not, a test that needs it says so and passes. */
static bool has_hwloc(void)
{
    struct wh_topology_place place;
    bool has = find("synthetic:pu:1", "0", &place) == WHORL_OK;
    if (!has) {
        cr_expect_not_null(strstr(wh_error_get(), "built without hwloc"), "%s", wh_error_get());
    }
    return has;
}

/* Two nodes with two caches of two cores each: cores 0 to 7. */
static const char machine[] = "synthetic:numa:2 l3:2 core:2 pu:1";

Test(place, keys_are_those_of_the_smallest_cache_and_node_that_hold_all_cores)
{
    static const struct {
        const char *cpus;
        uint64_t llc, numa;
    } rows[] = {
        {"0", 1, 1},   {"1", 1, 1},   {"0-1", 1, 1}, {"2", 3, 1},   {"2,3", 3, 1}, {"4", 5, 5},
        {"6-7", 7, 5}, {"1-2", 0, 1}, {"0-3", 0, 1}, {"4-7", 0, 5}, {"3-4", 0, 0}, {"0-7", 0, 0},
    };
    for (size_t i = 0; has_hwloc() && i < ARRAY_LEN(rows); i++) {
        struct wh_topology_place place;
        cr_assert_eq(find(machine, rows[i].cpus, &place), WHORL_OK, "%s", wh_error_get());
        cr_expect_eq(place.keys[WH_TOPOLOGY_LLC], rows[i].llc, "cores %s: %llu", rows[i].cpus,
                     (unsigned long long)place.keys[WH_TOPOLOGY_LLC]);
        cr_expect_eq(place.keys[WH_TOPOLOGY_NUMA], rows[i].numa, "cores %s: %llu", rows[i].cpus,
                     (unsigned long long)place.keys[WH_TOPOLOGY_NUMA]);
    }
}

Test(place, a_machine_without_a_shared_cache_has_nodes_only)
{
    struct wh_topology_place place;
    if (has_hwloc()) {
        cr_assert_eq(find("synthetic:numa:2 core:2 pu:2", "5", &place), WHORL_OK);
        cr_expect_eq(place.keys[WH_TOPOLOGY_LLC], 0);
        cr_expect_eq(place.keys[WH_TOPOLOGY_NUMA], 5);
    }
}

Test(place, settings_that_cannot_be_followed_are_refused_by_name)
{
    static const struct {
        const char *file, *cpus, *text;
    } rows[] = {
        {"synthetic:nonsense", "", "WHORL_TOPO_FILE=synthetic:nonsense is not a description"},
        {"synthetic:", "", "WHORL_TOPO_FILE=synthetic: is not a description"},
        {"/nowhere/topology.xml", "", "WHORL_TOPO_FILE=/nowhere/topology.xml "},
        {"synthetic:pu:4", "4", "WHORL_TOPO_CPU=4 names no cores of the machine"},
        {"synthetic:pu:4", "x", "WHORL_TOPO_CPU=x names no cores"},
        {"synthetic:pu:4", "1-", "WHORL_TOPO_CPU=1- names no cores"},
        {"synthetic:pu:4", ",1", "WHORL_TOPO_CPU=,1 names no cores"},
        {"synthetic:pu:4", "99999999999", "WHORL_TOPO_CPU=99999999999 names no cores"},
        {"synthetic:pu:4", "0-3 ", "numbers up to 3"},
    };
    for (size_t i = 0; has_hwloc() && i < ARRAY_LEN(rows); i++) {
        struct wh_topology_place place;
        cr_expect_eq(find(rows[i].file, rows[i].cpus, &place), WHORL_E_CONFIG, "%s %s",
                     rows[i].file, rows[i].cpus);
        cr_expect_not_null(strstr(wh_error_get(), rows[i].text), "%s", wh_error_get());
        cr_expect_eq(place.keys[WH_TOPOLOGY_LLC], 0);
    }
}

static long peak_kib(void)
{
    struct rusage usage;
    cr_assert_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

Test(place, a_number_of_a_core_takes_no_memory_that_grows_with_it)
{
    static const char *const lists[] = {"4294967295", "0,4294967294", "0-1000000", "1--2",
                                        "0000000",    "1,",           "-",         "0,-1"};
    for (size_t i = 0; has_hwloc() && i < ARRAY_LEN(lists); i++) {
        struct wh_topology_place place;
        long before_kib = peak_kib();
        cr_expect_eq(find("synthetic:pu:4", lists[i], &place), WHORL_E_CONFIG, "%s", lists[i]);
        cr_expect_not_null(strstr(wh_error_get(), " names no cores"), "%s", wh_error_get());
        cr_expect_lt(peak_kib() - before_kib, 64 * 1024, "%s", lists[i]);
    }
}

Test(place, a_file_of_xml_is_read_and_one_of_anything_else_refused)
{
    static const char xml[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n"
        "<topology version=\"2.0\">\n"
        "<object type=\"Machine\" os_index=\"0\" cpuset=\"0x3\" complete_cpuset=\"0x3\""
        " allowed_cpuset=\"0x3\" nodeset=\"0x3\" complete_nodeset=\"0x3\" allowed_nodeset=\"0x3\""
        " gp_index=\"1\">\n"
        "<object type=\"Package\" os_index=\"0\" cpuset=\"0x1\" complete_cpuset=\"0x1\""
        " nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"2\">\n"
        "<object type=\"NUMANode\" os_index=\"0\" cpuset=\"0x1\" complete_cpuset=\"0x1\""
        " nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"3\" local_memory=\"1\"/>\n"
        "<object type=\"PU\" os_index=\"0\" cpuset=\"0x1\" complete_cpuset=\"0x1\""
        " nodeset=\"0x1\" complete_nodeset=\"0x1\" gp_index=\"4\"/>\n"
        "</object>\n"
        "<object type=\"Package\" os_index=\"1\" cpuset=\"0x2\" complete_cpuset=\"0x2\""
        " nodeset=\"0x2\" complete_nodeset=\"0x2\" gp_index=\"5\">\n"
        "<object type=\"NUMANode\" os_index=\"1\" cpuset=\"0x2\" complete_cpuset=\"0x2\""
        " nodeset=\"0x2\" complete_nodeset=\"0x2\" gp_index=\"6\" local_memory=\"1\"/>\n"
        "<object type=\"PU\" os_index=\"1\" cpuset=\"0x2\" complete_cpuset=\"0x2\""
        " nodeset=\"0x2\" complete_nodeset=\"0x2\" gp_index=\"7\"/>\n"
        "</object>\n"
        "</object>\n"
        "</topology>\n";
    if (!has_hwloc()) {
        return;
    }
    char path[] = "/tmp/whorl_place_XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, xml, sizeof(xml) - 1), (ssize_t)sizeof(xml) - 1);
    struct wh_topology_place place;
    cr_expect_eq(find(path, "1", &place), WHORL_OK, "%s", wh_error_get());
    cr_expect_eq(place.keys[WH_TOPOLOGY_NUMA], 2);
    cr_expect_eq(place.keys[WH_TOPOLOGY_LLC], 0);

    cr_assert_eq(ftruncate(fd, 30), 0);
    cr_expect_eq(find(path, "1", &place), WHORL_E_CONFIG);
    close(fd);
    unlink(path);
}

Test(place, without_settings_it_is_where_the_process_is_bound)
{
    cpu_set_t before, one;
    struct wh_topology_place place, again;
    if (!has_hwloc()) {
        return;
    }
    cr_assert_eq(sched_getaffinity(0, sizeof(before), &before), 0);
    unsigned cpu = 0;
    while (!CPU_ISSET(cpu, &before)) {
        cpu++;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);

    /* Every core has a node. */
    cr_expect_eq(find("", "", &place), WHORL_OK, "%s", wh_error_get());
    cr_expect_neq(place.keys[WH_TOPOLOGY_NUMA], 0);
    cr_expect_leq(place.keys[WH_TOPOLOGY_NUMA], cpu + 1);

    char cpus[16];
    snprintf(cpus, sizeof(cpus), "%u", cpu);
    cr_expect_eq(find("", cpus, &again), WHORL_OK, "%s", wh_error_get());
    cr_expect_eq(memcmp(&place, &again, sizeof(place)), 0, "told and found are the same");

    /* In a machine where this core is in a node of its own. */
    char description[64];
    snprintf(description, sizeof(description), "synthetic:numa:%u pu:1", cpu + 1);
    cr_expect_eq(find(description, "", &place), WHORL_OK, "%s", wh_error_get());
    cr_expect_eq(place.keys[WH_TOPOLOGY_NUMA], cpu + 1);
}

Test(place, without_hwloc_nothing_is_known_and_nothing_can_be_set)
{
    struct wh_topology_place place;
    if (!has_hwloc()) {
        cr_expect_eq(find("", "", &place), WHORL_OK);
        cr_expect_eq(place.keys[WH_TOPOLOGY_LLC], 0);
        cr_expect_eq(place.keys[WH_TOPOLOGY_NUMA], 0);
        cr_expect_eq(find("", "0", &place), WHORL_E_CONFIG);
        cr_expect_not_null(strstr(wh_error_get(), "WHORL_TOPO_CPU=0 cannot be followed"));
    }
}
