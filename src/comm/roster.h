/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The communicators of this process, for who looks at it from outside: the flight records of all of
 * them on SIGUSR2 (WHORL_DUMP_SIGNAL), and of each that fails (WHORL_DUMP_DIR).
 *
 * One thread of the process writes them; it starts with the first communicator if one of the two
 * settings asks for it, and ends with the last. The handler of the signal is installed only where
 * the program has none, only wakes the thread, and is taken away with the last communicator.
 */
#ifndef WH_COMM_ROSTER_H
#define WH_COMM_ROSTER_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stddef.h>

struct wh_roster_node {
    struct whorl_comm *comm;
    struct wh_roster_node *next;
};

/** Adds comm, which is complete. node is storage that lives as long. Never fails: what cannot be
 *  had (a thread, a handler) is logged. */
void wh_roster_add(struct whorl_comm *comm, struct wh_roster_node *node);

/** Removes it; when this returns nobody looks at comm any more. Nothing if it was never added. */
void wh_roster_remove(struct whorl_comm *comm);

/** comm has just failed: has its record written soon, if the settings want that. Any thread, does
 *  not wait. */
void wh_roster_wake(void);

/**
 * If comm's rank is the only one of its job in this process: names an operation of another
 * communicator in which this process has been waiting for long, as "broadcast #7 of communicator
 * dp, waits for rank 2". "" if there is none, or if looking would mean waiting. Any thread.
 */
void wh_roster_describe_others(struct whorl_comm *comm, char *text, size_t text_nbytes);

#endif
