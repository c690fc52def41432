/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hypercube of the largest power of two of ranks, and where the others stay.
 *
 * With n = members + extra ranks, the first 2 * extra ranks form pairs: the even one (the guest)
 * hands its data to the odd one (the host), sits out, and gets the result from it. The members are
 * the hosts and all ranks after the pairs. Their numbers go round the cube in a Gray code: each is a
 * neighbour of the next, and the last one of the first. So near members are near ranks, and without
 * guests the edges of the cube have the circle of ranks among them, which every schedule has to send
 * along (docs/decisions/0005): no messages for that alone.
 *
 *   n = 6     rank    0      1      2      3      4      5
 *                   guest   host  guest   host
 *             member         0             1      3      2
 *
 * Sources: Thakur, Rabenseifner, Gropp, "Optimization of collective communication operations in
 * MPICH", IJHPCA 19 (2005), for the guests; Gray, US patent 2632058 (1953), for the code.
 */
#ifndef WH_ALGORITHMS_SHAPE_CUBE_H
#define WH_ALGORITHMS_SHAPE_CUBE_H

#include <stdbool.h>
#include <stdint.h>

enum wh_cube_role {
    WH_CUBE_MEMBER, /* has no guest */
    WH_CUBE_HOST,   /* a member that also works for `partner` */
    WH_CUBE_GUEST,  /* no member; `partner` works for it */
};

/** A rank's place in the cube. */
struct wh_cube {
    uint32_t nranks;
    uint32_t nmembers; /* 2^ndims */
    uint32_t ndims;
    enum wh_cube_role role;
    uint32_t partner; /* rank of the guest or of the host; not for WH_CUBE_MEMBER */
    uint32_t index;   /* among the members, in the order of ranks; not for WH_CUBE_GUEST */
    uint32_t member;  /* corner of the cube: the index-th number of the Gray code */
};

struct wh_cube wh_cube_of(uint32_t nranks, uint32_t rank);

/** The rank that is cube's neighbour in dimension dim < ndims; cube is no guest. */
uint32_t wh_cube_neighbour(const struct wh_cube *cube, uint32_t dim);

/** Are there guests? */
bool wh_cube_folds(uint32_t nranks);

#endif
