/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent on another host is told, and how it is started.
 *
 * The agent reads a line "whorl-run VERSION NBYTES" and then NBYTES of texts that end in '\0': the
 * folder, the numbers, the variables, the program. Everything goes through ssh's standard input.
 */
#include "whorl_run.h"

#include <whorl/version.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ORDER_NBYTES_MAX = 1 << 24, HEAD_NBYTES_MAX = 80 };

extern char **environ;

struct order {
    char *bytes;
    size_t nbytes;
};

static void add_text(struct order *order, const char *text)
{
    size_t nbytes = strlen(text) + 1;
    order->bytes = run_grow(order->bytes, order->nbytes + nbytes);
    memcpy(order->bytes + order->nbytes, text, nbytes);
    order->nbytes += nbytes;
}

static void add_number(struct order *order, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    add_text(order, text);
}

static bool begins_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Variables of this process that ranks elsewhere get too. */
static void pass_on_environment(struct run_env *env)
{
    for (char **var = environ; *var != NULL; var++) {
        if (begins_with(*var, "WHORL_") || begins_with(*var, "NCCL_") ||
            begins_with(*var, "PATH=") || begins_with(*var, "LD_LIBRARY_PATH=")) {
            char *name = run_var_name(*var);
            if (strchr(*var, '=') != NULL && run_env_get(env, name) == NULL) {
                run_env_set(env, name, strchr(*var, '=') + 1);
            }
            free(name);
        }
    }
}

static void write_order(const struct run_args *args, const struct run_host *host,
                        struct order *order)
{
    struct run_env env = {NULL, 0};
    for (size_t i = 0; i < args->env.nvars; i++) {
        char *name = run_var_name(args->env.vars[i]);
        run_env_set(&env, name, strchr(args->env.vars[i], '=') + 1);
        free(name);
    }
    pass_on_environment(&env);

    char *folder = getcwd(NULL, 0);
    add_text(order, folder != NULL ? folder : "/");
    free(folder);
    add_text(order, host->name);
    add_number(order, (uint64_t)args->nranks);
    add_number(order, (uint64_t)host->first_rank);
    add_number(order, (uint64_t)host->nranks);
    add_number(order, args->is_tagged);
    add_number(order, args->grace_ms);
    add_number(order, env.nvars);
    for (size_t i = 0; i < env.nvars; i++) {
        add_text(order, env.vars[i]);
        free(env.vars[i]);
    }
    free(env.vars);
    for (size_t i = 0; args->program[i] != NULL; i++) {
        add_text(order, args->program[i]);
    }
}

/* The command for the shell of the other host; NULL: said. */
static char *agent_command(void)
{
    char path[4096];
    ssize_t nbytes = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (nbytes < 0) {
        run_say("cannot tell where whorl-run is: %s", strerror(errno));
        return NULL;
    }
    path[nbytes] = '\0';
    if (strchr(path, '\'') != NULL) {
        run_say("cannot start %s on other hosts: its path has a quote", path);
        return NULL;
    }
    return run_text("exec '%s' --agent", path);
}

/* The life of the child that becomes ssh; does not return. */
static _Noreturn void become_ssh(const struct run_args *args, const char *host, char *command,
                                 int input)
{
    size_t nwords = 0;
    while (args->ssh[nwords] != NULL) {
        nwords++;
    }
    char **argv = run_alloc((nwords + 3) * sizeof(*argv));
    memcpy(argv, args->ssh, nwords * sizeof(*argv));
    argv[nwords] = run_text("%s", host);
    argv[nwords + 1] = command;

    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0); /* Ctrl-C goes to whorl-run, which tells the agent */
    dup2(input, STDIN_FILENO);
    execvp(argv[0], argv);
    run_say("cannot run \"%s\": %s", argv[0], strerror(errno));
    _exit(RUN_E_SSH);
}

/* Puts all of order into a pipe without waiting for who reads it. */
static bool fill_pipe(int fd, const struct order *order)
{
    char head[HEAD_NBYTES_MAX];
    int nhead =
        snprintf(head, sizeof(head), "whorl-run %s %zu\n", WHORL_VERSION_STRING, order->nbytes);
    size_t total = (size_t)nhead + order->nbytes;
    if (total > 32768 && fcntl(fd, F_SETPIPE_SZ, (int)total) < (int)total) {
        run_say("arguments and variables of %zu bytes do not fit in a pipe: %s", total,
                strerror(errno));
        return false;
    }
    return write(fd, head, (size_t)nhead) == nhead &&
           write(fd, order->bytes, order->nbytes) == (ssize_t)order->nbytes;
}

pid_t run_remote_start(const struct run_args *args, const struct run_host *host, int *control_out)
{
    int fds[2];
    char *command = agent_command();
    if (command == NULL || pipe2(fds, O_CLOEXEC) != 0) {
        free(command);
        return -1;
    }
    struct order order = {NULL, 0};
    write_order(args, host, &order);
    pid_t pid = -1;
    if (fill_pipe(fds[1], &order)) {
        pid = fork();
        if (pid == 0) {
            become_ssh(args, host->name, command, fds[0]);
        }
        if (pid < 0) {
            run_say("fork: %s", strerror(errno));
        }
    }
    memset(order.bytes, 0, order.nbytes);
    free(order.bytes);
    free(command);
    close(fds[0]);
    if (pid < 0) {
        close(fds[1]);
        return -1;
    }
    *control_out = fds[1];
    return pid;
}

/* ---- the agent's side ------------------------------------------------------------------------ */

static bool read_all(int fd, char *bytes, size_t nbytes)
{
    while (nbytes > 0) {
        ssize_t n = read(fd, bytes, nbytes);
        if (n <= 0 && errno != EINTR) {
            return false;
        }
        if (n > 0) {
            bytes += n;
            nbytes -= (size_t)n;
        }
    }
    return true;
}

/* Reads the head line, byte by byte: what comes after it is not ours to take. */
static bool read_head(int fd, size_t *nbytes_out)
{
    char head[HEAD_NBYTES_MAX], version[32];
    size_t used = 0;
    do {
        if (used + 1 >= sizeof(head) || !read_all(fd, head + used, 1)) {
            run_say("--agent is for whorl-run itself: nothing came that it would send");
            return false;
        }
    } while (head[used++] != '\n');
    head[used] = '\0';
    if (sscanf(head, "whorl-run %31s %zu", version, nbytes_out) != 2 ||
        *nbytes_out > ORDER_NBYTES_MAX) {
        run_say("--agent is for whorl-run itself: this is not what it would send");
        return false;
    }
    if (strcmp(version, WHORL_VERSION_STRING) != 0) {
        run_say("version %s here, but %s on the host that starts the job", WHORL_VERSION_STRING,
                version);
        return false;
    }
    return true;
}

/* Takes the next text of the order; "" behind its end. */
static const char *take_text(struct order *order)
{
    if (order->nbytes == 0) {
        return "";
    }
    const char *text = order->bytes;
    size_t nbytes = strlen(text) + 1;
    order->bytes += nbytes;
    order->nbytes -= nbytes;
    return text;
}

static int take_number(struct order *order)
{
    return atoi(take_text(order));
}

static void read_order(struct order order, struct run_args *args)
{
    args->folder = run_text("%s", take_text(&order));
    args->hosts = run_alloc(sizeof(*args->hosts));
    args->nhosts = 1;
    struct run_host *host = &args->hosts[0];
    host->name = run_text("%s", take_text(&order));
    host->is_here = true;
    args->nranks = take_number(&order);
    host->first_rank = take_number(&order);
    host->nranks = take_number(&order);
    args->is_tagged = take_number(&order) != 0;
    args->grace_ms = (uint64_t)take_number(&order);
    int nvars = take_number(&order);
    for (int i = 0; i < nvars && order.nbytes > 0; i++) {
        const char *var = take_text(&order);
        char *name = run_var_name(var);
        if (strchr(var, '=') != NULL) {
            run_env_set(&args->env, name, strchr(var, '=') + 1);
        }
        free(name);
    }
    size_t nwords = 0;
    free(args->program);
    args->program = NULL;
    while (order.nbytes > 0) {
        args->program = run_grow(args->program, (nwords + 2) * sizeof(*args->program));
        args->program[nwords++] = run_text("%s", take_text(&order));
        args->program[nwords] = NULL;
    }
}

bool run_remote_read(int fd, struct run_args *args)
{
    struct order order = {NULL, 0};
    if (!read_head(fd, &order.nbytes)) {
        return false;
    }
    char *bytes = run_alloc(order.nbytes + 1);
    bool ok = read_all(fd, bytes, order.nbytes) &&
              (order.nbytes == 0 || bytes[order.nbytes - 1] == '\0');
    if (ok) {
        order.bytes = bytes;
        read_order(order, args);
        ok = args->program != NULL && args->hosts[0].nranks > 0;
    }
    memset(bytes, 0, order.nbytes);
    free(bytes);
    if (!ok) {
        run_say("what this agent was to run came incomplete");
    }
    return ok;
}
