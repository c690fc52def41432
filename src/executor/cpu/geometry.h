/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the chunks of a pass are, and how large they are.
 *
 * A pass over a vector is one contiguous range of it, spread over the chunks. In collectives of
 * blocks a chunk is a slice of one block, and pass p has the p-th slice of every block. Blocks may
 * have different sizes and places (wh_op.send_counts and the like): passes are those of the largest
 * block, and of shorter ones the later slices are empty.
 */
#ifndef WH_EXECUTOR_CPU_GEOMETRY_H
#define WH_EXECUTOR_CPU_GEOMETRY_H

#include "executor/cpu/run.h"

/** Sets the passes and chunks of plan->op; plan->elem_nbytes is known. */
void wh_geometry_set(struct wh_plan *plan);

/** Elements of a chunk in a pass, and where it starts within the pass. */
size_t wh_geometry_span(const struct wh_plan *plan, uint64_t pass, uint32_t chunk,
                        size_t *start_out);

/** Address of a chunk in one of the three buffers, in the pass that lane is in; start is what
 *  wh_geometry_span() said. */
uint8_t *wh_geometry_ptr(const struct wh_plan *plan, const struct wh_lane_cursor *lane,
                         enum wh_buf buf, uint32_t chunk, size_t start);

/** Bytes of a step's message. */
size_t wh_geometry_message_nbytes(const struct wh_plan *plan, uint64_t pass,
                                  const struct wh_step *step);

#endif
