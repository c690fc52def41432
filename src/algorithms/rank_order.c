/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/rank_order.h"

#include <assert.h>

/* The part of rank `from` joins what SCRATCH holds of the ranks before it. */
static struct wh_move join(const struct wh_problem *problem, uint32_t from, uint32_t chunk)
{
    struct wh_move move = {
        .flags = WH_RECV | WH_REDUCE | WH_STORE,
        .from = from,
        .to = (problem->rank + 1) % problem->nranks,
        .local = WH_SCRATCH,
        .store = WH_SCRATCH,
        .chunk = chunk,
        .nchunks = 1,
    };

    if (from == problem->rank) {
        move.flags = WH_REDUCE | WH_STORE;
        move.local = WH_INPUT;
    } else if (from == 0 && problem->rank >= 2) {
        move.flags = WH_RECV | WH_STORE; /* nothing to join yet */
    } else if (from + problem->rank == 1) {
        move.local = WH_INPUT; /* x0 and x1 meet here, and one of them is ours */
    }
    return move;
}

void wh_rank_order_reduce(const struct wh_problem *problem, struct wh_builder *b, uint32_t chunk,
                          uint32_t last_flags)
{
    const uint32_t n = problem->nranks;
    const uint32_t me = problem->rank;
    const uint32_t last_from = n == 2 ? 1 - me : n - 1;
    assert(n >= 2 && (last_flags & ~(uint32_t)WH_SEND) == 0);

    for (uint32_t from = 0; from < n; from++) {
        if (from == me && me < 2) {
            continue; /* its part came in with the first message */
        }
        struct wh_move move = join(problem, from, chunk);
        if (from == last_from && from != me) {
            move.flags |= WH_FINISH | last_flags;
            move.store = WH_OUTPUT;
        }
        wh_build_step(b, &move);
    }

    if (last_from == me) {
        /* REDUCE without a message stores where it reads, so the result still has to move. */
        wh_build_step(b, &(struct wh_move){
                             .flags = WH_STORE | WH_FINISH | last_flags,
                             .to = (me + 1) % n,
                             .local = WH_SCRATCH,
                             .store = WH_OUTPUT,
                             .chunk = chunk,
                             .nchunks = 1,
                         });
    }
}
