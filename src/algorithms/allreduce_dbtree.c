/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Double binary tree all-reduce: two trees with rank 0 on top (shape_tree.h), each with half of the
 * data. Partial sums go up, results come down; pass after pass follows, so that all levels work at
 * the same time.
 *
 *   n = 4, tree 0          up                             down
 *       0          0: recv 2, reduce, finish,    (the same step sends to 2)
 *       |             store, send 2
 *       2          2: recv 1, reduce; recv 3,    recv 0, store, send 1; send 3
 *      / \            reduce, send 0
 *     1   3        1: send 2                     recv 2, store
 *                  3: send 2                     recv 2, store
 *   Tree 1 is the same with 1 in the place of 2, 2 of 3, 3 of 1, one channel further.
 *
 * Lanes: up and down of each tree. They share INPUT and OUTPUT, but a chunk comes down only after
 * it went up complete, so a rank has read its input by then.
 *
 * Invariant: what a rank sends up holds the inputs of its whole subtree.
 *
 * Cost: 2d hops, d = floor(log2(n-1)) + 1. An inner rank moves 4 messages a pass: one up and two
 * down in the tree where it has children, one up in the other; 2 * nbytes in all, which no
 * algorithm undercuts by more than a factor (n-1)/n.
 *
 * Source: Sanders, Speck, Traff, Parallel Computing 35 (2009), with the same root in both trees.
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"
#include "algorithms/shape_tree.h"

/* The children's partial sums join the own input one by one; the last one makes it complete. */
static void build_up(struct wh_builder *b, const struct wh_tree_node *node, uint32_t chunk)
{
    if (node->nchildren == 0) {
        wh_build_send(b, node->parent, WH_INPUT, chunk, 1);
        return;
    }

    struct wh_move move = {
        .flags = WH_RECV | WH_REDUCE | WH_STORE,
        .from = node->child[0],
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
    if (node->is_root) {
        /* Here the way up turns into the way down. */
        move.flags = WH_RECV | WH_REDUCE | WH_FINISH | WH_STORE | WH_SEND;
        move.store = WH_OUTPUT;
        move.to = node->child[0];
    } else {
        move.flags = WH_RECV | WH_REDUCE | WH_SEND;
        move.to = node->parent;
    }
    wh_build_step(b, &move);
}

static void build_down(struct wh_builder *b, const struct wh_tree_node *node, uint32_t chunk)
{
    wh_build_step(b, &(struct wh_move){
                         .flags = WH_RECV | WH_STORE | (node->nchildren > 0 ? WH_SEND : 0u),
                         .from = node->parent,
                         .to = node->child[0],
                         .store = WH_OUTPUT,
                         .chunk = chunk,
                         .nchunks = 1,
                     });
    for (uint32_t i = 1; i < node->nchildren; i++) {
        wh_build_send(b, node->child[i], WH_OUTPUT, chunk, 1);
    }
}

static void dbtree_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const struct wh_tree_pair trees = {.nranks = problem->nranks, .root = 0};

    wh_build_entry(b);
    for (uint32_t tree = 0; tree < WH_TREES; tree++) {
        const struct wh_tree_node node = wh_tree_node_of(&trees, tree, problem->rank);
        wh_build_lane(b, tree);
        build_up(b, &node, tree);
        if (!node.is_root) {
            wh_build_lane(b, tree);
            build_down(b, &node, tree);
        }
    }
}

static uint32_t dbtree_nchunks(const struct wh_problem *problem)
{
    (void)problem;
    return WH_TREES;
}

/*
 * With P passes of two slots, c = nbytes / 2P in each: the first pass takes 2d hops, on each of
 * which a rank moves a chunk of either tree; then each pass takes 4 messages of c and 2c reduced:
 * 2d hops, 4d + 4(P-1) messages of c, 2c(d + P-1) reduced.
 */
static double dbtree_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                             size_t nbytes)
{
    if (problem->nranks == 1) {
        return 0;
    }

    const double depth = wh_tree_depth(problem->nranks);
    const double npasses = wh_pass_count(fabric, nbytes, WH_TREES);
    const double chunk_nbytes = (double)nbytes / (WH_TREES * npasses);
    const double nmessages = 4 * (depth + npasses - 1);

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = 2 * depth,
                                  .nmessages = nmessages,
                                  .moved_nbytes = nmessages * chunk_nbytes,
                                  .reduced_nbytes = 2 * (depth + npasses - 1) * chunk_nbytes,
                              });
}

const struct wh_algo wh_algo_allreduce_dbtree = {
    .name = "tree",
    .coll = WH_COLL_ALL_REDUCE,
    .build = dbtree_build,
    .nchunks = dbtree_nchunks,
    .cost_ns = dbtree_cost_ns,
};
