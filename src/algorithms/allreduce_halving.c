/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recursive halving, then doubling, near exchange first: in round r neighbours in dimension r of a
 * cube (shape_cube.h) swap halves of the range they still work on and combine; then the same way
 * back, the finished ranges double.
 *
 *   n = 4            halve                          double
 *                    round 0       round 1          round 2       round 3
 *   rank 0 sends     c2..c3 to 1   c1     to 3      c0     to 3   c0..c1 to 1
 *   rank 1 sends     c0..c1 to 0   c3     to 2      c2     to 2   c2..c3 to 0
 *   rank 2 sends     c0..c1 to 3   c2     to 1      c3     to 1   c2..c3 to 3
 *   rank 3 sends     c2..c3 to 2   c0     to 0      c1     to 0   c0..c1 to 2
 *
 * The textbook halves far first. Near first sends half of all data to the nearest rank and one
 * chunk to the farthest, so where ranks are numbered along the machine, little crosses its slow
 * links. The price is that a member ends with the chunk of its bit-reversed number, which does not
 * matter to an all-reduce.
 *
 * Where n is no power of two, guests hand their input to a host first and get the result from it
 * last, in two messages so that no message is larger than the first exchange.
 *
 * Invariant: after round r a member holds, of a range of 2^(d-r-1) chunks, the inputs of the
 * 2^(r+1) members whose numbers differ from its own in the lowest r+1 bits only.
 *
 * Cost per rank: 2 log2 n messages one after another (2 hops and 4 messages more with guests),
 * 2(n-1)/n of the bytes (the buffer twice more), (n-1)/n reduced.
 *
 * Source: Rabenseifner, "Optimization of collective reduction operations", ICCS 2004.
 */
#include "algorithms/algo.h"
#include "algorithms/cost.h"
#include "algorithms/pass.h"
#include "algorithms/shape_cube.h"
#include "base/bits.h"

struct range {
    uint32_t chunk, nchunks;
};

/* Cuts range in two: what a member keeps in dimension dim, and what its neighbour keeps. */
static void halve(const struct wh_cube *cube, uint32_t dim, struct range *kept, struct range *given)
{
    const uint32_t half = kept->nchunks / 2;
    const bool keeps_upper = (cube->member >> dim & 1) != 0;

    *given = (struct range){kept->chunk + (keeps_upper ? 0 : half), half};
    *kept = (struct range){kept->chunk + (keeps_upper ? half : 0), half};
}

/* Receives range from peer, and stores it op what we have. `more`: further flags; a SEND is to
 * peer. */
static void combine(struct wh_builder *b, uint32_t peer, enum wh_buf local, struct range range,
                    uint32_t more)
{
    wh_build_step(b, &(struct wh_move){
                         .flags = WH_RECV | WH_REDUCE | WH_STORE | more,
                         .from = peer,
                         .to = peer,
                         .local = local,
                         .store = WH_OUTPUT,
                         .chunk = range.chunk,
                         .nchunks = range.nchunks,
                     });
}

static void build_guest(struct wh_builder *b, const struct wh_cube *cube)
{
    const uint32_t half = cube->nmembers / 2;
    for (uint32_t i = 0; i < 2; i++) {
        wh_build_send(b, cube->partner, WH_INPUT, i * half, half);
    }
    for (uint32_t i = 0; i < 2; i++) {
        wh_build_recv(b, cube->partner, WH_OUTPUT, i * half, half);
    }
}

/* The exchanges of the members; `local` is where their input is. */
static void build_member(struct wh_builder *b, const struct wh_cube *cube, enum wh_buf local)
{
    struct range kept = {0, cube->nmembers};
    struct range given;

    for (uint32_t dim = 0; dim < cube->ndims; dim++) {
        const uint32_t peer = wh_cube_neighbour(cube, dim);
        /* The farthest exchange is the last of the halving and the first of the doubling. */
        const bool is_farthest = dim + 1 == cube->ndims;
        halve(cube, dim, &kept, &given);
        wh_build_send(b, peer, local, given.chunk, given.nchunks);
        combine(b, peer, local, kept, is_farthest ? WH_FINISH | WH_SEND : 0u);
        local = WH_OUTPUT;
    }

    for (uint32_t dim = cube->ndims; dim-- > 0;) {
        const uint32_t peer = wh_cube_neighbour(cube, dim);
        const bool is_upper = (cube->member >> dim & 1) != 0;
        given = kept;
        given.chunk = is_upper ? kept.chunk - kept.nchunks : kept.chunk + kept.nchunks;
        if (dim + 1 < cube->ndims) {
            wh_build_send(b, peer, WH_OUTPUT, kept.chunk, kept.nchunks);
        }
        wh_build_recv(b, peer, WH_OUTPUT, given.chunk, given.nchunks);
        kept = (struct range){is_upper ? given.chunk : kept.chunk, 2 * kept.nchunks};
    }
}

static void halving_build(const struct wh_problem *problem, struct wh_builder *b)
{
    const struct wh_cube cube = wh_cube_of(problem->nranks, problem->rank);
    const uint32_t half = cube.nmembers / 2;

    if (!wh_is_pow2(problem->nranks)) {
        wh_build_entry(b);
    }
    wh_build_abreast(b);
    wh_build_lane(b, 0);
    switch (cube.role) {
    case WH_CUBE_GUEST:
        build_guest(b, &cube);
        break;
    case WH_CUBE_MEMBER:
        build_member(b, &cube, WH_INPUT);
        break;
    case WH_CUBE_HOST:
        for (uint32_t i = 0; i < 2; i++) {
            combine(b, cube.partner, WH_INPUT, (struct range){i * half, half}, 0);
        }
        build_member(b, &cube, WH_OUTPUT);
        for (uint32_t i = 0; i < 2; i++) {
            wh_build_send(b, cube.partner, WH_OUTPUT, i * half, half);
        }
        break;
    }
}

static uint32_t halving_nchunks(const struct wh_problem *problem)
{
    return wh_cube_of(problem->nranks, problem->rank).nmembers;
}

/*
 * With P passes of two slots, p = 2^d members, e = 1 if n is no power of two, else 0: 2d + 2e hops,
 * (2d + 4e)P messages, (2(p-1)/p + 2e) * nbytes moved, ((p-1)/p + e) * nbytes reduced.
 */
static double halving_cost_ns(const struct wh_problem *problem, const struct wh_fabric *fabric,
                              size_t nbytes)
{
    const struct wh_cube cube = wh_cube_of(problem->nranks, 0);
    const double nfolds = wh_cube_folds(problem->nranks) ? 1 : 0;
    const double ndims = cube.ndims;
    const double nmembers = cube.nmembers;
    const double share = ((nmembers - 1) / nmembers + nfolds) * (double)nbytes;

    return wh_cost_ns(fabric,
                      &(struct wh_work){
                          .nhops = 2 * ndims + 2 * nfolds,
                          .nmessages = (2 * ndims + 4 * nfolds) * wh_pass_count(fabric, nbytes, 2),
                          .moved_nbytes = 2 * share,
                          .reduced_nbytes = share,
                          .turns_nbytes = ndims + nfolds > 1 ? 2 * share : 0,
                      });
}

const struct wh_algo wh_algo_allreduce_halving = {
    .name = "halving",
    .coll = WH_COLL_ALL_REDUCE,
    .build = halving_build,
    .nchunks = halving_nchunks,
    .cost_ns = halving_cost_ns,
};
