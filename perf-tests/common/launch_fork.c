/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes on this host: the parent forks, and then only waits.
 *
 * Child 0 makes the id, because the process that makes it must live until all have joined, and
 * writes one copy per other child into a pipe. A write and a read of 128 bytes are atomic there,
 * and when child 0 dies first the others read an end of file instead of waiting for ever.
 *
 * The run ends when all children have ended. Once one has failed, the library should make the
 * others fail by themselves with a better message than ours; they get some seconds for that.
 */
#include "common/failure.h"
#include "common/launch.h"
#include "common/timing.h"
#include "perf.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GRACE_S = 8, POLL_MS = 20, TIMEOUT_SLACK_S = 3 };

struct family {
    const struct perf_args *args;
    pid_t parent;
    pid_t *pids; /* 0 when that child has ended */
    int nlive;
    int status;          /* what the run will exit with; 0 while nothing failed */
    uint64_t give_up_ns; /* kill who still lives then; 0: no reason to */
};

/* Writes the id for everybody else, or reads it. fds: the read end and the write end. */
static int exchange_id(struct perf_world *world, int fds[2])
{
    if (world->proc == 0) {
        close(fds[0]);
        whorl_result_t rc = whorl_id_create(&world->id);
        if (rc != WHORL_OK) {
            return perf_fail_whorl("whorl_id_create", rc, NULL, 0);
        }
        for (int i = 1; i < world->nprocs; i++) {
            ssize_t n = write(fds[1], world->id.bytes, sizeof(world->id.bytes));
            if (n != (ssize_t)sizeof(world->id.bytes)) {
                return perf_fail("writing the id: %s", n < 0 ? strerror(errno) : "cut short");
            }
        }
        close(fds[1]);
        return PERF_OK;
    }

    close(fds[1]);
    ssize_t n = read(fds[0], world->id.bytes, sizeof(world->id.bytes));
    close(fds[0]);
    if (n != (ssize_t)sizeof(world->id.bytes)) {
        return perf_fail("process %d got no id from process 0", world->proc);
    }
    return PERF_OK;
}

/* The life of a child; does not return. */
static _Noreturn void run_child(const struct family *family, struct perf_world *world, int fds[2],
                                perf_body *body, const void *context)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != family->parent) {
        _exit(PERF_E_INTERNAL); /* the parent died before the line above took effect */
    }

    alarm((unsigned)family->args->timeout_s); /* -T; 0 sets none */
    free(family->pids);
    int status = exchange_id(world, fds);
    if (status == PERF_OK) {
        status = body(family->args, world, context);
    }
    exit(status);
}

/* Remembers how a child ended, and says so if it is a reason for the run to fail. */
static void note_end(struct family *family, int proc, int wait_status)
{
    int nranks = family->args->nthreads * family->args->nranks_per_thread;
    int code = WIFSIGNALED(wait_status) ? PERF_E_INTERNAL : WEXITSTATUS(wait_status);
    char ranks[48];

    if (nranks == 1) {
        snprintf(ranks, sizeof(ranks), "rank %d", proc);
    } else {
        snprintf(ranks, sizeof(ranks), "ranks %d-%d", proc * nranks, (proc + 1) * nranks - 1);
    }
    if (WIFSIGNALED(wait_status)) {
        int signal_number = WTERMSIG(wait_status);
        perf_fail("process %d (%s) was killed by signal %d (%s)", proc, ranks, signal_number,
                  strsignal(signal_number));
    } else if (code != PERF_OK && code != PERF_E_WRONG) {
        perf_fail("process %d (%s) failed with exit status %d", proc, ranks, code);
    }
    if (code != PERF_OK && (family->status == 0 || proc == 0)) {
        family->status = code;
    }
    uint64_t end_of_grace_ns = perf_now_ns() + GRACE_S * UINT64_C(1000000000);
    bool is_sooner = family->give_up_ns == 0 || end_of_grace_ns < family->give_up_ns;
    if (code != PERF_OK && is_sooner) {
        family->give_up_ns = end_of_grace_ns;
    }
    family->pids[proc] = 0;
    family->nlive--;
}

static void kill_rest(struct family *family)
{
    for (int i = 0; i < family->args->nprocs; i++) {
        if (family->pids[i] != 0) {
            perf_fail("process %d did not end by itself and is killed", i);
            kill(family->pids[i], SIGKILL);
        }
    }
}

/* Waits for all children, with an end in any case. */
static void wait_all(struct family *family)
{
    bool is_killed = false;

    while (family->nlive > 0) {
        bool may_block = family->give_up_ns == 0 || is_killed;
        int wait_status = 0;
        pid_t pid = waitpid(-1, &wait_status, may_block ? 0 : WNOHANG);
        if (pid < 0 && errno != EINTR) {
            perf_fail("waitpid: %s", strerror(errno));
            family->status = PERF_E_INTERNAL;
            return;
        }
        for (int i = 0; pid > 0 && i < family->args->nprocs; i++) {
            if (family->pids[i] == pid && !is_killed) {
                note_end(family, i, wait_status);
            } else if (family->pids[i] == pid) {
                family->pids[i] = 0; /* killed by us: not news */
                family->nlive--;
            }
        }
        if (pid == 0 && perf_now_ns() >= family->give_up_ns) {
            family->status = family->status != 0 ? family->status : PERF_E_TIMEOUT;
            kill_rest(family);
            is_killed = true;
        } else if (pid == 0) {
            nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
        }
    }
}

int perf_launch_fork(const struct perf_args *args, perf_body *body, const void *context)
{
    struct family family = {.args = args, .parent = getpid()};
    int fds[2];

    family.pids = calloc((size_t)args->nprocs, sizeof(*family.pids));
    if (family.pids == NULL || pipe(fds) != 0) {
        free(family.pids);
        return perf_fail("no memory or no pipe for %d processes", args->nprocs);
    }
    fflush(NULL);

    for (int proc = 0; proc < args->nprocs; proc++) {
        struct perf_world world = {.nprocs = args->nprocs, .proc = proc, .launcher = "fork"};
        pid_t pid = fork();
        if (pid == 0) {
            run_child(&family, &world, fds, body, context);
        }
        if (pid < 0) {
            family.status = perf_fail("fork of process %d: %s", proc, strerror(errno));
            family.give_up_ns = 1; /* the others can never be complete */
            break;
        }
        family.pids[proc] = pid;
        family.nlive++;
    }
    close(fds[0]);
    close(fds[1]);

    /* Children stop themselves when -T runs out; this is for a child that cannot. */
    if (args->timeout_s > 0 && family.give_up_ns == 0) {
        family.give_up_ns =
            perf_now_ns() + (uint64_t)(args->timeout_s + TIMEOUT_SLACK_S) * 1000000000u;
    }
    wait_all(&family);
    free(family.pids);
    return family.status;
}
