/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that die, and processes that fork. */
#include "crew.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(service, .timeout = 120);

enum { NRANKS = 6, VICTIM = 3 };

/* What a child sees, for the parent to read. */
struct report {
    _Atomic uint32_t njoined;
    char text[NRANKS][CREW_TEXT_NBYTES];
};

static struct report *report; /* shared */

static void be_a_process(struct mate *mate)
{
    mate_join(mate);
    if (mate->rc != WHORL_OK) {
        _exit(1);
    }
    atomic_fetch_add(&report->njoined, 1);
    if (mate->rank == VICTIM) {
        for (;;) {
            pause();
        }
    }
    bool peer = mate_await_failure(mate) && mate->failure_rc == WHORL_E_PEER;
    memcpy(report->text[mate->rank], mate->failure, CREW_TEXT_NBYTES);
    wh_boot_leave(mate->boot);
    _exit(peer ? 0 : 2);
}

Test(service, all_learn_which_rank_was_killed)
{
    report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(report, MAP_FAILED);
    struct crew *crew = crew_create(NRANKS, NULL);
    pid_t pids[NRANKS];
    crew_fork(crew, pids, be_a_process);
    while (atomic_load(&report->njoined) < NRANKS) {
        usleep(1000);
    }
    cr_assert_eq(kill(pids[VICTIM], SIGKILL), 0);

    char text[CREW_TEXT_NBYTES];
    snprintf(text, sizeof(text),
             "rank %d (host %s, pid %d) died or was killed: its connection closed", VICTIM,
             wh_host_name(), (int)pids[VICTIM]);
    for (uint32_t rank = 0; rank < NRANKS; rank++) {
        int status;
        cr_assert_eq(waitpid(pids[rank], &status, 0), pids[rank]);
        if (rank != VICTIM) {
            cr_assert_eq(status, 0, "rank %u: status %x", rank, (unsigned)status);
            cr_assert_str_eq(report->text[rank], text);
        }
    }
    crew_destroy(crew);
}

/* A child that is forked while other threads run may find a sanitizer's allocator locked for ever;
 * glibc's own survives that. */
static void skip_forks_under_sanitizers(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    cr_skip_test("the allocator of a sanitizer does not survive a fork beside threads");
#endif
}

/* Two ranks, each a process; the one that dies has forked a child that lives on. */
Test(service, a_child_of_a_rank_does_not_hide_its_death)
{
    skip_forks_under_sanitizers();
    struct crew *crew = crew_create(2, NULL);
    int pipe_fds[2];
    cr_assert_eq(pipe(pipe_fds), 0);
    pid_t victim = fork();
    cr_assert_geq(victim, 0);
    if (victim == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        mate_join(&crew->mates[1]);
        if (crew->mates[1].rc != WHORL_OK) {
            _exit(1);
        }
        pid_t child = fork();
        if (child == 0) {
            /* Leaving is allowed here, and must not say goodbye for the parent. */
            wh_boot_leave(crew->mates[1].boot);
            child = getpid();
            (void)!write(pipe_fds[1], &child, sizeof(child));
        }
        for (;;) {
            pause();
        }
    }
    mate_join(&crew->mates[0]);
    cr_assert_eq(crew->mates[0].rc, WHORL_OK, "%s", crew->mates[0].error);
    pid_t child;
    cr_assert_eq(read(pipe_fds[0], &child, sizeof(child)), (ssize_t)sizeof(child));
    usleep(50 * 1000);
    cr_assert_eq(crew->mates[0].nfailures, 0, "%s", crew->mates[0].failure);

    cr_assert_eq(kill(victim, SIGKILL), 0);
    cr_assert(mate_await_failure(&crew->mates[0]));
    cr_expect_not_null(strstr(crew->mates[0].failure, "rank 1 (host "), "%s",
                       crew->mates[0].failure);
    kill(child, SIGKILL);
    waitpid(victim, NULL, 0);
    wh_boot_leave(crew->mates[0].boot);
    crew_destroy(crew);
}

/* A forked child can be a rank of another job. */
Test(service, a_forked_child_can_join_a_job_of_its_own)
{
    skip_forks_under_sanitizers();
    struct crew *crew = crew_create(1, NULL), *inner = crew_create(1, NULL);
    mate_join(&crew->mates[0]);
    cr_assert_eq(crew->mates[0].rc, WHORL_OK);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        mate_run(&inner->mates[0]);
        _exit(inner->mates[0].rc == WHORL_OK ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    wh_boot_leave(crew->mates[0].boot);
    crew_destroy(crew);
    crew_destroy(inner);
}
