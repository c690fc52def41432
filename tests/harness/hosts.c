/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/hosts.h"

#include <assert.h>
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COMMAND_NBYTES = 512, SKIP_STATUS = 77 };

/* Names are this, the process id of the test, and a number. */
#define NAME_START "whorl-t"

const char *hosts_script(void)
{
    static char path[256];
    const char *other = getenv("WHORL_TESTS_HOSTS");
    if (path[0] == '\0' && other != NULL) {
        snprintf(path, sizeof(path), "%s", other);
    } else if (path[0] == '\0') {
        const char *file = __FILE__;
        const char *last = strrchr(file, '/');
        int folder = last != NULL ? (int)(last - file) : 0;
        snprintf(path, sizeof(path), "%.*s/../../tools/hosts.sh", folder, file);
    }
    return path;
}

/* What a shell command prints at most text_nbytes - 1 bytes of, without the last newline; its exit
 * status, or -1. */
static int shell(const char *command, char *text, size_t text_nbytes)
{
    FILE *out = popen(command, "re");
    if (out == NULL) {
        return -1;
    }
    size_t n = fread(text, 1, text_nbytes - 1, out);
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    int status = pclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

const char *hosts_why_not(void)
{
    static char text[256];
    static const char *reason;
    static bool asked;
    if (!asked) {
        char command[COMMAND_NBYTES];
        asked = true;
        if (access(hosts_script(), X_OK) != 0) {
            snprintf(text, sizeof(text), "%s is not there", hosts_script());
            reason = text;
            return reason;
        }
        snprintf(command, sizeof(command), "%s check 2>&1", hosts_script());
        if (shell(command, text, sizeof(text)) != 0) {
            reason = text[0] != '\0' ? text : "tools/hosts.sh check failed";
        }
    }
    return reason;
}

/* ---- life ----------------------------------------------------------------------------------- */

/* A process that outlives the test by as long as it takes to remove its hosts. */
static _Noreturn void keep(const char *name, int fd)
{
    char byte;
    prctl(PR_SET_NAME, "hosts-keeper");
    setsid(); /* a Ctrl-C is for the test; what it leaves is for this process */
    while (read(fd, &byte, 1) < 0 && errno == EINTR) {
        continue;
    }
    execl(hosts_script(), hosts_script(), "down", name, (char *)NULL);
    _exit(1);
}

static void start_keeper(struct hosts *hosts)
{
    int fds[2];
    cr_assert(pipe2(fds, O_CLOEXEC) == 0, "pipe2: %s", strerror(errno));
    hosts->keeper = fork();
    cr_assert(hosts->keeper >= 0, "fork: %s", strerror(errno));
    if (hosts->keeper == 0) {
        close(fds[1]);
        keep(hosts->name, fds[0]);
    }
    close(fds[0]);
    hosts->keeper_fd = fds[1];
}

/* Removes the hosts of tests that are no more. */
static void remove_stale(void)
{
    DIR *dir = opendir("/run/netns");
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        int pid = 0, serial = 0;
        char command[COMMAND_NBYTES], text[64];
        if (sscanf(entry->d_name, NAME_START "%d-%d-", &pid, &serial) == 2 && pid > 0 &&
            kill(pid, 0) != 0 && errno == ESRCH) {
            snprintf(command, sizeof(command), "%s down " NAME_START "%d-%d 2>&1", hosts_script(),
                     pid, serial);
            shell(command, text, sizeof(text));
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

/* which is what follows in the arguments of the script: the family, and the number of the rail. */
static void ask_address(const struct hosts *hosts, int i, const char *which, char *addr)
{
    char command[COMMAND_NBYTES];
    snprintf(command, sizeof(command), "%s addr %s %d %s", hosts_script(), hosts->name, i, which);
    int status = shell(command, addr, HOSTS_ADDR_NBYTES);
    cr_assert(status == 0, "%s gave %d", command, status);
}

struct hosts *hosts_create(int n, const char *rate)
{
    static int nmade;
    cr_assert(n > 0 && n <= HOSTS_MAX);
    if (hosts_why_not() != NULL) {
        cr_skip("%s", hosts_why_not());
    }
    remove_stale();
    struct hosts *hosts = calloc(1, sizeof(*hosts));
    cr_assert_not_null(hosts);
    hosts->n = n;
    snprintf(hosts->name, sizeof(hosts->name), NAME_START "%d-%d", (int)getpid(), nmade++);
    start_keeper(hosts);
    char more[64], text[256], command[COMMAND_NBYTES];
    snprintf(more, sizeof(more), "%d %s", n, rate != NULL ? rate : "");
    snprintf(command, sizeof(command), "%s up %s %s 2>&1", hosts_script(), hosts->name, more);
    int status = shell(command, text, sizeof(text));
    cr_assert(status == 0, "%s gave %d: %s", command, status, text);
    for (int i = 0; i < n; i++) {
        ask_address(hosts, i, "4", hosts->addrs[i]);
        ask_address(hosts, i, "6", hosts->addrs6[i]);
    }
    return hosts;
}

void hosts_destroy(struct hosts *hosts)
{
    if (hosts == NULL) {
        return;
    }
    int status = 0;
    close(hosts->keeper_fd);
    waitpid(hosts->keeper, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s was not removed: %d", hosts->name,
              status);
    free(hosts);
}

/* ---- use ------------------------------------------------------------------------------------ */

bool hosts_enter(const struct hosts *hosts, int i)
{
    char path[128];
    snprintf(path, sizeof(path), "/run/netns/%s-%d", hosts->name, i);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool is_in = setns(fd, CLONE_NEWNET) == 0;
    int err = errno;
    close(fd);
    errno = err;
    return is_in;
}

static bool run_quietly(const char *command)
{
    char text[256];
    int status = shell(command, text, sizeof(text));
    if (status != 0) {
        fprintf(stderr, "%s: status %d: %s\n", command, status, text);
    }
    return status == 0;
}

void hosts_add_rail(struct hosts *hosts)
{
    char command[COMMAND_NBYTES];
    snprintf(command, sizeof(command), "%s rail %s 2>&1", hosts_script(), hosts->name);
    cr_assert(run_quietly(command), "no rail");
    for (int i = 0; i < hosts->n; i++) {
        ask_address(hosts, i, "4 1", hosts->rail_addrs[i]);
    }
}

bool hosts_ip(const struct hosts *hosts, int i, const char *format, ...)
{
    char command[COMMAND_NBYTES];
    int used = snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin; ip -n %s-%d ",
                        hosts->name, i);
    va_list args;
    va_start(args, format);
    used += vsnprintf(command + used, sizeof(command) - (size_t)used, format, args);
    va_end(args);
    snprintf(command + used, sizeof(command) - (size_t)used, " 2>&1");
    return run_quietly(command);
}

bool hosts_link(const struct hosts *hosts, int i, int rail, const char *state)
{
    char command[COMMAND_NBYTES];
    snprintf(command, sizeof(command), "%s link %s %d %s %d 2>&1", hosts_script(), hosts->name, i,
             state, rail);
    return run_quietly(command);
}

/* A column of /proc/net/dev: 0 is bytes received, 8 bytes sent. */
static int64_t read_counter(const char *ifname, int column)
{
    FILE *file = fopen("/proc/thread-self/net/dev", "re");
    char line[512];
    int64_t value = -1;
    size_t len = strlen(ifname);
    while (file != NULL && value < 0 && fgets(line, sizeof(line), file) != NULL) {
        char *at = line + strspn(line, " ");
        if (strncmp(at, ifname, len) != 0 || at[len] != ':') {
            continue;
        }
        at += len + 1;
        for (int i = 0; i <= column; i++) {
            value = strtoll(at, &at, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return value;
}

int64_t hosts_bytes_sent(const char *ifname)
{
    return read_counter(ifname, 8);
}

int64_t hosts_bytes_received(const char *ifname)
{
    return read_counter(ifname, 0);
}

/* ---- jobs ----------------------------------------------------------------------------------- */

static int count_processes(const struct hosts_job *job)
{
    int n = 0;
    for (int i = 0; i < job->hosts->n; i++) {
        n += job->nprocesses[i];
    }
    return n;
}

int hosts_of_process(const struct hosts_job *job, int p)
{
    assert(p >= 0 && p < count_processes(job));
    for (int round = 0;; round++) {
        for (int i = 0; i < job->hosts->n; i++) {
            int n = job->round_robin ? job->nprocesses[i] > round : job->nprocesses[i];
            if (p < n) {
                return i;
            }
            p -= n;
        }
    }
}

/* The job that hosts_run() made begins with a ranks_job, to which ranks point. */
static const struct hosts_job *job_of(const struct rank *rank)
{
    return (const struct hosts_job *)rank->job;
}

int hosts_of_rank(const struct rank *rank, int other)
{
    int nthreads = rank->job->nthreads > 0 ? rank->job->nthreads : 1;
    return hosts_of_process(job_of(rank), other / nthreads);
}

const struct hosts *hosts_of_job(const struct rank *rank)
{
    return job_of(rank)->hosts;
}

/* Before anything of the library runs in a process: the network of its host, and its name. */
static void enter_host(struct rank *rank)
{
    const struct hosts *hosts = hosts_of_job(rank);
    int i = hosts_of_rank(rank, rank->rank);
    char name[HOSTS_NAME_NBYTES + 16];
    close(hosts->keeper_fd); /* the keeper waits until nobody has this any more */
    RANK_CHECK(rank, hosts_enter(hosts, i), "cannot enter host %d: %s", i, strerror(errno));
    snprintf(name, sizeof(name), "%s-%d", hosts->name, i);
    RANK_CHECK(rank, unshare(CLONE_NEWUTS) == 0 && sethostname(name, strlen(name)) == 0,
               "cannot be called %s: %s", name, strerror(errno));
}

void hosts_run(const struct hosts_job *job)
{
    struct hosts_job copy = *job;
    copy.job.nprocesses = count_processes(job);
    copy.job.enter = enter_host;
    ranks_run(&copy.job);
}

/* ---- skipping ------------------------------------------------------------------------------- */

/* A program all of whose tests were skipped is a skipped one to who runs it. */
ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    if (stats->nb_tests > 0 && stats->tests_skipped == stats->nb_tests && hosts_why_not() != NULL) {
        printf("SKIP: %s\n", hosts_why_not());
        fflush(NULL);
        _exit(SKIP_STATUS);
    }
}
