/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct reduce-scatter: everybody sends every block to its owner, one round; the owner combines in
 * the order of ranks.
 *
 *   n = 3            round 0
 *   rank 0 sends     c1 to 1, c2 to 2       and combines c0
 *   rank 1 sends     c2 to 2, c0 to 0       and combines c1
 *   rank 2 sends     c0 to 0, c1 to 1       and combines c2
 *
 * Each rank starts with the rank to its right, so that not all send to the same one first.
 *
 * Invariant: after k steps of reducing, SCRATCH holds the inputs of ranks 0..k-1.
 *
 * Cost per rank: 1 hop, n-1 messages at once, (n-1)/n of the bytes moved and reduced. Wants a link
 * between any two ranks.
 *
 * Source: folklore.
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"
#include "algorithms/rank_order.h"

static void direct_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const uint32_t n = problem->nranks;

    wh_build_lane(b, 0);
    for (uint32_t distance = 1; distance < n; distance++) {
        const uint32_t peer = (problem->rank + distance) % n;
        wh_build_send(b, peer, WH_INPUT, peer, 1);
    }
    wh_rank_order_reduce(problem, b, problem->rank, 0);
}

/* With P passes of n slots: 1 hop, (n-1)P messages, (n-1)/n * nbytes moved and reduced. */
static double direct_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                             size_t nbytes)
{
    const double n = (double)problem->nranks;
    const double share = (n - 1) / n * (double)nbytes;

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = n > 1 ? 1 : 0,
                                  .nmessages = (n - 1) * wh_pass_count(fabric, nbytes, n),
                                  .moved_nbytes = share,
                                  .reduced_nbytes = share,
                              });
}

const struct wh_algo wh_algo_reduce_scatter_direct = {
    .name = "direct",
    .coll = WH_COLL_REDUCE_SCATTER,
    .build = direct_build,
    .nchunks = wh_pass_chunk_per_rank,
    .cost_ns = direct_cost_ns,
};
