/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two sides of a collective on one rank: what it reads and what it writes, as blocks of a
 * buffer. What must be true of the sides of every collective is checked here, once.
 */
#ifndef WH_API_SIDES_H
#define WH_API_SIDES_H

#include "comm/comm.h"

/** A buffer and where its blocks lie, in elements. */
struct wh_side {
    const void *buf;
    bool used;     /* by this rank */
    bool per_rank; /* a block for every rank; else one block */
    bool varying;  /* with per_rank: sizes are in counts; else every block has count elements */
    size_t count;
    const size_t *counts, *displs; /* displs NULL: one behind the other, in rank order */

    /* Found by the checks. */
    size_t first, end; /* from the first element of all blocks to behind the last; equal: none */
    size_t own_start, own_count; /* this rank's block */
};

struct wh_sides {
    const char *call; /* "whorl_all_reduce" */
    enum wh_coll coll;
    uint32_t rank, nranks;
    size_t elem_nbytes;
    struct wh_side send, recv;
};

/**
 * Checks both sides, each alone and against the other. WHORL_E_ARG: counts NULL; a block, its end
 * or all blocks too large; a buffer NULL that has elements; this rank's own block sent with one
 * size and received with another; overlaps.
 *
 * O(nranks) where sizes vary. Of the blocks that are written (and, in reduce_scatter_v in place,
 * read) only neighbours are compared with one another.
 */
WH_MUST_CHECK whorl_result_t wh_sides_check(struct wh_sides *sides);

#endif
