/* SPDX-License-Identifier: Apache-2.0 */
/* See thread.h. */
#include "bootstrap/thread.h"

#include <signal.h>
#include <stddef.h>

int wh_thread_start(pthread_t *thread_out, void *(*run)(void *arg), void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int error = pthread_create(&thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        return error;
    }

    if (thread_out != NULL) {
        *thread_out = thread;
    } else {
        pthread_detach(thread);
    }
    return 0;
}

/* ---- libcrypto and fork --------------------------------------------------------------------- */

static struct {
    pthread_once_t once;
    pthread_mutex_t lock;
} crypto = {PTHREAD_ONCE_INIT, PTHREAD_MUTEX_INITIALIZER};

static void before_fork(void)
{
    pthread_mutex_lock(&crypto.lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&crypto.lock);
}

static void after_fork_in_child(void)
{
    pthread_mutex_init(&crypto.lock, NULL);
}

static void mind_forks(void)
{
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void wh_crypto_begin(void)
{
    pthread_once(&crypto.once, mind_forks);
    pthread_mutex_lock(&crypto.lock);
}

void wh_crypto_end(void)
{
    pthread_mutex_unlock(&crypto.lock);
}
