/* SPDX-License-Identifier: Apache-2.0 */
/* Batches through the public calls: what may run side by side, what may not, and in which order. */
#include "base/log.h"
#include "local.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* ---- messages to oneself -------------------------------------------------------------------- */

static whorl_result_t send_int(const int32_t *value, int from, int to, const struct local *l)
{
    return whorl_send(value, 1, WHORL_INT32, to, l->ranks[from], NULL);
}

static whorl_result_t recv_int(int32_t *value, int to, int from, const struct local *l)
{
    return whorl_recv(value, 1, WHORL_INT32, from, l->ranks[to], NULL);
}

Test(batch, messages_to_oneself_are_paired_in_order, .timeout = 60)
{
    struct local l = local_open(2, 0);
    int32_t in[3] = {1, 2, 3}, out[3] = {0};
    whorl_group_start();
    recv_int(&out[0], 0, 0, &l);
    send_int(&in[0], 0, 0, &l);
    send_int(&in[1], 0, 0, &l);
    recv_int(&out[1], 0, 0, &l);
    recv_int(&out[2], 0, 0, &l);
    send_int(&in[2], 0, 0, &l);
    cr_assert_eq(whorl_group_end(), WHORL_OK, "%s", whorl_last_error(NULL));
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(out[i], in[i]);
    }
    local_expect_works(&l);
    local_close(&l);
}

Test(batch, a_message_to_oneself_may_be_empty_or_overlap, .timeout = 60)
{
    struct local l = local_open(1, 0);
    int32_t ring[4] = {1, 2, 3, 4};
    whorl_group_start();
    whorl_send(NULL, 0, WHORL_INT32, 0, l.ranks[0], NULL);
    whorl_recv(NULL, 0, WHORL_INT32, 0, l.ranks[0], NULL);
    whorl_send(ring, 3, WHORL_INT32, 0, l.ranks[0], NULL);
    whorl_recv(ring + 1, 3, WHORL_INT32, 0, l.ranks[0], NULL);
    cr_assert_eq(whorl_group_end(), WHORL_OK);
    const int32_t want[4] = {1, 1, 2, 3};
    cr_expect_eq(memcmp(ring, want, sizeof(want)), 0);
    local_close(&l);
}

Test(batch, a_message_to_oneself_without_its_other_half_is_an_error, .timeout = 60)
{
    int32_t value = 1;
    struct local l = local_open(1, 0);
    cr_expect_eq(send_int(&value, 0, 0, &l), WHORL_E_USAGE);
    local_expect_error(l.ranks[0], "rank 0 sends to itself, but no receive");
    local_close(&l);

    l = local_open(1, 0);
    cr_expect_eq(recv_int(&value, 0, 0, &l), WHORL_E_USAGE);
    local_expect_error(l.ranks[0], "rank 0 receives from itself, but no send");
    local_close(&l);

    l = local_open(1, 0);
    whorl_group_start();
    recv_int(&value, 0, 0, &l);
    send_int(&value, 0, 0, &l);
    recv_int(&value, 0, 0, &l);
    cr_expect_eq(whorl_group_end(), WHORL_E_USAGE);
    local_close(&l);
}

Test(batch, halves_that_differ_are_a_mismatch, .timeout = 60)
{
    static const struct {
        size_t count;
        whorl_dtype_t dtype;
    } rows[] = {{2, WHORL_INT32}, {1, WHORL_FLOAT32}, {0, WHORL_INT32}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int32_t in = 1, out[2] = {7, 7};
        struct local l = local_open(1, 0);
        whorl_group_start();
        send_int(&in, 0, 0, &l);
        whorl_recv(out, rows[i].count, rows[i].dtype, 0, l.ranks[0], NULL);
        cr_expect_eq(whorl_group_end(), WHORL_E_MISMATCH);
        local_expect_error(l.ranks[0], "sends 1 elements of int32 to itself, but receives");
        cr_expect_eq(out[0], 7);
        local_close(&l);
    }
}

/* ---- messages to others --------------------------------------------------------------------- */

Test(batch, messages_between_two_ranks_keep_their_order, .timeout = 60)
{
    enum { N = 40 };
    struct local l = local_open(2, 0);
    int32_t in[N], out[N] = {0};
    whorl_group_start();
    for (int i = 0; i < N; i++) {
        in[i] = 100 + i;
        recv_int(&out[i], 1, 0, &l);
    }
    for (int i = 0; i < N; i++) {
        send_int(&in[i], 0, 1, &l);
    }
    cr_assert_eq(whorl_group_end(), WHORL_OK, "%s", whorl_last_error(NULL));
    for (int i = 0; i < N; i++) {
        cr_expect_eq(out[i], in[i]);
    }
    local_close(&l);
}

Test(batch, ranks_exchange_more_than_links_hold, .timeout = 60)
{
    enum { NELEMS = 1 << 20 }; /* 4 MiB each way */
    struct local l = local_open(3, 0);
    int32_t *mem = malloc(sizeof(int32_t) * NELEMS * 12);
    for (size_t i = 0; i < (size_t)NELEMS * 6; i++) {
        mem[i] = (int32_t)(i * 2654435761u);
    }
    int32_t *in[3][3], *out[3][3];
    whorl_group_start();
    int slot = 0;
    for (int r = 0; r < 3; r++) {
        for (int peer = 0; peer < 3; peer++) {
            if (peer != r) {
                in[r][peer] = mem + (size_t)slot * NELEMS;
                out[r][peer] = mem + (size_t)(slot + 6) * NELEMS;
                slot++;
                whorl_send(in[r][peer], NELEMS, WHORL_INT32, peer, l.ranks[r], NULL);
                whorl_recv(out[r][peer], NELEMS, WHORL_INT32, peer, l.ranks[r], NULL);
            }
        }
    }
    cr_assert_eq(whorl_group_end(), WHORL_OK, "%s", whorl_last_error(NULL));
    for (int r = 0; r < 3; r++) {
        for (int peer = 0; peer < 3; peer++) {
            cr_expect(peer == r ||
                      memcmp(out[r][peer], in[peer][r], sizeof(int32_t) * NELEMS) == 0);
        }
    }
    free(mem);
    local_close(&l);
}

Test(batch, halves_of_different_size_break_both_ranks, .timeout = 60)
{
    struct local l = local_open(2, 0);
    int32_t in[2] = {1, 2}, out = 0;
    whorl_group_start();
    whorl_send(in, 2, WHORL_INT32, 1, l.ranks[0], NULL);
    recv_int(&out, 1, 0, &l);
    cr_expect_eq(whorl_group_end(), WHORL_E_MISMATCH);
    local_expect_error(l.ranks[1], "rank 1 called recv(count 1, int32)");
    local_expect_error(l.ranks[1], "rank 0 called send(count 2, int32)");
    cr_expect_lt(whorl_barrier(l.ranks[1], NULL), 0);
    local_close(&l);
}

/* ---- collectives ---------------------------------------------------------------------------- */

Test(batch, collectives_of_a_group_run_in_the_order_of_their_calls, .timeout = 60)
{
    enum { N = 30 };
    struct local l = local_open(3, 0);
    int64_t value[3];
    whorl_group_start();
    for (int r = 0; r < 3; r++) {
        value[r] = 1;
        for (int i = 0; i < N; i++) {
            /* In place: each works on what the one before has left. */
            whorl_all_reduce(&value[r], &value[r], 1, WHORL_INT64, WHORL_SUM, l.ranks[r], NULL);
            whorl_reduce(&value[r], &value[r], 1, WHORL_INT64, WHORL_MAX, i % 3, l.ranks[r], NULL);
            whorl_broadcast(&value[r], &value[r], 1, WHORL_INT64, (i + 1) % 3, l.ranks[r], NULL);
        }
    }
    cr_assert_eq(whorl_group_end(), WHORL_OK, "%s", whorl_last_error(NULL));
    int64_t want = 1;
    for (int i = 0; i < N; i++) {
        want *= 3;
    }
    for (int r = 0; r < 3; r++) {
        cr_expect_eq(value[r], want);
    }
    local_close(&l);
}

Test(batch, a_group_spans_communicators_and_kinds_of_calls, .timeout = 60)
{
    struct local a = local_open(2, 0), b = local_open(3, 0);
    int32_t in = 5, sum[3], sent = 9, got = 0;
    whorl_group_start();
    for (int r = 0; r < 3; r++) {
        whorl_barrier(b.ranks[r], NULL);
        whorl_all_reduce(&in, &sum[r], 1, WHORL_INT32, WHORL_SUM, b.ranks[r], NULL);
    }
    recv_int(&got, 0, 1, &a);
    for (int r = 0; r < 2; r++) {
        whorl_barrier(a.ranks[r], NULL);
    }
    send_int(&sent, 1, 0, &a);
    cr_assert_eq(whorl_group_end(), WHORL_OK, "%s", whorl_last_error(NULL));
    cr_expect_eq(got, 9);
    cr_expect_eq(sum[2], 15);
    local_close(&a);
    local_close(&b);
}

Test(batch, ranks_that_make_different_calls_are_all_told, .timeout = 60)
{
    struct local l = local_open(3, 0);
    int32_t in = 1, out[3];
    whorl_group_start();
    for (int r = 0; r < 3; r++) {
        whorl_all_reduce(&in, &out[r], r == 1 ? 0 : 1, WHORL_INT32, WHORL_SUM, l.ranks[r], NULL);
    }
    cr_expect_eq(whorl_group_end(), WHORL_E_MISMATCH);
    for (int r = 0; r < 3; r++) {
        cr_expect_lt(whorl_barrier(l.ranks[r], NULL), 0);
        local_expect_error(l.ranks[r], "all_reduce(count 0, int32, sum)");
        local_expect_error(l.ranks[r], "all_reduce(count 1, int32, sum)");
    }
    local_close(&l);
}

/* ---- streams -------------------------------------------------------------------------------- */

Test(batch, two_streams_take_turns_in_the_order_of_the_calls, .timeout = 60)
{
    enum { N = 50 };
    struct local l = local_open(2, 0);
    whorl_stream_t streams[2][2];
    int64_t value[2] = {1, 1};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(whorl_stream_create(&streams[i / 2][i % 2]), WHORL_OK);
    }
    for (int i = 0; i < N; i++) {
        for (int r = 0; r < 2; r++) {
            /* Rank 1 changes streams at other times than rank 0: only the order counts. */
            whorl_stream_t stream = streams[r][r == 0 ? i % 2 : i / 3 % 2];
            whorl_redop_t op = i % 2 == 0 ? WHORL_SUM : WHORL_AVG;
            cr_assert_eq(
                whorl_all_reduce(&value[r], &value[r], 1, WHORL_INT64, op, l.ranks[r], stream),
                WHORL_OK);
        }
    }
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(whorl_stream_synchronize(streams[i / 2][i % 2]), WHORL_OK);
    }
    cr_expect_eq(value[0], INT64_C(1) << (N / 2));
    cr_expect_eq(value[1], INT64_C(1) << (N / 2));
    for (int i = 0; i < 4; i++) {
        whorl_stream_destroy(streams[i / 2][i % 2]);
    }
    local_close(&l);
}

Test(batch, a_call_that_waits_comes_after_what_is_queued, .timeout = 60)
{
    struct local l = local_open(2, 0);
    whorl_stream_t streams[2];
    int32_t value[2] = {1, 1};
    for (int r = 0; r < 2; r++) {
        whorl_stream_create(&streams[r]);
        for (int i = 0; i < 20; i++) {
            whorl_all_reduce(&value[r], &value[r], 1, WHORL_INT32, WHORL_SUM, l.ranks[r],
                             streams[r]);
        }
    }
    whorl_group_start();
    whorl_barrier(l.ranks[0], NULL);
    whorl_barrier(l.ranks[1], NULL);
    cr_expect_eq(whorl_group_end(), WHORL_OK);
    cr_expect_eq(value[0], 1 << 20);
    cr_expect_eq(value[1], 1 << 20);
    whorl_stream_destroy(streams[0]);
    whorl_stream_destroy(streams[1]);
    local_close(&l);
}

/* The stream's thread may be in the last lines of a batch when its communicator goes. */
Test(batch, destroy_waits_for_streams, .timeout = 60)
{
    for (int round = 0; round < 15; round++) {
        struct local l = local_open(2, 0);
        whorl_stream_t streams[2];
        int32_t value[2] = {1, 1};
        for (int r = 0; r < 2; r++) {
            cr_assert_eq(whorl_stream_create(&streams[r]), WHORL_OK);
            whorl_all_reduce(&value[r], &value[r], 1, WHORL_INT32, WHORL_SUM, l.ranks[r],
                             streams[r]);
            whorl_barrier(l.ranks[r], streams[r]);
        }
        local_close(&l);
        cr_expect_eq(value[0], 2);
        cr_expect_eq(value[1], 2);
        for (int r = 0; r < 2; r++) {
            cr_expect_eq(whorl_stream_synchronize(streams[r]), WHORL_OK);
            whorl_stream_destroy(streams[r]);
        }
    }
}

Test(batch, an_error_in_a_stream_comes_out_of_synchronize_with_its_text, .timeout = 60)
{
    struct local l = local_open(2, 0);
    whorl_stream_t stream;
    whorl_stream_create(&stream);
    cr_expect_eq(whorl_barrier(l.ranks[0], stream), WHORL_OK);
    whorl_comm_abort(l.ranks[1]);
    cr_expect_eq(whorl_stream_synchronize(stream), WHORL_E_PEER);
    cr_expect_not_null(strstr(whorl_last_error(NULL), "rank 1 (host "));
    local_expect_error(l.ranks[0], "aborted the communicator");
    cr_expect_eq(whorl_stream_synchronize(stream), WHORL_OK);
    whorl_stream_destroy(stream);
    local_close(&l);
}

/* ---- deadlines ------------------------------------------------------------------------------ */

Test(batch, a_call_that_nobody_joins_times_out_and_says_what_it_waits_for, .timeout = 60)
{
    struct local l = local_open(2, 50);
    int32_t value = 0;
    cr_expect_eq(recv_int(&value, 0, 1, &l), WHORL_E_TIMEOUT);
    local_expect_error(l.ranks[0],
                       "rank 0: recv(count 1, int32), operation 1, did not finish within 50 ms");
    local_expect_error(l.ranks[0], "lane 0 step 1 of 1, pass 1 of 1 receives from rank 1");
    cr_expect_eq(whorl_barrier(l.ranks[0], NULL), WHORL_E_TIMEOUT);
    cr_expect_lt(whorl_barrier(l.ranks[1], NULL), 0);
    local_close(&l);
}

Test(batch, only_the_late_communicator_of_a_group_fails, .timeout = 60)
{
    struct local late = local_open(2, 50), patient = local_open(2, 0);
    int32_t value = 0, in = 3, out[2];
    whorl_group_start();
    recv_int(&value, 0, 1, &late);
    for (int r = 0; r < 2; r++) {
        whorl_all_reduce(&in, &out[r], 1, WHORL_INT32, WHORL_SUM, patient.ranks[r], NULL);
    }
    cr_expect_eq(whorl_group_end(), WHORL_E_TIMEOUT);
    cr_expect_eq(out[0], 6);
    local_expect_works(&patient);
    local_close(&late);
    local_close(&patient);
}

struct slow {
    struct wh_task task;
    struct timespec pause;
};

static whorl_result_t sleep_task(struct wh_task *task)
{
    nanosleep(&((struct slow *)task)->pause, NULL);
    return WHORL_OK;
}

/* What waits behind another stream's work has not begun, so its time does not run. */
Test(batch, a_call_that_waits_for_its_turn_is_not_late, .timeout = 60)
{
    struct local l = local_open(2, 300);
    whorl_stream_t slow_stream, other;
    struct slow slow = {.task = {.run = sleep_task}, .pause = {.tv_nsec = 800000000}};
    int32_t in = 1, out[2] = {0};
    cr_assert_eq(whorl_stream_create(&slow_stream), WHORL_OK);
    cr_assert_eq(whorl_stream_create(&other), WHORL_OK);
    wh_stream_submit(slow_stream, &slow.task);
    cr_expect_eq(send_int(&in, 1, 0, &l), WHORL_OK);
    cr_expect_eq(whorl_recv(&out[0], 1, WHORL_INT32, 1, l.ranks[0], slow_stream), WHORL_OK);
    cr_expect_eq(send_int(&in, 1, 0, &l), WHORL_OK);
    cr_expect_eq(whorl_recv(&out[1], 1, WHORL_INT32, 1, l.ranks[0], other), WHORL_OK);
    cr_expect_eq(whorl_stream_synchronize(other), WHORL_OK, "%s", whorl_last_error(NULL));
    cr_expect_eq(whorl_stream_synchronize(slow_stream), WHORL_OK);
    cr_expect_eq(out[0], 1);
    cr_expect_eq(out[1], 1);
    whorl_stream_destroy(slow_stream);
    whorl_stream_destroy(other);
    local_close(&l);
}
