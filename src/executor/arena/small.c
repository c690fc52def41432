/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small calls: everyone puts what it brings into its slot, enters, and reads what others brought.
 *
 * One wait, and none for ranks that receive nothing: they may be ARENA_NSLOTS - 1 calls ahead.
 * Source of the idea: one-shot AllReduce of NCCL's symmetric kernels and of the CPU inference
 * engines; the payload beside the flag is Open MPI's XHC.
 */
#include "base/bits.h"
#include "executor/arena/internal.h"

#include <string.h>

/* Where rank's block for `dest` lies in its slot. */
static uint8_t *brought(const struct wh_arena *a, uint32_t rank, uint32_t dest)
{
    const struct arena_run *run = &a->run;
    struct arena_slot *slot = arena_slot(a, rank, a->seq);
    uint8_t *first = arena_brought_nbytes(a) <= ARENA_INLINE_NBYTES ? slot->inside : slot->data;
    return first + (run->pattern.per_dest ? dest * run->block_nbytes : 0);
}

static void bring(const struct wh_arena *a)
{
    const struct arena_run *run = &a->run;
    if (arena_sends(a, a->me) && run->block_nbytes > 0) {
        arena_bring(a, brought(a, a->me, 0), run->op->input, arena_brought_nbytes(a));
    }
}

/* The block that this rank brings itself. From its input, where its lines are not being read by
 * others. */
static const uint8_t *own_block(const struct wh_arena *a)
{
    const struct arena_run *run = &a->run;
    return (const uint8_t *)run->op->input +
           (run->pattern.per_dest ? a->me * run->block_nbytes : 0);
}

static void take_reduced(struct wh_arena *a)
{
    for (uint32_t r = 0; r < a->n; r++) {
        a->srcs[r] = brought(a, r, a->me);
    }
    if (a->run.op->redop != WH_REDOP_PREMUL_SUM) {
        a->srcs[a->me] = own_block(a);
    }
    void *dst = a->run.op->output;
    arena_combine(a, &dst, 1, a->run.op->count, ARENA_TO_USER);
}

static void take_blocks(const struct wh_arena *a)
{
    const struct arena_run *run = &a->run;
    uint8_t *output = run->op->output;
    size_t nbytes = run->block_nbytes;
    if (run->pattern.from_root) {
        arena_copy(a, output, a->me != run->root ? brought(a, run->root, a->me) : own_block(a),
                   nbytes);
        return;
    }
    for (uint32_t r = 0; r < a->n; r++) {
        arena_copy(a, output + r * nbytes, r != a->me ? brought(a, r, a->me) : own_block(a),
                   nbytes);
    }
}

/* Alone there is nobody to bring anything for. */
static void do_alone(struct wh_arena *a)
{
    const struct wh_op *op = a->run.op;
    if (a->run.block_nbytes == 0) {
        return;
    }
    if (op->redop == WH_REDOP_PREMUL_SUM) {
        arena_bring(a, op->output, op->input, a->run.block_nbytes);
    } else {
        arena_copy(a, op->output, op->input, a->run.block_nbytes);
    }
}

/* Whom this rank has to see before it can go on. */
static whorl_result_t meet(struct wh_arena *a)
{
    if (!arena_receives(a, a->me)) {
        return WHORL_OK;
    }
    return arena_meet(a, a->run.pattern.from_root ? a->run.root : ARENA_ALL);
}

whorl_result_t arena_advance_small(struct wh_arena *a, bool *moved_out)
{
    struct arena_run *run = &a->run;
    if (a->n == 1) {
        do_alone(a);
        run->stage = ARENA_IDLE;
        return WHORL_OK;
    }
    if (run->stage == ARENA_ENTER) {
        whorl_result_t rc = arena_may_enter(a);
        if (rc != WHORL_OK) {
            return rc;
        }
        bring(a);
        arena_enter(a);
        if (!arena_is_rooted(a)) {
            arena_prepare_next(a, arena_brought_nbytes(a));
        }
        run->stage = ARENA_MEET;
        *moved_out = true;
    }
    whorl_result_t rc = meet(a);
    if (rc != WHORL_OK) {
        return rc;
    }
    if (arena_receives(a, a->me) && run->block_nbytes > 0) {
        if (run->pattern.reduces) {
            take_reduced(a);
        } else {
            take_blocks(a);
        }
    }
    run->stage = ARENA_IDLE;
    return WHORL_OK;
}
