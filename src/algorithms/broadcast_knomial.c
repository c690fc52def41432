/* SPDX-License-Identifier: Apache-2.0 */
/*
 * k-nomial broadcast: whoever has the data sends it to k-1 others per round, to those with the most
 * ranks behind them first (shape_knomial.h; k = 4).
 *
 *   n = 8, root 0    round 0             round 1
 *                    0 to 4              0 to 1, 2, 3     4 to 5, 6, 7
 *
 * Invariant: after the rounds of the r highest digits, the ranks whose distance to the root has
 * only zeros in the other digits have the data.
 *
 * Cost: ceil(log4 n) hops; the root sends at most 3 ceil(log4 n) messages of the whole buffer. For
 * small buffers.
 *
 * Source: textbook; the binomial tree with another base.
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"
#include "algorithms/shape_knomial.h"

static void knomial_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const struct wh_knomial node = wh_knomial_of(problem->nranks, problem->root, problem->rank);

    wh_build_lane(b, 0);
    if (!node.is_root) {
        wh_build_step(b, &(struct wh_move){
                             .flags = WH_RECV | WH_STORE | (node.nchildren > 0 ? WH_SEND : 0u),
                             .from = node.parent,
                             .to = node.child[0],
                             .store = WH_OUTPUT,
                             .nchunks = 1,
                         });
        for (uint32_t i = 1; i < node.nchildren; i++) {
            wh_build_send(b, node.child[i], WH_OUTPUT, 0, 1);
        }
        return;
    }

    for (uint32_t i = 0; i < node.nchildren; i++) {
        /* Others wait for the root's messages and nobody for its output, so that comes last. */
        wh_build_step(b, &(struct wh_move){
                             .flags = WH_SEND | (i + 1 == node.nchildren ? WH_STORE : 0u),
                             .to = node.child[i],
                             .local = WH_INPUT,
                             .store = WH_OUTPUT,
                             .nchunks = 1,
                         });
    }
}

/*
 * With P passes of one slot and s messages that the root sends in each: ceil(log4 n) hops,
 * sP messages, s * nbytes moved.
 */
static double knomial_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                              size_t nbytes)
{
    const double nsends = wh_knomial_of(problem->nranks, 0, 0).nchildren;

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = wh_knomial_depth(problem->nranks),
                                  .nmessages = nsends * wh_pass_count(fabric, nbytes, 1),
                                  .moved_nbytes = nsends * (double)nbytes,
                              });
}

const struct wh_algo wh_algo_broadcast_knomial = {
    .name = "knomial",
    .coll = WH_COLL_BROADCAST,
    .build = knomial_build,
    .nchunks = wh_pass_one_chunk,
    .cost_ns = knomial_cost_ns,
};
