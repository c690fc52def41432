/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collectives that have no schedule, as other calls: for communicators whose ranks do not all share
 * memory.
 *
 * all_to_all, gather, scatter and their variants with blocks of different sizes become a message
 * for every block, and a message of the rank to itself for its own. reduce_scatter_v becomes a
 * reduce for every block. Before them goes a barrier that carries the signature of the collective:
 * ranks that called something else are found out even if no message passes between them.
 *
 * Blocks without elements are sent too. Their messages carry the count, so a sender and a receiver
 * that disagree find out.
 *
 * The messages take the links of whorl_send(), and their place among its messages. They carry the
 * collective in their signature, so that neither is ever taken for the other.
 */
#ifndef WH_COMM_P2P_CALLS_H
#define WH_COMM_P2P_CALLS_H

#include "comm/comm.h"

/** The most calls that wh_p2p_expand() makes of this one. At least 1. */
size_t wh_p2p_expand_most(const struct wh_call *call);

/**
 * Writes the calls that do what `call` does; itself if it has a schedule. They belong into one
 * batch, in this order.
 *
 * Memory    calls_out has room for wh_p2p_expand_most(call). New calls own no counts: those of the
 *           call may be dropped. A call that stays itself keeps its own.
 * Errors    WHORL_E_UNSUPPORTED, reported and kept as the communicator's last error: a reduction by
 *           a function of the user's. All ranks get it, as all make the same call, and nothing was
 *           sent: the communicator goes on working.
 */
WH_MUST_CHECK whorl_result_t wh_p2p_expand(const struct wh_call *call, struct wh_call *calls_out,
                                           size_t *ncalls_out);

#endif
