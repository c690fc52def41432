/* SPDX-License-Identifier: Apache-2.0 */
/*
 * k-nomial reduce: every rank combines the partial sums of its children, of those with the fewest
 * ranks behind them first, because these are ready first, and sends the sum to its parent
 * (shape_knomial.h; k = 4).
 *
 *   n = 8, root 0    round 0                          round 1
 *                    1, 2, 3 to 0    5, 6, 7 to 4     4 to 0
 *
 * Invariant: what a rank sends holds the inputs of its whole subtree.
 *
 * Cost: ceil(log4 n) hops; the root receives and combines at most 3 ceil(log4 n) messages of the
 * whole buffer. For small buffers.
 *
 * Source: textbook; broadcast_knomial.c backwards.
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"
#include "algorithms/shape_knomial.h"

static void knomial_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const struct wh_knomial node = wh_knomial_of(problem->nranks, problem->root, problem->rank);

    wh_build_lane(b, 0);
    if (node.nchildren == 0) {
        wh_build_send(b, node.parent, WH_INPUT, 0, 1);
        return;
    }

    struct wh_move move = {
        .flags = WH_RECV | WH_REDUCE | WH_STORE,
        .local = WH_INPUT,
        .store = WH_SCRATCH,
        .nchunks = 1,
    };
    for (uint32_t i = node.nchildren - 1; i > 0; i--) {
        move.from = node.child[i];
        wh_build_step(b, &move);
        move.local = WH_SCRATCH;
    }

    move.from = node.child[0];
    if (node.is_root) {
        move.flags |= WH_FINISH;
        move.store = WH_OUTPUT;
    } else {
        move.flags = WH_RECV | WH_REDUCE | WH_SEND;
        move.to = node.parent;
    }
    wh_build_step(b, &move);
}

/*
 * With P passes of one slot and s messages that the root receives in each: ceil(log4 n) hops,
 * sP messages, s * nbytes moved and reduced.
 */
static double knomial_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                              size_t nbytes)
{
    const double nreceives = wh_knomial_of(problem->nranks, 0, 0).nchildren;

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = wh_knomial_depth(problem->nranks),
                                  .nmessages = nreceives * wh_pass_count(fabric, nbytes, 1),
                                  .moved_nbytes = nreceives * (double)nbytes,
                                  .reduced_nbytes = nreceives * (double)nbytes,
                              });
}

const struct wh_algo wh_algo_reduce_knomial = {
    .name = "knomial",
    .coll = WH_COLL_REDUCE,
    .build = knomial_build,
    .nchunks = wh_pass_one_chunk,
    .cost_ns = knomial_cost_ns,
};
