/* SPDX-License-Identifier: Apache-2.0 */
/* How algorithms cut a pass into chunks, and how many passes a buffer takes. */
#ifndef WH_ALGORITHMS_PASS_H
#define WH_ALGORITHMS_PASS_H

#include "algorithms/algo.h"

/** The nchunks of algorithms that move a pass as one piece. */
uint32_t wh_pass_one_chunk(const struct wh_problem *problem);

/** The nchunks of algorithms with a chunk for every rank. */
uint32_t wh_pass_chunk_per_rank(const struct wh_problem *problem);

/**
 * Passes that nbytes take, at least 1, if one pass moves as much as nslots full messages: that is
 * nchunks / nchunks_per_step of the schedule, which need not be whole.
 */
double wh_pass_count(const struct wh_fabric *fabric, size_t nbytes, double nslots);

#endif
