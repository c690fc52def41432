/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MPI starts the processes and carries the id; nothing else goes through it. MPI_Init() outside of
 * mpirun would work but costs a second and opens ports, so it is called only under the launcher of
 * the MPI that this file was compiled against.
 */
#include "common/launch.h"

#ifdef WHORL_WITH_MPI

#include "common/failure.h"
#include "perf.h"

#include <mpi.h>

static bool is_started_by_mpi(const struct perf_env *env)
{
#ifdef OPEN_MPI
    return env->under_open_mpi;
#else
    return env->under_mpich;
#endif
}

static int run_world(const struct perf_args *args, perf_body *body, const void *context, int nprocs)
{
    struct perf_world world = {.nprocs = nprocs, .launcher = "MPI"};
    MPI_Comm_rank(MPI_COMM_WORLD, &world.proc);

    if (world.proc == 0) {
        whorl_result_t rc = whorl_id_create(&world.id);
        if (rc != WHORL_OK) {
            return perf_fail_whorl("whorl_id_create", rc, NULL, 0);
        }
    }
    if (MPI_Bcast(world.id.bytes, WHORL_ID_NBYTES, MPI_BYTE, 0, MPI_COMM_WORLD) != MPI_SUCCESS) {
        return perf_fail("MPI_Bcast of the id failed");
    }
    return body(args, &world, context);
}

int perf_launch_mpi(const struct perf_args *args, perf_body *body, const void *context)
{
    if (!is_started_by_mpi(&args->env)) {
        return -1;
    }

    int provided = 0;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) {
        return perf_fail("MPI_Init_thread failed");
    }
    int nprocs = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &nprocs);
    if (nprocs == 1) {
        MPI_Finalize();
        return -1;
    }

    int status = run_world(args, body, context, nprocs);
    if (status != PERF_OK && status != PERF_E_WRONG) {
        MPI_Abort(MPI_COMM_WORLD, status); /* MPI_Finalize() would wait for ranks that hang */
    }
    MPI_Finalize();
    return status;
}

#else

int perf_launch_mpi(const struct perf_args *args, perf_body *body, const void *context)
{
    (void)args;
    (void)body;
    (void)context;
    return -1;
}

#endif
