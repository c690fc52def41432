/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic of the arena: kernels, and reductions that are functions of the user's. */
#include "base/bits.h"
#include "executor/arena/internal.h"

#include <string.h>

/* A function of the user's takes two operands and may not see them change: blocks of the result
 * grow in a buffer of their own. */
static void combine_by_user(struct wh_arena *a, void *const *dsts, size_t ndsts, size_t nelems)
{
    enum { BLOCK_NBYTES = 8192 };
    uint8_t block[BLOCK_NBYTES] __attribute__((aligned(64)));
    const struct wh_op *op = a->run.op;
    size_t elem = a->run.elem_nbytes;
    size_t most = BLOCK_NBYTES / elem;

    for (size_t at = 0; at < nelems; at += most) {
        size_t now = wh_min_size(most, nelems - at);
        memcpy(block, (const uint8_t *)a->srcs[0] + at * elem, now * elem);
        for (uint32_t r = 1; r < a->n; r++) {
            op->user.fn((const uint8_t *)a->srcs[r] + at * elem, block, now, op->dtype,
                        op->user.ctx);
        }
        for (size_t i = 0; i < ndsts; i++) {
            memcpy((uint8_t *)dsts[i] + at * elem, block, now * elem);
        }
    }
}

void arena_combine_level(const struct wh_arena *a, const struct wh_combine *job)
{
    static const uint8_t kernel[] = {
        [WHORL_SUM] = WH_KERNEL_SUM, [WHORL_PROD] = WH_KERNEL_PROD,
        [WHORL_MAX] = WH_KERNEL_MAX, [WHORL_MIN] = WH_KERNEL_MIN,
        [WHORL_AVG] = WH_KERNEL_SUM, [WH_REDOP_PREMUL_SUM] = WH_KERNEL_SUM,
    };
    const struct wh_op *op = a->run.op;
    a->kernels->combine[op->dtype][kernel[op->redop]](job);
}

uint32_t arena_divisor(const struct wh_arena *a)
{
    const struct wh_op *op = a->run.op;
    uint32_t nparts = op->avg_nparts > 0 ? op->avg_nparts : a->n;
    return op->redop == WHORL_AVG ? nparts : 1;
}

/* Two levels, block by block: the results of groups stay in cache. They are of the dtype, so small
 * floats are rounded once in every level. */
static void combine_by_groups(struct wh_arena *a, void *const *dsts, size_t ndsts, size_t nelems,
                              enum arena_dst where)
{
    enum { PARTIALS_NBYTES = 256 * WH_ARENA_NGROUPS_MAX };
    uint8_t partials[PARTIALS_NBYTES] __attribute__((aligned(64)));
    size_t elem = a->run.elem_nbytes;
    size_t partial_nbytes = PARTIALS_NBYTES / a->ngroups & ~(size_t)63;
    size_t most = partial_nbytes / elem;

    for (size_t at = 0; at < nelems; at += most) {
        size_t now = wh_min_size(most, nelems - at);
        for (uint32_t g = 0; g < a->ngroups; g++) {
            for (uint32_t i = 0; i < a->nplaces; i++) {
                a->level_srcs[i] = (const uint8_t *)a->srcs[arena_rank_at(a, g, i)] + at * elem;
            }
            void *const partial[] = {partials + g * partial_nbytes};
            arena_combine_level(a, &(struct wh_combine){
                                       .dsts = partial,
                                       .ndsts = 1,
                                       .srcs = a->level_srcs,
                                       .nsrcs = a->nplaces,
                                       .nelems = now,
                                   });
        }
        for (uint32_t g = 0; g < a->ngroups; g++) {
            a->level_srcs[g] = partials + g * partial_nbytes;
        }
        for (size_t i = 0; i < ndsts; i++) {
            a->level_dsts[i] = (uint8_t *)dsts[i] + at * elem;
        }
        arena_combine_level(a, &(struct wh_combine){
                                   .dsts = a->level_dsts,
                                   .ndsts = ndsts,
                                   .srcs = a->level_srcs,
                                   .nsrcs = a->ngroups,
                                   .nelems = now,
                                   .divisor = arena_divisor(a),
                                   .streaming = where == ARENA_TO_USER && a->run.is_streaming,
                               });
    }
}

void arena_combine(struct wh_arena *a, void *const *dsts, size_t ndsts, size_t nelems,
                   enum arena_dst where)
{
    /* A function of the user's need not be commutative, and groups may be of any ranks. */
    if (a->run.op->redop == WH_REDOP_USER) {
        combine_by_user(a, dsts, ndsts, nelems);
        return;
    }
    if (a->ngroups > 1) {
        combine_by_groups(a, dsts, ndsts, nelems, where);
        return;
    }
    const struct wh_combine job = {
        .dsts = dsts,
        .ndsts = ndsts,
        .srcs = a->srcs,
        .nsrcs = a->n,
        .nelems = nelems,
        .divisor = arena_divisor(a),
        .from_memory = where == ARENA_TO_STAGING && a->run.is_streaming,
        .streaming = where == ARENA_TO_USER && a->run.is_streaming,
    };
    arena_combine_level(a, &job);
}

bool arena_fills_caches(const struct wh_arena *a, size_t in_nbytes, size_t out_nbytes)
{
    /* A quarter of the last-level cache: the rest is what others leave to us. A result that is
     * written over an input finds lines that are there already, and storing past the caches would
     * first throw them out. */
    const struct wh_op *op = a->run.op;
    uintptr_t in = (uintptr_t)op->input, out = (uintptr_t)op->output;
    bool is_over_input = a->run.pattern.reduces && out >= in && out - in < in_nbytes;
    return !is_over_input && a->n * (in_nbytes + out_nbytes) >= a->llc_nbytes / 4;
}

/* From this size on copies are worth a look at where they come from and go to. */
enum { LONG_NBYTES = 16384 };

/* From one place to the other, which do not overlap. */
static void copy_long(const struct wh_arena *a, void *dst, const void *src, size_t nbytes,
                      enum arena_dst where)
{
    void *const dsts[] = {dst};
    const void *const srcs[] = {src};
    a->kernels->combine[WHORL_UINT8][WH_KERNEL_SUM](&(struct wh_combine){
        .dsts = dsts,
        .ndsts = 1,
        .srcs = srcs,
        .nsrcs = 1,
        .nelems = nbytes,
        .from_memory = where == ARENA_TO_STAGING && a->run.is_streaming,
        .streaming = where == ARENA_TO_USER && a->run.is_streaming,
    });
}

void arena_bring(const struct wh_arena *a, void *dst, const void *src, size_t nbytes)
{
    const struct wh_op *op = a->run.op;
    if (op->redop == WH_REDOP_PREMUL_SUM) {
        a->kernels->scale[op->dtype](dst, src, op->premul_scalar, nbytes / a->run.elem_nbytes);
    } else if (nbytes >= LONG_NBYTES) {
        copy_long(a, dst, src, nbytes, ARENA_TO_STAGING);
    } else {
        memcpy(dst, src, nbytes);
    }
}

void arena_copy(const struct wh_arena *a, void *dst, const void *src, size_t nbytes)
{
    if (dst == src || nbytes == 0) {
        return;
    }
    if (nbytes >= LONG_NBYTES) {
        copy_long(a, dst, src, nbytes, ARENA_TO_USER);
    } else {
        memcpy(dst, src, nbytes);
    }
}

void arena_copy_pair(const struct wh_arena *a, const struct arena_piece *theirs,
                     const struct arena_piece *own)
{
    bool is_pair = theirs->nbytes == own->nbytes && own->nbytes >= LONG_NBYTES &&
                   own->dst != own->src && !a->run.is_streaming;
    if (is_pair) {
        void *const dsts[] = {theirs->dst, own->dst};
        const void *const srcs[] = {theirs->src, own->src};
        a->kernels->copy_pair(dsts, srcs, own->nbytes);
        return;
    }
    arena_copy(a, own->dst, own->src, own->nbytes);
    arena_copy(a, theirs->dst, theirs->src, theirs->nbytes);
}
