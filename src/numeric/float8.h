/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two 8-bit floats of the OCP "8-bit Floating Point Specification" to and from float32.
 *
 *           sign  exponent  mantissa  largest        smallest normal  step    inf   NaN
 *   e4m3      1       4         3     448    (0x7e)  2^-6             2^-9    none  0x7f
 *   e5m2      1       5         2     57344  (0x7b)  2^-14            2^-16   0x7c  0x7d..0x7f
 *
 * (the rightmost columns also with the sign bit). Widening is exact. Narrowing rounds to nearest,
 * ties to even; every NaN becomes the one positive NaN (0x7f, 0x7e).
 *
 * Narrowing saturates, in both formats: whatever is beyond the largest number, infinity included,
 * becomes the largest number with its sign. This is what CUDA's __nv_fp8_e4m3 and __nv_fp8_e5m2
 * constructors do (__NV_SATFINITE), so a sum that overflows is the same here as on a GPU. For e4m3
 * the alternative is a NaN; for e5m2 it is infinity, as IEEE would have it, but then the same
 * program would give finite sums on one device and infinite ones on another. An infinity that is
 * already in the data thus turns into 57344 when it is summed, multiplied, scaled or divided;
 * MIN and MAX only choose among their operands and keep it.
 *
 * Inline for the same reason as float16.h.
 */
#ifndef WH_NUMERIC_FLOAT8_H
#define WH_NUMERIC_FLOAT8_H

#include "numeric/minifloat.h"

enum {
    WH_E4M3_MANT_NBITS = 3,
    WH_E4M3_BIAS = 7,
    WH_E4M3_MAX = 0x7e,
    WH_E4M3_NAN = 0x7f,
    WH_E5M2_MANT_NBITS = 2,
    WH_E5M2_BIAS = 15,
    WH_E5M2_INF = 0x7c,
    WH_E5M2_NAN = 0x7e,
};

static inline float wh_e4m3_to_f32(uint8_t byte)
{
    const int shift = WH_F32_MANT_NBITS - WH_E4M3_MANT_NBITS;

    int32_t magnitude = (byte & 0x7f) << shift;
    float wide = wh_minifloat_widen(magnitude, WH_E4M3_BIAS, WH_E4M3_NAN << shift);
    return wh_f32_with_sign(wide, (uint32_t)byte << 24);
}

static inline uint8_t wh_f32_to_e4m3(float value)
{
    const int32_t largest = 0x43e00000; /* 448 */

    int32_t bits = wh_f32_bits(value);
    int32_t magnitude = bits & WH_F32_MAGNITUDE;
    int32_t byte = wh_minifloat_narrow(magnitude, WH_E4M3_MANT_NBITS, WH_E4M3_BIAS, largest);
    int32_t sign = (bits >> 24) & 0x80;
    return (uint8_t)wh_minifloat_or_nan(byte | sign, WH_E4M3_NAN, magnitude);
}

static inline float wh_e5m2_to_f32(uint8_t byte)
{
    const int shift = WH_F32_MANT_NBITS - WH_E5M2_MANT_NBITS;

    int32_t magnitude = (byte & 0x7f) << shift;
    float wide = wh_minifloat_widen(magnitude, WH_E5M2_BIAS, WH_E5M2_INF << shift);
    return wh_f32_with_sign(wide, (uint32_t)byte << 24);
}

static inline uint8_t wh_f32_to_e5m2(float value)
{
    const int32_t largest = 0x47600000; /* 57344 */

    int32_t bits = wh_f32_bits(value);
    int32_t magnitude = bits & WH_F32_MAGNITUDE;
    int32_t byte = wh_minifloat_narrow(magnitude, WH_E5M2_MANT_NBITS, WH_E5M2_BIAS, largest);
    int32_t sign = (bits >> 24) & 0x80;
    return (uint8_t)wh_minifloat_or_nan(byte | sign, WH_E5M2_NAN, magnitude);
}

#endif
