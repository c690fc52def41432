/* SPDX-License-Identifier: Apache-2.0 */
/* The NEON kernels, where they run; elsewhere kernels_aarch64_test.sh emulates them. */
#include "reduce_checks.h"

Test(reduce_neon, gives_the_bits_of_the_scalar_table)
{
    check_table("neon");
}
