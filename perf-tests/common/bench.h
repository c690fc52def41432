/* SPDX-License-Identifier: Apache-2.0 */
/* Measures and checks one size with one type, reduction and root. Collective over all teams. */
#ifndef PERF_COMMON_BENCH_H
#define PERF_COMMON_BENCH_H

#include "common/team.h"
#include "common/types.h"

/** What is measured. */
struct perf_case {
    const struct perf_type *type;
    enum perf_op_kind op;
    int root;      /**< -1 when the collective has none */
    size_t nbytes; /**< the size asked for; the collective may round it down */
};

/** Makes the handles that op needs on every rank's communicator; nothing for most. */
int perf_bench_open(struct perf_team *team, const struct perf_type *type, enum perf_op_kind op);

void perf_bench_close(struct perf_team *team, enum perf_op_kind op);

/** Runs iters untimed operations out of place. */
int perf_bench_warmup(struct perf_team *team, const struct perf_case *what, int iters);

/** Counts of the case, as the first rank of team sees them. */
void perf_bench_sizes(const struct perf_team *team, const struct perf_case *what,
                      struct perf_sizes *out);

/** Writes inputs to all buffers, so that what is timed are ordinary numbers. */
void perf_bench_prepare(struct perf_team *team, const struct perf_case *what);

/** Times, then checks, one half of a row, if there is such a call. out->iter_us is the caller's to
 *  free. */
int perf_bench_half(struct perf_team *team, const struct perf_case *what, bool in_place,
                    struct perf_half *out);

#endif
