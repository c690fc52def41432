/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prompt schedules: those in which ranks compare their calls before they wait for anything else.
 *
 * Every schedule of a collective has each rank send to the next one and receive from the one before
 * (sched.h, "Entry"), but in a tree or a chain a rank may first wait for others, and these may have
 * called something else and wait for it. In a prompt schedule the message to the next rank comes
 * before all that this rank receives in that lane, and so does the one from the rank before: both
 * arrive whatever others do.
 */
#ifndef WH_ALGORITHMS_HIER_PROMPT_H
#define WH_ALGORITHMS_HIER_PROMPT_H

#include "algorithms/algo.h"

/** So many ranks at most are looked at: schedules of more may be large. */
enum { WH_PROMPT_RANKS_MAX = 16 };

/** Is this rank's schedule prompt? */
bool wh_sched_is_prompt(const struct wh_sched *sched);

/** Are those of all problem->nranks ranks? The same on all ranks; never for more than
 *  WH_PROMPT_RANKS_MAX. Builds all of them. Errors as wh_algo_build(). */
WH_MUST_CHECK whorl_result_t wh_algo_is_prompt(const struct wh_algo *algo,
                                               const struct wh_problem *problem,
                                               bool *is_prompt_out);

#endif
