/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/check_parts.h"

#include <criterion/criterion.h>

/* Sizes on both sides of the words that sets are made of. */
static const uint32_t sizes[] = {1, 2, 63, 64, 65, 128, 200};

Test(check_parts, a_new_set_has_its_rank_only)
{
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (uint32_t r = 0; r < sizes[i]; r++) {
            struct wh_parts *parts = wh_parts_create(sizes[i], r);
            cr_assert_not_null(parts);
            cr_expect_eq(parts->nparts, 1);
            cr_expect_not(parts->finished);
            for (uint32_t q = 0; q < sizes[i]; q++) {
                cr_assert_eq(wh_parts_has(parts, q), q == r);
            }
            uint32_t missing = r > 0 ? 0 : 1; /* of one rank: 1, which is none */
            cr_expect_eq(wh_parts_missing(parts), missing);
            wh_parts_put(parts);
        }
    }
}

Test(check_parts, merging_all_ranks_fills_the_set)
{
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        const uint32_t n = sizes[i];
        struct wh_parts *all = wh_parts_create(n, 0);
        for (uint32_t r = 1; r < n; r++) {
            struct wh_parts *one = wh_parts_create(n, r);
            cr_assert_eq(wh_parts_missing(all), r);
            cr_assert_eq(wh_parts_common(all, one), n);
            cr_assert_eq(wh_parts_merge(&all, one), WHORL_OK);
            cr_assert_eq(wh_parts_common(all, one), r);
            cr_assert_eq(all->nparts, r + 1);
            wh_parts_put(one);
        }
        cr_expect_eq(wh_parts_missing(all), n);
        wh_parts_put(all);
    }
}

Test(check_parts, common_is_the_lowest_rank_in_both)
{
    struct wh_parts *a = wh_parts_create(200, 70);
    struct wh_parts *b = wh_parts_create(200, 199);
    struct wh_parts *c = wh_parts_create(200, 70);

    cr_assert_eq(wh_parts_merge(&b, c), WHORL_OK);
    cr_assert_eq(wh_parts_merge(&a, b), WHORL_OK);
    cr_expect_eq(wh_parts_common(a, b), 70);
    wh_parts_put(a);
    wh_parts_put(b);
    wh_parts_put(c);
}

Test(check_parts, changing_a_shared_set_leaves_the_others_theirs)
{
    struct wh_parts *mine = wh_parts_create(65, 3);
    struct wh_parts *yours = wh_parts_get(mine);
    struct wh_parts *more = wh_parts_create(65, 64);

    cr_expect_eq(mine, yours);
    cr_assert_eq(wh_parts_merge(&mine, more), WHORL_OK);
    cr_expect_neq(mine, yours);
    cr_expect_eq(mine->nparts, 2);
    cr_expect_eq(yours->nparts, 1);
    cr_expect_eq(yours->nrefs, 1);

    struct wh_parts *third = wh_parts_get(mine);
    cr_assert_eq(wh_parts_finish(&mine), WHORL_OK);
    cr_expect(mine->finished);
    cr_expect_not(third->finished);

    struct wh_parts *before = mine;
    cr_assert_eq(wh_parts_finish(&mine), WHORL_OK);
    cr_expect_eq(mine, before, "what is not shared is not copied");

    wh_parts_put(mine);
    wh_parts_put(third);
    wh_parts_put(yours);
    wh_parts_put(more);
}

Test(check_parts, put_takes_null)
{
    wh_parts_put(NULL);
}
