/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root: a thread that waits for all ranks of one job and then tells each whom to connect to.
 *
 * It ends by itself: when all ranks have been told, when they cannot be (the time of the first to
 * come is over, two claim one rank ...) and have been told why, or with the process.
 */
#ifndef WH_BOOTSTRAP_ROOT_H
#define WH_BOOTSTRAP_ROOT_H

#include "base/macros.h"
#include "bootstrap/ticket.h"

/** Of a job of more ranks the root keeps no connection while it waits for the others. */
enum { WH_ROOT_HELD_MAX = 256 };

/** Starts it on a listening socket, which is the root's from now on, also after a failure. */
WH_MUST_CHECK whorl_result_t wh_root_start(const struct wh_ticket *ticket, int listener);

#endif
