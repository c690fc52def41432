/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broadcast to several hosts. The root's host is where the data comes from.
 *
 *   leader   the root's rail: broadcast                     host: broadcast
 *            (a root on no rail hands it to its host first; then rail 0)
 *   rails    root's host: scatter, a      rail r: broadcast of cell r     host: all_gather
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
    struct wh_composer *c = wh_composer_create(
        p, &(struct wh_compose_shape){.algo = "leader", .ncells = 1, .nacross = 1});
    if (!has_rail) {
        wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_BEFORE,
                                                    .coll = WH_COLL_BROADCAST,
                                                    .root = seat,
                                                    .from = WH_INPUT,
                                                    .to = WH_OUTPUT,
                                                    .src = wh_block_cell,
                                                    .dst = wh_block_cell,
                                                    .is_absent = hosts->host[p->rank] != host});
    }
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_ACROSS,
                                                .coll = WH_COLL_BROADCAST,
                                                .root = host,
                                                .from = has_rail ? WH_INPUT : WH_OUTPUT,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_cell,
                                                .dst = wh_block_cell,
                                                .is_absent = hosts->local[p->rank] != speaker});
    wh_compose_add(
        c, &(struct wh_compose_move){.place = WH_PHASE_AFTER,
                                     .coll = WH_COLL_BROADCAST,
                                     .root = speaker,
                                     .from = WH_OUTPUT,
                                     .to = WH_OUTPUT,
                                     .src = wh_block_cell,
                                     .dst = wh_block_cell,
                                     .is_absent = !has_rail && hosts->host[p->rank] == host});
    return wh_composer_seal(c, out);
}

static double leader_cost_ns(const struct wh_hosts *hosts, const struct wh_fabric *local,
                             const struct wh_fabric *net, size_t nbytes)
{
    const double m = (double)nbytes;
    return wh_hier_cost_ns(hosts, local, net,
                           &(struct wh_hier_work){.nwaits = 1,
                                                  .local_nbytes = 2 * m,
                                                  .nhops = wh_hier_log2(hosts->nhosts),
                                                  .net_nbytes = m});
}

const struct wh_hier_algo wh_hier_broadcast_leader = {
    .name = "leader",
    .coll = WH_COLL_BROADCAST,
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
        p, &(struct wh_compose_shape){.algo = "rails", .ncells = hosts->nrails, .nacross = 1});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_BEFORE,
                                                .coll = WH_COLL_SCATTER,
                                                .root = hosts->local[p->root],
                                                .from = WH_INPUT,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_share,
                                                .dst = wh_block_share,
                                                .is_absent = hosts->host[p->rank] != host});
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_ACROSS,
                                                .coll = WH_COLL_BROADCAST,
                                                .root = host,
                                                .from = WH_OUTPUT,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_rail,
                                                .dst = wh_block_rail});
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
    const double m = (double)nbytes, r = (double)hosts->nrails;
    return wh_hier_cost_ns(hosts, local, net,
                           &(struct wh_hier_work){.nwaits = 3,
                                                  .local_nbytes = 2 * m + 2 * m / r,
                                                  .nrails = r,
                                                  .nhops = wh_hier_log2(hosts->nhosts),
                                                  .net_nbytes = m / r});
}

const struct wh_hier_algo wh_hier_broadcast_rails = {
    .name = "rails",
    .coll = WH_COLL_BROADCAST,
    .fits = rails_fits,
    .build = rails_build,
    .cost_ns = rails_cost_ns,
};
