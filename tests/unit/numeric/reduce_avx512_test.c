/* SPDX-License-Identifier: Apache-2.0 */
/* The AVX-512 kernels. */
#include "reduce_checks.h"

Test(reduce_avx512, gives_the_bits_of_the_scalar_table)
{
    check_table("avx512");
}
