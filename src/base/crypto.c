/* SPDX-License-Identifier: Apache-2.0 */
/* See crypto.h. */
#include "base/crypto.h"

#include "base/bits.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

void wh_crypto_leave(void)
{
    wh_crypto_begin();
    OPENSSL_thread_stop();
    wh_crypto_end();
}

static size_t hidden_nbytes(const char *text)
{
    return wh_align_up(strlen(text) + 1, (size_t)sysconf(_SC_PAGESIZE));
}

char *wh_hidden_copy(const char *text)
{
    size_t nbytes = hidden_nbytes(text);
    char *copy = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED) {
        return NULL;
    }
    (void)madvise(copy, nbytes, MADV_DONTDUMP);
    memcpy(copy, text, strlen(text) + 1);
    return copy;
}

void wh_hidden_free(char *text)
{
    if (text != NULL) {
        size_t nbytes = hidden_nbytes(text);
        explicit_bzero(text, nbytes);
        munmap(text, nbytes);
    }
}
