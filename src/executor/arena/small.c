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

/* Do two ranks swap the places of what they bring beside the lines of their tags? They do every
 * other time round the slots: see exchange.c. */
static bool is_swapped(const struct wh_arena *a, uint32_t seq)
{
    return a->n == 2 && !arena_is_rooted(a) && (seq / ARENA_NSLOTS & 1) != 0;
}

/* Where rank brings all that it brings in call seq. */
static uint8_t *place_of(const struct wh_arena *a, uint32_t rank, uint32_t seq)
{
    if (arena_brought_nbytes(a) <= ARENA_INLINE_NBYTES) {
        return arena_slot(a, rank, seq)->inside;
    }
    return arena_slot(a, is_swapped(a, seq) ? 1 - rank : rank, seq)->data;
}

/* Where rank's block for `dest` lies. Of two that a rank brings the one for the other rank is
 * first, so that both ranks' are in the same place. */
static uint8_t *brought(const struct wh_arena *a, uint32_t rank, uint32_t dest)
{
    uint32_t index = a->n == 2 ? dest == rank : dest;
    return place_of(a, rank, a->seq) + (a->run.pattern.per_dest ? index * a->run.block_nbytes : 0);
}

static void bring(const struct wh_arena *a)
{
    const struct arena_run *run = &a->run;
    if (!arena_sends(a, a->me) || run->block_nbytes == 0) {
        return;
    }
    if (!run->pattern.per_dest || a->n != 2) {
        arena_bring(a, place_of(a, a->me, a->seq), run->op->input, arena_brought_nbytes(a));
        return;
    }
    for (uint32_t r = 0; r < a->n; r++) {
        if (r != a->me || run->op->redop == WH_REDOP_PREMUL_SUM) {
            arena_bring(a, brought(a, a->me, r),
                        (const uint8_t *)run->op->input + r * run->block_nbytes, run->block_nbytes);
        }
    }
}

/* Takes the lines that the next such call will write back from those who read them: while this rank
 * waits for everyone else that costs nothing, later it would. (Measured with two ranks: 10 to 30 %
 * less time from 8 B to 8 KiB; broadcasts, whose roots wait for nobody, lose a tenth.) Always
 * inline: gcc drops calls of a function that does nothing but this. */
static inline __attribute__((always_inline)) void prepare_next(const struct wh_arena *a)
{
    enum { LINE_NBYTES = 64 };
    uint32_t next = a->seq + 1;
    const uint8_t *place = place_of(a, a->me, next);
    size_t nbytes = a->n == 2 ? a->run.block_nbytes : arena_brought_nbytes(a);
    __builtin_prefetch(arena_slot(a, a->me, next), 1);
    for (size_t at = 0; at < nbytes; at += LINE_NBYTES) {
        __builtin_prefetch(place + at, 1);
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
            prepare_next(a);
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
