/* SPDX-License-Identifier: Apache-2.0 */
#include "common/team.h"

#include "common/failure.h"

#include <stdlib.h>
#include <string.h>

static whorl_result_t join_one(struct perf_team *team, struct perf_rank *rank)
{
    const struct perf_world *world = team->world;
    int nranks = world->nprocs * team->args->nthreads * team->args->nranks_per_thread;
    whorl_options_t options = WHORL_OPTIONS_INIT;
    options.name = "perf";

    return whorl_comm_create(nranks, rank->world_rank, &world->id, &options, &rank->world);
}

int perf_teams_connect(struct perf_team *teams, int nteams)
{
    struct perf_rank *first = &teams[0].ranks[0];
    bool is_alone = nteams * teams[0].nranks == 1;

    if (teams[0].world->comm != NULL) {
        first->world = teams[0].world->comm;
        return PERF_OK;
    }

    whorl_result_t rc = is_alone ? WHORL_OK : whorl_group_start();
    if (rc != WHORL_OK) {
        return perf_fail_whorl("whorl_group_start", rc, NULL, first->world_rank);
    }
    for (int i = 0; i < nteams; i++) {
        for (int k = 0; k < teams[i].nranks && rc == WHORL_OK; k++) {
            rc = join_one(&teams[i], &teams[i].ranks[k]);
        }
    }
    if (!is_alone) {
        whorl_result_t end_rc = whorl_group_end();
        rc = rc != WHORL_OK ? rc : end_rc;
    }
    return rc == WHORL_OK ? PERF_OK
                          : perf_fail_whorl("whorl_comm_create", rc, NULL, first->world_rank);
}

/* Opens a group if the team's calls need one. */
static whorl_result_t open_group(const struct perf_team *team)
{
    return team->nranks > 1 ? whorl_group_start() : WHORL_OK;
}

static whorl_result_t close_group(const struct perf_team *team, whorl_result_t rc)
{
    if (team->nranks == 1) {
        return rc;
    }
    whorl_result_t end_rc = whorl_group_end();
    return rc != WHORL_OK ? rc : end_rc;
}

static int split_all(struct perf_team *team)
{
    whorl_result_t rc = open_group(team);
    for (int i = 0; i < team->nranks && rc == WHORL_OK; i++) {
        struct perf_rank *rank = &team->ranks[i];
        rc = whorl_comm_split(rank->world, team->color, rank->world_rank, NULL, &rank->comm);
    }
    rc = close_group(team, rc);
    return rc == WHORL_OK ? PERF_OK
                          : perf_fail_whorl("whorl_comm_split", rc, team->ranks[0].world,
                                            team->ranks[0].world_rank);
}

int perf_team_split(struct perf_team *team)
{
    bool splits = team->args->env.split.kind != PERF_SPLIT_NONE;
    team->color = perf_split_color(&team->args->env.split, team->world->proc);
    if (splits) {
        int status = split_all(team);
        if (status != PERF_OK) {
            return status;
        }
    }

    for (int i = 0; i < team->nranks; i++) {
        struct perf_rank *rank = &team->ranks[i];
        rank->comm = splits ? rank->comm : rank->world;
        whorl_result_t rc = whorl_comm_rank(rank->comm, &rank->rank);
        if (rc == WHORL_OK) {
            rc = whorl_comm_size(rank->comm, &rank->nranks);
        }
        if (rc != WHORL_OK) {
            return perf_fail_whorl("whorl_comm_size", rc, rank->comm, rank->world_rank);
        }
    }
    return PERF_OK;
}

static void finalize_all(struct perf_team *team)
{
    whorl_result_t rc = open_group(team);
    for (int i = 0; i < team->nranks && rc == WHORL_OK; i++) {
        rc = whorl_comm_finalize(team->ranks[i].world);
    }
    rc = close_group(team, rc);
    if (rc != WHORL_OK) {
        team->status = perf_fail_whorl("whorl_comm_finalize", rc, team->ranks[0].world,
                                       team->ranks[0].world_rank);
    }
}

void perf_team_disconnect(struct perf_team *team)
{
    if (team->status == PERF_OK || team->status == PERF_E_WRONG) {
        finalize_all(team);
    }
    for (int i = 0; i < team->nranks; i++) {
        struct perf_rank *rank = &team->ranks[i];
        if (rank->comm != rank->world) {
            whorl_comm_destroy(rank->comm);
        }
        whorl_comm_destroy(rank->world);
        rank->comm = NULL;
        rank->world = NULL;
    }
}

void perf_team_abort(struct perf_team *team)
{
    for (int i = 0; i < team->nranks; i++) {
        struct perf_rank *rank = &team->ranks[i];
        if (rank->comm != NULL && rank->comm != rank->world) {
            whorl_comm_abort(rank->comm);
        }
        if (rank->world != NULL) {
            whorl_comm_abort(rank->world);
        }
    }
}

int perf_team_barrier(struct perf_team *team)
{
    whorl_result_t rc = open_group(team);
    for (int i = 0; i < team->nranks && rc == WHORL_OK; i++) {
        rc = whorl_barrier(team->ranks[i].world, NULL);
    }
    rc = close_group(team, rc);
    return rc == WHORL_OK ? PERF_OK
                          : perf_fail_whorl("whorl_barrier", rc, team->ranks[0].world,
                                            team->ranks[0].world_rank);
}

/* True when the nbytes at data were never written. */
static bool is_untouched(const char *data, size_t nbytes)
{
    for (size_t i = 0; i < nbytes; i++) {
        if ((unsigned char)data[i] != 0xff) {
            return false;
        }
    }
    return true;
}

int perf_team_gather(struct perf_team *team, const void *record, size_t nbytes, void *all_out)
{
    size_t nranks = (size_t)team->nteams * (size_t)team->nranks;
    size_t one_nbytes = nranks * nbytes;
    char *all = malloc(one_nbytes * (size_t)team->nranks);
    if (all == NULL) {
        return perf_fail("no memory to gather %zu bytes", one_nbytes);
    }
    memset(all, 0xff, one_nbytes * (size_t)team->nranks);

    whorl_result_t rc = open_group(team);
    for (int i = 0; i < team->nranks && rc == WHORL_OK; i++) {
        rc = whorl_all_gather(record, all + (size_t)i * one_nbytes, nbytes, WHORL_UINT8,
                              team->ranks[i].world, NULL);
    }
    rc = close_group(team, rc);
    int status = PERF_OK;
    if (rc != WHORL_OK) {
        status = perf_fail_whorl("whorl_all_gather of results", rc, team->ranks[0].world,
                                 team->ranks[0].world_rank);
    }

    /* All ranks of a team brought the same record; the first one's is taken. */
    for (int k = 0; k < team->nteams && status == PERF_OK; k++) {
        const char *from = all + (size_t)k * (size_t)team->nranks * nbytes;
        if (is_untouched(from, nbytes)) {
            status = perf_fail("rank %d got nothing from rank %d when gathering results",
                               team->ranks[0].world_rank, k * team->nranks);
        }
        memcpy((char *)all_out + (size_t)k * nbytes, from, nbytes);
    }
    free(all);
    return status;
}
