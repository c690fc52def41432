/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chain broadcast: every rank passes on to its right what it got from its left; the root begins.
 * Pass after pass follows, so that after n-1 hops all ranks work at the same time.
 *
 *   n = 4, root 1    pass 0          pass 1          pass 2
 *   round 0          1 to 2
 *   round 1          2 to 3          1 to 2
 *   round 2          3 to 0          2 to 3          1 to 2
 *   round 3                          3 to 0          2 to 3    ...
 *
 * Invariant: in round r, pass p moves on from the rank r-p to the right of the root.
 *
 * Cost: n-1 hops until the last rank has its first message; then every rank receives and sends the
 * buffer once. For large buffers and few ranks.
 *
 * Source: folklore; a pipeline of segments.
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"

static void chain_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const uint32_t n = problem->nranks;
    const uint32_t right = (problem->rank + 1) % n;
    const bool is_root = problem->rank == problem->root;
    const bool is_last = right == problem->root;

    wh_build_lane(b, 0);
    wh_build_step(b, &(struct wh_move){
                         .flags = WH_STORE | (is_root ? 0u : WH_RECV) | (is_last ? 0u : WH_SEND),
                         .from = (problem->rank + n - 1) % n,
                         .to = right,
                         .local = WH_INPUT,
                         .store = WH_OUTPUT,
                         .nchunks = 1,
                     });
}

/*
 * With P passes of one slot, c = nbytes / P in each: n-1 hops, n-2 + P messages of c along the path
 * of the last pass.
 */
static double chain_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                            size_t nbytes)
{
    if (problem->nranks == 1) {
        return 0;
    }

    const double n = (double)problem->nranks;
    const double npasses = wh_pass_count(fabric, nbytes, 1);

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = n - 1,
                                  .nmessages = n - 2 + npasses,
                                  .moved_nbytes = (n - 2 + npasses) * (double)nbytes / npasses,
                              });
}

const struct wh_algo wh_algo_broadcast_chain = {
    .name = "chain",
    .coll = WH_COLL_BROADCAST,
    .build = chain_build,
    .nchunks = wh_pass_one_chunk,
    .cost_ns = chain_cost_ns,
};
