/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Double binary tree broadcast: the root feeds two trees (shape_tree.h), each with half of the
 * data. Pass after pass follows, so that all levels work at the same time.
 *
 *   n = 4, root 0    tree 0 (chunk 0)        tree 1 (chunk 1)
 *   round 0          0 to 2                  0 to 1
 *   round 1          2 to 1, then 3          1 to 3, then 2
 *
 * Lanes: one for each tree. They share no chunk.
 *
 * Invariant: a rank with children in one tree has none in the other, so it sends as much as it
 * receives: the buffer once.
 *
 * Cost: floor(log2(n-1)) + 1 hops; then every rank receives and sends the buffer once. For large
 * buffers and many ranks.
 *
 * Source: Sanders, Speck, Traff, Parallel Computing 35 (2009).
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"
#include "algorithms/shape_tree.h"

static void tree_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const struct wh_tree_pair trees = {.nranks = problem->nranks, .root = problem->root};

    for (uint32_t tree = 0; tree < WH_TREES; tree++) {
        const struct wh_tree_node node = wh_tree_node_of(&trees, tree, problem->rank);
        const uint32_t receives = node.is_root ? 0 : WH_RECV;
        const uint32_t sends = node.nchildren > 0 ? WH_SEND : 0;

        wh_build_lane(b, tree);
        wh_build_step(b, &(struct wh_move){
                             .flags = receives | WH_STORE | sends,
                             .from = node.parent,
                             .to = node.child[0],
                             .local = WH_INPUT,
                             .store = WH_OUTPUT,
                             .chunk = tree,
                             .nchunks = 1,
                         });
        for (uint32_t i = 1; i < node.nchildren; i++) {
            wh_build_send(b, node.child[i], WH_OUTPUT, tree, 1);
        }
    }
}

static uint32_t tree_nchunks(const struct wh_problem *problem)
{
    (void)problem;
    return WH_TREES;
}

/*
 * With P passes of two slots, c = nbytes / 2P in each, depth d: d hops, on each of which a rank
 * serves two children, and two messages in every later pass: 2(d + P-1) messages of c.
 */
static double tree_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                           size_t nbytes)
{
    if (problem->nranks == 1) {
        return 0;
    }

    const double depth = wh_tree_depth(problem->nranks);
    const double npasses = wh_pass_count(fabric, nbytes, WH_TREES);
    const double nmessages = WH_TREES * (depth + npasses - 1);

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = depth,
                                  .nmessages = nmessages,
                                  .moved_nbytes = nmessages * (double)nbytes / (WH_TREES * npasses),
                              });
}

const struct wh_algo wh_algo_broadcast_tree = {
    .name = "tree",
    .coll = WH_COLL_BROADCAST,
    .build = tree_build,
    .nchunks = tree_nchunks,
    .cost_ns = tree_cost_ns,
};
