/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Failure: ending what waits, going on with those who are left, and finding out what happened.
 * Part of whorl.h, whose rules hold here too.
 *
 * When a rank dies, calls of all others that cannot be completed return WHORL_E_PEER within
 * seconds, and whorl_last_error() names it. The communicator is broken then. Those who are left can
 * call whorl_comm_shrink() for a new one and go on, or end.
 *
 * An operation that does not end is reported in the log of one rank before its deadline
 * (WHORL_STALL_REPORT): who has not made the call, who waits for whom. Every communicator remembers
 * its last 1,024 operations; whorl_comm_dump(), a failure (WHORL_DUMP_DIR) and SIGUSR2
 * (WHORL_DUMP_SIGNAL) write them down as JSON. docs/operations.md shows all of it.
 */
#ifndef WHORL_FAILURE_H
#define WHORL_FAILURE_H

#include <whorl/whorl.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Breaks comm on every rank: calls that wait return soon, here with WHORL_E_ABORTED and elsewhere
 * with WHORL_E_PEER. Does not free comm; whorl_comm_destroy() does.
 *
 * Threads   Any, also while another thread waits in a call on comm.
 */
WHORL_API whorl_result_t whorl_comm_abort(whorl_comm_t comm);

/** WHORL_OK while comm works, else the error that broke it. Any thread; does not wait. */
WHORL_API whorl_result_t whorl_comm_async_error(whorl_comm_t comm, whorl_result_t *error_out);

/**
 * Makes a communicator of the ranks that are left of comm, in the same order: without those that
 * are dead and without the nexcluded ranks in excluded, which must be the same on all ranks that
 * call. Collective over these; excluded ranks do not call. Inside a group several ranks may be made
 * by one thread, and new_comm_out is then written by whorl_group_end().
 *
 * comm may be broken or work. What is queued on it ends first: at once if comm is broken, else as
 * the calls' own deadlines say; whorl_comm_abort() before the call saves that. comm stays as it is,
 * and is the caller's to destroy, before or after. Nothing that was sent in comm can reach the new
 * one, which has connections of its own. Registered memory and reductions stay with comm.
 *
 * Memory    excluded may be NULL with nexcluded 0, and is read until the call is over (until the
 *           group's end inside a group). options may be NULL; timeouts that are 0 are comm's. The
 *           new communicator is given back with whorl_comm_destroy().
 * Blocking  Until all that are left have called, for at most init_timeout_ms; those that have not
 *           come then are left out. Then as whorl_comm_create().
 * Errors    WHORL_E_ARG      an excluded rank is none of comm's, or is this one
 *           WHORL_E_PEER     the others went on without this rank
 *           WHORL_E_TIMEOUT  the others could not be reached, or did not agree in time
 *           and those of whorl_comm_create(). comm is none the worse: the call may be repeated, by
 *           all.
 */
WHORL_API whorl_result_t whorl_comm_shrink(whorl_comm_t comm, const int *excluded, size_t nexcluded,
                                           const whorl_options_t *options,
                                           whorl_comm_t *new_comm_out);

/** Takes nbytes of a text that comes in pieces; anything but 0 ends it. */
typedef int (*whorl_write_fn)(void *ctx, const char *bytes, size_t nbytes);

/**
 * Writes what this rank remembers of comm to a file, as JSON: its failure, what it waits for, and
 * its last 1,024 operations. A file that is there is replaced when the new one is complete.
 *
 * Threads   Any, also while calls on comm wait; not while comm is destroyed.
 * Errors    WHORL_E_ARG if comm or path is NULL; WHORL_E_SYS.
 */
WHORL_API whorl_result_t whorl_comm_dump(whorl_comm_t comm, const char *path);

/** The same to a function, called in this thread. WHORL_E_ABORTED if write has ended it. */
WHORL_API whorl_result_t whorl_comm_dump_to(whorl_comm_t comm, whorl_write_fn write, void *ctx);

#ifdef __cplusplus
}
#endif

#endif
