/* SPDX-License-Identifier: Apache-2.0 */
/* The ranks of this host: their group, their start, and the lines that they print. */
#include "whorl_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { LINE_NBYTES_MAX = 65536, READ_NBYTES = 16384 };

/* ---- the warden ------------------------------------------------------------------------------ */

/* Waits until whorl-run is gone, then kills its group; does not return. */
static _Noreturn void guard(int lifeline)
{
    /* Signals for the ranks go to the whole group. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    prctl(PR_SET_NAME, "whorl-warden");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && null >= 0; fd++) {
        dup2(null, fd); /* whoever reads our output must not wait for the warden */
    }
    char byte;
    while (read(lifeline, &byte, 1) < 0 && errno == EINTR) {
    }
    kill(0, SIGKILL);
    _exit(0);
}

pid_t run_local_warden(int *lifeline_out)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        run_say("pipe: %s", strerror(errno));
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        close(fds[1]);
        guard(fds[0]);
    }
    close(fds[0]);
    if (pid < 0) {
        run_say("fork: %s", strerror(errno));
        close(fds[1]);
        return -1;
    }
    setpgid(pid, pid); /* here too: before the first rank joins the group */
    *lifeline_out = fds[1];
    return pid;
}

/* ---- one rank -------------------------------------------------------------------------------- */

static void set_number(const char *name, int value)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", value);
    setenv(name, text, 1);
}

static void set_environment(const struct run_rank *rank)
{
    const struct run_env *env = &rank->args->env;
    for (size_t i = 0; i < env->nvars; i++) {
        char *name = run_var_name(env->vars[i]);
        setenv(name, strchr(env->vars[i], '=') + 1, 1);
        free(name);
    }
    set_number("WHORL_RANK", rank->rank);
    set_number("WHORL_NRANKS", rank->args->nranks);
    set_number("WHORL_LOCAL_RANK", rank->local_rank);
}

/* The life of a rank until its program begins; does not return. Its errno goes to `report`, which a
 * successful exec closes. */
static _Noreturn void become_rank(const struct run_rank *rank, pid_t parent, const int outputs[2],
                                  int report)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1); /* it died before the line above took effect */
    }
    setpgid(0, rank->group);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);

    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    for (int i = 0; rank->tags != NULL && i < 2; i++) {
        dup2(outputs[i], STDOUT_FILENO + i);
    }
    set_environment(rank);
    execvp(rank->args->program[0], rank->args->program);
    int error = errno;
    ssize_t n = write(report, &error, sizeof(error));
    (void)n;
    _exit(RUN_E_NOT_FOUND);
}

/* Waits until the program of pid has begun. 0, or an exit status: said. */
static int await_start(const struct run_rank *rank, int report)
{
    int error = 0;
    ssize_t n;
    do {
        n = read(report, &error, sizeof(error));
    } while (n < 0 && errno == EINTR);
    if (n != sizeof(error)) {
        return 0;
    }
    const char *name = rank->args->program[0];
    run_say("%s: cannot run \"%s\": %s%s", rank->args->hosts[0].name, name, strerror(error),
            error == ENOENT && strchr(name, '/') == NULL ? " (not found in PATH)" : "");
    return error == ENOENT ? RUN_E_NOT_FOUND : RUN_E_CANNOT_RUN;
}

pid_t run_local_start(const struct run_rank *rank)
{
    int report[2], pipes[2][2] = {{-1, -1}, {-1, -1}};
    bool ok = pipe2(report, O_CLOEXEC) == 0;
    for (int i = 0; ok && rank->tags != NULL && i < 2; i++) {
        ok = pipe2(pipes[i], O_CLOEXEC) == 0;
    }
    pid_t parent = getpid();
    pid_t pid = ok ? fork() : -1;
    if (pid == 0) {
        become_rank(rank, parent, (const int[2]){pipes[0][1], pipes[1][1]}, report[1]);
    }
    if (pid < 0) {
        run_say("cannot start rank %d: %s", rank->rank, strerror(errno));
        return -1; /* the program ends, and with it the descriptors */
    }
    close(report[1]);
    for (int i = 0; rank->tags != NULL && i < 2; i++) {
        close(pipes[i][1]);
        fcntl(pipes[i][0], F_SETFL, O_NONBLOCK);
        rank->tags[i] = (struct run_tag){
            .fd = pipes[i][0], .to = STDOUT_FILENO + i, .rank = rank->rank};
    }
    int status = await_start(rank, report[0]);
    close(report[0]);
    return status == 0 ? pid : -status;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* Writes all, or as much as goes: a reader that has left is not our trouble. */
static void put(int fd, const char *bytes, size_t nbytes)
{
    while (nbytes > 0) {
        ssize_t n = write(fd, bytes, nbytes);
        if (n < 0 && errno != EINTR) {
            return;
        }
        if (n > 0) {
            bytes += n;
            nbytes -= (size_t)n;
        }
    }
}

/* Prints the line that tag has gathered, tag and line end in one piece. */
static void put_line(struct run_tag *tag)
{
    char *text = run_alloc(tag->line_nbytes + 32);
    size_t nbytes = (size_t)snprintf(text, 32, "[%d] ", tag->rank);
    memcpy(text + nbytes, tag->line, tag->line_nbytes);
    nbytes += tag->line_nbytes;
    text[nbytes++] = '\n';
    put(tag->to, text, nbytes);
    free(text);
    tag->line_nbytes = 0;
}

void run_tag_read(struct run_tag *tag)
{
    char bytes[READ_NBYTES];
    ssize_t n = read(tag->fd, bytes, sizeof(bytes));
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (tag->line == NULL) {
        tag->line = run_alloc(LINE_NBYTES_MAX);
    }
    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] != '\n') {
            tag->line[tag->line_nbytes++] = bytes[i];
        }
        if (bytes[i] == '\n' || tag->line_nbytes == LINE_NBYTES_MAX) {
            put_line(tag);
        }
    }
    if (n <= 0) {
        if (tag->line_nbytes > 0) {
            put_line(tag);
        }
        close(tag->fd);
        free(tag->line);
        tag->line = NULL;
        tag->fd = -1;
    }
}
