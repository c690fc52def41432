/* SPDX-License-Identifier: Apache-2.0 */
/* Fills inputs and counts wrong outputs of one call on one rank. */
#ifndef PERF_COMMON_VERIFY_H
#define PERF_COMMON_VERIFY_H

#include "common/values.h"
#include "perf.h"

/** Writes place->rank's whole input to send. */
void perf_fill(const struct perf_values *values, const struct perf_place *place, void *send);

/** True when coll defines place->rank's output. */
bool perf_is_checked(const struct perf_coll *coll, const struct perf_place *place);

/** The number of elements of recv that are not what coll promises; compares every bit. */
uint64_t perf_count_wrong(const struct perf_coll *coll, const struct perf_values *values,
                          const struct perf_place *place, const void *recv);

/** Flips one bit of element index (modulo nelems) of recv; a change that every check must see. */
void perf_corrupt(const struct perf_type *type, void *recv, size_t nelems, uint64_t index);

#endif
