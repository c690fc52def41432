/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All-reduce of several hosts. N hosts, R rails, m bytes.
 *
 *   leader   host: reduce to local rank 0     rail 0: all_reduce     host: broadcast
 *   rails    host: reduce_scatter, a cell     rail r: all_reduce     host: all_gather
 *            for each rail                    of cell r
 *
 * Both send 2(N-1)/N * m bytes from each host, which is the least that there is; with rails R ranks
 * share the work of sending them.
 */
#include "algorithms/hier.h"
#include "algorithms/hier_blocks.h"

static whorl_result_t leader_build(const struct wh_compose_problem *p, struct wh_composition **out)
{
    const struct wh_hosts *hosts = p->hosts;
    bool has_others = wh_hosts_nlocal(hosts, hosts->host[p->rank]) > 1;
    struct wh_composer *c = wh_composer_create(
        p, &(struct wh_compose_shape){.algo = "leader", .ncells = 1, .nacross = 1});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_BEFORE,
                                                .coll = WH_COLL_REDUCE,
                                                .from = WH_INPUT,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_cell,
                                                .dst = wh_block_cell,
                                                .scales = true});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_ACROSS,
                                                .coll = WH_COLL_ALL_REDUCE,
                                                .from = has_others ? WH_OUTPUT : WH_INPUT,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_cell,
                                                .dst = wh_block_cell,
                                                .scales = !has_others,
                                                .finishes = true,
                                                .is_absent = hosts->local[p->rank] > 0});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_AFTER,
                                                .coll = WH_COLL_BROADCAST,
                                                .from = WH_OUTPUT,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_cell,
                                                .dst = wh_block_cell});
    return wh_composer_seal(c, out);
}

static double leader_cost_ns(const struct wh_hosts *hosts, const struct wh_fabric *local,
                             const struct wh_fabric *net, size_t nbytes)
{
    const double l = (double)hosts->nlocal_max, m = (double)nbytes;
    struct wh_hier_work work = {
        .nwaits = 2, .local_nbytes = (l + 2) * m, .local_reduced = (l - 1) * m};
    wh_hier_rail_all_reduce(net, hosts->nhosts, m, &work);
    return wh_hier_cost_ns(hosts, local, net, &work);
}

const struct wh_hier_algo wh_hier_allreduce_leader = {
    .name = "leader",
    .coll = WH_COLL_ALL_REDUCE,
    .build = leader_build,
    .cost_ns = leader_cost_ns,
};

static bool rails_fits(const struct wh_hosts *hosts)
{
    return hosts->nrails > 1;
}

static whorl_result_t rails_build(const struct wh_compose_problem *p, struct wh_composition **out)
{
    struct wh_composer *c = wh_composer_create(
        p, &(struct wh_compose_shape){.algo = "rails", .ncells = p->hosts->nrails, .nacross = 1});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_BEFORE,
                                                .coll = WH_COLL_REDUCE_SCATTER,
                                                .from = WH_INPUT,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_share,
                                                .dst = wh_block_share,
                                                .scales = true});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_ACROSS,
                                                .coll = WH_COLL_ALL_REDUCE,
                                                .from = WH_OUTPUT,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_rail,
                                                .dst = wh_block_rail,
                                                .finishes = true});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_AFTER,
                                                .coll = WH_COLL_ALL_GATHER,
                                                .from = WH_OUTPUT,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_share,
                                                .dst = wh_block_share});
    return wh_composer_seal(c, out);
}

static double rails_cost_ns(const struct wh_hosts *hosts, const struct wh_fabric *local,
                            const struct wh_fabric *net, size_t nbytes)
{
    const double l = (double)hosts->nlocal_max, r = (double)hosts->nrails, m = (double)nbytes;
    struct wh_hier_work work = {.nwaits = 4,
                                .local_nbytes = 2 * m + l / r * m,
                                .local_reduced = (l - 1) / r * m,
                                .nrails = r};
    wh_hier_rail_all_reduce(net, hosts->nhosts, m / r, &work);
    return wh_hier_cost_ns(hosts, local, net, &work);
}

const struct wh_hier_algo wh_hier_allreduce_rails = {
    .name = "rails",
    .coll = WH_COLL_ALL_REDUCE,
    .fits = rails_fits,
    .build = rails_build,
    .cost_ns = rails_cost_ns,
};
