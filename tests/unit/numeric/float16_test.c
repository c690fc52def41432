/* SPDX-License-Identifier: Apache-2.0 */
/* float16 and bfloat16 conversions, on every code and at every rounding boundary. */
#include "minifloat_checks.h"
#include "numeric/float16.h"

#ifdef __SSE2__
#include <xmmintrin.h>
#endif

static float widen_f16(unsigned code)
{
    return wh_f16_to_f32((uint16_t)code);
}

static unsigned narrow_f16(float value)
{
    return wh_f32_to_f16(value);
}

static float widen_bf16(unsigned code)
{
    return wh_bf16_to_f32((uint16_t)code);
}

static unsigned narrow_bf16(float value)
{
    return wh_f32_to_bf16(value);
}

static const struct conversions float16 = {&ref_float16, widen_f16, narrow_f16};
static const struct conversions bfloat16 = {&ref_bfloat16, widen_bf16, narrow_bf16};

Test(float16, every_code_widens_to_its_value)
{
    check_every_code_widens_to_its_value(&float16);
}

Test(float16, every_code_survives_the_round_trip)
{
    check_every_code_survives_the_round_trip(&float16);
}

Test(float16, rounds_to_nearest_even_at_every_boundary)
{
    check_rounding_at_every_boundary(&float16);
}

Test(float16, beyond_the_largest_is_infinity)
{
    check_overflow(&float16);
    cr_assert_eq(wh_f32_to_f16(65519.996f), 0x7bff);
    cr_assert_eq(wh_f32_to_f16(65520.0f), 0x7c00);
}

Test(float16, every_nan_becomes_the_one_quiet_nan)
{
    check_every_nan_becomes_one(&float16);
}

Test(float16, agrees_with_the_reference_on_a_sample_of_all_float32)
{
    check_sample_of_all_float32(&float16);
}

Test(float16, agrees_with_the_compiler)
{
#ifdef __FLT16_MANT_DIG__
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 2003) {
        float value = wh_f32_from_bits((int32_t)(uint32_t)bits);
        _Float16 compilers = (_Float16)value;
        uint16_t want;
        memcpy(&want, &compilers, sizeof(want));
        uint16_t got = wh_f32_to_f16(value);
        if (isnan(value) ? got != WH_F16_NAN : got != want) {
            cr_assert_fail("%a: got 0x%x, want 0x%x", (double)value, got, want);
        }
        if (!isnan(value) && wh_f16_to_f32(got) != (float)compilers) {
            cr_assert_fail("0x%x: got %a", got, (double)wh_f16_to_f32(got));
        }
    }
#else
    cr_skip_test("this compiler has no _Float16");
#endif
}

Test(float16, flushing_denormals_changes_nothing)
{
#ifdef __SSE2__
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* FTZ and DAZ */
    uint32_t wide[0x400];
    uint16_t again[0x400];
    for (unsigned code = 0; code < 0x400; code++) {
        wide[code] = (uint32_t)wh_f32_bits(wh_f16_to_f32((uint16_t)code));
        again[code] = wh_f32_to_f16(wh_f16_to_f32((uint16_t)code));
    }
    _mm_setcsr(before);

    for (unsigned code = 0; code < 0x400; code++) {
        cr_assert_eq(again[code], code);
        float value = wh_f32_from_bits((int32_t)wide[code]);
        cr_assert_eq((double)value, ref_decode(&ref_float16, code));
    }
#else
    cr_skip_test("knows the control register of x86 only");
#endif
}

Test(bfloat16, every_code_widens_to_its_value)
{
    check_every_code_widens_to_its_value(&bfloat16);
}

Test(bfloat16, every_code_survives_the_round_trip)
{
    check_every_code_survives_the_round_trip(&bfloat16);
}

Test(bfloat16, rounds_to_nearest_even_at_every_boundary)
{
    check_rounding_at_every_boundary(&bfloat16);
}

Test(bfloat16, beyond_the_largest_is_infinity)
{
    check_overflow(&bfloat16);
}

Test(bfloat16, every_nan_becomes_the_one_quiet_nan)
{
    check_every_nan_becomes_one(&bfloat16);
}

Test(bfloat16, agrees_with_the_reference_on_a_sample_of_all_float32)
{
    check_sample_of_all_float32(&bfloat16);
}
