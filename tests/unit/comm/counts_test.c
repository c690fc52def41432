/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays of calls that wait: copied once, whole, and given back. */
#include "comm/counts.h"

#include <criterion/criterion.h>
#include <string.h>

static struct whorl_comm three = {.nranks = 3};

Test(counts, of_a_call_that_waits_are_its_own)
{
    size_t send[3] = {1, 2, 3}, recv[3] = {4, 5, 6}, displs[3] = {7, 8, 9};
    struct wh_call call = {
        .comm = &three,
        .op = {.send_counts = send, .recv_counts = recv, .recv_displs = displs},
    };
    cr_assert_eq(wh_counts_own(&call), WHORL_OK);
    memset(send, 0, sizeof(send));
    memset(recv, 0, sizeof(recv));
    memset(displs, 0, sizeof(displs));
    for (size_t r = 0; r < 3; r++) {
        cr_expect_eq(call.op.send_counts[r], 1 + r);
        cr_expect_eq(call.op.recv_counts[r], 4 + r);
        cr_expect_eq(call.op.recv_displs[r], 7 + r);
    }
    cr_expect_null(call.op.send_displs);

    size_t *copy = call.counts_copy;
    cr_assert_eq(wh_counts_own(&call), WHORL_OK);
    cr_expect_eq(call.counts_copy, copy, "once is enough");
    wh_counts_drop(&call, 1);
}

Test(counts, of_calls_that_have_none_need_nothing)
{
    struct wh_call calls[2] = {{.comm = &three}, {.comm = &three}};
    cr_assert_eq(wh_counts_own(&calls[0]), WHORL_OK);
    cr_expect_null(calls[0].counts_copy);
    wh_counts_drop(calls, 2);
    wh_counts_drop(NULL, 0);
}
