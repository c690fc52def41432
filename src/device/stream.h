/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host streams: a queue of work and one thread that does it in order.
 */
#ifndef WH_DEVICE_STREAM_H
#define WH_DEVICE_STREAM_H

#include "base/macros.h"

#include <whorl/whorl.h>

/** A piece of work. Runs in the stream's thread; owns itself: it frees what it needs to. */
struct wh_task {
    whorl_result_t (*run)(struct wh_task *task);
    struct wh_task *next; /* the stream's */
};

WH_MUST_CHECK whorl_result_t wh_stream_create(struct whorl_stream **stream_out);

/** Runs what is queued, then stops the thread and frees. Takes NULL. */
void wh_stream_destroy(struct whorl_stream *stream);

/** Appends task. Never waits. */
void wh_stream_submit(struct whorl_stream *stream, struct wh_task *task);

/** WHORL_IN_PROGRESS while work is left, else the first error since the last synchronize, with its
 *  text as the thread's last error. */
whorl_result_t wh_stream_query(struct whorl_stream *stream);

/** Waits until nothing is left; returns and clears the first error, which becomes the thread's
 *  last. */
whorl_result_t wh_stream_synchronize(struct whorl_stream *stream);

#endif
