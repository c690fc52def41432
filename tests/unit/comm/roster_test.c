/* SPDX-License-Identifier: Apache-2.0 */
/* The communicators of a process: in, out, what others of them wait for. Signals: tests/fault. */
#include "comm/roster.h"

#include "comm/watch.h"
#include "local.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

static bool has_handler(void)
{
    struct sigaction now;
    cr_assert_eq(sigaction(SIGUSR2, NULL, &now), 0);
    return now.sa_handler != SIG_DFL;
}

Test(roster, the_handler_lives_from_the_first_to_the_last, .timeout = 60)
{
    cr_expect(!has_handler());
    struct local a = local_open(2, 0);
    struct local b = local_open(1, 0);
    cr_expect(has_handler());
    local_close(&a);
    cr_expect(has_handler());
    local_close(&b);
    cr_expect(!has_handler());
    a = local_open(1, 0);
    cr_expect(has_handler());
    local_close(&a);
    cr_expect(!has_handler());
}

Test(roster, a_decision_to_ignore_the_signal_stays, .timeout = 60)
{
    signal(SIGUSR2, SIG_IGN);
    struct local a = local_open(1, 0);
    struct sigaction now;
    sigaction(SIGUSR2, NULL, &now);
    cr_expect_eq(now.sa_handler, SIG_IGN);
    local_close(&a);
    sigaction(SIGUSR2, NULL, &now);
    cr_expect_eq(now.sa_handler, SIG_IGN);
}

Test(roster, a_handler_that_came_later_stays, .timeout = 60)
{
    struct local a = local_open(1, 0);
    signal(SIGUSR2, SIG_IGN);
    local_close(&a);
    struct sigaction now;
    sigaction(SIGUSR2, NULL, &now);
    cr_expect_eq(now.sa_handler, SIG_IGN);
}

Test(roster, who_is_not_in_it_can_be_removed, .timeout = 60)
{
    struct local a = local_open(1, 0);
    struct whorl_comm stranger = {.rank = 0};
    wh_roster_remove(&stranger);
    cr_expect(has_handler());
    local_close(&a);
}

static void *call_barrier(void *comm)
{
    cr_expect_eq(whorl_barrier(comm, NULL), WHORL_OK);
    return NULL;
}

/* A process with one rank of each communicator would say so; one with several says nothing, because
 * the ranks of a process do different things. */
Test(roster, describes_others_only_where_a_process_is_one_rank, .timeout = 60)
{
    struct local a = local_open(1, 0), b = local_open(2, 0);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, call_barrier, b.ranks[0]), 0);
    struct wh_status s = {.where = ""};
    while (s.where[0] == '\0') {
        sched_yield();
        wh_watch_status(b.ranks[0], &s);
    }
    char text[160];
    wh_roster_describe_others(a.ranks[0], text, sizeof(text));
    cr_expect_str_eq(text, "barrier #1 of communicator local, waits for rank 1, which has not made "
                           "this call");
    wh_roster_describe_others(b.ranks[1], text, sizeof(text));
    cr_expect_str_eq(text, "");
    cr_expect_eq(whorl_barrier(b.ranks[1], NULL), WHORL_OK);
    pthread_join(thread, NULL);
    wh_roster_describe_others(a.ranks[0], text, sizeof(text));
    cr_expect_str_eq(text, "");
    local_close(&a);
    local_close(&b);
}
