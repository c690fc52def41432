/* SPDX-License-Identifier: Apache-2.0 */
/* The two float8 formats' conversions, on every code and at every rounding boundary. */
#include "minifloat_checks.h"
#include "numeric/float8.h"

static float widen_e4m3(unsigned code)
{
    return wh_e4m3_to_f32((uint8_t)code);
}

static unsigned narrow_e4m3(float value)
{
    return wh_f32_to_e4m3(value);
}

static float widen_e5m2(unsigned code)
{
    return wh_e5m2_to_f32((uint8_t)code);
}

static unsigned narrow_e5m2(float value)
{
    return wh_f32_to_e5m2(value);
}

static const struct conversions e4m3 = {&ref_e4m3, widen_e4m3, narrow_e4m3};
static const struct conversions e5m2 = {&ref_e5m2, widen_e5m2, narrow_e5m2};

Test(float8_e4m3, every_code_widens_to_its_value)
{
    check_every_code_widens_to_its_value(&e4m3);
}

Test(float8_e4m3, every_code_survives_the_round_trip)
{
    check_every_code_survives_the_round_trip(&e4m3);
}

Test(float8_e4m3, rounds_to_nearest_even_at_every_boundary)
{
    check_rounding_at_every_boundary(&e4m3);
}

Test(float8_e4m3, every_nan_becomes_the_one_nan)
{
    check_every_nan_becomes_one(&e4m3);
}

Test(float8_e4m3, agrees_with_the_reference_on_a_sample_of_all_float32)
{
    check_sample_of_all_float32(&e4m3);
}

Test(float8_e4m3, landmarks_are_those_of_the_ocp_format)
{
    cr_assert_eq(wh_e4m3_to_f32(0x7e), 448.0f);
    cr_assert_eq(wh_e4m3_to_f32(0x08), 0x1p-6f);
    cr_assert_eq(wh_e4m3_to_f32(0x01), 0x1p-9f);
    cr_assert_eq(wh_e4m3_to_f32(0x78), 256.0f, "the top exponent holds numbers, not infinities");
    cr_assert(isnan(wh_e4m3_to_f32(0x7f)));
    cr_assert(isnan(wh_e4m3_to_f32(0xff)));
}

Test(float8_e4m3, beyond_the_largest_saturates)
{
    check_overflow(&e4m3);
    cr_assert_eq(wh_f32_to_e4m3(464.0f), 0x7e);
    cr_assert_eq(wh_f32_to_e4m3(465.0f), 0x7e);
    cr_assert_eq(wh_f32_to_e4m3(480.0f), 0x7e);
    cr_assert_eq(wh_f32_to_e4m3(-1e30f), 0xfe);
}

Test(float8_e5m2, every_code_widens_to_its_value)
{
    check_every_code_widens_to_its_value(&e5m2);
}

Test(float8_e5m2, every_code_survives_the_round_trip_but_infinity)
{
    check_every_code_survives_the_round_trip(&e5m2);
}

Test(float8_e5m2, rounds_to_nearest_even_at_every_boundary)
{
    check_rounding_at_every_boundary(&e5m2);
}

Test(float8_e5m2, every_nan_becomes_the_one_nan)
{
    check_every_nan_becomes_one(&e5m2);
}

Test(float8_e5m2, agrees_with_the_reference_on_a_sample_of_all_float32)
{
    check_sample_of_all_float32(&e5m2);
}

Test(float8_e5m2, landmarks_are_those_of_the_ocp_format)
{
    cr_assert_eq(wh_e5m2_to_f32(0x7b), 57344.0f);
    cr_assert_eq(wh_e5m2_to_f32(0x04), 0x1p-14f);
    cr_assert_eq(wh_e5m2_to_f32(0x01), 0x1p-16f);
    cr_assert_eq(wh_e5m2_to_f32(0x7c), INFINITY);
    cr_assert_eq(wh_e5m2_to_f32(0xfc), -INFINITY);
    cr_assert(isnan(wh_e5m2_to_f32(0x7d)));
}

Test(float8_e5m2, beyond_the_largest_saturates)
{
    check_overflow(&e5m2);
    cr_assert_eq(wh_f32_to_e5m2(61440.0f), 0x7b);
    cr_assert_eq(wh_f32_to_e5m2(INFINITY), 0x7b);
    cr_assert_eq(wh_f32_to_e5m2(-INFINITY), 0xfb);
}
