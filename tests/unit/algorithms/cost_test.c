/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/cost.h"

#include <criterion/criterion.h>

Test(cost, hops_wait_for_a_turn_and_other_messages_do_not)
{
    const struct wh_fabric fabric = {
        .message_ns = 100,
        .byte_ns = 2,
        .reduce_byte_ns = 3,
        .turn_byte_ns = 1,
        .slot_nbytes = 1,
        .ranks_per_core = 4,
    };
    const struct wh_work work = {
        .nhops = 2, .nmessages = 5, .moved_nbytes = 10, .reduced_nbytes = 7, .turns_nbytes = 4};
    cr_expect_eq(wh_cost_ns(&fabric, &work), 2 * 4 * 100 + 3 * 100 + 10 * 2 + 7 * 3 + 4);
}

Test(cost, fewer_messages_than_hops_are_no_discount)
{
    const struct wh_fabric fabric = {.message_ns = 100, .slot_nbytes = 1, .ranks_per_core = 1};
    cr_expect_eq(wh_cost_ns(&fabric, &(struct wh_work){.nhops = 3, .nmessages = 1}), 300);
}
