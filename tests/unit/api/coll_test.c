/* SPDX-License-Identifier: Apache-2.0 */
/* Every collective through its public call: arguments reach the place they are meant for. */
#include "unit/comm/local.h"

enum { N = 4, COUNT = 3 };

static int64_t in[N][N * COUNT], out[N][N * COUNT];

static struct local open_filled(void)
{
    for (int r = 0; r < N; r++) {
        for (int i = 0; i < N * COUNT; i++) {
            in[r][i] = 1000 * (r + 1) + i;
            out[r][i] = -1;
        }
    }
    return local_open(N, 0);
}

static void group_end(void)
{
    cr_assert_eq(whorl_group_end(), WHORL_OK, "%s", whorl_last_error(NULL));
}

Test(coll, all_reduce, .timeout = 60)
{
    struct local l = open_filled();
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        whorl_all_reduce(in[r], out[r], COUNT, WHORL_INT64, WHORL_AVG, l.ranks[r], NULL);
    }
    group_end();
    for (int r = 0; r < N; r++) {
        for (int i = 0; i < N * COUNT; i++) {
            cr_expect_eq(out[r][i], i < COUNT ? 2500 + i : -1);
        }
    }
    local_close(&l);
}

Test(coll, all_gather, .timeout = 60)
{
    struct local l = open_filled();
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        whorl_all_gather(in[r], out[r], COUNT, WHORL_INT64, l.ranks[r], NULL);
    }
    group_end();
    for (int r = 0; r < N; r++) {
        for (int i = 0; i < N * COUNT; i++) {
            cr_expect_eq(out[r][i], in[i / COUNT][i % COUNT]);
        }
    }
    local_close(&l);
}

Test(coll, reduce_scatter, .timeout = 60)
{
    struct local l = open_filled();
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        whorl_reduce_scatter(in[r], out[r], COUNT, WHORL_INT64, WHORL_MAX, l.ranks[r], NULL);
    }
    group_end();
    for (int r = 0; r < N; r++) {
        for (int i = 0; i < N * COUNT; i++) {
            cr_expect_eq(out[r][i], i < COUNT ? in[N - 1][r * COUNT + i] : -1);
        }
    }
    local_close(&l);
}

Test(coll, broadcast, .timeout = 60)
{
    struct local l = open_filled();
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        whorl_broadcast(r == 2 ? in[2] : NULL, out[r], COUNT, WHORL_INT64, 2, l.ranks[r], NULL);
    }
    group_end();
    for (int r = 0; r < N; r++) {
        cr_expect_eq(memcmp(out[r], in[2], COUNT * sizeof(int64_t)), 0);
        cr_expect_eq(out[r][COUNT], -1);
    }
    local_close(&l);
}

Test(coll, reduce, .timeout = 60)
{
    struct local l = open_filled();
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        whorl_reduce(in[r], r == 1 ? out[1] : NULL, COUNT, WHORL_INT64, WHORL_MIN, 1, l.ranks[r],
                     NULL);
    }
    group_end();
    cr_expect_eq(memcmp(out[1], in[0], COUNT * sizeof(int64_t)), 0);
    cr_expect_eq(out[1][COUNT], -1);
    local_close(&l);
}

/* Elements of block `to` that rank `from` sends, and where they lie. */
static size_t nelems(int from, int to)
{
    return (size_t)(from + 2 * to) % (COUNT + 1);
}

static size_t place(int r)
{
    return (size_t)(N - 1 - r) * COUNT;
}

/* out[r] has `count` elements of in[from] and nothing behind them, in the place of block b. */
static void expect_block(int r, int b, const int64_t *from, size_t count)
{
    const int64_t *got = out[r] + place(b);
    cr_expect_eq(memcmp(got, from, count * sizeof(int64_t)), 0, "rank %d, block %d", r, b);
    for (size_t i = count; i < COUNT; i++) {
        cr_expect_eq(got[i], -1, "rank %d, behind block %d", r, b);
    }
}

Test(coll, all_to_all, .timeout = 60)
{
    struct local l = open_filled();
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        whorl_all_to_all(in[r], out[r], COUNT, WHORL_INT64, l.ranks[r], NULL);
    }
    group_end();
    for (int r = 0; r < N; r++) {
        for (int i = 0; i < N * COUNT; i++) {
            cr_expect_eq(out[r][i], in[i / COUNT][r * COUNT + i % COUNT]);
        }
    }
    local_close(&l);
}

Test(coll, gather, .timeout = 60)
{
    struct local l = open_filled();
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        whorl_gather(in[r], r == 2 ? out[2] : NULL, COUNT, WHORL_INT64, 2, l.ranks[r], NULL);
    }
    group_end();
    for (int i = 0; i < N * COUNT; i++) {
        cr_expect_eq(out[2][i], in[i / COUNT][i % COUNT]);
    }
    local_close(&l);
}

Test(coll, scatter, .timeout = 60)
{
    struct local l = open_filled();
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        whorl_scatter(r == 1 ? in[1] : NULL, out[r], COUNT, WHORL_INT64, 1, l.ranks[r], NULL);
    }
    group_end();
    for (int r = 0; r < N; r++) {
        cr_expect_eq(memcmp(out[r], in[1] + r * COUNT, COUNT * sizeof(int64_t)), 0);
        cr_expect_eq(out[r][COUNT], -1);
    }
    local_close(&l);
}

/* The arrays are gone when the group ends: what it collected must not look at them. */
Test(coll, all_gather_v, .timeout = 60)
{
    struct local l = open_filled();
    size_t counts[N], displs[N];
    for (int r = 0; r < N; r++) {
        counts[r] = nelems(r, 0);
        displs[r] = place(r);
    }
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        whorl_all_gather_v(in[r], counts[r], out[r], counts, displs, WHORL_INT64, l.ranks[r], NULL);
    }
    memset(counts, 0x7f, sizeof(counts));
    memset(displs, 0x7f, sizeof(displs));
    group_end();
    for (int r = 0; r < N; r++) {
        for (int s = 0; s < N; s++) {
            expect_block(r, s, in[s], nelems(s, 0));
        }
    }
    local_close(&l);
}

Test(coll, reduce_scatter_v, .timeout = 60)
{
    struct local l = open_filled();
    size_t counts[N], displs[N];
    for (int r = 0; r < N; r++) {
        counts[r] = nelems(0, r);
        displs[r] = place(r);
    }
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        whorl_reduce_scatter_v(in[r], counts, displs, out[r] + place(0), counts[r], WHORL_INT64,
                               WHORL_MIN, l.ranks[r], NULL);
    }
    memset(counts, 0x7f, sizeof(counts));
    memset(displs, 0x7f, sizeof(displs));
    group_end();
    for (int r = 0; r < N; r++) {
        expect_block(r, 0, in[0] + place(r), nelems(0, r));
    }
    local_close(&l);
}

Test(coll, all_to_all_v, .timeout = 60)
{
    struct local l = open_filled();
    size_t sendcounts[N], senddispls[N], recvcounts[N], recvdispls[N];
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        for (int s = 0; s < N; s++) {
            sendcounts[s] = nelems(r, s);
            senddispls[s] = (size_t)s * COUNT;
            recvcounts[s] = nelems(s, r);
            recvdispls[s] = place(s);
        }
        whorl_all_to_all_v(in[r], sendcounts, senddispls, out[r], recvcounts, recvdispls,
                           WHORL_INT64, l.ranks[r], NULL);
    }
    group_end();
    for (int r = 0; r < N; r++) {
        for (int s = 0; s < N; s++) {
            expect_block(r, s, in[s] + r * COUNT, nelems(s, r));
        }
    }
    local_close(&l);
}

Test(coll, gather_v, .timeout = 60)
{
    struct local l = open_filled();
    size_t counts[N], displs[N];
    for (int r = 0; r < N; r++) {
        counts[r] = nelems(r, 1);
        displs[r] = place(r);
    }
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        bool root = r == 3;
        whorl_gather_v(in[r], counts[r], root ? out[r] : NULL, root ? counts : NULL,
                       root ? displs : NULL, WHORL_INT64, 3, l.ranks[r], NULL);
    }
    group_end();
    for (int r = 0; r < N; r++) {
        expect_block(3, r, in[r], nelems(r, 1));
    }
    local_close(&l);
}

Test(coll, scatter_v, .timeout = 60)
{
    struct local l = open_filled();
    size_t counts[N], displs[N];
    for (int r = 0; r < N; r++) {
        counts[r] = nelems(1, r);
        displs[r] = place(r);
    }
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        bool root = r == 0;
        whorl_scatter_v(root ? in[0] : NULL, root ? counts : NULL, root ? displs : NULL,
                        out[r] + place(2), counts[r], WHORL_INT64, 0, l.ranks[r], NULL);
    }
    group_end();
    for (int r = 0; r < N; r++) {
        expect_block(r, 2, in[0] + place(r), nelems(1, r));
    }
    local_close(&l);
}

/* A stream too has copies of the arrays; and a spoiled group gives them back. */
Test(coll, arrays_are_read_before_the_call_returns, .timeout = 60)
{
    struct local l = open_filled();
    whorl_stream_t streams[2];
    struct local two = local_open(2, 0);
    for (int r = 0; r < 2; r++) {
        size_t counts[2] = {1, 2};
        cr_assert_eq(whorl_stream_create(&streams[r]), WHORL_OK);
        cr_expect_eq(whorl_all_gather_v(in[r], counts[r], out[r], counts, NULL, WHORL_INT64,
                                        two.ranks[r], streams[r]),
                     WHORL_OK);
        memset(counts, 0x7f, sizeof(counts));
    }
    for (int r = 0; r < 2; r++) {
        cr_expect_eq(whorl_stream_synchronize(streams[r]), WHORL_OK);
        cr_expect_eq(whorl_stream_destroy(streams[r]), WHORL_OK);
        cr_expect_eq(out[r][0], in[0][0]);
        cr_expect_eq(memcmp(out[r] + 1, in[1], 2 * sizeof(int64_t)), 0);
        cr_expect_eq(out[r][3], -1);
    }
    local_close(&two);

    static const size_t counts[N] = {1, 1, 1, 1};
    whorl_group_start();
    cr_expect_eq(whorl_all_gather_v(in[0], 1, out[0], counts, NULL, WHORL_INT64, l.ranks[0], NULL),
                 WHORL_OK);
    cr_expect_eq(whorl_all_gather_v(in[1], 2, out[1], counts, NULL, WHORL_INT64, l.ranks[1], NULL),
                 WHORL_E_ARG);
    cr_expect_eq(whorl_group_end(), WHORL_E_ARG);
    local_close(&l);
}

/* Nothing is left of them, whichever way a collected call ends; a leak checker looks at this. */
Test(coll, arrays_are_given_back, .timeout = 60)
{
    struct local one = local_open(1, 0);
    static const size_t counts[1] = {2};
    int64_t from[2] = {5, 6}, to[2] = {0, 0};
    for (int ncalls = 1; ncalls <= 2; ncalls++) {
        whorl_group_start();
        for (int i = 0; i < ncalls; i++) {
            whorl_all_gather_v(from, 2, to, counts, NULL, WHORL_INT64, one.ranks[0], NULL);
        }
        group_end();
        cr_expect_eq(memcmp(from, to, sizeof(from)), 0);
    }
    whorl_comm_abort(one.ranks[0]);
    whorl_group_start();
    cr_expect_eq(whorl_all_gather_v(from, 2, to, counts, NULL, WHORL_INT64, one.ranks[0], NULL),
                 WHORL_E_ABORTED);
    cr_expect_eq(whorl_group_end(), WHORL_E_ABORTED);
    local_close(&one);
}

Test(coll, send_and_recv, .timeout = 60)
{
    struct local l = open_filled();
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        whorl_send(in[r], COUNT, WHORL_INT64, (r + 1) % N, l.ranks[r], NULL);
        whorl_recv(out[r], COUNT, WHORL_INT64, (r + N - 1) % N, l.ranks[r], NULL);
    }
    group_end();
    for (int r = 0; r < N; r++) {
        cr_expect_eq(memcmp(out[r], in[(r + N - 1) % N], COUNT * sizeof(int64_t)), 0);
        cr_expect_eq(out[r][COUNT], -1);
    }
    local_close(&l);
}

Test(coll, counts_of_zero_move_nothing, .timeout = 60)
{
    struct local l = open_filled();
    whorl_group_start();
    for (int r = 0; r < N; r++) {
        whorl_all_reduce(NULL, NULL, 0, WHORL_INT64, WHORL_SUM, l.ranks[r], NULL);
        whorl_all_gather(NULL, NULL, 0, WHORL_INT64, l.ranks[r], NULL);
        whorl_reduce_scatter(NULL, NULL, 0, WHORL_INT64, WHORL_SUM, l.ranks[r], NULL);
        whorl_broadcast(NULL, NULL, 0, WHORL_INT64, 0, l.ranks[r], NULL);
        whorl_reduce(NULL, NULL, 0, WHORL_INT64, WHORL_SUM, 0, l.ranks[r], NULL);
        whorl_send(NULL, 0, WHORL_INT64, (r + 1) % N, l.ranks[r], NULL);
        whorl_recv(NULL, 0, WHORL_INT64, (r + N - 1) % N, l.ranks[r], NULL);
        whorl_barrier(l.ranks[r], NULL);
    }
    group_end();
    local_close(&l);
}

Test(coll, wrong_arguments_leave_the_communicator_working, .timeout = 60)
{
    struct local l = open_filled();
    whorl_comm_t comm = l.ranks[0];
    cr_expect_eq(whorl_all_reduce(NULL, out, 1, WHORL_INT64, WHORL_SUM, comm, NULL), WHORL_E_ARG);
    local_expect_error(comm, "whorl_all_reduce: sendbuf is NULL");
    cr_expect_eq(whorl_all_gather(in, NULL, 1, WHORL_INT64, comm, NULL), WHORL_E_ARG);
    local_expect_error(comm, "whorl_all_gather: recvbuf is NULL");
    cr_expect_eq(whorl_reduce_scatter(in, out, SIZE_MAX, WHORL_INT64, WHORL_SUM, comm, NULL),
                 WHORL_E_ARG);
    local_expect_error(comm, "whorl_reduce_scatter: count");
    cr_expect_eq(whorl_broadcast(in, out, 1, WHORL_INT64, N, comm, NULL), WHORL_E_ARG);
    local_expect_error(comm, "whorl_broadcast: root is 4");
    cr_expect_eq(whorl_reduce(in, out, 1, WHORL_INT64, 99, 0, comm, NULL), WHORL_E_ARG);
    local_expect_error(comm, "whorl_reduce: op is 99");
    cr_expect_eq(whorl_send(in, 1, WHORL_DTYPE_COUNT, 1, comm, NULL), WHORL_E_ARG);
    local_expect_error(comm, "whorl_send: dtype is");
    cr_expect_eq(whorl_recv(out, 1, WHORL_INT64, -1, comm, NULL), WHORL_E_ARG);
    local_expect_error(comm, "whorl_recv: peer is -1");
    cr_expect_eq(whorl_barrier(NULL, NULL), WHORL_E_ARG);
    cr_expect_not_null(strstr(whorl_last_error(NULL), "whorl_barrier: comm is NULL"));
    local_expect_works(&l);
    local_close(&l);
}
