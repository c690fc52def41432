/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernels mean, on the table that defines it: exhaustively for 8-bit types, and by name
 * for everything that a reader of the public header may rely on.
 */
#include "numeric/reduce.h"
#include "reference.h"

#include <criterion/criterion.h>

/* nelems elements of b after those of a (NULL: none) through one reduction. */
static void combine(whorl_dtype_t dtype, enum wh_kernel_op op, void *out, const void *a,
                    const void *b, size_t nelems, uint32_t divisor)
{
    void *dsts[] = {out};
    const void *srcs[] = {a, b};
    struct wh_combine c = {.dsts = dsts,
                           .ndsts = 1,
                           .srcs = srcs,
                           .nsrcs = b != NULL ? 2 : 1,
                           .nelems = nelems,
                           .divisor = divisor};
    wh_kernels_scalar.combine[dtype][op](&c);
}

/* One element through one reduction. */
static uint64_t reduce_one(whorl_dtype_t dtype, enum wh_kernel_op op, uint64_t a, uint64_t b)
{
    unsigned char x[8];
    unsigned char y[8];
    unsigned char out[8];
    ref_store(dtype, x, a);
    ref_store(dtype, y, b);
    combine(dtype, op, out, x, y, 1, 1);
    return ref_load(dtype, out);
}

static uint64_t divide_one(whorl_dtype_t dtype, uint64_t a, uint32_t divisor)
{
    unsigned char x[8];
    unsigned char out[8];
    ref_store(dtype, x, a);
    combine(dtype, WH_KERNEL_SUM, out, x, NULL, 1, divisor);
    return ref_load(dtype, out);
}

static const whorl_dtype_t floats[] = {WHORL_FLOAT16,  WHORL_FLOAT32,     WHORL_FLOAT64,
                                       WHORL_BFLOAT16, WHORL_FLOAT8_E4M3, WHORL_FLOAT8_E5M2};
enum { NFLOATS = sizeof(floats) / sizeof(floats[0]) };

/* All 65536 pairs of elements of an 8-bit type, as two arrays for one call. */
static void check_all_pairs_of_bytes(whorl_dtype_t dtype, enum wh_kernel_op op)
{
    enum { NPAIRS = 0x10000 };
    static uint8_t a[NPAIRS];
    static uint8_t b[NPAIRS];
    static uint8_t got[NPAIRS];

    for (unsigned i = 0; i < NPAIRS; i++) {
        a[i] = (uint8_t)(i >> 8);
        b[i] = (uint8_t)i;
    }
    combine(dtype, op, got, a, b, NPAIRS, 1);
    for (unsigned i = 0; i < NPAIRS; i++) {
        uint64_t want = ref_reduce(dtype, op, a[i], b[i]);
        if (got[i] != want) {
            cr_assert_fail("%s op %u of 0x%x and 0x%x: got 0x%x, want 0x%x", wh_dtype_str(dtype),
                           (unsigned)op, a[i], b[i], got[i], (unsigned)want);
        }
    }
}

Test(reduce_scalar, all_pairs_of_8_bit_elements_match_the_reference)
{
    const whorl_dtype_t bytes[] = {WHORL_INT8, WHORL_UINT8, WHORL_FLOAT8_E4M3, WHORL_FLOAT8_E5M2};

    for (unsigned i = 0; i < 4; i++) {
        for (unsigned op = 0; op < WH_NKERNEL_OPS; op++) {
            check_all_pairs_of_bytes(bytes[i], (enum wh_kernel_op)op);
        }
    }
}

Test(reduce_scalar, a_hundred_thousand_pairs_of_each_type_match_the_reference)
{
    uint64_t seed = 7;

    for (unsigned d = 0; d < WHORL_DTYPE_COUNT; d++) {
        whorl_dtype_t dtype = (whorl_dtype_t)d;
        for (unsigned i = 0; i < 100000; i++) {
            enum wh_kernel_op op = (enum wh_kernel_op)(i % WH_NKERNEL_OPS);
            uint64_t a = ref_element(dtype, &seed);
            uint64_t b = ref_element(dtype, &seed);
            uint64_t got = reduce_one(dtype, op, a, b);
            uint64_t want = ref_reduce(dtype, op, a, b);
            if (got != want) {
                cr_assert_fail("%s op %u of 0x%llx and 0x%llx: got 0x%llx, want 0x%llx",
                               wh_dtype_str(dtype), (unsigned)op, (unsigned long long)a,
                               (unsigned long long)b, (unsigned long long)got,
                               (unsigned long long)want);
            }
        }
    }
}

Test(reduce_scalar, the_order_of_operands_does_not_matter)
{
    uint64_t seed = 11;

    for (unsigned d = 0; d < WHORL_DTYPE_COUNT; d++) {
        whorl_dtype_t dtype = (whorl_dtype_t)d;
        for (unsigned i = 0; i < 40000; i++) {
            enum wh_kernel_op op = (enum wh_kernel_op)(i % WH_NKERNEL_OPS);
            uint64_t a = ref_element(dtype, &seed);
            uint64_t b = ref_element(dtype, &seed);
            uint64_t one = reduce_one(dtype, op, a, b);
            uint64_t other = reduce_one(dtype, op, b, a);
            if (one != other) {
                cr_assert_fail("%s op %u: 0x%llx and 0x%llx", wh_dtype_str(dtype), (unsigned)op,
                               (unsigned long long)a, (unsigned long long)b);
            }
        }
    }
}

Test(reduce_scalar, min_and_max_give_the_quiet_nan_if_any_operand_is_a_nan)
{
    const uint64_t signalling[WHORL_DTYPE_COUNT] = {
        [WHORL_FLOAT16] = 0xfc01,   [WHORL_FLOAT32] = 0xff800001,
        [WHORL_BFLOAT16] = 0xff81,  [WHORL_FLOAT64] = 0xfff0000000000001,
        [WHORL_FLOAT8_E4M3] = 0xff, [WHORL_FLOAT8_E5M2] = 0xfd,
    };
    const uint64_t quiet[WHORL_DTYPE_COUNT] = {
        [WHORL_FLOAT16] = 0x7e00,   [WHORL_FLOAT32] = 0x7fc00000,
        [WHORL_BFLOAT16] = 0x7fc0,  [WHORL_FLOAT64] = 0x7ff8000000000000,
        [WHORL_FLOAT8_E4M3] = 0x7f, [WHORL_FLOAT8_E5M2] = 0x7e,
    };

    for (unsigned i = 0; i < NFLOATS; i++) {
        whorl_dtype_t dtype = floats[i];
        for (unsigned op = WH_KERNEL_MAX; op <= WH_KERNEL_MIN; op++) {
            enum wh_kernel_op extreme = (enum wh_kernel_op)op;
            uint64_t nan = signalling[dtype];
            uint64_t one = ref_float_bits(dtype, 1.0);
            cr_assert_eq(reduce_one(dtype, extreme, nan, one), quiet[dtype]);
            cr_assert_eq(reduce_one(dtype, extreme, one, nan), quiet[dtype]);
            cr_assert_eq(reduce_one(dtype, extreme, nan, nan), quiet[dtype]);
        }
    }
}

Test(reduce_scalar, minus_zero_is_less_than_zero)
{
    for (unsigned i = 0; i < NFLOATS; i++) {
        whorl_dtype_t dtype = floats[i];
        uint64_t plus = 0;
        uint64_t minus = (ref_mask(dtype) >> 1) + 1;
        cr_assert_eq(reduce_one(dtype, WH_KERNEL_MAX, plus, minus), plus);
        cr_assert_eq(reduce_one(dtype, WH_KERNEL_MAX, minus, plus), plus);
        cr_assert_eq(reduce_one(dtype, WH_KERNEL_MIN, plus, minus), minus);
        cr_assert_eq(reduce_one(dtype, WH_KERNEL_MIN, minus, plus), minus);
        cr_assert_eq(reduce_one(dtype, WH_KERNEL_MAX, minus, minus), minus);
    }
}

Test(reduce_scalar, min_and_max_keep_infinity_also_where_sums_saturate)
{
    cr_assert_eq(reduce_one(WHORL_FLOAT8_E5M2, WH_KERNEL_MAX, 0x7c, 0x7b), 0x7c);
    cr_assert_eq(reduce_one(WHORL_FLOAT8_E5M2, WH_KERNEL_MIN, 0xfc, 0x7b), 0xfc);
    cr_assert_eq(reduce_one(WHORL_FLOAT8_E5M2, WH_KERNEL_SUM, 0x7c, 0x3c), 0x7b);
    cr_assert_eq(reduce_one(WHORL_FLOAT8_E5M2, WH_KERNEL_SUM, 0x7b, 0x7b), 0x7b);
    cr_assert_eq(reduce_one(WHORL_FLOAT8_E4M3, WH_KERNEL_SUM, 0x7e, 0x7e), 0x7e);
    cr_assert_eq(reduce_one(WHORL_FLOAT8_E4M3, WH_KERNEL_PROD, 0x7e, 0xfe), 0xfe);
}

Test(reduce_scalar, floats_give_one_nan_whatever_came_in)
{
    cr_assert_eq(reduce_one(WHORL_FLOAT32, WH_KERNEL_SUM, 0xff800001, 0x3f800000), 0x7fc00000);
    cr_assert_eq(reduce_one(WHORL_FLOAT32, WH_KERNEL_SUM, 0x7f800000, 0xff800000), 0x7fc00000);
    cr_assert_eq(reduce_one(WHORL_FLOAT64, WH_KERNEL_PROD, 0xfff8000000000123, 1),
                 0x7ff8000000000000);
    cr_assert_eq(divide_one(WHORL_FLOAT32, 0xffc00001, 3), 0x7fc00000);
    cr_assert_eq(reduce_one(WHORL_FLOAT16, WH_KERNEL_SUM, 0xffff, 0x3c00), 0x7e00);
    cr_assert_eq(reduce_one(WHORL_FLOAT16, WH_KERNEL_SUM, 0x7c00, 0xfc00), 0x7e00);
    cr_assert_eq(reduce_one(WHORL_BFLOAT16, WH_KERNEL_SUM, 0xffff, 0x3f80), 0x7fc0);
    cr_assert_eq(reduce_one(WHORL_FLOAT8_E4M3, WH_KERNEL_SUM, 0xff, 0x38), 0x7f);
    cr_assert_eq(reduce_one(WHORL_FLOAT8_E5M2, WH_KERNEL_PROD, 0x7c, 0x00), 0x7e);
}

Test(reduce_scalar, integers_wrap)
{
    cr_assert_eq(reduce_one(WHORL_INT8, WH_KERNEL_SUM, 127, 1), 0x80);
    cr_assert_eq(reduce_one(WHORL_UINT8, WH_KERNEL_PROD, 16, 17), 16);
    cr_assert_eq(reduce_one(WHORL_INT32, WH_KERNEL_SUM, INT32_MAX, 1), 0x80000000u);
    cr_assert_eq(reduce_one(WHORL_INT32, WH_KERNEL_PROD, 0x80000000u, UINT32_MAX), 0x80000000u);
    cr_assert_eq(reduce_one(WHORL_UINT32, WH_KERNEL_SUM, UINT32_MAX, 2), 1);
    cr_assert_eq(reduce_one(WHORL_INT64, WH_KERNEL_SUM, INT64_MAX, 1), (uint64_t)1 << 63);
    cr_assert_eq(reduce_one(WHORL_UINT64, WH_KERNEL_PROD, UINT64_MAX, 3), UINT64_MAX - 2);
}

Test(reduce_scalar, max_of_signed_and_unsigned_differ)
{
    cr_assert_eq(reduce_one(WHORL_INT8, WH_KERNEL_MAX, 0xff, 1), 1);
    cr_assert_eq(reduce_one(WHORL_UINT8, WH_KERNEL_MAX, 0xff, 1), 0xff);
    cr_assert_eq(reduce_one(WHORL_INT64, WH_KERNEL_MIN, UINT64_MAX, 1), UINT64_MAX);
    cr_assert_eq(reduce_one(WHORL_UINT64, WH_KERNEL_MIN, UINT64_MAX, 1), 1);
}

Test(reduce_scalar, division_of_integers_truncates_towards_zero)
{
    cr_assert_eq(divide_one(WHORL_INT32, (uint32_t)-7, 2), (uint32_t)-3);
    cr_assert_eq(divide_one(WHORL_INT32, 7, 2), 3);
    cr_assert_eq(divide_one(WHORL_INT8, 0x80, 3), (uint8_t)-42);
    cr_assert_eq(divide_one(WHORL_INT8, 0x80, UINT32_MAX), 0);
    cr_assert_eq(divide_one(WHORL_INT32, 0x80000000u, 0x80000000u), UINT32_MAX);
    cr_assert_eq(divide_one(WHORL_INT64, (uint64_t)INT64_MIN, UINT32_MAX), (uint64_t)-2147483648);
    cr_assert_eq(divide_one(WHORL_UINT64, UINT64_MAX, 2), UINT64_MAX >> 1);
}

Test(reduce_scalar, division_of_floats_rounds_once)
{
    /* 1/3 in each format, to nearest even. */
    cr_assert_eq(divide_one(WHORL_FLOAT32, ref_float_bits(WHORL_FLOAT32, 1.0), 3), 0x3eaaaaab);
    cr_assert_eq(divide_one(WHORL_FLOAT64, ref_float_bits(WHORL_FLOAT64, 1.0), 3),
                 0x3fd5555555555555);
    cr_assert_eq(divide_one(WHORL_FLOAT16, 0x3c00, 3), 0x3555);
    cr_assert_eq(divide_one(WHORL_BFLOAT16, 0x3f80, 3), 0x3eab);
    cr_assert_eq(divide_one(WHORL_FLOAT8_E4M3, 0x38, 3), 0x2b);
    cr_assert_eq(divide_one(WHORL_FLOAT8_E5M2, 0x3c, 3), 0x35);
}

Test(reduce_scalar, bfloat16_sums_round_to_nearest_even)
{
    /* 256 + 1 is half way between 256 and 258; 258 + 1 between 258 and 260. */
    cr_assert_eq(reduce_one(WHORL_BFLOAT16, WH_KERNEL_SUM, 0x4380, 0x3f80), 0x4380);
    cr_assert_eq(reduce_one(WHORL_BFLOAT16, WH_KERNEL_SUM, 0x4381, 0x3f80), 0x4382);
}

Test(reduce_scalar, small_floats_are_rounded_once_after_all_sources)
{
    /* In bfloat16, 256 + 1 is 256 again, however often; in float32 it is counted. */
    const uint16_t big = 0x4380, one = 0x3f80;
    const void *srcs[] = {&big, &one, &one, &one, &one};
    uint16_t out;
    void *dsts[] = {&out};
    struct wh_combine c = {.dsts = dsts, .ndsts = 1, .srcs = srcs, .nsrcs = 5, .nelems = 1};
    wh_kernels_scalar.combine[WHORL_BFLOAT16][WH_KERNEL_SUM](&c);
    cr_assert_eq(out, 0x4382); /* 260 */
}

Test(reduce_scalar, the_average_of_small_floats_does_not_overflow)
{
    /* 4 * 60000 is infinite in float16, a quarter of it is not. */
    const uint16_t big = 0x7b53;
    const void *srcs[] = {&big, &big, &big, &big};
    uint16_t out;
    void *dsts[] = {&out};
    struct wh_combine c = {
        .dsts = dsts, .ndsts = 1, .srcs = srcs, .nsrcs = 4, .nelems = 1, .divisor = 4};
    wh_kernels_scalar.combine[WHORL_FLOAT16][WH_KERNEL_SUM](&c);
    cr_assert_eq(out, big);
}

Test(reduce_scalar, one_source_is_copied_as_it_is)
{
    const uint8_t infinity_and_nan[] = {0x7c, 0xff};
    uint8_t out[2];
    combine(WHORL_FLOAT8_E5M2, WH_KERNEL_SUM, out, infinity_and_nan, NULL, 2, 1);
    cr_assert_arr_eq(out, infinity_and_nan, 2);
}

Test(reduce_scalar, the_scalar_may_lie_in_the_result)
{
    float values[8] = {2, 3, 4, 5, 6, 7, 8, 9};
    wh_kernels_scalar.scale[WHORL_FLOAT32](values, values, &values[0], 8);
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(values[i], 2.0f * (float)(i + 2));
    }
}
