/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chain reduce: the partial sum travels to the right, from the rank behind the root all around to
 * the root. Pass after pass follows, so that after n-1 hops all ranks work at the same time.
 *
 *   n = 4, root 1    pass 0              pass 1             pass 2
 *   round 0          x2   to 3
 *   round 1          x23  to 0           x2  to 3
 *   round 2          x230 to 1           x23 to 0           x2 to 3    ...
 *
 * Invariant: what a rank sends holds the inputs of all ranks between the root and itself.
 *
 * Cost: n-1 hops until the root has its first message; then every rank receives, combines and sends
 * the buffer once. For large buffers and few ranks.
 *
 * Source: folklore; broadcast_chain.c backwards.
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"

static void chain_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const uint32_t n = problem->nranks;
    const uint32_t left = (problem->rank + n - 1) % n;
    const bool is_root = problem->rank == problem->root;
    const bool is_first = left == problem->root;

    wh_build_lane(b, 0);
    wh_build_step(b, &(struct wh_move){
                         .flags = (is_first ? 0u : WH_RECV | WH_REDUCE) |
                                  (is_root ? WH_FINISH | WH_STORE : WH_SEND),
                         .from = left,
                         .to = (problem->rank + 1) % n,
                         .local = WH_INPUT,
                         .store = WH_OUTPUT,
                         .nchunks = 1,
                     });
}

/*
 * With P passes of one slot, c = nbytes / P in each: n-1 hops, n-2 + P messages of c along the path
 * of the last pass, each combined.
 */
static double chain_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                            size_t nbytes)
{
    if (problem->nranks == 1) {
        return 0;
    }

    const double n = (double)problem->nranks;
    const double npasses = wh_pass_count(fabric, nbytes, 1);
    const double path_nbytes = (n - 2 + npasses) * (double)nbytes / npasses;

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = n - 1,
                                  .nmessages = n - 2 + npasses,
                                  .moved_nbytes = path_nbytes,
                                  .reduced_nbytes = path_nbytes,
                              });
}

const struct wh_algo wh_algo_reduce_chain = {
    .name = "chain",
    .coll = WH_COLL_REDUCE,
    .build = chain_build,
    .nchunks = wh_pass_one_chunk,
    .cost_ns = chain_cost_ns,
};
