/* SPDX-License-Identifier: Apache-2.0 */
/* Failures that are told, and leaving. */
#include "crew.h"

#include <unistd.h>

TestSuite(boot, .timeout = 120);

static void one_fails(struct mate *mate)
{
    /* All have joined: a failure before that is one of the join. */
    pthread_barrier_wait(&mate->crew->all);
    if (mate->rank == 5) {
        wh_boot_fail(mate->boot, WHORL_E_MISMATCH, "rank 5 has had enough");
        wh_boot_fail(mate->boot, WHORL_E_SYS, "only the first counts");
        cr_expect_eq(wh_boot_barrier(mate->boot, crew_soon()), WHORL_E_PEER);
    } else {
        cr_expect(mate_await_failure(mate), "rank %u was never told", mate->rank);
    }
    pthread_barrier_wait(&mate->crew->all);
}

Test(boot, a_failure_reaches_all_others_once)
{
    struct crew *crew = crew_create(16, one_fails);
    crew_start(crew);
    crew_wait(crew);
    for (uint32_t i = 0; i < 16; i++) {
        const struct mate *mate = &crew->mates[i];
        cr_assert_eq(mate->nfailures, i == 5 ? 0 : 1, "rank %u", i);
        if (i != 5) {
            cr_assert_eq(mate->failure_rc, WHORL_E_MISMATCH);
            cr_assert_str_eq(mate->failure, "rank 5 has had enough");
        }
    }
    crew_destroy(crew);
}

static void fail_while_others_wait(struct mate *mate)
{
    pthread_barrier_wait(&mate->crew->all);
    if (mate->rank == 0) {
        usleep(20 * 1000);
        wh_boot_fail(mate->boot, WHORL_E_ABORTED, "rank 0 aborted");
    } else {
        uint8_t blocks[8] = {0};
        whorl_result_t rc = wh_boot_allgather(mate->boot, blocks, 1, WH_NEVER);
        cr_expect_eq(rc, WHORL_E_PEER);
        cr_expect_str_eq(wh_error_get(), "rank 0 aborted");
    }
    pthread_barrier_wait(&mate->crew->all);
}

Test(boot, a_failure_ends_the_waiting_of_all)
{
    struct crew *crew = crew_create(8, fail_while_others_wait);
    crew_start(crew);
    crew_wait(crew);
    crew_destroy(crew);
}

static void end_alike(struct mate *mate)
{
    for (uint64_t nops = 1; nops <= 100; nops++) {
        wh_boot_set_nops(mate->boot, nops);
    }
    cr_expect_eq(wh_boot_barrier(mate->boot, crew_soon()), WHORL_OK);
    /* Ranks leave at very different times. */
    usleep(mate->rank * 5000);
}

Test(boot, ranks_that_leave_after_equally_many_operations_leave_in_peace)
{
    crew_sail(6, end_alike);
}

/* Returns when all threads of the crew are here. A barrier of the job would not do: it ends with an
 * error for a rank that is still in it when the job fails. */
static void meet(const struct mate *mate)
{
    static _Atomic uint32_t nhere;
    uint64_t deadline_ns = crew_soon();
    atomic_fetch_add(&nhere, 1);
    while (atomic_load(&nhere) < mate->nranks && wh_now_ns() < deadline_ns) {
        usleep(100);
    }
}

static void rank_2_leaves_early(struct mate *mate)
{
    wh_boot_set_nops(mate->boot, 4);
    meet(mate);
    if (mate->rank == 2) {
        return;
    }
    /* Some are in operation 5 already when the news comes, some hear it first. */
    usleep(mate->rank * 4000);
    wh_boot_set_nops(mate->boot, 5);
    cr_expect(mate_await_failure(mate), "rank %u was never told", mate->rank);
}

Test(boot, an_operation_after_a_rank_has_left_fails_and_names_it)
{
    struct crew *crew = crew_create(7, rank_2_leaves_early);
    crew_start(crew);
    crew_wait(crew);
    char text[128];
    for (uint32_t i = 0; i < 7; i++) {
        const struct mate *mate = &crew->mates[i];
        cr_assert_eq(mate->nfailures, i == 2 ? 0 : 1, "rank %u", i);
        if (i != 2) {
            snprintf(text, sizeof(text),
                     "rank 2 (host %s, pid %d) left the communicator after 4 "
                     "operations; rank ",
                     wh_host_name(), (int)getpid());
            cr_assert_eq(mate->failure_rc, WHORL_E_PEER);
            cr_assert_not_null(strstr(mate->failure, text), "%s", mate->failure);
            cr_assert_not_null(strstr(mate->failure, "is in operation 5"), "%s", mate->failure);
        }
    }
    crew_destroy(crew);
}

static _Atomic bool gone[CREW_MAX];

static void check_not_gone(void *ctx, whorl_result_t rc, const char *text)
{
    (void)rc;
    const struct mate *mate = ctx;
    cr_expect_not(gone[mate->rank], "%s", text);
    usleep(1000);
    cr_expect_not(gone[mate->rank], "%s", text);
}

static void *fail_and_leave(void *arg)
{
    struct mate *mate = arg;
    const struct wh_boot_join_args args = {
        .id = &mate->crew->id,
        .nranks = mate->nranks,
        .rank = mate->rank,
        .timeout_ms = mate->timeout_ms,
        .on_failure = check_not_gone,
        .ctx = mate,
    };
    cr_assert_eq(wh_boot_join(&args, &mate->boot), WHORL_OK, "%s", wh_error_get());
    cr_assert_eq(wh_boot_barrier(mate->boot, crew_soon()), WHORL_OK, "%s", wh_error_get());
    pthread_barrier_wait(&mate->crew->all);
    if (mate->rank % 2 == 0) {
        wh_boot_fail(mate->boot, WHORL_E_SYS, "several break at the same time");
    }
    usleep(mate->rank * 100);
    wh_boot_leave(mate->boot);
    gone[mate->rank] = true;
    return NULL;
}

Test(boot, on_failure_is_neither_running_nor_called_after_leaving)
{
    for (int turn = 0; turn < 20; turn++) {
        struct crew *crew = crew_create(6, NULL);
        for (uint32_t i = 0; i < 6; i++) {
            gone[i] = false;
        }
        for (uint32_t i = 0; i < 6; i++) {
            struct mate *mate = &crew->mates[i];
            cr_assert_eq(pthread_create(&mate->thread, NULL, fail_and_leave, mate), 0);
        }
        crew_wait(crew);
        crew_destroy(crew);
    }
}

Test(boot, leaving_nothing_does_nothing)
{
    wh_boot_leave(NULL);
}
