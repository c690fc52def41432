/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prompt schedules: those in which ranks compare their calls before they wait for anything else.
 *
 * Every schedule of a collective has each rank send to the next one and receive from the one before
 * (sched.h, "Entry"), but in a tree or a chain a rank may first wait for others, and these may have
 * called something else and wait for it. In a prompt schedule the message to the next rank comes
 * before all that this rank receives in that lane, and so does the one from the rank before: both
 * arrive whatever others do.
 *
 * Climbing schedules find out as well. They go through the dimensions of a cube one by one
 * (shape_cube.h): send to the neighbour in dimension d after all that comes from those in lower
 * dimensions, and before anything of this or a higher one is received. Let ranks have made different
 * calls, and d be the least dimension in which two neighbours differ. Then the blocks of 2^d ranks
 * that are joined by lower dimensions agree, each of them. Those that climb get to dimension d, for
 * all they wait for before it climbs too. Two blocks that d joins and that differ follow each other
 * on the circle of ranks, so the last rank of the one and the first of the other are neighbours in
 * d: one that climbs sends to the other now and then waits for it. If the other one's schedule climbs
 * too, they meet; if it is prompt, it sends to the next rank or waits for the one before as the first
 * thing it does.
 */
#ifndef WH_ALGORITHMS_HIER_PROMPT_H
#define WH_ALGORITHMS_HIER_PROMPT_H

#include "algorithms/algo.h"

/** So many ranks at most are looked at: schedules of more may be large. */
enum { WH_PROMPT_RANKS_MAX = 16 };

/** Is this rank's schedule prompt? */
bool wh_sched_is_prompt(const struct wh_sched *sched);

/** Does this rank's schedule climb? Never where the number of ranks is no power of two. */
bool wh_sched_climbs(const struct wh_sched *sched);

/** Are those of all problem->nranks ranks prompt, or do all climb? The same on all ranks; never for
 *  more than WH_PROMPT_RANKS_MAX. Builds all of them. Errors as wh_algo_build(). */
WH_MUST_CHECK whorl_result_t wh_algo_finds_out(const struct wh_algo *algo,
                                               const struct wh_problem *problem,
                                               bool *finds_out_out);

#endif
