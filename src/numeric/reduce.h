/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of collectives: one table of loops for each instruction set.
 *
 * A combination reads any number of vectors once and writes their sum, product, maximum or minimum
 * to any number of places, in one pass. What it computes (the scalar table is the truth, every
 * other one gives the same bits on every machine):
 *
 *   order        ((s0 op s1) op s2) ..., for every element.
 *   integers     SUM, PROD and scale wrap; the divisor truncates towards zero.
 *   float32, 64  IEEE operations of that type.
 *   16, 8 bits   Widened to float32, combined there over all sources, divided there, and rounded to
 *                nearest even once, for the element written; float8 saturates (float8.h).
 *   MAX, MIN     Any NaN in gives a NaN; -0 is less than +0 (minmax.h).
 *   NaN          Every NaN that is computed is the positive quiet NaN of its type.
 *   one source   and no divisor is a copy: nothing is computed, the bytes stay what they are.
 *
 * AVG is SUM with a divisor; premultiplied sum is scale at the start, then SUM.
 *
 * Units     nelems counts elements of the dtype, not bytes. 0 is allowed and touches no element,
 *           also with NULL pointers in srcs and dsts.
 * Memory    Pointers are borrowed for the call and need no alignment: users' buffers may start at
 *           any byte. A dst may be exactly one of the sources (or several); any other overlap of a
 *           dst is a bug of the caller.
 * Blocking  Never.
 * Threads   Any; the tables are constant.
 * Rounding  The thread's rounding mode must be the default, to nearest.
 */
#ifndef WH_NUMERIC_REDUCE_H
#define WH_NUMERIC_REDUCE_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wh_kernel_op { WH_KERNEL_SUM, WH_KERNEL_PROD, WH_KERNEL_MAX, WH_KERNEL_MIN, WH_NKERNEL_OPS };

/* One combination. The arrays are the caller's; nothing is kept. */
struct wh_combine {
    void *const *dsts;       /* every one gets the result */
    size_t ndsts;            /* 1 or more */
    const void *const *srcs; /* in the order in which they are combined */
    size_t nsrcs;            /* 1 or more */
    size_t nelems;
    uint32_t divisor; /* of a SUM, to make it AVG; 0 and 1: none. With other operations: 0 or 1 */
    /* Hints, with which long vectors go some pages at a time. from_memory: the sources are in no
       cache that is near, and the dsts are. streaming: the results are too large for caches, so
       write them past these where a dst can be aligned for that. Other threads see that like
       ordinary stores. */
    bool from_memory, streaming;
};

typedef void (*wh_combine_fn)(const struct wh_combine *c);

/* dst[i] = src[i] * *scalar, where *scalar is one element of the dtype. dst may equal src. */
typedef void (*wh_scale_fn)(void *dst, const void *src, const void *scalar, size_t nelems);

/* Copies nbytes from srcs[0] to dsts[0] and as many from srcs[1] to dsts[1], some of each in turn:
 * long copies out of lines that another core has just written leave room for others. No overlaps. */
typedef void (*wh_copy_pair_fn)(void *const *dsts, const void *const *srcs, size_t nbytes);

/* The loops for one instruction set. Every slot is filled. */
struct wh_kernels {
    const char *isa; /* as in WHORL_ISA: "scalar", "avx2", "avx512", "neon" */
    wh_combine_fn combine[WHORL_DTYPE_COUNT][WH_NKERNEL_OPS];
    wh_scale_fn scale[WHORL_DTYPE_COUNT];
    wh_copy_pair_fn copy_pair;
};

/* The table that runs everywhere and defines what the others must give. */
extern const struct wh_kernels wh_kernels_scalar;

/* Those of one instruction set; each exists only on its architecture. Ask wh_kernels_at(). */
extern const struct wh_kernels wh_kernels_avx2;
extern const struct wh_kernels wh_kernels_avx512;
extern const struct wh_kernels wh_kernels_neon;

/*
 * The table of this process: the one that WHORL_ISA names, or the best that this CPU can run. Never
 * NULL; static memory; the same on every call. Where WHORL_ISA cannot be had, the best one: who
 * makes communicators asks wh_kernels_check() first.
 */
const struct wh_kernels *wh_kernels_get(void);

/* WHORL_E_CONFIG, reported with the names that work here, if WHORL_ISA names none of them. */
WH_MUST_CHECK whorl_result_t wh_kernels_check(void);

/* The table called isa, or the best one for "auto"; NULL if this CPU has none of that name. */
const struct wh_kernels *wh_kernels_named(const char *isa);

/* The tables that this CPU can run, best first, from index 0; NULL after the last. */
const struct wh_kernels *wh_kernels_at(size_t index);

#endif
