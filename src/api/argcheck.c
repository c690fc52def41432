/* SPDX-License-Identifier: Apache-2.0 */
#include "api/argcheck.h"

#include "api/sides.h"
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

static whorl_result_t check_root(const struct wh_coll_args *args)
{
    if (wh_coll_has_root(args->coll) &&
        (args->root < 0 || (uint32_t)args->root >= args->comm->nranks)) {
        bool p2p = args->coll == WH_COLL_SEND || args->coll == WH_COLL_RECV;
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: %s is %d; it must be 0 to %u", args->call,
                       p2p ? "peer" : "root", args->root, args->comm->nranks - 1);
    }
    return WHORL_OK;
}

struct wh_redop_slot *wh_redop_slot(whorl_comm_t comm, whorl_redop_t op)
{
    bool user = op >= WH_REDOP_FIRST_USER;
    whorl_redop_t first = user ? WH_REDOP_FIRST_USER : WH_REDOP_FIRST_HANDLE;
    if (op < first || op >= first + WH_REDOPS_MAX) {
        return NULL;
    }
    struct wh_redop_slot *slot = &comm->redops[op - first];
    return slot->used && (slot->user.fn != NULL) == user ? slot : NULL;
}

/* The handle that a reduction means; *slot_out is NULL if it is predefined or there is none. */
static whorl_result_t check_redop(const struct wh_coll_args *args,
                                  const struct wh_redop_slot **slot_out)
{
    *slot_out = NULL;
    if (!wh_coll_reduces(args->coll) || (args->redop >= 0 && args->redop < WHORL_REDOP_COUNT)) {
        return WHORL_OK;
    }
    const struct wh_redop_slot *slot = wh_redop_slot(args->comm, args->redop);
    if (slot == NULL) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL,
                       "%s: op is %d; that is neither a predefined reduction nor a handle of this "
                       "communicator",
                       args->call, args->redop);
    }
    if (slot->user.fn == NULL && slot->dtype != args->dtype) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: op was made for %s, but dtype is %s",
                       args->call, wh_dtype_str(slot->dtype), wh_dtype_str(args->dtype));
    }
    *slot_out = slot;
    return WHORL_OK;
}

enum who { NOBODY, ROOT, EVERYONE };

/* Who reads and writes what. */
static const struct {
    enum who sends, receives;
    bool send_per_rank, recv_per_rank;
} shapes[WH_NCOLLS] = {
    [WH_COLL_ALL_REDUCE] = {EVERYONE, EVERYONE, false, false},
    [WH_COLL_ALL_GATHER] = {EVERYONE, EVERYONE, false, true},
    [WH_COLL_REDUCE_SCATTER] = {EVERYONE, EVERYONE, true, false},
    [WH_COLL_BROADCAST] = {ROOT, EVERYONE, false, false},
    [WH_COLL_REDUCE] = {EVERYONE, ROOT, false, false},
    [WH_COLL_BARRIER] = {NOBODY, NOBODY, false, false},
    [WH_COLL_ALL_TO_ALL] = {EVERYONE, EVERYONE, true, true},
    [WH_COLL_GATHER] = {EVERYONE, ROOT, false, true},
    [WH_COLL_SCATTER] = {ROOT, EVERYONE, true, false},
    [WH_COLL_ALL_GATHER_V] = {EVERYONE, EVERYONE, false, true},
    [WH_COLL_REDUCE_SCATTER_V] = {EVERYONE, EVERYONE, true, false},
    [WH_COLL_ALL_TO_ALL_V] = {EVERYONE, EVERYONE, true, true},
    [WH_COLL_GATHER_V] = {EVERYONE, ROOT, false, true},
    [WH_COLL_SCATTER_V] = {ROOT, EVERYONE, true, false},
    [WH_COLL_SEND] = {EVERYONE, NOBODY, false, false},
    [WH_COLL_RECV] = {NOBODY, EVERYONE, false, false},
};

static bool takes_part(const struct wh_coll_args *args, enum who who)
{
    return who == EVERYONE || (who == ROOT && (uint32_t)args->root == args->comm->rank);
}

/* The structs below name all of their members, in a place of their own: clearing them first, or
 * copying what was just written in pieces, takes longer than all checks together. */

/* The common case, for the price of a few comparisons: buffers of one size everywhere that are there
 * and apart. Whatever is not goes through all checks, which know what to say. */
static bool is_plain(const struct wh_coll_args *args)
{
    enum wh_coll coll = args->coll;
    size_t n = args->comm->nranks;
    size_t nbytes = wh_dtype_nbytes(args->dtype);
    if (wh_coll_is_v(coll) || __builtin_mul_overflow(nbytes, args->count, &nbytes) ||
        nbytes > PTRDIFF_MAX / WH_ELEM_NBYTES_MAX / n) {
        return false;
    }
    uintptr_t send = (uintptr_t)args->sendbuf, recv = (uintptr_t)args->recvbuf;
    uintptr_t send_end = send + nbytes * (shapes[coll].send_per_rank ? n : 1);
    uintptr_t recv_end = recv + nbytes * (shapes[coll].recv_per_rank ? n : 1);
    return send != 0 && recv != 0 && send_end > send && recv_end > recv &&
           (send_end <= recv || recv_end <= send);
}

static whorl_result_t check_buffers(const struct wh_coll_args *args,
                                    const struct wh_coll_blocks *blocks)
{
    enum wh_coll coll = args->coll;
    bool is_v = wh_coll_is_v(coll);
    struct wh_sides sides = {
        .call = args->call,
        .coll = coll,
        .rank = args->comm->rank,
        .nranks = args->comm->nranks,
        .elem_nbytes = wh_dtype_nbytes(args->dtype),
        .send = {.buf = args->sendbuf,
                 .used = takes_part(args, shapes[coll].sends),
                 .per_rank = shapes[coll].send_per_rank,
                 .varying = is_v && shapes[coll].send_per_rank,
                 .count = args->count,
                 .counts = blocks->sendcounts,
                 .displs = blocks->senddispls,
                 .first = 0,
                 .end = 0,
                 .own_start = 0,
                 .own_count = 0},
        .recv = {.buf = args->recvbuf,
                 .used = takes_part(args, shapes[coll].receives),
                 .per_rank = shapes[coll].recv_per_rank,
                 .varying = is_v && shapes[coll].recv_per_rank,
                 .count = args->count,
                 .counts = blocks->recvcounts,
                 .displs = blocks->recvdispls,
                 .first = 0,
                 .end = 0,
                 .own_start = 0,
                 .own_count = 0},
    };
    return wh_sides_check(&sides);
}

/* What the executor is told. */
static void fill_op(const struct wh_coll_args *args, const struct wh_coll_blocks *blocks,
                    const struct wh_redop_slot *slot, struct wh_op *op)
{
    bool sends = takes_part(args, shapes[args->coll].sends);
    bool receives = takes_part(args, shapes[args->coll].receives);
    op->input = sends ? args->sendbuf : NULL;
    op->output = receives ? args->recvbuf : NULL;
    op->count = args->count;
    op->send_counts = sends ? blocks->sendcounts : NULL;
    op->send_displs = sends ? blocks->senddispls : NULL;
    op->recv_counts = receives ? blocks->recvcounts : NULL;
    op->recv_displs = receives ? blocks->recvdispls : NULL;
    op->dtype = args->dtype;
    op->redop = wh_coll_reduces(args->coll) ? (uint8_t)args->redop : WH_REDOP_NONE;
    memset(op->premul_scalar, 0, sizeof(op->premul_scalar));
    op->user = (struct wh_user_redop){NULL, NULL};
    op->avg_nparts = 0;
    op->as = NULL;
    op->seq = 0;
    if (slot != NULL && slot->user.fn != NULL) {
        op->redop = WH_REDOP_USER;
        op->user = slot->user;
    } else if (slot != NULL) {
        op->redop = WH_REDOP_PREMUL_SUM;
        memcpy(op->premul_scalar, slot->scalar, sizeof(op->premul_scalar));
    }
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
    static const struct wh_coll_blocks none;
    const struct wh_coll_blocks *blocks = args->blocks != NULL ? args->blocks : &none;
    const struct wh_redop_slot *slot = NULL;
    rc = check_root(args);
    if (rc == WHORL_OK) {
        rc = check_redop(args, &slot);
    }
    if (rc == WHORL_OK && !is_plain(args)) {
        rc = check_buffers(args, blocks);
    }
    if (rc != WHORL_OK) {
        return rc;
    }
    call_out->comm = args->comm;
    call_out->coll = args->coll;
    call_out->root = wh_coll_has_root(args->coll) ? (uint32_t)args->root : 0;
    fill_op(args, blocks, slot, &call_out->op);
    call_out->stream = args->stream;
    call_out->counts_copy = NULL;
    return WHORL_OK;
}
