/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results are the fold in the order of ranks, bit for bit, whichever way a call takes.
 *
 * That is a property of world_do() in all these tests, as calls.h chooses elements which do not
 * commute and folds them itself. Here it is shown for the same elements in calls of every size,
 * way, memory, alignment and chunk, and the elements are shown to be such that order matters.
 */
#include "world.h"

enum { NRANKS = 5, NELEMS = 64 };

/* The first elements that all ranks get from a call. */
static void first_results(const struct call_spec *spec, size_t chunk_nbytes, bool is_one_process,
                          uint8_t *first, size_t nbytes)
{
    struct world world;
    world_open_with(&world, NRANKS,
                    &(struct world_options){.chunk_nbytes = chunk_nbytes,
                                            .is_one_process = is_one_process,
                                            .seed = spec->count});
    struct call *call = call_create(spec, NRANKS);
    world_play(&world, &call, 1);
    for (uint32_t r = 1; r < NRANKS && spec->coll == WH_COLL_ALL_REDUCE; r++) {
        cr_assert_eq(memcmp(call->ranks[0].op.output, call->ranks[r].op.output,
                            spec->count * call->elem_nbytes),
                     0, "ranks 0 and %u have different bits", r);
    }
    memcpy(first, call->ranks[spec->root].op.output, nbytes);
    call_destroy(call);
    world_close(&world);
}

static void play_all_ways(whorl_dtype_t dtype, uint8_t redop)
{
    size_t elem = wh_dtype_nbytes(dtype);
    uint8_t want[NELEMS * WH_ELEM_NBYTES_MAX], got[NELEMS * WH_ELEM_NBYTES_MAX];
    const size_t counts[] = {NELEMS, 8192 / elem, 8192 / elem + 1, 5000, 30011};
    struct call_spec spec = {.coll = WH_COLL_ALL_REDUCE,
                             .count = NELEMS,
                             .dtype = dtype,
                             .redop = redop,
                             .root = 3,
                             .seed = 99};
    first_results(&spec, 4096, false, want, NELEMS * elem);
    for (size_t i = 0; i < 24 * ARRAY_LEN(counts); i++) {
        spec.count = counts[i / 24];
        spec.coll = i % 2 ? WH_COLL_ALL_REDUCE : WH_COLL_REDUCE;
        spec.memory = i % 3 == 2 ? CALL_SHARED : i % 3 == 1 ? CALL_MIXED : CALL_PRIVATE;
        spec.misaligned = i % 4 == 3 ? 5 : 0;
        spec.in_place = i % 5 == 4;
        size_t chunk_nbytes = i % 7 == 0 ? 4096 : i % 7 == 1 ? 8192 : 65536;
        first_results(&spec, chunk_nbytes, i % 8 == 7, got, NELEMS * elem);
        cr_assert_eq(memcmp(want, got, NELEMS * elem), 0, "count %zu, case %zu, %s, op %u",
                     spec.count, i, wh_dtype_str(dtype), redop);
    }
}

Test(combine, sums_of_float32_have_the_same_bits_whichever_way_they_take)
{
    play_all_ways(WHORL_FLOAT32, WHORL_SUM);
    play_all_ways(WHORL_FLOAT32, WHORL_AVG);
}

Test(combine, sums_of_bfloat16_are_rounded_once)
{
    play_all_ways(WHORL_BFLOAT16, WHORL_SUM);
}

Test(combine, premultiplied_sums_have_the_same_bits_whichever_way_they_take)
{
    play_all_ways(WHORL_FLOAT32, WH_REDOP_PREMUL_SUM);
    play_all_ways(WHORL_BFLOAT16, WH_REDOP_PREMUL_SUM);
}

Test(combine, functions_of_the_user_get_lower_ranks_on_the_left)
{
    play_all_ways(WHORL_INT32, WH_REDOP_USER);
    play_all_ways(WHORL_UINT64, WH_REDOP_USER);
}

Test(combine, products_and_extremes_have_the_same_bits_whichever_way_they_take)
{
    play_all_ways(WHORL_FLOAT64, WHORL_PROD);
    play_all_ways(WHORL_FLOAT32, WHORL_MAX);
}

/* Were ranks to be combined in another order, the tests above would see it. */
Test(combine, the_elements_of_these_tests_do_not_commute)
{
    static const struct {
        whorl_dtype_t dtype;
        uint8_t redop;
    } rows[] = {{WHORL_FLOAT32, WHORL_SUM},
                {WHORL_BFLOAT16, WHORL_SUM},
                {WHORL_FLOAT64, WHORL_PROD},
                {WHORL_INT32, WH_REDOP_USER}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call_spec spec = {.coll = WH_COLL_ALL_REDUCE,
                                 .count = NELEMS,
                                 .dtype = rows[i].dtype,
                                 .redop = rows[i].redop,
                                 .seed = 99};
        struct call *call = call_create(&spec, NRANKS);
        uint32_t ndiffer = 0;
        for (size_t e = 0; e < NELEMS; e++) {
            uint64_t up[NRANKS], down[NRANKS];
            for (uint32_t r = 0; r < NRANKS; r++) {
                up[r] = ref_load(spec.dtype, call->ranks[r].elems + e * call->elem_nbytes);
                down[NRANKS - 1 - r] = up[r];
            }
            ndiffer += call_fold(call, up) != call_fold(call, down);
        }
        cr_expect_gt(ndiffer, 0, "%s, op %u: %u of %d differ", wh_dtype_str(spec.dtype), spec.redop,
                     ndiffer, NELEMS);
        call_destroy(call);
    }
}

/* Every element is handed to the function once for every rank but the first. */
Test(combine, functions_of_the_user_see_every_element_once)
{
    struct world world;
    struct call_spec spec = {
        .coll = WH_COLL_ALL_REDUCE, .count = 7777, .dtype = WHORL_INT32, .redop = WH_REDOP_USER};
    struct call *call = call_create(&spec, 3);
    size_t seen = 0;
    for (uint32_t r = 0; r < 3; r++) {
        call->ranks[r].op.user.ctx = &seen;
    }
    world_open(&world, 3, false, 1);
    world_play(&world, &call, 1);
    cr_expect_eq(seen, 2 * 7777, "two-shot: each element is combined by one rank");
    call_destroy(call);
    world_close(&world);
}

Test(combine, every_datatype_is_reduced_by_every_reduction)
{
    for (int dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
        for (int redop = 0; redop <= WH_REDOP_USER; redop++) {
            struct call_spec spec = {.coll =
                                         redop % 2 ? WH_COLL_ALL_REDUCE : WH_COLL_REDUCE_SCATTER,
                                     .count = dtype % 2 ? 100 : 9000,
                                     .dtype = (whorl_dtype_t)dtype,
                                     .redop = (uint8_t)redop,
                                     .seed = 5};
            world_do_alone(3, redop % 3 == 0, &spec);
            spec.count = dtype % 2 ? 9000 : 100;
            world_do_alone(3, redop % 3 == 1, &spec);
        }
    }
}

/* Two calls of a collective in parts of several pages. */
static void play_long(enum wh_coll coll, uint32_t i, uint32_t n, size_t llc_nbytes)
{
    struct call_spec spec = {.coll = coll,
                             .count = 70001 + i * 7,
                             .dtype = WHORL_UINT8,
                             .root = i % n,
                             .in_place = i / WH_NCOLLS == 1,
                             .misaligned = i / WH_NCOLLS == 2 ? 5 : 0,
                             .memory = i / WH_NCOLLS == 3 ? CALL_MIXED : CALL_PRIVATE,
                             .seed = i};
    struct world world;
    struct call *calls[] = {call_create(&spec, n), call_create(&spec, n)};
    world_open_with(
        &world, n,
        &(struct world_options){.chunk_nbytes = 256 << 10, .llc_nbytes = llc_nbytes, .seed = i});
    world_play(&world, calls, 2);
    if (!spec.in_place && !wh_coll_is_v(coll)) {
        cr_expect_eq(world.arenas[0]->run.is_streaming, llc_nbytes == 0, "%s, case %u",
                     wh_coll_str(coll), i);
    }
    call_destroy(calls[0]);
    call_destroy(calls[1]);
    world_close(&world);
}

/* Out of memory and past the caches (see the cache of world.h), and all in caches. */
Test(combine, long_copies_are_right_for_every_collective)
{
    for (uint32_t i = 0; i < 4 * WH_NCOLLS; i++) {
        enum wh_coll coll = (enum wh_coll)(i % WH_NCOLLS);
        if (!wh_coll_is_p2p(coll) && coll != WH_COLL_BARRIER) {
            play_long(coll, i, 3, 0);
            play_long(coll, i, 2, 1 << 30);
        }
    }
}
