/* SPDX-License-Identifier: Apache-2.0 */
#include "executor/cpu/geometry.h"

#include <criterion/criterion.h>

/* Everything that geometry looks at, without links. */
struct fixture {
    struct wh_sched sched;
    struct wh_plan plan;
    struct wh_lane_cursor lane;
    uint8_t input[4096], output[4096];
};

static void set(struct fixture *f, enum wh_coll coll, uint32_t nchunks, struct wh_op op)
{
    *f = (struct fixture){.sched = {.coll = coll, .nranks = 3, .nchunks = nchunks}};
    f->plan = (struct wh_plan){
        .sched = &f->sched, .chunk_nbytes = 64, .nabreast = 1, .elem_nbytes = 4, .op = op};
    f->plan.op.input = f->input;
    f->plan.op.output = f->output;
    wh_geometry_set(&f->plan);
}

/* Where chunk of pass begins in a buffer, in elements. */
static ptrdiff_t place(struct fixture *f, enum wh_buf buf, uint64_t pass, uint32_t chunk)
{
    size_t start;
    f->lane.pass = pass;
    wh_geometry_span(&f->plan, pass, chunk, &start);
    const uint8_t *base = buf == WH_INPUT ? f->input : f->output;
    return (wh_geometry_ptr(&f->plan, &f->lane, buf, chunk, start) - base) / 4;
}

static size_t span(const struct fixture *f, uint64_t pass, uint32_t chunk)
{
    size_t start;
    return wh_geometry_span(&f->plan, pass, chunk, &start);
}

Test(geometry, a_vector_is_spread_over_the_chunks_of_its_passes)
{
    struct fixture f;
    set(&f, WH_COLL_ALL_REDUCE, 3, (struct wh_op){.count = 55}); /* 16 elements in a chunk */
    cr_expect_eq(f.plan.npasses, 2);
    cr_expect_eq(span(&f, 0, 2), 16);
    cr_expect_eq(place(&f, WH_INPUT, 0, 2), 32);
    cr_expect_eq(span(&f, 1, 0), 3);
    cr_expect_eq(span(&f, 1, 2), 1);
    cr_expect_eq(place(&f, WH_OUTPUT, 1, 2), 54);
}

Test(geometry, equal_blocks_lie_one_behind_the_other)
{
    struct fixture f;
    set(&f, WH_COLL_ALL_GATHER, 3, (struct wh_op){.count = 20});
    cr_expect_eq(f.plan.npasses, 2);
    cr_expect_eq(span(&f, 0, 1), 16);
    cr_expect_eq(span(&f, 1, 1), 4);
    cr_expect_eq(place(&f, WH_OUTPUT, 1, 2), 56);
    cr_expect_eq(place(&f, WH_INPUT, 1, 2), 16); /* the own block only */
    set(&f, WH_COLL_REDUCE_SCATTER, 3, (struct wh_op){.count = 20});
    cr_expect_eq(place(&f, WH_INPUT, 1, 2), 56);
    cr_expect_eq(place(&f, WH_OUTPUT, 1, 2), 16);
}

Test(geometry, blocks_may_have_gaps)
{
    static const size_t displs[] = {100, 0, 50};
    struct fixture f;
    set(&f, WH_COLL_ALL_GATHER, 3, (struct wh_op){.count = 20, .recv_displs = displs});
    cr_expect_eq(place(&f, WH_OUTPUT, 1, 0), 116);
    cr_expect_eq(place(&f, WH_OUTPUT, 0, 2), 50);
}

Test(geometry, shorter_blocks_are_over_in_earlier_passes)
{
    static const size_t counts[] = {5, 0, 40}, displs[] = {60, 7, 0};
    const struct wh_step step = {.chunk = 2, .nchunks = 2}; /* goes round to chunk 0 */
    struct fixture f;
    set(&f, WH_COLL_REDUCE_SCATTER, 3,
        (struct wh_op){.count = 5, .send_counts = counts, .send_displs = displs});
    cr_expect_eq(f.plan.npasses, 3);
    cr_expect_eq(span(&f, 0, 0), 5);
    cr_expect_eq(span(&f, 0, 1), 0);
    cr_expect_eq(span(&f, 1, 0), 0);
    cr_expect_eq(span(&f, 2, 2), 8);
    cr_expect_eq(place(&f, WH_INPUT, 0, 0), 60);
    cr_expect_eq(place(&f, WH_INPUT, 2, 2), 32);
    cr_expect_eq(wh_geometry_message_nbytes(&f.plan, 0, &step), 4 * 21);
    cr_expect_eq(wh_geometry_message_nbytes(&f.plan, 2, &step), 4 * 8);
}

Test(geometry, sizes_without_places_mean_no_gaps)
{
    static const size_t counts[] = {5, 0, 40};
    struct fixture f;
    set(&f, WH_COLL_ALL_GATHER, 3, (struct wh_op){.count = 5, .recv_counts = counts});
    cr_expect_eq(place(&f, WH_OUTPUT, 0, 0), 0);
    cr_expect_eq(place(&f, WH_OUTPUT, 1, 2), 21);
}

Test(geometry, chunks_of_all_to_all_are_pairs)
{
    static const size_t displs[] = {0, 300, 600};
    struct fixture f;
    set(&f, WH_COLL_ALL_TO_ALL, 9, (struct wh_op){.count = 20, .recv_displs = displs});
    cr_expect_eq(f.plan.npasses, 2);
    /* chunk 5: from rank 1 for rank 2 */
    cr_expect_eq(place(&f, WH_INPUT, 1, 5), 56);
    cr_expect_eq(place(&f, WH_OUTPUT, 1, 5), 316);
    cr_expect_eq(span(&f, 1, 5), 4);
}

/* Passes of a vector whose chunks have at most 128 KiB, two side by side; largest chunk of the
 * first and of the last pass. */
static uint64_t passes_abreast(size_t nbytes, size_t *first_out, size_t *last_out)
{
    struct wh_sched sched = {
        .coll = WH_COLL_ALL_REDUCE, .nranks = 4, .nchunks = 4, .nchunks_per_step = 1};
    struct wh_plan plan = {.sched = &sched,
                           .chunk_nbytes = 128 << 10,
                           .nabreast = 2,
                           .elem_nbytes = 4,
                           .op = {.count = nbytes / 4}};
    size_t start;
    wh_geometry_set(&plan);
    *first_out = 4 * wh_geometry_span(&plan, 0, 0, &start);
    *last_out = 4 * wh_geometry_span(&plan, plan.npasses - 1, 0, &start);
    size_t sum = 0;
    for (uint64_t p = 0; p < plan.npasses; p++) {
        for (uint32_t c = 0; c < 4; c++) {
            sum += 4 * wh_geometry_span(&plan, p, c, &start);
        }
    }
    cr_expect_eq(sum, nbytes, "all of it, and nothing twice");
    return plan.npasses;
}

Test(geometry, passes_side_by_side_are_half_a_slot_or_a_whole_one)
{
    size_t first, last;
    cr_expect_eq(passes_abreast(512 << 10, &first, &last), 2, "would fit one pass");
    cr_expect_eq(first, 64 << 10);
    cr_expect_eq(last, 64 << 10);
    cr_expect_eq(passes_abreast(600 << 10, &first, &last), 2);
    cr_expect_eq(first, 64 << 10);
    cr_expect_eq(passes_abreast(3 * (512 << 10), &first, &last), 3);
    cr_expect_eq(first, 128 << 10);
    cr_expect_eq(last, 128 << 10);
    cr_expect_eq(passes_abreast(4 * (512 << 10), &first, &last), 4);
    cr_expect_eq(first, 128 << 10);
}

Test(geometry, a_small_rest_goes_with_the_pass_before_it_if_there_is_room)
{
    size_t first, last;
    cr_expect_eq(passes_abreast((512 << 10) + 64, &first, &last), 2);
    cr_expect_eq(first, 64 << 10);
    cr_expect_gt(last, 64 << 10);
    cr_expect_leq(last, (64 << 10) + 64);
    cr_expect_eq(passes_abreast((4 * 512 << 10) + 64, &first, &last), 5, "no room");
    cr_expect_eq(last, 16);
}

Test(geometry, blocks_have_their_small_rest_in_the_last_pass)
{
    struct wh_sched sched = {
        .coll = WH_COLL_ALL_GATHER, .nranks = 2, .nchunks = 2, .nchunks_per_step = 1};
    struct wh_plan plan = {.sched = &sched,
                           .chunk_nbytes = 128 << 10,
                           .nabreast = 2,
                           .elem_nbytes = 4,
                           .op = {.count = (32 << 10) + 100}};
    size_t start;
    wh_geometry_set(&plan);
    cr_expect_eq(plan.npasses, 2);
    cr_expect_eq(wh_geometry_span(&plan, 0, 1, &start), 16 << 10);
    cr_expect_eq(wh_geometry_span(&plan, 1, 1, &start), (16 << 10) + 100);
}

Test(geometry, messages_that_would_be_small_are_not_cut)
{
    size_t first, last;
    cr_expect_eq(passes_abreast(511 << 10, &first, &last), 1);
    cr_expect_geq(first, 127 << 10);
}

Test(geometry, nothing_is_one_pass_of_empty_chunks)
{
    struct fixture f;
    set(&f, WH_COLL_ALL_GATHER, 3, (struct wh_op){.count = 0});
    cr_expect_eq(f.plan.npasses, 1);
    cr_expect_eq(span(&f, 0, 2), 0);
}
