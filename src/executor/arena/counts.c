/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of different sizes: senders tell the sizes of their blocks when they enter, and whoever
 * can put its data behind them in the slot does. Everyone then knows all sizes; receivers compare
 * them with what they expect, and nobody asks twice.
 *
 * A slot's data of such a call: the sizes in bytes, one per receiver or one for all, padded to a
 * line; then, if they have room, the blocks side by side.
 */
#include "base/bits.h"
#include "base/log.h"
#include "executor/arena/internal.h"

#include <stdio.h>
#include <string.h>

static uint32_t ncounts(const struct wh_arena *a, uint32_t rank)
{
    return !arena_sends(a, rank) ? 0 : a->run.pattern.per_dest ? a->n : 1;
}

static size_t counts_nbytes(const struct wh_arena *a)
{
    return wh_align_up(a->n * sizeof(uint64_t), 64);
}

/* Bytes of the block that rank has told to send to dest. Anybody's memory: checked by callers. */
static uint64_t told(const struct wh_arena *a, uint32_t rank, uint32_t dest)
{
    uint64_t nbytes;
    size_t at = a->run.pattern.per_dest ? dest * sizeof(nbytes) : 0;
    memcpy(&nbytes, arena_slot(a, rank, a->seq)->data + at, sizeof(nbytes));
    return nbytes;
}

static uint64_t told_total(const struct wh_arena *a, uint32_t rank)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < ncounts(a, rank); i++) {
        uint64_t nbytes = told(a, rank, i);
        total = nbytes > PTRDIFF_MAX || total > PTRDIFF_MAX ? UINT64_MAX : total + nbytes;
    }
    return total;
}

/* Fills a->out, the blocks that this rank sends: one, or one per receiver. */
static void list_out(struct wh_arena *a)
{
    const struct wh_op *op = a->run.op;
    size_t elem = a->run.elem_nbytes, next = 0;
    for (uint32_t r = 0; r < a->n; r++) {
        struct arena_block *b = &a->out[r];
        *b = (struct arena_block){0};
        if (!arena_sends(a, a->me)) {
            continue;
        }
        if (!a->run.pattern.per_dest) {
            b->nbytes = op->count * elem;
            continue;
        }
        b->nbytes = op->send_counts[r] * elem;
        b->user = op->send_displs != NULL ? op->send_displs[r] * elem : next;
        next += b->nbytes;
    }
}

void arena_counts_tell(struct wh_arena *a)
{
    struct arena_slot *slot = arena_slot(a, a->me, a->seq);
    uint32_t n = ncounts(a, a->me);
    size_t total = 0;

    list_out(a);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t nbytes = a->out[i].nbytes;
        memcpy(slot->data + i * sizeof(nbytes), &nbytes, sizeof(nbytes));
        total += a->out[i].nbytes;
    }
    if (total > ARENA_SMALL_NBYTES) {
        return;
    }
    uint8_t *to = slot->data + counts_nbytes(a);
    for (uint32_t i = 0; i < n; i++) {
        if (a->out[i].nbytes > 0) {
            arena_bring(a, to, (const uint8_t *)a->run.op->input + a->out[i].user,
                        a->out[i].nbytes);
        }
        to += a->out[i].nbytes;
    }
}

whorl_result_t arena_counts_damaged(const struct wh_arena *a, uint32_t rank)
{
    return wh_fail(
        WHORL_E_PEER, WH_SUBSYS_COLL,
        "rank %u: sizes of blocks of rank %u changed while they were read: its memory is "
        "damaged",
        a->names[a->me], a->names[rank]);
}

/* Bytes that this rank expects from another one. */
static size_t expected_nbytes(const struct wh_arena *a, uint32_t rank)
{
    const struct wh_op *op = a->run.op;
    if (!arena_receives(a, a->me) || !arena_sends(a, rank)) {
        return 0;
    }
    return (op->recv_counts != NULL ? op->recv_counts[rank] : op->count) * a->run.elem_nbytes;
}

/* Fills a->in, comparing what is expected with what senders have told. */
static whorl_result_t list_in(struct wh_arena *a)
{
    const struct wh_op *op = a->run.op;
    size_t elem = a->run.elem_nbytes, next = 0;
    for (uint32_t r = 0; r < a->n; r++) {
        struct arena_block *b = &a->in[r];
        *b = (struct arena_block){.nbytes = expected_nbytes(a, r)};
        if (op->recv_counts != NULL && arena_receives(a, a->me)) {
            b->user = op->recv_displs != NULL ? op->recv_displs[r] * elem : next;
            next += b->nbytes;
        }
        bool is_told = arena_sends(a, r) && arena_receives(a, a->me);
        if (is_told && told(a, r, a->me) != b->nbytes) {
            struct wh_signature sig;
            char text[128];
            wh_arena_signature(a, &sig);
            wh_signature_print(&sig, text, sizeof(text));
            return wh_fail(WHORL_E_MISMATCH, WH_SUBSYS_COLL,
                           "%s, operation %llu: rank %u sends %llu bytes to rank %u, which expects "
                           "%zu: do counts agree?",
                           text, (unsigned long long)sig.seq, a->names[r],
                           (unsigned long long)told(a, r, a->me), a->names[a->me], b->nbytes);
        }
    }
    return WHORL_OK;
}

/* Where the block for this rank begins among those that rank has put behind its counts. */
static const uint8_t *brought(const struct wh_arena *a, uint32_t rank)
{
    uint64_t at = 0;
    for (uint32_t i = 0; a->run.pattern.per_dest && i < a->me; i++) {
        at += told(a, rank, i);
    }
    return arena_slot(a, rank, a->seq)->data + counts_nbytes(a) +
           wh_min_size((size_t)at, ARENA_SMALL_NBYTES);
}

/* Everything is there already. */
static void take_small(struct wh_arena *a)
{
    uint8_t *output = a->run.op->output;
    size_t own_nbytes = a->in[a->me].nbytes;
    if (a->run.pattern.reduces && own_nbytes > 0) {
        for (uint32_t r = 0; r < a->n; r++) {
            a->srcs[r] = brought(a, r);
        }
        void *const dsts[] = {output};
        arena_combine(a, dsts, 1, own_nbytes / a->run.elem_nbytes, ARENA_TO_USER);
    }
    for (uint32_t r = 0; r < a->n && !a->run.pattern.reduces; r++) {
        if (a->in[r].nbytes > 0) {
            arena_copy(a, output + a->in[r].user, brought(a, r), a->in[r].nbytes);
        }
    }
}

size_t arena_counts_staged(const struct wh_arena *a, uint32_t rank, uint64_t nchunks)
{
    size_t staged = 0;
    for (uint32_t i = 0; a->run.pattern.per_dest && arena_sends(a, rank) && i < a->me; i++) {
        size_t nbytes = i == rank ? 0 : (size_t)told(a, rank, i);
        staged += wh_align_up(wh_div_up(nbytes, nchunks), 64);
    }
    return staged;
}

whorl_result_t arena_counts_read(struct wh_arena *a)
{
    whorl_result_t rc = list_in(a);
    if (rc != WHORL_OK) {
        return rc;
    }
    uint64_t most = 0;
    for (uint32_t r = 0; r < a->n; r++) {
        uint64_t total = told_total(a, r);
        if (total > PTRDIFF_MAX) {
            return arena_counts_damaged(a, r);
        }
        most = total > most ? total : most;
    }
    if (most > ARENA_SMALL_NBYTES) {
        return arena_exchange_plan_v(a, (size_t)most);
    }
    take_small(a);
    a->run.stage = ARENA_IDLE;
    return WHORL_OK;
}
