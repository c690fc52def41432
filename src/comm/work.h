/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call at work, in whichever executor is right for it: the arena where all ranks share a host,
 * a composition of arenas and rails over several hosts, or a schedule over links.
 */
#ifndef WH_COMM_WORK_H
#define WH_COMM_WORK_H

#include "comm/comm.h"

enum wh_work_way { WH_WORK_NONE, WH_WORK_ARENA, WH_WORK_HIER, WH_WORK_LINKS };

struct wh_work {
    enum wh_work_way way;    /* NONE: not started, or over */
    struct wh_plan_row *row; /* with LINKS */
    const struct wh_op *op;  /* with LINKS while the ranks compare their calls; else NULL */
    const char *algo;        /* static text */
};

/** Can the call run without being taken apart into messages? All ranks come to the same answer. */
bool wh_work_is_whole(const struct wh_call *call);

/**
 * Starts a call, which stays where it is until it is over, and numbers it. WHORL_IN_PROGRESS: not
 * yet, what it needs is busy; any other error is reported and leaves nothing at work.
 */
WH_MUST_CHECK whorl_result_t wh_work_start(struct wh_work *work, struct wh_call *call);

/** The same for a call that runs in the arena; cannot fail. */
void wh_work_start_in_arena(struct wh_work *work, struct wh_call *call);

/** Goes on; as wh_run_advance(). */
WH_MUST_CHECK whorl_result_t wh_work_advance(struct wh_work *work, struct whorl_comm *comm,
                                             bool *moved_out);

/** The call ended with rc, or is given up. */
void wh_work_end(struct wh_work *work, struct whorl_comm *comm, whorl_result_t rc);

/** What the call is, and whom it waits for and where, for people. */
void wh_work_signature(const struct wh_work *work, const struct whorl_comm *comm,
                       struct wh_signature *sig_out);
void wh_work_describe(const struct wh_work *work, const struct whorl_comm *comm, char *text,
                      size_t text_nbytes);

#endif
