/* SPDX-License-Identifier: Apache-2.0 */
/* Send and receive buffers of a team's ranks, and how large they may be. */
#ifndef PERF_COMMON_BUFFERS_H
#define PERF_COMMON_BUFFERS_H

#include "common/team.h"

/** Bytes of memory that this process may still use: the machine's or its control group's. */
size_t perf_memory_nbytes(void);

/**
 * Maps both buffers of every rank of team, for team->max_nbytes and --unalign elements, of the
 * memory that --local_register says; and the arrays that tell where blocks lie.
 *
 * Memory    given back with perf_buffers_destroy(), also after a failure. Registrations are given
 *           back with the communicators, which must go first.
 */
int perf_buffers_create(struct perf_team *team);

void perf_buffers_destroy(struct perf_team *team);

#endif
