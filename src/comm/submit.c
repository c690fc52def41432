/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From calls to work in streams.
 *
 * The calls of a group are one batch, whatever their streams: it starts when all of its streams
 * have come to it, and all of them go on when it has ended. So the order of calls within a group
 * does not depend on streams, and messages that wait for one another may be on different ones. Each
 * stream but the one that runs the batch has a gate in its queue instead. Calls without a stream
 * make the caller's thread one of those that take part, and the one that runs.
 */
#include "base/log.h"
#include "comm/batch.h"
#include "comm/counts.h"
#include "comm/p2p_calls.h"
#include "comm/work.h"

#include <stdio.h>
#include <stdlib.h>

struct submission;

/* One stream's (or the caller's) part. */
struct gate {
    struct wh_task task; /* first: a stream's thread finds the gate by it */
    struct submission *submission;
    bool runs; /* this one runs the batch */
};

struct submission {
    struct wh_batch *batch;
    size_t ngates; /* of streams */
    bool caller;   /* the caller takes part too */

    /* Holding lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t narrived, nleft;
    bool done;
    whorl_result_t rc;
    char text[WH_FAILURE_NBYTES]; /* with rc: every stream reports it */

    struct gate gates[];
};

static whorl_result_t take_part(struct submission *s, bool runs)
{
    size_t nparties = s->ngates + s->caller;
    pthread_mutex_lock(&s->lock);
    s->narrived++;
    pthread_cond_broadcast(&s->changed);
    while (runs ? s->narrived < nparties : !s->done) {
        pthread_cond_wait(&s->changed, &s->lock);
    }
    if (runs) {
        pthread_mutex_unlock(&s->lock);
        whorl_result_t ran = wh_batch_run(s->batch);
        pthread_mutex_lock(&s->lock);
        s->done = true;
        s->rc = ran;
        snprintf(s->text, sizeof(s->text), "%s", ran != WHORL_OK ? wh_error_get() : "");
        pthread_cond_broadcast(&s->changed);
    }

    whorl_result_t rc = s->rc;
    if (rc != WHORL_OK && !runs) {
        wh_error_set(s->text);
    }
    bool last = --s->nleft == 0;
    pthread_mutex_unlock(&s->lock);
    if (last) {
        pthread_cond_destroy(&s->changed);
        pthread_mutex_destroy(&s->lock);
        free(s);
    }
    return rc;
}

static whorl_result_t run_gate(struct wh_task *task)
{
    struct gate *gate = (struct gate *)task;
    return take_part(gate->submission, gate->runs);
}

/* Is calls[i] the first with its stream? */
static bool is_first_of_stream(const struct wh_call *calls, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (calls[j].stream == calls[i].stream) {
            return false;
        }
    }
    return true;
}

static whorl_result_t submission_create(const struct wh_call *calls, size_t ncalls,
                                        struct submission **submission_out)
{
    size_t ngates = 0;
    bool caller = false;
    for (size_t i = 0; i < ncalls; i++) {
        caller |= calls[i].stream == NULL;
        ngates += calls[i].stream != NULL && is_first_of_stream(calls, i);
    }
    struct submission *s = calloc(1, sizeof(*s) + ngates * sizeof(s->gates[0]));
    if (s == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a group of %zu calls",
                       ncalls);
    }
    whorl_result_t rc = wh_batch_create(calls, ncalls, &s->batch);
    if (rc != WHORL_OK) {
        free(s);
        return rc;
    }
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->ngates = ngates;
    s->caller = caller;
    s->nleft = ngates + caller;
    *submission_out = s;
    return WHORL_OK;
}

/* Submits calls that all have an executor; their counts are the batch's from now on. */
static whorl_result_t submit_group(const struct wh_call *calls, size_t ncalls)
{
    struct submission *s = NULL;
    whorl_result_t rc = submission_create(calls, ncalls, &s);
    if (rc != WHORL_OK) {
        wh_counts_drop(calls, ncalls);
        return rc;
    }

    /* Two groups over the same streams must come to all of them in the same order. */
    bool caller = s->caller;
    size_t n = 0;
    wh_streams_lock();
    for (size_t i = 0; i < ncalls; i++) {
        if (calls[i].stream != NULL && is_first_of_stream(calls, i)) {
            struct gate *gate = &s->gates[n];
            *gate = (struct gate){{.run = run_gate}, s, !caller && n == 0};
            n++;
            wh_stream_submit(calls[i].stream, &gate->task);
        }
    }
    wh_streams_unlock();
    return caller ? take_part(s, true) : WHORL_OK;
}

/* Has it neither arena nor schedule here? */
static bool needs_expansion(const struct wh_call *call)
{
    bool has_schedule = call->coll < WH_COLL_ALL_TO_ALL || wh_coll_is_p2p(call->coll);
    return !wh_work_is_whole(call) && (!has_schedule || call->op.redop == WH_REDOP_USER);
}

static whorl_result_t submit_expanded(const struct wh_call *calls, size_t ncalls)
{
    size_t most = 0, n = 0;
    for (size_t i = 0; i < ncalls; i++) {
        most += wh_p2p_expand_most(&calls[i]);
    }
    struct wh_call *expanded = malloc(most * sizeof(*expanded));
    if (expanded == NULL) {
        wh_counts_drop(calls, ncalls);
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a group of %zu calls", most);
    }
    whorl_result_t rc = WHORL_OK;
    for (size_t i = 0; i < ncalls && rc == WHORL_OK; i++) {
        size_t now = 0;
        if (!needs_expansion(&calls[i])) {
            expanded[n++] = calls[i];
            continue;
        }
        rc = wh_p2p_expand(&calls[i], &expanded[n], &now);
        n += now;
    }
    if (rc == WHORL_OK) {
        for (size_t i = 0; i < ncalls; i++) {
            wh_counts_drop(&calls[i], needs_expansion(&calls[i]) ? 1 : 0);
        }
        rc = submit_group(expanded, n);
    } else {
        wh_counts_drop(calls, ncalls);
    }
    free(expanded);
    return rc;
}

whorl_result_t wh_submit(struct wh_call *calls, size_t ncalls)
{
    for (size_t i = 0; i < ncalls; i++) {
        if (needs_expansion(&calls[i])) {
            return submit_expanded(calls, ncalls);
        }
    }
    if (ncalls == 1 && calls[0].stream == NULL) {
        whorl_result_t rc = wh_batch_run_one(&calls[0]);
        wh_counts_drop(calls, 1);
        return rc;
    }
    return submit_group(calls, ncalls);
}
