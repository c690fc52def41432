/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compositions of all ranks of one collective, to be checked, counted and broken.
 *
 * Hosts are written as a text with a letter per rank: "aabbb" is two ranks on one host and three on
 * another.
 */
#ifndef WH_TESTS_HARNESS_COMPOSE_SUITE_H
#define WH_TESTS_HARNESS_COMPOSE_SUITE_H

#include "algorithms/hier.h"
#include "schedule/compose_check.h"

struct compose_suite {
    struct wh_hosts *hosts;
    struct wh_composition **compositions; /* hosts->nranks */
};

/** Given back with wh_hosts_destroy(). */
struct wh_hosts *compose_suite_hosts(const char *letters);

/** The row of that name. */
const struct wh_hier_algo *compose_suite_algo(enum wh_coll coll, const char *name);

/** Given back with compose_suite_destroy(). */
struct compose_suite *compose_suite_create(const struct wh_hier_algo *algo, const char *letters,
                                           uint32_t root);
void compose_suite_destroy(struct compose_suite *suite);

/** Phase i of a rank, to be changed. */
struct wh_phase *compose_suite_phase(const struct compose_suite *suite, uint32_t rank, uint32_t i);

/** Blocks of a phase, to be changed. */
struct wh_cells *compose_suite_src(const struct compose_suite *suite, uint32_t rank, uint32_t i);
struct wh_cells *compose_suite_dst(const struct compose_suite *suite, uint32_t rank, uint32_t i);

/** The checker says so, in place or not; NULL: it finds no fault. Destroys the suite. */
void compose_suite_expect(struct compose_suite *suite, bool in_place, const char *fault);

/** All rows of a collective hold for hosts of many shapes, with every root: equal numbers of ranks
 *  from 2 x 1 to 8 x 8, uneven ones, ranks dealt out to hosts, and 64 hosts. */
void compose_suite_check_all(enum wh_coll coll);

#endif
