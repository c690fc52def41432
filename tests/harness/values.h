/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inputs of collectives, and what must come out, computed without the library.
 *
 * Inputs are chosen so that every order of combining gives the same bits: integers are any bits,
 * since they wrap; for sums of floats they are small whole numbers whose partial sums are exact;
 * for products they are powers of two; for maxima and minima anything, NaN and infinities included.
 * Values repeat every VALUES_PERIOD elements, a prime, so that large buffers cost little to fill
 * and a block in the wrong place still shows.
 */
#ifndef WH_TESTS_HARNESS_VALUES_H
#define WH_TESTS_HARNESS_VALUES_H

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VALUES_PERIOD = 1021,
    VALUES_PREMUL = WHORL_REDOP_COUNT, /* the premultiplied sum, as an op of this module */
    VALUES_COPY,                       /* no reduction: any bits */
    VALUES_ELEM_NBYTES_MAX = 8,
};

/** What the values of a call depend on. */
struct values {
    whorl_dtype_t dtype;
    int op; /* WHORL_SUM to WHORL_AVG, VALUES_PREMUL or VALUES_COPY */
    int nranks;
    uint64_t seed;
};

/** Elements first to first + nelems - 1 of rank's input; `to` may be unaligned. */
void values_input(const struct values *v, int rank, size_t first, size_t nelems, void *to);

/** The same elements of the result of the reduction; not for VALUES_COPY. */
void values_result(const struct values *v, size_t first, size_t nelems, void *to);

/** rank's factor for VALUES_PREMUL: one element. */
void values_scalar(const struct values *v, int rank, void *to);

/** Index of the first element that differs, nelems if none; one NaN is as good as another unless
 *  v->op is VALUES_COPY. */
size_t values_first_wrong(const struct values *v, const void *got, const void *want, size_t nelems);

#endif
