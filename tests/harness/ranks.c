/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/ranks.h"

#include <assert.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* In the leak checker of AddressSanitizer builds, absent elsewhere. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

enum id_state { ID_NONE, ID_READY };

struct rank_report {
    _Atomic bool done;
    _Atomic bool failed;
    char where[256];
    char text[RANKS_TEXT_NBYTES];
};

/* What the processes of a job share. */
struct ranks_shared {
    _Atomic int id_state;
    whorl_id_t id;
    _Atomic int failed; /* some rank has failed: nobody should wait for it */
    _Atomic int nmet;
    _Atomic int64_t cells[RANKS_CELLS];
    struct rank_report reports[RANKS_MAX];
};

static struct rank_report *report_of(struct rank *rank)
{
    return &rank->shared->reports[rank->rank];
}

static _Noreturn void rank_vfail(struct rank *rank, const char *file, int line, const char *format,
                                 va_list args)
{
    struct rank_report *report = report_of(rank);
    const char *name = strrchr(file, '/');
    int used = snprintf(report->text, sizeof(report->text),
                        "%s:%d: ", name != NULL ? name + 1 : file, line);
    vsnprintf(report->text + used, sizeof(report->text) - (size_t)used, format, args);
    atomic_store(&report->failed, true);
    atomic_store(&rank->shared->failed, 1);
    _exit(1);
}

_Noreturn void rank_fail(struct rank *rank, const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    rank_vfail(rank, file, line, format, args);
}

void rank_expect(struct rank *rank, const char *file, int line, const char *call,
                 whorl_result_t got, whorl_result_t want)
{
    if (got != want) {
        rank_fail(rank, file, line, "%s gave %d (%s), not %d (%s); %s: %s", call, got,
                  whorl_result_str(got), want, whorl_result_str(want), report_of(rank)->where,
                  got < 0 ? whorl_last_error(NULL) : "");
    }
}

void rank_expect_text(struct rank *rank, const char *file, int line, const char *text,
                      const char *part)
{
    if (strstr(text, part) == NULL) {
        rank_fail(rank, file, line, "\"%s\" is not in \"%s\"; %s", part, text,
                  report_of(rank)->where);
    }
}

void rank_at(struct rank *rank, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(report_of(rank)->where, sizeof(report_of(rank)->where), format, args);
    va_end(args);
}

void rank_nap(void)
{
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

int64_t rank_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits outside of the library end when another rank has failed: that one has the story. */
static void give_up_after_others(struct rank *rank)
{
    if (atomic_load(&rank->shared->failed)) {
        atomic_store(&report_of(rank)->done, true);
        _exit(0);
    }
    rank_nap();
}

whorl_id_t rank_job_id(struct rank *rank)
{
    struct ranks_shared *shared = rank->shared;
    if (rank->rank == 0 && atomic_load(&shared->id_state) == ID_NONE) {
        RANK_OK(rank, whorl_id_create(&shared->id));
        atomic_store(&shared->id_state, ID_READY);
    }
    while (atomic_load(&shared->id_state) != ID_READY) {
        give_up_after_others(rank);
    }
    return shared->id;
}

void rank_create_comm(struct rank *rank)
{
    whorl_id_t id = rank_job_id(rank);
    whorl_options_t options = rank->job->options;
    options.struct_nbytes = sizeof(options);
    rank_at(rank, "creates its communicator");
    RANK_OK(rank, whorl_comm_create(rank->nranks, rank->rank, &id, &options, &rank->comm));
}

void rank_meet(struct rank *rank)
{
    struct ranks_shared *shared = rank->shared;
    int ticket = atomic_fetch_add(&shared->nmet, 1);
    int full = (ticket / rank->nranks + 1) * rank->nranks;
    while (atomic_load(&shared->nmet) < full) {
        give_up_after_others(rank);
    }
}

_Atomic int64_t *rank_cell(struct rank *rank, int index)
{
    assert(index >= 0 && index < RANKS_CELLS);
    return &rank->shared->cells[index];
}

void rank_wait_cell(struct rank *rank, int index, int64_t value)
{
    while (atomic_load(rank_cell(rank, index)) < value) {
        give_up_after_others(rank);
    }
}

whorl_result_t rank_await_failure(struct rank *rank)
{
    whorl_result_t error = WHORL_OK;
    while (error == WHORL_OK) {
        give_up_after_others(rank);
        RANK_OK(rank, whorl_comm_async_error(rank->comm, &error));
    }
    return error;
}

static void *rank_main(void *arg)
{
    struct rank *rank = arg;
    if (!rank->job->no_comm) {
        rank_create_comm(rank);
        /* What breaks a communicator early also ends the creation of those who still create it. */
        rank_at(rank, "waits until all have created theirs");
        rank_meet(rank);
    }
    rank_at(rank, "runs the test");
    rank->job->run(rank);
    char before[128];
    snprintf(before, sizeof(before), "%s", report_of(rank)->where);
    rank_at(rank, "destroys its communicator, after: %s", before);
    RANK_OK(rank, whorl_comm_destroy(rank->comm));
    rank_at(rank, "waits for the other ranks of its process");
    return NULL;
}

static void set_environment(const char *const *env)
{
    setenv("WHORL_CONF_FILE", "/dev/null", 0); /* the user's settings are not the test's */
    for (; env != NULL && *env != NULL; env++) {
        char text[512];
        snprintf(text, sizeof(text), "%s", *env);
        char *value = strchr(text, '=');
        assert(value != NULL);
        *value++ = '\0';
        setenv(text, value, 1);
    }
}

/* glibc gives the stacks of threads that a fork left behind to new threads, which then have the ids
 * of threads that ThreadSanitizer takes to be alive. Stacks of another size are new ones. */
static void use_new_stacks(void)
{
#ifdef __SANITIZE_THREAD__
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, (size_t)32 << 20);
    pthread_setattr_default_np(&attr);
    pthread_attr_destroy(&attr);
#endif
}

static _Noreturn void process_main(const struct ranks_job *job, struct rank *ranks, int nthreads)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    use_new_stacks();
    set_environment(job->env);
    if (job->enter != NULL) {
        job->enter(&ranks[0]);
    }
    pthread_t threads[RANKS_MAX];
    for (int i = 1; i < nthreads; i++) {
        int err = pthread_create(&threads[i], NULL, rank_main, &ranks[i]);
        RANK_CHECK(&ranks[i], err == 0, "pthread_create: %s", strerror(err));
    }
    rank_main(&ranks[0]);
    for (int i = 1; i < nthreads; i++) {
        pthread_join(threads[i], NULL);
    }
    RANK_CHECK(&ranks[0],
               __lsan_do_recoverable_leak_check == NULL || __lsan_do_recoverable_leak_check() == 0,
               "memory leaked, see the output");
    for (int i = 0; i < nthreads; i++) {
        atomic_store(&report_of(&ranks[i])->done, true);
    }
    _exit(0);
}

struct running_job {
    const struct ranks_job *job;
    int nprocesses, nthreads, nranks;
    struct ranks_shared *shared;
    struct rank ranks[RANKS_MAX];
    pid_t pids[RANKS_MAX];
    int statuses[RANKS_MAX];
    bool late[RANKS_MAX];
};

static void start_job(struct running_job *run)
{
    fflush(NULL);
    for (int r = 0; r < run->nranks; r++) {
        run->ranks[r] = (struct rank){
            .rank = r,
            .nranks = run->nranks,
            .process = r / run->nthreads,
            .thread = r % run->nthreads,
            .arg = run->job->arg,
            .job = run->job,
            .shared = run->shared,
        };
        snprintf(run->shared->reports[r].where, sizeof(run->shared->reports[r].where), "starts");
    }
    for (int p = 0; p < run->nprocesses; p++) {
        pid_t pid = fork();
        if (pid == 0) {
            process_main(run->job, &run->ranks[p * run->nthreads], run->nthreads);
        }
        cr_assert(pid > 0, "fork: %s", strerror(errno));
        run->pids[p] = pid;
    }
}

static bool may_die(const struct running_job *run, int process)
{
    return process < 64 && (run->job->may_die >> process & 1) != 0;
}

/* Looks at one process; true if it has ended. */
static bool process_ended(struct running_job *run, int p)
{
    pid_t ended = waitpid(run->pids[p], &run->statuses[p], WNOHANG);
    cr_assert(ended >= 0 || errno == EINTR, "waitpid: %s", strerror(errno));
    if (ended > 0 && run->statuses[p] != 0 && !may_die(run, p)) {
        atomic_store(&run->shared->failed, 1);
    }
    return ended > 0;
}

static void await_job(struct running_job *run)
{
    const char *limit = getenv("WHORL_TESTS_LIMIT_S");
    int limit_s = limit != NULL ? atoi(limit) : RANKS_LIMIT_S;
    int64_t limit_ms = rank_now_ms() + 1000 * (int64_t)limit_s * (1 + 2 * RANKS_SLOW_BUILD);
    bool ended[RANKS_MAX] = {false};
    int nleft = run->nprocesses;
    while (nleft > 0 && rank_now_ms() < limit_ms) {
        rank_nap();
        for (int p = 0; p < run->nprocesses; p++) {
            if (!ended[p] && process_ended(run, p)) {
                ended[p] = true;
                nleft--;
            }
        }
    }
    for (int p = 0; p < run->nprocesses; p++) {
        run->late[p] = !ended[p];
        if (!ended[p]) {
            kill(run->pids[p], SIGKILL);
            waitpid(run->pids[p], &run->statuses[p], 0);
        }
    }
}

/* What became of a rank, as text; empty if all is well. */
static void describe_rank(const struct running_job *run, int r, char *text, size_t text_nbytes)
{
    const struct rank_report *report = &run->shared->reports[r];
    int p = r / run->nthreads;
    int status = run->statuses[p];
    if (atomic_load(&report->failed)) {
        snprintf(text, text_nbytes, "\n  rank %d: %s", r, report->text);
    } else if (run->late[p]) {
        snprintf(text, text_nbytes, "\n  rank %d did not end in time: it %s", r, report->where);
    } else if (WIFSIGNALED(status) && !may_die(run, p)) {
        snprintf(text, text_nbytes, "\n  rank %d died of signal %d (%s): it %s", r,
                 WTERMSIG(status), strsignal(WTERMSIG(status)), report->where);
    } else if (WIFEXITED(status) && !atomic_load(&report->done)) {
        snprintf(text, text_nbytes, "\n  rank %d ended with status %d before its end: it %s", r,
                 WEXITSTATUS(status), report->where);
    }
}

void ranks_run(const struct ranks_job *job)
{
    struct running_job *run = calloc(1, sizeof(*run));
    cr_assert_not_null(run);
    run->job = job;
    run->nprocesses = job->nprocesses > 0 ? job->nprocesses : 1;
    run->nthreads = job->nthreads > 0 ? job->nthreads : 1;
    run->nranks = run->nprocesses * run->nthreads;
    cr_assert(run->nranks <= RANKS_MAX, "%d ranks are too many", run->nranks);
    run->shared =
        mmap(NULL, sizeof(*run->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(run->shared != MAP_FAILED, "mmap: %s", strerror(errno));

    start_job(run);
    await_job(run);

    char story[16 * 1024] = "";
    size_t used = 0;
    for (int r = 0; r < run->nranks && used < sizeof(story); r++) {
        describe_rank(run, r, story + used, sizeof(story) - used);
        used = strlen(story);
    }
    munmap(run->shared, sizeof(*run->shared));
    int nprocesses = run->nprocesses, nthreads = run->nthreads;
    free(run);
    cr_assert(used == 0, "%d processes of %d threads:%s", nprocesses, nthreads, story);
}

/* ---- what /proc says ---- */

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return -1;
    }
    int n = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        n += entry->d_name[0] != '.';
    }
    closedir(dir);
    return n;
}

int rank_count_fds(void)
{
    return count_entries("/proc/self/fd") - 1; /* one is open for looking */
}

int rank_count_threads(void)
{
    return count_entries("/proc/self/task");
}

int rank_count_maps(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    int n = 0;
    for (int c = 0; file != NULL && (c = fgetc(file)) != EOF;) {
        n += c == '\n';
    }
    if (file != NULL) {
        fclose(file);
    }
    return n;
}

long rank_smaps_kib(const char *name)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    char line[256];
    long kib = -1;
    size_t len = strlen(name);
    while (file != NULL && kib < 0 && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, len) == 0 && line[len] == ':') {
            kib = strtol(line + len + 1, NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kib;
}

uint64_t ranks_seed(void)
{
    const char *text = getenv("WHORL_TESTS_SEED");
    return text != NULL ? strtoull(text, NULL, 0) : 20240607;
}

uint64_t ranks_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
