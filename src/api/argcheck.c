/* SPDX-License-Identifier: Apache-2.0 */
#include "api/argcheck.h"

#include "base/log.h"
#include "numeric/dtype.h"

#include <stdio.h>
#include <string.h>

enum {
    NRANKS_MAX = 1 << 20,
    OPTIONS_NBYTES_MAX = 4096, /* no future version will need more: larger is garbage */
};

whorl_result_t wh_check_pointer(const char *call, const char *what, const void *pointer)
{
    if (pointer == NULL) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: %s is NULL", call, what);
    }
    return WHORL_OK;
}

whorl_result_t wh_check_options(const char *call, const whorl_options_t *options,
                                struct wh_comm_options *out)
{
    whorl_options_t known = WHORL_OPTIONS_INIT;
    if (options != NULL) {
        if (options->struct_nbytes < sizeof(options->struct_nbytes) ||
            options->struct_nbytes > OPTIONS_NBYTES_MAX) {
            return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL,
                           "%s: options->struct_nbytes is %zu; set it to sizeof(whorl_options_t), "
                           "which WHORL_OPTIONS_INIT does",
                           call, options->struct_nbytes);
        }
        size_t nbytes = options->struct_nbytes;
        memcpy(&known, options, nbytes < sizeof(known) ? nbytes : sizeof(known));
    }
    *out = (struct wh_comm_options){
        .init_timeout_ms = known.init_timeout_ms,
        .timeout_ms = known.timeout_ms,
    };
    snprintf(out->name, sizeof(out->name), "%s", known.name != NULL ? known.name : "");
    return WHORL_OK;
}

whorl_result_t wh_check_create(const char *call, int nranks, int rank,
                               const whorl_options_t *options, struct wh_comm_args *out)
{
    if (nranks < 1 || nranks > NRANKS_MAX) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: nranks is %d; it must be 1 to %d", call,
                       nranks, NRANKS_MAX);
    }
    if (rank < 0 || rank >= nranks) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: rank is %d; it must be 0 to %d", call,
                       rank, nranks - 1);
    }
    *out = (struct wh_comm_args){.nranks = (uint32_t)nranks, .rank = (uint32_t)rank};
    return wh_check_options(call, options, &out->options);
}

static bool has_root(enum wh_coll coll)
{
    return coll == WH_COLL_BROADCAST || coll == WH_COLL_REDUCE || coll == WH_COLL_SEND ||
           coll == WH_COLL_RECV;
}

static whorl_result_t check_root(const struct wh_coll_args *args)
{
    if (has_root(args->coll) && (args->root < 0 || (uint32_t)args->root >= args->comm->nranks)) {
        bool p2p = args->coll == WH_COLL_SEND || args->coll == WH_COLL_RECV;
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: %s is %d; it must be 0 to %u", args->call,
                       p2p ? "peer" : "root", args->root, args->comm->nranks - 1);
    }
    return WHORL_OK;
}

struct wh_redop_slot *wh_redop_slot(whorl_comm_t comm, whorl_redop_t op)
{
    if (op < WH_REDOP_FIRST_HANDLE || op >= WH_REDOP_FIRST_HANDLE + WH_REDOPS_MAX) {
        return NULL;
    }
    struct wh_redop_slot *slot = &comm->redops[op - WH_REDOP_FIRST_HANDLE];
    return slot->used ? slot : NULL;
}

/* Resolves a reduction into what the executor knows. */
static whorl_result_t check_redop(const struct wh_coll_args *args, struct wh_op *op)
{
    op->redop = WH_REDOP_NONE;
    if (!wh_coll_reduces(args->coll)) {
        return WHORL_OK;
    }
    if (args->redop >= 0 && args->redop < WHORL_REDOP_COUNT) {
        op->redop = (uint8_t)args->redop;
        return WHORL_OK;
    }
    const struct wh_redop_slot *slot = wh_redop_slot(args->comm, args->redop);
    if (slot == NULL) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL,
                       "%s: op is %d; that is neither a predefined reduction nor a handle of this "
                       "communicator",
                       args->call, args->redop);
    }
    if (slot->dtype != args->dtype) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: op was made for %s, but dtype is %s",
                       args->call, wh_dtype_str(slot->dtype), wh_dtype_str(args->dtype));
    }
    op->redop = WH_REDOP_PREMUL_SUM;
    memcpy(op->premul_scalar, slot->scalar, sizeof(op->premul_scalar));
    return WHORL_OK;
}

/* Which buffers this rank needs, and how many blocks of count elements they have. */
struct extent {
    bool sends, receives;
    size_t nsend, nrecv;
};

static struct extent extent_of(const struct wh_coll_args *args)
{
    bool at_root = (uint32_t)args->root == args->comm->rank;
    size_t n = args->comm->nranks;
    switch (args->coll) {
    case WH_COLL_ALL_GATHER:
        return (struct extent){true, true, 1, n};
    case WH_COLL_REDUCE_SCATTER:
        return (struct extent){true, true, n, 1};
    case WH_COLL_BROADCAST:
        return (struct extent){at_root, true, 1, 1};
    case WH_COLL_REDUCE:
        return (struct extent){true, at_root, 1, 1};
    case WH_COLL_SEND:
        return (struct extent){true, false, 1, 1};
    case WH_COLL_RECV:
        return (struct extent){false, true, 1, 1};
    case WH_COLL_BARRIER:
        return (struct extent){false, false, 0, 0};
    default:
        return (struct extent){true, true, 1, 1};
    }
}

/* Buffers overlap only where the API calls it "in place". */
static whorl_result_t check_overlap(const struct wh_coll_args *args, const struct extent *e)
{
    size_t elem = wh_dtype_nbytes(args->dtype);
    uintptr_t send = (uintptr_t)args->sendbuf, recv = (uintptr_t)args->recvbuf;
    size_t block = args->count * elem;
    uintptr_t in_place = recv;
    const char *where = "recvbuf";
    if (args->coll == WH_COLL_ALL_GATHER) {
        in_place = recv + args->comm->rank * block;
        where = "recvbuf + rank * sendcount elements";
    } else if (args->coll == WH_COLL_REDUCE_SCATTER) {
        in_place = recv - args->comm->rank * block;
        where = "recvbuf - rank * recvcount elements";
    }
    bool apart = send + e->nsend * block <= recv || recv + e->nrecv * block <= send;
    if (e->sends && e->receives && !apart && send != in_place) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL,
                       "%s: sendbuf and recvbuf overlap; they may only be apart, or in place with "
                       "sendbuf == %s",
                       args->call, where);
    }
    return WHORL_OK;
}

static whorl_result_t check_buffers(const struct wh_coll_args *args, struct wh_op *op)
{
    struct extent e = extent_of(args);
    size_t nblocks = e.nsend > e.nrecv ? e.nsend : e.nrecv;
    if (nblocks > 0 && args->count > PTRDIFF_MAX / WH_ELEM_NBYTES_MAX / nblocks) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: count %zu is too large", args->call,
                       args->count);
    }
    whorl_result_t rc = WHORL_OK;
    if (args->count > 0 && e.sends) {
        rc = wh_check_pointer(args->call, "sendbuf", args->sendbuf);
    }
    if (rc == WHORL_OK && args->count > 0 && e.receives) {
        rc = wh_check_pointer(args->call, "recvbuf", args->recvbuf);
    }
    if (rc == WHORL_OK && args->count > 0) {
        rc = check_overlap(args, &e);
    }
    op->input = e.sends ? args->sendbuf : NULL;
    op->output = e.receives ? args->recvbuf : NULL;
    return rc;
}

whorl_result_t wh_check_coll(const struct wh_coll_args *args, struct wh_call *call_out)
{
    whorl_result_t rc = wh_check_pointer(args->call, "comm", args->comm);
    if (rc != WHORL_OK) {
        return rc;
    }
    if (!wh_dtype_valid(args->dtype)) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: dtype is %d; that is none", args->call,
                       (int)args->dtype);
    }
    struct wh_call call = {
        .comm = args->comm,
        .coll = args->coll,
        .root = has_root(args->coll) ? (uint32_t)args->root : 0,
        .op = {.count = args->count, .dtype = args->dtype},
        .stream = args->stream,
    };
    rc = check_root(args);
    if (rc == WHORL_OK) {
        rc = check_redop(args, &call.op);
    }
    if (rc == WHORL_OK) {
        rc = check_buffers(args, &call.op);
    }
    if (rc == WHORL_OK) {
        *call_out = call;
    }
    return rc;
}
