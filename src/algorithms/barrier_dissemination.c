/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dissemination barrier: in round r every rank tells the one 2^r to its right that it is here, and
 * waits for the one 2^r to its left. ceil(log2 n) rounds for any n, messages without data.
 *
 *   n = 5            round 0   round 1   round 2
 *   rank 0 tells        1         2         4
 *   rank 1 tells        2         3         0
 *   rank 2 tells        3         4         1
 *   rank 3 tells        4         0         2
 *   rank 4 tells        0         1         3
 *
 * Invariant: after round r a rank has heard, through others, of the 2^(r+1)-1 ranks to its left.
 *
 * Source: Hensgen, Finkel, Manber, "Two algorithms for barrier synchronization", IJPP 17 (1988).
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"
#include "base/bits.h"

static void dissemination_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const uint32_t n = problem->nranks;

    wh_build_lane(b, 0);
    for (uint64_t distance = 1; distance < n; distance *= 2) {
        wh_build_step(b, &(struct wh_move){
                             .flags = WH_SEND,
                             .to = (uint32_t)((problem->rank + distance) % n),
                         });
        wh_build_step(b, &(struct wh_move){
                             .flags = WH_RECV,
                             .from = (uint32_t)((problem->rank + n - distance) % n),
                         });
    }
}

/* ceil(log2 n) hops. */
static double dissemination_cost_ns(const struct wh_problem *problem,
                                    const struct wh_fabric *fabric, size_t nbytes)
{
    (void)nbytes;
    const double nhops = wh_log2_ceil(problem->nranks);

    return wh_cost_ns(fabric, &(struct wh_work){.nhops = nhops, .nmessages = nhops});
}

const struct wh_algo wh_algo_barrier_dissemination = {
    .name = "dissemination",
    .coll = WH_COLL_BARRIER,
    .build = dissemination_build,
    .nchunks = wh_pass_one_chunk,
    .cost_ns = dissemination_cost_ns,
};
