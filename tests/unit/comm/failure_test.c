/* SPDX-License-Identifier: Apache-2.0 */
/* Failures: the first wins and keeps its text, and everybody gets to know. */
#include "base/log.h"
#include "local.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

static whorl_result_t async_error(whorl_comm_t comm)
{
    whorl_result_t rc = WHORL_E_INTERNAL;
    cr_assert_eq(whorl_comm_async_error(comm, &rc), WHORL_OK);
    return rc;
}

/* Returns once comm has failed; a test that waits for ever is killed by its time limit. */
static void await_failure(whorl_comm_t comm)
{
    while (async_error(comm) == WHORL_OK) {
        sched_yield();
    }
}

Test(failure, the_first_one_wins, .timeout = 60)
{
    struct local l = local_open(1, 0);
    cr_expect_eq(wh_comm_failure(l.ranks[0]), WHORL_OK);
    cr_expect_eq(wh_comm_fail(l.ranks[0], WHORL_E_SYS, "the disk is on fire"), WHORL_E_SYS);
    cr_expect_eq(wh_comm_fail(l.ranks[0], WHORL_E_NOMEM, "a later thing"), WHORL_E_SYS);
    wh_comm_on_remote_failure(l.ranks[0], WHORL_E_PEER, "and a peer");
    wh_comm_abort(l.ranks[0]);
    cr_expect_eq(wh_comm_failure(l.ranks[0]), WHORL_E_SYS);
    cr_expect_eq(async_error(l.ranks[0]), WHORL_E_SYS);
    local_expect_error(l.ranks[0], "the disk is on fire [reported by rank 0, host ");
    local_expect_error(l.ranks[0], ", communicator local]");
    cr_expect_null(strstr(whorl_last_error(l.ranks[0]), "later"));
    local_close(&l);
}

Test(failure, its_text_becomes_the_last_error_of_whoever_asks, .timeout = 60)
{
    struct local l = local_open(1, 0);
    wh_comm_on_remote_failure(l.ranks[0], WHORL_E_PEER, "rank 5 is gone");
    wh_error_clear();
    cr_expect_eq(whorl_barrier(l.ranks[0], NULL), WHORL_E_PEER);
    cr_expect_str_eq(whorl_last_error(NULL), "rank 5 is gone");
    cr_expect_str_eq(whorl_last_error(l.ranks[0]), "rank 5 is gone");
    local_close(&l);
}

Test(failure, the_others_hear_of_it, .timeout = 60)
{
    struct local l = local_open(4, 0);
    wh_comm_fail(l.ranks[2], WHORL_E_SYS, "no more");
    for (int r = 0; r < 4; r++) {
        await_failure(l.ranks[r]);
        cr_expect_eq(async_error(l.ranks[r]), WHORL_E_SYS);
        local_expect_error(l.ranks[r], "no more [reported by rank 2, host ");
    }
    local_close(&l);
}

Test(failure, an_abort_is_an_abort_here_and_a_lost_peer_elsewhere, .timeout = 60)
{
    struct local l = local_open(3, 0);
    cr_expect_eq(whorl_comm_abort(l.ranks[1]), WHORL_OK);
    cr_expect_eq(whorl_comm_abort(l.ranks[1]), WHORL_OK);
    for (int r = 0; r < 3; r++) {
        await_failure(l.ranks[r]);
        cr_expect_eq(async_error(l.ranks[r]), r == 1 ? WHORL_E_ABORTED : WHORL_E_PEER);
        local_expect_error(l.ranks[r], "rank 1 (host ");
        local_expect_error(l.ranks[r], "aborted the communicator");
    }
    local_close(&l);
}

Test(failure, a_very_long_text_is_cut_and_not_lost, .timeout = 60)
{
    static char text[10000];
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text, "begin", 5);
    struct local l = local_open(2, 0);
    wh_comm_fail(l.ranks[0], WHORL_E_SYS, text);
    await_failure(l.ranks[1]);
    cr_expect_eq(strncmp(whorl_last_error(l.ranks[1]), "begin", 5), 0);
    cr_expect_lt(strlen(whorl_last_error(l.ranks[0])), WH_FAILURE_NBYTES);
    local_close(&l);
}

static void *call_barrier(void *arg)
{
    whorl_result_t *rc = malloc(sizeof(*rc));
    *rc = whorl_barrier(arg, NULL);
    return rc;
}

Test(failure, an_abort_from_another_thread_ends_a_call_that_waits, .timeout = 60)
{
    struct local l = local_open(2, 0);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, call_barrier, l.ranks[0]), 0);
    cr_expect_eq(whorl_comm_abort(l.ranks[0]), WHORL_OK);
    void *result;
    pthread_join(thread, &result);
    cr_expect_eq(*(whorl_result_t *)result, WHORL_E_ABORTED);
    free(result);
    local_close(&l);
}
