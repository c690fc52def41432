/* SPDX-License-Identifier: Apache-2.0 */
/* Small arithmetic on unsigned integers. */
#ifndef WH_BASE_BITS_H
#define WH_BASE_BITS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t wh_min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t wh_max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* a / b, rounded up. */
static inline size_t wh_div_up(size_t a, size_t b)
{
    assert(b > 0);
    return a / b + (a % b != 0);
}

/* The smallest multiple of `align` (a power of two) that is >= a. */
static inline size_t wh_align_up(size_t a, size_t align)
{
    assert(align > 0 && (align & (align - 1)) == 0);
    return (a + align - 1) & ~(align - 1);
}

static inline bool wh_is_pow2(uint32_t a)
{
    return a != 0 && (a & (a - 1)) == 0;
}

/* floor(log2(a)); a > 0. */
static inline uint32_t wh_log2_floor(uint32_t a)
{
    assert(a > 0);
    return 31u - (uint32_t)__builtin_clz(a);
}

/* ceil(log2(a)); a > 0. */
static inline uint32_t wh_log2_ceil(uint32_t a)
{
    assert(a > 0);
    return a == 1 ? 0 : wh_log2_floor(a - 1) + 1;
}

#endif
