/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker: runs the schedules of all ranks symbolically and proves that they are right.
 *
 * A chunk's value is the set of ranks whose contribution it holds, and whether FINISH was applied.
 * Which chunk it is need not be kept: messages must arrive as the range that was sent, and no step
 * moves a value to another chunk. It proves that
 *   1. no contribution is counted twice, none is lost: every output holds exactly what the
 *      collective promises, with FINISH applied once where it reduces and never where it does not;
 *   2. no step blocks for ever with links of fifo_slots messages (a network of bounded FIFOs is
 *      deterministic, so one run decides);
 *   3. no link is left with messages, and every message is received as the range that was sent;
 *   4. nothing undefined is read: INPUT after an in-place store, SCRATCH or OUTPUT before a store,
 *      buffers that the rank does not have;
 *   5. links belong to one lane each, and the entry rule of sched.h holds.
 * A barrier is one if every rank ends having heard, through messages alone, of every other.
 *
 * Lanes of one rank share buffers, so run it with several order_seeds too, also with roomy links,
 * as full ones keep lanes in step. This samples orders: it finds races between lanes, but is no
 * proof that there are none.
 */
#ifndef WH_SCHEDULE_CHECK_H
#define WH_SCHEDULE_CHECK_H

#include "schedule/sched.h"

struct wh_check_options {
    uint32_t fifo_slots; /* messages a link holds; at least 1 */
    uint32_t npasses;    /* passes run back to back; at least 1 */
    bool in_place;       /* INPUT and OUTPUT are the same memory */
    uint32_t order_seed; /* 0: lanes round robin; else a shuffled order of ranks and lanes */
};

/**
 * Checks scheds[0..nranks-1], the schedules of all ranks of one collective.
 *
 * A send and its recv are checked as a world of two ranks.
 *
 * Memory    A pointer per rank, pass and chunk, and a bit set per distinct value that is held.
 * Errors    WHORL_E_INTERNAL with the first fault in `why` ("rank 3 lane 0 step 5: ...", "deadlock:
 *           rank ..."), which is not logged; WHORL_E_NOMEM. With WHORL_OK `why` is not written.
 */
WH_MUST_CHECK whorl_result_t wh_check(struct wh_sched *const *scheds, uint32_t nranks,
                                      const struct wh_check_options *options, char *why,
                                      size_t why_nbytes);

#endif
