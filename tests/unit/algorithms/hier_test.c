/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/hier.h"

#include "harness/compose_suite.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct wh_fabric local = {.message_ns = 300,
                                       .byte_ns = 0.2,
                                       .reduce_byte_ns = 0.1,
                                       .slot_nbytes = 65536,
                                       .ranks_per_core = 1};
static const struct wh_fabric net = {.message_ns = 15000,
                                     .byte_ns = 0.5,
                                     .reduce_byte_ns = 0.1,
                                     .slot_nbytes = 65536,
                                     .ranks_per_core = 1};

static const char *select_name(enum wh_coll coll, const char *letters, size_t nbytes)
{
    struct wh_hosts *hosts = compose_suite_hosts(letters);
    const struct wh_hier_algo *algo = wh_hier_select(&(struct wh_hier_query){
        .coll = coll, .hosts = hosts, .local = &local, .net = &net, .nbytes = nbytes});
    wh_hosts_destroy(hosts);
    return algo != NULL ? algo->name : "none";
}

Test(hier_select, leaves_out_what_is_forbidden)
{
    struct wh_hosts *hosts = compose_suite_hosts("aaaabbbb");
    struct wh_hier_query query = {.coll = WH_COLL_ALL_REDUCE,
                                  .hosts = hosts,
                                  .local = &local,
                                  .net = &net,
                                  .nbytes = 64 << 20};
    for (size_t i = 0; i < wh_nhier_algos; i++) {
        query.forbidden |= strcmp(wh_hier_algos[i]->name, "rails") == 0 ? UINT64_C(1) << i : 0;
    }
    const struct wh_hier_algo *algo = wh_hier_select(&query);
    cr_assert_not_null(algo);
    cr_expect_str_eq(algo->name, "leader");
    query.forbidden = UINT64_MAX;
    cr_expect_null(wh_hier_select(&query));
    wh_hosts_destroy(hosts);
}

Test(hier_select, few_bytes_go_by_leaders_and_many_by_rails)
{
    static const enum wh_coll colls[] = {WH_COLL_ALL_REDUCE, WH_COLL_REDUCE, WH_COLL_BROADCAST,
                                         WH_COLL_REDUCE_SCATTER};
    for (size_t i = 0; i < 4; i++) {
        cr_expect_str_eq(select_name(colls[i], "aaaabbbb", 8), "leader", "%s",
                         wh_coll_str(colls[i]));
        cr_expect_str_eq(select_name(colls[i], "aaaabbbb", 64 << 20), "rails", "%s",
                         wh_coll_str(colls[i]));
    }
    cr_expect_str_eq(select_name(WH_COLL_ALL_GATHER, "aaaabbbb", 64 << 20), "rails");
}

Test(hier_select, has_nothing_for_one_host_or_for_hosts_of_one_rank)
{
    for (int coll = 0; coll <= WH_COLL_ALL_TO_ALL; coll++) {
        cr_expect_str_eq(select_name((enum wh_coll)coll, "aaaa", 1000), "none");
        cr_expect_str_eq(select_name((enum wh_coll)coll, "abcd", 1000), "none");
    }
}

Test(hier_select, has_nothing_for_collectives_without_rows)
{
    cr_expect_str_eq(select_name(WH_COLL_GATHER, "aabb", 1000), "none");
    cr_expect_str_eq(select_name(WH_COLL_ALL_GATHER_V, "aabb", 1000), "none");
}

Test(hier_cost, hides_three_quarters_of_the_shorter_part)
{
    const struct wh_hier_work work = {
        .nwaits = 2, .local_nbytes = 1000, .local_reduced = 2000, .nhops = 1, .net_nbytes = 1200};
    struct wh_hosts *hosts = compose_suite_hosts("aabb");
    /* waits 600 + 15000; the host 200 + 200, the net 600 */
    cr_expect_float_eq(wh_hier_cost_ns(hosts, &local, &net, &work), 15600 + 600 + 100, 1e-9);
    wh_hosts_destroy(hosts);
}

/* Four ranks of a host, two on a core: rails of all of them take turns in pairs, of two do not. */
Test(hier_cost, rails_that_share_cores_take_turns)
{
    struct wh_hosts *hosts = compose_suite_hosts("aaaabbbb");
    struct wh_fabric crowded = net;
    crowded.ranks_per_core = 2;
    struct wh_hier_work work = {.nhops = 1};
    cr_expect_float_eq(wh_hier_cost_ns(hosts, &local, &crowded, &work), 15000, 1e-9);
    work.nrails = 2;
    cr_expect_float_eq(wh_hier_cost_ns(hosts, &local, &crowded, &work), 15000, 1e-9);
    work.nrails = 4;
    cr_expect_float_eq(wh_hier_cost_ns(hosts, &local, &crowded, &work), 30000, 1e-9);
    cr_expect_float_eq(wh_hier_cost_ns(hosts, &local, &net, &work), 15000, 1e-9);
    wh_hosts_destroy(hosts);
}

Test(hier_cost, between_hosts_few_bytes_take_half_the_hops)
{
    struct wh_hier_work work = {.nwaits = 1};
    wh_hier_rail_all_reduce(&net, 4, 8, &work);
    cr_expect_eq(work.nhops, 2);
    cr_expect_eq(work.net_nbytes, 16);
    wh_hier_rail_all_reduce(&net, 4, 8e6, &work);
    cr_expect_eq(work.nhops, 4);
    cr_expect_eq(work.net_nbytes, 12e6);
    cr_expect_eq(work.net_reduced, 6e6);
    cr_expect_eq(work.nwaits, 1);
}

Test(hier_cost, counts_hops_by_halving)
{
    cr_expect_eq(wh_hier_log2(1), 0);
    cr_expect_eq(wh_hier_log2(2), 1);
    cr_expect_eq(wh_hier_log2(5), 3);
    cr_expect_eq(wh_hier_log2(64), 6);
}
