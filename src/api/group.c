/* SPDX-License-Identifier: Apache-2.0 */
#include "api/group.h"

#include "base/log.h"
#include "comm/counts.h"

#include <stdlib.h>
#include <string.h>

enum { GROUP_DEPTH_MAX = 1024 };

struct group {
    uint32_t depth;
    whorl_result_t spoiled; /* first error of a collected call */
    char *spoiled_text;     /* its story; NULL if there was no memory for it */
    struct wh_call *calls;
    size_t ncalls, calls_capacity;
    struct wh_comm_job *jobs;
    whorl_comm_t **job_outs; /* as many as jobs */
    size_t njobs, jobs_capacity;
};

/* A group belongs to the thread that opened it, and lives until its outermost end. */
static _Thread_local struct group group;

bool wh_group_is_open(void)
{
    return group.depth > 0;
}

whorl_result_t wh_group_note(whorl_result_t rc)
{
    if (group.depth > 0 && rc < 0 && group.spoiled == WHORL_OK) {
        group.spoiled = rc;
        group.spoiled_text = strdup(wh_error_get());
    }
    return rc;
}

static whorl_result_t no_memory(void)
{
    return wh_group_note(wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a group"));
}

static bool grow_calls(void)
{
    if (group.ncalls < group.calls_capacity) {
        return true;
    }
    size_t capacity = group.calls_capacity > 0 ? 2 * group.calls_capacity : 8;
    struct wh_call *calls = realloc(group.calls, capacity * sizeof(*calls));
    if (calls == NULL) {
        return false;
    }
    group.calls = calls;
    group.calls_capacity = capacity;
    return true;
}

static bool grow_jobs(void)
{
    if (group.njobs < group.jobs_capacity) {
        return true;
    }
    size_t capacity = group.jobs_capacity > 0 ? 2 * group.jobs_capacity : 8;
    struct wh_comm_job *jobs = realloc(group.jobs, capacity * sizeof(*jobs));
    if (jobs == NULL) {
        return false;
    }
    group.jobs = jobs;
    whorl_comm_t **outs = realloc(group.job_outs, capacity * sizeof(whorl_comm_t *));
    if (outs == NULL) {
        return false;
    }
    group.job_outs = outs;
    group.jobs_capacity = capacity;
    return true;
}

whorl_result_t wh_group_add_call(struct wh_call *call)
{
    if (group.depth == 0 && call->stream == NULL) {
        return wh_submit(call, 1);
    }
    struct wh_call waits = *call;
    whorl_result_t rc = wh_counts_own(&waits);
    if (rc != WHORL_OK) {
        return wh_group_note(rc);
    }
    if (group.depth == 0) {
        return wh_submit(&waits, 1);
    }
    if (!grow_calls()) {
        wh_counts_drop(&waits, 1);
        return no_memory();
    }
    group.calls[group.ncalls++] = waits;
    return WHORL_OK;
}

whorl_result_t wh_group_add_job(const struct wh_comm_job *job, whorl_comm_t *comm_out)
{
    if (group.depth == 0) {
        return wh_comm_do_job(job, comm_out);
    }
    if (!grow_jobs()) {
        return no_memory();
    }
    group.jobs[group.njobs] = *job;
    group.job_outs[group.njobs++] = comm_out;
    return WHORL_OK;
}

static whorl_result_t run_jobs(const struct group *g)
{
    if (g->njobs == 0) {
        return WHORL_OK;
    }
    whorl_comm_t *comms = calloc(g->njobs, sizeof(whorl_comm_t));
    if (comms == NULL) {
        return no_memory();
    }
    whorl_result_t rc = wh_comm_run_jobs(g->jobs, g->njobs, comms);
    for (size_t i = 0; rc == WHORL_OK && i < g->njobs; i++) {
        *g->job_outs[i] = comms[i];
    }
    free(comms);
    return rc;
}

WHORL_API whorl_result_t whorl_group_start(void)
{
    if (group.depth >= GROUP_DEPTH_MAX) {
        return wh_fail(WHORL_E_USAGE, WH_SUBSYS_CALL,
                       "whorl_group_start: %d groups are open already", GROUP_DEPTH_MAX);
    }
    group.depth++;
    return WHORL_OK;
}

WHORL_API whorl_result_t whorl_group_end(void)
{
    if (group.depth == 0) {
        return wh_fail(WHORL_E_USAGE, WH_SUBSYS_CALL, "whorl_group_end: no group is open");
    }
    group.depth--;
    if (group.depth > 0) {
        return WHORL_OK;
    }

    struct group g = group;
    group = (struct group){.depth = 0};
    whorl_result_t rc = g.spoiled;
    if (rc == WHORL_OK) {
        rc = run_jobs(&g);
    } else if (g.spoiled_text != NULL) {
        wh_error_set(g.spoiled_text);
    }
    if (rc == WHORL_OK && g.ncalls > 0) {
        rc = wh_submit(g.calls, g.ncalls);
    } else {
        wh_counts_drop(g.calls, g.ncalls);
    }
    free(g.spoiled_text);
    free(g.calls);
    free(g.jobs);
    free(g.job_outs);
    return rc;
}
