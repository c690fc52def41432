/* SPDX-License-Identifier: Apache-2.0 */
/* Statuses travel, and bytes of strangers do no harm. */
#include "comm/status.h"

#include "executor/signature.h"

#include <criterion/criterion.h>
#include <string.h>

Test(status, comes_out_as_it_went_in)
{
    struct wh_status in = {
        .state = WH_STATUS_INSIDE,
        .op = {.seq = UINT64_C(1) << 40, .count = 77, .root = 3, .coll = WH_COLL_REDUCE,
               .dtype = WHORL_FLOAT32, .redop = WHORL_MAX},
        .ncolls = 12,
        .for_ms = UINT64_C(1) << 33,
        .nqueued = 4,
        .failure = WHORL_E_PEER,
        .reports_ms = 500,
        .algo = "ring",
        .where = "waits for rank 2",
        .other = "elsewhere",
    };
    uint8_t bytes[WH_STATUS_NBYTES];
    struct wh_status out;
    memset(bytes, 0xee, sizeof(bytes));
    wh_status_encode(&in, bytes);
    wh_status_decode(bytes, &out);
    cr_expect_eq(out.state, in.state);
    cr_expect_eq(out.op.seq, in.op.seq);
    cr_expect_eq(out.op.count, in.op.count);
    cr_expect_eq(out.op.root, in.op.root);
    cr_expect_eq(out.op.coll, in.op.coll);
    cr_expect_eq(out.op.dtype, in.op.dtype);
    cr_expect_eq(out.op.redop, in.op.redop);
    cr_expect_eq(out.ncolls, in.ncolls);
    cr_expect_eq(out.for_ms, in.for_ms);
    cr_expect_eq(out.nqueued, in.nqueued);
    cr_expect_eq(out.failure, in.failure);
    cr_expect_eq(out.reports_ms, in.reports_ms);
    cr_expect_str_eq(out.algo, in.algo);
    cr_expect_str_eq(out.where, in.where);
    cr_expect_str_eq(out.other, in.other);
}

Test(status, of_zeros_or_of_another_format_is_unknown)
{
    uint8_t bytes[WH_STATUS_NBYTES] = {0};
    struct wh_status out = {.state = WH_STATUS_INSIDE};
    wh_status_decode(bytes, &out);
    cr_expect_eq(out.state, WH_STATUS_UNKNOWN);
    cr_expect_eq(out.reports_ms, WH_STATUS_NO_REPORT);
    bytes[0] = 1;
    bytes[1] = WH_STATUS_OUTSIDE + 1;
    wh_status_decode(bytes, &out);
    cr_expect_eq(out.state, WH_STATUS_UNKNOWN);
}

Test(status, of_any_bytes_is_printable)
{
    uint8_t bytes[WH_STATUS_NBYTES];
    memset(bytes, 0xff, sizeof(bytes));
    bytes[0] = 1;
    bytes[1] = WH_STATUS_INSIDE;
    struct wh_status out;
    wh_status_decode(bytes, &out);
    cr_expect_eq(strlen(out.algo), WH_STATUS_ALGO_NBYTES - 1);
    cr_expect_eq(strspn(out.where, "?"), WH_STATUS_WHERE_NBYTES - 1);
    char text[64];
    cr_expect_not_null(wh_status_print_short(&out.op, text, sizeof(text)));
    cr_expect_not_null(strstr(text, "operation #"));
    cr_expect_not_null(wh_status_print_op(&out.op, text, sizeof(text)));
    cr_expect_lt(strlen(text), sizeof(text));
}

static void expect_names(struct wh_status_op op, const char *name, const char *call)
{
    char text[256];
    cr_expect_str_eq(wh_status_print_short(&op, text, sizeof(text)), name);
    cr_expect_str_eq(wh_status_print_op(&op, text, sizeof(text)), call);
}

Test(status, names_calls_as_their_users_do)
{
    expect_names((struct wh_status_op){.seq = 42, .count = 5, .coll = WH_COLL_ALL_REDUCE,
                                       .dtype = WHORL_FLOAT32, .redop = WHORL_SUM},
                 "all_reduce #42", "all_reduce(count 5, float32, sum) #42");
    expect_names((struct wh_status_op){.seq = 2, .count = 9, .root = 4, .coll = WH_COLL_RECV,
                                       .dtype = WHORL_INT8, .redop = WH_REDOP_NONE},
                 "recv #2 from rank 4", "recv(count 9, int8) #2 from rank 4");
    expect_names((struct wh_status_op){.seq = 3, .count = 9, .root = 1, .coll = WH_COLL_SEND,
                                       .dtype = WHORL_INT8,
                                       .redop = WH_REDOP_PART_OF + WH_COLL_ALL_TO_ALL},
                 "send #3 to rank 1, for all_to_all",
                 "send(count 9, int8) #3 to rank 1, for all_to_all");
    expect_names((struct wh_status_op){.seq = 7, .root = WH_BARRIER_OF_SPLIT,
                                       .coll = WH_COLL_BARRIER, .dtype = WHORL_UINT8,
                                       .redop = WH_REDOP_NONE},
                 "comm_split #7", "comm_split() #7");
    expect_names((struct wh_status_op){.seq = 8, .coll = WH_COLL_BARRIER, .dtype = WHORL_UINT8,
                                       .redop = WH_REDOP_PART_OF + WH_COLL_ALL_TO_ALL},
                 "all_to_all #8", "all_to_all(uint8) #8");
}

Test(status, times_are_in_units_that_fit)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {{0, "0 ms"},           {999, "999 ms"},          {1000, "1 s"},
                 {179999, "179 s"},     {180000, "3 min 0 s"},    {600000, "10 min 0 s"},
                 {7199999, "119 min 59 s"}, {8040000, "2 h 14 min"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[32];
        cr_expect_str_eq(wh_status_print_ms(cases[i].ms, text, sizeof(text)), cases[i].text);
    }
}
