/* SPDX-License-Identifier: Apache-2.0 */
#include "common/sweep.h"

#include "common/bench.h"
#include "common/timing.h"

#include <stdlib.h>

/* First and last index of what an option chose: all of n, or one. */
struct range {
    int first, last;
};

static struct range range_of(int chosen, int n)
{
    return chosen == PERF_ALL ? (struct range){0, n - 1} : (struct range){chosen, chosen};
}

static struct range ops_of(const struct perf_team *team)
{
    return team->coll->reduces ? range_of(team->args->op, PERF_NOPS)
                               : (struct range){PERF_OP_NONE, PERF_OP_NONE};
}

static struct range roots_of(const struct perf_team *team)
{
    return team->coll->rooted ? range_of(team->args->root, team->nroots) : (struct range){-1, -1};
}

size_t perf_sweep_nrows(const struct perf_team *team)
{
    struct range types = range_of(team->args->type, PERF_NTYPES);
    struct range ops = ops_of(team);
    struct range roots = roots_of(team);
    size_t nsizes = 0;

    for (size_t nbytes = team->args->min_nbytes; nbytes <= team->max_nbytes;
         nbytes = perf_args_next_size(team->args, nbytes)) {
        nsizes++;
    }
    return nsizes * (size_t)(types.last - types.first + 1) * (size_t)(ops.last - ops.first + 1) *
           (size_t)(roots.last - roots.first + 1);
}

static int measure_row(struct perf_team *team, const struct perf_case *what, int cycle)
{
    struct perf_sizes sizes;
    perf_bench_sizes(team, what, &sizes);
    size_t most = sizes.send_count > sizes.recv_count ? sizes.send_count : sizes.recv_count;
    struct perf_row row = {
        .nbytes = most * what->type->nbytes,
        .count = sizes.api_count,
        .type = team->coll->is_barrier ? "none" : what->type->name,
        .op = perf_op_name(what->op),
        .root = what->root,
        .cycle = cycle,
    };

    int status = PERF_OK;
    perf_bench_prepare(team, what);
    for (int in_place = 0; in_place < 2 && status == PERF_OK; in_place++) {
        if (team->report != NULL) {
            perf_report_progress(team->report, &row, in_place);
        }
        status = perf_bench_half(team, what, in_place != 0, &row.half[in_place]);
    }
    if (status == PERF_OK && team->report != NULL) {
        perf_timestamp(row.timestamp, sizeof(row.timestamp));
        return perf_report_row(team->report, &row);
    }
    free(row.half[0].iter_us);
    free(row.half[1].iter_us);
    return status;
}

/* Untimed operations on every second power of the sizes, as nccl-tests has it. */
static int warm_up(struct perf_team *team, struct perf_case what)
{
    int status = PERF_OK;
    size_t nbytes = team->args->min_nbytes;

    for (; nbytes <= team->max_nbytes && status == PERF_OK; nbytes = nbytes > 0 ? 2 * nbytes : 1) {
        what.nbytes = nbytes;
        status = perf_bench_warmup(team, &what, team->args->warmup_iters);
    }
    return status;
}

/* All sizes of one type, reduction and root. */
static int sweep_sizes(struct perf_team *team, struct perf_case what, int cycle)
{
    int status = perf_bench_open(team, what.type, what.op);
    if (status != PERF_OK) {
        return status;
    }

    status = warm_up(team, what);
    for (what.nbytes = team->args->min_nbytes; what.nbytes <= team->max_nbytes && status == PERF_OK;
         what.nbytes = perf_args_next_size(team->args, what.nbytes)) {
        status = measure_row(team, &what, cycle);
    }
    perf_bench_close(team, what.op);
    return status;
}

static int sweep_once(struct perf_team *team, int cycle)
{
    struct range types = range_of(team->args->type, PERF_NTYPES);
    struct range ops = ops_of(team);
    struct range roots = roots_of(team);
    int status = PERF_OK;

    for (int type = types.first; type <= types.last; type++) {
        for (int op = ops.first; op <= ops.last; op++) {
            for (int root = roots.first; root <= roots.last && status == PERF_OK; root++) {
                struct perf_case what = {
                    .type = perf_type_at(type),
                    .op = (enum perf_op_kind)op,
                    .root = root,
                };
                status = sweep_sizes(team, what, cycle);
            }
        }
    }
    return status;
}

int perf_sweep(struct perf_team *team)
{
    int ncycles = team->args->cycles;
    int status = PERF_OK;

    for (int cycle = 0; (ncycles == 0 || cycle < ncycles) && status == PERF_OK; cycle++) {
        status = sweep_once(team, cycle);
    }
    return status;
}
