/* SPDX-License-Identifier: Apache-2.0 */
/* From a phase to the operation that does it. */
#include "base/log.h"
#include "executor/hier/internal.h"

#include <stdlib.h>
#include <string.h>

/* One side of an operation: blocks of a buffer. */
struct side {
    uint8_t *at;   /* where the first block is, or the buffer begins if displs count */
    size_t nelems; /* of each block, if all are alike and side by side; else of the own block */
    bool is_plain; /* they are; counts and displs say nothing new */
};

whorl_result_t hier_part_init(struct hier_part *part, uint32_t nmembers)
{
    size_t *arrays = calloc(4 * (size_t)nmembers, sizeof(*arrays));
    if (arrays == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for the blocks of %u ranks",
                       nmembers);
    }
    part->send_counts = arrays;
    part->send_displs = arrays + nmembers;
    part->recv_counts = arrays + 2 * (size_t)nmembers;
    part->recv_displs = arrays + 3 * (size_t)nmembers;
    return WHORL_OK;
}

void hier_part_fini(struct hier_part *part)
{
    free(part->send_counts);
    *part = (struct hier_part){.is_busy = false};
}

static uint8_t *buffer(const struct wh_hier *hier, enum wh_buf buf, uint64_t piece)
{
    const struct wh_op *op = hier->run.op;
    if (buf == WH_SCRATCH) {
        return hier->scratch + (size_t)(piece % HIER_NSCRATCHES) * hier->scratch_nbytes;
    }
    return buf == WH_INPUT ? (uint8_t *)(uintptr_t)op->input : op->output;
}

static uint8_t *forward(uint8_t *at, size_t nelems, size_t elem_nbytes)
{
    return at != NULL ? at + nelems * elem_nbytes : NULL; /* ranks need not have every buffer */
}

/* Of a block, what is done in the cell-th of several operations. */
static struct wh_cells narrow(struct wh_cells block, uint32_t cell, bool is_cellwise)
{
    if (!is_cellwise) {
        return block;
    }
    return (struct wh_cells){block.first + cell, cell < block.n ? 1 : 0};
}

/* What is to be known of one side of an operation. */
struct view {
    const struct wh_hier *hier;
    struct hier_piece piece;
    uint64_t number; /* of the piece */
    uint32_t cell;
    bool is_cellwise;
};

static struct side make_side(const struct view *v, enum wh_buf buf, const struct wh_cells *blocks,
                             uint32_t nblocks, size_t *counts, size_t *displs)
{
    const struct hier_cut *cut = &v->hier->run.cut;
    struct side side = {.at = buffer(v->hier, buf, v->number), .is_plain = true};
    for (uint32_t i = 0; i < nblocks; i++) {
        struct wh_cells block = narrow(blocks[i], v->cell, v->is_cellwise);
        counts[i] = hier_cells_nelems(cut, &v->piece, block);
        displs[i] = counts[i] > 0 ? hier_cell_displ(cut, &v->piece, buf, block.first) : 0;
        side.is_plain &= counts[i] == counts[0] && displs[i] == displs[0] + i * counts[0];
    }
    side.is_plain |= nblocks == 1;
    if (side.is_plain && nblocks > 0) {
        side.nelems = counts[0];
        side.at = forward(side.at, displs[0], cut->elem_nbytes);
    }
    return side;
}

static enum wh_coll with_counts(enum wh_coll coll)
{
    switch (coll) {
    case WH_COLL_ALL_GATHER:
        return WH_COLL_ALL_GATHER_V;
    case WH_COLL_REDUCE_SCATTER:
        return WH_COLL_REDUCE_SCATTER_V;
    case WH_COLL_ALL_TO_ALL:
        return WH_COLL_ALL_TO_ALL_V;
    case WH_COLL_GATHER:
        return WH_COLL_GATHER_V;
    case WH_COLL_SCATTER:
        return WH_COLL_SCATTER_V;
    default:
        return coll;
    }
}

/* What each rank multiplies, and what the sum is divided by, happens in one phase each. */
static void set_redop(const struct wh_hier *hier, const struct wh_phase *phase, struct wh_op *op)
{
    const struct wh_op *call = hier->run.op;
    op->redop = wh_coll_reduces(phase->coll) ? call->redop : WH_REDOP_NONE;
    if (op->redop == WH_REDOP_PREMUL_SUM && phase->scales) {
        memcpy(op->premul_scalar, call->premul_scalar, sizeof(op->premul_scalar));
    } else if (op->redop == WH_REDOP_PREMUL_SUM ||
               (op->redop == WHORL_AVG && !phase->finishes)) {
        op->redop = WHORL_SUM;
    } else if (op->redop == WHORL_AVG) {
        op->avg_nparts = hier->env.hosts->nranks;
    }
}

/* Ranks that are not in the same operation of the same call find out. */
static uint8_t number_part(const struct wh_hier *hier, const struct wh_phase *phase, uint64_t piece,
                           uint32_t cell)
{
    const char *algo = hier->run.composition->algo;
    uint64_t number = phase->id + hier->run.composition->nids * piece + UINT64_C(13) * cell;
    for (const char *c = algo; *c != '\0'; c++) {
        number = number * 31 + (uint8_t)*c;
    }
    return (uint8_t)(number % 251);
}

/* Only those sides that have blocks for the members say so. */
static void set_blocks(struct hier_part *part, const struct wh_phase *phase, const struct side *src,
                       const struct side *dst)
{
    const uint32_t n = phase->nranks;
    struct wh_op *op = &part->op;
    bool has_send = phase->nsrc == n && n > 1, has_recv = phase->ndst == n && n > 1;
    bool in_arena = phase->place != WH_PHASE_ACROSS;
    if (has_send && has_recv && phase->coll == WH_COLL_ALL_TO_ALL) {
        op->count = part->send_counts[phase->me];
    } else {
        op->count = has_send ? part->recv_counts[0] : part->send_counts[0];
    }
    if (src->is_plain && dst->is_plain) {
        return;
    }
    bool sends = !in_arena || phase->coll != WH_COLL_SCATTER || phase->me == phase->root;
    bool receives = !in_arena || phase->coll != WH_COLL_GATHER || phase->me == phase->root;
    if (has_send && sends) {
        op->send_counts = part->send_counts;
        op->send_displs = part->send_displs;
    }
    if (has_recv && receives) {
        op->recv_counts = part->recv_counts;
        op->recv_displs = part->recv_displs;
    }
    if (in_arena) {
        part->coll = with_counts(phase->coll);
        op->count = part->coll == WH_COLL_ALL_TO_ALL_V ? 0 : op->count;
    }
}

void hier_part_make(const struct wh_hier *hier, struct hier_part *part,
                    const struct wh_phase *phase, uint64_t piece, uint32_t cell)
{
    const struct hier_run *run = &hier->run;
    struct view v = {.hier = hier,
                     .piece = hier_cut_piece(&run->cut, piece),
                     .number = piece,
                     .cell = cell,
                     .is_cellwise = hier_phase_nparts(&run->cut, phase) > 1};
    part->coll = phase->coll;
    part->as = run->signature;
    part->as.algo = number_part(hier, phase, piece, cell);
    part->op = (struct wh_op){.dtype = run->op->dtype, .seq = run->op->seq, .as = &part->as};
    set_redop(hier, phase, &part->op);
    if (phase->coll == WH_COLL_BARRIER) {
        return;
    }
    struct side src = make_side(&v, phase->from, phase->src, phase->nsrc, part->send_counts,
                                part->send_displs);
    struct side dst =
        make_side(&v, phase->to, phase->dst, phase->ndst, part->recv_counts, part->recv_displs);
    /* Both sides or none: with counts, blocks are where displacements say. */
    if (src.is_plain != dst.is_plain) {
        struct side *plain = src.is_plain ? &src : &dst;
        bool has_blocks = (src.is_plain ? phase->nsrc : phase->ndst) > 1;
        plain->at = has_blocks ? buffer(hier, src.is_plain ? phase->from : phase->to, piece)
                               : plain->at;
    }
    part->op.input = src.at;
    part->op.output = dst.at;
    set_blocks(part, phase, &src, &dst);
}
