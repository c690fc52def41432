/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups: what a thread has collected between whorl_group_start() and whorl_group_end().
 *
 * A call inside a group is checked at once and kept; a call that is wrong spoils the whole group.
 */
#ifndef WH_API_GROUP_H
#define WH_API_GROUP_H

#include "comm/comm.h"

/** Runs call now, or keeps it if a group is open. */
WH_MUST_CHECK whorl_result_t wh_group_add_call(struct wh_call *call);

/** Makes a communicator now, or keeps the request if a group is open. */
WH_MUST_CHECK whorl_result_t wh_group_add_job(const struct wh_comm_job *job,
                                              whorl_comm_t *comm_out);

/** Passes rc on; inside a group it also spoils the group, if it is an error. */
whorl_result_t wh_group_note(whorl_result_t rc);

/** Is a group open in this thread? */
bool wh_group_is_open(void);

#endif
