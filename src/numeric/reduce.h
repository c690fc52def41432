/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of collectives: one table of loops for each instruction set.
 *
 * What the loops compute (the scalar table is the truth, every other one must give the same bits):
 *
 *   integers     SUM, PROD and scale wrap; divide truncates towards zero.
 *   float32, 64  IEEE operations of that type. Which NaN a SUM or PROD of NaNs gives is the
 *                hardware's choice.
 *   16, 8 bits   Combined in float32 and rounded to nearest even, once for each element written;
 *                float8 saturates (float8.h). A NaN result is always the same NaN.
 *   MAX, MIN     Any NaN in gives the positive quiet NaN; -0 is less than +0 (minmax.h).
 *
 * So a op b and b op a are the same bits, but for the NaN that float32 and float64 SUM and PROD
 * give. AVG is the SUM kernel, and divide at the end; premultiplied sum is scale at the start, then
 * the SUM kernel.
 *
 * Units     nelems counts elements of the dtype, not bytes. 0 is allowed and touches nothing, also
 *           with NULL pointers.
 * Memory    Pointers are borrowed for the call and need no alignment: users' buffers may start at
 *           any byte. dst may be exactly one of the sources (or both); any other overlap is a bug
 *           of the caller.
 * Blocking  Never.
 * Threads   Any; the tables are constant.
 * Rounding  The thread's rounding mode must be the default, to nearest.
 */
#ifndef WH_NUMERIC_REDUCE_H
#define WH_NUMERIC_REDUCE_H

#include <whorl/whorl.h>

#include <stddef.h>
#include <stdint.h>

enum wh_kernel_op { WH_KERNEL_SUM, WH_KERNEL_PROD, WH_KERNEL_MAX, WH_KERNEL_MIN, WH_NKERNEL_OPS };

/* dst[i] = a[i] op b[i] for nelems elements. dst may equal a or b. */
typedef void (*wh_reduce_fn)(void *dst, const void *a, const void *b, size_t nelems);

/* dst[i] = src[i] * *scalar, where *scalar is one element of the dtype. dst may equal src. */
typedef void (*wh_scale_fn)(void *dst, const void *src, const void *scalar, size_t nelems);

/*
 * dst[i] = src[i] / divisor, AVG's last step: float64 in float64, other floats in float32 and
 * rounded once, integers truncated towards zero. divisor is not 0. dst may equal src.
 */
typedef void (*wh_divide_fn)(void *dst, const void *src, uint32_t divisor, size_t nelems);

/* The loops for one instruction set. Every slot is filled. */
struct wh_kernels {
    const char *isa; /* for logs: "scalar", later "avx2" and so on */
    wh_reduce_fn reduce[WHORL_DTYPE_COUNT][WH_NKERNEL_OPS];
    wh_scale_fn scale[WHORL_DTYPE_COUNT];
    wh_divide_fn divide[WHORL_DTYPE_COUNT];
};

/* The best table that this CPU can run. Never NULL; static memory; the same on every call. */
const struct wh_kernels *wh_kernels_get(void);

/* The table that runs everywhere and defines what the others must give. */
extern const struct wh_kernels wh_kernels_scalar;

#endif
