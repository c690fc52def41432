/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An independent account of what the numeric layer must compute, for its tests. It is written for
 * plainness and shares no method with the library: small floats are decoded with ldexp() and
 * encoded by searching for the nearest code, integers are combined in 128 bits.
 *
 * An element is its bits in a uint64_t, whatever its type. Functions are inline because not every
 * test that includes this uses all of them.
 */
#ifndef TEST_NUMERIC_REFERENCE_H
#define TEST_NUMERIC_REFERENCE_H

#include "numeric/dtype.h"
#include "numeric/reduce.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A float of up to 16 bits. Codes are without sign unless said otherwise. */
struct ref_format {
    unsigned nbits;
    int mant_nbits;
    int bias;
    unsigned largest;  /* code of the largest finite number */
    unsigned inf;      /* code of infinity; 0 if there is none */
    unsigned overflow; /* what a number beyond the largest becomes */
    unsigned nan;      /* the NaN that operations give */
};

static const struct ref_format ref_float16 = {16, 10, 15, 0x7bff, 0x7c00, 0x7c00, 0x7e00};
static const struct ref_format ref_bfloat16 = {16, 7, 127, 0x7f7f, 0x7f80, 0x7f80, 0x7fc0};
static const struct ref_format ref_e4m3 = {8, 3, 7, 0x7e, 0, 0x7e, 0x7f};
static const struct ref_format ref_e5m2 = {8, 2, 15, 0x7b, 0x7c, 0x7b, 0x7e};

static inline unsigned ref_sign_bit(const struct ref_format *format)
{
    return 1u << (format->nbits - 1);
}

/* The value of a code with sign. Every value of these formats is a double. */
static inline double ref_decode(const struct ref_format *format, unsigned code)
{
    unsigned magnitude = code & (ref_sign_bit(format) - 1);
    double sign = code & ref_sign_bit(format) ? -1.0 : 1.0;

    if (format->inf != 0 && magnitude == format->inf) {
        return sign * INFINITY;
    }
    if (magnitude > format->largest) {
        return NAN;
    }
    int exponent = (int)(magnitude >> format->mant_nbits);
    int mantissa = (int)(magnitude & ((1u << format->mant_nbits) - 1));
    if (exponent > 0) {
        mantissa += 1 << format->mant_nbits;
    } else {
        exponent = 1;
    }
    return sign * ldexp(mantissa, exponent - format->bias - format->mant_nbits);
}

/* The code, with sign, of the number nearest to value; of two, the one with an even code. */
static inline unsigned ref_encode(const struct ref_format *format, double value)
{
    if (isnan(value)) {
        return format->nan;
    }
    unsigned sign = signbit(value) ? ref_sign_bit(format) : 0;
    double magnitude = fabs(value);

    double largest = ref_decode(format, format->largest);
    double last_step = largest - ref_decode(format, format->largest - 1);
    if (magnitude >= largest + last_step / 2) {
        return sign | format->overflow;
    }
    unsigned below = 0; /* below <= value < above, by bisection */
    unsigned above = format->largest + 1;
    while (above - below > 1) {
        unsigned middle = (below + above) / 2;
        if (ref_decode(format, middle) <= magnitude) {
            below = middle;
        } else {
            above = middle;
        }
    }
    if (below == format->largest) {
        return sign | below;
    }
    double to_below = magnitude - ref_decode(format, below);
    double to_above = ref_decode(format, above) - magnitude;
    if (to_below == to_above) {
        return sign | (below % 2 == 0 ? below : above);
    }
    return sign | (to_below < to_above ? below : above);
}

static inline const struct ref_format *ref_format_of(whorl_dtype_t dtype)
{
    switch (dtype) {
    case WHORL_FLOAT16:
        return &ref_float16;
    case WHORL_BFLOAT16:
        return &ref_bfloat16;
    case WHORL_FLOAT8_E4M3:
        return &ref_e4m3;
    case WHORL_FLOAT8_E5M2:
        return &ref_e5m2;
    default:
        return NULL;
    }
}

static inline bool ref_is_integer(whorl_dtype_t dtype)
{
    return dtype <= WHORL_UINT64;
}

static inline bool ref_is_signed(whorl_dtype_t dtype)
{
    return dtype == WHORL_INT8 || dtype == WHORL_INT32 || dtype == WHORL_INT64;
}

static inline uint64_t ref_load(whorl_dtype_t dtype, const void *from)
{
    uint64_t bits = 0;
    memcpy(&bits, from, wh_dtype_nbytes(dtype)); /* little endian, as all of Whorl */
    return bits;
}

static inline void ref_store(whorl_dtype_t dtype, void *to, uint64_t bits)
{
    memcpy(to, &bits, wh_dtype_nbytes(dtype));
}

static inline uint64_t ref_mask(whorl_dtype_t dtype)
{
    return UINT64_MAX >> (64 - 8 * wh_dtype_nbytes(dtype));
}

static inline __int128 ref_integer(whorl_dtype_t dtype, uint64_t bits)
{
    __int128 value = bits;
    if (ref_is_signed(dtype) && value > (ref_mask(dtype) >> 1)) {
        value -= (__int128)ref_mask(dtype) + 1;
    }
    return value;
}

static inline double ref_float(whorl_dtype_t dtype, uint64_t bits)
{
    if (dtype == WHORL_FLOAT64) {
        double value;
        memcpy(&value, &bits, sizeof(value));
        return value;
    }
    if (dtype == WHORL_FLOAT32) {
        uint32_t low = (uint32_t)bits;
        float value;
        memcpy(&value, &low, sizeof(value));
        return (double)value;
    }
    return ref_decode(ref_format_of(dtype), (unsigned)bits);
}

/* value, which is a float32 for all types but float64, as an element. A NaN is the quiet one. */
static inline uint64_t ref_float_bits(whorl_dtype_t dtype, double value)
{
    uint64_t bits = 0;
    if (dtype == WHORL_FLOAT64) {
        value = isnan(value) ? (double)NAN : value;
        memcpy(&bits, &value, sizeof(value));
    } else if (dtype == WHORL_FLOAT32) {
        float narrow = isnan(value) ? NAN : (float)value;
        memcpy(&bits, &narrow, sizeof(narrow));
    } else {
        bits = ref_encode(ref_format_of(dtype), value);
    }
    return bits;
}

static inline bool ref_is_nan(whorl_dtype_t dtype, uint64_t bits)
{
    return !ref_is_integer(dtype) && isnan(ref_float(dtype, bits));
}

static inline uint64_t ref_extreme(whorl_dtype_t dtype, bool want_max, uint64_t a, uint64_t b)
{
    if (ref_is_integer(dtype)) {
        bool a_larger = ref_integer(dtype, a) > ref_integer(dtype, b);
        return a_larger == want_max ? a : b;
    }
    double x = ref_float(dtype, a);
    double y = ref_float(dtype, b);
    if (isnan(x) || isnan(y)) {
        return ref_float_bits(dtype, NAN);
    }
    if (x == y) { /* the same number, or zeros: then the sign decides */
        return (signbit(x) != 0) == want_max ? b : a;
    }
    return (x > y) == want_max ? a : b;
}

static inline uint64_t ref_reduce(whorl_dtype_t dtype, enum wh_kernel_op op, uint64_t a, uint64_t b)
{
    if (op == WH_KERNEL_MAX || op == WH_KERNEL_MIN) {
        return ref_extreme(dtype, op == WH_KERNEL_MAX, a, b);
    }
    if (ref_is_integer(dtype)) {
        unsigned __int128 x = (unsigned __int128)ref_integer(dtype, a);
        unsigned __int128 y = (unsigned __int128)ref_integer(dtype, b);
        return (uint64_t)(op == WH_KERNEL_SUM ? x + y : x * y) & ref_mask(dtype);
    }
    double x = ref_float(dtype, a);
    double y = ref_float(dtype, b);
    if (dtype == WHORL_FLOAT64) {
        return ref_float_bits(dtype, op == WH_KERNEL_SUM ? x + y : x * y);
    }
    float single = op == WH_KERNEL_SUM ? (float)x + (float)y : (float)x * (float)y;
    return ref_float_bits(dtype, (double)single);
}

static inline uint64_t ref_divide(whorl_dtype_t dtype, uint64_t a, uint32_t divisor)
{
    if (ref_is_integer(dtype)) {
        return (uint64_t)(ref_integer(dtype, a) / (__int128)divisor) & ref_mask(dtype);
    }
    double x = ref_float(dtype, a);
    if (dtype == WHORL_FLOAT64) {
        return ref_float_bits(dtype, x / divisor);
    }
    return ref_float_bits(dtype, (double)((float)x / (float)divisor));
}

/*
 * What a combination of nsrcs elements must give: sums and products of floats are formed in float32
 * (float64 in float64) and rounded to the type once; one element without a divisor is copied.
 */
static inline uint64_t ref_combine(whorl_dtype_t dtype, enum wh_kernel_op op,
                                   const uint64_t *elements, size_t nsrcs, uint32_t divisor)
{
    bool extreme = op == WH_KERNEL_MAX || op == WH_KERNEL_MIN;
    if (extreme || ref_is_integer(dtype) || (nsrcs == 1 && divisor <= 1)) {
        uint64_t result = elements[0];
        for (size_t s = 1; s < nsrcs; s++) {
            result = ref_reduce(dtype, op, result, elements[s]);
        }
        return divisor > 1 ? ref_divide(dtype, result, divisor) : result;
    }
    double wide = ref_float(dtype, elements[0]);
    bool is_double = dtype == WHORL_FLOAT64;
    for (size_t s = 1; s < nsrcs; s++) {
        double x = ref_float(dtype, elements[s]);
        double y = op == WH_KERNEL_SUM ? wide + x : wide * x;
        float single = op == WH_KERNEL_SUM ? (float)wide + (float)x : (float)wide * (float)x;
        wide = is_double ? y : (double)single;
    }
    if (divisor > 1) {
        wide = is_double ? wide / divisor : (double)((float)wide / (float)divisor);
    }
    return ref_float_bits(dtype, wide);
}

/* A fixed sequence of bits (splitmix64), so that a failure can be had again. */
static inline uint64_t ref_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/*
 * An element for tests: one in four is a value where something special happens (zeros, infinities,
 * NaNs, subnormals, the largest and smallest), half are floats near 1 that do not overflow at once,
 * the rest any bits.
 */
static inline uint64_t ref_element(whorl_dtype_t dtype, uint64_t *state)
{
    static const double specials[] = {0.0,      -0.0,    INFINITY, -INFINITY, NAN,    448.0,
                                      -57344.0, 65504.0, 1e-45,    -6e-8,     0x1p-9, 0x1p-1074,
                                      1e300,    -3.4e38, 1.0,      -1.0};
    uint64_t random = ref_random(state);
    uint64_t any = random & ref_mask(dtype);
    uint64_t kind = (random >> 8) % 4;

    if (kind == 3) {
        return any ^ (random >> 16 & ref_mask(dtype));
    }
    if (ref_is_integer(dtype)) {
        uint64_t mask = ref_mask(dtype);
        uint64_t edges[] = {0, 1, mask, mask >> 1, (mask >> 1) + 1};
        return kind == 0 ? edges[(random >> 16) % 5] : (random >> 16) & mask;
    }
    if (kind == 0) {
        return ref_float_bits(dtype, specials[(random >> 16) % 16]);
    }
    double near_one = ((double)((random >> 16) % 65536) - 32768.0) / 8192.0;
    return ref_float_bits(dtype, near_one);
}

#endif
