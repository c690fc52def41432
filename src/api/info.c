/* SPDX-License-Identifier: Apache-2.0 */
/* Names, versions, error texts and handles of reductions of whorl.h. */
#include "api/argcheck.h"
#include "base/log.h"
#include "numeric/dtype.h"

#include <stdio.h>
#include <string.h>

WHORL_API int whorl_version(void)
{
    return WHORL_VERSION_CODE;
}

WHORL_API const char *whorl_result_str(whorl_result_t rc)
{
    static const struct {
        whorl_result_t rc;
        const char *text;
    } rows[] = {
#define RESULT(name, value, text) {WHORL_##name, text},
#include <whorl/result.def>
#undef RESULT
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].rc == rc) {
            return rows[i].text;
        }
    }
    return "unknown result code";
}

WHORL_API const char *whorl_last_error(whorl_comm_t comm)
{
    /* A copy, because the text must outlive the thread's next failure. */
    static _Thread_local char copy[WH_FAILURE_NBYTES];
    if (comm == NULL) {
        snprintf(copy, sizeof(copy), "%s", wh_error_get());
        return copy[0] != '\0' ? copy : "no error";
    }

    int32_t stop = atomic_load_explicit(&comm->failure.stop, memory_order_acquire);
    if (stop != 0) {
        snprintf(copy, sizeof(copy), "%s", comm->failure.text);
    } else {
        pthread_mutex_lock(&comm->text_lock);
        snprintf(copy, sizeof(copy), "%s", comm->last_text);
        pthread_mutex_unlock(&comm->text_lock);
    }
    return copy[0] != '\0' ? copy : "no error";
}

WHORL_API size_t whorl_dtype_nbytes(whorl_dtype_t dtype)
{
    return wh_dtype_nbytes(dtype);
}

WHORL_API const char *whorl_dtype_str(whorl_dtype_t dtype)
{
    return wh_dtype_str(dtype);
}

WHORL_API const char *whorl_redop_str(whorl_redop_t op)
{
    static const char *const names[] = {
#define REDOP(name, value, text) [value] = text,
#include <whorl/redop.def>
#undef REDOP
    };
    if (op >= 0 && op < WHORL_REDOP_COUNT) {
        return names[op];
    }
    if (op >= WH_REDOP_FIRST_HANDLE && op < WH_REDOP_FIRST_HANDLE + WH_REDOPS_MAX) {
        return "premulsum";
    }
    bool user = op >= WH_REDOP_FIRST_USER && op < WH_REDOP_FIRST_USER + WH_REDOPS_MAX;
    return user ? "user" : "unknown";
}

/* Keeps a reduction in the first slot that is free; *op_out is first plus its place. */
static whorl_result_t keep_redop(const char *call, const struct wh_redop_slot *redop,
                                 whorl_comm_t comm, whorl_redop_t first, whorl_redop_t *op_out)
{
    for (int i = 0; i < WH_REDOPS_MAX; i++) {
        if (!comm->redops[i].used) {
            comm->redops[i] = *redop;
            *op_out = first + i;
            return WHORL_OK;
        }
    }
    return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_CALL, "%s: the communicator has %d handles already",
                   call, WH_REDOPS_MAX);
}

static whorl_result_t create_premul_sum(const void *scalar, whorl_dtype_t dtype, whorl_comm_t comm,
                                        whorl_redop_t *op_out)
{
    static const char call[] = "whorl_redop_create_premul_sum";
    whorl_result_t rc = wh_check_pointer(call, "scalar", scalar);
    if (rc == WHORL_OK) {
        rc = wh_check_pointer(call, "op_out", op_out);
    }
    if (rc != WHORL_OK) {
        return rc;
    }
    if (!wh_dtype_valid(dtype)) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: dtype is %d; that is none", call,
                       (int)dtype);
    }
    struct wh_redop_slot redop = {.used = true, .dtype = dtype};
    memcpy(redop.scalar, scalar, wh_dtype_nbytes(dtype));
    return keep_redop(call, &redop, comm, WH_REDOP_FIRST_HANDLE, op_out);
}

WHORL_API whorl_result_t whorl_redop_create_premul_sum(const void *scalar, whorl_dtype_t dtype,
                                                       whorl_comm_t comm, whorl_redop_t *op_out)
{
    whorl_result_t rc = wh_check_pointer("whorl_redop_create_premul_sum", "comm", comm);
    if (rc != WHORL_OK) {
        return rc;
    }
    rc = create_premul_sum(scalar, dtype, comm, op_out);
    if (rc != WHORL_OK) {
        wh_comm_keep_error(comm);
    }
    return rc;
}

WHORL_API whorl_result_t whorl_redop_create_user(whorl_redop_fn fn, void *ctx, whorl_comm_t comm,
                                                 whorl_redop_t *op_out)
{
    static const char call[] = "whorl_redop_create_user";
    whorl_result_t rc = wh_check_pointer(call, "comm", comm);
    if (rc != WHORL_OK) {
        return rc;
    }
    if (fn == NULL) {
        rc = wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: fn is NULL", call);
    }
    if (rc == WHORL_OK) {
        rc = wh_check_pointer(call, "op_out", op_out);
    }
    if (rc == WHORL_OK) {
        const struct wh_redop_slot redop = {.used = true, .user = {fn, ctx}};
        rc = keep_redop(call, &redop, comm, WH_REDOP_FIRST_USER, op_out);
    }
    if (rc != WHORL_OK) {
        wh_comm_keep_error(comm);
    }
    return rc;
}

WHORL_API whorl_result_t whorl_redop_destroy(whorl_redop_t op, whorl_comm_t comm)
{
    static const char call[] = "whorl_redop_destroy";
    whorl_result_t rc = wh_check_pointer(call, "comm", comm);
    if (rc != WHORL_OK) {
        return rc;
    }
    struct wh_redop_slot *slot = wh_redop_slot(comm, op);
    if (slot == NULL) {
        rc = wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: op %d is no handle of this communicator",
                     call, op);
        wh_comm_keep_error(comm);
        return rc;
    }
    slot->used = false;
    return WHORL_OK;
}
