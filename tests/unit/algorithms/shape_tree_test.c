/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/shape_tree.h"

#include <criterion/criterion.h>

/* Hops from rank up to the root; fails if they do not end. */
static uint32_t depth_of(const struct wh_tree_pair *pair, uint32_t tree, uint32_t rank)
{
    uint32_t depth = 0;
    struct wh_tree_node node = wh_tree_node_of(pair, tree, rank);
    while (!node.is_root) {
        cr_assert_lt(depth++, pair->nranks);
        node = wh_tree_node_of(pair, tree, node.parent);
    }
    return depth;
}

static void expect_child_knows_parent(const struct wh_tree_pair *pair, uint32_t tree, uint32_t rank)
{
    const struct wh_tree_node node = wh_tree_node_of(pair, tree, rank);
    for (uint32_t i = 0; i < node.nchildren; i++) {
        const struct wh_tree_node child = wh_tree_node_of(pair, tree, node.child[i]);
        cr_expect_not(child.is_root);
        cr_expect_eq(child.parent, rank);
    }
}

Test(shape_tree, both_are_trees_of_logarithmic_depth)
{
    for (uint32_t n = 2; n <= 130; n++) {
        const struct wh_tree_pair pair = {.nranks = n, .root = n / 3};
        for (uint32_t tree = 0; tree < WH_TREES; tree++) {
            uint32_t deepest = 0;
            uint32_t nchildren = 0;
            for (uint32_t rank = 0; rank < n; rank++) {
                const uint32_t depth = depth_of(&pair, tree, rank);
                deepest = depth > deepest ? depth : deepest;
                nchildren += wh_tree_node_of(&pair, tree, rank).nchildren;
                expect_child_knows_parent(&pair, tree, rank);
            }
            cr_expect_eq(deepest, wh_tree_depth(n), "%u ranks, tree %u: %u", n, tree, deepest);
            cr_expect_eq(nchildren, n - 1);
        }
    }
}

Test(shape_tree, whoever_has_children_in_one_has_none_in_the_other)
{
    for (uint32_t n = 2; n <= 130; n++) {
        const struct wh_tree_pair pair = {.nranks = n, .root = n - 1};
        for (uint32_t rank = 0; rank < n - 1; rank++) {
            const struct wh_tree_node a = wh_tree_node_of(&pair, 0, rank);
            const struct wh_tree_node b = wh_tree_node_of(&pair, 1, rank);
            cr_expect(a.nchildren == 0 || b.nchildren == 0, "%u ranks, rank %u", n, rank);
        }
        cr_expect_eq(wh_tree_node_of(&pair, 0, n - 1).nchildren, 1);
        cr_expect_eq(wh_tree_node_of(&pair, 1, n - 1).nchildren, 1);
    }
}

Test(shape_tree, seven_ranks_are_as_drawn)
{
    static const uint32_t parents[WH_TREES][7] = {{0, 2, 4, 2, 0, 6, 4}, {0, 3, 1, 0, 5, 3, 5}};

    const struct wh_tree_pair pair = {.nranks = 7, .root = 0};
    for (uint32_t tree = 0; tree < WH_TREES; tree++) {
        for (uint32_t rank = 1; rank < 7; rank++) {
            cr_expect_eq(wh_tree_node_of(&pair, tree, rank).parent, parents[tree][rank]);
        }
    }
}
