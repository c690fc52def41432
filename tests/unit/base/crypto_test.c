/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crypto.h"
#include "base/handshake.h"
#include "base/thread.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static _Atomic bool inside, leave;

static void *stay_inside(void *arg)
{
    wh_crypto_begin();
    inside = true;
    while (!leave) {
        usleep(100);
    }
    wh_crypto_end();
    return arg;
}

static void *let_go(void *arg)
{
    usleep(20 * 1000);
    leave = true;
    return arg;
}

Test(crypto, a_child_can_use_it_whoever_was_inside_when_it_was_forked, .timeout = 60)
{
    pthread_t stays, lets_go;
    cr_assert_eq(wh_thread_start(&stays, stay_inside, NULL), 0);
    while (!inside) {
        usleep(100);
    }
    cr_assert_eq(wh_thread_start(&lets_go, let_go, NULL), 0);
    pid_t child = fork();
    if (child == 0) {
        wh_crypto_begin();
        wh_crypto_end();
        _exit(leave ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0, "the fork did not wait for whoever was inside");
    pthread_join(stays, NULL);
    pthread_join(lets_go, NULL);
}

Test(crypto, a_thread_that_has_left_may_come_back)
{
    static const uint8_t secret[WH_SECRET_NBYTES] = "fifteen letters";
    uint8_t before[WH_SECRET_NBYTES], after[WH_SECRET_NBYTES];
    wh_crypto_leave();
    cr_assert_eq(wh_secret_derive(secret, "a word", "what", 4, before), WHORL_OK);
    wh_crypto_leave();
    wh_crypto_leave();
    cr_assert_eq(wh_secret_derive(secret, "a word", "what", 4, after), WHORL_OK);
    cr_assert_arr_eq(before, after, sizeof(before));
}
