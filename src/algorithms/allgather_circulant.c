/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Circulant all-gather: ceil(log2 n) rounds for any n. A rank that has s blocks, its own and those
 * of the s-1 ranks to its left, sends the newest of them to the rank s to its right.
 *
 *   n = 5, s = 1, 2, 3     round 0     round 1     round 2
 *   rank 0 sends           c0 to 1     c0 to 2     c4..c0 to 3
 *   rank 1 sends           c1 to 2     c1 to 3     c0..c1 to 4
 *   rank 2 sends           c2 to 3     c2 to 4     c1..c2 to 0
 *   rank 3 sends           c3 to 4     c3 to 0     c2..c3 to 1
 *   rank 4 sends           c4 to 0     c4 to 1     c3..c4 to 2
 *
 * The sizes s are n halved again and again and rounded up, backwards: 5, 3, 2, 1. They at most
 * double, so a round of s -> s' moves s'-s <= s blocks, and n-1 blocks arrive in all.
 *
 * Invariant: before a round of size s, a rank has blocks rank-s+1 .. rank, modulo n.
 *
 * Cost per rank: ceil(log2 n) messages one after another, (n-1)/n of the bytes. The ranges wrap
 * around, so no block is moved to get into its place.
 *
 * Source: Traff, "Optimal, non-pipelined reduce-scatter and allreduce algorithms", 2024
 * (arXiv:2410.14234), run backwards; Bruck et al., IEEE TPDS 8 (1997) for the idea.
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"
#include "base/bits.h"

/* The size that follows s: the smallest of n, ceil(n/2), ceil(n/4) ... that is larger. */
static uint32_t next_size(uint32_t n, uint32_t s)
{
    uint32_t next = n;
    while ((next + 1) / 2 > s) {
        next = (next + 1) / 2;
    }
    return next;
}

static void circulant_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const uint32_t n = problem->nranks;
    const uint32_t me = problem->rank;

    wh_build_lane(b, 0);
    for (uint32_t s = 1, next = 0; s < n; s = next) {
        next = next_size(n, s);
        const uint32_t nblocks = next - s;
        const uint32_t left = (me + n - s) % n;

        /* The first block goes out and home in one step. */
        wh_build_step(b, &(struct wh_move){
                             .flags = WH_SEND | (s == 1 ? WH_STORE : 0u),
                             .to = (me + s) % n,
                             .local = s == 1 ? WH_INPUT : WH_OUTPUT,
                             .store = WH_OUTPUT,
                             .chunk = me + n + 1 - nblocks,
                             .nchunks = nblocks,
                         });
        wh_build_recv(b, left, WH_OUTPUT, left + n + 1 - nblocks, nblocks);
    }
}

/*
 * With P passes of n / floor(n/2) slots: ceil(log2 n) hops, P times as many messages,
 * (n-1)/n * nbytes moved.
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

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = nhops,
                                  .nmessages = nhops * wh_pass_count(fabric, nbytes, nslots),
                                  .moved_nbytes = (n - 1) / n * (double)nbytes,
                              });
}

const struct wh_algo wh_algo_allgather_circulant = {
    .name = "circulant",
    .coll = WH_COLL_ALL_GATHER,
    .build = circulant_build,
    .nchunks = wh_pass_chunk_per_rank,
    .cost_ns = circulant_cost_ns,
};
