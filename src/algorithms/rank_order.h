/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reducing in the order of ranks: every other rank sends its part of a chunk, this one combines all
 * parts as (((x0 op x1) op x2) ...). The result does not depend on who computes it, so ranks that
 * all compute it get the same bits.
 *
 * That uses that a op b and b op a have the same bits, which reductions promise.
 */
#ifndef WH_ALGORITHMS_RANK_ORDER_H
#define WH_ALGORITHMS_RANK_ORDER_H

#include "schedule/sched.h"

/**
 * Appends the steps that receive one chunk from all other ranks and leave the finished result in
 * OUTPUT; nranks >= 2. Whoever needs the chunk of INPUT must have read it before, because in place
 * the last of these steps overwrites it. Uses SCRATCH.
 *
 * last_flags: WH_SEND adds to the last step that its result leaves to (rank+1)%n; else 0.
 */
void wh_rank_order_reduce(const struct wh_problem *problem, struct wh_builder *b, uint32_t chunk,
                          uint32_t last_flags);

#endif
