/* SPDX-License-Identifier: Apache-2.0 */
/* Communicators of whorl.h: check, then call the layer below. */
#include "api/argcheck.h"
#include "api/group.h"
#include "base/log.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An id whose ranks meet at an address that the user chose; its secret is random all the same. */
static whorl_result_t id_at(const char *root, whorl_id_t *id_out)
{
    uint8_t random[16];
    whorl_result_t rc = wh_random(random, sizeof(random));
    if (rc != WHORL_OK) {
        return rc;
    }
    char secret[2 * sizeof(random) + 1];
    for (size_t i = 0; i < sizeof(random); i++) {
        snprintf(secret + 2 * i, 3, "%02x", random[i]);
    }
    whorl_id_t id;
    rc = wh_boot_id_from_address(root, secret, &id);
    explicit_bzero(secret, sizeof(secret));
    explicit_bzero(random, sizeof(random));
    if (rc == WHORL_OK) {
        rc = wh_boot_root_start(&id);
    }
    if (rc == WHORL_OK) {
        *id_out = id;
    }
    return rc;
}

WHORL_API whorl_result_t whorl_id_create(whorl_id_t *id_out)
{
    const struct wh_config *config;
    whorl_result_t rc = wh_check_pointer("whorl_id_create", "id_out", id_out);
    if (rc == WHORL_OK) {
        rc = wh_config_get(&config);
    }
    if (rc != WHORL_OK) {
        return rc;
    }
    return config->root[0] != '\0' ? id_at(config->root, id_out) : wh_boot_id_create(id_out);
}

WHORL_API whorl_result_t whorl_comm_create(int nranks, int rank, const whorl_id_t *id,
                                           const whorl_options_t *options, whorl_comm_t *comm_out)
{
    static const char call[] = "whorl_comm_create";
    struct wh_comm_args args;
    whorl_result_t rc = wh_check_create(call, nranks, rank, options, &args);
    if (rc == WHORL_OK) {
        rc = wh_check_pointer(call, "id", id);
    }
    if (rc == WHORL_OK) {
        rc = wh_check_pointer(call, "comm_out", comm_out);
    }
    if (rc == WHORL_OK && !wh_boot_id_valid(id)) {
        rc = wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL,
                     "%s: id was not made by whorl_id_create, or was damaged on its way", call);
    }
    if (rc != WHORL_OK) {
        return wh_group_note(rc);
    }
    args.id = *id;
    return wh_group_add_job(&(struct wh_comm_job){.args = args}, comm_out);
}

WHORL_API whorl_result_t whorl_comm_create_from_env(const whorl_options_t *options,
                                                    whorl_comm_t *comm_out)
{
    static const char call[] = "whorl_comm_create_from_env";
    struct wh_comm_options opts;
    const struct wh_config *config;
    struct wh_launch launch;
    whorl_result_t rc = wh_check_pointer(call, "comm_out", comm_out);
    if (rc == WHORL_OK) {
        rc = wh_check_options(call, options, &opts);
    }
    if (rc == WHORL_OK) {
        rc = wh_config_get(&config);
    }
    if (rc == WHORL_OK) {
        rc = wh_launch_read(wh_config_env, config, &launch);
    }
    if (rc != WHORL_OK) {
        return wh_group_note(rc);
    }
    struct wh_comm_job job = {
        .args = {.nranks = launch.nranks, .rank = launch.rank, .options = opts},
    };
    wh_launch_await_name(&launch, opts.init_timeout_ms != 0 ? opts.init_timeout_ms
                                                            : config->init_timeout_ms);
    rc = wh_boot_id_from_address(launch.root, launch.secret, &job.args.id);
    if (rc == WHORL_E_ARG) {
        char why[512];
        snprintf(why, sizeof(why), "%s", wh_error_get());
        rc = wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV,
                     "the ranks cannot meet at %s (from WHORL_ROOT, or MASTER_ADDR and "
                     "MASTER_PORT): %s",
                     launch.root, why);
    }
    if (rc == WHORL_OK && launch.rank == 0) {
        rc = wh_boot_root_start(&job.args.id);
    }
    rc = rc == WHORL_OK ? wh_group_add_job(&job, comm_out) : wh_group_note(rc);
    explicit_bzero(&launch, sizeof(launch));
    explicit_bzero(&job.args.id, sizeof(job.args.id));
    return rc;
}

WHORL_API whorl_result_t whorl_comm_create_local(int nranks, const whorl_options_t *options,
                                                 whorl_comm_t *comms_out)
{
    static const char call[] = "whorl_comm_create_local";
    struct wh_comm_args first;
    whorl_result_t rc = wh_check_create(call, nranks, 0, options, &first);
    if (rc == WHORL_OK) {
        rc = wh_check_pointer(call, "comms_out", comms_out);
    }
    if (rc == WHORL_OK) {
        rc = wh_boot_id_create(&first.id);
    }
    if (rc != WHORL_OK) {
        return rc;
    }
    struct wh_comm_job *jobs = calloc((size_t)nranks, sizeof(*jobs));
    if (jobs == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "%s: no memory for %d ranks", call, nranks);
    }
    for (int r = 0; r < nranks; r++) {
        jobs[r].args = first;
        jobs[r].args.rank = (uint32_t)r;
    }
    rc = wh_comm_run_jobs(jobs, (size_t)nranks, comms_out);
    free(jobs);
    return rc;
}

static whorl_result_t keep(whorl_comm_t comm, whorl_result_t rc)
{
    if (rc < 0) {
        wh_comm_keep_error(comm);
    }
    return rc;
}

WHORL_API whorl_result_t whorl_comm_split(whorl_comm_t comm, int color, int key,
                                          const whorl_options_t *options,
                                          whorl_comm_t *new_comm_out)
{
    static const char call[] = "whorl_comm_split";
    struct wh_comm_job job = {
        .origin = WH_COMM_OF_SPLIT, .parent = comm, .color = color, .key = key};
    whorl_result_t rc = wh_check_pointer(call, "comm", comm);
    if (rc != WHORL_OK) {
        return wh_group_note(rc);
    }
    rc = wh_check_pointer(call, "new_comm_out", new_comm_out);
    if (rc == WHORL_OK) {
        rc = wh_check_options(call, options, &job.args.options);
    }
    if (rc == WHORL_OK && color < 0 && color != WHORL_SPLIT_NOCOLOR) {
        rc = wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL,
                     "%s: color is %d; it must be 0 or more, or WHORL_SPLIT_NOCOLOR", call, color);
    }
    if (rc == WHORL_OK) {
        rc = wh_group_add_job(&job, new_comm_out);
    }
    return wh_group_note(keep(comm, rc));
}

WHORL_API whorl_result_t whorl_comm_finalize(whorl_comm_t comm)
{
    whorl_result_t rc = wh_check_pointer("whorl_comm_finalize", "comm", comm);
    return rc == WHORL_OK ? whorl_barrier(comm, NULL) : wh_group_note(rc);
}

WHORL_API whorl_result_t whorl_comm_destroy(whorl_comm_t comm)
{
    if (wh_group_is_open()) {
        return wh_group_note(wh_fail(WHORL_E_USAGE, WH_SUBSYS_CALL,
                                     "whorl_comm_destroy: not allowed inside a group"));
    }
    wh_comm_destroy(comm);
    return WHORL_OK;
}

WHORL_API whorl_result_t whorl_comm_rank(whorl_comm_t comm, int *rank_out)
{
    static const char call[] = "whorl_comm_rank";
    whorl_result_t rc = wh_check_pointer(call, "comm", comm);
    if (rc == WHORL_OK) {
        rc = wh_check_pointer(call, "rank_out", rank_out);
    }
    if (rc == WHORL_OK) {
        *rank_out = (int)comm->rank;
    }
    return rc;
}

WHORL_API whorl_result_t whorl_comm_size(whorl_comm_t comm, int *nranks_out)
{
    static const char call[] = "whorl_comm_size";
    whorl_result_t rc = wh_check_pointer(call, "comm", comm);
    if (rc == WHORL_OK) {
        rc = wh_check_pointer(call, "nranks_out", nranks_out);
    }
    if (rc == WHORL_OK) {
        *nranks_out = (int)comm->nranks;
    }
    return rc;
}

WHORL_API whorl_result_t whorl_comm_memory(whorl_comm_t comm, uint64_t *nbytes_out)
{
    static const char call[] = "whorl_comm_memory";
    whorl_result_t rc = wh_check_pointer(call, "comm", comm);
    if (rc == WHORL_OK) {
        rc = wh_check_pointer(call, "nbytes_out", nbytes_out);
    }
    if (rc == WHORL_OK) {
        *nbytes_out = wh_comm_memory_nbytes(comm);
    }
    return rc;
}

WHORL_API whorl_result_t whorl_comm_sent(whorl_comm_t comm, uint64_t *nbytes_out)
{
    static const char call[] = "whorl_comm_sent";
    whorl_result_t rc = wh_check_pointer(call, "comm", comm);
    if (rc == WHORL_OK) {
        rc = wh_check_pointer(call, "nbytes_out", nbytes_out);
    }
    if (rc == WHORL_OK) {
        *nbytes_out = wh_wire_sent_nbytes(comm->wire);
    }
    return rc;
}
