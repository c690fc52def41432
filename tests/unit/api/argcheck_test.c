/* SPDX-License-Identifier: Apache-2.0 */
/* Every rule about arguments: what is wrong is named, and what is right becomes a call. */
#include "api/argcheck.h"
#include "base/log.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <string.h>

static void fold(const void *in, void *inout, size_t count, whorl_dtype_t dtype, void *ctx)
{
    (void)in, (void)inout, (void)count, (void)dtype, (void)ctx;
}

/* Rank 1 of 4, as far as the rules look at it. */
static struct whorl_comm four = {
    .rank = 1,
    .nranks = 4,
    .redops[2] = {.used = true, .dtype = WHORL_FLOAT32, .scalar = {1, 2, 3, 4}},
    .redops[5] = {.used = true, .user = {fold, &four}},
};

static int32_t buf[64];
static const size_t fours[] = {4, 4, 4, 4}, places[] = {12, 8, 4, 0};
static const struct wh_coll_blocks sends_fours = {fours, places, NULL, NULL};
static const struct wh_coll_blocks receives_fours = {NULL, NULL, fours, places};
static const struct wh_coll_blocks exchanges_fours = {fours, places, fours, places};

static bool sends_a_block_each(enum wh_coll coll)
{
    return coll == WH_COLL_REDUCE_SCATTER || coll == WH_COLL_REDUCE_SCATTER_V ||
           coll == WH_COLL_SCATTER || coll == WH_COLL_SCATTER_V || coll == WH_COLL_ALL_TO_ALL ||
           coll == WH_COLL_ALL_TO_ALL_V;
}

static bool receives_a_block_each(enum wh_coll coll)
{
    return coll == WH_COLL_ALL_GATHER || coll == WH_COLL_ALL_GATHER_V || coll == WH_COLL_GATHER ||
           coll == WH_COLL_GATHER_V || coll == WH_COLL_ALL_TO_ALL || coll == WH_COLL_ALL_TO_ALL_V;
}

static const struct wh_coll_blocks *good_blocks(enum wh_coll coll)
{
    if (!wh_coll_is_v(coll)) {
        return NULL;
    }
    if (!receives_a_block_each(coll)) {
        return &sends_fours;
    }
    return sends_a_block_each(coll) ? &exchanges_fours : &receives_fours;
}

static struct wh_coll_args good(enum wh_coll coll)
{
    return (struct wh_coll_args){.call = "whorl_test",
                                 .coll = coll,
                                 .sendbuf = buf,
                                 .recvbuf = buf + 32,
                                 .count = coll == WH_COLL_ALL_TO_ALL_V ? 0 : 4,
                                 .blocks = good_blocks(coll),
                                 .dtype = WHORL_INT32,
                                 .redop = WHORL_SUM,
                                 .root = 2,
                                 .comm = &four};
}

static struct wh_call check(const struct wh_coll_args *args)
{
    struct wh_call call;
    memset(&call, 0, sizeof(call));
    cr_assert_eq(wh_check_coll(args, &call), WHORL_OK, "%s: %s", wh_coll_str(args->coll),
                 wh_error_get());
    return call;
}

static void expect_refused(const struct wh_coll_args *args, const char *says)
{
    struct wh_call call = {.root = 4711};
    cr_expect_eq(wh_check_coll(args, &call), WHORL_E_ARG, "%s: %s", wh_coll_str(args->coll), says);
    cr_expect_not_null(strstr(wh_error_get(), says), "\"%s\" has no \"%s\"", wh_error_get(), says);
    cr_expect_eq(call.root, 4711, "written only on success");
}

Test(argcheck, good_arguments_become_a_call)
{
    static whorl_stream_t stream = (whorl_stream_t)(uintptr_t)64;
    for (int coll = 0; coll < WH_NCOLLS; coll++) {
        struct wh_coll_args args = good((enum wh_coll)coll);
        args.stream = stream;
        struct wh_call call = check(&args);
        cr_expect_eq(call.comm, &four);
        cr_expect_eq(call.coll, args.coll);
        cr_expect_eq(call.stream, stream);
        cr_expect_eq(call.root, wh_coll_has_root(args.coll) ? 2 : 0);
        cr_expect_eq(call.op.count, coll == WH_COLL_ALL_TO_ALL_V ? 0 : 4);
        cr_expect_null(call.counts_copy);
        cr_expect_eq(call.op.dtype, WHORL_INT32);
        cr_expect_eq(call.op.redop, wh_coll_reduces(args.coll) ? WHORL_SUM : WH_REDOP_NONE);
    }
}

Test(argcheck, buffers_that_a_rank_does_not_use_are_dropped)
{
    struct wh_coll_args args = good(WH_COLL_BROADCAST);
    struct wh_call call = check(&args);
    cr_expect_null(call.op.input);
    cr_expect_eq(call.op.output, buf + 32);
    args.root = 1;
    call = check(&args);
    cr_expect_eq(call.op.input, buf);

    args = good(WH_COLL_REDUCE);
    call = check(&args);
    cr_expect_eq(call.op.input, buf);
    cr_expect_null(call.op.output);
    args.root = 1;
    call = check(&args);
    cr_expect_eq(call.op.output, buf + 32);

    args = good(WH_COLL_GATHER_V);
    call = check(&args);
    cr_expect_eq(call.op.input, buf);
    cr_expect_null(call.op.output);
    cr_expect_null(call.op.recv_counts);
    cr_expect_null(call.op.recv_displs);
    args.root = 1;
    call = check(&args);
    cr_expect_eq(call.op.output, buf + 32);
    cr_expect_eq(call.op.recv_counts, fours);
    cr_expect_eq(call.op.recv_displs, places);

    args = good(WH_COLL_SCATTER_V);
    call = check(&args);
    cr_expect_null(call.op.input);
    cr_expect_null(call.op.send_counts);
    cr_expect_eq(call.op.output, buf + 32);
    args.root = 1;
    call = check(&args);
    cr_expect_eq(call.op.input, buf);
    cr_expect_eq(call.op.send_counts, fours);
    cr_expect_eq(call.op.send_displs, places);

    args = good(WH_COLL_SEND);
    call = check(&args);
    cr_expect_null(call.op.output);
    args = good(WH_COLL_RECV);
    call = check(&args);
    cr_expect_null(call.op.input);
}

Test(argcheck, null_buffers_are_refused_where_they_are_used)
{
    static const struct {
        enum wh_coll coll;
        int root;
        bool sends, receives;
    } rows[] = {
        {WH_COLL_ALL_REDUCE, 0, true, true},     {WH_COLL_ALL_GATHER, 0, true, true},
        {WH_COLL_REDUCE_SCATTER, 0, true, true}, {WH_COLL_BROADCAST, 0, false, true},
        {WH_COLL_BROADCAST, 1, true, true},      {WH_COLL_REDUCE, 0, true, false},
        {WH_COLL_REDUCE, 1, true, true},         {WH_COLL_SEND, 0, true, false},
        {WH_COLL_RECV, 0, false, true},          {WH_COLL_BARRIER, 0, false, false},
        {WH_COLL_ALL_TO_ALL, 0, true, true},     {WH_COLL_GATHER, 0, true, false},
        {WH_COLL_GATHER, 1, true, true},         {WH_COLL_SCATTER, 0, false, true},
        {WH_COLL_SCATTER, 1, true, true},        {WH_COLL_ALL_GATHER_V, 0, true, true},
        {WH_COLL_ALL_TO_ALL_V, 0, true, true},   {WH_COLL_REDUCE_SCATTER_V, 0, true, true},
        {WH_COLL_GATHER_V, 0, true, false},      {WH_COLL_GATHER_V, 1, true, true},
        {WH_COLL_SCATTER_V, 0, false, true},     {WH_COLL_SCATTER_V, 1, true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wh_coll_args args = good(rows[i].coll);
        args.root = rows[i].root;
        args.sendbuf = NULL;
        if (rows[i].sends) {
            expect_refused(&args, "whorl_test: sendbuf is NULL");
        } else {
            check(&args);
        }
        args.recvbuf = NULL;
        args.sendbuf = buf;
        if (rows[i].receives) {
            expect_refused(&args, "whorl_test: recvbuf is NULL");
        } else {
            check(&args);
        }
        static const size_t zeros[4];
        static const struct wh_coll_blocks empty = {zeros, NULL, zeros, NULL};
        args.sendbuf = NULL;
        args.count = 0;
        args.blocks = &empty;
        check(&args);
    }
}

Test(argcheck, a_null_communicator_is_refused)
{
    struct wh_coll_args args = good(WH_COLL_BARRIER);
    args.comm = NULL;
    expect_refused(&args, "whorl_test: comm is NULL");
}

Test(argcheck, types_that_are_none_are_refused)
{
    static const int none[] = {-1, WHORL_DTYPE_COUNT, 1000, INT_MAX, INT_MIN};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        struct wh_coll_args args = good(WH_COLL_SEND);
        args.dtype = (whorl_dtype_t)none[i];
        expect_refused(&args, "that is none");
    }
}

Test(argcheck, roots_and_peers_outside_are_refused)
{
    static const int outside[] = {-1, 4, INT_MAX, INT_MIN};
    for (size_t i = 0; i < ARRAY_LEN(outside); i++) {
        for (int coll = 0; coll < WH_NCOLLS; coll++) {
            struct wh_coll_args args = good((enum wh_coll)coll);
            args.root = outside[i];
            if (wh_coll_is_p2p(args.coll)) {
                expect_refused(&args, "whorl_test: peer is ");
            } else if (wh_coll_has_root(args.coll)) {
                expect_refused(&args, "it must be 0 to 3");
            } else {
                check(&args);
            }
        }
    }
}

Test(argcheck, reductions_are_predefined_or_handles_that_exist)
{
    static const int none[] = {-1,  WHORL_REDOP_COUNT, 15,     16, 17, 19, 21, 79, 80, 82, 143,
                               144, INT_MAX,           INT_MIN};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        struct wh_coll_args args = good(WH_COLL_ALL_REDUCE);
        args.redop = none[i];
        expect_refused(&args, "that is neither a predefined reduction nor a handle");
        args = good(WH_COLL_ALL_GATHER);
        args.redop = none[i];
        check(&args);
    }
    for (int op = 0; op < WHORL_REDOP_COUNT; op++) {
        struct wh_coll_args args = good(WH_COLL_REDUCE_SCATTER);
        args.redop = op;
        cr_expect_eq(check(&args).op.redop, op);
    }
}

Test(argcheck, a_handle_brings_its_scalar_and_wants_its_type)
{
    struct wh_coll_args args = good(WH_COLL_REDUCE);
    args.redop = WH_REDOP_FIRST_HANDLE + 2;
    expect_refused(&args, "op was made for float32, but dtype is int32");
    args.dtype = WHORL_FLOAT32;
    struct wh_call call = check(&args);
    cr_expect_eq(call.op.redop, WH_REDOP_PREMUL_SUM);
    cr_expect_eq(call.op.premul_scalar[3], 4);
}

Test(argcheck, a_function_of_the_users_takes_every_type)
{
    for (int dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
        struct wh_coll_args args = good(WH_COLL_REDUCE_SCATTER_V);
        args.redop = WH_REDOP_FIRST_USER + 5;
        args.dtype = (whorl_dtype_t)dtype;
        args.sendbuf = NULL;
        static const size_t zeros[4];
        args.blocks = &(struct wh_coll_blocks){.sendcounts = zeros};
        args.count = 0;
        struct wh_call call = check(&args);
        cr_expect_eq(call.op.redop, WH_REDOP_USER);
        cr_expect_eq(call.op.user.fn, fold);
        cr_expect_eq(call.op.user.ctx, &four);
    }
}

Test(argcheck, counts_that_no_memory_holds_are_refused)
{
    for (int coll = 0; coll < WH_NCOLLS; coll++) {
        struct wh_coll_args args = good((enum wh_coll)coll);
        bool a_block_each = sends_a_block_each(args.coll) || receives_a_block_each(args.coll);
        size_t nblocks = a_block_each && !wh_coll_is_v(args.coll) ? 4 : 1;
        args.count = SIZE_MAX;
        if (coll == WH_COLL_BARRIER || coll == WH_COLL_ALL_TO_ALL_V) {
            continue;
        }
        expect_refused(&args, "is too large");
        args.count = PTRDIFF_MAX / 8 / nblocks + 1;
        expect_refused(&args, "is too large");
    }
}

Test(argcheck, overlaps_are_refused_unless_they_are_in_place)
{
    static const struct {
        enum wh_coll coll;
        int root;
        ptrdiff_t recv; /* recvbuf - sendbuf, in elements; 4 each; rank 1 of 4 */
        bool ok;
    } rows[] = {
        {WH_COLL_ALL_REDUCE, 0, 0, true},      {WH_COLL_ALL_REDUCE, 0, 4, true},
        {WH_COLL_ALL_REDUCE, 0, -4, true},     {WH_COLL_ALL_REDUCE, 0, 3, false},
        {WH_COLL_ALL_REDUCE, 0, -1, false},    {WH_COLL_ALL_GATHER, 0, -4, true},
        {WH_COLL_ALL_GATHER, 0, 0, false},     {WH_COLL_ALL_GATHER, 0, -16, true},
        {WH_COLL_ALL_GATHER, 0, -15, false},   {WH_COLL_ALL_GATHER, 0, 4, true},
        {WH_COLL_REDUCE_SCATTER, 0, 4, true},  {WH_COLL_REDUCE_SCATTER, 0, 0, false},
        {WH_COLL_REDUCE_SCATTER, 0, 16, true}, {WH_COLL_REDUCE_SCATTER, 0, 15, false},
        {WH_COLL_REDUCE_SCATTER, 0, -4, true}, {WH_COLL_REDUCE_SCATTER, 0, -3, false},
        {WH_COLL_BROADCAST, 1, 2, false},      {WH_COLL_BROADCAST, 1, 0, true},
        {WH_COLL_BROADCAST, 0, 2, true},       {WH_COLL_REDUCE, 1, 2, false},
        {WH_COLL_REDUCE, 0, 2, true},          {WH_COLL_ALL_TO_ALL, 0, 0, false},
        {WH_COLL_ALL_TO_ALL, 0, 15, false},    {WH_COLL_ALL_TO_ALL, 0, 16, true},
        {WH_COLL_ALL_TO_ALL, 0, -16, true},    {WH_COLL_GATHER, 1, -4, true},
        {WH_COLL_GATHER, 1, 0, false},         {WH_COLL_GATHER, 0, 0, true},
        {WH_COLL_GATHER, 1, 4, true},          {WH_COLL_GATHER, 1, -15, false},
        {WH_COLL_SCATTER, 1, 4, true},         {WH_COLL_SCATTER, 1, 0, false},
        {WH_COLL_SCATTER, 0, 0, true},         {WH_COLL_SCATTER, 1, 16, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wh_coll_args args = good(rows[i].coll);
        args.root = rows[i].root;
        args.sendbuf = buf + 24;
        args.recvbuf = buf + 24 + rows[i].recv;
        if (rows[i].ok) {
            check(&args);
        } else {
            expect_refused(&args, "sendbuf and recvbuf overlap");
        }
        args.count = 0;
        check(&args);
    }
}

/* ---- creation -------------------------------------------------------------------------------- */

Test(argcheck, numbers_of_ranks_have_bounds)
{
    static const int bad[][2] = {{0, 0}, {-1, 0}, {INT_MIN, 0}, {INT_MAX, 0}, {(1 << 20) + 1, 0},
                                 {4, 4}, {4, -1}, {1, INT_MAX}};
    struct wh_comm_args args;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        cr_expect_eq(wh_check_create("whorl_test", bad[i][0], bad[i][1], NULL, &args), WHORL_E_ARG);
        cr_expect_not_null(strstr(wh_error_get(), "it must be"), "%s", wh_error_get());
    }
    cr_assert_eq(wh_check_create("whorl_test", 1 << 20, 77, NULL, &args), WHORL_OK);
    cr_expect_eq(args.nranks, 1 << 20);
    cr_expect_eq(args.rank, 77);
    cr_expect_eq(args.options.timeout_ms, 0);
    cr_expect_str_eq(args.options.name, "");
}

Test(argcheck, options_of_any_version_of_the_struct_are_understood)
{
    struct wh_comm_options out;
    whorl_options_t options = WHORL_OPTIONS_INIT;
    options.init_timeout_ms = 1;
    options.timeout_ms = 2;
    options.name = "abc";
    cr_assert_eq(wh_check_options("whorl_test", &options, &out), WHORL_OK);
    cr_expect_eq(out.init_timeout_ms, 1);
    cr_expect_eq(out.timeout_ms, 2);
    cr_expect_str_eq(out.name, "abc");

    /* A caller that was built when the struct ended before timeout_ms. */
    options.struct_nbytes = offsetof(whorl_options_t, timeout_ms);
    cr_assert_eq(wh_check_options("whorl_test", &options, &out), WHORL_OK);
    cr_expect_eq(out.init_timeout_ms, 1);
    cr_expect_eq(out.timeout_ms, 0);
    cr_expect_str_eq(out.name, "");

    struct {
        whorl_options_t known;
        char later[64];
    } newer = {.known = {.timeout_ms = 9}};
    newer.known.struct_nbytes = sizeof(newer);
    cr_assert_eq(wh_check_options("whorl_test", &newer.known, &out), WHORL_OK);
    cr_expect_eq(out.timeout_ms, 9);

    static const size_t garbage[] = {0, 1, sizeof(size_t) - 1, 4097, SIZE_MAX};
    for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
        options.struct_nbytes = garbage[i];
        cr_expect_eq(wh_check_options("whorl_test", &options, &out), WHORL_E_ARG);
        cr_expect_not_null(strstr(wh_error_get(), "WHORL_OPTIONS_INIT"));
    }
}

Test(argcheck, a_name_is_copied_and_cut)
{
    char name[300];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    whorl_options_t options = WHORL_OPTIONS_INIT;
    options.name = name;
    struct wh_comm_options out;
    cr_assert_eq(wh_check_options("whorl_test", &options, &out), WHORL_OK);
    memset(name, 0, sizeof(name));
    cr_expect_eq(strlen(out.name), WH_COMM_NAME_NBYTES - 1);
}

Test(argcheck, handles_are_found_only_where_they_are)
{
    cr_expect_eq(wh_redop_slot(&four, WH_REDOP_FIRST_HANDLE + 2), &four.redops[2]);
    static const int none[] = {INT_MIN, -1, 0, WHORL_SUM, 15, 16, 17, 79, 80, INT_MAX};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        cr_expect_null(wh_redop_slot(&four, none[i]), "%d", none[i]);
    }
}
