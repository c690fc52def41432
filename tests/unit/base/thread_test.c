/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stddef.h>

static void *read_mask(void *arg)
{
    pthread_sigmask(SIG_SETMASK, NULL, arg);
    return arg;
}

Test(thread, a_thread_of_the_library_takes_no_signals)
{
    pthread_t thread;
    sigset_t theirs, ours;
    void *result;
    cr_assert_eq(wh_thread_start(&thread, read_mask, &theirs), 0);
    cr_assert_eq(pthread_join(thread, &result), 0);
    cr_assert_eq(result, &theirs);
    cr_assert(sigismember(&theirs, SIGTERM));
    cr_assert(sigismember(&theirs, SIGUSR1));
    pthread_sigmask(SIG_SETMASK, NULL, &ours);
    cr_assert_not(sigismember(&ours, SIGTERM));
}
