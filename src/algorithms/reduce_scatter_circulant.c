/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Circulant reduce-scatter: ceil(log2 n) rounds for any n. A rank works on the s' blocks from its
 * own on; it sends the far half of them to the rank s = ceil(s'/2) to its right, and combines what
 * comes from the left with the near half.
 *
 *   n = 5, s' = 5, 3, 2    round 0         round 1     round 2
 *   rank 0 sends           c3..c4 to 3     c2 to 2     c1 to 1     and ends with c0
 *   rank 1 sends           c4..c0 to 4     c3 to 3     c2 to 2     and ends with c1
 *   rank 2 sends           c0..c1 to 0     c4 to 4     c3 to 3     and ends with c2
 *   rank 3 sends           c1..c2 to 1     c0 to 0     c4 to 4     and ends with c3
 *   rank 4 sends           c2..c3 to 2     c1 to 1     c0 to 0     and ends with c4
 *
 * Invariant: after a round of size s, all inputs of block b are in the partial sums that ranks
 * b-s+1 .. b (modulo n) hold of it.
 *
 * Cost per rank: ceil(log2 n) messages one after another, (n-1)/n of the bytes moved and reduced.
 * The first message is the largest and goes farthest: for a network without near and far.
 *
 * Partial sums live in SCRATCH. Where s' is odd in the first round, the middle block meets nothing
 * in that round and is copied there, because it leaves in the next round with others.
 *
 * Source: Traff, "Optimal, non-pipelined reduce-scatter and allreduce algorithms", 2024
 * (arXiv:2410.14234).
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"
#include "base/bits.h"

static void circulant_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const uint32_t n = problem->nranks;
    const uint32_t me = problem->rank;

    if (n > 2) {
        wh_build_entry(b);
    }
    wh_build_lane(b, 0);
    for (uint32_t size = n; size > 1;) {
        const uint32_t near = (size + 1) / 2;
        const uint32_t nblocks = size - near;
        const bool is_first = size == n;
        const bool is_last = near == 1;

        wh_build_send(b, (me + near) % n, is_first ? WH_INPUT : WH_SCRATCH, me + near, nblocks);
        if (is_first && nblocks < near) {
            wh_build_copy(b, WH_INPUT, WH_SCRATCH, me + nblocks, 1);
        }
        wh_build_step(b, &(struct wh_move){
                             .flags = WH_RECV | WH_REDUCE | WH_STORE | (is_last ? WH_FINISH : 0u),
                             .from = (me + n - near) % n,
                             .local = is_first ? WH_INPUT : WH_SCRATCH,
                             .store = is_last ? WH_OUTPUT : WH_SCRATCH,
                             .chunk = me,
                             .nchunks = nblocks,
                         });
        size = near;
    }
}

/*
 * With P passes of n / floor(n/2) slots: ceil(log2 n) hops, P times as many messages,
 * (n-1)/n * nbytes moved and reduced.
 */
static double circulant_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                                size_t nbytes)
{
    if (problem->nranks == 1) {
        return 0;
    }

    const double n = (double)problem->nranks;
    const double nslots = n / (double)(problem->nranks / 2);
    const double nhops = wh_log2_ceil(problem->nranks);
    const double share = (n - 1) / n * (double)nbytes;

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = nhops,
                                  .nmessages = nhops * wh_pass_count(fabric, nbytes, nslots),
                                  .moved_nbytes = share,
                                  .reduced_nbytes = share,
                              });
}

const struct wh_algo wh_algo_reduce_scatter_circulant = {
    .name = "circulant",
    .coll = WH_COLL_REDUCE_SCATTER,
    .build = circulant_build,
    .nchunks = wh_pass_chunk_per_rank,
    .cost_ns = circulant_cost_ns,
};
