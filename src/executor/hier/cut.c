/* SPDX-License-Identifier: Apache-2.0 */
/* How buffers are cut into pieces and cells. Pure arithmetic, the same on all ranks. */
#include "base/bits.h"
#include "executor/hier/internal.h"

/*
 * Bytes of a piece on one rail. Pieces are as large as that where there are many; a few are enough
 * to have the host at work meanwhile; and what takes little longer than a message's way is not cut.
 */
enum { PIECE_NBYTES_MAX = 1 << 20, PIECE_NBYTES_MIN = 64 << 10, NPIECES_WANTED = 4 };

static uint64_t count_pieces(size_t rail_nbytes)
{
    if (rail_nbytes <= 2 * PIECE_NBYTES_MIN) {
        return 1;
    }
    size_t nbytes = wh_max_size(wh_min_size(rail_nbytes / NPIECES_WANTED, PIECE_NBYTES_MAX),
                                PIECE_NBYTES_MIN);
    return wh_div_up(rail_nbytes, nbytes);
}

struct hier_cut hier_cut_make(const struct wh_composition *k, size_t count, size_t elem_nbytes)
{
    struct hier_cut cut = {
        .is_blockwise = wh_compose_is_blockwise(k->coll),
        .elem_nbytes = elem_nbytes,
        .count = k->coll == WH_COLL_BARRIER ? 0 : count,
        .ncells = k->ncells > 0 ? k->ncells : 1,
    };
    size_t nbytes = cut.count * elem_nbytes;
    size_t rail_nbytes = cut.is_blockwise ? nbytes * k->nacross : nbytes / cut.ncells * k->nacross;
    size_t even = wh_div_up(cut.count, count_pieces(rail_nbytes));
    size_t grain = 64 / elem_nbytes * cut.ncells; /* cells of all pieces but the last are equal */
    cut.piece_nelems = wh_div_up(wh_max_size(even, 1), grain) * grain;
    cut.npieces = cut.count > 0 ? wh_div_up(cut.count, cut.piece_nelems) : 1;
    return cut;
}

struct hier_piece hier_cut_piece(const struct hier_cut *cut, uint64_t piece)
{
    struct hier_piece p = {.start = (size_t)piece * cut->piece_nelems};
    p.nelems = wh_min_size(cut->piece_nelems, cut->count - p.start);
    p.cell_nelems = p.nelems;
    if (!cut->is_blockwise) {
        /* Equal if possible, else at boundaries of vectors if there are enough of them. */
        size_t even = wh_div_up(p.nelems, cut->ncells), vector = 64 / cut->elem_nbytes;
        bool aligns = p.nelems % cut->ncells != 0 && even >= 4 * vector;
        p.cell_nelems = aligns ? wh_align_up(even, vector) : even;
    }
    return p;
}

/* Where a cell of a vector begins in its piece. */
static size_t vector_displ(const struct hier_piece *piece, uint32_t cell)
{
    return wh_min_size((size_t)cell * piece->cell_nelems, piece->nelems);
}

size_t hier_cell_displ(const struct hier_cut *cut, const struct hier_piece *piece, enum wh_buf buf,
                       uint32_t cell)
{
    if (buf == WH_SCRATCH) {
        return cut->is_blockwise ? cell * piece->nelems : vector_displ(piece, cell);
    }
    return piece->start + (cut->is_blockwise ? cell * cut->count : vector_displ(piece, cell));
}

size_t hier_cells_nelems(const struct hier_cut *cut, const struct hier_piece *piece,
                         struct wh_cells cells)
{
    return cut->is_blockwise
               ? cells.n * piece->nelems
               : vector_displ(piece, cells.first + cells.n) - vector_displ(piece, cells.first);
}

static uint32_t most_cells(const struct wh_cells *cells, uint32_t n)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < n; i++) {
        most = cells[i].n > most ? cells[i].n : most;
    }
    return most;
}

uint32_t hier_phase_nparts(const struct hier_cut *cut, const struct wh_phase *phase)
{
    if (!cut->is_blockwise || cut->npieces == 1) {
        return 1;
    }
    uint32_t most_src = most_cells(phase->src, phase->nsrc);
    uint32_t most_dst = most_cells(phase->dst, phase->ndst);
    return most_src > most_dst ? most_src : most_dst;
}

size_t hier_scratch_nbytes(const struct hier_cut *cut, const struct wh_composition *k)
{
    if (k->nscratch == 0) {
        return 0;
    }
    size_t nelems = wh_min_size(cut->piece_nelems, cut->count);
    size_t nbytes = nelems * cut->elem_nbytes * (cut->is_blockwise ? k->nscratch : 1);
    return wh_align_up(nbytes, WH_LINE_NBYTES);
}
