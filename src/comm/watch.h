/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching operations: what is remembered of each (observe/recorder.h), what a rank says when
 * others ask what it is doing, and the report when one stalls.
 *
 * Nothing is published while operations go on. A thread that waits looks up once a second: it
 * writes down whom it waits for, so that other threads can tell. An operation that has been at work
 * for WHORL_STALL_REPORT (or half of its deadline, if that is sooner) is reported once in the whole
 * job: whoever notices first asks all ranks over the control connections, and those that were
 * asked while they were in the same operation do not ask again. Of ranks that notice together
 * lower ones are first, because each waits a little longer than the rank below it; those that ask
 * all the same learn from the answers that a lower rank reports, and say nothing.
 *
 * A thread of its own asks and writes the report. The waiting thread cannot: ranks that do not
 * answer would cost the operation seconds, and one thread may drive several ranks.
 */
#ifndef WH_COMM_WATCH_H
#define WH_COMM_WATCH_H

#include "comm/comm.h"
#include "comm/status.h"
#include "observe/recorder.h"

/** Makes comm->watch; comm's rank, name and timeout are set. stall_ms 0: no reports.
 *  WHORL_E_NOMEM, reported. */
WH_MUST_CHECK whorl_result_t wh_watch_create(struct whorl_comm *comm, uint64_t stall_ms);

/** Waits until no report is being gathered, at most some seconds; before comm->boot is left. Takes
 *  a comm without a watch, as does wh_watch_destroy(). */
void wh_watch_stop(struct whorl_comm *comm);

/** Frees comm->watch; nobody calls wh_watch_on_status() any more. */
void wh_watch_destroy(struct whorl_comm *comm);

/* ---- by whoever is on turn ------------------------------------------------------------------ */

/** A call starts to run; returns the id of its record. algo is static memory; submitted_ns is of
 *  the coarse clock, 0: just now. */
uint64_t wh_watch_begin(struct whorl_comm *comm, const struct wh_call *call, const char *algo,
                        uint64_t submitted_ns);

/** It ended. */
void wh_watch_end(struct whorl_comm *comm, const struct wh_call *call, uint64_t id,
                  whorl_result_t rc);

/** It ended, and so soon that small calls need no time. */
void wh_watch_end_at_once(struct whorl_comm *comm, const struct wh_call *call, uint64_t id,
                          whorl_result_t rc);

/** When a wait for something that started just now has to look up for the first time. */
uint64_t wh_watch_first_look(const struct whorl_comm *comm, uint64_t deadline_ns);

/**
 * Looks up from a wait in the operation with this record (0: none is running): publishes where it
 * is, for people, and has it reported if it is time. Returns when to look up next.
 */
uint64_t wh_watch_look(struct whorl_comm *comm, uint64_t id, const char *where);

/**
 * What the report about the operation with this record found out, as "; rank 3 has not entered it",
 * for the error when its deadline has come; "" if there was none. Where another rank reported, asks
 * again, and waits for the answers like a report. Always terminated; returns text.
 */
const char *wh_watch_finding(struct whorl_comm *comm, uint64_t id, char *text, size_t text_nbytes);

/* ---- any thread ----------------------------------------------------------------------------- */

/** The records, for reading. */
const struct wh_recorder *wh_watch_recorder(const struct whorl_comm *comm);

/** Has the record precise times? Others are of the coarse clock. */
bool wh_watch_is_precise(const struct wh_record *record);

/** What this rank is doing. */
void wh_watch_status(struct whorl_comm *comm, struct wh_status *status_out);

/** Calls put(ctx, line) for each line of the last report that was gathered here. */
void wh_watch_report_lines(struct whorl_comm *comm, void (*put)(void *ctx, const char *line),
                           void *ctx);

/** For struct wh_boot_join_args; ctx is the communicator. Marks the operation at work as asked
 *  about. */
void wh_watch_on_status(void *ctx, uint8_t status_out[WH_STATUS_NBYTES]);

#endif
