/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: in order, errors kept until somebody asks, and nothing lost at the end. */
#include "base/log.h"
#include "device/stream.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What tasks write: their numbers, in the order in which they ran. */
struct journal {
    _Atomic int n;
    int numbers[4096];
};

struct entry {
    struct wh_task task;
    struct journal *journal;
    int number;
    whorl_result_t rc;
};

static whorl_result_t write_entry(struct wh_task *task)
{
    struct entry *entry = (struct entry *)task;
    whorl_result_t rc = entry->rc;
    int n = atomic_load(&entry->journal->n);
    entry->journal->numbers[n] = entry->number;
    atomic_store(&entry->journal->n, n + 1);
    if (rc != WHORL_OK) {
        char text[32];
        snprintf(text, sizeof(text), "entry %d failed", entry->number);
        wh_error_set(text);
    }
    free(entry);
    return rc;
}

static void submit(struct whorl_stream *stream, struct journal *journal, int number,
                   whorl_result_t rc)
{
    struct entry *entry = malloc(sizeof(*entry));
    *entry = (struct entry){
        .task = {.run = write_entry}, .journal = journal, .number = number, .rc = rc};
    wh_stream_submit(stream, &entry->task);
}

/* A task that waits until it may go on. */
struct gate {
    struct wh_task task;
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool open;
};

static whorl_result_t pass_gate(struct wh_task *task)
{
    struct gate *gate = (struct gate *)task;
    pthread_mutex_lock(&gate->lock);
    while (!gate->open) {
        pthread_cond_wait(&gate->opened, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
    return WHORL_OK;
}

static void open_gate(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_signal(&gate->opened);
    pthread_mutex_unlock(&gate->lock);
}

static const struct gate closed_gate = {
    .task = {.run = pass_gate},
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .opened = PTHREAD_COND_INITIALIZER,
};

static struct whorl_stream *create(void)
{
    struct whorl_stream *stream = NULL;
    cr_assert_eq(wh_stream_create(&stream), WHORL_OK);
    return stream;
}

Test(stream, tasks_run_once_and_in_order)
{
    static struct journal journal;
    struct whorl_stream *stream = create();
    for (int i = 0; i < 3000; i++) {
        submit(stream, &journal, i, WHORL_OK);
    }
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_OK);
    cr_assert_eq(atomic_load(&journal.n), 3000);
    for (int i = 0; i < 3000; i++) {
        cr_assert_eq(journal.numbers[i], i);
    }
    wh_stream_destroy(stream);
}

Test(stream, query_says_in_progress_until_the_last_task_is_over)
{
    static struct journal journal;
    struct gate gate = closed_gate;
    struct whorl_stream *stream = create();
    cr_expect_eq(wh_stream_query(stream), WHORL_OK);
    wh_stream_submit(stream, &gate.task);
    submit(stream, &journal, 1, WHORL_OK);
    cr_expect_eq(wh_stream_query(stream), WHORL_IN_PROGRESS);
    cr_expect_eq(atomic_load(&journal.n), 0);
    open_gate(&gate);
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_OK);
    cr_expect_eq(wh_stream_query(stream), WHORL_OK);
    cr_expect_eq(atomic_load(&journal.n), 1);
    wh_stream_destroy(stream);
}

Test(stream, the_first_error_stays_until_synchronize_takes_it)
{
    static struct journal journal;
    struct whorl_stream *stream = create();
    submit(stream, &journal, 1, WHORL_OK);
    submit(stream, &journal, 2, WHORL_E_PEER);
    submit(stream, &journal, 3, WHORL_E_TIMEOUT);
    submit(stream, &journal, 4, WHORL_OK);
    while (wh_stream_query(stream) == WHORL_IN_PROGRESS) {
    }
    cr_expect_eq(wh_stream_query(stream), WHORL_E_PEER);
    cr_expect_eq(wh_stream_query(stream), WHORL_E_PEER);
    wh_error_clear();
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_E_PEER);
    cr_expect_str_eq(wh_error_get(), "entry 2 failed");
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_OK);
    cr_expect_eq(wh_stream_query(stream), WHORL_OK);
    cr_expect_eq(atomic_load(&journal.n), 4, "an error stops nothing");

    submit(stream, &journal, 5, WHORL_E_SYS);
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_E_SYS);
    cr_expect_str_eq(wh_error_get(), "entry 5 failed");
    submit(stream, &journal, 6, WHORL_E_SYS);
    wh_stream_destroy(stream);
}

Test(stream, destroy_runs_what_is_queued)
{
    static struct journal journal;
    struct gate gate = closed_gate;
    struct whorl_stream *stream = create();
    wh_stream_submit(stream, &gate.task);
    for (int i = 0; i < 100; i++) {
        submit(stream, &journal, i, WHORL_OK);
    }
    open_gate(&gate);
    wh_stream_destroy(stream);
    cr_expect_eq(atomic_load(&journal.n), 100);
}

Test(stream, destroy_takes_null)
{
    wh_stream_destroy(NULL);
}

struct submitter {
    struct whorl_stream *stream;
    struct journal *journal;
    int base;
};

static void *submit_many(void *arg)
{
    struct submitter *s = arg;
    for (int i = 0; i < 500; i++) {
        submit(s->stream, s->journal, s->base + i, WHORL_OK);
    }
    return NULL;
}

Test(stream, threads_that_submit_side_by_side_lose_nothing)
{
    static struct journal journal;
    struct whorl_stream *stream = create();
    struct submitter submitters[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        submitters[i] = (struct submitter){stream, &journal, i * 1000};
        cr_assert_eq(pthread_create(&threads[i], NULL, submit_many, &submitters[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_OK);
    cr_assert_eq(atomic_load(&journal.n), 2000);
    int next[4] = {0, 1000, 2000, 3000};
    for (int i = 0; i < 2000; i++) {
        int *expected = &next[journal.numbers[i] / 1000];
        cr_assert_eq(journal.numbers[i], *expected, "each thread's own order stays");
        ++*expected;
    }
    wh_stream_destroy(stream);
}

struct probe {
    struct wh_task task;
    sigset_t blocked;
};

static whorl_result_t read_mask(struct wh_task *task)
{
    pthread_sigmask(SIG_SETMASK, NULL, &((struct probe *)task)->blocked);
    return WHORL_OK;
}

Test(stream, its_thread_takes_no_signal_of_the_application)
{
    struct probe probe = {.task = {.run = read_mask}};
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    struct whorl_stream *stream = create();
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    cr_expect_eq(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
    wh_stream_submit(stream, &probe.task);
    cr_expect_eq(wh_stream_synchronize(stream), WHORL_OK);
    static const int signals[] = {SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGALRM};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        cr_expect_eq(sigismember(&probe.blocked, signals[i]), 1, "signal %d", signals[i]);
    }
    wh_stream_destroy(stream);
}
