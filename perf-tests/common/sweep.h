/* SPDX-License-Identifier: Apache-2.0 */
/* The sweep: cycles x types x reductions x roots x sizes, one row each. */
#ifndef PERF_COMMON_SWEEP_H
#define PERF_COMMON_SWEEP_H

#include "common/team.h"

/** Rows of one cycle, for the progress line. */
size_t perf_sweep_nrows(const struct perf_team *team);

/** Runs all of it, together with all other teams; tells rows to team->report if there is one. */
int perf_sweep(struct perf_team *team);

#endif
