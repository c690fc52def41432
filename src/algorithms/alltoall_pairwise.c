/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pairwise all-to-all: in round k every rank sends its block for the rank k to its right and takes
 * that of the rank k to its left. Chunk s * n + d is what rank s has for rank d.
 *
 * Cost: n-1 messages, (n-1)/n of the bytes.
 *
 * For rails (hier.h) only: between all ranks all_to_all goes as messages, which need no links that
 * collectives share, so this row is not in the registry.
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"

enum { NRANKS_MAX = 4096 }; /* so that chunks can be counted */

static bool pairwise_fits(const struct wh_problem *problem)
{
    return problem->nranks <= NRANKS_MAX;
}

static void pairwise_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const uint32_t n = problem->nranks;
    const uint32_t me = problem->rank;

    /* Sends and receives are lanes of their own: a round does not wait for the one before. */
    wh_build_lane(b, 0);
    for (uint32_t k = 1; k < n; k++) {
        uint32_t to = (me + k) % n;
        wh_build_send(b, to, WH_INPUT, me * n + to, 1);
    }
    wh_build_lane(b, 0);
    wh_build_copy(b, WH_INPUT, WH_OUTPUT, me * n + me, 1);
    for (uint32_t k = 1; k < n; k++) {
        uint32_t from = (me + n - k) % n;
        wh_build_recv(b, from, WH_OUTPUT, from * n + me, 1);
    }
}

static uint32_t pairwise_nchunks(const struct wh_problem *problem)
{
    return problem->nranks * problem->nranks;
}

/* With P passes of n slots: 1 hop, (n-1)P messages, (n-1)/n of the bytes. */
static double pairwise_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                               size_t nbytes)
{
    const double n = (double)problem->nranks;

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = 1,
                                  .nmessages = (n - 1) * wh_pass_count(fabric, nbytes, n),
                                  .moved_nbytes = (n - 1) / n * (double)nbytes,
                              });
}

const struct wh_algo wh_algo_alltoall_pairwise = {
    .name = "pairwise",
    .coll = WH_COLL_ALL_TO_ALL,
    .fits = pairwise_fits,
    .build = pairwise_build,
    .nchunks = pairwise_nchunks,
    .cost_ns = pairwise_cost_ns,
};
