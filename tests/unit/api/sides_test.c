/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of different sizes: where they may lie, and what is said when they may not. */
#include "api/sides.h"
#include "base/log.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { RANK = 1, N = 4 };

static char buf[64];
static const size_t nelems_max = PTRDIFF_MAX / 8;

static struct wh_side varying(const void *at, const size_t *counts, const size_t *displs)
{
    return (struct wh_side){.buf = at,
                            .used = true,
                            .per_rank = true,
                            .varying = true,
                            .counts = counts,
                            .displs = displs};
}

static struct wh_side single(const void *at, size_t count)
{
    return (struct wh_side){.buf = at, .used = true, .count = count};
}

static struct wh_sides sides_of(enum wh_coll coll, struct wh_side send, struct wh_side recv)
{
    return (struct wh_sides){.call = "whorl_test",
                             .coll = coll,
                             .rank = RANK,
                             .nranks = N,
                             .elem_nbytes = 1,
                             .send = send,
                             .recv = recv};
}

static void expect_fine(struct wh_sides s)
{
    cr_expect_eq(wh_sides_check(&s), WHORL_OK, "%s", wh_error_get());
}

static void expect_refused(struct wh_sides s, const char *says)
{
    cr_expect_eq(wh_sides_check(&s), WHORL_E_ARG, "%s", says);
    cr_expect_str_eq(wh_error_get(), says);
}

Test(sides, blocks_lie_one_behind_the_other_without_displacements)
{
    static const size_t counts[N] = {3, 5, 0, 2};
    struct wh_sides s =
        sides_of(WH_COLL_ALL_GATHER_V, single(buf + 10, 5), varying(buf, counts, NULL));
    cr_expect_eq(wh_sides_check(&s), WHORL_OK);
    cr_expect_eq(s.recv.first, 0);
    cr_expect_eq(s.recv.end, 10);
    cr_expect_eq(s.recv.own_start, 3);
    cr_expect_eq(s.recv.own_count, 5);
    cr_expect_eq(s.send.end, 5);
}

Test(sides, reach_from_the_least_displacement_to_the_last_end)
{
    static const size_t counts[N] = {3, 0, 4, 2}, displs[N] = {20, 900, 7, 11};
    struct wh_sides s =
        sides_of(WH_COLL_ALL_GATHER_V, single(NULL, 0), varying(buf, counts, displs));
    cr_expect_eq(wh_sides_check(&s), WHORL_OK);
    cr_expect_eq(s.recv.first, 7);
    cr_expect_eq(s.recv.end, 23);
}

Test(sides, without_counts_are_refused_only_where_they_are_used)
{
    struct wh_side none = varying(buf, NULL, NULL);
    expect_refused(sides_of(WH_COLL_GATHER_V, single(buf, 1), none),
                   "whorl_test: recvcounts is NULL");
    expect_refused(sides_of(WH_COLL_SCATTER_V, none, single(buf, 1)),
                   "whorl_test: sendcounts is NULL");
    none.used = false;
    expect_fine(sides_of(WH_COLL_GATHER_V, single(buf, 1), none));
}

Test(sides, null_buffers_are_fine_for_empty_blocks)
{
    static const size_t some[N] = {0, 0, 0, 1}, none[N];
    expect_fine(
        sides_of(WH_COLL_ALL_TO_ALL_V, varying(NULL, none, NULL), varying(NULL, none, some)));
    expect_refused(
        sides_of(WH_COLL_ALL_TO_ALL_V, varying(NULL, some, NULL), varying(buf, some, NULL)),
        "whorl_test: sendbuf is NULL");
    expect_refused(
        sides_of(WH_COLL_ALL_TO_ALL_V, varying(buf, some, NULL), varying(NULL, some, NULL)),
        "whorl_test: recvbuf is NULL");
}

Test(sides, sizes_that_no_memory_holds_are_refused)
{
    static const size_t none[N];
    struct wh_side empty = varying(NULL, none, NULL);
    size_t counts[N] = {1, 0, SIZE_MAX, 0}, displs[N] = {0};
    char text[128];
    expect_refused(sides_of(WH_COLL_ALL_TO_ALL_V, varying(buf, counts, NULL), empty),
                   "whorl_test: sendcounts[2] 18446744073709551615 is too large");

    counts[2] = nelems_max; /* fits alone, but not after another one */
    snprintf(text, sizeof(text), "whorl_test: recvcounts[2] %zu is too large", counts[2]);
    expect_refused(sides_of(WH_COLL_ALL_TO_ALL_V, empty, varying(buf, counts, NULL)), text);
    expect_refused(sides_of(WH_COLL_ALL_TO_ALL_V, empty, varying(buf, counts, displs)), text);

    counts[2] = 2;
    displs[2] = SIZE_MAX; /* the end of the block wraps around */
    expect_refused(sides_of(WH_COLL_ALL_TO_ALL_V, empty, varying(buf, counts, displs)),
                   "whorl_test: recvdispls[2] 18446744073709551615 is too large");
    displs[2] = nelems_max - 1;
    snprintf(text, sizeof(text), "whorl_test: recvdispls[2] %zu is too large", displs[2]);
    expect_refused(sides_of(WH_COLL_ALL_TO_ALL_V, empty, varying(buf, counts, displs)), text);
    displs[2]--;
    expect_fine(sides_of(WH_COLL_ALL_TO_ALL_V, empty, varying(buf, counts, displs)));

    expect_refused(sides_of(WH_COLL_GATHER_V, single(buf, SIZE_MAX), empty),
                   "whorl_test: sendcount 18446744073709551615 is too large");
    expect_refused(sides_of(WH_COLL_SCATTER_V, empty, single(buf, nelems_max + 1)),
                   "whorl_test: recvcount 1152921504606846976 is too large");
}

Test(sides, the_own_block_has_one_size)
{
    static const size_t counts[N] = {3, 5, 0, 2}, others[N] = {3, 4, 0, 2};
    struct wh_side many = varying(buf, counts, NULL);
    expect_refused(sides_of(WH_COLL_ALL_GATHER_V, single(buf + 32, 4), many),
                   "whorl_test: sendcount is 4, but recvcounts[1] is 5; both are the size of this "
                   "rank's own block");
    expect_refused(sides_of(WH_COLL_REDUCE_SCATTER_V, many, single(buf + 32, 0)),
                   "whorl_test: sendcounts[1] is 5, but recvcount is 0; both are the size of this "
                   "rank's own block");
    expect_refused(sides_of(WH_COLL_ALL_TO_ALL_V, many, varying(buf + 32, others, NULL)),
                   "whorl_test: sendcounts[1] is 5, but recvcounts[1] is 4; both are the size of "
                   "this rank's own block");
    /* Elsewhere than on root there is nothing to compare with. */
    many.used = false;
    expect_fine(sides_of(WH_COLL_GATHER_V, single(buf + 32, 4), many));
}

Test(sides, blocks_that_are_written_are_compared_with_their_neighbours)
{
    static const size_t counts[N] = {4, 2, 0, 4};
    struct wh_side out = single(buf + 32, 2);
    size_t displs[N] = {0, 4, 1, 6};
    expect_fine(sides_of(WH_COLL_ALL_GATHER_V, out, varying(buf, counts, displs)));
    displs[1] = 3;
    expect_refused(sides_of(WH_COLL_ALL_GATHER_V, out, varying(buf, counts, displs)),
                   "whorl_test: blocks 0 and 1 of recvbuf overlap, by recvcounts and recvdispls");
    displs[1] = 4;
    displs[3] = 5; /* an empty block between them hides nothing */
    expect_refused(sides_of(WH_COLL_ALL_GATHER_V, out, varying(buf, counts, displs)),
                   "whorl_test: blocks 1 and 3 of recvbuf overlap, by recvcounts and recvdispls");
    displs[3] = 1; /* around */
    expect_refused(sides_of(WH_COLL_ALL_GATHER_V, out, varying(buf, counts, displs)),
                   "whorl_test: blocks 1 and 3 of recvbuf overlap, by recvcounts and recvdispls");
    /* Reading the same twice is fine. */
    expect_fine(sides_of(WH_COLL_REDUCE_SCATTER_V, varying(buf, counts, displs), out));
}

Test(sides, overlap_only_in_place)
{
    static const char single_in[] = "whorl_test: sendbuf and recvbuf overlap; in place means "
                                    "sendbuf == this rank's block of recvbuf";
    static const char single_out[] = "whorl_test: sendbuf and recvbuf overlap; in place means "
                                     "recvbuf == this rank's block of sendbuf";
    static const size_t counts[N] = {4, 4, 0, 4}, displs[N] = {12, 8, 0, 20};
    struct wh_side many = varying(buf, counts, displs); /* 8 to 24, own from 8 */
    static const struct {
        int at;
        bool ok;
    } rows[] = {{8, true},  {9, false},  {12, false}, {4, true},
                {5, false}, {16, false}, {23, false}, {24, true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wh_side one = single(buf + rows[i].at, 4);
        struct wh_sides gather = sides_of(WH_COLL_ALL_GATHER_V, one, many);
        struct wh_sides scatter = sides_of(WH_COLL_REDUCE_SCATTER_V, many, one);
        if (rows[i].ok) {
            expect_fine(gather);
            expect_fine(scatter);
        } else {
            expect_refused(gather, single_in);
            expect_refused(scatter, single_out);
        }
    }
    expect_refused(sides_of(WH_COLL_ALL_TO_ALL_V, many, many),
                   "whorl_test: sendbuf and recvbuf overlap; this call has no in place");
    expect_fine(sides_of(WH_COLL_ALL_TO_ALL_V, many, varying(buf + 16, counts, displs)));
}

Test(sides, reduce_scatter_v_in_place_needs_blocks_that_are_apart)
{
    static const size_t counts[N] = {4, 4, 4, 4}, displs[N] = {0, 2, 8, 12};
    struct wh_side many = varying(buf, counts, displs);
    expect_fine(sides_of(WH_COLL_REDUCE_SCATTER_V, many, single(buf + 32, 4)));
    expect_refused(sides_of(WH_COLL_REDUCE_SCATTER_V, many, single(buf + 2, 4)),
                   "whorl_test: blocks 0 and 1 of sendbuf overlap, by sendcounts and senddispls");
    expect_fine(sides_of(WH_COLL_SCATTER_V, many, single(buf + 2, 4)));
}

Test(sides, sizes_of_elements_count)
{
    static const size_t counts[N] = {1, 1, 1, 1};
    struct wh_sides s =
        sides_of(WH_COLL_ALL_GATHER_V, single(buf + 31, 1), varying(buf, counts, NULL));
    expect_fine(s);
    s.elem_nbytes = 8;
    cr_expect_eq(wh_sides_check(&s), WHORL_E_ARG);
    s.send.buf = buf + 8;
    expect_fine(s);
    s.send.buf = buf + 32;
    expect_fine(s);
}
