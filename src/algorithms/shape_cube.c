/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/shape_cube.h"

#include "base/bits.h"

#include <assert.h>

struct wh_cube wh_cube_of(uint32_t nranks, uint32_t rank)
{
    assert(rank < nranks);

    const uint32_t ndims = wh_log2_floor(nranks);
    const uint32_t nmembers = 1u << ndims;
    const uint32_t nguests = nranks - nmembers;
    struct wh_cube cube = {.nranks = nranks, .nmembers = nmembers, .ndims = ndims};

    if (rank >= 2 * nguests) {
        cube.role = WH_CUBE_MEMBER;
        cube.index = rank - nguests;
    } else if (rank % 2 == 0) {
        cube.role = WH_CUBE_GUEST;
        cube.partner = rank + 1;
    } else {
        cube.role = WH_CUBE_HOST;
        cube.partner = rank - 1;
        cube.index = rank / 2;
    }
    cube.member = cube.index ^ cube.index >> 1;
    return cube;
}

uint32_t wh_cube_neighbour(const struct wh_cube *cube, uint32_t dim)
{
    assert(dim < cube->ndims && cube->role != WH_CUBE_GUEST);

    const uint32_t nguests = cube->nranks - cube->nmembers;
    /* The code is reflected: of 2^(dim + 1) numbers the second half is the first one backwards, with
     * bit dim set. */
    const uint32_t index = cube->index ^ ((2u << dim) - 1);
    return index < nguests ? 2 * index + 1 : index + nguests;
}

bool wh_cube_folds(uint32_t nranks)
{
    return !wh_is_pow2(nranks);
}
