/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Double binary tree reduce: partial sums go up two trees (shape_tree.h), each with half of the
 * data. Pass after pass follows, so that all levels work at the same time.
 *
 *   n = 4, root 0    tree 0 (chunk 0)        tree 1 (chunk 1)
 *   round 0          1 to 2, 3 to 2          3 to 1, 2 to 1
 *   round 1          2 to 0                  1 to 0
 *
 * Lanes: one for each tree. They share no chunk, and each has its own SCRATCH.
 *
 * Invariant: what a rank sends holds the inputs of its whole subtree.
 *
 * Cost: floor(log2(n-1)) + 1 hops; then every rank receives at most, combines and sends the buffer
 * once. For large buffers and many ranks.
 *
 * Source: Sanders, Speck, Traff, Parallel Computing 35 (2009).
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"
#include "algorithms/shape_tree.h"

static void build_lane(struct wh_builder *b, const struct wh_tree_node *node, uint32_t chunk)
{
    if (node->nchildren == 0) {
        wh_build_send(b, node->parent, WH_INPUT, chunk, 1);
        return;
    }

    struct wh_move move = {
        .flags = WH_RECV | WH_REDUCE | WH_STORE,
        .to = node->parent,
        .local = WH_INPUT,
        .store = WH_SCRATCH,
        .chunk = chunk,
        .nchunks = 1,
    };
    for (uint32_t i = 0; i + 1 < node->nchildren; i++) {
        move.from = node->child[i];
        wh_build_step(b, &move);
        move.local = WH_SCRATCH;
    }

    move.from = node->child[node->nchildren - 1];
    move.flags = WH_RECV | WH_REDUCE | (node->is_root ? WH_FINISH | WH_STORE : WH_SEND);
    move.store = WH_OUTPUT;
    wh_build_step(b, &move);
}

static void tree_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const struct wh_tree_pair trees = {.nranks = problem->nranks, .root = problem->root};

    for (uint32_t tree = 0; tree < WH_TREES; tree++) {
        const struct wh_tree_node node = wh_tree_node_of(&trees, tree, problem->rank);
        wh_build_lane(b, tree);
        build_lane(b, &node, tree);
    }
}

static uint32_t tree_nchunks(const struct wh_problem *problem)
{
    (void)problem;
    return WH_TREES;
}

/*
 * With P passes of two slots, c = nbytes / 2P in each, depth d: d hops, on each of which a rank
 * serves two children, and two messages in every later pass: 2(d + P-1) messages of c, each
 * combined.
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
    const double path_nbytes = nmessages * (double)nbytes / (WH_TREES * npasses);

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = depth,
                                  .nmessages = nmessages,
                                  .moved_nbytes = path_nbytes,
                                  .reduced_nbytes = path_nbytes,
                              });
}

const struct wh_algo wh_algo_reduce_tree = {
    .name = "tree",
    .coll = WH_COLL_REDUCE,
    .build = tree_build,
    .nchunks = tree_nchunks,
    .cost_ns = tree_cost_ns,
};
