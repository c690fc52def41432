/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks through staging: everything but reductions of whole vectors by more than two ranks. (Two
 * ranks read as much of each other in one shot as in two.)
 *
 * Every block is cut into as many parts as there are chunks; a chunk of a sender holds a part of
 * each of its blocks, so all receivers have work in every chunk, however uneven the blocks are.
 *
 *     fill(0), enter
 *     for k = 1, 2, ...:  wait; take(k - 1); fill(k); publish step k
 *     wait; take(last)
 *
 * Step k says that chunk k is filled and chunk k - 1 taken. A rank fills chunk k after everyone has
 * published step k - 1, that is, has taken chunk k - 2, which was in the same buffer: two buffers
 * and one wait per chunk suffice.
 *
 * The own block never goes through staging.
 *
 * Lines change hands: a block that one rank alone reads is staged where this rank staged what it
 * brought for that one the last time round, so that ranks write to lines that they have read, which
 * their own caches hold, and need not first take them from the caches of others. Of what a line
 * costs between two cores that is half. (Measured with two ranks on two cores of a Xeon of 2023: a
 * fifth less time from 16 KiB to 1 MiB. See docs/decisions/0014-lines-change-hands.md.)
 */
#include "base/bits.h"
#include "executor/arena/internal.h"

#include <string.h>

enum {
    PART_ALIGN_NBYTES = 64,
    ROOTED_LEAST_NBYTES = 8192, /* chunk of a rooted collective */
};

static size_t part_of(size_t nbytes, uint64_t nchunks)
{
    return wh_align_up(wh_div_up(nbytes, nchunks), PART_ALIGN_NBYTES);
}

/* Place of the block for `dest` among those that rank stages, its own left out. */
static size_t place_of(uint32_t rank, uint32_t dest)
{
    return dest - (dest > rank);
}

void arena_exchange_plan(struct wh_arena *a)
{
    struct arena_run *run = &a->run;
    const struct arena_pattern *p = &run->pattern;
    size_t nbytes = run->block_nbytes;
    size_t nstaged = p->per_dest ? a->n - 1 : 1;
    size_t most = a->chunk_nbytes / nstaged & ~(size_t)(PART_ALIGN_NBYTES - 1);
    if (arena_is_rooted(a)) {
        /* One side fills while the other takes, so there should be a few chunks. */
        size_t fourth = wh_align_up(wh_div_up(nbytes, 4), PART_ALIGN_NBYTES);
        most = wh_min_size(most, wh_max_size(fourth, ROOTED_LEAST_NBYTES));
    }
    run->nchunks = wh_div_up(nbytes, most);
    size_t part = part_of(nbytes, run->nchunks);
    arena_stage_plan(a, nstaged * part);
    for (uint32_t r = 0; r < a->n; r++) {
        size_t from_all = p->from_root || p->reduces ? 0 : r * nbytes;
        a->in[r] = (struct arena_block){nbytes, part, p->per_dest ? place_of(r, a->me) * part : 0,
                                        from_all};
        a->out[r] = (struct arena_block){nbytes, part, p->per_dest ? place_of(a->me, r) * part : 0,
                                         p->per_dest ? r * nbytes : 0};
    }
}

/* How counts.c plans: blocks and where they are for the user is known, parts are not. */
whorl_result_t arena_exchange_plan_v(struct wh_arena *a, size_t most_nbytes)
{
    struct arena_run *run = &a->run;
    run->nchunks = wh_div_up(most_nbytes, a->chunk_nbytes - a->n * PART_ALIGN_NBYTES);
    arena_stage_plan(a, a->chunk_nbytes);
    size_t staged = 0, in_nbytes = 0, out_nbytes = 0;
    for (uint32_t r = 0; r < a->n; r++) {
        in_nbytes += a->out[r].nbytes;
        out_nbytes += a->in[r].nbytes;
        a->out[r].part_nbytes = part_of(a->out[r].nbytes, run->nchunks);
        a->out[r].staged = run->pattern.per_dest ? staged : 0;
        staged += r == a->me ? 0 : a->out[r].part_nbytes;
    }
    for (uint32_t r = 0; r < a->n; r++) {
        a->in[r].part_nbytes = part_of(a->in[r].nbytes, run->nchunks);
        a->in[r].staged = arena_counts_staged(a, r, run->nchunks);
        if (a->in[r].staged + a->in[r].part_nbytes > a->chunk_nbytes) {
            return arena_counts_damaged(a, r);
        }
    }
    run->is_streaming = arena_fills_caches(a, in_nbytes, out_nbytes);
    return WHORL_OK;
}

/* Bytes of part k of a block. */
static size_t part_nbytes(const struct arena_block *b, uint64_t k)
{
    size_t start = wh_min_size((size_t)k * b->part_nbytes, b->nbytes);
    return wh_min_size(b->part_nbytes, b->nbytes - start);
}

/* Do ranks swap the places of their blocks in this round? They may where both take as much room. */
static bool is_swapped(const struct wh_arena *a, uint64_t k)
{
    bool one_reader = a->n == 2 || (a->run.pattern.per_dest && !wh_coll_is_v(a->run.coll));
    return one_reader && arena_is_odd_round(a, k);
}

/* Where the block for `rank` is staged. */
static uint8_t *staged_for(const struct wh_arena *a, uint32_t rank, uint64_t k)
{
    if (is_swapped(a, k)) {
        return arena_staging(a, rank, k) + a->in[rank].staged;
    }
    return arena_staging(a, a->me, k) + a->out[rank].staged;
}

/* Where `rank` stages the block for this one. */
static const uint8_t *staged_by(const struct wh_arena *a, uint32_t rank, uint64_t k)
{
    if (is_swapped(a, k)) {
        return arena_staging(a, a->me, k) + a->out[rank].staged;
    }
    return arena_staging(a, rank, k) + a->in[rank].staged;
}

/* Part k of the block that stays here, from the user's one buffer to the other. */
static struct arena_piece own_piece(const struct wh_arena *a, uint64_t k)
{
    const struct arena_block *in = &a->in[a->me], *out = &a->out[a->me];
    if (a->run.pattern.reduces || !arena_sends(a, a->me) || !arena_receives(a, a->me)) {
        return (struct arena_piece){0};
    }
    size_t at = (size_t)k * in->part_nbytes;
    return (struct arena_piece){(uint8_t *)a->run.op->output + in->user + at,
                                (const uint8_t *)a->run.op->input + out->user + at,
                                part_nbytes(in, k)};
}

static void fill_block(const struct wh_arena *a, const struct arena_block *b, uint8_t *to,
                       uint64_t k)
{
    size_t nbytes = part_nbytes(b, k);
    if (nbytes > 0) {
        arena_bring(a, to, (const uint8_t *)a->run.op->input + b->user + (size_t)k * b->part_nbytes,
                    nbytes);
    }
}

void arena_exchange_fill(struct wh_arena *a, uint64_t k)
{
    if (!arena_sends(a, a->me) || a->n == 1) {
        return;
    }
    if (!a->run.pattern.per_dest) {
        uint32_t someone = a->me > 0 ? 0 : 1;
        fill_block(a, &a->out[a->me], staged_for(a, someone, k), k);
        return;
    }
    for (uint32_t r = 0; r < a->n; r++) {
        if (r != a->me) {
            fill_block(a, &a->out[r], staged_for(a, r, k), k);
        }
    }
}

/* The own operand of a reduction: where the user has it, or multiplied in the result's place. */
static const void *own_operand(const struct wh_arena *a, uint8_t *dst, uint64_t k)
{
    const struct arena_block *out = &a->out[a->me];
    const uint8_t *own =
        (const uint8_t *)a->run.op->input + out->user + (size_t)k * out->part_nbytes;
    if (a->run.op->redop != WH_REDOP_PREMUL_SUM) {
        return own;
    }
    arena_bring(a, dst, own, part_nbytes(out, k));
    return dst;
}

static void take_reduced(struct wh_arena *a, uint64_t k)
{
    const struct arena_block *in = &a->in[a->me];
    size_t nbytes = part_nbytes(in, k);
    if (nbytes == 0) {
        return;
    }
    uint8_t *dst = (uint8_t *)a->run.op->output + (size_t)k * in->part_nbytes;
    for (uint32_t r = 0; r < a->n; r++) {
        a->srcs[r] = staged_by(a, r, k);
    }
    a->srcs[a->me] = own_operand(a, dst, k);
    void *const dsts[] = {dst};
    arena_combine(a, dsts, 1, nbytes / a->run.elem_nbytes, ARENA_TO_USER);
}

static void take(struct wh_arena *a, uint64_t k)
{
    if (!arena_receives(a, a->me)) {
        return;
    }
    if (a->run.pattern.reduces) {
        take_reduced(a, k);
        return;
    }
    /* The first one beside the block that stays here. */
    struct arena_piece own = own_piece(a, k);
    for (uint32_t i = 1; i < a->n; i++) {
        uint32_t r = a->me + i < a->n ? a->me + i : a->me + i - a->n;
        const struct arena_block *b = &a->in[r];
        if (arena_sends(a, r) && part_nbytes(b, k) > 0) { /* the user's buffer may be NULL */
            const struct arena_piece theirs = {(uint8_t *)a->run.op->output + b->user +
                                                   (size_t)k * b->part_nbytes,
                                               staged_by(a, r, k), part_nbytes(b, k)};
            arena_copy_pair(a, &theirs, &own);
            own.nbytes = 0;
        }
    }
    arena_copy(a, own.dst, own.src, own.nbytes);
}

whorl_result_t arena_exchange_body(struct wh_arena *a, bool *moved_out)
{
    struct arena_run *run = &a->run;
    uint32_t whom = arena_is_rooted(a) && a->me != run->root ? run->root : ARENA_ALL;
    for (;;) {
        uint64_t k = run->chunk;
        bool is_last = k + 1 == run->nchunks;
        /* Whoever only sends is not interested in what happens to its last chunk. */
        bool waits = k > 0 && !(is_last && !arena_receives(a, a->me));
        whorl_result_t rc = waits ? arena_await(a, k, whom) : WHORL_OK;
        if (rc != WHORL_OK) {
            return rc;
        }
        take(a, k);
        if (is_last) {
            break;
        }
        arena_exchange_fill(a, k + 1);
        arena_publish(a, k + 1);
        run->chunk++;
        *moved_out = true;
    }
    arena_stage_end(a);
    arena_finish(a, run->nchunks);
    return WHORL_OK;
}
