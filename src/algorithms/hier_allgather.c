/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All-gather of several hosts.
 *
 *   leader   host: gather to local rank 0    rail 0: all_gather of    host: broadcast of
 *                                            what hosts have          everything
 *   rails    rail: all_gather of the         host: for each host an all_gather of the blocks of
 *            own block                       its ranks, which are on one rail each
 *
 * With m bytes in all and N hosts each host sends (N-1)/N * m in both if hosts send on what they
 * get. rails needs as many ranks on every host; leader needs the ranks of a host to follow one
 * another, so that what a host has is one block.
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
    bool has_others = wh_hosts_nlocal(hosts, hosts->host[p->rank]) > 1;
    struct wh_composer *c = wh_composer_create(
        p, &(struct wh_compose_shape){.algo = "leader", .ncells = 1, .nacross = hosts->nranks});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_BEFORE,
                                                .coll = WH_COLL_GATHER,
                                                .from = WH_INPUT,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_cell,
                                                .dst = wh_block_rank});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_ACROSS,
                                                .coll = WH_COLL_ALL_GATHER,
                                                .from = has_others ? WH_OUTPUT : WH_INPUT,
                                                .to = WH_OUTPUT,
                                                .src = has_others ? wh_block_host : wh_block_cell,
                                                .dst = wh_block_host,
                                                .is_absent = hosts->local[p->rank] > 0});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_AFTER,
                                                .coll = WH_COLL_BROADCAST,
                                                .from = WH_OUTPUT,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_all,
                                                .src_arg = hosts->nranks,
                                                .dst = wh_block_all,
                                                .dst_arg = hosts->nranks});
    return wh_composer_seal(c, out);
}

static double leader_cost_ns(const struct wh_hosts *hosts, const struct wh_fabric *local,
                             const struct wh_fabric *net, size_t nbytes)
{
    const double n = (double)hosts->nhosts, m = (double)nbytes;
    return wh_hier_cost_ns(hosts, local, net,
                           &(struct wh_hier_work){.nwaits = 2,
                                                  .local_nbytes = 2 * m + 2 * m / n,
                                                  .nhops = wh_hier_log2(hosts->nhosts),
                                                  .net_nbytes = (n - 1) / n * m});
}

const struct wh_hier_algo wh_hier_allgather_leader = {
    .name = "leader",
    .coll = WH_COLL_ALL_GATHER,
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
        p, &(struct wh_compose_shape){.algo = "rails", .ncells = 1, .nacross = hosts->nhosts});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_ACROSS,
                                                .coll = WH_COLL_ALL_GATHER,
                                                .from = WH_INPUT,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_cell,
                                                .dst = wh_block_peer});
    for (uint32_t h = 0; h < hosts->nhosts; h++) {
        wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_AFTER,
                                                    .coll = WH_COLL_ALL_GATHER,
                                                    .from = WH_OUTPUT,
                                                    .to = WH_OUTPUT,
                                                    .src = wh_block_twin,
                                                    .src_arg = h,
                                                    .dst = wh_block_twin,
                                                    .dst_arg = h});
    }
    return wh_composer_seal(c, out);
}

static double rails_cost_ns(const struct wh_hosts *hosts, const struct wh_fabric *local,
                            const struct wh_fabric *net, size_t nbytes)
{
    const double n = (double)hosts->nhosts, m = (double)nbytes, r = (double)hosts->nrails;
    return wh_hier_cost_ns(hosts, local, net,
                           &(struct wh_hier_work){.nwaits = n,
                                                  .local_nbytes = m + m / r,
                                                  .nrails = r,
                                                  .nhops = wh_hier_log2(hosts->nhosts),
                                                  .net_nbytes = (n - 1) / n * m / r});
}

const struct wh_hier_algo wh_hier_allgather_rails = {
    .name = "rails",
    .coll = WH_COLL_ALL_GATHER,
    .fits = rails_fits,
    .build = rails_build,
    .cost_ns = rails_cost_ns,
};
