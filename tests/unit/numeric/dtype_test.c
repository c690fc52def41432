/* SPDX-License-Identifier: Apache-2.0 */
/* Element types: the table says what the public header promises, and strangers are recognised. */
#include "numeric/dtype.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <stdint.h>

Test(dtype, every_type_has_the_size_of_its_c_type)
{
    cr_assert_eq(wh_dtype_nbytes(WHORL_INT8), sizeof(int8_t));
    cr_assert_eq(wh_dtype_nbytes(WHORL_UINT8), sizeof(uint8_t));
    cr_assert_eq(wh_dtype_nbytes(WHORL_INT32), sizeof(int32_t));
    cr_assert_eq(wh_dtype_nbytes(WHORL_UINT32), sizeof(uint32_t));
    cr_assert_eq(wh_dtype_nbytes(WHORL_INT64), sizeof(int64_t));
    cr_assert_eq(wh_dtype_nbytes(WHORL_UINT64), sizeof(uint64_t));
    cr_assert_eq(wh_dtype_nbytes(WHORL_FLOAT16), 2);
    cr_assert_eq(wh_dtype_nbytes(WHORL_FLOAT32), sizeof(float));
    cr_assert_eq(wh_dtype_nbytes(WHORL_FLOAT64), sizeof(double));
    cr_assert_eq(wh_dtype_nbytes(WHORL_BFLOAT16), 2);
    cr_assert_eq(wh_dtype_nbytes(WHORL_FLOAT8_E4M3), 1);
    cr_assert_eq(wh_dtype_nbytes(WHORL_FLOAT8_E5M2), 1);
}

Test(dtype, every_type_has_its_name)
{
    cr_assert_str_eq(wh_dtype_str(WHORL_INT8), "int8");
    cr_assert_str_eq(wh_dtype_str(WHORL_FLOAT16), "float16");
    cr_assert_str_eq(wh_dtype_str(WHORL_FLOAT8_E5M2), "float8_e5m2");
}

Test(dtype, values_are_those_of_nccl)
{
    cr_assert_eq(WHORL_INT8, 0);
    cr_assert_eq(WHORL_UINT64, 5);
    cr_assert_eq(WHORL_FLOAT16, 6);
    cr_assert_eq(WHORL_FLOAT64, 8);
    cr_assert_eq(WHORL_BFLOAT16, 9);
    cr_assert_eq(WHORL_FLOAT8_E5M2, 11);
}

Test(dtype, any_other_integer_is_no_type)
{
    const int strangers[] = {-1, WHORL_DTYPE_COUNT, 1000, INT_MAX, INT_MIN};

    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
        whorl_dtype_t stranger = (whorl_dtype_t)strangers[i];
        cr_assert(!wh_dtype_valid(stranger), "%d", strangers[i]);
        cr_assert_eq(wh_dtype_nbytes(stranger), 0);
        cr_assert_str_eq(wh_dtype_str(stranger), "unknown");
    }
    cr_assert(wh_dtype_valid(WHORL_INT8));
    cr_assert(wh_dtype_valid(WHORL_FLOAT8_E5M2));
}
