/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks that phases of compositions read and write; see wh_block_fn in schedule/compose.h. */
#ifndef WH_ALGORITHMS_HIER_BLOCKS_H
#define WH_ALGORITHMS_HIER_BLOCKS_H

#include "schedule/compose.h"

/** Cells 0 to arg - 1. */
struct wh_cells wh_block_all(const struct wh_compose_problem *p, uint32_t arg, uint32_t member);

/** Cell arg. */
struct wh_cells wh_block_cell(const struct wh_compose_problem *p, uint32_t arg, uint32_t member);

/** Cell 0 for member arg, nothing for the others. */
struct wh_cells wh_block_only(const struct wh_compose_problem *p, uint32_t arg, uint32_t member);

/** In the host: of nrails cells the one whose number is the member's, nothing for members that are
 *  on no rail. */
struct wh_cells wh_block_share(const struct wh_compose_problem *p, uint32_t arg, uint32_t member);

/** On a rail: the cell with the rail's number. */
struct wh_cells wh_block_rail(const struct wh_compose_problem *p, uint32_t arg, uint32_t member);

/** In the host: the cell of the member's rank. */
struct wh_cells wh_block_rank(const struct wh_compose_problem *p, uint32_t arg, uint32_t member);

/** In the host: the cell of the rank on host arg that is on the member's rail. */
struct wh_cells wh_block_twin(const struct wh_compose_problem *p, uint32_t arg, uint32_t member);

/** On a rail: the cell of the member's rank. */
struct wh_cells wh_block_peer(const struct wh_compose_problem *p, uint32_t arg, uint32_t member);

/** On a rail: the cells of all ranks of the member's host, which follow one another. */
struct wh_cells wh_block_host(const struct wh_compose_problem *p, uint32_t arg, uint32_t member);

/** On a rail: the cell with the number of the member's host. */
struct wh_cells wh_block_slot(const struct wh_compose_problem *p, uint32_t arg, uint32_t member);

/** In the host: among cells for all members of host 0, then all of host 1 and so on, that for the
 *  member of host arg. All hosts have as many ranks. */
struct wh_cells wh_block_desk(const struct wh_compose_problem *p, uint32_t arg, uint32_t member);

/** On a rail: in that order, the cells for all members of the member's host. */
struct wh_cells wh_block_desks(const struct wh_compose_problem *p, uint32_t arg, uint32_t member);

#endif
