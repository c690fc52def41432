/* SPDX-License-Identifier: Apache-2.0 */
/* The command line and the environment of a run, as values. Nothing else here reads either. */
#ifndef PERF_COMMON_ARGS_H
#define PERF_COMMON_ARGS_H

#include "common/split.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PERF_ALL = -1 };

/** What the buffers are: --local_register. */
enum perf_memory {
    PERF_MEMORY_PRIVATE,    /**< ordinary memory */
    PERF_MEMORY_REGISTERED, /**< shared memory of our own, named with whorl_comm_register() */
    PERF_MEMORY_SYMMETRIC   /**< of whorl_mem_alloc() */
};

/** What the environment says. */
struct perf_env {
    double min_bandwidth; /**< GB/s that the mean bus bandwidth must reach; negative: not asked */
    struct perf_split split;
    const char *launcher; /**< who started this process with others: "Open MPI"; NULL: nobody */
    bool under_open_mpi;  /**< Open MPI's or PMIx's variables are set */
    bool under_mpich;     /**< variables of MPICH's and its relatives' launchers are set */
    char **variables;     /**< all, as in environ */
};

/** All that the user decided. Strings point into argv or are static. */
struct perf_args {
    int nprocs, nthreads, nranks_per_thread;
    size_t min_nbytes, max_nbytes, step_nbytes;
    int step_factor;
    int iters, agg_iters, warmup_iters, cycles;
    int parallel_init, check_iters;
    int op, type, root; /**< PERF_ALL for "all" */
    int blocking, timeout_s;
    int report_cputime, report_timestamps;
    int average;        /**< enum perf_average */
    int local_register; /**< enum perf_memory */
    int unalign;
    int per_iter, per_iter_skip;
    int64_t corrupt_index; /**< negative: corrupt nothing */
    int benchmark_stdout;
    const char *json_path, *benchmark_path; /**< "" when not asked for */
    int needs_gpu;                          /**< always 0; holds the off value of GPU options */
    struct perf_env env;
    int argc;
    char **argv;
};

/**
 * Reads options and environment into *out.
 *
 * Returns -1 when the run shall go on; else the exit status: 0 after --help, PERF_E_USAGE after
 * a message about what was wrong and the usage.
 */
int perf_args_parse(struct perf_args *out, int argc, char **argv);

/** The size after nbytes in a sweep; SIZE_MAX when there is none. */
size_t perf_args_next_size(const struct perf_args *args, size_t nbytes);

#endif
