/* SPDX-License-Identifier: Apache-2.0 */
/* Survivors of a job: who is left, who leads, who is told that it is not among them. Each rule of
 * regroup.h has its test. */
#include "bootstrap/rank.h"
#include "crew.h"

#include <sys/wait.h>

TestSuite(regroup, .timeout = 60);

enum { N = 7, DEADLINE_MS = 20000, SHORT_MS = 4000 };

/* What a rank does in the end, as exit code; 0: it is in the new job with those it should be. */
enum { BAD_REGROUP = 10, BAD_ALIVE, BAD_JOIN, BAD_BARRIER, BAD_FAILURE, BAD_WAS_TOLD };

static bool has(const uint32_t *ranks, uint32_t nranks, uint32_t rank)
{
    for (uint32_t i = 0; i < nranks; i++) {
        if (ranks[i] == rank) {
            return true;
        }
    }
    return false;
}

/* Joins the new job and meets the others there. */
static int meet_again(const struct mate *mate, const bool *alive, const whorl_id_t *id)
{
    uint32_t nranks = 0, rank = 0;
    for (uint32_t r = 0; r < mate->nranks; r++) {
        rank += r < mate->rank && alive[r];
        nranks += alive[r];
    }
    const struct wh_boot_join_args args = {
        .id = id, .nranks = nranks, .rank = rank, .timeout_ms = CREW_TIMEOUT_MS};
    struct wh_boot *boot;
    if (wh_boot_join(&args, &boot) != WHORL_OK) {
        return BAD_JOIN;
    }
    whorl_result_t rc = wh_boot_barrier(boot, crew_soon());
    wh_boot_leave(boot);
    return rc == WHORL_OK ? 0 : BAD_BARRIER;
}

/* Regroups without excluded; out is who is known to be left out in the end. */
static int regroup(struct mate *mate, const uint32_t *excluded, uint32_t nexcluded,
                   const uint32_t *out, uint32_t nout, uint64_t timeout_ms)
{
    bool alive[CREW_MAX];
    whorl_id_t id;
    if (wh_boot_regroup(mate->boot, excluded, nexcluded, alive, &id,
                        wh_deadline_after_ms(timeout_ms)) != WHORL_OK) {
        return BAD_REGROUP;
    }
    for (uint32_t rank = 0; rank < mate->nranks; rank++) {
        if (alive[rank] == has(out, nout, rank)) {
            return BAD_ALIVE;
        }
    }
    return meet_again(mate, alive, &id);
}

/* ---- processes: dead and stopped ranks ------------------------------------------------------ */

static void be_a_process(struct mate *mate)
{
    mate_run(mate);
    _exit(1);
}

/* Waits for all but those in out, and kills these. */
static void expect_success(struct crew *crew, const pid_t *pids, const uint32_t *out, uint32_t nout)
{
    for (uint32_t i = 0; i < crew->nmates; i++) {
        int status;
        if (!has(out, nout, i)) {
            cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
            cr_expect_eq(status, 0, "rank %u: status %x", i, (unsigned)status);
        }
    }
    for (uint32_t i = 0; i < nout; i++) {
        kill(pids[out[i]], SIGKILL);
        cr_assert_eq(waitpid(pids[out[i]], NULL, 0), pids[out[i]]);
    }
    crew_destroy(crew);
}

static void die_or_regroup(struct mate *mate, const uint32_t *dead, uint32_t ndead)
{
    /* All have joined when the first one is through. It may be dead before the last one is. */
    whorl_result_t rc = wh_boot_barrier(mate->boot, crew_soon());
    if (rc != WHORL_OK && rc != WHORL_E_PEER) {
        _exit(BAD_BARRIER);
    }
    if (has(dead, ndead, mate->rank)) {
        raise(SIGKILL);
    }
    if (!mate_await_failure(mate)) {
        _exit(BAD_FAILURE);
    }
    _exit(regroup(mate, NULL, 0, dead, ndead, DEADLINE_MS));
}

static const uint32_t first[] = {0}, several[] = {0, 1, 3, 6}, all_but_one[] = {0, 1, 2, 3, 5, 6};

static void lose_the_first(struct mate *mate)
{
    die_or_regroup(mate, first, ARRAY_LEN(first));
}

static void lose_several(struct mate *mate)
{
    die_or_regroup(mate, several, ARRAY_LEN(several));
}

static void lose_all_but_one(struct mate *mate)
{
    die_or_regroup(mate, all_but_one, ARRAY_LEN(all_but_one));
}

Test(regroup, the_next_one_leads_when_the_lowest_is_dead)
{
    struct crew *crew = crew_create(N, lose_the_first);
    pid_t pids[N];
    crew_fork(crew, pids, be_a_process);
    expect_success(crew, pids, first, ARRAY_LEN(first));
}

Test(regroup, several_may_be_dead)
{
    struct crew *crew = crew_create(N, lose_several);
    pid_t pids[N];
    crew_fork(crew, pids, be_a_process);
    expect_success(crew, pids, several, ARRAY_LEN(several));
}

Test(regroup, one_may_be_left_alone)
{
    struct crew *crew = crew_create(N, lose_all_but_one);
    pid_t pids[N];
    crew_fork(crew, pids, be_a_process);
    expect_success(crew, pids, all_but_one, ARRAY_LEN(all_but_one));
}

/* The others say over the first pipe that they have regrouped, and live until the second ends. */
static int regrouped[2], told[2];

/* The lowest stops; when it goes on, the others have regrouped. */
static void stop_or_regroup(struct mate *mate)
{
    close(told[1]);
    if (wh_boot_barrier(mate->boot, crew_soon()) != WHORL_OK) {
        _exit(BAD_BARRIER);
    }
    if (mate->rank != 0) {
        char byte = 0;
        int code = regroup(mate, NULL, 0, first, 1, 2 * SHORT_MS);
        (void)!write(regrouped[1], &byte, 1);
        (void)!read(told[0], &byte, 1);
        _exit(code);
    }
    raise(SIGSTOP);
    bool alive[N];
    whorl_id_t id;
    whorl_result_t rc =
        wh_boot_regroup(mate->boot, NULL, 0, alive, &id, wh_deadline_after_ms(DEADLINE_MS));
    bool was_told = strstr(wh_error_get(), "regrouped without rank 0") != NULL;
    _exit(rc == WHORL_E_PEER && was_told ? 0 : BAD_WAS_TOLD);
}

Test(regroup, a_stopped_one_is_left_out_and_told_so_when_it_wakes)
{
    cr_assert_eq(pipe(regrouped), 0);
    cr_assert_eq(pipe(told), 0);
    struct crew *crew = crew_create(N, stop_or_regroup);
    pid_t pids[N];
    int status;
    crew_fork(crew, pids, be_a_process);
    for (int i = 1; i < N; i++) {
        char byte;
        cr_assert_eq(read(regrouped[0], &byte, 1), 1);
    }
    kill(pids[0], SIGCONT);
    cr_assert_eq(waitpid(pids[0], &status, 0), pids[0]);
    cr_expect_eq(status, 0, "rank 0: status %x", (unsigned)status);
    close(told[1]);
    for (int i = 1; i < N; i++) {
        cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
        cr_expect_eq(status, 0, "rank %d: status %x", i, (unsigned)status);
    }
    crew_destroy(crew);
}

/* ---- threads: ranks that come late, are excluded, or disagree ------------------------------- */

static void sail(uint32_t nmates, void (*body)(struct mate *mate))
{
    struct crew *crew = crew_create(nmates, body);
    crew_start(crew);
    crew_wait(crew);
    for (uint32_t i = 0; i < nmates; i++) {
        cr_assert_eq(crew->mates[i].rc, WHORL_OK, "%s", crew->mates[i].error);
    }
    crew_destroy(crew);
}

static void regroup_all(struct mate *mate)
{
    cr_expect_eq(regroup(mate, NULL, 0, NULL, 0, DEADLINE_MS), 0);
    pthread_barrier_wait(&mate->crew->all);
}

Test(regroup, all_may_be_left)
{
    static const uint32_t sizes[] = {1, 2, 3, 16};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        sail(sizes[i], regroup_all);
    }
}

static void regroup_again_and_again(struct mate *mate)
{
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(regroup(mate, NULL, 0, NULL, 0, DEADLINE_MS), 0, "time %d", i);
    }
    pthread_barrier_wait(&mate->crew->all);
}

Test(regroup, it_may_be_done_again)
{
    sail(4, regroup_again_and_again);
}

/* Half of the time is over when rank 0 comes, so rank 1 leads by then, and gives up. */
static void first_comes_late(struct mate *mate)
{
    if (mate->rank == 0) {
        usleep((SHORT_MS / 2 + 500) * 1000);
    }
    cr_expect_eq(regroup(mate, NULL, 0, NULL, 0, SHORT_MS), 0, "rank %u", mate->rank);
    pthread_barrier_wait(&mate->crew->all);
}

Test(regroup, a_leader_gives_up_for_a_lower_one)
{
    sail(5, first_comes_late);
}

static void last_comes_late(struct mate *mate)
{
    if (mate->rank == mate->nranks - 1) {
        usleep(1000 * 1000);
    }
    cr_expect_eq(regroup(mate, NULL, 0, NULL, 0, DEADLINE_MS), 0);
    pthread_barrier_wait(&mate->crew->all);
}

Test(regroup, who_lives_is_awaited)
{
    sail(4, last_comes_late);
}

/* Rank 2 comes when it is over. */
static void one_comes_too_late(struct mate *mate)
{
    static const uint32_t out[] = {2};
    bool alive[CREW_MAX];
    whorl_id_t id;
    if (mate->rank != 2) {
        cr_expect_eq(regroup(mate, NULL, 0, out, 1, 1500), 0);
    }
    pthread_barrier_wait(&mate->crew->all);
    if (mate->rank == 2) {
        cr_expect_eq(wh_boot_regroup(mate->boot, NULL, 0, alive, &id, crew_soon()), WHORL_E_PEER);
        cr_expect_not_null(strstr(wh_error_get(), "taken for dead"), "%s", wh_error_get());
    }
    pthread_barrier_wait(&mate->crew->all);
}

Test(regroup, who_comes_too_late_was_taken_for_dead)
{
    sail(4, one_comes_too_late);
}

/* Ranks 0 and 3 are excluded; 0 knows it, 3 does not. */
static void some_are_excluded(struct mate *mate)
{
    static const uint32_t excluded[] = {3, 0, 3};
    bool alive[CREW_MAX];
    whorl_id_t id;
    if (mate->rank == 0) {
        cr_expect_eq(wh_boot_regroup(mate->boot, excluded, 3, alive, &id, crew_soon()),
                     WHORL_E_PEER);
    } else if (mate->rank == 3) {
        usleep(200 * 1000);
        cr_expect_eq(wh_boot_regroup(mate->boot, NULL, 0, alive, &id, crew_soon()), WHORL_E_PEER);
        cr_expect_not_null(strstr(wh_error_get(), "without rank 3"), "%s", wh_error_get());
    } else {
        cr_expect_eq(regroup(mate, excluded, 3, excluded, 3, DEADLINE_MS), 0);
    }
    pthread_barrier_wait(&mate->crew->all);
}

Test(regroup, excluded_ranks_are_told_so)
{
    sail(6, some_are_excluded);
}

static void lists_differ(struct mate *mate)
{
    const uint32_t excluded[] = {mate->rank == 1 ? 2u : 3u};
    bool alive[CREW_MAX];
    whorl_id_t id;
    whorl_result_t rc = WHORL_OK;
    if (mate->rank < 2) {
        rc = wh_boot_regroup(mate->boot, excluded, 1, alive, &id, wh_deadline_after_ms(1500));
    }
    if (mate->rank == 1) {
        cr_expect_eq(rc, WHORL_E_MISMATCH, "%s", wh_error_get());
    }
    pthread_barrier_wait(&mate->crew->all);
}

Test(regroup, different_lists_are_a_mismatch)
{
    sail(4, lists_differ);
}

static void ask_for_nonsense(struct mate *mate)
{
    const uint32_t excluded[] = {mate->nranks};
    bool alive[CREW_MAX];
    whorl_id_t id;
    cr_expect_eq(wh_boot_regroup(mate->boot, excluded, 1, alive, &id, crew_soon()), WHORL_E_ARG);
    pthread_barrier_wait(&mate->crew->all);
}

Test(regroup, a_rank_that_does_not_exist_cannot_be_excluded)
{
    sail(2, ask_for_nonsense);
}

/* ---- secrets -------------------------------------------------------------------------------- */

static void compare_secrets(struct mate *mate)
{
    bool alive[CREW_MAX];
    whorl_id_t ids[2];
    struct wh_ticket tickets[2];
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(wh_boot_regroup(mate->boot, NULL, 0, alive, &ids[i], crew_soon()), WHORL_OK);
        cr_expect(wh_ticket_decode(&ids[i], &tickets[i]));
        cr_expect_neq(memcmp(tickets[i].secret, mate->boot->trust.secret, WH_SECRET_NBYTES), 0);
    }
    cr_expect_neq(memcmp(tickets[0].secret, tickets[1].secret, WH_SECRET_NBYTES), 0);
    pthread_barrier_wait(&mate->crew->all);
}

Test(regroup, every_new_job_has_a_secret_of_its_own)
{
    sail(2, compare_secrets);
}
