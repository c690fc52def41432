/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MAX and MIN of floats, such that the result is the same bits whichever operand comes first:
 *
 *   - any NaN in, the type's positive quiet NaN out;
 *   - -0 is less than +0: max(-0, +0) is +0 and min(-0, +0) is -0.
 *
 * float32 and float64 compare as floats; only where operands compare equal, which for different
 * bits means two zeros, the sign bits are combined. (Where the caller has denormals treated as
 * zero, all of them compare equal and the answer is one of those "zeros".)
 *
 * 8-bit and 16-bit floats need no conversion: with its magnitude inverted where the sign is set,
 * a float's bit pattern orders like an integer, zeros included.
 */
#ifndef WH_NUMERIC_MINMAX_H
#define WH_NUMERIC_MINMAX_H

#include <stdint.h>
#include <string.h>

static inline float wh_f32_and(float a, float b)
{
    uint32_t x;
    uint32_t y;
    memcpy(&x, &a, sizeof(x));
    memcpy(&y, &b, sizeof(y));
    x &= y;
    memcpy(&a, &x, sizeof(x));
    return a;
}

static inline float wh_f32_or(float a, float b)
{
    uint32_t x;
    uint32_t y;
    memcpy(&x, &a, sizeof(x));
    memcpy(&y, &b, sizeof(y));
    x |= y;
    memcpy(&a, &x, sizeof(x));
    return a;
}

static inline float wh_f32_max(float a, float b)
{
    float larger = a > b ? a : b;
    larger = a == b ? wh_f32_and(a, b) : larger;
    return __builtin_isunordered(a, b) ? __builtin_nanf("") : larger;
}

static inline float wh_f32_min(float a, float b)
{
    float smaller = a < b ? a : b;
    smaller = a == b ? wh_f32_or(a, b) : smaller;
    return __builtin_isunordered(a, b) ? __builtin_nanf("") : smaller;
}

static inline double wh_f64_and(double a, double b)
{
    uint64_t x;
    uint64_t y;
    memcpy(&x, &a, sizeof(x));
    memcpy(&y, &b, sizeof(y));
    x &= y;
    memcpy(&a, &x, sizeof(x));
    return a;
}

static inline double wh_f64_or(double a, double b)
{
    uint64_t x;
    uint64_t y;
    memcpy(&x, &a, sizeof(x));
    memcpy(&y, &b, sizeof(y));
    x |= y;
    memcpy(&a, &x, sizeof(x));
    return a;
}

/* value, or the quiet NaN if it is any NaN. */
static inline double wh_f64_quiet(double value)
{
    return value == value ? value : __builtin_nan("");
}

static inline double wh_f64_max(double a, double b)
{
    double larger = a > b ? a : b;
    larger = a == b ? wh_f64_and(a, b) : larger;
    return __builtin_isunordered(a, b) ? __builtin_nan("") : larger;
}

static inline double wh_f64_min(double a, double b)
{
    double smaller = a < b ? a : b;
    smaller = a == b ? wh_f64_or(a, b) : smaller;
    return __builtin_isunordered(a, b) ? __builtin_nan("") : smaller;
}

/* Bits of a 16-bit float to an integer that orders like it, and back: its own inverse. */
static inline int16_t wh_order16(int16_t bits)
{
    return (int16_t)(bits ^ ((bits >> 15) & 0x7fff));
}

/* MAX of two 16-bit floats whose NaNs are the magnitudes above last; nan is the canonical one. */
static inline uint16_t wh_bits16_max(uint16_t a, uint16_t b, int16_t last, uint16_t nan)
{
    int16_t x = wh_order16((int16_t)a);
    int16_t y = wh_order16((int16_t)b);
    uint16_t larger = (uint16_t)wh_order16(x > y ? x : y);
    larger = (int16_t)(a & 0x7fff) > last ? nan : larger;
    return (int16_t)(b & 0x7fff) > last ? nan : larger;
}

/* MIN, in the same terms. */
static inline uint16_t wh_bits16_min(uint16_t a, uint16_t b, int16_t last, uint16_t nan)
{
    int16_t x = wh_order16((int16_t)a);
    int16_t y = wh_order16((int16_t)b);
    uint16_t smaller = (uint16_t)wh_order16(x < y ? x : y);
    smaller = (int16_t)(a & 0x7fff) > last ? nan : smaller;
    return (int16_t)(b & 0x7fff) > last ? nan : smaller;
}

/* The same three for 8-bit floats. */
static inline int8_t wh_order8(int8_t bits)
{
    return (int8_t)(bits ^ ((bits >> 7) & 0x7f));
}

static inline uint8_t wh_bits8_max(uint8_t a, uint8_t b, int8_t last, uint8_t nan)
{
    int8_t x = wh_order8((int8_t)a);
    int8_t y = wh_order8((int8_t)b);
    uint8_t larger = (uint8_t)wh_order8(x > y ? x : y);
    larger = (int8_t)(a & 0x7f) > last ? nan : larger;
    return (int8_t)(b & 0x7f) > last ? nan : larger;
}

static inline uint8_t wh_bits8_min(uint8_t a, uint8_t b, int8_t last, uint8_t nan)
{
    int8_t x = wh_order8((int8_t)a);
    int8_t y = wh_order8((int8_t)b);
    uint8_t smaller = (uint8_t)wh_order8(x < y ? x : y);
    smaller = (int8_t)(a & 0x7f) > last ? nan : smaller;
    return (int8_t)(b & 0x7f) > last ? nan : smaller;
}

#endif
