/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long n ranks on this machine take to join one job, and how many descriptors that needs.
 *
 *     join_scale [-t] [-r REPEATS] RANKS...      processes; -t: threads of one process
 *
 * A row for each number of ranks: the time from when all may begin until the last one has joined,
 * the median of the repeats; the descriptors that a rank keeps for the job, the most of all ranks.
 * Of processes also the most that the process of the root had at a time (it has no rank there), and
 * the processor time that a rank takes to join, and the root for each rank: on a machine with many
 * more ranks than cores the ranks wait for these, on a cluster only for the root's.
 */
#include "base/clock.h"
#include "base/log.h"
#include "bootstrap/boot.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOIN_MS = 120 * 1000, REPEATS_MAX = 101, STACK_NBYTES = 256 * 1024, SAMPLE_MS = 1 };

struct outcome {
    double seconds;
    uint32_t nfds_rank, nfds_root;
    double rank_us, root_us; /* processor time, for each rank */
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint32_t count_fds(void)
{
    uint32_t nfds = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        die("/proc/self/fd");
    }
    while (readdir(dir) != NULL) {
        nfds++;
    }
    closedir(dir);
    return nfds - 3; /* ".", ".." and that of the folder */
}

static struct wh_boot *join(const whorl_id_t *id, uint32_t nranks, uint32_t rank)
{
    const struct wh_boot_join_args args = {
        .id = id, .nranks = nranks, .rank = rank, .timeout_ms = JOIN_MS};
    struct wh_boot *boot;
    if (wh_boot_join(&args, &boot) != WHORL_OK) {
        fprintf(stderr, "rank %u: %s\n", rank, wh_error_get());
        exit(1);
    }
    return boot;
}

/* ---- processes ------------------------------------------------------------------------------ */

/* What a process tells when it has joined. */
struct joined {
    uint64_t at_ns;
    uint32_t nfds;
    double us; /* of its processor time */
};

/* Processor time of the process, or of the calling thread, in microseconds. */
static double spent_us(int who)
{
    struct rusage usage;
    if (getrusage(who, &usage) != 0) {
        die("getrusage");
    }
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void be_rank(const whorl_id_t *id, uint32_t nranks, uint32_t rank, const int gate[2],
                    int report)
{
    char byte;
    close(gate[1]);
    (void)!read(gate[0], &byte, 1);
    close(gate[0]);
    uint32_t before = count_fds();
    double begin_us = spent_us(RUSAGE_SELF);
    struct wh_boot *boot = join(id, nranks, rank);
    struct joined joined = {.at_ns = wh_now_ns()};
    joined.us = spent_us(RUSAGE_SELF) - begin_us;
    joined.nfds = count_fds() - before;
    if (wh_boot_barrier(boot, wh_deadline_after_ms(JOIN_MS)) != WHORL_OK ||
        write(report, &joined, sizeof(joined)) != (ssize_t)sizeof(joined)) {
        _exit(1);
    }
    wh_boot_leave(boot);
    _exit(0);
}

static struct outcome run_processes(uint32_t nranks)
{
    int gate[2], report[2];
    if (pipe(gate) != 0 || pipe(report) != 0) {
        die("pipe");
    }
    whorl_id_t id;
    if (wh_boot_id_create(&id) != WHORL_OK) {
        exit(1);
    }
    for (uint32_t rank = 0; rank < nranks; rank++) {
        pid_t pid = fork();
        if (pid < 0) {
            die("fork");
        }
        if (pid == 0) {
            close(report[0]);
            be_rank(&id, nranks, rank, gate, report[1]);
        }
    }
    close(gate[0]);
    close(report[1]);

    struct outcome outcome = {.nfds_root = 0};
    uint32_t before = count_fds();
    uint64_t begin_ns = wh_now_ns(), last_ns = begin_ns;
    double root_us = spent_us(RUSAGE_SELF) - spent_us(RUSAGE_THREAD), ranks_us = 0;
    close(gate[1]);
    for (uint32_t n = 0; n < nranks;) {
        struct pollfd pfd = {.fd = report[0], .events = POLLIN};
        struct joined joined;
        uint32_t nfds = count_fds() - before + 2; /* the listener, and the gate that is closed */
        outcome.nfds_root = nfds > outcome.nfds_root ? nfds : outcome.nfds_root;
        if (poll(&pfd, 1, SAMPLE_MS) <= 0) {
            continue;
        }
        if (read(report[0], &joined, sizeof(joined)) != (ssize_t)sizeof(joined)) {
            fprintf(stderr, "a rank has ended\n");
            exit(1);
        }
        last_ns = joined.at_ns > last_ns ? joined.at_ns : last_ns;
        ranks_us += joined.us;
        outcome.nfds_rank = joined.nfds > outcome.nfds_rank ? joined.nfds : outcome.nfds_rank;
        n++;
    }
    close(report[0]);
    while (wait(NULL) > 0) {
    }
    root_us = spent_us(RUSAGE_SELF) - spent_us(RUSAGE_THREAD) - root_us;
    outcome.root_us = root_us / nranks;
    outcome.rank_us = ranks_us / nranks;
    outcome.seconds = (double)(last_ns - begin_ns) / 1e9;
    return outcome;
}

/* ---- threads -------------------------------------------------------------------------------- */

struct member {
    const whorl_id_t *id;
    uint32_t nranks, rank;
    pthread_barrier_t *begin, *joined;
    pthread_t thread;
};

static void *run_member(void *arg)
{
    struct member *member = arg;
    pthread_barrier_wait(member->begin);
    struct wh_boot *boot = join(member->id, member->nranks, member->rank);
    pthread_barrier_wait(member->joined);
    pthread_barrier_wait(member->joined);
    wh_boot_leave(boot);
    return NULL;
}

static struct outcome run_threads(uint32_t nranks)
{
    whorl_id_t id;
    struct member *members = calloc(nranks, sizeof(*members));
    pthread_barrier_t begin, joined;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_NBYTES);
    pthread_barrier_init(&begin, NULL, nranks + 1);
    pthread_barrier_init(&joined, NULL, nranks + 1);
    if (members == NULL || wh_boot_id_create(&id) != WHORL_OK) {
        exit(1);
    }
    uint32_t before = count_fds() - 1; /* the root's listener will be gone */
    for (uint32_t rank = 0; rank < nranks; rank++) {
        members[rank] = (struct member){&id, nranks, rank, &begin, &joined, 0};
        if (pthread_create(&members[rank].thread, &attr, run_member, &members[rank]) != 0) {
            die("pthread_create");
        }
    }
    pthread_barrier_wait(&begin);
    uint64_t begin_ns = wh_now_ns();
    pthread_barrier_wait(&joined);
    struct outcome outcome = {.seconds = (double)(wh_now_ns() - begin_ns) / 1e9};
    outcome.nfds_rank = (count_fds() - before + nranks - 1) / nranks;
    pthread_barrier_wait(&joined);
    for (uint32_t rank = 0; rank < nranks; rank++) {
        pthread_join(members[rank].thread, NULL);
    }
    free(members);
    return outcome;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static int by_seconds(const void *a, const void *b)
{
    double x = ((const struct outcome *)a)->seconds, y = ((const struct outcome *)b)->seconds;
    return (x > y) - (x < y);
}

static void print_row(uint32_t nranks, bool threads, uint32_t nrepeats)
{
    struct outcome outcomes[REPEATS_MAX];
    for (uint32_t i = 0; i < nrepeats; i++) {
        outcomes[i] = threads ? run_threads(nranks) : run_processes(nranks);
    }
    qsort(outcomes, nrepeats, sizeof(outcomes[0]), by_seconds);
    const struct outcome *median = &outcomes[nrepeats / 2];
    printf("%8u  %-9s  %8.3f  %9u", nranks, threads ? "threads" : "processes", median->seconds,
           median->nfds_rank);
    if (!threads) {
        printf("  %9u  %9.0f  %9.0f", median->nfds_root, median->rank_us, median->root_us);
    }
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    bool threads = false;
    uint32_t nrepeats = 3;
    int option;
    while ((option = getopt(argc, argv, "tr:")) != -1) {
        if (option == 't') {
            threads = true;
        } else if (option == 'r' && atoi(optarg) > 0 && atoi(optarg) <= REPEATS_MAX) {
            nrepeats = (uint32_t)atoi(optarg);
        } else {
            fprintf(stderr, "usage: join_scale [-t] [-r REPEATS] RANKS...\n");
            return 1;
        }
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    printf("%8s  %-9s  %8s  %9s  %9s  %9s  %9s\n", "ranks", "as", "seconds", "fds/rank",
           "fds, root", "us, rank", "us, root");
    for (int i = optind; i < argc; i++) {
        int nranks = atoi(argv[i]);
        if (nranks < 1) {
            fprintf(stderr, "%s is no number of ranks\n", argv[i]);
            return 1;
        }
        print_row((uint32_t)nranks, threads, nrepeats);
    }
    return 0;
}
