/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks are numbered in the order in which they are queued, and run in that order, so two numbers
 * say all there is to know: how many were queued, and how many are done. To wait for a place in the
 * queue is to wait until that many are done, and an event is nothing but such a place.
 *
 * Nobody sleeps at once. The thread of a stream that has run dry, and whoever waits for a place,
 * first look for a moment as long as a sleep and a wake-up cost, with the patience of every other
 * wait: a chain of short operations then needs no system call. After that they sleep on condition
 * variables and not on a bell, whose sleeps are short naps: here the waker is in the same process
 * and cannot die alone, and a stream that has nothing to do must cost nothing.
 *
 * An event keeps the stream in memory in which it was recorded, not its thread: destroying a stream
 * runs all its work, so whatever waits for one of its places goes on.
 */
#include "device/stream.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/wait.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_NS = 50000 };

/* The first error since it was cleared. */
struct first_error {
    whorl_result_t rc;
    char *text;     /* its story; NULL if there is none */
    uint64_t place; /* number of the task that failed; the first is 1 */
};

struct whorl_stream {
    pthread_t thread;
    struct wh_patience patience;
    _Atomic uint32_t nholders; /* the user, and each event and task that knows a place in it */

    /* Changed holding lock, read by those who look without it. */
    _Atomic uint64_t nqueued, ndone;

    /* Holding lock. */
    pthread_mutex_t lock;
    pthread_cond_t work; /* a task came, or stop was set */
    pthread_cond_t done; /* ndone has reached wake_at */
    uint64_t wake_at;    /* the first place that a sleeper waits for; UINT64_MAX: none sleeps */
    struct wh_task *head;
    struct wh_task **tail;
    bool stop;
    struct first_error unsynchronized; /* since the last synchronize */
    struct first_error uncalled;       /* since the last callback */
};

struct whorl_event {
    pthread_mutex_t lock;
    struct whorl_stream *stream; /* held; NULL: never recorded */
    uint64_t place;
};

static void note_error(struct first_error *error, whorl_result_t rc, uint64_t place)
{
    if (error->rc == WHORL_OK && rc != WHORL_OK) {
        *error = (struct first_error){rc, strdup(wh_error_get()), place};
    }
}

/* Hands an error out, which becomes the calling thread's last. */
static whorl_result_t tell_error(const struct first_error *error)
{
    if (error->text != NULL) {
        wh_error_set(error->text);
    }
    return error->rc;
}

static whorl_result_t take_error(struct first_error *error)
{
    whorl_result_t rc = tell_error(error);
    free(error->text);
    *error = (struct first_error){WHORL_OK, NULL, 0};
    return rc;
}

/* What somebody looks for: that a count reaches a value. */
struct look {
    const _Atomic uint64_t *count;
    uint64_t value;
    uint64_t npolls; /* left */
};

static whorl_result_t poll_look(void *ctx, bool *moved_out)
{
    struct look *look = ctx;
    (void)moved_out;
    if (atomic_load_explicit(look->count, memory_order_acquire) >= look->value) {
        return WHORL_OK;
    }
    return look->npolls-- > 0 ? WHORL_IN_PROGRESS : WHORL_E_TIMEOUT;
}

/* Looks whether *count reaches value, as long as patience lasts, and for LOOK_NS at most. */
static bool look_for(const struct wh_patience *patience, const _Atomic uint64_t *count,
                     uint64_t value)
{
    if (atomic_load_explicit(count, memory_order_acquire) >= value) {
        return true;
    }
    struct look look = {count, value, (uint64_t)patience->nspins + patience->nyields};
    struct wh_wait wait = {
        .patience = *patience,
        .poll = poll_look,
        .ctx = &look,
        .deadline_ns = wh_now_ns() + LOOK_NS,
    };
    return wh_wait(&wait) == WHORL_OK;
}

/* ---- the stream's thread ---- */

/* The next task, when there is one; NULL when there will be none. Locks. */
static struct wh_task *next_task(struct whorl_stream *stream)
{
    look_for(&stream->patience, &stream->nqueued, stream->ndone + 1);
    pthread_mutex_lock(&stream->lock);
    while (stream->head == NULL && !stream->stop) {
        pthread_cond_wait(&stream->work, &stream->lock);
    }
    struct wh_task *task = stream->head;
    if (task != NULL) {
        stream->head = task->next;
    }
    if (stream->head == NULL) {
        stream->tail = &stream->head;
    }
    pthread_mutex_unlock(&stream->lock);
    return task;
}

static void end_task(struct whorl_stream *stream, whorl_result_t rc)
{
    pthread_mutex_lock(&stream->lock);
    uint64_t place = stream->ndone + 1;
    note_error(&stream->unsynchronized, rc, place);
    note_error(&stream->uncalled, rc, place);
    atomic_store_explicit(&stream->ndone, place, memory_order_release);
    if (place >= stream->wake_at) {
        stream->wake_at = UINT64_MAX;
        pthread_cond_broadcast(&stream->done);
    }
    pthread_mutex_unlock(&stream->lock);
}

static void *stream_main(void *arg)
{
    struct whorl_stream *stream = arg;
    for (struct wh_task *task = next_task(stream); task != NULL; task = next_task(stream)) {
        end_task(stream, task->run(task));
    }
    return NULL;
}

/* ---- life ---- */

static struct whorl_stream *stream_get(struct whorl_stream *stream)
{
    atomic_fetch_add(&stream->nholders, 1);
    return stream;
}

static void stream_put(struct whorl_stream *stream)
{
    if (stream == NULL || atomic_fetch_sub(&stream->nholders, 1) > 1) {
        return;
    }
    pthread_cond_destroy(&stream->done);
    pthread_cond_destroy(&stream->work);
    pthread_mutex_destroy(&stream->lock);
    free(stream->unsynchronized.text);
    free(stream->uncalled.text);
    free(stream);
}

whorl_result_t wh_stream_create(struct whorl_stream **stream_out)
{
    const struct wh_config *config;
    whorl_result_t rc = wh_config_get(&config);
    if (rc != WHORL_OK) {
        return rc;
    }
    struct whorl_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a stream");
    }
    /* Two share the cores at least: the stream's thread and the one that feeds it. */
    stream->patience = wh_patience_for(2, config->spin, config->nyields);
    stream->nholders = 1;
    stream->wake_at = UINT64_MAX;
    stream->tail = &stream->head;
    pthread_mutex_init(&stream->lock, NULL);
    pthread_cond_init(&stream->work, NULL);
    pthread_cond_init(&stream->done, NULL);

    int err = wh_thread_start(&stream->thread, stream_main, stream);
    if (err != 0) {
        stream_put(stream);
        return wh_fail(WHORL_E_SYS, WH_SUBSYS_INIT, "no thread for a stream: error %d", err);
    }
    *stream_out = stream;
    return WHORL_OK;
}

void wh_stream_destroy(struct whorl_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    assert(!wh_stream_is_own(stream));
    pthread_mutex_lock(&stream->lock);
    stream->stop = true;
    pthread_cond_signal(&stream->work);
    pthread_mutex_unlock(&stream->lock);
    pthread_join(stream->thread, NULL);
    stream_put(stream);
}

bool wh_stream_is_own(const struct whorl_stream *stream)
{
    return pthread_equal(stream->thread, pthread_self()) != 0;
}

/* ---- queue ---- */

void wh_stream_submit(struct whorl_stream *stream, struct wh_task *task)
{
    task->next = NULL;
    pthread_mutex_lock(&stream->lock);
    *stream->tail = task;
    stream->tail = &task->next;
    atomic_fetch_add_explicit(&stream->nqueued, 1, memory_order_relaxed);
    pthread_cond_signal(&stream->work);
    pthread_mutex_unlock(&stream->lock);
}

static pthread_mutex_t streams_lock = PTHREAD_MUTEX_INITIALIZER;

void wh_streams_lock(void)
{
    pthread_mutex_lock(&streams_lock);
}

void wh_streams_unlock(void)
{
    pthread_mutex_unlock(&streams_lock);
}

/* A place in a stream's queue: behind its first n tasks. */
struct place {
    struct whorl_stream *stream;
    uint64_t n;
};

static bool is_reached(const struct place *place)
{
    return atomic_load_explicit(&place->stream->ndone, memory_order_acquire) >= place->n;
}

static struct place last_place(struct whorl_stream *stream)
{
    return (struct place){stream, atomic_load_explicit(&stream->nqueued, memory_order_relaxed)};
}

/* Waits until place is reached. */
static void await_place(struct place place)
{
    struct whorl_stream *stream = place.stream;
    if (look_for(&stream->patience, &stream->ndone, place.n)) {
        return;
    }
    pthread_mutex_lock(&stream->lock);
    while (!is_reached(&place)) {
        stream->wake_at = place.n < stream->wake_at ? place.n : stream->wake_at;
        pthread_cond_wait(&stream->done, &stream->lock);
    }
    pthread_mutex_unlock(&stream->lock);
}

/* The first error before place that nobody has taken. */
static whorl_result_t error_before(struct place place)
{
    struct whorl_stream *stream = place.stream;
    pthread_mutex_lock(&stream->lock);
    whorl_result_t rc =
        stream->unsynchronized.place <= place.n ? tell_error(&stream->unsynchronized) : WHORL_OK;
    pthread_mutex_unlock(&stream->lock);
    return rc;
}

whorl_result_t wh_stream_query(struct whorl_stream *stream)
{
    struct place end = last_place(stream);
    return is_reached(&end) ? error_before(end) : WHORL_IN_PROGRESS;
}

whorl_result_t wh_stream_synchronize(struct whorl_stream *stream)
{
    if (wh_stream_is_own(stream)) {
        return wh_fail(WHORL_E_USAGE, WH_SUBSYS_CALL,
                       "whorl_stream_synchronize: a callback must not wait for its own stream");
    }
    await_place(last_place(stream));
    pthread_mutex_lock(&stream->lock);
    whorl_result_t rc = take_error(&stream->unsynchronized);
    pthread_mutex_unlock(&stream->lock);
    return rc;
}

/* ---- callbacks ---- */

struct callback {
    struct wh_task task; /* first: the stream's thread finds the callback by it */
    struct whorl_stream *stream;
    whorl_callback_fn fn;
    void *ctx;
};

static whorl_result_t run_callback(struct wh_task *task)
{
    struct callback callback = *(struct callback *)task;
    free(task);
    pthread_mutex_lock(&callback.stream->lock);
    whorl_result_t rc = take_error(&callback.stream->uncalled);
    pthread_mutex_unlock(&callback.stream->lock);
    callback.fn(rc, callback.ctx);
    return WHORL_OK;
}

whorl_result_t wh_stream_callback(struct whorl_stream *stream, whorl_callback_fn fn, void *ctx)
{
    struct callback *callback = malloc(sizeof(*callback));
    if (callback == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a callback");
    }
    *callback = (struct callback){{.run = run_callback}, stream, fn, ctx};
    wh_stream_submit(stream, &callback->task);
    return WHORL_OK;
}

/* ---- events ---- */

whorl_result_t wh_event_create(struct whorl_event **event_out)
{
    struct whorl_event *event = calloc(1, sizeof(*event));
    if (event == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for an event");
    }
    pthread_mutex_init(&event->lock, NULL);
    *event_out = event;
    return WHORL_OK;
}

void wh_event_destroy(struct whorl_event *event)
{
    if (event == NULL) {
        return;
    }
    stream_put(event->stream);
    pthread_mutex_destroy(&event->lock);
    free(event);
}

void wh_event_record(struct whorl_event *event, struct whorl_stream *stream)
{
    struct place place = last_place(stream_get(stream));
    pthread_mutex_lock(&event->lock);
    struct whorl_stream *before = event->stream;
    event->stream = place.stream;
    event->place = place.n;
    pthread_mutex_unlock(&event->lock);
    stream_put(before);
}

/* Where event is. Its stream is held for the caller; NULL: never recorded. */
static struct place event_place(struct whorl_event *event)
{
    pthread_mutex_lock(&event->lock);
    struct place place = {event->stream != NULL ? stream_get(event->stream) : NULL, event->place};
    pthread_mutex_unlock(&event->lock);
    return place;
}

whorl_result_t wh_event_query(struct whorl_event *event)
{
    struct place place = event_place(event);
    if (place.stream == NULL) {
        return WHORL_OK;
    }
    whorl_result_t rc = is_reached(&place) ? error_before(place) : WHORL_IN_PROGRESS;
    stream_put(place.stream);
    return rc;
}

whorl_result_t wh_event_synchronize(struct whorl_event *event)
{
    struct place place = event_place(event);
    if (place.stream == NULL) {
        return WHORL_OK;
    }
    whorl_result_t rc;
    if (wh_stream_is_own(place.stream) && !is_reached(&place)) {
        rc = wh_fail(WHORL_E_USAGE, WH_SUBSYS_CALL,
                     "whorl_event_synchronize: a callback must not wait for its own stream");
    } else {
        await_place(place);
        rc = error_before(place);
    }
    stream_put(place.stream);
    return rc;
}

struct event_wait {
    struct wh_task task; /* first: the stream's thread finds the rest by it */
    struct place place;  /* its stream is held */
};

static whorl_result_t run_event_wait(struct wh_task *task)
{
    struct place place = ((struct event_wait *)task)->place;
    free(task);
    await_place(place);
    whorl_result_t rc = error_before(place);
    stream_put(place.stream);
    return rc;
}

whorl_result_t wh_stream_wait_event(struct whorl_stream *stream, struct whorl_event *event)
{
    struct place place = event_place(event);
    if (place.stream == NULL || place.stream == stream) {
        stream_put(place.stream); /* reached, or reached before anything that is queued now */
        return WHORL_OK;
    }
    struct event_wait *wait = malloc(sizeof(*wait));
    if (wait == NULL) {
        stream_put(place.stream);
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory to wait for an event");
    }
    *wait = (struct event_wait){{.run = run_event_wait}, place};
    wh_streams_lock();
    wh_stream_submit(stream, &wait->task);
    wh_streams_unlock();
    return WHORL_OK;
}
