/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host streams: a queue of work and one thread that does it in order; events, which are places in
 * such queues.
 */
#ifndef WH_DEVICE_STREAM_H
#define WH_DEVICE_STREAM_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stdbool.h>

/** A piece of work. Runs in the stream's thread; owns itself: it frees what it needs to. */
struct wh_task {
    whorl_result_t (*run)(struct wh_task *task);
    struct wh_task *next; /* the stream's */
};

/** Errors: WHORL_E_NOMEM, WHORL_E_SYS (no thread), WHORL_E_CONFIG; reported. */
WH_MUST_CHECK whorl_result_t wh_stream_create(struct whorl_stream **stream_out);

/** Runs what is queued, then stops the thread and frees. Takes NULL. Not from the stream's own
 *  thread. */
void wh_stream_destroy(struct whorl_stream *stream);

/** Appends task. Never waits; from any thread. */
void wh_stream_submit(struct whorl_stream *stream, struct wh_task *task);

/**
 * Held by whoever puts one piece of work into several streams, or work that waits for another
 * stream. What is put into streams is then in one order on all of them, so that no two streams wait
 * for each other. Held for the time of some appends only, and by one thread at a time.
 */
void wh_streams_lock(void);
void wh_streams_unlock(void);

/** Is the calling thread stream's own, as in a callback? */
bool wh_stream_is_own(const struct whorl_stream *stream);

/** WHORL_IN_PROGRESS while work is left, else the first error since the last synchronize, with its
 *  text as the thread's last error. */
whorl_result_t wh_stream_query(struct whorl_stream *stream);

/** Waits until all has run that was queued when it was called; returns and clears the first error,
 *  which becomes the thread's last. WHORL_E_USAGE, reported, from the stream's own thread. */
whorl_result_t wh_stream_synchronize(struct whorl_stream *stream);

/** Appends a call of fn; see whorl_stream_callback(). */
WH_MUST_CHECK whorl_result_t wh_stream_callback(struct whorl_stream *stream, whorl_callback_fn fn,
                                                void *ctx);

/** Makes stream wait for where event is now; see whorl_stream_wait_event(). */
WH_MUST_CHECK whorl_result_t wh_stream_wait_event(struct whorl_stream *stream,
                                                  struct whorl_event *event);

WH_MUST_CHECK whorl_result_t wh_event_create(struct whorl_event **event_out);

/** Never waits for what it was recorded in. Takes NULL. */
void wh_event_destroy(struct whorl_event *event);

/** Moves event to the end of stream's queue. */
void wh_event_record(struct whorl_event *event, struct whorl_stream *stream);

/** WHORL_IN_PROGRESS; or WHORL_OK, or the first error before the event that nobody has taken from
 *  its stream, as wh_stream_query(). */
whorl_result_t wh_event_query(struct whorl_event *event);

/** Waits, then as wh_event_query(). WHORL_E_USAGE, reported, from the thread that it waits for. */
whorl_result_t wh_event_synchronize(struct whorl_event *event);

#endif
