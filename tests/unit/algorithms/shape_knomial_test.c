/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/shape_knomial.h"

#include <criterion/criterion.h>

Test(shape_knomial, it_is_a_tree_of_logarithmic_depth)
{
    for (uint32_t n = 1; n <= 130; n++) {
        const uint32_t root = n / 2;
        uint32_t nchildren = 0;
        uint32_t deepest = 0;
        for (uint32_t rank = 0; rank < n; rank++) {
            struct wh_knomial node = wh_knomial_of(n, root, rank);
            nchildren += node.nchildren;
            for (uint32_t i = 0; i < node.nchildren; i++) {
                cr_expect_eq(wh_knomial_of(n, root, node.child[i]).parent, rank);
            }
            uint32_t depth = 0;
            while (!node.is_root) {
                cr_assert_lt(depth++, n);
                node = wh_knomial_of(n, root, node.parent);
            }
            deepest = depth > deepest ? depth : deepest;
        }
        cr_expect_eq(nchildren, n - 1);
        cr_expect_leq(deepest, wh_knomial_depth(n));
    }
}

Test(shape_knomial, depth_is_ceil_log4)
{
    static const struct {
        uint32_t nranks, depth;
    } rows[] = {{1, 0}, {2, 1}, {4, 1}, {5, 2}, {16, 2}, {17, 3}, {UINT32_MAX, 16}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_expect_eq(wh_knomial_depth(rows[i].nranks), rows[i].depth);
    }
}

Test(shape_knomial, the_widest_tree_fits)
{
    const struct wh_knomial root = wh_knomial_of(UINT32_MAX, 0, 0);
    cr_expect_eq(root.nchildren, WH_KNOMIAL_CHILDREN_MAX);
}

Test(shape_knomial, eight_ranks_are_as_drawn)
{
    static const uint32_t children[4] = {4, 1, 2, 3};

    const struct wh_knomial root = wh_knomial_of(8, 0, 0);
    cr_assert_eq(root.nchildren, 4);
    for (uint32_t i = 0; i < 4; i++) {
        cr_expect_eq(root.child[i], children[i]);
    }
    cr_expect_eq(wh_knomial_of(8, 0, 7).parent, 4);
}
