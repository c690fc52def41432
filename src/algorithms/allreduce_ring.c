/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ring all-reduce: n ranks, a chunk for every rank, 2(n-1) rounds. In every round each rank sends
 * one chunk to its right and receives one from its left.
 *
 *   n = 3            round 0   round 1   round 2   round 3
 *   rank 0 sends        c0        c2        c1        c0
 *   rank 1 sends        c1        c0        c2        c1
 *   rank 2 sends        c2        c1        c0        c2
 *                    '---- reduce ----' '---- spread ---'
 *
 * Invariant: a chunk that arrives in round r < n-1 holds the inputs of the r+1 ranks to the left.
 *
 * Cost per rank: 2(n-1) messages one after another, 2(n-1)/n of the bytes, (n-1)/n reduced: nobody
 * moves fewer bytes. Later passes follow in the wake of the first.
 *
 * Source: Patarasuk, Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations",
 * JPDC 69 (2009).
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"

/* One chunk from the left; what becomes of it leaves to the right. */
static void pass_on(const struct wh_problem *problem, struct wh_builder *b, struct wh_move move)
{
    const uint32_t n = problem->nranks;
    move.from = (problem->rank + n - 1) % n;
    move.to = (problem->rank + 1) % n;
    move.nchunks = 1;
    move.flags |= WH_RECV | WH_SEND;
    wh_build_step(b, &move);
}

static void ring_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const uint32_t n = problem->nranks;
    const uint32_t me = problem->rank;

    wh_build_abreast(b);
    wh_build_lane(b, 0);
    wh_build_send(b, (me + 1) % n, WH_INPUT, me, 1);
    for (uint32_t round = 1; round < n - 1; round++) {
        pass_on(problem, b,
                (struct wh_move){
                    .flags = WH_REDUCE,
                    .local = WH_INPUT,
                    .chunk = me + n - round,
                });
    }
    pass_on(problem, b,
            (struct wh_move){
                .flags = WH_REDUCE | WH_FINISH | WH_STORE,
                .local = WH_INPUT,
                .store = WH_OUTPUT,
                .chunk = me + 1,
            });
    for (uint32_t round = 0; round < n - 2; round++) {
        pass_on(problem, b,
                (struct wh_move){
                    .flags = WH_STORE,
                    .store = WH_OUTPUT,
                    .chunk = me + n - round,
                });
    }
    wh_build_recv(b, (me + n - 1) % n, WH_OUTPUT, me + 2, 1);
}

/*
 * With P passes of n slots:
 * 2(n-1) hops, 2(n-1)P messages, 2(n-1)/n * nbytes moved, (n-1)/n * nbytes reduced.
 */
static double ring_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                           size_t nbytes)
{
    const double n = (double)problem->nranks;
    const double npasses = wh_pass_count(fabric, nbytes, n);
    const double share = (n - 1) / n * (double)nbytes;

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = 2 * (n - 1),
                                  .nmessages = 2 * (n - 1) * npasses,
                                  .moved_nbytes = 2 * share,
                                  .reduced_nbytes = share,
                              });
}

const struct wh_algo wh_algo_allreduce_ring = {
    .name = "ring",
    .coll = WH_COLL_ALL_REDUCE,
    .build = ring_build,
    .nchunks = wh_pass_chunk_per_rank,
    .cost_ns = ring_cost_ns,
};
