/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of an all_reduce on a stream hides behind computation: two forked ranks.
 *
 * compute    products of small matrices in the caller's thread, about as long as comm
 * comm       an all_reduce on a stream, and the wait for it
 * both       the all_reduce is queued, then the products are computed, then the wait
 * ratio      (compute + comm) / both: 1 is nothing gained, 2 the most for equal parts
 * hidden     (compute + comm - both) / the shorter of the two: the share of it that cost no time
 *
 * An all_reduce of host memory is work of a core, like the products. It hides where it waits, or
 * where a core is free for it; two ranks that compute and communicate at once want four cores. So
 * there are three cases:
 *
 * shared     threads run where the kernel puts them. With less than four cores the two kinds of
 *            work share cores, and no more than waits and cache misses can be gained.
 * own cores  every rank has a core for its products and another for its stream. Left out when
 *            there are less than four cores.
 * late peer  rank 1 computes before it makes its call, rank 0 after. One core per rank is busy:
 *            what rank 0 hides is the wait for rank 1. comm is rank 0's wait in a blocking call,
 *            so it has the products of rank 1 in it, and the ratio can be 1.5 when parts are equal.
 *
 * One sample of each kind is taken in turns; what is printed are medians, and the median of the
 * ratios sample by sample. A sample's time is that of the slower rank.
 */
#include "common/stats.h"
#include "common/timing.h"

#include <whorl/whorl.h>

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NRANKS = 2, SIDE = 48, NSIZES = 4, SAMPLES = 41, NWARM = 3 };

/* What one rank has. */
struct rank {
    int rank;
    whorl_comm_t comm;
    whorl_stream_t stream;
    float *data;
    size_t nelems;
    size_t nproducts; /* of one computation */
};

static float left[SIDE][SIDE], right[SIDE][SIDE], product[SIDE][SIDE];

static void check(whorl_result_t rc, const char *what)
{
    if (rc != WHORL_OK) {
        fprintf(stderr, "overlap: %s: %s\n", what, whorl_last_error(NULL));
        exit(1);
    }
}

static void compute(size_t nproducts)
{
    for (size_t n = 0; n < nproducts; n++) {
        for (int i = 0; i < SIDE; i++) {
            for (int k = 0; k < SIDE; k++) {
                for (int j = 0; j < SIDE; j++) {
                    product[i][j] += left[i][k] * right[k][j];
                }
            }
        }
        left[n % SIDE][0] = product[0][n % SIDE] * 1e-9f; /* so that no product is left out */
    }
}

static void start_comm(const struct rank *r, whorl_stream_t stream)
{
    check(whorl_all_reduce(r->data, r->data, r->nelems, WHORL_FLOAT32, WHORL_MAX, r->comm, stream),
          "all_reduce");
}

static void finish_comm(const struct rank *r)
{
    check(whorl_stream_synchronize(r->stream), "synchronize");
}

/* ---- what is timed ---- */

static void run_compute(const struct rank *r)
{
    compute(r->nproducts);
}

static void run_comm(const struct rank *r)
{
    start_comm(r, r->stream);
    finish_comm(r);
}

static void run_both(const struct rank *r)
{
    start_comm(r, r->stream);
    compute(r->nproducts);
    finish_comm(r);
}

/* Rank 0's wait in a blocking call for a peer that computes first. */
static void run_late_comm(const struct rank *r)
{
    if (r->rank == 1) {
        compute(r->nproducts);
    }
    start_comm(r, NULL);
}

static void run_late_both(const struct rank *r)
{
    if (r->rank == 1) {
        compute(r->nproducts);
        start_comm(r, NULL);
    } else {
        run_both(r);
    }
}

typedef void run_fn(const struct rank *r);

/* Nanoseconds of one run of the slower rank; the same on both. */
static double time_run(const struct rank *r, run_fn *run)
{
    check(whorl_barrier(r->comm, NULL), "barrier");
    uint64_t start = perf_now_ns();
    run(r);
    double mine = (double)(perf_now_ns() - start), all[NRANKS];
    check(whorl_all_gather(&mine, all, 1, WHORL_FLOAT64, r->comm, NULL), "all_gather");
    return all[0] > all[1] ? all[0] : all[1];
}

/* Chooses how many products take as long as the all_reduce; the same on both ranks. */
static void balance(struct rank *r)
{
    double comm_ns[SAMPLES], product_ns[SAMPLES];
    struct perf_stats comm, one;
    r->nproducts = 8;
    for (int s = 0; s < SAMPLES; s++) {
        comm_ns[s] = time_run(r, run_comm);
        product_ns[s] = time_run(r, run_compute) / 8;
    }
    perf_stats_compute(comm_ns, SAMPLES, &comm);
    perf_stats_compute(product_ns, SAMPLES, &one);
    r->nproducts = (size_t)(comm.p50 / one.p50) + 1;
}

static void compare(struct rank *r, const char *name, run_fn *run_comm_alone, run_fn *run_together)
{
    double ns[3][SAMPLES], ratio[SAMPLES], hidden[SAMPLES];
    run_fn *runs[] = {run_compute, run_comm_alone, run_together};
    balance(r);
    for (int s = -NWARM; s < SAMPLES; s++) {
        double sample[3];
        for (int i = 0; i < 3; i++) {
            sample[i] = time_run(r, runs[i]);
            ns[i][s < 0 ? 0 : s] = sample[i];
        }
        double sum = sample[0] + sample[1];
        double shorter = sample[0] < sample[1] ? sample[0] : sample[1];
        ratio[s < 0 ? 0 : s] = sum / sample[2];
        hidden[s < 0 ? 0 : s] = 100 * (sum - sample[2]) / shorter;
    }
    struct perf_stats stats[5];
    for (int i = 0; i < 3; i++) {
        perf_stats_compute(ns[i], SAMPLES, &stats[i]);
    }
    perf_stats_compute(ratio, SAMPLES, &stats[3]);
    perf_stats_compute(hidden, SAMPLES, &stats[4]);
    if (r->rank == 0) {
        printf("%-10s %10zu %11.1f %11.1f %11.1f %8.2f %8.0f %%\n", name, r->nelems * sizeof(float),
               stats[0].p50 / 1e3, stats[1].p50 / 1e3, stats[2].p50 / 1e3, stats[3].p50,
               stats[4].p50);
        fflush(stdout);
    }
}

/* ---- cores ---- */

/* The nth core that this process may use. Returns how many there are. */
static int nth_cpu(int nth, cpu_set_t *one)
{
    cpu_set_t usable;
    int n = 0;
    CPU_ZERO(&usable);
    CPU_ZERO(one);
    sched_getaffinity(0, sizeof(usable), &usable);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &usable) && n++ == nth) {
            CPU_SET(cpu, one);
        }
    }
    return n;
}

/* Ties the calling thread to cores; in a stream's thread as a callback. */
static void move_to(whorl_result_t rc, void *ctx)
{
    (void)rc;
    pthread_setaffinity_np(pthread_self(), sizeof(cpu_set_t), ctx);
}

static void run_rank(struct rank *r, const size_t *sizes)
{
    cpu_set_t all, stream_cpu, compute_cpu;
    int ncpus = nth_cpu(NRANKS * r->rank, &compute_cpu);
    nth_cpu(NRANKS * r->rank + 1, &stream_cpu);
    CPU_ZERO(&all);
    sched_getaffinity(0, sizeof(all), &all);
    if (r->rank == 0) {
        double load = 0;
        bool has_load = getloadavg(&load, 1) == 1;
        printf("# %d ranks on %d cores; microseconds, medians of %d samples in turns\n", NRANKS,
               ncpus, SAMPLES);
        printf("# load average before: %.1f%s\n", has_load ? load : -1.0,
               has_load && load > 0.5 ? "; others use the cores too: expect lower ratios" : "");
        printf("%-10s %10s %11s %11s %11s %8s %10s\n", "# case", "bytes", "compute", "comm", "both",
               "ratio", "hidden");
    }
    for (int i = 0; i < NSIZES; i++) {
        r->nelems = sizes[i] / sizeof(float);
        compare(r, "shared", run_comm, run_both);
    }
    if (ncpus >= 2 * NRANKS) {
        check(whorl_stream_callback(r->stream, move_to, &stream_cpu), "callback");
        check(whorl_stream_synchronize(r->stream), "synchronize");
        move_to(WHORL_OK, &compute_cpu);
        for (int i = 0; i < NSIZES; i++) {
            r->nelems = sizes[i] / sizeof(float);
            compare(r, "own cores", run_comm, run_both);
        }
        move_to(WHORL_OK, &all);
        check(whorl_stream_callback(r->stream, move_to, &all), "callback");
        check(whorl_stream_synchronize(r->stream), "synchronize");
    } else if (r->rank == 0) {
        printf("# own cores: left out, %d cores are too few for 2 threads of each of %d ranks\n",
               ncpus, NRANKS);
    }
    for (int i = 0; i < NSIZES; i++) {
        r->nelems = sizes[i] / sizeof(float);
        compare(r, "late peer", run_late_comm, run_late_both);
    }
    if (r->rank == 0) {
        printf("# ratio 1: the stream gained nothing; below 1: threads got in each other's way\n"
               "# hidden: share of the shorter of compute and comm that took no time of its own\n");
    }
}

/* Makes the communicator: rank 0 hands the id to its child through a pipe. */
static int live(int place, int fds[2])
{
    static const size_t sizes[NSIZES] = {64 << 10, 1 << 20, 8 << 20, 32 << 20};
    whorl_id_t id;
    struct rank r = {.rank = place};
    if (place == 0) {
        check(whorl_id_create(&id), "id");
        if (write(fds[1], &id, sizeof(id)) != (ssize_t)sizeof(id)) {
            return 1;
        }
    } else if (read(fds[0], &id, sizeof(id)) != (ssize_t)sizeof(id)) {
        return 1;
    }
    check(whorl_comm_create(NRANKS, place, &id, NULL, &r.comm), "comm_create");
    check(whorl_stream_create(&r.stream), "stream_create");
    r.data = malloc(sizes[NSIZES - 1]);
    if (r.data == NULL) {
        return 1;
    }
    memset(r.data, 0, sizes[NSIZES - 1]);
    for (int i = 0; i < SIDE * SIDE; i++) {
        left[i / SIDE][i % SIDE] = right[i % SIDE][i / SIDE] = (float)(i % 7) * 1e-3f;
    }
    run_rank(&r, sizes);
    check(whorl_stream_destroy(r.stream), "stream_destroy");
    check(whorl_comm_destroy(r.comm), "comm_destroy");
    free(r.data);
    return product[0][0] < 0; /* read, so that it had to be computed */
}

int main(int argc, char **argv)
{
    int fds[2];
    if (argc > 1) {
        bool is_help = strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0;
        fprintf(is_help ? stdout : stderr,
                "%s: how much of an all_reduce on a stream hides behind computation; no options\n",
                argv[0]);
        return is_help ? 0 : 2;
    }
    if (pipe(fds) != 0) {
        perror("overlap: pipe");
        return 1;
    }
    pid_t pid = fork();
    if (pid < 0) {
        perror("overlap: fork");
        return 1;
    }
    close(fds[pid == 0 ? 1 : 0]); /* who reads must notice when the writer is gone */
    int status = live(pid == 0 ? 1 : 0, fds);
    int child = 0;
    if (pid > 0 && (waitpid(pid, &child, 0) != pid || child != 0)) {
        status = 1;
    }
    return status;
}
