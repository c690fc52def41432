/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recursive doubling: in round r neighbours in dimension r of a cube (shape_cube.h) exchange all they
 * have, and combine it.
 *
 *   n = 4            round 0    round 1
 *   rank 0 sends     x0 to 1    x01 to 3
 *   rank 1 sends     x1 to 0    x01 to 2
 *   rank 2 sends     x2 to 3    x23 to 1
 *   rank 3 sends     x3 to 2    x23 to 0
 *
 * Where n is no power of two, guests hand their input to a host first and get the result from it
 * last.
 *
 * Invariant: after round r a rank holds the inputs of the 2^(r+1) members whose numbers differ from
 * its own in the lowest r+1 bits only, and so do these members, with the same bits.
 *
 * Cost per rank: log2 n messages one after another (2 more with guests), each of the whole buffer,
 * which is combined as often. The fewest hops of all; for small buffers.
 *
 * Source: Thakur, Rabenseifner, Gropp, IJHPCA 19 (2005).
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"
#include "algorithms/shape_cube.h"
#include "base/bits.h"

/* Receives x from `from`, and stores x op what we have. */
static struct wh_move combine(uint32_t from, bool is_first)
{
    return (struct wh_move){
        .flags = WH_RECV | WH_REDUCE | WH_STORE,
        .from = from,
        .local = is_first ? WH_INPUT : WH_OUTPUT,
        .store = WH_OUTPUT,
        .nchunks = 1,
    };
}

static void doubling_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const struct wh_cube cube = wh_cube_of(problem->nranks, problem->rank);
    const bool is_host = cube.role == WH_CUBE_HOST;

    if (!wh_is_pow2(problem->nranks)) {
        wh_build_entry(b);
    }
    wh_build_lane(b, 0);
    if (cube.role == WH_CUBE_GUEST) {
        wh_build_send(b, cube.partner, WH_INPUT, 0, 1);
        wh_build_recv(b, cube.partner, WH_OUTPUT, 0, 1);
        return;
    }

    /* Whatever we hold leaves with the step that made it. */
    if (is_host) {
        struct wh_move move = combine(cube.partner, true);
        move.flags |= WH_SEND;
        move.to = wh_cube_neighbour(&cube, 0);
        wh_build_step(b, &move);
    } else {
        wh_build_send(b, wh_cube_neighbour(&cube, 0), WH_INPUT, 0, 1);
    }
    for (uint32_t dim = 0; dim < cube.ndims; dim++) {
        struct wh_move move = combine(wh_cube_neighbour(&cube, dim), dim == 0 && !is_host);
        if (dim + 1 < cube.ndims) {
            move.flags |= WH_SEND;
            move.to = wh_cube_neighbour(&cube, dim + 1);
        } else {
            move.flags |= WH_FINISH | (is_host ? WH_SEND : 0u);
            move.to = cube.partner;
        }
        wh_build_step(b, &move);
    }
}

/*
 * With P passes of one slot, d = floor(log2 n), e = 1 if n is no power of two, else 0:
 * d + 2e hops, (d + 2e)P messages, (d + 2e) * nbytes moved, (d + e) * nbytes reduced.
 */
static double doubling_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                               size_t nbytes)
{
    const double ndims = wh_cube_of(problem->nranks, 0).ndims;
    const double nfolds = wh_cube_folds(problem->nranks) ? 1 : 0;
    const double nhops = ndims + 2 * nfolds;

    return wh_cost_ns(fabric, &(struct wh_work){
                                  .nhops = nhops,
                                  .nmessages = nhops * wh_pass_count(fabric, nbytes, 1),
                                  .moved_nbytes = nhops * (double)nbytes,
                                  .reduced_nbytes = (ndims + nfolds) * (double)nbytes,
                                  .turns_nbytes = nhops > 1 ? nhops * (double)nbytes : 0,
                              });
}

const struct wh_algo wh_algo_allreduce_doubling = {
    .name = "doubling",
    .coll = WH_COLL_ALL_REDUCE,
    .build = doubling_build,
    .nchunks = wh_pass_one_chunk,
    .cost_ns = doubling_cost_ns,
};
