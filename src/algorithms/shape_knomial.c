/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/shape_knomial.h"

#include <assert.h>

struct wh_knomial wh_knomial_of(uint32_t nranks, uint32_t root, uint32_t rank)
{
    assert(rank < nranks && root < nranks);

    const uint32_t k = WH_KNOMIAL_RADIX;
    const uint32_t distance = (rank + nranks - root) % nranks;
    struct wh_knomial node = {.is_root = distance == 0};

    /* 64 bits, because the place one above the highest digit may not fit in 32. */
    uint64_t place = 1;
    while (place < nranks && distance / place % k == 0) {
        place *= k;
    }
    if (!node.is_root) {
        uint64_t parent = distance - distance / place % k * place;
        node.parent = (uint32_t)((parent + root) % nranks);
    }
    for (place /= k; place > 0; place /= k) {
        for (uint32_t digit = 1; digit < k && distance + digit * place < nranks; digit++) {
            uint64_t child = distance + digit * place;
            assert(node.nchildren < WH_KNOMIAL_CHILDREN_MAX);
            node.child[node.nchildren++] = (uint32_t)((child + root) % nranks);
        }
    }
    return node;
}

uint32_t wh_knomial_depth(uint32_t nranks)
{
    uint32_t depth = 0;
    for (uint64_t reached = 1; reached < nranks; reached *= WH_KNOMIAL_RADIX) {
        depth++;
    }
    return depth;
}
