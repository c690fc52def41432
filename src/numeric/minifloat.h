/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic that float16 and both float8 formats share: between float32 and a float with fewer
 * exponent and mantissa bits. float16.h and float8.h name the formats; nothing else includes this.
 *
 * Both directions are written without branches, so that a loop over them becomes vector code on
 * any instruction set. Choices are masks or integer minima and maxima: a choice between floats may
 * end as a branch in the compiler's hands. Comparisons are on int32_t because SSE2 has no unsigned
 * ones; the sign bit of what is compared is always clear.
 *
 * The formats' subnormals are normal numbers in float32, and so are the operands and results of the
 * additions that handle them: nothing changes when the caller has denormals flushed to zero (FTZ,
 * DAZ). What is subnormal in float32 rounds to zero either way. The rounding mode must be the
 * default one.
 */
#ifndef WH_NUMERIC_MINIFLOAT_H
#define WH_NUMERIC_MINIFLOAT_H

#include <stdint.h>
#include <string.h>

enum {
    WH_F32_MANT_NBITS = 23,
    WH_F32_BIAS = 127,
    WH_F32_INF = 0x7f800000,
    WH_F32_NAN = 0x7fc00000, /* the quiet NaN, positive */
    WH_F32_MAGNITUDE = 0x7fffffff,
};

static inline int32_t wh_f32_bits(float value)
{
    int32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float wh_f32_from_bits(int32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/*
 * The float32 with the value of a number in a narrower format. magnitude is its bits without sign,
 * shifted left until its mantissa begins where a float32's does; what is wrong then is only the
 * bias of its exponent. Exact.
 *
 * Magnitudes from first_special on (moved likewise) are infinity and NaNs, which get the exponent
 * that float32 has for these; the payload of a NaN stays.
 */
static inline float wh_minifloat_widen(int32_t magnitude, int bias, int32_t first_special)
{
    const int32_t one_exponent = 1 << WH_F32_MANT_NBITS;
    const int32_t rebias = (WH_F32_BIAS - bias) << WH_F32_MANT_NBITS;
    const int32_t min_normal = rebias + one_exponent;

    /* A subnormal has no implicit one: it gets one with the exponent of the smallest normal, and
       the smallest normal is subtracted again. From all others zero is subtracted. */
    int32_t subnormal = magnitude < one_exponent ? -1 : 0;
    int32_t special = magnitude >= first_special ? -1 : 0;
    int32_t special_exponent = (255 << WH_F32_MANT_NBITS) - rebias - (first_special & WH_F32_INF);

    int32_t wide = magnitude + rebias + (one_exponent & subnormal) + (special_exponent & special);
    return wh_f32_from_bits(wide) - wh_f32_from_bits(min_normal & subnormal);
}

/*
 * bits, or nan if magnitude (float32 bits without sign) is a NaN. By a mask, because gcc would make
 * ?: a branch around the float arithmetic before it, and then it cannot make vectors.
 */
static inline int32_t wh_minifloat_or_nan(int32_t bits, int32_t nan, int32_t magnitude)
{
    int32_t is_nan = magnitude > WH_F32_INF ? -1 : 0;
    return (bits & ~is_nan) | (nan & is_nan);
}

/* value, or the quiet NaN if it is any NaN. */
static inline float wh_f32_quiet(float value)
{
    int32_t bits = wh_f32_bits(value);
    return wh_f32_from_bits(wh_minifloat_or_nan(bits, WH_F32_NAN, bits & WH_F32_MAGNITUDE));
}

/* value, which is not negative, with the top bit of sign for its own. */
static inline float wh_f32_with_sign(float value, uint32_t sign)
{
    return wh_f32_from_bits((int32_t)((uint32_t)wh_f32_bits(value) | (sign & 0x80000000u)));
}

/*
 * The reverse: the bits, without sign, of a value rounded to nearest, ties to even. value and
 * largest are float32 bits without sign; what is above largest counts as largest, so that it says
 * what overflow comes to. The result for a NaN is not a NaN: see wh_minifloat_or_nan().
 *
 * The hardware rounds: value is added to the power of two beside which one unit in the last place
 * of a float32 is one unit of the narrow format, so the low bits of the sum are the mantissa. For
 * subnormals that power stops falling, for the others it follows the exponent, and then the sum has
 * the implicit one as well; a carry out of the mantissa is the next exponent, as it should be.
 */
static inline int32_t wh_minifloat_narrow(int32_t value, int mant_nbits, int bias, int32_t largest)
{
    const int shift = WH_F32_MANT_NBITS - mant_nbits;
    const int32_t min_normal = (WH_F32_BIAS + 1 - bias) << WH_F32_MANT_NBITS;

    int32_t finite = value < largest ? value : largest;
    int32_t power = finite & WH_F32_INF;
    power = power > min_normal ? power : min_normal;

    int32_t unit_power = power + (shift << WH_F32_MANT_NBITS);
    float sum = wh_f32_from_bits(finite) + wh_f32_from_bits(unit_power);
    int32_t mantissa = wh_f32_bits(sum) - unit_power;
    return mantissa + ((power - min_normal) >> shift);
}

#endif
