/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/pass.h"

#include <criterion/criterion.h>

Test(pass, bytes_take_as_many_passes_as_it_takes_to_hold_them)
{
    const struct wh_fabric fabric = {.slot_nbytes = 100, .ranks_per_core = 1};
    cr_expect_eq(wh_pass_count(&fabric, 0, 4), 1);
    cr_expect_eq(wh_pass_count(&fabric, 400, 4), 1);
    cr_expect_eq(wh_pass_count(&fabric, 401, 4), 2);
    cr_expect_eq(wh_pass_count(&fabric, 501, 2.5), 3);
}

Test(pass, chunks_are_one_or_one_a_rank)
{
    const struct wh_problem problem = {.nranks = 5};
    cr_expect_eq(wh_pass_one_chunk(&problem), 1);
    cr_expect_eq(wh_pass_chunk_per_rank(&problem), 5);
}
