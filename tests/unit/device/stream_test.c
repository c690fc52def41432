/* SPDX-License-Identifier: Apache-2.0 */
/* Streams and events: in order, errors kept until somebody asks, and nothing lost at the end. */
#include "base/log.h"
#include "device/stream.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What tasks write: their numbers, in the order in which they ran. */
struct journal {
    _Atomic int n;
    int numbers[4096];
};

struct entry {
    struct wh_task task;
    struct journal *journal;
    int number;
    whorl_result_t rc;
};

static whorl_result_t write_entry(struct wh_task *task)
{
    struct entry *entry = (struct entry *)task;
    whorl_result_t rc = entry->rc;
    int n = atomic_load(&entry->journal->n);
    entry->journal->numbers[n] = entry->number;
    atomic_store(&entry->journal->n, n + 1);
    if (rc != WHORL_OK) {
        char text[32];
        snprintf(text, sizeof(text), "entry %d failed", entry->number);
        wh_error_set(text);
    }
    free(entry);
    return rc;
}

static void submit(struct whorl_stream *stream, struct journal *journal, int number,
                   whorl_result_t rc)
{
    struct entry *entry = malloc(sizeof(*entry));
    *entry = (struct entry){
        .task = {.run = write_entry}, .journal = journal, .number = number, .rc = rc};
    wh_stream_submit(stream, &entry->task);
}

/* A task that waits until it may go on. */
struct gate {
    struct wh_task task;
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool open;
};

static whorl_result_t pass_gate(struct wh_task *task)
{
    struct gate *gate = (struct gate *)task;
    pthread_mutex_lock(&gate->lock);
    while (!gate->open) {
        pthread_cond_wait(&gate->opened, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
    return WHORL_OK;
}

static void open_gate(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_signal(&gate->opened);
    pthread_mutex_unlock(&gate->lock);
}

static const struct gate closed_gate = {
    .task = {.run = pass_gate},
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .opened = PTHREAD_COND_INITIALIZER,
};

static struct whorl_stream *create(void)
{
    struct whorl_stream *stream = NULL;
    cr_assert_eq(wh_stream_create(&stream), WHORL_OK);
    return stream;
}

Test(stream, tasks_run_once_and_in_order)
{
    static struct journal journal;
    struct whorl_stream *stream = create();
    for (int i = 0; i < 3000; i++) {
        submit(stream, &journal, i, WHORL_OK);
    }
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_OK);
    cr_assert_eq(atomic_load(&journal.n), 3000);
    for (int i = 0; i < 3000; i++) {
        cr_assert_eq(journal.numbers[i], i);
    }
    wh_stream_destroy(stream);
}

Test(stream, query_says_in_progress_until_the_last_task_is_over)
{
    static struct journal journal;
    struct gate gate = closed_gate;
    struct whorl_stream *stream = create();
    cr_expect_eq(wh_stream_query(stream), WHORL_OK);
    wh_stream_submit(stream, &gate.task);
    submit(stream, &journal, 1, WHORL_OK);
    cr_expect_eq(wh_stream_query(stream), WHORL_IN_PROGRESS);
    cr_expect_eq(atomic_load(&journal.n), 0);
    open_gate(&gate);
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_OK);
    cr_expect_eq(wh_stream_query(stream), WHORL_OK);
    cr_expect_eq(atomic_load(&journal.n), 1);
    wh_stream_destroy(stream);
}

Test(stream, the_first_error_stays_until_synchronize_takes_it)
{
    static struct journal journal;
    struct whorl_stream *stream = create();
    submit(stream, &journal, 1, WHORL_OK);
    submit(stream, &journal, 2, WHORL_E_PEER);
    submit(stream, &journal, 3, WHORL_E_TIMEOUT);
    submit(stream, &journal, 4, WHORL_OK);
    while (wh_stream_query(stream) == WHORL_IN_PROGRESS) {
    }
    cr_expect_eq(wh_stream_query(stream), WHORL_E_PEER);
    cr_expect_eq(wh_stream_query(stream), WHORL_E_PEER);
    wh_error_clear();
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_E_PEER);
    cr_expect_str_eq(wh_error_get(), "entry 2 failed");
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_OK);
    cr_expect_eq(wh_stream_query(stream), WHORL_OK);
    cr_expect_eq(atomic_load(&journal.n), 4, "an error stops nothing");

    submit(stream, &journal, 5, WHORL_E_SYS);
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_E_SYS);
    cr_expect_str_eq(wh_error_get(), "entry 5 failed");
    submit(stream, &journal, 6, WHORL_E_SYS);
    wh_stream_destroy(stream);
}

Test(stream, destroy_runs_what_is_queued)
{
    static struct journal journal;
    struct gate gate = closed_gate;
    struct whorl_stream *stream = create();
    wh_stream_submit(stream, &gate.task);
    for (int i = 0; i < 100; i++) {
        submit(stream, &journal, i, WHORL_OK);
    }
    open_gate(&gate);
    wh_stream_destroy(stream);
    cr_expect_eq(atomic_load(&journal.n), 100);
}

Test(stream, destroy_takes_null)
{
    wh_stream_destroy(NULL);
}

struct submitter {
    struct whorl_stream *stream;
    struct journal *journal;
    int base;
};

static void *submit_many(void *arg)
{
    struct submitter *s = arg;
    for (int i = 0; i < 500; i++) {
        submit(s->stream, s->journal, s->base + i, WHORL_OK);
    }
    return NULL;
}

Test(stream, threads_that_submit_side_by_side_lose_nothing)
{
    static struct journal journal;
    struct whorl_stream *stream = create();
    struct submitter submitters[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        submitters[i] = (struct submitter){stream, &journal, i * 1000};
        cr_assert_eq(pthread_create(&threads[i], NULL, submit_many, &submitters[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_OK);
    cr_assert_eq(atomic_load(&journal.n), 2000);
    int next[4] = {0, 1000, 2000, 3000};
    for (int i = 0; i < 2000; i++) {
        int *expected = &next[journal.numbers[i] / 1000];
        cr_assert_eq(journal.numbers[i], *expected, "each thread's own order stays");
        ++*expected;
    }
    wh_stream_destroy(stream);
}

struct probe {
    struct wh_task task;
    sigset_t blocked;
};

static whorl_result_t read_mask(struct wh_task *task)
{
    pthread_sigmask(SIG_SETMASK, NULL, &((struct probe *)task)->blocked);
    return WHORL_OK;
}

Test(stream, its_thread_takes_no_signal_of_the_application)
{
    struct probe probe = {.task = {.run = read_mask}};
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    struct whorl_stream *stream = create();
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    cr_expect_eq(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
    wh_stream_submit(stream, &probe.task);
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_OK);
    static const int signals[] = {SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGALRM};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        cr_expect_eq(sigismember(&probe.blocked, signals[i]), 1, "signal %d", signals[i]);
    }
    wh_stream_destroy(stream);
}

/* ---- callbacks ---- */

/* What callbacks were told. */
struct told {
    int n;
    whorl_result_t rcs[8];
    char texts[8][64];
    pthread_t threads[8];
};

static void tell(whorl_result_t rc, void *ctx)
{
    struct told *told = ctx;
    told->rcs[told->n] = rc;
    told->threads[told->n] = pthread_self();
    snprintf(told->texts[told->n++], sizeof(told->texts[0]), "%s", wh_error_get());
}

Test(stream, a_callback_is_told_the_first_error_since_the_one_before)
{
    static struct journal journal;
    struct told told = {0};
    struct whorl_stream *stream = create();
    cr_assert_eq(wh_stream_callback(stream, tell, &told), WHORL_OK);
    submit(stream, &journal, 1, WHORL_OK);
    submit(stream, &journal, 2, WHORL_E_PEER);
    submit(stream, &journal, 3, WHORL_E_TIMEOUT);
    cr_assert_eq(wh_stream_callback(stream, tell, &told), WHORL_OK);
    submit(stream, &journal, 4, WHORL_OK);
    cr_assert_eq(wh_stream_callback(stream, tell, &told), WHORL_OK);
    submit(stream, &journal, 5, WHORL_E_SYS);
    cr_assert_eq(wh_stream_callback(stream, tell, &told), WHORL_OK);
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_E_PEER, "callbacks leave it its own");
    static const whorl_result_t want[] = {WHORL_OK, WHORL_E_PEER, WHORL_OK, WHORL_E_SYS};
    cr_assert_eq(told.n, 4);
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(told.rcs[i], want[i], "callback %d was told %d", i, told.rcs[i]);
    }
    cr_expect_str_eq(told.texts[1], "entry 2 failed");
    cr_expect_str_eq(told.texts[3], "entry 5 failed");
    wh_stream_destroy(stream);
}

Test(stream, synchronize_takes_no_error_from_a_callback)
{
    static struct journal journal;
    struct told told = {0};
    struct whorl_stream *stream = create();
    submit(stream, &journal, 1, WHORL_E_PEER);
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_E_PEER);
    cr_assert_eq(wh_stream_callback(stream, tell, &told), WHORL_OK);
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_OK);
    cr_expect_eq(told.rcs[0], WHORL_E_PEER);
    wh_stream_destroy(stream);
}

Test(stream, callbacks_run_in_the_streams_thread_also_while_it_is_destroyed)
{
    struct told told = {0};
    struct gate gate = closed_gate;
    struct whorl_stream *stream = create();
    cr_assert_eq(wh_stream_callback(stream, tell, &told), WHORL_OK);
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_OK);
    wh_stream_submit(stream, &gate.task);
    cr_assert_eq(wh_stream_callback(stream, tell, &told), WHORL_OK);
    open_gate(&gate);
    wh_stream_destroy(stream);
    cr_assert_eq(told.n, 2);
    cr_expect(!pthread_equal(told.threads[0], pthread_self()));
    cr_expect(pthread_equal(told.threads[0], told.threads[1]));
}

/* A callback that does what it must not, and what it may. */
struct meddler {
    struct whorl_stream *stream;
    struct whorl_event *before, *after;
    struct journal *journal;
    int nleft;
    whorl_result_t synchronize, query, event_before, event_after;
};

static void meddle(whorl_result_t rc, void *ctx)
{
    struct meddler *m = ctx;
    (void)rc;
    m->query = wh_stream_query(m->stream);
    m->synchronize = wh_stream_synchronize(m->stream);
    m->event_before = wh_event_synchronize(m->before);
    wh_event_record(m->after, m->stream);
    m->event_after = wh_event_synchronize(m->after);
}

static struct whorl_event *create_event(void)
{
    struct whorl_event *event = NULL;
    cr_assert_eq(wh_event_create(&event), WHORL_OK);
    return event;
}

Test(stream, a_callback_that_would_wait_for_itself_is_refused)
{
    struct meddler m = {.stream = create(), .before = create_event(), .after = create_event()};
    wh_event_record(m.before, m.stream);
    cr_assert_eq(wh_stream_callback(m.stream, meddle, &m), WHORL_OK);
    cr_expect_eq(wh_stream_synchronize(m.stream), WHORL_OK);
    cr_expect_eq(m.query, WHORL_IN_PROGRESS);
    cr_expect_eq(m.synchronize, WHORL_E_USAGE);
    cr_expect_eq(m.event_before, WHORL_OK, "what is reached can be waited for anywhere");
    cr_expect_eq(m.event_after, WHORL_E_USAGE);
    cr_expect_eq(wh_event_synchronize(m.after), WHORL_OK);
    wh_event_destroy(m.before);
    wh_event_destroy(m.after);
    wh_stream_destroy(m.stream);
}

static void queue_more(whorl_result_t rc, void *ctx)
{
    struct meddler *m = ctx;
    submit(m->stream, m->journal, m->nleft, rc);
    if (m->nleft-- > 0) {
        m->query = wh_stream_callback(m->stream, queue_more, m);
    }
}

Test(stream, a_callback_may_queue_work_also_while_its_stream_is_destroyed)
{
    static struct journal journal;
    struct meddler m = {.stream = create(), .journal = &journal, .nleft = 99};
    cr_assert_eq(wh_stream_callback(m.stream, queue_more, &m), WHORL_OK);
    wh_stream_destroy(m.stream);
    cr_expect_eq(atomic_load(&journal.n), 100);
}

/* ---- events ---- */

Test(event, one_that_was_never_recorded_keeps_nobody_waiting)
{
    struct whorl_stream *stream = create();
    struct whorl_event *event = create_event();
    cr_expect_eq(wh_event_query(event), WHORL_OK);
    cr_expect_eq(wh_event_synchronize(event), WHORL_OK);
    cr_expect_eq(wh_stream_wait_event(stream, event), WHORL_OK);
    cr_expect_eq(wh_stream_query(stream), WHORL_OK);
    wh_event_destroy(event);
    wh_event_destroy(NULL);
    wh_stream_destroy(stream);
}

Test(event, is_reached_when_all_before_it_has_run_and_not_what_is_behind)
{
    struct gate before = closed_gate, behind = closed_gate;
    struct whorl_stream *stream = create();
    struct whorl_event *event = create_event();
    wh_stream_submit(stream, &before.task);
    wh_event_record(event, stream);
    wh_stream_submit(stream, &behind.task);
    cr_expect_eq(wh_event_query(event), WHORL_IN_PROGRESS);
    open_gate(&before);
    cr_expect_eq(wh_event_synchronize(event), WHORL_OK);
    cr_expect_eq(wh_event_query(event), WHORL_OK);
    cr_expect_eq(wh_stream_query(stream), WHORL_IN_PROGRESS);
    open_gate(&behind);
    wh_event_destroy(event);
    wh_stream_destroy(stream);
}

Test(event, a_stream_waits_for_where_the_event_was_then)
{
    static struct journal journal;
    struct gate first = closed_gate, second = closed_gate;
    struct whorl_stream *a = create(), *b = create(), *c = create();
    struct whorl_event *event = create_event();
    wh_stream_submit(a, &first.task);
    submit(a, &journal, 1, WHORL_OK);
    wh_event_record(event, a);
    cr_expect_eq(wh_stream_wait_event(b, event), WHORL_OK);
    submit(b, &journal, 2, WHORL_OK);
    wh_stream_submit(c, &second.task);
    wh_event_record(event, c); /* b does not wait for this */
    cr_expect_eq(wh_stream_query(b), WHORL_IN_PROGRESS);
    open_gate(&first);
    cr_expect_eq(wh_stream_synchronize(b), WHORL_OK);
    cr_assert_eq(atomic_load(&journal.n), 2);
    cr_expect_eq(journal.numbers[0], 1);
    cr_expect_eq(journal.numbers[1], 2);
    cr_expect_eq(wh_event_query(event), WHORL_IN_PROGRESS);
    open_gate(&second);
    cr_expect_eq(wh_event_synchronize(event), WHORL_OK);
    wh_event_destroy(event);
    wh_stream_destroy(a);
    wh_stream_destroy(b);
    wh_stream_destroy(c);
}

Test(event, waits_outlive_the_event_and_events_outlive_the_stream)
{
    static struct journal journal;
    struct gate gate = closed_gate;
    struct whorl_stream *a = create(), *b = create();
    struct whorl_event *waited = create_event(), *kept = create_event();
    wh_stream_submit(a, &gate.task);
    submit(a, &journal, 1, WHORL_E_PEER);
    wh_event_record(waited, a);
    wh_event_record(kept, a);
    cr_expect_eq(wh_stream_wait_event(b, waited), WHORL_OK);
    submit(b, &journal, 2, WHORL_OK);
    wh_event_destroy(waited);
    open_gate(&gate);
    wh_stream_destroy(a);
    wh_error_clear();
    cr_expect_eq(wh_stream_synchronize(b), WHORL_E_PEER, "the error is b's too");
    cr_expect_str_eq(wh_error_get(), "entry 1 failed");
    cr_expect_eq(journal.numbers[0], 1);
    cr_expect_eq(journal.numbers[1], 2);
    cr_expect_eq(wh_event_query(kept), WHORL_E_PEER);
    cr_expect_eq(wh_event_synchronize(kept), WHORL_E_PEER);
    wh_event_destroy(kept);
    wh_stream_destroy(b);
}

Test(event, tells_errors_before_it_that_nobody_has_taken)
{
    static struct journal journal;
    struct whorl_stream *stream = create();
    struct whorl_event *before = create_event(), *behind = create_event();
    wh_event_record(before, stream);
    submit(stream, &journal, 7, WHORL_E_SYS);
    wh_event_record(behind, stream);
    cr_expect_eq(wh_event_synchronize(behind), WHORL_E_SYS);
    cr_expect_str_eq(wh_error_get(), "entry 7 failed");
    cr_expect_eq(wh_event_synchronize(before), WHORL_OK);
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_E_SYS, "an event takes nothing");
    cr_expect_eq(wh_event_synchronize(behind), WHORL_OK);
    wh_event_destroy(before);
    wh_event_destroy(behind);
    wh_stream_destroy(stream);
}

/* Streams in a circle hand a number on, each waiting for the one before by an event. */
Test(event, orders_more_streams_than_there_are_cores)
{
    enum { NSTREAMS = 24, NROUNDS = 100 };
    static struct journal journal;
    struct whorl_stream *streams[NSTREAMS];
    struct whorl_event *event = create_event();
    for (int i = 0; i < NSTREAMS; i++) {
        streams[i] = create();
    }
    for (int i = 0; i < NSTREAMS * NROUNDS; i++) {
        struct whorl_stream *stream = streams[i % NSTREAMS];
        cr_assert_eq(wh_stream_wait_event(stream, event), WHORL_OK);
        submit(stream, &journal, i, WHORL_OK);
        wh_event_record(event, stream);
    }
    cr_expect_eq(wh_event_synchronize(event), WHORL_OK);
    cr_assert_eq(atomic_load(&journal.n), NSTREAMS * NROUNDS);
    for (int i = 0; i < NSTREAMS * NROUNDS; i++) {
        cr_assert_eq(journal.numbers[i], i);
    }
    wh_event_destroy(event);
    for (int i = 0; i < NSTREAMS; i++) {
        wh_stream_destroy(streams[i]);
    }
}

static void *synchronize_often(void *arg)
{
    struct submitter *s = arg;
    struct whorl_event *event = NULL;
    long nlate = wh_event_create(&event) == WHORL_OK ? 0 : 1;
    for (int i = 0; i < 300; i++) {
        submit(s->stream, s->journal, s->base + i, WHORL_OK);
        if (i % 2 == 0) {
            nlate += wh_stream_synchronize(s->stream) != WHORL_OK;
        } else {
            wh_event_record(event, s->stream);
            submit(s->stream, s->journal, s->base, WHORL_OK);
            nlate += wh_event_synchronize(event) != WHORL_OK;
        }
        nlate += atomic_load(&s->journal->n) <= i;
    }
    wh_event_destroy(event);
    return (void *)nlate;
}

Test(event, all_who_wait_for_places_of_one_stream_are_woken)
{
    static struct journal journal;
    struct submitter submitters[6];
    pthread_t threads[6];
    struct whorl_stream *stream = create();
    for (int i = 0; i < 6; i++) {
        submitters[i] = (struct submitter){stream, &journal, i * 1000};
        cr_assert_eq(pthread_create(&threads[i], NULL, synchronize_often, &submitters[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        void *nlate = NULL;
        pthread_join(threads[i], &nlate);
        cr_expect_null(nlate, "%ld waits of thread %d ended early", (long)nlate, i);
    }
    wh_stream_destroy(stream);
    cr_expect_eq(atomic_load(&journal.n), 6 * 450);
}
