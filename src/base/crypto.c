/* SPDX-License-Identifier: Apache-2.0 */
/* See crypto.h. */
#include "base/crypto.h"

#include <pthread.h>

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
