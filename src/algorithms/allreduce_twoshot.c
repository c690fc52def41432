/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two-shot all-reduce: rank r gets chunk r from everybody, combines it in the order of ranks, and
 * sends the result to everybody. Two rounds.
 *
 *   n = 3            round 0                round 1 (d: finished)
 *   rank 0 sends     c1 to 1, c2 to 2       d0 to 1, d0 to 2
 *   rank 1 sends     c2 to 2, c0 to 0       d1 to 2, d1 to 0
 *   rank 2 sends     c0 to 0, c1 to 1       d2 to 0, d2 to 1
 *
 * Each rank starts with the rank to its right, so that not all send to the same one first.
 *
 * Invariant: chunk r is combined by rank r alone, so all ranks get the same bits; they do not
 * depend on how the buffer is cut either, because the order is always that of ranks.
 *
 * Cost per rank: 2 hops, 2(n-1) messages, 2(n-1)/n of the bytes, (n-1)/n reduced. Moves as little
 * as the ring and waits twice only; wants a link between any two ranks.
 *
 * Source: folklore, a direct reduce-scatter and a direct all-gather.
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"
#include "algorithms/rank_order.h"

static void twoshot_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const uint32_t n = problem->nranks;
    const uint32_t me = problem->rank;

    wh_build_lane(b, 0);
    for (uint32_t distance = 1; distance < n; distance++) {
        const uint32_t peer = (me + distance) % n;
        wh_build_send(b, peer, WH_INPUT, peer, 1);
    }
    /* The step that finishes also sends to the right. */
    wh_rank_order_reduce(problem, b, me, WH_SEND);
    for (uint32_t distance = 2; distance < n; distance++) {
        wh_build_send(b, (me + distance) % n, WH_OUTPUT, me, 1);
    }
    for (uint32_t distance = 1; distance < n; distance++) {
        const uint32_t peer = (me + n - distance) % n;
        wh_build_recv(b, peer, WH_OUTPUT, peer, 1);
    }
}

/*
 * With P passes of n slots: 2 hops, 2(n-1)P messages, 2(n-1)/n * nbytes moved,
 * (n-1)/n * nbytes reduced.
 */
static double twoshot_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                              size_t nbytes)
{
    const double n = (double)problem->nranks;
    const double share = (n - 1) / n * (double)nbytes;

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = n > 1 ? 2 : 0,
                                  .nmessages = 2 * (n - 1) * wh_pass_count(fabric, nbytes, n),
                                  .moved_nbytes = 2 * share,
                                  .reduced_nbytes = share,
                                  .turns_nbytes = n > 2 ? 2 * share : 0,
                              });
}

const struct wh_algo wh_algo_allreduce_twoshot = {
    .name = "twoshot",
    .coll = WH_COLL_ALL_REDUCE,
    .build = twoshot_build,
    .nchunks = wh_pass_chunk_per_rank,
    .cost_ns = twoshot_cost_ns,
};
