/* SPDX-License-Identifier: Apache-2.0 */
/* The two halves of a join: ask the root, then connect to the ranks that it named. */
#ifndef WH_BOOTSTRAP_JOIN_H
#define WH_BOOTSTRAP_JOIN_H

#include "base/macros.h"
#include "bootstrap/rank.h"
#include "bootstrap/ticket.h"

/**
 * Finds the root, tells it who this rank is and waits for its answer: peer of the outgoing edges.
 *
 * Blocking  Until all ranks have joined; until deadline_ns and a little, so that the root, who
 *           knows more, is the one to say who is missing.
 * Errors    as wh_boot_join(), reported.
 */
WH_MUST_CHECK whorl_result_t wh_join_root(struct wh_boot *boot, const struct wh_ticket *ticket,
                                          uint64_t deadline_ns);

/**
 * Connects the outgoing edges, and takes the incoming ones from listener (not closed).
 *
 * Blocking  Until all edges of this rank are up, at most until deadline_ns.
 * Errors    WHORL_E_PEER, WHORL_E_TIMEOUT, reported; ranks that are connected already are told.
 */
WH_MUST_CHECK whorl_result_t wh_join_mesh(struct wh_boot *boot, int listener,
                                          uint64_t deadline_ns);

#endif
