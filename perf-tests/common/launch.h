/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the processes of a run come to be and find each other.
 *
 * -P forks them here; mpirun starts them when the program was built with MPI; any other launcher
 * is understood through its variables by whorl_comm_create_from_env(); else there is one process.
 * Whatever the way, what comes out is a struct perf_world, and from there on nothing differs: the
 * ranks exchange times and counts through their communicator.
 */
#ifndef PERF_COMMON_LAUNCH_H
#define PERF_COMMON_LAUNCH_H

#include "common/args.h"

#include <whorl/whorl.h>

/** What a process knows of the others before it has a communicator. */
struct perf_world {
    int nprocs, proc;
    const char *launcher; /**< for the header of the table; static memory */
    whorl_id_t id;        /**< names the communicator of all ranks; unless comm is given */
    whorl_comm_t comm;    /**< already joined, one rank per process; or NULL. Owned by the body */
};

/** What each process does. Returns its exit status. */
typedef int perf_body(const struct perf_args *args, struct perf_world *world, const void *context);

/**
 * Runs body in every process of the run, and in the calling process waits for the end.
 *
 * Threads   No other thread may exist: it may fork.
 * Returns   the exit status. A process that died makes it non-zero, after a line that names it.
 */
int perf_launch(const struct perf_args *args, perf_body *body, const void *context);

/** The way of -P; nprocs >= 1. As perf_launch(). */
int perf_launch_fork(const struct perf_args *args, perf_body *body, const void *context);

/**
 * The way of mpirun, if this program was built with MPI and runs under that MPI's launcher.
 *
 * Returns -1 otherwise, and when MPI started only this process. As perf_launch() else.
 */
int perf_launch_mpi(const struct perf_args *args, perf_body *body, const void *context);

#endif
