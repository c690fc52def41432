/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All-to-all of several hosts, L ranks on each.
 *
 *   rails    host: for each host h an all_to_all of what its        rail: all_to_all of these,
 *            ranks are to get: local rank i gets what goes to       L blocks for each host
 *            rank i of host h
 *
 * A rank sends L blocks in one message to its twin where it would have sent one block to each of L
 * ranks: as many bytes, a fraction of the messages.
 */
#include "algorithms/hier.h"
#include "algorithms/hier_blocks.h"

static bool rails_fits(const struct wh_hosts *hosts)
{
    const struct wh_problem on_rail = {.coll = WH_COLL_ALL_TO_ALL, .nranks = hosts->nhosts};
    return hosts->is_even && hosts->is_contiguous && wh_algo_alltoall_pairwise.fits(&on_rail);
}

static whorl_result_t rails_build(const struct wh_compose_problem *p, struct wh_composition **out)
{
    const struct wh_hosts *hosts = p->hosts;
    struct wh_composer *c = wh_composer_create(
        p, &(struct wh_compose_shape){
               .algo = "rails", .ncells = 1, .nscratch = hosts->nranks, .nacross = hosts->nranks});
    for (uint32_t h = 0; h < hosts->nhosts; h++) {
        wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_BEFORE,
                                                    .coll = WH_COLL_ALL_TO_ALL,
                                                    .from = WH_INPUT,
                                                    .to = WH_SCRATCH,
                                                    .src = wh_block_twin,
                                                    .src_arg = h,
                                                    .dst = wh_block_desk,
                                                    .dst_arg = h});
    }
    wh_compose_add(c, &(struct wh_compose_move){.place = WH_PHASE_ACROSS,
                                                .coll = WH_COLL_ALL_TO_ALL,
                                                .from = WH_SCRATCH,
                                                .to = WH_OUTPUT,
                                                .src = wh_block_desks,
                                                .dst = wh_block_host});
    return wh_composer_seal(c, out);
}

static double rails_cost_ns(const struct wh_hosts *hosts, const struct wh_fabric *local,
                            const struct wh_fabric *net, size_t nbytes)
{
    const double n = (double)hosts->nhosts, m = (double)nbytes;
    return wh_hier_cost_ns(hosts, local, net,
                           &(struct wh_hier_work){.nwaits = n,
                                                  .local_nbytes = 2 * m,
                                                  .nrails = (double)hosts->nrails,
                                                  .nhops = n - 1,
                                                  .net_nbytes = (n - 1) / n * m});
}

const struct wh_hier_algo wh_hier_alltoall_rails = {
    .name = "rails",
    .coll = WH_COLL_ALL_TO_ALL,
    .fits = rails_fits,
    .build = rails_build,
    .cost_ns = rails_cost_ns,
};
