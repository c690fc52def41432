/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two binary trees over the same ranks, so that each carries half of the data and nobody works
 * twice.
 *
 * The root sits above both trees and has one child in each. The m = n-1 other ranks carry labels
 * 1..m, by which each tree is in order: a label's height is its number of trailing zero bits, odd
 * labels are leaves. The second tree gives every rank a label of the other parity, so that a rank
 * with children in one tree is a leaf in the other (for odd m one rank is a leaf in both).
 *
 *   n = 7, root 0           tree 0: label = rank       tree 1: label = 7 - rank
 *
 *                                 0                              0
 *                                 |                              |
 *                                 4                              3
 *                              .--'--.                        .--'--.
 *                              2     6                        5     1
 *                             / \   /                        / \     \
 *                            1   3 5                        6   4     2
 *
 * For odd m the labels of tree 1 are shifted by one instead of mirrored. Near ranks are near in the
 * tree. Every rank sends (and receives) at most as many bytes as the buffer has, whatever n is.
 *
 * Source: Sanders, Speck, Traff, "Two-tree algorithms for full bandwidth broadcast, reduction and
 * scan", Parallel Computing 35 (2009).
 */
#ifndef WH_ALGORITHMS_SHAPE_TREE_H
#define WH_ALGORITHMS_SHAPE_TREE_H

#include <stdbool.h>
#include <stdint.h>

enum { WH_TREES = 2, WH_TREE_CHILDREN_MAX = 2 };

/** A rank's place in one tree. */
struct wh_tree_node {
    bool is_root;
    uint32_t parent; /* not if is_root */
    uint32_t nchildren;
    uint32_t child[WH_TREE_CHILDREN_MAX];
};

/** The trees of nranks >= 2 ranks under root. */
struct wh_tree_pair {
    uint32_t nranks;
    uint32_t root;
};

/** The place of rank in tree 0 or 1. */
struct wh_tree_node wh_tree_node_of(const struct wh_tree_pair *pair, uint32_t tree, uint32_t rank);

/** Hops from the root to the deepest leaf, the same in both trees; nranks >= 2. */
uint32_t wh_tree_depth(uint32_t nranks);

#endif
