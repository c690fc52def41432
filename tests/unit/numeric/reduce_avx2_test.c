/* SPDX-License-Identifier: Apache-2.0 */
/* The AVX2 kernels. */
#include "reduce_checks.h"

Test(reduce_avx2, gives_the_bits_of_the_scalar_table)
{
    check_table("avx2");
}
