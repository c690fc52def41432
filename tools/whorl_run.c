/* SPDX-License-Identifier: Apache-2.0 */
/*
 * whorl-run's life: start everything, wait for ends, signals and time, end everything.
 *
 * One loop over a signalfd, the lines of tagged ranks and, in an agent, the orders of the
 * whorl-run that started it. A job that must end gets a signal, then time (--grace), then SIGKILL.
 */
#include "whorl_run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SECRET_NBYTES = 32,
    AGENT_SLACK_MS = 3000, /* agents get this much longer than their ranks */
    DRAIN_MS = 1000,       /* for the last lines, should somebody else hold our pipes */
    MS_NS = 1000000,
};

/* A process that is waited for: a rank, or the ssh to a host's agent. */
struct member {
    pid_t pid; /* 0: has ended */
    int rank;  /* -1: an agent */
    const struct run_host *host;
    int control; /* of an agent; -1: none */
};

enum phase {
    RUNNING,
    ENDING, /* got a signal, and time to follow it */
    KILLED, /* the ranks of this host are; agents have AGENT_SLACK_MS */
    GIVEN_UP
};

struct job {
    const struct run_args *args;
    struct member *members;
    int nmembers, nlive;
    struct run_tag *tags;
    int ntags;
    pid_t group; /* 0: no rank here */
    int lifeline;
    int signals; /* the signalfd */
    int orders;  /* an agent's standard input; -1: none */
    enum phase phase;
    uint64_t next_ns; /* when the phase ends; 0: never */
    uint64_t timeout_ns;
    int status; /* of the first failure */
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- ending ---------------------------------------------------------------------------------- */

static void signal_all(struct job *job, int signal_number)
{
    if (job->group > 0) {
        kill(-job->group, signal_number);
    }
    for (int i = 0; i < job->nmembers; i++) {
        struct member *m = &job->members[i];
        if (m->control >= 0) {
            unsigned char byte = (unsigned char)signal_number;
            ssize_t n = write(m->control, &byte, 1);
            (void)n; /* an agent that has left needs no signal */
        }
    }
}

/* Ends the job for the reason that was just said. The first status is the job's. */
static void end_job(struct job *job, int signal_number, int status)
{
    if (job->status == 0) {
        job->status = status;
    }
    if (job->phase == RUNNING) {
        job->phase = ENDING;
        job->next_ns = now_ns() + job->args->grace_ms * MS_NS;
        signal_all(job, signal_number);
    }
}

static void kill_here(struct job *job)
{
    int nleft = 0;
    for (int i = 0; i < job->nmembers; i++) {
        nleft += job->members[i].pid != 0 && job->members[i].rank >= 0;
    }
    if (nleft > 0) {
        run_say("%d rank%s did not end within %.3g s and %s killed", nleft, nleft == 1 ? "" : "s",
                (double)job->args->grace_ms / 1e3, nleft == 1 ? "is" : "are");
    }
    signal_all(job, SIGKILL);
    job->phase = KILLED;
    job->next_ns = now_ns() + (uint64_t)AGENT_SLACK_MS * MS_NS;
}

/* The agents that have not ended although they were told to. */
static void give_up(struct job *job)
{
    for (int i = 0; i < job->nmembers; i++) {
        const struct member *m = &job->members[i];
        if (m->pid != 0 && m->rank < 0) {
            run_say("host %s does not answer; its ranks may still run", m->host->name);
            kill(m->pid, SIGKILL);
        }
    }
    job->phase = GIVEN_UP;
    job->next_ns = 0;
}

static void note_time(struct job *job)
{
    uint64_t now = now_ns();
    if (job->phase == RUNNING && job->timeout_ns != 0 && now >= job->timeout_ns) {
        run_say("the job is not done after %.3g s (--timeout) and is ended",
                (double)job->args->timeout_ms / 1e3);
        end_job(job, SIGTERM, RUN_E_TIMEOUT);
    }
    if (job->next_ns != 0 && now >= job->next_ns) {
        if (job->phase == ENDING) {
            kill_here(job);
        } else if (job->phase == KILLED) {
            give_up(job);
        }
    }
}

/* ---- what happens ---------------------------------------------------------------------------- */

static void say_agent_end(const struct member *m, int status)
{
    if (status == RUN_E_SSH) {
        run_say("host %s cannot be reached, or the connection broke (status %d of ssh)",
                m->host->name, status);
    } else if (status == RUN_E_NOT_FOUND || status == RUN_E_CANNOT_RUN) {
        run_say("host %s: the program or whorl-run itself cannot be run there", m->host->name);
    } else {
        run_say("host %s: ended with status %d; ending the others", m->host->name, status);
    }
}

static void note_end(struct job *job, struct member *m, int wait_status)
{
    int signal_number = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
    int status = signal_number != 0 ? RUN_E_SIGNAL + signal_number : WEXITSTATUS(wait_status);
    m->pid = 0;
    job->nlive--;
    if (m->control >= 0) {
        close(m->control);
        m->control = -1;
    }
    if (status == 0 || job->phase != RUNNING) {
        return;
    }
    if (m->rank < 0) {
        say_agent_end(m, status);
    } else if (signal_number != 0) {
        run_say("rank %d on %s was killed by signal %d (%s); ending the others", m->rank,
                m->host->name, signal_number, strsignal(signal_number));
    } else {
        run_say("rank %d on %s ended with status %d; ending the others", m->rank, m->host->name,
                status);
    }
    end_job(job, SIGTERM, status);
}

static void reap(struct job *job)
{
    int wait_status;
    pid_t pid;
    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
        for (int i = 0; i < job->nmembers; i++) {
            if (job->members[i].pid == pid) {
                note_end(job, &job->members[i], wait_status);
            }
        }
    }
}

/* Somebody wants the job to end: the user, or the whorl-run that started this agent. */
static void note_wish(struct job *job, int signal_number)
{
    if (signal_number == SIGKILL || job->phase == ENDING) {
        end_job(job, SIGTERM, RUN_E_SIGNAL + signal_number);
        kill_here(job);
    } else {
        end_job(job, signal_number, RUN_E_SIGNAL + signal_number);
    }
}

static void read_signals(struct job *job)
{
    struct signalfd_siginfo info;
    while (read(job->signals, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGCHLD) {
            reap(job);
            continue;
        }
        if (job->phase == RUNNING) {
            run_say("got %s; ending the job", strsignal((int)info.ssi_signo));
        }
        note_wish(job, (int)info.ssi_signo);
    }
}

static void read_orders(struct job *job)
{
    unsigned char byte;
    ssize_t n = read(job->orders, &byte, 1);
    if (n == 1 && byte > 0 && byte < 32) {
        note_wish(job, byte);
    } else if (n >= 0 || errno != EINTR) {
        job->orders = -1; /* the other side is gone */
        note_wish(job, SIGTERM);
    }
}

/* How long poll() may sleep; -1: until something happens. */
static int sleep_ms(const struct job *job)
{
    uint64_t next = job->phase == RUNNING ? job->timeout_ns : job->next_ns, now = now_ns();
    if (next == 0) {
        return -1;
    }
    uint64_t ms = next <= now ? 0 : (next - now + MS_NS - 1) / MS_NS;
    return ms > 3600000 ? 3600000 : (int)ms;
}

/* Waits for something to happen, at most timeout_ms, and does what it asks for. Returns how many
 * descriptors had something. */
static int do_events(struct job *job, struct pollfd *fds, int timeout_ms)
{
    fds[0] = (struct pollfd){.fd = job->signals, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = job->orders, .events = POLLIN};
    for (int i = 0; i < job->ntags; i++) {
        fds[2 + i] = (struct pollfd){.fd = job->tags[i].fd, .events = POLLIN};
    }
    int n = poll(fds, (nfds_t)job->ntags + 2, timeout_ms);
    if (n <= 0) {
        return 0;
    }
    for (int i = 0; i < job->ntags; i++) {
        if (fds[2 + i].fd >= 0 && fds[2 + i].revents != 0) {
            run_tag_read(&job->tags[i]);
        }
    }
    if (fds[1].fd >= 0 && fds[1].revents != 0) {
        read_orders(job);
    }
    if (fds[0].revents != 0) {
        read_signals(job);
    }
    return n;
}

static bool has_open_tags(const struct job *job)
{
    for (int i = 0; i < job->ntags; i++) {
        if (job->tags[i].fd >= 0) {
            return true;
        }
    }
    return false;
}

static void supervise(struct job *job)
{
    struct pollfd *fds = run_alloc(((size_t)job->ntags + 2) * sizeof(*fds));
    while (job->nlive > 0) {
        do_events(job, fds, sleep_ms(job));
        note_time(job);
    }
    /* What ranks have left behind, and the warden. */
    if (job->group > 0) {
        kill(-job->group, SIGKILL);
    }
    while (has_open_tags(job) && do_events(job, fds, DRAIN_MS) > 0) {
    }
    free(fds);
}

/* ---- starting -------------------------------------------------------------------------------- */

static void add_member(struct job *job, struct member member)
{
    job->members[job->nmembers++] = member;
    job->nlive++;
}

static bool start_ranks(struct job *job, const struct run_host *host)
{
    if (job->group == 0) {
        job->group = run_local_warden(&job->lifeline);
    }
    for (int i = 0; i < host->nranks && job->group > 0; i++) {
        struct run_rank rank = {
            .args = job->args,
            .rank = host->first_rank + i,
            .local_rank = i,
            .group = job->group,
            .tags = job->tags != NULL ? &job->tags[job->ntags] : NULL,
        };
        pid_t pid = run_local_start(&rank);
        if (pid < 0) {
            end_job(job, SIGTERM, -pid);
            return false;
        }
        job->ntags += rank.tags != NULL ? 2 : 0;
        add_member(job, (struct member){pid, rank.rank, host, -1});
    }
    return job->group > 0;
}

static void start_all(struct job *job)
{
    for (int i = 0; i < job->args->nhosts && job->phase == RUNNING; i++) {
        const struct run_host *host = &job->args->hosts[i];
        if (host->nranks == 0) {
            continue;
        }
        if (host->is_here) {
            if (!start_ranks(job, host)) {
                end_job(job, SIGTERM, 1);
            }
            continue;
        }
        int control;
        pid_t pid = run_remote_start(job->args, host, &control);
        if (pid < 0) {
            end_job(job, SIGTERM, 1);
        } else {
            add_member(job, (struct member){pid, -1, host, control});
        }
    }
}

/* A fresh secret, unless the user or an agent's order has one; where the ranks meet. What an outer
 * whorl-run has set is that job's. */
static bool prepare_env(struct run_args *args)
{
    bool is_inside = getenv("WHORL_RANK") != NULL;
    if (run_env_get(&args->env, "WHORL_SECRET") == NULL &&
        (is_inside || getenv("WHORL_SECRET") == NULL)) {
        unsigned char bytes[SECRET_NBYTES];
        char text[2 * SECRET_NBYTES + 1];
        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
            run_say("getrandom: %s", strerror(errno));
            return false;
        }
        for (size_t i = 0; i < sizeof(bytes); i++) {
            snprintf(text + 2 * i, 3, "%02x", bytes[i]);
        }
        run_env_set(&args->env, "WHORL_SECRET", text);
        explicit_bzero(bytes, sizeof(bytes));
        explicit_bzero(text, sizeof(text));
    }
    if (run_env_get(&args->env, "WHORL_ROOT") == NULL &&
        (is_inside || getenv("WHORL_ROOT") == NULL)) {
        char *root = run_hosts_root(args);
        run_env_set(&args->env, "WHORL_ROOT", root);
        free(root);
    }
    return true;
}

/* The signals that the loop reads. -1: said. */
static int open_signals(void)
{
    static const int numbers[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        sigaddset(&set, numbers[i]);
    }
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        run_say("signalfd: %s", strerror(errno));
    }
    return fd;
}

static int run_job(struct run_args *args)
{
    struct job job = {.args = args, .orders = args->is_agent ? STDIN_FILENO : -1};
    job.signals = open_signals();
    if (job.signals < 0) {
        return 1;
    }
    if (args->timeout_ms > 0) {
        job.timeout_ns = now_ns() + args->timeout_ms * MS_NS;
    }
    job.members = run_alloc((size_t)args->nranks * sizeof(*job.members));
    if (args->is_tagged) {
        job.tags = run_alloc(2 * (size_t)args->nranks * sizeof(*job.tags));
    }
    start_all(&job);
    supervise(&job);
    free(job.members);
    free(job.tags);
    return job.status;
}

int main(int argc, char **argv)
{
    struct run_args args;
    int status = run_args_parse(argc, argv, &args);
    if (status < 0 && args.is_agent) {
        status = run_remote_read(STDIN_FILENO, &args) ? -1 : 1;
        if (status < 0 && chdir(args.folder) != 0) {
            run_say("host %s: cannot go to %s: %s", args.hosts[0].name, args.folder,
                    strerror(errno));
            status = 1;
        }
    } else if (status < 0 && !prepare_env(&args)) {
        status = 1;
    }
    if (status < 0) {
        status = run_job(&args);
    }
    run_args_fini(&args);
    return status;
}
