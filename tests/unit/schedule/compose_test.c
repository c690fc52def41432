/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/compose.h"

#include "harness/compose_suite.h"

#include <criterion/criterion.h>
#include <string.h>

/* ---- hosts ---- */

Test(hosts, are_numbered_in_the_order_of_their_first_ranks)
{
    struct wh_hosts *hosts = compose_suite_hosts("zbzbbc");
    static const uint32_t host[] = {0, 1, 0, 1, 1, 2}, local[] = {0, 0, 1, 1, 2, 0};
    static const uint32_t ranks[] = {0, 2, 1, 3, 4, 5}, first[] = {0, 2, 5, 6};
    cr_expect_arr_eq(hosts->host, host, sizeof(host));
    cr_expect_arr_eq(hosts->local, local, sizeof(local));
    cr_expect_arr_eq(hosts->ranks, ranks, sizeof(ranks));
    cr_expect_arr_eq(hosts->first, first, sizeof(first));
    cr_expect_eq(hosts->nhosts, 3);
    cr_expect_eq(hosts->nrails, 1);
    cr_expect_eq(hosts->nlocal_max, 3);
    cr_expect_not(hosts->is_even);
    cr_expect_not(hosts->is_contiguous);
    wh_hosts_destroy(hosts);
}

Test(hosts, know_when_they_are_even_and_contiguous)
{
    struct wh_hosts *hosts = compose_suite_hosts("aabb");
    cr_expect(hosts->is_even && hosts->is_contiguous);
    wh_hosts_destroy(hosts);
    hosts = compose_suite_hosts("abab");
    cr_expect(hosts->is_even && !hosts->is_contiguous);
    wh_hosts_destroy(hosts);
    hosts = compose_suite_hosts("abb");
    cr_expect(!hosts->is_even && hosts->is_contiguous);
    wh_hosts_destroy(hosts);
    wh_hosts_destroy(NULL);
}

Test(hosts, groups_are_the_host_and_the_rail)
{
    struct wh_hosts *hosts = compose_suite_hosts("abaab");
    cr_expect_eq(wh_phase_group_nranks(hosts, 2, WH_PHASE_BEFORE), 3);
    cr_expect_eq(wh_phase_group_rank(hosts, 2, WH_PHASE_AFTER, 2), 3);
    cr_expect_eq(wh_phase_group_nranks(hosts, 2, WH_PHASE_ACROSS), 2);
    cr_expect_eq(wh_phase_group_rank(hosts, 2, WH_PHASE_ACROSS, 0), 2);
    cr_expect_eq(wh_phase_group_rank(hosts, 2, WH_PHASE_ACROSS, 1), 4);
    wh_hosts_destroy(hosts);
}

/* ---- composing ---- */

static struct wh_cells cell_of_member(const struct wh_compose_problem *p, uint32_t arg,
                                      uint32_t member)
{
    (void)p;
    return (struct wh_cells){arg + member, 1};
}

/* A gather in the host, and an all_gather on the rail. */
static struct wh_composition *compose(const char *letters, uint32_t rank, bool is_absent)
{
    struct wh_hosts *hosts = compose_suite_hosts(letters);
    const struct wh_compose_problem problem = {WH_COLL_ALL_GATHER, rank, 0, hosts};
    struct wh_composer *c = wh_composer_create(
        &problem, &(struct wh_compose_shape){.algo = "mine", .ncells = 1, .nscratch = 7});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_BEFORE,
                                                .coll = WH_COLL_GATHER,
                                                .root = 1,
                                                .from = WH_INPUT,
                                                .to = WH_SCRATCH,
                                                .src = cell_of_member,
                                                .dst = cell_of_member,
                                                .dst_arg = 3,
                                                .is_absent = is_absent});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_ACROSS,
                                                .coll = WH_COLL_ALL_GATHER,
                                                .from = WH_SCRATCH,
                                                .to = WH_OUTPUT,
                                                .src = cell_of_member,
                                                .dst = cell_of_member});
    struct wh_composition *k;
    cr_assert_eq(wh_composer_seal(c, &k), WHORL_OK);
    wh_hosts_destroy(hosts);
    return k;
}

Test(compose, own_blocks_are_those_of_the_own_place)
{
    struct wh_composition *k = compose("aabb", 3, false);
    cr_assert_eq(k->nphases, 2);
    const struct wh_phase *host = &k->phases[0], *rail = &k->phases[1];
    cr_expect_eq(host->nranks, 2);
    cr_expect_eq(host->me, 1);
    cr_expect_eq(host->nsrc, 1);
    cr_expect_eq(host->src[0].first, 1);
    cr_expect_eq(host->ndst, 2);
    cr_expect_eq(host->dst[1].first, 4);
    cr_expect_eq(rail->me, 1);
    cr_expect_eq(rail->dst[0].first, 0);
    wh_composition_destroy(k);
}

static void expect_ids(const char *letters, uint32_t rank, bool is_absent, const char *want)
{
    struct wh_composition *k = compose(letters, rank, is_absent);
    char ids[8] = "";
    for (uint32_t i = 0; i < k->nphases; i++) {
        ids[i] = (char)('0' + k->phases[i].id);
    }
    cr_expect_str_eq(ids, want);
    cr_expect_eq(k->nids, 2);
    wh_composition_destroy(k);
}

Test(compose, phases_of_others_are_counted_and_left_out)
{
    expect_ids("aabb", 0, false, "01");
    expect_ids("aabb", 0, true, "1");
    expect_ids("aab", 2, false, "1"); /* alone on its host */
    expect_ids("aab", 1, false, "0"); /* on no rail */
}

Test(compose, prints_itself)
{
    struct wh_composition *k = compose("aabb", 2, false);
    char text[256];
    static const char want[] = "all_gather mine: rank 2 of 4, pieces of 1 cells, 7 of scratch\n"
                               "  0  host: gather root 1 input 0 -> scratch 3,4\n"
                               "  1  rail: all_gather scratch 1 -> output 0,1\n";
    cr_expect_eq(wh_composition_print(k, text, sizeof(text)), sizeof(want) - 1);
    cr_expect_str_eq(text, want);
    cr_expect_eq(wh_composition_print(k, text, 10), sizeof(want) - 1);
    cr_expect_str_eq(text, "all_gathe");
    wh_composition_destroy(k);
}

Test(compose, a_composer_that_is_not_there_is_out_of_memory)
{
    struct wh_composition *k;
    wh_compose_add(NULL, &(struct wh_compose_move){.place = WH_PHASE_BEFORE});
    cr_expect_eq(wh_composer_seal(NULL, &k), WHORL_E_NOMEM);
    wh_composition_destroy(NULL);
}

Test(compose, knows_collectives_of_blocks)
{
    cr_expect(wh_compose_is_blockwise(WH_COLL_ALL_GATHER));
    cr_expect(wh_compose_is_blockwise(WH_COLL_ALL_TO_ALL));
    cr_expect_not(wh_compose_is_blockwise(WH_COLL_BROADCAST));
}
