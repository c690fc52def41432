/* SPDX-License-Identifier: Apache-2.0 */
/* Statuses of ranks that are busy, failed, stopped or dead. */
#include "base/bytes.h"
#include "bootstrap/rank.h"
#include "bootstrap/service.h"
#include "crew.h"

#include <sys/wait.h>

TestSuite(ask, .timeout = 60);

enum { N_MAX = 64 };

/* Asks and counts the answers that are as they should be. No assertion: may be a forked process. */
static uint32_t ask(struct mate *mate, uint64_t deadline_ns, bool *answered)
{
    uint32_t nright = 0;
    uint8_t *statuses = malloc((size_t)mate->nranks * WH_STATUS_NBYTES);
    if (statuses == NULL || wh_boot_ask(mate->boot, statuses, answered, deadline_ns) != WHORL_OK) {
        return 0;
    }
    for (uint32_t rank = 0; rank < mate->nranks; rank++) {
        const uint8_t *status = statuses + (size_t)rank * WH_STATUS_NBYTES;
        uint32_t said;
        memcpy(&said, status, sizeof(said));
        bool told = said == rank && status[WH_STATUS_NBYTES - 1] == (uint8_t)(0x80 + rank);
        bool silent = status[WH_STATUS_NBYTES - 1] == 0;
        nright += answered[rank] ? told : silent;
    }
    free(statuses);
    return nright;
}

static bool all_answer(struct mate *mate)
{
    bool answered[N_MAX];
    uint32_t nright = ask(mate, crew_soon(), answered), nanswered = 0;
    for (uint32_t rank = 0; rank < mate->nranks; rank++) {
        nanswered += answered[rank];
    }
    return nright == mate->nranks && nanswered == mate->nranks;
}

static void one_asks(struct mate *mate)
{
    if (mate->rank == mate->nranks / 2) {
        for (int i = 0; i < 5; i++) {
            cr_expect(all_answer(mate));
        }
    }
    /* The others wait where no bootstrap call is. */
    pthread_barrier_wait(&mate->crew->all);
}

Test(ask, ranks_answer_while_they_do_something_else)
{
    static const uint32_t sizes[] = {1, 2, 3, 7, 16};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        crew_sail(sizes[i], one_asks);
    }
}

static void all_ask(struct mate *mate)
{
    for (int i = 0; i < 3; i++) {
        cr_expect(all_answer(mate));
    }
    pthread_barrier_wait(&mate->crew->all);
    /* A request crosses each edge once or twice, so nobody was asked without end. */
    cr_expect_leq(atomic_load(&mate->nstatuses), 3 * 3 * mate->nranks);
}

Test(ask, all_may_ask_at_once)
{
    crew_sail(24, all_ask);
}

static void ask_after_failure(struct mate *mate)
{
    pthread_barrier_wait(&mate->crew->all);
    if (mate->rank == 1) {
        wh_boot_fail(mate->boot, WHORL_E_TIMEOUT, "I am late");
    } else {
        cr_expect(mate_await_failure(mate));
    }
    pthread_barrier_wait(&mate->crew->all);
    cr_expect(all_answer(mate));
    pthread_barrier_wait(&mate->crew->all);
}

Test(ask, ranks_answer_after_the_job_has_failed)
{
    struct crew *crew = crew_create(6, ask_after_failure);
    crew_start(crew);
    crew_wait(crew);
    cr_assert_eq(crew->mates[5].rc, WHORL_OK);
    crew_destroy(crew);
}

/* ---- processes ------------------------------------------------------------------------------ */

enum { N = 9, OUT = 4, ASK_MS = 1500 };

/* Everyone asks, and gets answers of all but OUT. */
static void all_but_one_answer(struct mate *mate)
{
    bool answered[N];
    uint32_t nright = ask(mate, wh_deadline_after_ms(ASK_MS), answered);
    for (uint32_t rank = 0; rank < N; rank++) {
        if (answered[rank] != (rank != OUT)) {
            _exit(10 + (int)rank);
        }
    }
    if (nright != N) {
        _exit(3);
    }
}

static void ask_beside_a_stopped_one(struct mate *mate)
{
    if (wh_boot_barrier(mate->boot, crew_soon()) != WHORL_OK) {
        _exit(2);
    }
    if (mate->rank == OUT) {
        raise(SIGSTOP);
    }
    usleep(200 * 1000);
    all_but_one_answer(mate);
    _exit(0);
}

static void ask_beside_a_dead_one(struct mate *mate)
{
    /* All have joined when the first one is through. It may be dead before the last one is. */
    whorl_result_t rc = wh_boot_barrier(mate->boot, crew_soon());
    if (rc != WHORL_OK && rc != WHORL_E_PEER) {
        _exit(2);
    }
    if (mate->rank == OUT) {
        raise(SIGKILL);
    }
    if (!mate_await_failure(mate)) {
        _exit(4);
    }
    all_but_one_answer(mate);
    usleep(ASK_MS * 1000); /* until the others have asked */
    _exit(0);
}

static void be_a_process(struct mate *mate)
{
    mate_run(mate);
    _exit(1);
}

static void sail_processes(void (*body)(struct mate *mate))
{
    struct crew *crew = crew_create(N, body);
    pid_t pids[N];
    crew_fork(crew, pids, be_a_process);
    for (uint32_t i = 0; i < N; i++) {
        int status;
        if (i != OUT) {
            cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
            cr_expect_eq(status, 0, "rank %u: status %x", i, (unsigned)status);
        }
    }
    kill(pids[OUT], SIGKILL);
    cr_assert_eq(waitpid(pids[OUT], NULL, 0), pids[OUT]);
    crew_destroy(crew);
}

Test(ask, a_stopped_rank_keeps_no_other_from_answering)
{
    sail_processes(ask_beside_a_stopped_one);
}

Test(ask, a_dead_rank_keeps_no_other_from_answering)
{
    sail_processes(ask_beside_a_dead_one);
}

/* ---- one rank and what comes ---------------------------------------------------------------- */

static struct wh_boot *lone_rank(void)
{
    whorl_id_t id = {.bytes = {0}};
    const struct wh_boot_join_args args = {.id = &id, .nranks = 5, .rank = 2};
    struct wh_boot *boot = wh_rank_create(&args);
    cr_assert_not_null(boot);
    return boot;
}

Test(ask, impossible_requests_and_answers_are_refused)
{
    struct wh_boot *boot = lone_rank();
    uint8_t payload[WH_ANSWER_NBYTES] = {1};
    struct wh_frame request = {.type = WH_FRAME_ASK, .rank = 1, .tag = 7};
    struct wh_frame answer = {.type = WH_FRAME_STATUS,
                              .rank = 3,
                              .tag = 7,
                              .payload = payload,
                              .payload_nbytes = sizeof(payload)};
    wh_service_lock();
    cr_expect_not(wh_ask_take_status(boot, &answer), "before any request");
    cr_expect(wh_ask_take(boot, 0, &request));
    cr_expect(wh_ask_take_status(boot, &answer));
    answer.tag = 8;
    cr_expect_not(wh_ask_take_status(boot, &answer), "of a request that did not come by");
    answer.tag = 0;
    cr_expect_not(wh_ask_take_status(boot, &answer));
    answer.tag = 7;
    answer.rank = 5;
    cr_expect_not(wh_ask_take_status(boot, &answer), "there is no rank 5");
    answer.rank = 3;
    wh_put_le32(payload, 5);
    cr_expect_not(wh_ask_take_status(boot, &answer), "for rank 5");
    wh_put_le32(payload, 4);
    cr_expect_not(wh_ask_take_status(boot, &answer), "rank 4 did not ask");
    request.rank = 5;
    cr_expect_not(wh_ask_take(boot, 0, &request));
    request.rank = 1;
    request.tag = 0;
    cr_expect_not(wh_ask_take(boot, 0, &request));
    wh_service_unlock();
    wh_rank_destroy(boot);
}

Test(ask, a_request_is_passed_on_once)
{
    struct wh_boot *boot = lone_rank();
    struct wh_frame request = {.type = WH_FRAME_ASK, .rank = 1, .tag = 7};
    wh_service_lock();
    cr_assert(wh_ask_take(boot, 0, &request));
    cr_assert_eq(boot->asked[1].edge, 0);
    cr_assert(wh_ask_take(boot, 3, &request));
    cr_assert_eq(boot->asked[1].edge, 0, "the first way counts");
    request.tag = 6;
    cr_assert(wh_ask_take(boot, 3, &request));
    cr_assert_eq(boot->asked[1].tag, 7, "an old request is none");
    request.tag = 8;
    cr_assert(wh_ask_take(boot, 3, &request));
    cr_assert_eq(boot->asked[1].edge, 3);
    cr_assert_eq(boot->first_waiting, 1);
    cr_assert_eq(boot->asked[1].next, WH_NOBODY, "rank 1 waits once");
    request.rank = 2;
    cr_assert(wh_ask_take(boot, 3, &request));
    cr_assert_eq(boot->first_waiting, 1, "its own requests are not its business");
    wh_service_unlock();
    wh_rank_destroy(boot);
}
