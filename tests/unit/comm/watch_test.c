/* SPDX-License-Identifier: Apache-2.0 */
/* Watching: what a rank says of itself while it does this and that. */
#include "comm/watch.h"

#include "base/clock.h"
#include "local.h"

#include <pthread.h>
#include <sched.h>

static struct wh_status status_of(whorl_comm_t comm)
{
    struct wh_status status;
    wh_watch_status(comm, &status);
    return status;
}

Test(watch, a_rank_is_idle_then_inside_then_outside, .timeout = 60)
{
    struct local l = local_open(2, 0);
    cr_expect_eq(status_of(l.ranks[0]).state, WH_STATUS_IDLE);
    cr_expect_eq(status_of(l.ranks[0]).ncolls, 0);
    local_expect_works(&l);
    struct wh_status s = status_of(l.ranks[1]);
    cr_expect_eq(s.state, WH_STATUS_OUTSIDE);
    cr_expect_eq(s.op.coll, WH_COLL_ALL_REDUCE);
    cr_expect_eq(s.op.seq, 1);
    cr_expect_eq(s.ncolls, 1);
    cr_expect_str_eq(s.algo, "arena");
    cr_expect_eq(s.failure, WHORL_OK);
    whorl_comm_abort(l.ranks[1]);
    cr_expect_eq(status_of(l.ranks[1]).failure, WHORL_E_ABORTED);
    local_close(&l);
}

static void *call_barrier(void *comm)
{
    cr_expect_eq(whorl_barrier(comm, NULL), WHORL_OK);
    return NULL;
}

/* Reads the status from this thread while another one waits. */
Test(watch, a_waiting_rank_says_for_whom_after_a_second, .timeout = 60)
{
    struct local l = local_open(2, 0);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, call_barrier, l.ranks[0]), 0);
    struct wh_status s = status_of(l.ranks[0]);
    while (s.where[0] == '\0') {
        sched_yield();
        s = status_of(l.ranks[0]);
    }
    cr_expect_eq(s.state, WH_STATUS_INSIDE);
    cr_expect_eq(s.op.coll, WH_COLL_BARRIER);
    cr_expect_geq(s.for_ms, 900);
    cr_expect_str_eq(s.where, "waits for rank 1, which has not made this call");

    uint8_t bytes[WH_STATUS_NBYTES];
    struct wh_status told;
    wh_watch_on_status(l.ranks[0], bytes);
    wh_status_decode(bytes, &told);
    cr_expect_eq(told.state, WH_STATUS_INSIDE);
    cr_expect_eq(told.op.seq, s.op.seq);
    cr_expect_eq(told.reports_ms, WH_STATUS_NO_REPORT);

    cr_expect_eq(whorl_barrier(l.ranks[1], NULL), WHORL_OK);
    pthread_join(thread, NULL);
    s = status_of(l.ranks[0]);
    cr_expect_eq(s.state, WH_STATUS_OUTSIDE);
    cr_expect_str_eq(s.where, "");
    local_close(&l);
}

Test(watch, messages_and_calls_in_streams_are_recorded_too, .timeout = 60)
{
    struct local l = local_open(1, 0);
    whorl_stream_t stream;
    int32_t value = 1, got = 0;
    cr_assert_eq(whorl_stream_create(&stream), WHORL_OK);
    cr_expect_eq(whorl_all_reduce(&value, &got, 1, WHORL_INT32, WHORL_MAX, l.ranks[0], stream),
                 WHORL_OK);
    cr_expect_eq(whorl_stream_synchronize(stream), WHORL_OK);
    const struct wh_recorder *recorder = wh_watch_recorder(l.ranks[0]);
    struct wh_record record;
    cr_assert(wh_recorder_read(recorder, wh_recorder_last(recorder), &record));
    cr_expect_eq(record.start.coll, WH_COLL_ALL_REDUCE);
    cr_expect_eq(record.start.redop, WHORL_MAX);
    cr_expect_eq(record.state, WH_RECORD_ENDED);
    cr_expect_gt(record.ended_ns, 0);
    cr_expect_leq(record.start.submitted_ns, record.start.started_ns);
    cr_expect_leq(record.start.started_ns, record.ended_ns);
    cr_expect_leq(record.ended_ns, wh_now_ns());
    whorl_stream_destroy(stream);
    local_close(&l);
}

Test(watch, large_calls_get_precise_times_and_failed_ones_their_result, .timeout = 60)
{
    static uint8_t big[1 << 20];
    struct local l = local_open(2, 200);
    const struct wh_recorder *recorder = wh_watch_recorder(l.ranks[0]);
    struct wh_record record;
    cr_expect_eq(whorl_broadcast(big, big, sizeof(big), WHORL_UINT8, 1, l.ranks[0], NULL),
                 WHORL_E_TIMEOUT);
    cr_assert(wh_recorder_read(recorder, wh_recorder_last(recorder), &record));
    cr_expect(wh_watch_is_precise(&record));
    cr_expect_eq(record.start.root, 1);
    cr_expect_eq(record.result, WHORL_E_TIMEOUT);
    cr_expect_geq(record.ended_ns - record.start.started_ns, 100000000u);
    local_close(&l);
}

/* The deadline is short, so the stall is noticed at half of it; the error knows what was found. */
Test(watch, what_a_report_found_out_is_in_the_error, .timeout = 60)
{
    struct local l = local_open(3, 1500);
    cr_expect_eq(whorl_barrier(l.ranks[0], NULL), WHORL_E_TIMEOUT);
    local_expect_error(l.ranks[0], "; rank 1 (host ");
    local_expect_error(l.ranks[0], ", rank 2 (host ");
    local_expect_error(l.ranks[0], "have not entered it");
    char text[64];
    cr_expect_str_eq(wh_watch_finding(l.ranks[0], 999, text, sizeof(text)), "");
    local_close(&l);
}
