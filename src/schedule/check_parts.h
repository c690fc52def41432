/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of ranks, exact, shared and counted: the numbers that the checker computes with.
 *
 * A set has one bit per rank. It is shared by whoever holds a reference and must not be changed
 * while more than one does; the functions that change one copy it where needed. A model of n
 * ranks thus keeps one set per distinct value in flight rather than one per chunk and rank.
 */
#ifndef WH_SCHEDULE_CHECK_PARTS_H
#define WH_SCHEDULE_CHECK_PARTS_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stdint.h>

/** The ranks whose contributions a value holds. Fields are for reading. */
struct wh_parts {
    uint32_t nrefs;
    uint32_t nranks; /* of the world */
    uint32_t nparts; /* ranks in the set */
    bool finished;   /* FINISH was applied */
    uint64_t words[];
};

/** {rank}, with one reference; NULL if memory ran out. Given back with wh_parts_put(). */
struct wh_parts *wh_parts_create(uint32_t nranks, uint32_t rank);

/** One reference more; returns parts. */
struct wh_parts *wh_parts_get(struct wh_parts *parts);

/** One reference less; the last one frees. Takes NULL. */
void wh_parts_put(struct wh_parts *parts);

/** Is rank in it? */
bool wh_parts_has(const struct wh_parts *parts, uint32_t rank);

/** The lowest rank that is not in it; nranks if it is full. */
uint32_t wh_parts_missing(const struct wh_parts *parts);

/** The lowest rank that is in both; nranks if there is none. */
uint32_t wh_parts_common(const struct wh_parts *a, const struct wh_parts *b);

/** Adds the ranks of `more`, in it already or not, to *parts. WHORL_E_NOMEM leaves it as it was. */
WH_MUST_CHECK whorl_result_t wh_parts_merge(struct wh_parts **parts, const struct wh_parts *more);

/** Marks *parts as finished; others who share it keep theirs. WHORL_E_NOMEM leaves it as it was. */
WH_MUST_CHECK whorl_result_t wh_parts_finish(struct wh_parts **parts);

#endif
