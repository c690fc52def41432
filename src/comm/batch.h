/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches: calls, of one or several communicators, that run together in one thread.
 */
#ifndef WH_COMM_BATCH_H
#define WH_COMM_BATCH_H

#include "comm/comm.h"

struct wh_batch;

/**
 * Makes a batch of calls; each of its communicators gives it a place in its order of calls now.
 *
 * Memory    wh_batch_run() frees it, and must be called.
 * Threads   the caller's, as for every call on these communicators.
 */
WH_MUST_CHECK whorl_result_t wh_batch_create(const struct wh_call *calls, size_t ncalls,
                                             struct wh_batch **batch_out);

/** Runs all calls and frees the batch; from any thread. Returns the first error among the calls. */
whorl_result_t wh_batch_run(struct wh_batch *batch);

/** Runs one call in the caller's thread, without allocating; writes its number into it. */
whorl_result_t wh_batch_run_one(struct wh_call *call);

#endif
