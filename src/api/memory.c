/* SPDX-License-Identifier: Apache-2.0 */
/* Memory and its registration, of whorl.h. */
#include "device/memory.h"

#include "api/argcheck.h"
#include "base/log.h"

WHORL_API whorl_result_t whorl_mem_alloc(size_t nbytes, void **ptr_out)
{
    whorl_result_t rc = wh_check_pointer("whorl_mem_alloc", "ptr_out", ptr_out);
    return rc == WHORL_OK ? wh_memory_alloc(nbytes, ptr_out) : rc;
}

WHORL_API whorl_result_t whorl_mem_free(void *ptr)
{
    return wh_memory_free(ptr);
}

WHORL_API whorl_result_t whorl_comm_register(whorl_comm_t comm, void *buf, size_t nbytes,
                                             void **handle_out)
{
    static const char call[] = "whorl_comm_register";
    whorl_result_t rc = wh_check_pointer(call, "comm", comm);
    if (rc != WHORL_OK) {
        return rc;
    }
    rc = wh_check_pointer(call, "handle_out", handle_out);
    if (rc == WHORL_OK && nbytes > 0) {
        rc = wh_check_pointer(call, "buf", buf);
    }
    if (rc == WHORL_OK) {
        rc = wh_memory_register(&comm->memory, buf, nbytes, handle_out);
    }
    if (rc != WHORL_OK) {
        wh_comm_keep_error(comm);
    }
    return rc;
}

WHORL_API whorl_result_t whorl_comm_deregister(whorl_comm_t comm, void *handle)
{
    static const char call[] = "whorl_comm_deregister";
    whorl_result_t rc = wh_check_pointer(call, "comm", comm);
    if (rc != WHORL_OK || handle == NULL) {
        return rc;
    }
    if (!wh_memory_deregister(&comm->memory, handle)) {
        rc = wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL,
                     "%s: handle was not made by whorl_comm_register with this communicator", call);
        wh_comm_keep_error(comm);
    }
    return rc;
}
