/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/hier_blocks.h"

#include "harness/compose_suite.h"

#include <criterion/criterion.h>

static void expect_block(struct wh_cells got, uint32_t first, uint32_t n)
{
    cr_expect_eq(got.n, n);
    cr_expect(n == 0 || got.first == first);
}

Test(hier_blocks, of_uneven_hosts)
{
    struct wh_hosts *hosts = compose_suite_hosts("aabbb");
    const struct wh_compose_problem p = {.rank = 3, .hosts = hosts}; /* local rank 1 of b */
    expect_block(wh_block_all(&p, 5, 9), 0, 5);
    expect_block(wh_block_cell(&p, 4, 9), 4, 1);
    expect_block(wh_block_only(&p, 2, 2), 0, 1);
    expect_block(wh_block_only(&p, 2, 1), 0, 0);
    expect_block(wh_block_share(&p, 0, 1), 1, 1);
    expect_block(wh_block_share(&p, 0, 2), 0, 0);
    expect_block(wh_block_rail(&p, 0, 0), 1, 1);
    expect_block(wh_block_rank(&p, 0, 2), 4, 1);
    expect_block(wh_block_peer(&p, 0, 0), 1, 1);
    expect_block(wh_block_peer(&p, 0, 1), 3, 1);
    expect_block(wh_block_host(&p, 0, 1), 2, 3);
    expect_block(wh_block_slot(&p, 0, 1), 1, 1);
    wh_hosts_destroy(hosts);
}

Test(hier_blocks, of_even_hosts)
{
    struct wh_hosts *hosts = compose_suite_hosts("abcabc");
    const struct wh_compose_problem p = {.rank = 4, .hosts = hosts};
    expect_block(wh_block_twin(&p, 2, 1), 5, 1);
    expect_block(wh_block_desk(&p, 2, 1), 5, 1);
    expect_block(wh_block_desks(&p, 0, 1), 2, 2);
    wh_hosts_destroy(hosts);
}
