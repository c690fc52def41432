/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/shape_cube.h"
#include "base/bits.h"

#include <criterion/criterion.h>

Test(shape_cube, guests_and_hosts_know_one_another)
{
    for (uint32_t n = 1; n <= 70; n++) {
        uint32_t nguests = 0;
        for (uint32_t rank = 0; rank < n; rank++) {
            const struct wh_cube cube = wh_cube_of(n, rank);
            if (cube.role == WH_CUBE_GUEST) {
                const struct wh_cube host = wh_cube_of(n, cube.partner);
                cr_expect_eq(host.role, WH_CUBE_HOST);
                cr_expect_eq(host.partner, rank);
                nguests++;
            }
        }
        cr_expect_eq(nguests, n - wh_cube_of(n, 0).nmembers);
        cr_expect_eq(wh_cube_folds(n), nguests > 0);
    }
}

Test(shape_cube, neighbours_differ_in_one_bit_and_are_mutual)
{
    for (uint32_t n = 1; n <= 70; n++) {
        for (uint32_t rank = 0; rank < n; rank++) {
            const struct wh_cube cube = wh_cube_of(n, rank);
            for (uint32_t dim = 0; cube.role != WH_CUBE_GUEST && dim < cube.ndims; dim++) {
                const uint32_t peer = wh_cube_neighbour(&cube, dim);
                cr_assert_lt(peer, n);
                const struct wh_cube other = wh_cube_of(n, peer);
                cr_expect_eq(other.member ^ cube.member, 1u << dim);
                cr_expect_eq(wh_cube_neighbour(&other, dim), rank);
            }
        }
    }
}

Test(shape_cube, without_guests_all_ranks_next_to_each_other_are_neighbours)
{
    for (uint32_t n = 2; n <= 1024; n *= 2) {
        for (uint32_t rank = 0; rank < n; rank++) {
            const struct wh_cube cube = wh_cube_of(n, rank), next = wh_cube_of(n, (rank + 1) % n);
            const uint32_t bit = cube.member ^ next.member;
            cr_assert(wh_is_pow2(bit), "%u of %u", rank, n);
            cr_assert_eq(wh_cube_neighbour(&cube, wh_log2_floor(bit)), (rank + 1) % n);
        }
    }
}

Test(shape_cube, six_ranks_are_as_drawn)
{
    static const uint32_t members[6] = {0, 0, 0, 1, 3, 2};
    static const enum wh_cube_role roles[6] = {WH_CUBE_GUEST, WH_CUBE_HOST,   WH_CUBE_GUEST,
                                               WH_CUBE_HOST,  WH_CUBE_MEMBER, WH_CUBE_MEMBER};
    for (uint32_t rank = 0; rank < 6; rank++) {
        const struct wh_cube cube = wh_cube_of(6, rank);
        cr_expect_eq(cube.role, roles[rank]);
        if (cube.role != WH_CUBE_GUEST) {
            cr_expect_eq(cube.member, members[rank]);
        }
    }
}
