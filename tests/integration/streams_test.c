/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: operations run in order beside the caller, and errors come out at synchronize and in
 * callbacks. Many streams and communicators at once are in streams_order_test.c. */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static void queue_all_kinds(struct rank *rank)
{
    enum { NRUNS = 3 * CASE_KINDS };
    struct case_run *runs[NRUNS];
    whorl_stream_t stream;
    RANK_OK(rank, whorl_stream_create(&stream));
    RANK_OK(rank, whorl_stream_query(stream));
    for (int i = 0; i < NRUNS; i++) {
        struct coll_case c = {
            .kind = (enum case_kind)(i % CASE_KINDS),
            .count = (size_t)(1 + 33333 * (i % 4)),
            .dtype = (whorl_dtype_t)(i % WHORL_DTYPE_COUNT),
            .op = i % (VALUES_PREMUL + 1),
            .root = i % rank->nranks,
            .in_place = i % 2 == 0,
            .seed = (uint64_t)i,
        };
        runs[i] = case_begin(rank, rank->comm, &c);
        RANK_OK(rank, case_call(runs[i], stream));
    }
    rank_at(rank, "synchronizes");
    RANK_OK(rank, whorl_stream_synchronize(stream));
    RANK_OK(rank, whorl_stream_query(stream));
    for (int i = 0; i < NRUNS; i++) {
        case_end(runs[i]);
    }
    RANK_OK(rank, whorl_stream_destroy(stream));
}

Test(streams, run_every_collective)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = queue_all_kinds});
    ranks_run(&(struct ranks_job){.nthreads = 3, .run = queue_all_kinds});
    ranks_run(&(struct ranks_job){.run = queue_all_kinds});
}

/* x -> n * x, then x -> x of rank 0 ... : only the right order gives the right number. */
static void queue_in_order(struct rank *rank)
{
    int64_t x = rank->rank + 1;
    uint64_t want = 0;
    whorl_stream_t stream;
    RANK_OK(rank, whorl_stream_create(&stream));
    for (int i = 0; i < 15; i++) {
        RANK_OK(rank,
                whorl_broadcast(&x, &x, 1, WHORL_INT64, i % rank->nranks, rank->comm, stream));
        RANK_OK(rank, whorl_all_reduce(&x, &x, 1, WHORL_INT64, WHORL_SUM, rank->comm, stream));
        want = (i == 0 ? 1 : want) * (uint64_t)rank->nranks;
    }
    RANK_OK(rank, whorl_stream_synchronize(stream));
    RANK_CHECK(rank, (uint64_t)x == want, "%lld", (long long)x);
    RANK_OK(rank, whorl_stream_destroy(stream));
}

Test(streams, run_their_operations_in_order)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = queue_in_order});
}

static void wait_for_a_late_rank(struct rank *rank)
{
    int32_t value = 1;
    whorl_stream_t stream;
    RANK_OK(rank, whorl_stream_create(&stream));
    if (rank->rank == 0) {
        RANK_OK(rank,
                whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, stream));
        RANK_EXPECT(rank, WHORL_IN_PROGRESS, whorl_stream_query(stream));
        atomic_store(rank_cell(rank, 0), 1);
    } else {
        rank_wait_cell(rank, 0, 1);
        RANK_OK(rank,
                whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, stream));
    }
    RANK_OK(rank, whorl_stream_synchronize(stream));
    RANK_OK(rank, whorl_stream_query(stream));
    RANK_CHECK(rank, value == rank->nranks, "%d", value);
    RANK_OK(rank, whorl_stream_destroy(stream));
}

Test(streams, are_in_progress_until_the_last_rank_has_called)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = wait_for_a_late_rank});
    ranks_run(&(struct ranks_job){.nthreads = 2, .run = wait_for_a_late_rank});
}

/* Calls go to two streams in turn, and some have none: all run in the order of the calls. */
static void use_two_streams(struct rank *rank)
{
    whorl_stream_t streams[3] = {NULL, NULL, NULL};
    RANK_OK(rank, whorl_stream_create(&streams[0]));
    RANK_OK(rank, whorl_stream_create(&streams[1]));
    int64_t x = 1;
    uint64_t want = 1;
    for (int i = 0; i < 30; i++) {
        whorl_stream_t stream = streams[(i * 7 + i / 5) % 3];
        RANK_OK(rank, whorl_all_reduce(&x, &x, 1, WHORL_INT64, WHORL_SUM, rank->comm, stream));
        want *= (uint64_t)rank->nranks;
    }
    RANK_OK(rank, whorl_stream_synchronize(streams[0]));
    RANK_OK(rank, whorl_stream_synchronize(streams[1]));
    RANK_CHECK(rank, (uint64_t)x == want, "%lld is not %llu", (long long)x,
               (unsigned long long)want);
    RANK_OK(rank, whorl_stream_destroy(streams[0]));
    RANK_OK(rank, whorl_stream_destroy(streams[1]));
}

Test(streams, of_one_communicator_keep_the_order_of_calls_among_them)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = use_two_streams});
    ranks_run(&(struct ranks_job){.nthreads = 2, .run = use_two_streams});
}

static void group_on_streams(struct rank *rank)
{
    whorl_stream_t streams[2];
    struct case_run *runs[8];
    RANK_OK(rank, whorl_stream_create(&streams[0]));
    RANK_OK(rank, whorl_stream_create(&streams[1]));
    RANK_OK(rank, whorl_group_start());
    for (int i = 0; i < 8; i++) {
        struct coll_case c = {.kind = i % 2 == 0 ? CASE_ALL_REDUCE : CASE_SENDRECV,
                              .count = 100000,
                              .dtype = WHORL_FLOAT32,
                              .op = WHORL_SUM,
                              .root = 1,
                              .seed = (uint64_t)i};
        runs[i] = case_begin(rank, rank->comm, &c);
        RANK_OK(rank, case_call(runs[i], streams[i / 2 % 2]));
    }
    RANK_OK(rank, whorl_group_end());
    RANK_OK(rank, whorl_stream_synchronize(streams[0]));
    RANK_OK(rank, whorl_stream_synchronize(streams[1]));
    for (int i = 0; i < 8; i++) {
        case_end(runs[i]);
    }
    RANK_OK(rank, whorl_stream_destroy(streams[0]));
    RANK_OK(rank, whorl_stream_destroy(streams[1]));
}

Test(streams, take_the_calls_of_a_group)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = group_on_streams});
}

static void fail_in_stream(struct rank *rank)
{
    int32_t value = 1;
    whorl_stream_t stream;
    RANK_OK(rank, whorl_stream_create(&stream));
    RANK_OK(rank, whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, stream));
    RANK_OK(rank, whorl_stream_synchronize(stream));
    rank_meet(rank);
    if (rank->rank == 0) {
        RANK_OK(rank,
                whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, stream));
        RANK_OK(rank, whorl_comm_abort(rank->comm));
        RANK_EXPECT(rank, WHORL_E_ABORTED, whorl_stream_synchronize(stream));
        RANK_OK(rank, whorl_stream_synchronize(stream)); /* the error was cleared */
        whorl_result_t error;
        RANK_OK(rank, whorl_comm_async_error(rank->comm, &error));
        RANK_CHECK(rank, error == WHORL_E_ABORTED, "%d", error);
        RANK_TEXT(rank, whorl_last_error(rank->comm), "aborted");
    }
    rank_meet(rank); /* rank 1 must not leave before: that would be the first error */
    RANK_OK(rank, whorl_stream_destroy(stream));
}

Test(streams, give_the_error_of_an_operation_at_synchronize_once)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = fail_in_stream});
}

static void destroy_with_work_queued(struct rank *rank)
{
    enum { NCALLS = 10 };
    static const size_t count = 100000;
    whorl_stream_t stream;
    struct case_run *runs[NCALLS];
    RANK_OK(rank, whorl_stream_create(&stream));
    for (int i = 0; i < NCALLS; i++) {
        struct coll_case c = {
            .kind = CASE_ALL_REDUCE, .count = count, .dtype = WHORL_INT32, .seed = (uint64_t)i};
        runs[i] = case_begin(rank, rank->comm, &c);
        RANK_OK(rank, case_call(runs[i], stream));
    }
    RANK_OK(rank, whorl_stream_destroy(stream)); /* runs what is queued */
    for (int i = 0; i < NCALLS; i++) {
        case_end(runs[i]);
    }
}

Test(streams, run_what_is_queued_before_they_are_destroyed)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = destroy_with_work_queued});
}

static void destroy_comm_with_work_queued(struct rank *rank)
{
    whorl_stream_t stream;
    RANK_OK(rank, whorl_stream_create(&stream));
    int64_t x = 1;
    for (int i = 0; i < 20; i++) {
        RANK_OK(rank, whorl_all_reduce(&x, &x, 1, WHORL_INT64, WHORL_SUM, rank->comm, stream));
    }
    RANK_OK(rank, whorl_comm_destroy(rank->comm));
    rank->comm = NULL;
    RANK_OK(rank, whorl_stream_synchronize(stream));
    RANK_CHECK(rank, x == 1 << 20, "%lld", (long long)x);
    RANK_OK(rank, whorl_stream_destroy(stream));
}

Test(streams, have_run_the_calls_of_a_communicator_when_it_is_destroyed)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = destroy_comm_with_work_queued});
    ranks_run(&(struct ranks_job){.nthreads = 2, .run = destroy_comm_with_work_queued});
}

/* ---- callbacks and events ---- */

struct results {
    int n;
    whorl_result_t rcs[4];
    char text[512]; /* of the last failure */
};

static void note_result(whorl_result_t rc, void *ctx)
{
    struct results *results = ctx;
    results->rcs[results->n++] = rc;
    if (rc != WHORL_OK) {
        snprintf(results->text, sizeof(results->text), "%s", whorl_last_error(NULL));
    }
}

static void fail_before_a_callback(struct rank *rank)
{
    int32_t value = 1;
    struct results results = {0};
    whorl_stream_t stream;
    RANK_OK(rank, whorl_stream_create(&stream));
    RANK_OK(rank, whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, stream));
    RANK_OK(rank, whorl_stream_callback(stream, note_result, &results));
    RANK_OK(rank, whorl_stream_synchronize(stream));
    RANK_CHECK(rank, results.n == 1 && results.rcs[0] == WHORL_OK, "%d", results.rcs[0]);
    rank_meet(rank);
    if (rank->rank == 0) {
        RANK_OK(rank,
                whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, stream));
        RANK_OK(rank, whorl_stream_callback(stream, note_result, &results));
        RANK_OK(rank, whorl_stream_callback(stream, note_result, &results));
        RANK_OK(rank, whorl_comm_abort(rank->comm));
        RANK_EXPECT(rank, WHORL_E_ABORTED, whorl_stream_synchronize(stream));
        RANK_CHECK(rank, results.rcs[1] == WHORL_E_ABORTED, "%d", results.rcs[1]);
        RANK_CHECK(rank, results.rcs[2] == WHORL_OK, "the second: %d", results.rcs[2]);
        RANK_TEXT(rank, results.text, "aborted");
    }
    rank_meet(rank);
    RANK_OK(rank, whorl_stream_destroy(stream));
}

Test(streams, tell_a_callback_the_result_of_what_came_before_it)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = fail_before_a_callback});
}

struct self_waiter {
    whorl_stream_t stream;
    whorl_event_t event;
    whorl_result_t destroy, synchronize, wait;
};

static void wait_for_self(whorl_result_t rc, void *ctx)
{
    struct self_waiter *w = ctx;
    (void)rc;
    w->destroy = whorl_stream_destroy(w->stream);
    w->synchronize = whorl_stream_synchronize(w->stream);
    w->wait = whorl_event_record(w->event, w->stream);
    w->wait = w->wait == WHORL_OK ? whorl_event_synchronize(w->event) : WHORL_OK;
}

static void misuse(struct rank *rank)
{
    struct self_waiter w = {0};
    RANK_OK(rank, whorl_stream_create(&w.stream));
    RANK_OK(rank, whorl_event_create(&w.event));
    RANK_OK(rank, whorl_stream_callback(w.stream, wait_for_self, &w));
    RANK_OK(rank, whorl_stream_synchronize(w.stream));
    RANK_EXPECT(rank, WHORL_E_USAGE, w.destroy);
    RANK_EXPECT(rank, WHORL_E_USAGE, w.synchronize);
    RANK_EXPECT(rank, WHORL_E_USAGE, w.wait);

    RANK_EXPECT(rank, WHORL_E_ARG, whorl_stream_callback(NULL, wait_for_self, &w));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_stream_callback(w.stream, NULL, &w));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_event_create(NULL));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_event_record(NULL, w.stream));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_event_record(w.event, NULL));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_stream_wait_event(NULL, w.event));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_stream_wait_event(w.stream, NULL));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_event_query(NULL));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_event_synchronize(NULL));
    RANK_TEXT(rank, whorl_last_error(NULL), "whorl_event_synchronize: event is NULL");
    RANK_OK(rank, whorl_event_destroy(NULL));

    /* Inside a group they would come before what the group has collected. */
    RANK_OK(rank, whorl_group_start());
    RANK_EXPECT(rank, WHORL_E_USAGE, whorl_event_record(w.event, w.stream));
    RANK_EXPECT(rank, WHORL_E_USAGE, whorl_group_end());
    RANK_OK(rank, whorl_group_start());
    RANK_EXPECT(rank, WHORL_E_USAGE, whorl_stream_callback(w.stream, wait_for_self, &w));
    RANK_EXPECT(rank, WHORL_E_USAGE, whorl_stream_wait_event(w.stream, w.event));
    RANK_EXPECT(rank, WHORL_E_USAGE, whorl_group_end());
    RANK_OK(rank, whorl_event_destroy(w.event));
    RANK_OK(rank, whorl_stream_destroy(w.stream));
}

Test(streams, refuse_what_would_wait_for_itself_or_come_too_early)
{
    ranks_run(&(struct ranks_job){.run = misuse});
}

struct layer {
    int64_t *x;
    int64_t add;
};

static void compute_layer(whorl_result_t rc, void *ctx)
{
    struct layer *layer = ctx;
    *layer->x = rc == WHORL_OK ? *layer->x + layer->add : -1;
}

/* A number goes from computation to communication and back, ordered by events alone. */
static void compute_and_reduce(struct rank *rank)
{
    enum { NROUNDS = 12 };
    int64_t x = 0, want = 0;
    struct layer layers[NROUNDS];
    whorl_stream_t compute, reduce;
    whorl_event_t computed, reduced;
    RANK_OK(rank, whorl_stream_create(&compute));
    RANK_OK(rank, whorl_stream_create(&reduce));
    RANK_OK(rank, whorl_event_create(&computed));
    RANK_OK(rank, whorl_event_create(&reduced));
    for (int i = 0; i < NROUNDS; i++) {
        layers[i] = (struct layer){&x, i + rank->rank};
        RANK_OK(rank, whorl_stream_callback(compute, compute_layer, &layers[i]));
        RANK_OK(rank, whorl_event_record(computed, compute));
        RANK_OK(rank, whorl_stream_wait_event(reduce, computed));
        RANK_OK(rank, whorl_all_reduce(&x, &x, 1, WHORL_INT64, WHORL_SUM, rank->comm, reduce));
        RANK_OK(rank, whorl_event_record(reduced, reduce));
        RANK_OK(rank, whorl_stream_wait_event(compute, reduced));
        want = rank->nranks * (want + i) + rank->nranks * (rank->nranks - 1) / 2;
    }
    RANK_OK(rank, whorl_event_synchronize(reduced));
    RANK_OK(rank, whorl_event_query(reduced));
    RANK_CHECK(rank, x == want, "%lld is not %lld", (long long)x, (long long)want);
    RANK_OK(rank, whorl_event_destroy(computed));
    RANK_OK(rank, whorl_event_destroy(reduced));
    RANK_OK(rank, whorl_stream_destroy(compute));
    RANK_OK(rank, whorl_stream_destroy(reduce));
}

Test(streams, are_ordered_by_events_without_a_wait_of_the_caller)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = compute_and_reduce});
    ranks_run(&(struct ranks_job){.nthreads = 3, .run = compute_and_reduce});
}

static void wait_for_what_expires(struct rank *rank)
{
    int32_t value = 1;
    whorl_stream_t calls, waits;
    whorl_event_t event;
    if (rank->rank == 0) {
        RANK_OK(rank, whorl_stream_create(&calls));
        RANK_OK(rank, whorl_stream_create(&waits));
        RANK_OK(rank, whorl_event_create(&event));
        RANK_OK(rank,
                whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, calls));
        RANK_OK(rank, whorl_event_record(event, calls));
        RANK_OK(rank, whorl_stream_wait_event(waits, event));
        rank_at(rank, "waits for an event behind a call that expires");
        RANK_EXPECT(rank, WHORL_E_TIMEOUT, whorl_stream_synchronize(waits));
        RANK_TEXT(rank, whorl_last_error(NULL), "did not finish");
        RANK_EXPECT(rank, WHORL_E_TIMEOUT, whorl_event_synchronize(event));
        RANK_OK(rank, whorl_event_destroy(event));
        RANK_OK(rank, whorl_stream_destroy(waits));
        RANK_OK(rank, whorl_stream_destroy(calls));
    }
    rank_meet(rank); /* rank 1 never makes the call */
}

Test(streams, that_wait_for_an_event_go_on_when_the_work_before_it_expires)
{
    whorl_options_t options = WHORL_OPTIONS_INIT;
    options.timeout_ms = 300;
    ranks_run(
        &(struct ranks_job){.nprocesses = 2, .run = wait_for_what_expires, .options = options});
}
