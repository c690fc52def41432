/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks that hold for every small float, run by float16_test.c and float8_test.c on their formats.
 * Together the first three decide a conversion completely, if it is monotone: it is right on every
 * code, and just below, on and just above every point where rounding changes its mind.
 */
#ifndef TEST_NUMERIC_MINIFLOAT_CHECKS_H
#define TEST_NUMERIC_MINIFLOAT_CHECKS_H

#include "reference.h"

#include <criterion/criterion.h>
#include <float.h>

struct conversions {
    const struct ref_format *format;
    float (*widen)(unsigned code);
    unsigned (*narrow)(float value);
};

static inline void check_narrow(const struct conversions *c, float value)
{
    unsigned got = c->narrow(value);
    unsigned want = ref_encode(c->format, (double)value);
    if (got != want) {
        cr_assert_fail("%a: got 0x%x, want 0x%x", (double)value, got, want);
    }
}

static inline void check_every_code_widens_to_its_value(const struct conversions *c)
{
    for (unsigned code = 0; code < 1u << c->format->nbits; code++) {
        double got = (double)c->widen(code);
        double want = ref_decode(c->format, code);
        bool same_sign = (signbit(got) != 0) == (signbit(want) != 0);
        if (isnan(want) ? !isnan(got) : got != want || !same_sign) {
            cr_assert_fail("code 0x%x: got %a, want %a", code, got, want);
        }
    }
}

static inline void check_every_code_survives_the_round_trip(const struct conversions *c)
{
    for (unsigned code = 0; code < 1u << c->format->nbits; code++) {
        double value = ref_decode(c->format, code);
        unsigned want = code;
        if (isnan(value)) {
            want = c->format->nan;
        } else if (isinf(value)) {
            want = (code & ref_sign_bit(c->format)) | c->format->overflow;
        }
        unsigned got = c->narrow(c->widen(code));
        if (got != want) {
            cr_assert_fail("code 0x%x: got 0x%x, want 0x%x", code, got, want);
        }
    }
}

/* Between each two neighbours: their middle, and the float32 on either side of it. */
static inline void check_rounding_at_every_boundary(const struct conversions *c)
{
    for (unsigned code = 0; code < c->format->largest; code++) {
        double low = ref_decode(c->format, code);
        double high = ref_decode(c->format, code + 1);
        float middle = (float)((low + high) / 2);
        cr_assert_eq((double)middle, (low + high) / 2, "the middle must be a float32");

        for (int sign = -1; sign <= 1; sign += 2) {
            float s = (float)sign;
            check_narrow(c, s * middle);
            check_narrow(c, s * nextafterf(middle, 0));
            check_narrow(c, s * nextafterf(middle, INFINITY));
        }
    }
}

static inline void check_overflow(const struct conversions *c)
{
    double largest = ref_decode(c->format, c->format->largest);
    double half_step = (largest - ref_decode(c->format, c->format->largest - 1)) / 2;
    float tie = (float)(largest + half_step);
    unsigned minus = ref_sign_bit(c->format);

    cr_assert_eq(c->narrow(nextafterf(tie, 0)), c->format->largest);
    cr_assert_eq(c->narrow(tie), c->format->overflow);
    cr_assert_eq(c->narrow(-tie), minus | c->format->overflow);
    cr_assert_eq(c->narrow(FLT_MAX), c->format->overflow);
    cr_assert_eq(c->narrow(INFINITY), c->format->overflow);
    cr_assert_eq(c->narrow(-INFINITY), minus | c->format->overflow);
}

static inline void check_every_nan_becomes_one(const struct conversions *c)
{
    const uint32_t nans[] = {0x7f800001, 0x7fbfffff, 0x7fc00000, 0x7fffffff,
                             0xff800001, 0xffbfffff, 0xffc00000, 0xffffffff};

    for (size_t i = 0; i < sizeof(nans) / sizeof(nans[0]); i++) {
        float value;
        memcpy(&value, &nans[i], sizeof(value));
        cr_assert_eq(c->narrow(value), c->format->nan, "0x%x", nans[i]);
    }
}

/* A sample of all float32, dense enough to meet every exponent with both signs many times. */
static inline void check_sample_of_all_float32(const struct conversions *c)
{
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 40009) {
        uint32_t low = (uint32_t)bits;
        float value;
        memcpy(&value, &low, sizeof(value));
        check_narrow(c, value);
    }
}

#endif
