/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/shape_tree.h"

#include "base/bits.h"

#include <assert.h>

/* 1..m for the m ranks below the root, 0 for the root. */
static uint32_t label_of(const struct wh_tree_pair *pair, uint32_t tree, uint32_t rank)
{
    const uint32_t m = pair->nranks - 1;
    const uint32_t distance = (rank + pair->nranks - pair->root) % pair->nranks;
    if (tree == 0 || distance == 0) {
        return distance;
    }
    return m % 2 == 0 ? m + 1 - distance : distance % m + 1;
}

static uint32_t rank_of(const struct wh_tree_pair *pair, uint32_t tree, uint32_t label)
{
    const uint32_t m = pair->nranks - 1;
    uint32_t distance = label;
    if (tree == 1 && label != 0) {
        distance = m % 2 == 0 ? m + 1 - label : (label + m - 2) % m + 1;
    }
    return (uint32_t)(((uint64_t)pair->root + distance) % pair->nranks);
}

/* A parent is one higher than its child; where it is beyond m, the next one down that has label in
 * its right half is the parent. 0, the root, is the last resort. */
static uint32_t parent_label(uint32_t label, uint32_t m)
{
    const uint32_t low = label & (0u - label);
    const uint32_t parent = (label ^ low) | (low << 1);
    return parent <= m ? parent : label ^ low;
}

/* The right child of label, whose lowest bit is low: the middle of the right half. Where that is
 * beyond m, the half is cut in half until its middle exists. 0 if there is nothing to the right. */
static uint32_t right_child_label(uint32_t label, uint32_t low, uint32_t m)
{
    for (uint32_t half = low / 2; half > 0; half /= 2) {
        if (label + half <= m) {
            return label + half;
        }
    }
    return 0;
}

struct wh_tree_node wh_tree_node_of(const struct wh_tree_pair *pair, uint32_t tree, uint32_t rank)
{
    assert(pair->nranks >= 2 && tree < WH_TREES);
    assert(rank < pair->nranks && pair->root < pair->nranks);

    const uint32_t m = pair->nranks - 1;
    const uint32_t label = label_of(pair, tree, rank);
    struct wh_tree_node node = {.is_root = label == 0};

    if (node.is_root) {
        node.child[node.nchildren++] = rank_of(pair, tree, 1u << wh_log2_floor(m));
        return node;
    }

    const uint32_t low = label & (0u - label);
    node.parent = rank_of(pair, tree, parent_label(label, m));
    if (low > 1) {
        node.child[node.nchildren++] = rank_of(pair, tree, label - low / 2);
    }
    const uint32_t right = right_child_label(label, low, m);
    if (right != 0) {
        node.child[node.nchildren++] = rank_of(pair, tree, right);
    }
    return node;
}

uint32_t wh_tree_depth(uint32_t nranks)
{
    assert(nranks >= 2);
    return wh_log2_floor(nranks - 1) + 1;
}
