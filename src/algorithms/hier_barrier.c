/* SPDX-License-Identifier: Apache-2.0 */
/* Barrier of several hosts: of each host, of rail 0, and of each host again. */
#include "algorithms/hier.h"

static whorl_result_t leader_build(const struct wh_compose_problem *p, struct wh_composition **out)
{
    struct wh_composer *c =
        wh_composer_create(p, &(struct wh_compose_shape){.algo = "leader", .nacross = 1});
    for (enum wh_phase_place place = WH_PHASE_BEFORE; place <= WH_PHASE_AFTER; place++) {
        bool is_absent = place == WH_PHASE_ACROSS && p->hosts->local[p->rank] > 0;
        wh_compose_add(c, &(struct wh_compose_move){
                              .place = place, .coll = WH_COLL_BARRIER, .is_absent = is_absent});
    }
    return wh_composer_seal(c, out);
}

static double leader_cost_ns(const struct wh_hosts *hosts, const struct wh_fabric *local,
                             const struct wh_fabric *net, size_t nbytes)
{
    (void)nbytes;
    return wh_hier_cost_ns(
        hosts, local, net,
        &(struct wh_hier_work){.nwaits = 2, .nhops = wh_hier_log2(hosts->nhosts)});
}

const struct wh_hier_algo wh_hier_barrier_leader = {
    .name = "leader",
    .coll = WH_COLL_BARRIER,
    .build = leader_build,
    .cost_ns = leader_cost_ns,
};
