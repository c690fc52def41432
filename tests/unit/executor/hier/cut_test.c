/* SPDX-License-Identifier: Apache-2.0 */
#include "executor/hier/internal.h"

#include <criterion/criterion.h>

enum { MIB = 1 << 20 };

static struct hier_cut cut_vector(uint32_t ncells, size_t count, size_t elem_nbytes)
{
    const struct wh_composition k = {.coll = WH_COLL_ALL_REDUCE, .ncells = ncells, .nacross = 1};
    return hier_cut_make(&k, count, elem_nbytes);
}

Test(cut, what_is_short_is_one_piece)
{
    cr_expect_eq(cut_vector(1, 0, 4).npieces, 1);
    cr_expect_eq(cut_vector(1, 1, 4).npieces, 1);
    cr_expect_eq(cut_vector(1, 32768, 4).npieces, 1);
    cr_expect_eq(cut_vector(4, 4 * 32768, 4).npieces, 1);
}

Test(cut, what_is_longer_is_a_few_pieces_and_then_pieces_of_a_mebibyte)
{
    cr_expect_eq(cut_vector(1, MIB / 4, 4).npieces, 4);
    cr_expect_eq(cut_vector(1, 4 * MIB / 4, 4).npieces, 4);
    cr_expect_eq(cut_vector(1, 64 * MIB / 4, 4).npieces, 64);
    cr_expect_eq(cut_vector(8, 64 * MIB / 4, 4).npieces, 8);
}

Test(cut, pieces_cover_a_vector_and_cells_a_piece)
{
    for (size_t count = 1; count < 3000000; count = count * 3 + 7) {
        for (uint32_t ncells = 1; ncells <= 5; ncells++) {
            struct hier_cut cut = cut_vector(ncells, count, 8);
            size_t next = 0;
            for (uint64_t k = 0; k < cut.npieces; k++) {
                struct hier_piece piece = hier_cut_piece(&cut, k);
                cr_assert_eq(piece.start, next);
                cr_assert_gt(piece.nelems, 0);
                for (uint32_t c = 0; c < ncells; c++) {
                    struct wh_cells cell = {c, 1};
                    size_t nelems = hier_cells_nelems(&cut, &piece, cell);
                    cr_assert_eq(hier_cell_displ(&cut, &piece, WH_OUTPUT, c), next);
                    cr_assert_eq(hier_cell_displ(&cut, &piece, WH_SCRATCH, c), next - piece.start);
                    next += nelems;
                }
            }
            cr_assert_eq(next, count);
        }
    }
}

Test(cut, cells_of_all_pieces_but_the_last_are_equal)
{
    struct hier_cut cut = cut_vector(3, 5000000, 4);
    cr_assert_gt(cut.npieces, 2);
    struct hier_piece piece = hier_cut_piece(&cut, 1);
    cr_expect_eq(3 * piece.cell_nelems, piece.nelems);
    cr_expect_eq(piece.cell_nelems % 16, 0);
}

static const struct wh_composition gather = {
    .coll = WH_COLL_ALL_GATHER, .ncells = 1, .nscratch = 6, .nacross = 6, .nranks = 6};

Test(cut, a_piece_of_blocks_is_a_slice_of_each)
{
    struct hier_cut cut = hier_cut_make(&gather, 100000, 4);
    cr_assert_gt(cut.npieces, 1);
    struct hier_piece piece = hier_cut_piece(&cut, 1);
    cr_expect_eq(piece.start, cut.piece_nelems);
    cr_expect_eq(hier_cell_displ(&cut, &piece, WH_OUTPUT, 3), 300000 + piece.start);
    cr_expect_eq(hier_cell_displ(&cut, &piece, WH_SCRATCH, 3), 3 * piece.nelems);
    cr_expect_eq(hier_cells_nelems(&cut, &piece, (struct wh_cells){1, 2}), 2 * piece.nelems);
    cr_expect_geq(hier_scratch_nbytes(&cut, &gather), 6 * 4 * cut.piece_nelems);
    cr_expect_leq(hier_scratch_nbytes(&cut, &gather), MIB + 4096);
}

Test(cut, blocks_of_several_cells_are_done_cell_by_cell_if_they_lie_apart)
{
    static const struct wh_cells blocks[] = {{0, 2}, {2, 3}};
    const struct wh_phase phase = {.nsrc = 1, .src = &blocks[0], .ndst = 2, .dst = blocks};
    struct hier_cut one = hier_cut_make(&gather, 100, 4), many = hier_cut_make(&gather, 100000, 4);
    cr_expect_eq(hier_phase_nparts(&one, &phase), 1);
    cr_expect_eq(hier_phase_nparts(&many, &phase), 3);
    struct hier_cut vector = cut_vector(5, 1000000, 4);
    cr_expect_eq(hier_phase_nparts(&vector, &phase), 1);
}

Test(cut, a_barrier_has_no_elements)
{
    const struct wh_composition k = {.coll = WH_COLL_BARRIER, .nacross = 1};
    struct hier_cut cut = hier_cut_make(&k, 77, 4);
    cr_expect_eq(cut.count, 0);
    cr_expect_eq(cut.npieces, 1);
    cr_expect_eq(hier_scratch_nbytes(&cut, &k), 0);
}
