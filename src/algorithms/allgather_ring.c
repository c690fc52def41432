/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring all-gather: every block travels once around, n-1 rounds. In every round each rank sends one
 * block to its right and receives one from its left.
 *
 *   n = 3            round 0   round 1
 *   rank 0 sends        c0        c2
 *   rank 1 sends        c1        c0
 *   rank 2 sends        c2        c1
 *
 * Invariant: after round r a rank has its own block and those of the r+1 ranks to its left.
 *
 * Cost per rank: n-1 messages one after another, (n-1)/n of the bytes.
 *
 * Source: the second half of the ring all-reduce; Patarasuk, Yuan, JPDC 69 (2009).
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
    wh_build_step(b, &(struct wh_move){
                         .flags = WH_STORE | WH_SEND,
                         .to = right,
                         .local = WH_INPUT,
                         .store = WH_OUTPUT,
                         .chunk = me,
                         .nchunks = 1,
                     });
    for (uint32_t round = 0; round < n - 2; round++) {
        wh_build_step(b, &(struct wh_move){
                             .flags = WH_RECV | WH_STORE | WH_SEND,
                             .from = left,
                             .to = right,
                             .store = WH_OUTPUT,
                             .chunk = left + n - round,
                             .nchunks = 1,
                         });
    }
    wh_build_recv(b, left, WH_OUTPUT, right, 1);
}

/* With P passes of n slots: n-1 hops, (n-1)P messages, (n-1)/n * nbytes moved. */
static double ring_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                           size_t nbytes)
{
    const double n = (double)problem->nranks;

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = n - 1,
                                  .nmessages = (n - 1) * wh_pass_count(fabric, nbytes, n),
                                  .moved_nbytes = (n - 1) / n * (double)nbytes,
                              });
}

const struct wh_algo wh_algo_allgather_ring = {
    .name = "ring",
    .coll = WH_COLL_ALL_GATHER,
    .build = ring_build,
    .nchunks = wh_pass_chunk_per_rank,
    .cost_ns = ring_cost_ns,
};
