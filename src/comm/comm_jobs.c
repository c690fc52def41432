/* SPDX-License-Identifier: Apache-2.0 */
/* Several ranks of one thread come to be: each in a thread of its own for as long as that takes. */
#include "base/log.h"
#include "base/thread.h"
#include "comm/comm.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job_thread {
    const struct wh_comm_job *job;
    struct whorl_comm *comm;
    whorl_result_t rc;
    char text[WH_FAILURE_NBYTES];
    pthread_t thread;
    bool started;
};

whorl_result_t wh_comm_do_job(const struct wh_comm_job *job, struct whorl_comm **comm_out)
{
    switch (job->origin) {
    case WH_COMM_CREATED:
        break;
    case WH_COMM_OF_SPLIT:
        return wh_comm_split(job->parent, job->color, job->key, &job->args.options, comm_out);
    case WH_COMM_OF_SHRINK:
        return wh_comm_shrink(job->parent, job->excluded, job->nexcluded, &job->args.options,
                              comm_out);
    }
    return wh_comm_create(&job->args, comm_out);
}

static void *job_main(void *arg)
{
    struct job_thread *t = arg;
    t->rc = wh_comm_do_job(t->job, &t->comm);
    snprintf(t->text, sizeof(t->text), "%s", wh_error_get());
    return NULL;
}

static whorl_result_t finish(struct job_thread *threads, size_t njobs,
                             struct whorl_comm **comms_out)
{
    whorl_result_t rc = WHORL_OK;
    for (size_t i = 0; i < njobs; i++) {
        if (threads[i].started) {
            pthread_join(threads[i].thread, NULL);
        }
        if (rc == WHORL_OK && threads[i].rc != WHORL_OK) {
            rc = threads[i].rc;
            wh_error_set(threads[i].text);
        }
    }
    for (size_t i = 0; i < njobs; i++) {
        if (rc == WHORL_OK) {
            comms_out[i] = threads[i].comm;
        } else {
            wh_comm_destroy(threads[i].comm);
        }
    }
    return rc;
}

whorl_result_t wh_comm_run_jobs(const struct wh_comm_job *jobs, size_t njobs,
                                struct whorl_comm **comms_out)
{
    struct job_thread *threads = calloc(njobs > 0 ? njobs : 1, sizeof(*threads));
    if (threads == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for %zu communicators", njobs);
    }
    for (size_t i = 0; i < njobs; i++) {
        threads[i].job = &jobs[i];
        int err = wh_thread_start(&threads[i].thread, job_main, &threads[i]);
        threads[i].started = err == 0;
        if (err != 0) {
            threads[i].rc = wh_fail(WHORL_E_SYS, WH_SUBSYS_INIT,
                                    "no thread to make communicator %zu of %zu in: %s", i + 1,
                                    njobs, strerror(err));
            snprintf(threads[i].text, sizeof(threads[i].text), "%s", wh_error_get());
        }
    }
    whorl_result_t rc = finish(threads, njobs, comms_out);
    free(threads);
    return rc;
}
