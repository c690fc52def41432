/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reduce-scatter of several hosts: all-gather backwards.
 *
 *   leader   host: reduce everything to       rail 0: reduce_scatter of    host: scatter
 *            local rank 0                     what hosts get
 *   rails    host: for each host a reduce_scatter of the blocks     rail: reduce_scatter of
 *            of its ranks, which are on one rail each               these
 */
#include "algorithms/hier.h"
#include "algorithms/hier_blocks.h"

static bool leader_fits(const struct wh_hosts *hosts)
{
    return hosts->is_contiguous;
}

static whorl_result_t leader_build(const struct wh_compose_problem *p, struct wh_composition **out)
{
    const struct wh_hosts *hosts = p->hosts;
    const uint32_t n = hosts->nranks;
    bool has_others = wh_hosts_nlocal(hosts, hosts->host[p->rank]) > 1;
    struct wh_composer *c = wh_composer_create(
        p, &(struct wh_compose_shape){.algo = "leader", .ncells = 1, .nscratch = n, .nacross = n});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_BEFORE,
                                                .coll = WH_COLL_REDUCE,
                                                .from = WH_INPUT,
                                                .to = WH_SCRATCH,
                                                .src = wh_block_all,
                                                .src_arg = n,
                                                .dst = wh_block_all,
                                                .dst_arg = n,
                                                .scales = true});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_ACROSS,
                                                .coll = WH_COLL_REDUCE_SCATTER,
                                                .from = has_others ? WH_SCRATCH : WH_INPUT,
                                                .to = has_others ? WH_SCRATCH : WH_OUTPUT,
                                                .src = wh_block_host,
                                                .dst = has_others ? wh_block_host : wh_block_cell,
                                                .scales = !has_others,
                                                .finishes = true,
                                                .is_absent = hosts->local[p->rank] > 0});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_AFTER,
                                                .coll = WH_COLL_SCATTER,
                                                .from = WH_SCRATCH,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_rank,
                                                .dst = wh_block_cell});
    return wh_composer_seal(c, out);
}

static double leader_cost_ns(const struct wh_hosts *hosts, const struct wh_fabric *local,
                             const struct wh_fabric *net, size_t nbytes)
{
    const double n = (double)hosts->nhosts, l = (double)hosts->nlocal_max, m = (double)nbytes;
    return wh_hier_cost_ns(hosts, local, net,
                           &(struct wh_hier_work){.nwaits = 2,
                                                  .local_nbytes = (l + 1) * m + m / n,
                                                  .local_reduced = (l - 1) * m,
                                                  .nhops = wh_hier_log2(hosts->nhosts),
                                                  .net_nbytes = (n - 1) / n * m,
                                                  .net_reduced = (n - 1) / n * m});
}

const struct wh_hier_algo wh_hier_reduce_scatter_leader = {
    .name = "leader",
    .coll = WH_COLL_REDUCE_SCATTER,
    .fits = leader_fits,
    .build = leader_build,
    .cost_ns = leader_cost_ns,
};

static bool rails_fits(const struct wh_hosts *hosts)
{
    return hosts->is_even;
}

static whorl_result_t rails_build(const struct wh_compose_problem *p, struct wh_composition **out)
{
    const struct wh_hosts *hosts = p->hosts;
    struct wh_composer *c = wh_composer_create(
        p, &(struct wh_compose_shape){
               .algo = "rails", .ncells = 1, .nscratch = hosts->nhosts, .nacross = hosts->nhosts});
    for (uint32_t h = 0; h < hosts->nhosts; h++) {
        wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_BEFORE,
                                                    .coll = WH_COLL_REDUCE_SCATTER,
                                                    .from = WH_INPUT,
                                                    .to = WH_SCRATCH,
                                                    .src = wh_block_twin,
                                                    .src_arg = h,
                                                    .dst = wh_block_cell,
                                                    .dst_arg = h,
                                                    .scales = true});
    }
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_ACROSS,
                                                .coll = WH_COLL_REDUCE_SCATTER,
                                                .from = WH_SCRATCH,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_slot,
                                                .dst = wh_block_cell,
                                                .finishes = true});
    return wh_composer_seal(c, out);
}

static double rails_cost_ns(const struct wh_hosts *hosts, const struct wh_fabric *local,
                            const struct wh_fabric *net, size_t nbytes)
{
    const double n = (double)hosts->nhosts, m = (double)nbytes, r = (double)hosts->nrails;
    return wh_hier_cost_ns(hosts, local, net,
                           &(struct wh_hier_work){.nwaits = 2 * n,
                                                  .local_nbytes = 2 * m,
                                                  .local_reduced = (r - 1) / r * m,
                                                  .nrails = r,
                                                  .nhops = wh_hier_log2(hosts->nhosts),
                                                  .net_nbytes = (n - 1) / n * m / r,
                                                  .net_reduced = (n - 1) / n * m / r});
}

const struct wh_hier_algo wh_hier_reduce_scatter_rails = {
    .name = "rails",
    .coll = WH_COLL_REDUCE_SCATTER,
    .fits = rails_fits,
    .build = rails_build,
    .cost_ns = rails_cost_ns,
};
