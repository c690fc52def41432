/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct all-gather: everybody sends its block to everybody, one round.
 *
 *   n = 3            round 0
 *   rank 0 sends     c0 to 1, c0 to 2
 *   rank 1 sends     c1 to 2, c1 to 0
 *   rank 2 sends     c2 to 0, c2 to 1
 *
 * Each rank starts with the rank to its right, so that not all send to the same one first, and
 * receives in the order in which the messages were sent.
 *
 * Cost per rank: 1 hop, n-1 messages at once, (n-1)/n of the bytes. Wants a link between any two
 * ranks.
 *
 * Source: folklore.
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"

static void direct_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const uint32_t n = problem->nranks;
    const uint32_t me = problem->rank;

    wh_build_lane(b, 0);
    for (uint32_t distance = 1; distance < n; distance++) {
        /* The last one to read the own block also puts it into its place. */
        wh_build_step(b, &(struct wh_move){
                             .flags = WH_SEND | (distance == n - 1 ? WH_STORE : 0u),
                             .to = (me + distance) % n,
                             .local = WH_INPUT,
                             .store = WH_OUTPUT,
                             .chunk = me,
                             .nchunks = 1,
                         });
    }
    for (uint32_t distance = 1; distance < n; distance++) {
        const uint32_t peer = (me + n - distance) % n;
        wh_build_recv(b, peer, WH_OUTPUT, peer, 1);
    }
}

/* With P passes of n slots: 1 hop, (n-1)P messages, (n-1)/n * nbytes moved. */
static double direct_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                             size_t nbytes)
{
    const double n = (double)problem->nranks;

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = n > 1 ? 1 : 0,
                                  .nmessages = (n - 1) * wh_pass_count(fabric, nbytes, n),
                                  .moved_nbytes = (n - 1) / n * (double)nbytes,
                              });
}

const struct wh_algo wh_algo_allgather_direct = {
    .name = "direct",
    .coll = WH_COLL_ALL_GATHER,
    .build = direct_build,
    .nchunks = wh_pass_chunk_per_rank,
    .cost_ns = direct_cost_ns,
};
