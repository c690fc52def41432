/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reduce of several hosts: broadcast backwards. Whoever is not the root has no OUTPUT, so what is
 * on its way lies in SCRATCH.
 *
 *   leader   host: reduce to the rank on the root's rail            that rail: reduce
 *            (where the root is on no rail: rail 0, and local rank 0 hands it to the root)
 *   rails    host: reduce_scatter, a      rail r: reduce of cell r     root's host: gather
 *            cell for each rail
 */
#include "algorithms/hier.h"
#include "algorithms/hier_blocks.h"

static whorl_result_t leader_build(const struct wh_compose_problem *p, struct wh_composition **out)
{
    const struct wh_hosts *hosts = p->hosts;
    const uint32_t host = hosts->host[p->root], seat = hosts->local[p->root];
    const bool has_rail = seat < hosts->nrails;
    const uint32_t speaker = has_rail ? seat : 0; /* of each host */
    bool has_others = wh_hosts_nlocal(hosts, hosts->host[p->rank]) > 1;
    struct wh_composer *c = wh_composer_create(
        p, &(struct wh_compose_shape){.algo = "leader", .ncells = 1, .nscratch = 1, .nacross = 1});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_BEFORE,
                                                .coll = WH_COLL_REDUCE,
                                                .root = speaker,
                                                .from = WH_INPUT,
                                                .to = WH_SCRATCH,
                                                .src = wh_block_cell,
                                                .dst = wh_block_cell,
                                                .scales = true});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_ACROSS,
                                                .coll = WH_COLL_REDUCE,
                                                .root = host,
                                                .from = has_others ? WH_SCRATCH : WH_INPUT,
                                                .to = has_rail ? WH_OUTPUT : WH_SCRATCH,
                                                .src = wh_block_cell,
                                                .dst = wh_block_cell,
                                                .scales = !has_others,
                                                .finishes = true,
                                                .is_absent = hosts->local[p->rank] != speaker});
    if (!has_rail) {
        wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_AFTER,
                                                    .coll = WH_COLL_SCATTER,
                                                    .root = speaker,
                                                    .from = WH_SCRATCH,
                                                    .to = WH_OUTPUT,
                                                    .src = wh_block_only,
                                                    .src_arg = seat,
                                                    .dst = wh_block_only,
                                                    .dst_arg = seat,
                                                    .is_absent = hosts->host[p->rank] != host});
    }
    return wh_composer_seal(c, out);
}

static double leader_cost_ns(const struct wh_hosts *hosts, const struct wh_fabric *local,
                             const struct wh_fabric *net, size_t nbytes)
{
    const double l = (double)hosts->nlocal_max, m = (double)nbytes;
    return wh_hier_cost_ns(hosts, local, net,
                           &(struct wh_hier_work){.nwaits = 1,
                                                  .local_nbytes = (l + 1) * m,
                                                  .local_reduced = (l - 1) * m,
                                                  .nhops = wh_hier_log2(hosts->nhosts),
                                                  .net_nbytes = m,
                                                  .net_reduced = m});
}

const struct wh_hier_algo wh_hier_reduce_leader = {
    .name = "leader",
    .coll = WH_COLL_REDUCE,
    .build = leader_build,
    .cost_ns = leader_cost_ns,
};

static bool rails_fits(const struct wh_hosts *hosts)
{
    return hosts->nrails > 1;
}

static whorl_result_t rails_build(const struct wh_compose_problem *p, struct wh_composition **out)
{
    const struct wh_hosts *hosts = p->hosts;
    const uint32_t host = hosts->host[p->root];
    struct wh_composer *c = wh_composer_create(
        p, &(struct wh_compose_shape){
               .algo = "rails", .ncells = hosts->nrails, .nscratch = hosts->nrails, .nacross = 1});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_BEFORE,
                                                .coll = WH_COLL_REDUCE_SCATTER,
                                                .from = WH_INPUT,
                                                .to = WH_SCRATCH,
                                                .src = wh_block_share,
                                                .dst = wh_block_share,
                                                .scales = true});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_ACROSS,
                                                .coll = WH_COLL_REDUCE,
                                                .root = host,
                                                .from = WH_SCRATCH,
                                                .to = WH_SCRATCH,
                                                .src = wh_block_rail,
                                                .dst = wh_block_rail,
                                                .finishes = true});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_AFTER,
                                                .coll = WH_COLL_GATHER,
                                                .root = hosts->local[p->root],
                                                .from = WH_SCRATCH,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_share,
                                                .dst = wh_block_share,
                                                .is_absent = hosts->host[p->rank] != host});
    return wh_composer_seal(c, out);
}

static double rails_cost_ns(const struct wh_hosts *hosts, const struct wh_fabric *local,
                            const struct wh_fabric *net, size_t nbytes)
{
    const double l = (double)hosts->nlocal_max, m = (double)nbytes, r = (double)hosts->nrails;
    return wh_hier_cost_ns(hosts, local, net,
                           &(struct wh_hier_work){.nwaits = 3,
                                                  .local_nbytes = 2 * m + l / r * m,
                                                  .local_reduced = (l - 1) / r * m,
                                                  .nrails = r,
                                                  .nhops = wh_hier_log2(hosts->nhosts),
                                                  .net_nbytes = m / r,
                                                  .net_reduced = m / r});
}

const struct wh_hier_algo wh_hier_reduce_rails = {
    .name = "rails",
    .coll = WH_COLL_REDUCE,
    .fits = rails_fits,
    .build = rails_build,
    .cost_ns = rails_cost_ns,
};
