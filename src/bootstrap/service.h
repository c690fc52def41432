/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one thread of a process that reads the edges of all its ranks. It starts with the first rank
 * and ends with the last.
 *
 * inv. 1  All state of all ranks changes under one lock, which is never held while anybody waits or
 *         while on_failure() or on_status() runs.
 * inv. 2  epoll carries a rank's slot and generation and the number of an edge or guest, never a
 *         pointer: a rank that has left in between is simply not found.
 */
#ifndef WH_BOOTSTRAP_SERVICE_H
#define WH_BOOTSTRAP_SERVICE_H

#include "base/macros.h"
#include "bootstrap/rank.h"

void wh_service_lock(void);
void wh_service_unlock(void);

/** Waits, with the lock, until boot->changed or the deadline; false if the deadline has passed. */
bool wh_service_wait(struct wh_boot *boot, uint64_t deadline_ns);

/** Starts to watch the edges of boot; starts the thread. Without the lock. Errors are reported. */
WH_MUST_CHECK whorl_result_t wh_service_add(struct wh_boot *boot);

/** Callbacks of boot are not running and not called any more; its edges are not watched. Without
 *  the lock. The thread ends if this was the last rank. */
void wh_service_remove(struct wh_boot *boot);

/* With the lock; nothing happens if the service does not watch the edge. */

/** Watches an edge for output too, exactly while there is some. */
void wh_service_arm(struct wh_boot *boot, uint32_t index);
void wh_service_unwatch(struct wh_edge *edge);

/** Watches the listener of boot, or not. */
void wh_service_watch_door(struct wh_boot *boot, bool on);

/** Watches a guest for what it needs now. */
void wh_service_watch_guest(struct wh_boot *boot, uint32_t slot);
void wh_service_unwatch_fd(const struct wh_boot *boot, int fd);

/** Makes the thread look for failures to report, statuses to ask for and ranks to recheck. */
void wh_service_wake(void);

#endif
