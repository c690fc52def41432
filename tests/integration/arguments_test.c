/* SPDX-License-Identifier: Apache-2.0 */
/* Every bad argument is refused by name, and the communicator goes on working. */
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* What calls need at hand. */
struct desk {
    struct rank *rank;
    whorl_comm_t comm;
    whorl_redop_t float_op; /* a handle for float32 */
    float a[64], b[64];
};

static void keep_lower(const void *in, void *inout, size_t count, whorl_dtype_t dtype, void *ctx)
{
    (void)in, (void)inout, (void)count, (void)dtype, (void)ctx;
}

static void expect_work(struct desk *d)
{
    int32_t one = 1, sum = 0;
    whorl_result_t error = WHORL_E_INTERNAL;
    RANK_OK(d->rank, whorl_comm_async_error(d->comm, &error));
    RANK_CHECK(d->rank, error == WHORL_OK, "the communicator is broken: %d", error);
    RANK_OK(d->rank, whorl_all_reduce(&one, &sum, 1, WHORL_INT32, WHORL_SUM, d->comm, NULL));
    RANK_CHECK(d->rank, sum == d->rank->nranks, "%d", sum);
}

/* The call failed, named the function and the argument, and broke nothing. */
static void expect_bad(struct desk *d, const char *call, const char *part, whorl_result_t got)
{
    rank_at(d->rank, "looks at %s", call);
    rank_expect(d->rank, __FILE__, __LINE__, call, got, WHORL_E_ARG);
    char text[512], function[64];
    snprintf(text, sizeof(text), "%s", whorl_last_error(NULL));
    RANK_TEXT(d->rank, text, part);
    snprintf(function, sizeof(function), "%.*s", (int)strcspn(call, "("), call);
    RANK_TEXT(d->rank, text, function);
    expect_work(d);
}

#define BAD(part, call) expect_bad(d, #call, part, call)

static void collectives_are_called_badly(struct desk *d)
{
    whorl_comm_t comm = d->comm;
    float *a = d->a, *b = d->b;
    whorl_dtype_t f32 = WHORL_FLOAT32, none = (whorl_dtype_t)99, minus = (whorl_dtype_t)-1;
    BAD("comm", whorl_all_reduce(a, b, 1, f32, WHORL_SUM, NULL, NULL));
    BAD("sendbuf", whorl_all_reduce(NULL, b, 1, f32, WHORL_SUM, comm, NULL));
    BAD("recvbuf", whorl_all_reduce(a, NULL, 1, f32, WHORL_SUM, comm, NULL));
    BAD("dtype", whorl_all_reduce(a, b, 1, none, WHORL_SUM, comm, NULL));
    BAD("dtype", whorl_all_reduce(a, b, 1, minus, WHORL_SUM, comm, NULL));
    BAD("dtype", whorl_all_reduce(a, b, 1, WHORL_DTYPE_COUNT, WHORL_SUM, comm, NULL));
    BAD("op", whorl_all_reduce(a, b, 1, f32, -1, comm, NULL));
    BAD("op", whorl_all_reduce(a, b, 1, f32, WHORL_REDOP_COUNT, comm, NULL));
    BAD("op", whorl_all_reduce(a, b, 1, f32, d->float_op + 1, comm, NULL));
    BAD("op", whorl_all_reduce(a, b, 1, f32, INT32_MAX, comm, NULL));
    BAD("op", whorl_all_reduce(a, b, 1, WHORL_INT32, d->float_op, comm, NULL));
    BAD("overlap", whorl_all_reduce(a, a + 1, 4, f32, WHORL_SUM, comm, NULL));
    BAD("overlap", whorl_all_reduce(a + 3, a, 4, f32, WHORL_SUM, comm, NULL));
    BAD("count", whorl_all_reduce(a, b, SIZE_MAX, f32, WHORL_SUM, comm, NULL));
    BAD("count", whorl_all_reduce(a, b, SIZE_MAX / 2, WHORL_INT8, WHORL_SUM, comm, NULL));

    BAD("comm", whorl_all_gather(a, b, 1, f32, NULL, NULL));
    BAD("sendbuf", whorl_all_gather(NULL, b, 1, f32, comm, NULL));
    BAD("recvbuf", whorl_all_gather(a, NULL, 1, f32, comm, NULL));
    BAD("dtype", whorl_all_gather(a, b, 1, none, comm, NULL));
    BAD("overlap", whorl_all_gather(a + 1, a, 2, f32, comm, NULL));
    BAD("overlap", whorl_all_gather(a + (1 - d->rank->rank) * 2, a, 2, f32, comm, NULL));
    BAD("count", whorl_all_gather(a, b, SIZE_MAX / 8, WHORL_FLOAT64, comm, NULL));

    BAD("comm", whorl_reduce_scatter(a, b, 1, f32, WHORL_SUM, NULL, NULL));
    BAD("sendbuf", whorl_reduce_scatter(NULL, b, 1, f32, WHORL_SUM, comm, NULL));
    BAD("recvbuf", whorl_reduce_scatter(a, NULL, 1, f32, WHORL_SUM, comm, NULL));
    BAD("dtype", whorl_reduce_scatter(a, b, 1, none, WHORL_SUM, comm, NULL));
    BAD("op", whorl_reduce_scatter(a, b, 1, f32, 9, comm, NULL));
    BAD("overlap", whorl_reduce_scatter(a, a + 1, 2, f32, WHORL_SUM, comm, NULL));
    BAD("count", whorl_reduce_scatter(a, b, SIZE_MAX / 8, WHORL_INT64, WHORL_SUM, comm, NULL));
}

static void rooted_collectives_are_called_badly(struct desk *d)
{
    whorl_comm_t comm = d->comm;
    float *a = d->a, *b = d->b;
    int me = d->rank->rank, n = d->rank->nranks;
    whorl_dtype_t f32 = WHORL_FLOAT32, none = (whorl_dtype_t)99;
    BAD("comm", whorl_broadcast(a, b, 1, f32, 0, NULL, NULL));
    BAD("root", whorl_broadcast(a, b, 1, f32, n, comm, NULL));
    BAD("root", whorl_broadcast(a, b, 1, f32, -1, comm, NULL));
    BAD("dtype", whorl_broadcast(a, b, 1, none, 0, comm, NULL));
    BAD("sendbuf", whorl_broadcast(NULL, b, 1, f32, me, comm, NULL));
    BAD("recvbuf", whorl_broadcast(a, NULL, 1, f32, 0, comm, NULL));
    BAD("overlap", whorl_broadcast(a, a + 1, 2, f32, me, comm, NULL));
    BAD("count", whorl_broadcast(a, b, SIZE_MAX, f32, 0, comm, NULL));

    BAD("comm", whorl_reduce(a, b, 1, f32, WHORL_SUM, 0, NULL, NULL));
    BAD("root", whorl_reduce(a, b, 1, f32, WHORL_SUM, n, comm, NULL));
    BAD("root", whorl_reduce(a, b, 1, f32, WHORL_SUM, -7, comm, NULL));
    BAD("dtype", whorl_reduce(a, b, 1, none, WHORL_SUM, 0, comm, NULL));
    BAD("op", whorl_reduce(a, b, 1, f32, 1000, 0, comm, NULL));
    BAD("sendbuf", whorl_reduce(NULL, b, 1, f32, WHORL_SUM, 0, comm, NULL));
    BAD("recvbuf", whorl_reduce(a, NULL, 1, f32, WHORL_SUM, me, comm, NULL));
    BAD("overlap", whorl_reduce(a, a + 1, 2, f32, WHORL_SUM, me, comm, NULL));

    BAD("comm", whorl_send(a, 1, f32, 0, NULL, NULL));
    BAD("peer", whorl_send(a, 1, f32, n, comm, NULL));
    BAD("peer", whorl_send(a, 1, f32, -1, comm, NULL));
    BAD("dtype", whorl_send(a, 1, none, 0, comm, NULL));
    BAD("sendbuf", whorl_send(NULL, 1, f32, 0, comm, NULL));
    BAD("count", whorl_send(a, SIZE_MAX, f32, 0, comm, NULL));
    BAD("comm", whorl_recv(a, 1, f32, 0, NULL, NULL));
    BAD("peer", whorl_recv(a, 1, f32, n, comm, NULL));
    BAD("dtype", whorl_recv(a, 1, none, 0, comm, NULL));
    BAD("recvbuf", whorl_recv(NULL, 1, f32, 0, comm, NULL));
    BAD("comm", whorl_barrier(NULL, NULL));
}

static void exchanges_are_called_badly(struct desk *d)
{
    whorl_comm_t comm = d->comm;
    float *a = d->a, *b = d->b;
    int me = d->rank->rank, n = d->rank->nranks;
    whorl_dtype_t f32 = WHORL_FLOAT32, none = (whorl_dtype_t)99;
    BAD("comm", whorl_all_to_all(a, b, 1, f32, NULL, NULL));
    BAD("sendbuf", whorl_all_to_all(NULL, b, 1, f32, comm, NULL));
    BAD("recvbuf", whorl_all_to_all(a, NULL, 1, f32, comm, NULL));
    BAD("dtype", whorl_all_to_all(a, b, 1, none, comm, NULL));
    BAD("no in place", whorl_all_to_all(a, a, 1, f32, comm, NULL));
    BAD("overlap", whorl_all_to_all(a, a + 3, 2, f32, comm, NULL));
    BAD("count", whorl_all_to_all(a, b, SIZE_MAX / 8, f32, comm, NULL));

    BAD("comm", whorl_gather(a, b, 1, f32, 0, NULL, NULL));
    BAD("root", whorl_gather(a, b, 1, f32, n, comm, NULL));
    BAD("dtype", whorl_gather(a, b, 1, none, 0, comm, NULL));
    BAD("sendbuf", whorl_gather(NULL, b, 1, f32, 0, comm, NULL));
    BAD("recvbuf", whorl_gather(a, NULL, 1, f32, me, comm, NULL));
    BAD("overlap", whorl_gather(a + (1 - me) * 2, a, 2, f32, me, comm, NULL));
    BAD("count", whorl_gather(a, b, SIZE_MAX / 8, f32, 0, comm, NULL));

    BAD("comm", whorl_scatter(a, b, 1, f32, 0, NULL, NULL));
    BAD("root", whorl_scatter(a, b, 1, f32, -1, comm, NULL));
    BAD("dtype", whorl_scatter(a, b, 1, none, 0, comm, NULL));
    BAD("sendbuf", whorl_scatter(NULL, b, 1, f32, me, comm, NULL));
    BAD("recvbuf", whorl_scatter(a, NULL, 1, f32, 0, comm, NULL));
    BAD("overlap", whorl_scatter(a, a + (1 - me) * 2, 2, f32, me, comm, NULL));
    BAD("count", whorl_scatter(a, b, SIZE_MAX / 8, f32, 0, comm, NULL));
}

static void uneven_collectives_are_called_badly(struct desk *d)
{
    static const size_t two[2] = {2, 2}, huge[2] = {2, SIZE_MAX}, late[2] = {SIZE_MAX, 2};
    static const size_t same[2] = {0, 1};
    whorl_comm_t comm = d->comm;
    float *a = d->a, *b = d->b;
    whorl_dtype_t f32 = WHORL_FLOAT32, none = (whorl_dtype_t)99;
    BAD("comm", whorl_all_gather_v(a, 2, b, two, NULL, f32, NULL, NULL));
    BAD("sendbuf", whorl_all_gather_v(NULL, 2, b, two, NULL, f32, comm, NULL));
    BAD("recvbuf", whorl_all_gather_v(a, 2, NULL, two, NULL, f32, comm, NULL));
    BAD("recvcounts is NULL", whorl_all_gather_v(a, 2, b, NULL, NULL, f32, comm, NULL));
    BAD("recvcounts[1]", whorl_all_gather_v(a, 2, b, huge, NULL, f32, comm, NULL));
    BAD("recvdispls[0]", whorl_all_gather_v(a, 2, b, two, late, f32, comm, NULL));
    BAD("blocks 0 and 1", whorl_all_gather_v(a, 2, b, two, same, f32, comm, NULL));
    BAD("sendcount is 1", whorl_all_gather_v(a, 1, b, two, NULL, f32, comm, NULL));
    BAD("dtype", whorl_all_gather_v(a, 2, b, two, NULL, none, comm, NULL));
    BAD("overlap", whorl_all_gather_v(a + 1, 2, a, two, NULL, f32, comm, NULL));

    BAD("comm", whorl_reduce_scatter_v(a, two, NULL, b, 2, f32, WHORL_SUM, NULL, NULL));
    BAD("op", whorl_reduce_scatter_v(a, two, NULL, b, 2, f32, 9, comm, NULL));
    BAD("sendbuf", whorl_reduce_scatter_v(NULL, two, NULL, b, 2, f32, WHORL_SUM, comm, NULL));
    BAD("recvbuf", whorl_reduce_scatter_v(a, two, NULL, NULL, 2, f32, WHORL_SUM, comm, NULL));
    BAD("sendcounts is NULL",
        whorl_reduce_scatter_v(a, NULL, NULL, b, 2, f32, WHORL_SUM, comm, NULL));
    BAD("sendcounts[1]", whorl_reduce_scatter_v(a, huge, NULL, b, 2, f32, WHORL_SUM, comm, NULL));
    BAD("senddispls[0]", whorl_reduce_scatter_v(a, two, late, b, 2, f32, WHORL_SUM, comm, NULL));
    BAD("recvcount is 3", whorl_reduce_scatter_v(a, two, NULL, b, 3, f32, WHORL_SUM, comm, NULL));
    BAD("overlap", whorl_reduce_scatter_v(a, two, NULL, a + 1, 2, f32, WHORL_SUM, comm, NULL));

    BAD("comm", whorl_all_to_all_v(a, two, NULL, b, two, NULL, f32, NULL, NULL));
    BAD("sendbuf", whorl_all_to_all_v(NULL, two, NULL, b, two, NULL, f32, comm, NULL));
    BAD("recvbuf", whorl_all_to_all_v(a, two, NULL, NULL, two, NULL, f32, comm, NULL));
    BAD("sendcounts", whorl_all_to_all_v(a, NULL, NULL, b, two, NULL, f32, comm, NULL));
    BAD("recvcounts", whorl_all_to_all_v(a, two, NULL, b, NULL, NULL, f32, comm, NULL));
    BAD("senddispls[0]", whorl_all_to_all_v(a, two, late, b, two, NULL, f32, comm, NULL));
    BAD("blocks 0 and 1", whorl_all_to_all_v(a, two, NULL, b, two, same, f32, comm, NULL));
    BAD("no in place", whorl_all_to_all_v(a, two, NULL, a, two, NULL, f32, comm, NULL));
}

static void uneven_rooted_collectives_are_called_badly(struct desk *d)
{
    static const size_t two[2] = {2, 2}, huge[2] = {2, SIZE_MAX}, same[2] = {0, 1};
    whorl_comm_t comm = d->comm;
    float *a = d->a, *b = d->b;
    int me = d->rank->rank, n = d->rank->nranks;
    whorl_dtype_t f32 = WHORL_FLOAT32;
    BAD("comm", whorl_gather_v(a, 2, b, two, NULL, f32, 0, NULL, NULL));
    BAD("root", whorl_gather_v(a, 2, b, two, NULL, f32, n, comm, NULL));
    BAD("sendbuf", whorl_gather_v(NULL, 2, b, two, NULL, f32, 0, comm, NULL));
    BAD("sendcount", whorl_gather_v(a, SIZE_MAX, b, two, NULL, f32, 0, comm, NULL));
    BAD("recvbuf", whorl_gather_v(a, 2, NULL, two, NULL, f32, me, comm, NULL));
    BAD("recvcounts is NULL", whorl_gather_v(a, 2, b, NULL, NULL, f32, me, comm, NULL));
    BAD("recvcounts[1]", whorl_gather_v(a, 2, b, huge, NULL, f32, me, comm, NULL));
    BAD("blocks 0 and 1", whorl_gather_v(a, 2, b, two, same, f32, me, comm, NULL));
    BAD("sendcount is 5", whorl_gather_v(a, 5, b, two, NULL, f32, me, comm, NULL));
    BAD("overlap", whorl_gather_v(a + (1 - me) * 2, 2, a, two, NULL, f32, me, comm, NULL));

    BAD("comm", whorl_scatter_v(a, two, NULL, b, 2, f32, 0, NULL, NULL));
    BAD("root", whorl_scatter_v(a, two, NULL, b, 2, f32, -1, comm, NULL));
    BAD("sendbuf", whorl_scatter_v(NULL, two, NULL, b, 2, f32, me, comm, NULL));
    BAD("sendcounts is NULL", whorl_scatter_v(a, NULL, NULL, b, 2, f32, me, comm, NULL));
    BAD("sendcounts[1]", whorl_scatter_v(a, huge, NULL, b, 2, f32, me, comm, NULL));
    BAD("recvbuf", whorl_scatter_v(a, two, NULL, NULL, 2, f32, 0, comm, NULL));
    BAD("recvcount is 5", whorl_scatter_v(a, two, NULL, b, 5, f32, me, comm, NULL));
    BAD("overlap", whorl_scatter_v(a, two, NULL, a + (1 - me) * 2, 2, f32, me, comm, NULL));
}

static void communicators_are_called_badly(struct desk *d)
{
    whorl_comm_t comm = d->comm, out = NULL;
    whorl_id_t id = rank_job_id(d->rank), zeros = {{0}}, bent = id;
    bent.bytes[40] = (uint8_t)~bent.bytes[40];
    whorl_options_t unset = {0}, huge = WHORL_OPTIONS_INIT;
    huge.struct_nbytes = SIZE_MAX;
    int number;
    whorl_redop_t op;
    float factor = 1;
    BAD("id_out", whorl_id_create(NULL));
    BAD("nranks", whorl_comm_create(0, 0, &id, NULL, &out));
    BAD("nranks", whorl_comm_create(-3, 0, &id, NULL, &out));
    BAD("rank", whorl_comm_create(2, 2, &id, NULL, &out));
    BAD("rank", whorl_comm_create(2, -1, &id, NULL, &out));
    BAD("id", whorl_comm_create(2, 0, NULL, NULL, &out));
    BAD("id", whorl_comm_create(2, 0, &zeros, NULL, &out));
    BAD("id", whorl_comm_create(2, 0, &bent, NULL, &out));
    BAD("comm_out", whorl_comm_create(2, 0, &id, NULL, NULL));
    BAD("struct_nbytes", whorl_comm_create(2, 0, &id, &unset, &out));
    BAD("struct_nbytes", whorl_comm_create(2, 0, &id, &huge, &out));
    BAD("comm_out", whorl_comm_create_from_env(NULL, NULL));
    BAD("struct_nbytes", whorl_comm_create_from_env(&unset, &out));
    BAD("nranks", whorl_comm_create_local(0, NULL, &out));
    BAD("comms_out", whorl_comm_create_local(1, NULL, NULL));
    BAD("struct_nbytes", whorl_comm_create_local(1, &unset, &out));
    BAD("comm", whorl_comm_split(NULL, 0, 0, NULL, &out));
    BAD("new_comm_out", whorl_comm_split(comm, 0, 0, NULL, NULL));
    BAD("color", whorl_comm_split(comm, -2, 0, NULL, &out));
    BAD("struct_nbytes", whorl_comm_split(comm, 0, 0, &unset, &out));
    BAD("comm", whorl_comm_finalize(NULL));
    BAD("comm", whorl_comm_abort(NULL));
    BAD("comm", whorl_comm_async_error(NULL, NULL));
    BAD("error_out", whorl_comm_async_error(comm, NULL));
    BAD("comm", whorl_comm_rank(NULL, &number));
    BAD("rank_out", whorl_comm_rank(comm, NULL));
    BAD("comm", whorl_comm_size(NULL, &number));
    BAD("nranks_out", whorl_comm_size(comm, NULL));
    BAD("stream_out", whorl_stream_create(NULL));
    BAD("stream", whorl_stream_query(NULL));
    BAD("stream", whorl_stream_synchronize(NULL));
    BAD("scalar", whorl_redop_create_premul_sum(NULL, WHORL_FLOAT32, comm, &op));
    BAD("dtype", whorl_redop_create_premul_sum(&factor, (whorl_dtype_t)40, comm, &op));
    BAD("comm", whorl_redop_create_premul_sum(&factor, WHORL_FLOAT32, NULL, &op));
    BAD("op_out", whorl_redop_create_premul_sum(&factor, WHORL_FLOAT32, comm, NULL));
    BAD("fn", whorl_redop_create_user(NULL, d, comm, &op));
    BAD("comm", whorl_redop_create_user(keep_lower, d, NULL, &op));
    BAD("op_out", whorl_redop_create_user(keep_lower, d, comm, NULL));
    BAD("op", whorl_redop_destroy(WHORL_SUM, comm));
    BAD("op", whorl_redop_destroy(-5, comm));
    BAD("comm", whorl_redop_destroy(d->float_op, NULL));
    RANK_CHECK(d->rank, out == NULL, "an out-parameter was written on failure");
}

static void sit_down(struct rank *rank, struct desk *d)
{
    float factor = 1;
    *d = (struct desk){.rank = rank, .comm = rank->comm};
    RANK_OK(rank, whorl_redop_create_premul_sum(&factor, WHORL_FLOAT32, rank->comm, &d->float_op));
}

static void call_collectives_badly(struct rank *rank)
{
    struct desk d;
    sit_down(rank, &d);
    collectives_are_called_badly(&d);
    rooted_collectives_are_called_badly(&d);
    exchanges_are_called_badly(&d);
    uneven_collectives_are_called_badly(&d);
    uneven_rooted_collectives_are_called_badly(&d);
}

Test(arguments, of_collectives_are_refused_by_name)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = call_collectives_badly});
}

static void call_others_badly(struct rank *rank)
{
    struct desk d;
    sit_down(rank, &d);
    communicators_are_called_badly(&d);
}

Test(arguments, of_everything_else_are_refused_by_name)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = call_others_badly});
}

/* The error of a call is its communicator's too. */
static void ask_communicator(struct rank *rank)
{
    RANK_TEXT(rank, whorl_last_error(rank->comm), "no error");
    RANK_TEXT(rank, whorl_last_error(NULL), "no error");
    char byte = 0;
    RANK_EXPECT(rank, WHORL_E_ARG,
                whorl_broadcast(&byte, &byte, 1, WHORL_INT8, 77, rank->comm, NULL));
    RANK_TEXT(rank, whorl_last_error(rank->comm), "77");
    RANK_TEXT(rank, whorl_last_error(rank->comm), "whorl_broadcast");
}

Test(arguments, that_are_bad_are_told_by_the_communicator)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = ask_communicator});
}

static void use_up_handles(struct rank *rank)
{
    whorl_redop_t ops[64], extra;
    int32_t factor = 3, value = 1;
    for (int i = 0; i < 64; i++) {
        RANK_OK(rank, whorl_redop_create_premul_sum(&factor, WHORL_INT32, rank->comm, &ops[i]));
    }
    RANK_EXPECT(rank, WHORL_E_NOMEM,
                whorl_redop_create_premul_sum(&factor, WHORL_INT32, rank->comm, &extra));
    RANK_TEXT(rank, whorl_last_error(NULL), "64");
    RANK_OK(rank, whorl_redop_destroy(ops[5], rank->comm));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_redop_destroy(ops[5], rank->comm));
    RANK_OK(rank, whorl_redop_create_premul_sum(&factor, WHORL_INT32, rank->comm, &extra));
    RANK_OK(rank, whorl_all_reduce(&value, &value, 1, WHORL_INT32, extra, rank->comm, NULL));
    RANK_CHECK(rank, value == 3 * rank->nranks, "%d", value);
}

Test(arguments, reductions_of_ones_own_are_limited_to_64_at_a_time)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = use_up_handles});
}

/* No buffers are needed where nothing moves. */
static void move_nothing(struct rank *rank)
{
    whorl_comm_t comm = rank->comm;
    RANK_OK(rank, whorl_all_reduce(NULL, NULL, 0, WHORL_FLOAT32, WHORL_SUM, comm, NULL));
    RANK_OK(rank, whorl_all_gather(NULL, NULL, 0, WHORL_FLOAT32, comm, NULL));
    RANK_OK(rank, whorl_reduce_scatter(NULL, NULL, 0, WHORL_FLOAT32, WHORL_SUM, comm, NULL));
    RANK_OK(rank, whorl_broadcast(NULL, NULL, 0, WHORL_FLOAT32, 0, comm, NULL));
    RANK_OK(rank, whorl_reduce(NULL, NULL, 0, WHORL_FLOAT32, WHORL_SUM, 0, comm, NULL));
    static const size_t zeros[2];
    RANK_OK(rank, whorl_all_to_all(NULL, NULL, 0, WHORL_FLOAT32, comm, NULL));
    RANK_OK(rank, whorl_gather(NULL, NULL, 0, WHORL_FLOAT32, 1, comm, NULL));
    RANK_OK(rank, whorl_scatter(NULL, NULL, 0, WHORL_FLOAT32, 1, comm, NULL));
    RANK_OK(rank, whorl_all_gather_v(NULL, 0, NULL, zeros, NULL, WHORL_FLOAT32, comm, NULL));
    RANK_OK(rank, whorl_reduce_scatter_v(NULL, zeros, NULL, NULL, 0, WHORL_FLOAT32, WHORL_SUM, comm,
                                         NULL));
    RANK_OK(rank,
            whorl_all_to_all_v(NULL, zeros, NULL, NULL, zeros, NULL, WHORL_FLOAT32, comm, NULL));
    RANK_OK(rank, whorl_gather_v(NULL, 0, NULL, zeros, NULL, WHORL_FLOAT32, 0, comm, NULL));
    RANK_OK(rank, whorl_scatter_v(NULL, zeros, NULL, NULL, 0, WHORL_FLOAT32, 0, comm, NULL));
    int peer = 1 - rank->rank;
    RANK_OK(rank, whorl_group_start());
    RANK_OK(rank, whorl_send(NULL, 0, WHORL_FLOAT32, peer, comm, NULL));
    RANK_OK(rank, whorl_recv(NULL, 0, WHORL_FLOAT32, peer, comm, NULL));
    RANK_OK(rank, whorl_group_end());
}

Test(arguments, may_be_null_buffers_where_count_is_zero)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = move_nothing});
}
