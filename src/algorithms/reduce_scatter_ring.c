/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring reduce-scatter: the partial sum of each block travels to the right, n-1 rounds, and ends at
 * the rank that owns the block.
 *
 *   n = 3            round 0   round 1
 *   rank 0 sends        c2        c1        and ends with c0
 *   rank 1 sends        c0        c2        and ends with c1
 *   rank 2 sends        c1        c0        and ends with c2
 *
 * Invariant: a block that arrives in round r holds the inputs of the r+1 ranks to the left.
 *
 * Cost per rank: n-1 messages one after another, (n-1)/n of the bytes moved and reduced.
 *
 * Source: the first half of the ring all-reduce; Patarasuk, Yuan, JPDC 69 (2009).
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"

static void ring_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const uint32_t n = problem->nranks;
    const uint32_t me = problem->rank;
    const uint32_t right = (me + 1) % n;
    const uint32_t left = (me + n - 1) % n;

    wh_build_abreast(b);
    wh_build_lane(b, 0);
    wh_build_send(b, right, WH_INPUT, left, 1);
    for (uint32_t round = 1; round < n - 1; round++) {
        wh_build_step(b, &(struct wh_move){
                             .flags = WH_RECV | WH_REDUCE | WH_SEND,
                             .from = left,
                             .to = right,
                             .local = WH_INPUT,
                             .chunk = left + n - round,
                             .nchunks = 1,
                         });
    }
    wh_build_step(b, &(struct wh_move){
                         .flags = WH_RECV | WH_REDUCE | WH_FINISH | WH_STORE,
                         .from = left,
                         .local = WH_INPUT,
                         .store = WH_OUTPUT,
                         .chunk = me,
                         .nchunks = 1,
                     });
}

/* With P passes of n slots: n-1 hops, (n-1)P messages, (n-1)/n * nbytes moved and reduced. */
static double ring_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                           size_t nbytes)
{
    const double n = (double)problem->nranks;
    const double share = (n - 1) / n * (double)nbytes;

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = n - 1,
                                  .nmessages = (n - 1) * wh_pass_count(fabric, nbytes, n),
                                  .moved_nbytes = share,
                                  .reduced_nbytes = share,
                              });
}

const struct wh_algo wh_algo_reduce_scatter_ring = {
    .name = "ring",
    .coll = WH_COLL_REDUCE_SCATTER,
    .build = ring_build,
    .nchunks = wh_pass_chunk_per_rank,
    .cost_ns = ring_cost_ns,
};
