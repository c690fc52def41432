/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of failure.h: check, then call the layer below. */
#include "api/argcheck.h"
#include "api/group.h"
#include "base/log.h"
#include "comm/dump.h"

WHORL_API whorl_result_t whorl_comm_abort(whorl_comm_t comm)
{
    whorl_result_t rc = wh_check_pointer("whorl_comm_abort", "comm", comm);
    if (rc == WHORL_OK) {
        wh_comm_abort(comm);
    }
    return rc;
}

WHORL_API whorl_result_t whorl_comm_async_error(whorl_comm_t comm, whorl_result_t *error_out)
{
    static const char call[] = "whorl_comm_async_error";
    whorl_result_t rc = wh_check_pointer(call, "comm", comm);
    if (rc == WHORL_OK) {
        rc = wh_check_pointer(call, "error_out", error_out);
    }
    if (rc == WHORL_OK) {
        *error_out =
            (whorl_result_t)atomic_load_explicit(&comm->failure.stop, memory_order_acquire);
    }
    return rc;
}

static whorl_result_t check_excluded(const char *call, const struct wh_comm_job *job)
{
    uint32_t nranks = job->parent->nranks;
    if (job->excluded == NULL && job->nexcluded > 0) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: excluded is NULL, but nexcluded is %zu",
                       call, job->nexcluded);
    }
    if (job->nexcluded > nranks) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: nexcluded is %zu; there are %u ranks",
                       call, job->nexcluded, nranks);
    }
    for (size_t i = 0; i < job->nexcluded; i++) {
        int rank = job->excluded[i];
        if (rank < 0 || (uint32_t)rank >= nranks) {
            return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL,
                           "%s: excluded[%zu] is %d; it must be 0 to %u", call, i, rank,
                           nranks - 1);
        }
        if ((uint32_t)rank == job->parent->rank) {
            return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL,
                           "%s: excluded[%zu] is %d, which is this rank; ranks that are left out "
                           "do not call",
                           call, i, rank);
        }
    }
    return WHORL_OK;
}

WHORL_API whorl_result_t whorl_comm_shrink(whorl_comm_t comm, const int *excluded, size_t nexcluded,
                                           const whorl_options_t *options,
                                           whorl_comm_t *new_comm_out)
{
    static const char call[] = "whorl_comm_shrink";
    struct wh_comm_job job = {.origin = WH_COMM_OF_SHRINK,
                              .parent = comm,
                              .excluded = excluded,
                              .nexcluded = nexcluded};
    whorl_result_t rc = wh_check_pointer(call, "comm", comm);
    if (rc == WHORL_OK) {
        rc = wh_check_pointer(call, "new_comm_out", new_comm_out);
    }
    if (rc == WHORL_OK) {
        rc = wh_check_options(call, options, &job.args.options);
    }
    if (rc == WHORL_OK) {
        rc = check_excluded(call, &job);
    }
    if (rc == WHORL_OK) {
        rc = wh_group_add_job(&job, new_comm_out);
    }
    return wh_group_note(rc);
}

WHORL_API whorl_result_t whorl_comm_dump(whorl_comm_t comm, const char *path)
{
    static const char call[] = "whorl_comm_dump";
    whorl_result_t rc = wh_check_pointer(call, "comm", comm);
    if (rc == WHORL_OK) {
        rc = wh_check_pointer(call, "path", path);
    }
    return rc == WHORL_OK ? wh_dump_to_file(comm, path) : rc;
}

/* The user's function in the clothes of the library's. */
struct taker {
    whorl_write_fn write;
    void *ctx;
};

static bool put_to_taker(void *ctx, const char *bytes, size_t nbytes)
{
    const struct taker *taker = ctx;
    return taker->write(taker->ctx, bytes, nbytes) == 0;
}

WHORL_API whorl_result_t whorl_comm_dump_to(whorl_comm_t comm, whorl_write_fn write, void *ctx)
{
    static const char call[] = "whorl_comm_dump_to";
    whorl_result_t rc = wh_check_pointer(call, "comm", comm);
    if (rc == WHORL_OK && write == NULL) {
        rc = wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: write is NULL", call);
    }
    struct taker taker = {write, ctx};
    if (rc == WHORL_OK && !wh_dump_write(comm, put_to_taker, &taker)) {
        rc = wh_fail(WHORL_E_ABORTED, WH_SUBSYS_CALL, "%s: write has refused to take more", call);
    }
    return rc;
}
