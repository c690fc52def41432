/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of the library's own. */
#ifndef WH_BASE_THREAD_H
#define WH_BASE_THREAD_H

#include <pthread.h>

/** Starts a thread that takes no signals: those belong to the threads of the user. thread_out NULL:
 *  detached. Returns 0 or an errno. */
int wh_thread_start(pthread_t *thread_out, void *(*run)(void *arg), void *arg);

#endif
