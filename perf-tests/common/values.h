/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inputs whose reduction is the same bits in any order, and the result they must give.
 *
 * Input element (seed, index, rank) is a hash of the three, mapped to values for which every
 * partial result of every subset of ranks is exact in the element type. Ring, tree, any split into
 * chunks and any rounding between steps must then give identical bits, so results are compared as
 * bits. The maps:
 *
 *   copies              random bits, NaN patterns included
 *   integers            sum, prod, mulsum: random bits, arithmetic wraps (prod: odd numbers, or
 *                       the product would soon be 0); avg: small numbers, so nothing wraps
 *   floats, sum         integers whose magnitudes add up to at most L over all ranks; L is the
 *                       largest integer to which the type counts without a gap: 8 for e5m2, 16 for
 *                       e4m3, 256 for bfloat16, 2048 for half
 *   floats, avg         the same; the quotient is rounded once. Where the number of ranks is no
 *                       power of two, 2 units in the last place are allowed, as nccl-tests does
 *   floats, mulsum      the same with L/2; rank r's scalar is 1 or 2
 *   floats, prod        +-2^e, the |e| add up to at most what the type's range holds
 *   min, max            random bits that are no NaN, no infinity and no -0
 *
 * With more ranks than L the ranks take turns: at each index a window of L of them contributes,
 * the others bring the neutral element; the window moves with the index, so every rank counts.
 */
#ifndef PERF_COMMON_VALUES_H
#define PERF_COMMON_VALUES_H

#include "common/types.h"

#include <stdint.h>

enum perf_value_kind { PERF_VALUE_BITS, PERF_VALUE_SMALL, PERF_VALUE_POW2, PERF_VALUE_ORDERED };

/** Everything that determines the inputs of one call. Plain values; no memory behind it. */
struct perf_values {
    const struct perf_type *type;
    enum perf_op_kind op;
    int nranks;
    uint32_t seed;
    enum perf_value_kind kind;
    int nactive;             /**< ranks that contribute at each index */
    uint32_t magnitude_mask; /**< magnitudes are 1 .. magnitude_mask+1 */
    uint64_t tolerance;      /**< units in the last place that a result may be off */
};

/** Sets up *out for nranks ranks (at least 1). op is PERF_OP_NONE for copies. */
void perf_values_init(struct perf_values *out, const struct perf_type *type, enum perf_op_kind op,
                      int nranks, uint32_t seed);

/** Rank's scalar for mulsum, as a number. */
int perf_values_scalar(int rank);

/** Writes rank's input elements first .. first+nelems-1 to out (no alignment needed). */
void perf_values_input(const struct perf_values *values, int rank, uint64_t first, size_t nelems,
                       void *out);

/** Writes the reduction over all ranks of input elements first .. first+nelems-1 to out. */
void perf_values_reduced(const struct perf_values *values, uint64_t first, size_t nelems,
                         void *out);

#endif
