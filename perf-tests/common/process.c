/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process: connects its ranks, runs a team per thread, leaves. The thread with rank 0 tells
 * the results; every other thread only takes part.
 *
 * A team that fails aborts its communicators, so that everybody else's calls return. Should a
 * thread of this process still not come back, an alarm ends the process; the same alarm serves -T.
 */
#include "common/buffers.h"
#include "common/failure.h"
#include "common/launch.h"
#include "common/sweep.h"
#include "common/team.h"
#include "perf.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GRACE_S = 6 };

static volatile sig_atomic_t alarm_status = PERF_E_TIMEOUT;

/* Ends the process; only functions that are safe in a signal handler. */
static void on_alarm(int signal_number)
{
    static const char timeout[] = "timeout: the run took longer than --timeout allows\n";
    static const char stuck[] = "a thread did not end after another one had failed\n";
    bool is_timeout = alarm_status == PERF_E_TIMEOUT;
    const char *text = is_timeout ? timeout : stuck;

    (void)signal_number;
    ssize_t n = write(STDERR_FILENO, text, is_timeout ? sizeof(timeout) - 1 : sizeof(stuck) - 1);
    (void)n;
    _exit(alarm_status);
}

static void fail_team(struct perf_team *team)
{
    perf_team_abort(team);
    if (team->args->nthreads > 1) {
        alarm_status = team->status;
        alarm(GRACE_S);
    }
}

/* What tells this run of this machine's kernel from all others; "" if it does not say. */
static void read_boot(char *text, int text_nbytes)
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file == NULL || fgets(text, text_nbytes, file) == NULL) {
        text[0] = '\0';
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void identify(const struct perf_team *team, struct perf_identity *out)
{
    memset(out, 0, sizeof(*out)); /* padding too: it is sent */
    out->first_rank = team->ranks[0].world_rank;
    out->nranks = team->nranks;
    out->group_nranks = team->ranks[0].nranks;
    out->color = team->color;
    out->pid = (int32_t)getpid();
    out->thread = team->index;
    out->memory_nbytes = perf_memory_nbytes();
    snprintf(out->host, sizeof(out->host), "%s", perf_hostname());
    read_boot(out->boot, sizeof(out->boot));
}

/* The largest size whose buffers fit: 0.8 of what each host has, over the ranks that it holds.
 * Computed from what all teams said, so all teams come to the same. */
static size_t fitting_nbytes(const struct perf_identity *teams, int nteams, size_t wanted)
{
    size_t fits = wanted;

    for (int i = 0; i < nteams; i++) {
        uint64_t memory = teams[i].memory_nbytes;
        uint64_t nranks = 0;
        for (int k = 0; k < nteams; k++) {
            if (strcmp(teams[i].host, teams[k].host) == 0) {
                nranks += (uint64_t)teams[k].nranks;
                memory = teams[k].memory_nbytes < memory ? teams[k].memory_nbytes : memory;
            }
        }
        uint64_t share = memory / 10 * 8 / (2 * nranks);
        fits = share < fits ? (size_t)share : fits;
    }
    return fits;
}

/* Takes from what all teams said what follows for the run. */
static int agree(struct perf_team *team, const struct perf_identity *teams)
{
    team->nroots = teams[0].group_nranks;
    team->is_one_host = teams[0].boot[0] != '\0';
    for (int k = 1; k < team->nteams; k++) {
        int nranks = teams[k].group_nranks;
        team->nroots = nranks < team->nroots ? nranks : team->nroots;
        team->is_one_host = team->is_one_host && strcmp(teams[k].boot, teams[0].boot) == 0;
    }
    if (team->coll->rooted && team->args->root >= team->nroots) {
        perf_fail("--root %d: there are only ranks 0 to %d", team->args->root, team->nroots - 1);
        return PERF_E_USAGE;
    }
    team->max_nbytes = fitting_nbytes(teams, team->nteams, team->args->max_nbytes);
    if (team->max_nbytes < team->args->min_nbytes) {
        return perf_fail("no memory for %zu bytes per rank; %zu would fit", team->args->min_nbytes,
                         team->max_nbytes);
    }
    return PERF_OK;
}

/* The number of ranks of a group that the collective does not run on; 0 if there is none. */
static int unfit_nranks(const struct perf_team *team, const struct perf_identity *teams)
{
    for (int k = 0; team->coll->needs_pow2 && k < team->nteams; k++) {
        int n = teams[k].group_nranks;
        if ((n & (n - 1)) != 0) {
            return n;
        }
    }
    return 0;
}

/* The team's part of the run between joining and leaving. teams: room for nteams records. */
static int run_sweep(struct perf_team *team, struct perf_identity *teams)
{
    struct perf_identity mine;
    identify(team, &mine);
    int status = perf_team_gather(team, &mine, sizeof(mine), teams);
    if (status != PERF_OK) {
        return status;
    }

    status = agree(team, teams);
    if (status == PERF_OK) {
        status = perf_buffers_create(team);
    }
    if (status != PERF_OK) {
        return status;
    }

    if (team->report != NULL) {
        team->report->teams = teams;
        team->report->nteams = team->nteams;
        team->report->max_nbytes = team->max_nbytes;
        team->report->rows_planned = perf_sweep_nrows(team) * (size_t)team->args->cycles;
        perf_report_start(team->report);
    }
    int unfit = unfit_nranks(team, teams);
    if (unfit == 0) {
        status = perf_sweep(team);
    } else if (team->report != NULL) {
        perf_report_skip(team->report, unfit);
    }
    if (status == PERF_OK && team->nwrong > 0) {
        status = PERF_E_WRONG;
    }
    if (team->report != NULL) {
        status = perf_report_end(team->report, status);
    }
    return status;
}

/* Life of a thread. */
static void *run_team(void *argument)
{
    struct perf_team *team = argument;
    struct perf_identity *teams = calloc((size_t)team->nteams, sizeof(*teams));

    team->status = teams == NULL ? perf_fail("no memory for %d threads", team->nteams) : PERF_OK;
    if (team->status == PERF_OK && team->args->parallel_init) {
        team->status = perf_teams_connect(team, 1);
    }
    if (team->status == PERF_OK) {
        team->status = perf_team_split(team);
    }
    if (team->status == PERF_OK) {
        team->status = run_sweep(team, teams);
    }
    if (team->status != PERF_OK && team->status != PERF_E_WRONG) {
        fail_team(team);
    }
    perf_team_disconnect(team);
    perf_buffers_destroy(team);
    free(teams);
    return NULL;
}

/* Gives every team its place in the run. teams and ranks are zeroed arrays. */
static void place_teams(const struct perf_args *args, struct perf_world *world,
                        const struct perf_coll *coll, struct perf_team *teams,
                        struct perf_rank *ranks)
{
    int g = args->nranks_per_thread;

    for (int i = 0; i < args->nthreads; i++) {
        teams[i] = (struct perf_team){
            .args = args,
            .coll = coll,
            .world = world,
            .index = i,
            .number = world->proc * args->nthreads + i,
            .nranks = g,
            .ranks = ranks + (size_t)i * (size_t)g,
            .nteams = world->nprocs * args->nthreads,
        };
        for (int k = 0; k < g; k++) {
            teams[i].ranks[k].world_rank = (world->proc * args->nthreads + i) * g + k;
        }
    }
}

/* Runs all teams, the first in this thread; returns the first status that is not PERF_OK. */
static int run_teams(struct perf_team *teams, int nteams)
{
    int nstarted = 1;
    int status = PERF_OK;

    if (!teams[0].args->parallel_init) {
        status = perf_teams_connect(teams, nteams);
    }
    while (status == PERF_OK && nstarted < nteams) {
        struct perf_team *team = &teams[nstarted];
        if (pthread_create(&team->thread, NULL, run_team, team) != 0) {
            status = perf_fail("no thread number %d", nstarted);
            break;
        }
        nstarted++;
    }
    if (status != PERF_OK) {
        teams[0].status = status;
        fail_team(&teams[0]);
        perf_team_disconnect(&teams[0]);
    } else {
        run_team(&teams[0]);
        status = teams[0].status;
    }
    for (int i = 1; i < nstarted; i++) {
        pthread_join(teams[i].thread, NULL);
        status = status != PERF_OK ? status : teams[i].status;
    }
    return status;
}

/* A perf_body: context is the collective. */
static int run_process(const struct perf_args *args, struct perf_world *world, const void *context)
{
    const struct perf_coll *coll = context;
    size_t nteams = (size_t)args->nthreads;
    size_t nranks = nteams * (size_t)args->nranks_per_thread;
    struct perf_report report = {
        .args = args, .coll = coll, .launcher = world->launcher, .nprocs = world->nprocs};

    struct perf_team *teams = calloc(nteams, sizeof(*teams));
    struct perf_rank *ranks = calloc(nranks, sizeof(*ranks));
    if (teams == NULL || ranks == NULL) {
        free(teams);
        free(ranks);
        return perf_fail("no memory for %zu ranks", nranks);
    }

    place_teams(args, world, coll, teams, ranks);
    teams[0].report = world->proc == 0 ? &report : NULL;
    int status = run_teams(teams, (int)nteams);
    free(teams);
    free(ranks);
    return status;
}

int perf_main(const struct perf_coll *coll, int argc, char **argv)
{
    struct perf_args args;
    int status = perf_args_parse(&args, argc, argv);
    if (status >= 0) {
        return status;
    }

    if (coll->is_barrier) { /* one row, whatever sizes and types were asked for */
        args.min_nbytes = 0;
        args.max_nbytes = 0;
        args.type = 0;
    }
    signal(SIGALRM, on_alarm);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (args.nprocs == 0) {
        alarm((unsigned)args.timeout_s); /* processes that are forked set their own */
    }
    return perf_launch(&args, run_process, coll);
}
