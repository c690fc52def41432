/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The k-nomial tree: a rank's distance to the root, written in base k, loses its last non-zero
 * digit on the way to the parent. A node has up to k-1 children for each zero at the end of its
 * number.
 *
 *   n = 8, k = 4        0          depth ceil(log_k n)
 *                   .-+-+-+-.
 *                   4 1 2 3
 *                 .-+-.
 *                 5 6 7
 *
 * k = 4: a level then costs three sends and the levels are half as many as with k = 2. Three sends
 * are in flight together, a level has to be waited for, so this is the better trade as long as
 * waiting for a message takes longer than writing two more.
 */
#ifndef WH_ALGORITHMS_SHAPE_KNOMIAL_H
#define WH_ALGORITHMS_SHAPE_KNOMIAL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    WH_KNOMIAL_RADIX = 4,
    WH_KNOMIAL_CHILDREN_MAX = (WH_KNOMIAL_RADIX - 1) * 16, /* 16 digits in base 4 make 32 bits */
};

/** A rank's place in the tree. */
struct wh_knomial {
    bool is_root;
    uint32_t parent; /* not if is_root */
    uint32_t nchildren;
    uint32_t child[WH_KNOMIAL_CHILDREN_MAX]; /* largest subtrees first */
};

struct wh_knomial wh_knomial_of(uint32_t nranks, uint32_t root, uint32_t rank);

/** Hops from the root to the deepest leaf: ceil(log_k nranks). */
uint32_t wh_knomial_depth(uint32_t nranks);

#endif
