/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arrays of the collectives that end in _v, in calls that wait.
 *
 * A call that runs before the API function returns reads the caller's arrays. One that is collected
 * by a group or goes to a stream has copies of its own, in one block of memory, which travels with
 * the call: whoever is given such a call is also given the block.
 */
#ifndef WH_COMM_COUNTS_H
#define WH_COMM_COUNTS_H

#include "comm/comm.h"

/**
 * Makes copies of the arrays in call->op; none if it has no arrays, or copies already.
 *
 * Memory    call->counts_copy; freed by wh_counts_drop().
 * Errors    WHORL_E_NOMEM: the call is as it was.
 */
WH_MUST_CHECK whorl_result_t wh_counts_own(struct wh_call *call);

/** Frees the copies of ncalls calls, which cannot run any more. Takes calls without copies. */
void wh_counts_drop(const struct wh_call *calls, size_t ncalls);

#endif
