/* SPDX-License-Identifier: Apache-2.0 */
#include "common/launch.h"

#include "common/failure.h"
#include "perf.h"

/* Gives every process of the environment's communicator the id of the run's. */
static int share_id(whorl_comm_t comm, struct perf_world *world)
{
    whorl_id_t id = {{0}};
    whorl_result_t rc = WHORL_OK;

    if (world->proc == 0) {
        rc = whorl_id_create(&id);
        if (rc != WHORL_OK) {
            return perf_fail_whorl("whorl_id_create", rc, NULL, world->proc);
        }
    }
    rc = whorl_broadcast(&id, &id, sizeof(id), WHORL_UINT8, 0, comm, NULL);
    if (rc != WHORL_OK) {
        return perf_fail_whorl("whorl_broadcast of the id", rc, comm, world->proc);
    }
    world->id = id;
    return PERF_OK;
}

static int launch_from_env(const struct perf_args *args, perf_body *body, const void *context)
{
    struct perf_world world = {.launcher = args->env.launcher};
    whorl_options_t options = WHORL_OPTIONS_INIT;
    options.name = "perf";
    whorl_comm_t comm = NULL;

    whorl_result_t rc = whorl_comm_create_from_env(&options, &comm);
    if (rc != WHORL_OK) {
        return perf_fail_whorl("whorl_comm_create_from_env", rc, NULL, -1);
    }
    rc = whorl_comm_rank(comm, &world.proc);
    if (rc == WHORL_OK) {
        rc = whorl_comm_size(comm, &world.nprocs);
    }
    if (rc != WHORL_OK) {
        int status = perf_fail_whorl("whorl_comm_rank or whorl_comm_size", rc, comm, -1);
        whorl_comm_destroy(comm);
        return status;
    }

    /* One rank per process can use what it has; more need a communicator of their own. */
    if (args->nthreads * args->nranks_per_thread == 1) {
        world.comm = comm;
        return body(args, &world, context);
    }
    int status = share_id(comm, &world);
    if (status == PERF_OK) {
        status = body(args, &world, context);
    }
    whorl_comm_destroy(comm);
    return status;
}

static int launch_alone(const struct perf_args *args, perf_body *body, const void *context)
{
    struct perf_world world = {.nprocs = 1, .launcher = "none"};
    whorl_result_t rc = whorl_id_create(&world.id);
    if (rc != WHORL_OK) {
        return perf_fail_whorl("whorl_id_create", rc, NULL, 0);
    }
    return body(args, &world, context);
}

int perf_launch(const struct perf_args *args, perf_body *body, const void *context)
{
    if (args->nprocs > 0) {
        return perf_launch_fork(args, body, context);
    }

    int status = perf_launch_mpi(args, body, context);
    if (status >= 0) {
        return status;
    }
    if (args->env.launcher != NULL) {
        return launch_from_env(args, body, context);
    }
    return launch_alone(args, body, context);
}
