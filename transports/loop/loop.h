/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults on order, for tests of whatever runs over links.
 *
 * Polls are counted where there is a message to be seen, acquires where there is a free slot, so
 * the numbers do not depend on how often a rank looks in vain.
 */
#ifndef WH_LOOP_H
#define WH_LOOP_H

#include "wire/transport.h"

/** What goes wrong on one wire; all zero: nothing. Numbers count from 1, over all its links. */
struct loop_faults {
    bool is_one_rank; /* only on wires of `rank` */
    uint32_t rank;

    uint32_t delay_npolls;   /* a message is seen only after that many polls of its link */
    uint32_t shuffle_npolls; /* and up to that many more, drawn for each: links overtake */
    uint64_t seed;           /* of these draws */

    uint64_t drop_post; /* the message of this post vanishes */

    uint64_t fail_acquire, fail_post, fail_poll; /* this one, and every later one, fails ... */
    whorl_result_t failure;                      /* ... with this code */
};

/** Wires of this process that are opened from now on have these faults. NULL: none. Any thread. */
void loop_faults_set(const struct loop_faults *faults);

/** This wire, which is one of the loop transport, has these faults from now on. Its thread. */
void loop_wire_faults_set(struct wh_transport_wire *base, const struct loop_faults *faults);

extern const struct whorl_transport_ops whorl_transport_loop;

#endif
