/* SPDX-License-Identifier: Apache-2.0 */
#include "device/stream.h"

#include "base/log.h"
#include "base/thread.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct whorl_stream {
    pthread_t thread;

    /* Holding lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* work came, work ended, stop was set */
    struct wh_task *head;
    struct wh_task **tail;
    bool busy; /* a task is running */
    bool stop;
    whorl_result_t first_error;
    char *first_text; /* its story; NULL if there is none */
};

static void *stream_main(void *arg)
{
    struct whorl_stream *stream = arg;
    pthread_mutex_lock(&stream->lock);
    while (stream->head != NULL || !stream->stop) {
        if (stream->head == NULL) {
            pthread_cond_wait(&stream->changed, &stream->lock);
            continue;
        }
        struct wh_task *task = stream->head;
        stream->head = task->next;
        if (stream->head == NULL) {
            stream->tail = &stream->head;
        }
        stream->busy = true;
        pthread_mutex_unlock(&stream->lock);
        whorl_result_t rc = task->run(task);
        pthread_mutex_lock(&stream->lock);
        stream->busy = false;
        if (stream->first_error == WHORL_OK && rc != WHORL_OK) {
            stream->first_error = rc;
            stream->first_text = strdup(wh_error_get());
        }
        pthread_cond_broadcast(&stream->changed);
    }
    pthread_mutex_unlock(&stream->lock);
    return NULL;
}

whorl_result_t wh_stream_create(struct whorl_stream **stream_out)
{
    struct whorl_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a stream");
    }
    stream->tail = &stream->head;
    pthread_mutex_init(&stream->lock, NULL);
    pthread_cond_init(&stream->changed, NULL);

    int err = wh_thread_start(&stream->thread, stream_main, stream);
    if (err != 0) {
        pthread_cond_destroy(&stream->changed);
        pthread_mutex_destroy(&stream->lock);
        free(stream);
        return wh_fail(WHORL_E_SYS, WH_SUBSYS_INIT, "no thread for a stream: error %d", err);
    }
    *stream_out = stream;
    return WHORL_OK;
}

void wh_stream_destroy(struct whorl_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    pthread_mutex_lock(&stream->lock);
    stream->stop = true;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    pthread_join(stream->thread, NULL);
    pthread_cond_destroy(&stream->changed);
    pthread_mutex_destroy(&stream->lock);
    free(stream->first_text);
    free(stream);
}

void wh_stream_submit(struct whorl_stream *stream, struct wh_task *task)
{
    task->next = NULL;
    pthread_mutex_lock(&stream->lock);
    *stream->tail = task;
    stream->tail = &task->next;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

/* The first error, which becomes the calling thread's last. Holding lock. */
static whorl_result_t tell_error(const struct whorl_stream *stream)
{
    if (stream->first_text != NULL) {
        wh_error_set(stream->first_text);
    }
    return stream->first_error;
}

whorl_result_t wh_stream_query(struct whorl_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    bool idle = stream->head == NULL && !stream->busy;
    whorl_result_t rc = idle ? tell_error(stream) : WHORL_IN_PROGRESS;
    pthread_mutex_unlock(&stream->lock);
    return rc;
}

whorl_result_t wh_stream_synchronize(struct whorl_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    while (stream->head != NULL || stream->busy) {
        pthread_cond_wait(&stream->changed, &stream->lock);
    }
    whorl_result_t rc = tell_error(stream);
    stream->first_error = WHORL_OK;
    free(stream->first_text);
    stream->first_text = NULL;
    pthread_mutex_unlock(&stream->lock);
    return rc;
}
