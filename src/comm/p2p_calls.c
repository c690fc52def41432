/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/p2p_calls.h"

#include "base/log.h"

/* The blocks of one buffer, walked in the order of ranks. */
struct blocks {
    uintptr_t base; /* an address: buffers without elements may be NULL */
    size_t elem_nbytes;
    bool per_rank;                 /* a block for every rank; else the same one for all */
    const size_t *counts, *displs; /* NULL: count, and one behind the other */
    size_t count;
    size_t next; /* where the next block starts, in elements */
};

struct block {
    uintptr_t at;
    size_t count;
};

static struct block take_block(struct blocks *b, uint32_t rank)
{
    if (!b->per_rank) {
        return (struct block){b->base, b->count};
    }
    size_t count = b->counts != NULL ? b->counts[rank] : b->count;
    size_t start = b->displs != NULL ? b->displs[rank] : b->next;
    b->next += count;
    return (struct block){count > 0 ? b->base + start * b->elem_nbytes : 0, count};
}

static struct blocks sent_blocks(const struct wh_call *call)
{
    const struct wh_op *op = &call->op;
    return (struct blocks){
        .base = (uintptr_t)op->input,
        .elem_nbytes = whorl_dtype_nbytes(op->dtype),
        .per_rank = call->coll != WH_COLL_GATHER && call->coll != WH_COLL_GATHER_V &&
                    call->coll != WH_COLL_ALL_GATHER_V,
        .counts = op->send_counts,
        .displs = op->send_displs,
        .count = op->count,
    };
}

static struct blocks received_blocks(const struct wh_call *call)
{
    const struct wh_op *op = &call->op;
    return (struct blocks){
        .base = (uintptr_t)op->output,
        .elem_nbytes = whorl_dtype_nbytes(op->dtype),
        .per_rank = call->coll != WH_COLL_SCATTER && call->coll != WH_COLL_SCATTER_V,
        .counts = op->recv_counts,
        .displs = op->recv_displs,
        .count = op->count,
    };
}

/* A call like `whole`, of nothing yet. */
static struct wh_call part_of(const struct wh_call *whole, enum wh_coll coll, uint32_t root)
{
    return (struct wh_call){
        .comm = whole->comm,
        .coll = coll,
        .root = root,
        .op = {.dtype = whole->op.dtype, .redop = (uint8_t)(WH_REDOP_PART_OF + whole->coll)},
        .stream = whole->stream,
    };
}

static struct wh_call send_of(const struct wh_call *whole, uint32_t to, struct block block)
{
    struct wh_call call = part_of(whole, WH_COLL_SEND, to);
    call.op.input = (const void *)block.at;
    call.op.count = block.count;
    return call;
}

static struct wh_call recv_of(const struct wh_call *whole, uint32_t from, struct block block)
{
    struct wh_call call = part_of(whole, WH_COLL_RECV, from);
    call.op.output = (void *)block.at;
    call.op.count = block.count;
    return call;
}

/* all_to_all(_v), all_gather_v: a message to everyone and one from everyone. The k-th pair is to
 * rank + k and from rank - k, so that ranks in step never meet two senders at one receiver. */
static size_t expand_between_all(const struct wh_call *call, struct wh_call *out)
{
    uint32_t n = call->comm->nranks, rank = call->comm->rank;
    struct blocks sent = sent_blocks(call), received = received_blocks(call);
    for (uint32_t peer = 0; peer < n; peer++) {
        uint32_t above = (peer + n - rank) % n, below = (rank + n - peer) % n;
        /* Its own block is last. */
        out[2 * ((above + n - 1) % n)] = send_of(call, peer, take_block(&sent, peer));
        out[2 * ((below + n - 1) % n) + 1] = recv_of(call, peer, take_block(&received, peer));
    }
    return 2 * (size_t)n;
}

/* gather(_v) and scatter(_v) on root: messages in one direction, and a pair for its own block. */
static size_t expand_root(const struct wh_call *call, struct wh_call *out)
{
    uint32_t n = call->comm->nranks, rank = call->comm->rank;
    bool gathers = call->coll == WH_COLL_GATHER || call->coll == WH_COLL_GATHER_V;
    struct blocks sent = sent_blocks(call), received = received_blocks(call);
    for (uint32_t peer = 0; peer < n; peer++) {
        struct block from = take_block(&sent, peer), to = take_block(&received, peer);
        uint32_t place = (peer + n - rank - 1) % n;
        if (peer == rank) {
            out[n - 1] = send_of(call, rank, from);
            out[n] = recv_of(call, rank, to);
        } else {
            out[place] = gathers ? recv_of(call, peer, to) : send_of(call, peer, from);
        }
    }
    return (size_t)n + 1;
}

/* gather(_v) and scatter(_v) elsewhere. */
static size_t expand_leaf(const struct wh_call *call, struct wh_call *out)
{
    bool gathers = call->coll == WH_COLL_GATHER || call->coll == WH_COLL_GATHER_V;
    uintptr_t buf = gathers ? (uintptr_t)call->op.input : (uintptr_t)call->op.output;
    struct block block = {buf, call->op.count};
    out[0] = gathers ? send_of(call, call->root, block) : recv_of(call, call->root, block);
    return 1;
}

/* reduce_scatter_v: block r is reduced on rank r. */
static size_t expand_reduces(const struct wh_call *call, struct wh_call *out)
{
    struct blocks sent = sent_blocks(call);
    for (uint32_t root = 0; root < call->comm->nranks; root++) {
        struct block block = take_block(&sent, root);
        out[root] = part_of(call, WH_COLL_REDUCE, root);
        out[root].op = call->op;
        out[root].op.input = (const void *)block.at;
        out[root].op.output = root == call->comm->rank ? call->op.output : NULL;
        out[root].op.count = block.count;
        out[root].op.send_counts = NULL;
        out[root].op.send_displs = NULL;
    }
    return call->comm->nranks;
}

static bool has_schedule(enum wh_coll coll)
{
    return coll != WH_COLL_ALL_TO_ALL && coll != WH_COLL_GATHER && coll != WH_COLL_SCATTER &&
           !wh_coll_is_v(coll);
}

size_t wh_p2p_expand_most(const struct wh_call *call)
{
    return has_schedule(call->coll) ? 1 : 1 + 2 * (size_t)call->comm->nranks;
}

whorl_result_t wh_p2p_expand(const struct wh_call *call, struct wh_call *calls_out,
                             size_t *ncalls_out)
{
    if (call->op.redop == WH_REDOP_USER && call->comm->nranks > 1) {
        wh_fail(WHORL_E_UNSUPPORTED, WH_SUBSYS_COLL,
                "%s: a reduction made by whorl_redop_create_user works only in a communicator "
                "whose ranks are all on one host and share memory",
                wh_coll_str(call->coll));
        wh_comm_keep_error(call->comm);
        return WHORL_E_UNSUPPORTED;
    }
    if (has_schedule(call->coll)) {
        calls_out[0] = *call;
        *ncalls_out = 1;
        return WHORL_OK;
    }

    calls_out[0] = part_of(call, WH_COLL_BARRIER, call->root);
    struct wh_call *rest = calls_out + 1;
    size_t nrest;
    if (call->coll == WH_COLL_REDUCE_SCATTER_V) {
        nrest = expand_reduces(call, rest);
    } else if (!wh_coll_has_root(call->coll)) {
        nrest = expand_between_all(call, rest);
    } else if (call->root == call->comm->rank) {
        nrest = expand_root(call, rest);
    } else {
        nrest = expand_leaf(call, rest);
    }
    *ncalls_out = 1 + nrest;
    return WHORL_OK;
}
