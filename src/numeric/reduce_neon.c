/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels for 64-bit ARM, where every CPU has NEON. */
#if defined(__aarch64__)

#include "numeric/reduce.h"

#include <arm_neon.h>

enum { V = 16 };

#include "numeric/reduce_vector_types.inc"

static inline vec_f32 widen_f16(half_u16 h)
{
    return (vec_f32)vcvt_f32_f16(vreinterpret_f16_u16((uint16x4_t)h));
}

static inline half_u16 narrow_f16(vec_f32 x)
{
    return (half_u16)vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)x));
}

static inline half_u16 low_half(vec_u16 x)
{
    return (half_u16)vget_low_u16((uint16x8_t)x);
}

static inline half_u16 high_half(vec_u16 x)
{
    return (half_u16)vget_high_u16((uint16x8_t)x);
}

static inline vec_u16 join_halves(half_u16 low, half_u16 high)
{
    return (vec_u16)vcombine_u16((uint16x4_t)low, (uint16x4_t)high);
}

static inline vec_u16 narrow_u16(vec_u32 low, vec_u32 high)
{
    return join_halves((half_u16)vmovn_u32((uint32x4_t)low), (half_u16)vmovn_u32((uint32x4_t)high));
}

static inline vec_f32 quiet_f32(vec_f32 x)
{
    uint32x4_t is_number = vceqq_f32((float32x4_t)x, (float32x4_t)x);
    return (vec_f32)vbslq_f32(is_number, (float32x4_t)x, vdupq_n_f32(__builtin_nanf("")));
}

/* There is no store past the caches that the language can say; the hint is not taken. */
static inline void put_past_caches(uint8_t *dst, vec_u8 x)
{
    *(mem_u8 *)dst = x;
}

static inline void fence_past_caches(void)
{
}

#include "numeric/reduce_vector_part.h"

#define KERNELS wh_kernels_neon
#define ISA     "neon"
#include "numeric/reduce_vector.inc"

#endif
