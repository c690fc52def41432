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
