/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of the library's own, and what they must not be doing while the process forks. */
#ifndef WH_BOOTSTRAP_THREAD_H
#define WH_BOOTSTRAP_THREAD_H

#include <pthread.h>

/** Starts a thread that takes no signals: those belong to the threads of the user. thread_out NULL:
 *  detached. Returns 0 or an errno. */
int wh_thread_start(pthread_t *thread_out, void *(*run)(void *arg), void *arg);

/**
 * Around every call of libcrypto. Its locks do not survive a fork(): a child that was forked while
 * another thread was inside, like the root's, would wait for ever at its first handshake. A fork
 * waits for the end.
 */
void wh_crypto_begin(void);
void wh_crypto_end(void);

#endif
