/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timing and checking are apart. The timed loop runs operations back to back and moves through the
 * buffers from one to the next, so that small sizes do not stay in the cache by accident. A check
 * then runs single operations on fresh inputs, each with a new seed, so that what an earlier
 * operation left behind can never pass for a result.
 */
#include "common/bench.h"

#include "common/failure.h"
#include "common/stats.h"
#include "common/timing.h"
#include "common/verify.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where one rank's operation reads and writes. */
struct span {
    struct perf_place place;
    char *send, *recv;
    size_t shift_nbytes; /* distance between the buffers of successive operations */
    size_t nshifts;      /* how many fit */
};

static struct span span_of(const struct perf_team *team, const struct perf_rank *rank,
                           const struct perf_case *what, bool in_place)
{
    size_t elem_nbytes = what->type->nbytes;
    size_t skip_nbytes = (size_t)team->args->unalign * elem_nbytes;
    struct span s = {.place = {.rank = rank->rank, .nranks = rank->nranks, .root = what->root}};
    struct perf_sizes *sizes = &s.place.sizes;

    team->coll->sizes(what->nbytes / elem_nbytes, rank->nranks, sizes);
    s.send = rank->mapped[0] + skip_nbytes;
    s.recv = rank->mapped[1] + skip_nbytes;
    if (in_place) {
        char *base = s.recv;
        s.send = base + (size_t)rank->rank * sizes->send_inplace_step * elem_nbytes;
        s.recv = base + (size_t)rank->rank * sizes->recv_inplace_step * elem_nbytes;
    }

    size_t most = sizes->send_count > sizes->recv_count ? sizes->send_count : sizes->recv_count;
    s.shift_nbytes = most * elem_nbytes;
    s.nshifts = s.shift_nbytes > 0 ? team->max_nbytes / s.shift_nbytes : 1;
    return s;
}

static whorl_redop_t op_number(const struct perf_rank *rank, enum perf_op_kind op)
{
    if (op == PERF_OP_NONE) {
        return WHORL_SUM;
    }
    return op == PERF_OP_MULSUM ? rank->mulsum : perf_op_number(op);
}

/* Which operations: agg of them, in the buffers number first and on. */
struct batch {
    bool in_place;
    size_t first;
    int agg;
};

/* Runs one phase of the operations on every rank of the team, in one group where there are several
 * calls. */
static int run_phase(struct perf_team *team, const struct perf_case *what,
                     const struct batch *batch, int phase)
{
    int agg = batch->agg;
    bool grouped = team->nranks * agg > 1;
    whorl_result_t rc = grouped ? whorl_group_start() : WHORL_OK;
    if (rc != WHORL_OK) {
        return perf_fail_whorl("whorl_group_start", rc, NULL, team->ranks[0].world_rank);
    }

    const struct perf_rank *rank = &team->ranks[0];
    for (int k = 0; k < agg && rc == WHORL_OK; k++) {
        for (int i = 0; i < team->nranks && rc == WHORL_OK; i++) {
            rank = &team->ranks[i];
            struct span s = span_of(team, rank, what, batch->in_place);
            size_t shift = s.shift_nbytes * ((batch->first + (size_t)k) % s.nshifts);
            struct perf_call call = {
                .send = s.send + shift,
                .recv = s.recv + shift,
                .count = s.place.sizes.api_count,
                .dtype = what->type->dtype,
                .op = op_number(rank, what->op),
                .root = what->root,
                .rank = rank->rank,
                .nranks = rank->nranks,
                .phase = phase,
                .blocks = &rank->blocks,
                .comm = rank->comm,
            };
            rc = team->coll->run(&call);
        }
    }
    if (grouped) {
        whorl_result_t end_rc = whorl_group_end();
        rc = rc != WHORL_OK ? rc : end_rc;
    }
    return rc == WHORL_OK ? PERF_OK
                          : perf_fail_whorl(team->coll->title, rc, rank->comm, rank->world_rank);
}

static int run_ops(struct perf_team *team, const struct perf_case *what, const struct batch *batch)
{
    const struct perf_coll *coll = team->coll;
    int nphases = coll->nphases != NULL ? coll->nphases(team->ranks[0].nranks) : 1;
    int status = PERF_OK;

    for (int phase = 0; phase < nphases && status == PERF_OK; phase++) {
        status = run_phase(team, what, batch, phase);
    }
    return status;
}

/* Says where the blocks of every rank lie. */
static void lay_out_blocks(struct perf_team *team, const struct perf_case *what)
{
    for (int i = 0; team->coll->blocks != NULL && i < team->nranks; i++) {
        struct span s = span_of(team, &team->ranks[i], what, false);
        team->coll->blocks(&s.place, &team->ranks[i].blocks);
    }
}

void perf_bench_close(struct perf_team *team, enum perf_op_kind op)
{
    for (int i = 0; op == PERF_OP_MULSUM && i < team->nranks; i++) {
        whorl_redop_destroy(team->ranks[i].mulsum, team->ranks[i].comm);
    }
}

int perf_bench_open(struct perf_team *team, const struct perf_type *type, enum perf_op_kind op)
{
    for (int i = 0; op == PERF_OP_MULSUM && i < team->nranks; i++) {
        struct perf_rank *rank = &team->ranks[i];
        uint64_t scalar = perf_type_encode(type, perf_values_scalar(rank->rank));
        whorl_result_t rc =
            whorl_redop_create_premul_sum(&scalar, type->dtype, rank->comm, &rank->mulsum);
        if (rc != WHORL_OK) {
            return perf_fail_whorl("whorl_redop_create_premul_sum", rc, rank->comm,
                                   rank->world_rank);
        }
    }
    return PERF_OK;
}

int perf_bench_warmup(struct perf_team *team, const struct perf_case *what, int iters)
{
    int status = PERF_OK;
    lay_out_blocks(team, what);
    for (int i = 0; i < iters && status == PERF_OK; i++) {
        status = run_ops(team, what, &(struct batch){.first = (size_t)i, .agg = 1});
    }
    return status;
}

void perf_bench_sizes(const struct perf_team *team, const struct perf_case *what,
                      struct perf_sizes *out)
{
    team->coll->sizes(what->nbytes / what->type->nbytes, team->ranks[0].nranks, out);
}

void perf_bench_prepare(struct perf_team *team, const struct perf_case *what)
{
    struct perf_values values;
    enum perf_op_kind op = what->op == PERF_OP_NONE ? PERF_OP_SUM : what->op;
    size_t skip_nbytes = (size_t)team->args->unalign * what->type->nbytes;
    size_t nops = (size_t)team->args->iters * (size_t)team->args->agg_iters;
    struct span s = span_of(team, &team->ranks[0], what, false);
    size_t nelems = s.shift_nbytes * (nops < s.nshifts ? nops : s.nshifts) / what->type->nbytes;

    lay_out_blocks(team, what);
    for (int i = 0; i < team->nranks; i++) {
        struct perf_rank *rank = &team->ranks[i];
        perf_values_init(&values, what->type, op, rank->nranks, 0);
        perf_values_input(&values, rank->rank, 0, nelems, rank->mapped[0] + skip_nbytes);
        perf_values_input(&values, rank->rank, 0, nelems, rank->mapped[1] + skip_nbytes);
    }
}

/* What a team measured on itself. */
struct lap {
    double wall_us, cpu_us;
};

/* The timed loop. iter_us: room for --iters numbers, or NULL. */
static int time_ops(struct perf_team *team, const struct perf_case *what, bool in_place,
                    double *iter_us, struct lap *out)
{
    const struct perf_args *args = team->args;
    uint64_t excluded_ns = 0;
    int status = PERF_OK;
    uint64_t cpu_start_ns = perf_thread_cpu_ns();
    uint64_t start_ns = perf_now_ns();

    for (int i = 0; i < args->iters && status == PERF_OK; i++) {
        uint64_t iter_start_ns = iter_us != NULL ? perf_now_ns() : 0;
        size_t first = (size_t)i * (size_t)args->agg_iters;
        status = run_ops(team, what, &(struct batch){in_place, first, args->agg_iters});
        if (iter_us != NULL) {
            iter_us[i] = (double)(perf_now_ns() - iter_start_ns) / 1e3 / args->agg_iters;
        }
        bool has_barrier = args->blocking == 1 || args->blocking == 3;
        if (has_barrier && status == PERF_OK) {
            uint64_t barrier_start_ns = perf_now_ns();
            status = perf_team_barrier(team);
            excluded_ns += args->blocking == 3 ? perf_now_ns() - barrier_start_ns : 0;
        }
    }

    double nops = (double)args->iters * args->agg_iters;
    out->wall_us = (double)(perf_now_ns() - start_ns - excluded_ns) / 1e3 / nops;
    out->cpu_us = (double)(perf_thread_cpu_ns() - cpu_start_ns) / 1e3 / nops;
    return status;
}

/* Makes one sample out of all teams': an operation lasts until its last rank has it. */
static int gather_iters(struct perf_team *team, double *iter_us, struct perf_half *out)
{
    size_t niters = (size_t)team->args->iters;
    size_t skip = (size_t)team->args->per_iter_skip;
    double *all = malloc((size_t)team->nteams * niters * sizeof(*all));
    if (all == NULL) {
        return perf_fail("no memory for the times of %zu iterations", niters);
    }

    int status = perf_team_gather(team, iter_us, niters * sizeof(*iter_us), all);
    for (size_t i = 0; i < niters && status == PERF_OK; i++) {
        for (size_t k = 0; k < (size_t)team->nteams; k++) {
            double other = all[k * niters + i];
            iter_us[i] = other > iter_us[i] ? other : iter_us[i];
        }
    }
    if (status == PERF_OK) {
        memcpy(all, iter_us, niters * sizeof(*iter_us));
        perf_stats_compute(all + skip, niters - skip, &out->iters);
    }
    free(all);
    return status;
}

/* Makes one time out of all teams' and fills in what follows from it. */
static int finish_times(struct perf_team *team, const struct perf_case *what,
                        const struct lap *mine, struct perf_half *out)
{
    size_t nteams = (size_t)team->nteams;
    struct lap *all = malloc(nteams * sizeof(*all));
    double *column = malloc(nteams * sizeof(*column));
    int status = all == NULL || column == NULL
                     ? perf_fail("no memory for the times of %zu threads", nteams)
                     : perf_team_gather(team, mine, sizeof(*mine), all);

    if (status == PERF_OK) {
        enum perf_average how = (enum perf_average)team->args->average;
        for (size_t k = 0; k < nteams; k++) {
            column[k] = all[k].wall_us;
        }
        out->time_us = perf_stats_average(column, nteams, how);
        for (size_t k = 0; k < nteams; k++) {
            column[k] = all[k].cpu_us;
        }
        out->cpu_us = perf_stats_average(column, nteams, how);

        struct perf_sizes sizes;
        perf_bench_sizes(team, what, &sizes);
        size_t most = sizes.send_count > sizes.recv_count ? sizes.send_count : sizes.recv_count;
        const struct perf_coll *coll = team->coll;
        int nranks = team->ranks[0].nranks;
        double nbytes = (double)(most * what->type->nbytes);
        nbytes *= coll->alg_factor != NULL ? coll->alg_factor(nranks) : 1;
        out->algbw = out->time_us > 0 ? nbytes / out->time_us / 1e3 : 0;
        out->busbw = out->algbw * coll->bus_factor(nranks);
    }
    free(all);
    free(column);
    return status;
}

/* One operation on fresh inputs; adds the wrong elements of this team's ranks to *nwrong. */
static int check_once(struct perf_team *team, const struct perf_case *what, bool in_place,
                      uint64_t *nwrong)
{
    struct perf_values values;
    size_t elem_nbytes = what->type->nbytes;
    uint32_t seed = ++team->seed;

    for (int i = 0; i < team->nranks; i++) {
        struct span s = span_of(team, &team->ranks[i], what, in_place);
        perf_values_init(&values, what->type, what->op, s.place.nranks, seed);
        char *buffer = team->ranks[i].mapped[1] + (size_t)team->args->unalign * elem_nbytes;
        memset(buffer, 0xa5, s.shift_nbytes); /* in place too: only the input may survive */
        perf_fill(&values, &s.place, s.send);
    }

    int status = run_ops(team, what, &(struct batch){.in_place = in_place, .agg = 1});
    int64_t corrupt = team->args->corrupt_index;
    for (int i = 0; i < team->nranks && status == PERF_OK; i++) {
        struct span s = span_of(team, &team->ranks[i], what, in_place);
        struct perf_place rank0 = s.place;
        rank0.rank = 0;
        int corrupt_rank = perf_is_checked(team->coll, &rank0) ? 0 : what->root;
        if (corrupt >= 0 && s.place.rank == corrupt_rank) {
            perf_corrupt(what->type, s.recv, s.place.sizes.recv_count, (uint64_t)corrupt);
        }
        perf_values_init(&values, what->type, what->op, s.place.nranks, seed);
        *nwrong += perf_count_wrong(team->coll, &values, &s.place, s.recv);
    }
    return status;
}

/* When a team came to a barrier and when it went on. */
struct meeting {
    uint64_t came_ns, left_ns;
    int64_t color;
};

/*
 * One barrier, to which another team comes late each time. Adds this team's ranks to *nwrong if
 * they went on before the last team of their group had come; the host's clock is the same for all.
 */
static int check_barrier(struct perf_team *team, const struct perf_case *what, uint64_t *nwrong)
{
    enum { LATE_US = 2000 };
    uint32_t seed = ++team->seed;
    bool is_late = (int)(seed % (uint32_t)team->nteams) == team->number;
    struct meeting *all = malloc((size_t)team->nteams * sizeof(*all));
    if (all == NULL) {
        return perf_fail("no memory for the times of %d threads", team->nteams);
    }

    usleep(is_late ? LATE_US : 0);
    struct meeting mine = {.came_ns = perf_now_ns(), .color = team->color};
    int status = run_ops(team, what, &(struct batch){.agg = 1});
    mine.left_ns = perf_now_ns();
    if (team->args->corrupt_index >= 0 && team->ranks[0].rank == 0) {
        mine.left_ns = 0;
    }

    if (status == PERF_OK) {
        status = perf_team_gather(team, &mine, sizeof(mine), all);
    }
    bool is_wrong = false;
    for (int k = 0; k < team->nteams && status == PERF_OK; k++) {
        is_wrong = is_wrong || (all[k].color == mine.color && all[k].came_ns > mine.left_ns);
    }
    *nwrong += is_wrong ? (uint64_t)team->nranks : 0;
    free(all);
    return status;
}

/* Is there something to compare the outcome with? */
static bool can_check(const struct perf_team *team, bool in_place)
{
    if (in_place && team->coll->in_place != PERF_IN_PLACE_CHECKED) {
        return false;
    }
    return !team->coll->is_barrier || team->is_one_host;
}

static int check_half(struct perf_team *team, const struct perf_case *what, bool in_place,
                      struct perf_half *out)
{
    uint64_t mine = 0;
    int status = PERF_OK;
    for (int i = 0; i < team->args->check_iters && status == PERF_OK; i++) {
        status = team->coll->is_barrier ? check_barrier(team, what, &mine)
                                        : check_once(team, what, in_place, &mine);
    }

    uint64_t *all = malloc((size_t)team->nteams * sizeof(*all));
    if (all == NULL && status == PERF_OK) {
        status = perf_fail("no memory for the counts of %d threads", team->nteams);
    }
    if (status == PERF_OK) {
        status = perf_team_gather(team, &mine, sizeof(mine), all);
    }
    for (int k = 0; k < team->nteams && status == PERF_OK; k++) {
        out->nwrong += all[k];
    }
    free(all);
    out->is_checked = true;
    team->nwrong += out->nwrong;
    return status;
}

int perf_bench_half(struct perf_team *team, const struct perf_case *what, bool in_place,
                    struct perf_half *out)
{
    struct lap mine = {0};
    double *iter_us = NULL;
    *out = (struct perf_half){0};

    if (in_place && team->coll->in_place == PERF_IN_PLACE_NONE) {
        return PERF_OK;
    }
    out->is_run = true;
    if (team->args->per_iter) {
        iter_us = calloc((size_t)team->args->iters, sizeof(*iter_us));
        if (iter_us == NULL) {
            return perf_fail("no memory for the times of %d iterations", team->args->iters);
        }
    }
    out->iter_us = iter_us;
    out->niters = iter_us != NULL ? (size_t)team->args->iters : 0;

    int status = run_ops(team, what, &(struct batch){.in_place = in_place, .agg = 1});
    if (status == PERF_OK) {
        status = perf_team_barrier(team);
    }
    if (status == PERF_OK) {
        status = time_ops(team, what, in_place, iter_us, &mine);
    }
    if (status == PERF_OK) {
        status = finish_times(team, what, &mine, out);
    }
    if (status == PERF_OK && iter_us != NULL) {
        status = gather_iters(team, iter_us, out);
    }
    if (status == PERF_OK && team->args->check_iters > 0 && can_check(team, in_place)) {
        status = check_half(team, what, in_place, out);
    }
    return status;
}
