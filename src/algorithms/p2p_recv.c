/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receive from one peer: one message a pass, on the channel that no collective uses.
 *
 *   the receiver stores c0 from the peer; see p2p_send.c for the other side
 *
 * Cost: 1 hop, the bytes once.
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"

/* No link leads from a rank to itself. */
static bool p2p_fits(const struct wh_problem *problem)
{
    return problem->root != problem->rank;
}

static void p2p_build(const struct wh_problem *problem, struct wh_builder *b)
{
    wh_build_lane(b, WH_CHANNEL_P2P);
    wh_build_recv(b, problem->root, WH_OUTPUT, 0, 1);
}

/* With P passes of one slot: 1 hop, P messages, nbytes moved. */
static double p2p_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                          size_t nbytes)
{
    (void)problem;
    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = 1,
                                  .nmessages = wh_pass_count(fabric, nbytes, 1),
                                  .moved_nbytes = (double)nbytes,
                              });
}

const struct wh_algo wh_algo_p2p_recv = {
    .name = "p2p",
    .coll = WH_COLL_RECV,
    .fits = p2p_fits,
    .build = p2p_build,
    .nchunks = wh_pass_one_chunk,
    .cost_ns = p2p_cost_ns,
};
