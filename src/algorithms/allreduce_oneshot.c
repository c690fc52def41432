/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-shot all-reduce: everybody sends everything to everybody, one round, and combines what came
 * in the order of ranks, so that all ranks get the same bits.
 *
 *   n = 3            round 0
 *   rank 0 sends     x0 to 1, x0 to 2       and combines (x0 op x1) op x2
 *   rank 1 sends     x1 to 2, x1 to 0       and combines (x0 op x1) op x2
 *   rank 2 sends     x2 to 0, x2 to 1       and combines (x0 op x1) op x2
 *
 * Each rank starts with the rank to its right, so that not all send to the same one first.
 *
 * Invariant: after k steps of reducing, SCRATCH holds the inputs of ranks 0..k-1.
 *
 * Cost per rank: 1 hop, n-1 messages at once, n-1 times the buffer moved and reduced. For buffers
 * so small that only waiting counts.
 *
 * Source: folklore, a direct all-gather that combines instead of storing.
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"
#include "algorithms/rank_order.h"

static void oneshot_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const uint32_t n = problem->nranks;

    wh_build_lane(b, 0);
    for (uint32_t distance = 1; distance < n; distance++) {
        wh_build_send(b, (problem->rank + distance) % n, WH_INPUT, 0, 1);
    }
    wh_rank_order_reduce(problem, b, 0, 0);
}

/* With P passes of one slot: 1 hop, (n-1)P messages, (n-1) * nbytes moved and reduced. */
static double oneshot_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                              size_t nbytes)
{
    const double npeers = (double)problem->nranks - 1;

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = npeers > 0 ? 1 : 0,
                                  .nmessages = npeers * wh_pass_count(fabric, nbytes, 1),
                                  .moved_nbytes = npeers * (double)nbytes,
                                  .reduced_nbytes = npeers * (double)nbytes,
                                  .turns_nbytes = npeers > 1 ? npeers * (double)nbytes : 0,
                              });
}

const struct wh_algo wh_algo_allreduce_oneshot = {
    .name = "oneshot",
    .coll = WH_COLL_ALL_REDUCE,
    .build = oneshot_build,
    .nchunks = wh_pass_one_chunk,
    .cost_ns = oneshot_cost_ns,
};
