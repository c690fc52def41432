/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scalar table against the reference, the choice of a table, and what holds for all of them.
 * The other tables have a test each, reduce_<isa>_test.c.
 */
#include "base/log.h"
#include "numeric/reduce.h"
#include "reduce_checks.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

/* What the reference says of the first `nelems` elements, into want. */
static void reference_results(const struct call *call, unsigned char *want)
{
    size_t elem_nbytes = wh_dtype_nbytes(call->dtype);
    for (size_t i = 0; i < call->nelems; i++) {
        uint64_t operands[NSRCS_MAX] = {0};
        for (size_t s = 0; s < call->nsrcs; s++) {
            operands[s] = ref_load(call->dtype, elements[s] + i * elem_nbytes);
        }
        uint64_t result = ref_combine(call->dtype, call->op, operands, call->nsrcs, call->divisor);
        ref_store(call->dtype, want + i * elem_nbytes, result);
    }
}

static void check_scalar(whorl_dtype_t dtype, enum wh_kernel_op op, uint64_t *seed)
{
    static unsigned char want[VECTOR_NBYTES];
    unsigned char *got[NDSTS_MAX];
    const size_t lengths[] = {0, 1, 2, 5, 64, 100, 255, 256, 257, 300};
    for (size_t k = 0; k < NNUMBERS; k++) {
        for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
            struct call call = draw_call(dtype, op, numbers_of_sources[k], lengths[l], seed);
            reference_results(&call, want);
            run_call(&call, &wh_kernels_scalar, &got_place, got);
            check_results(&call, wh_kernels_scalar.isa, got, want);
            check_sources_untouched(&call, wh_kernels_scalar.isa, &got_place);
        }
    }
}

Test(reduce, the_scalar_table_matches_the_reference)
{
    uint64_t seed = 1;
    for (int dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
        fill_elements((whorl_dtype_t)dtype, 1 + (uint64_t)dtype);
        for (int op = 0; op < WH_NKERNEL_OPS; op++) {
            check_scalar((whorl_dtype_t)dtype, (enum wh_kernel_op)op, &seed);
        }
    }
}

/* Every element of a small type, and every middle between two neighbours, through every table. */
Test(reduce, every_16_bit_float_is_rounded_as_in_the_scalar_table)
{
    enum { NCODES = 0x10000 };
    static uint16_t codes[NCODES], small[NCODES], want[NCODES], got[NCODES];
    const whorl_dtype_t types[] = {WHORL_FLOAT16, WHORL_BFLOAT16};
    uint64_t seed = 3;
    for (size_t i = 0; i < NCODES; i++) {
        codes[i] = (uint16_t)i;
    }
    for (int round = 0; round < 64; round++) {
        for (size_t i = 0; i < NCODES; i++) {
            /* Most often up to two digits below the other operand: sums that need rounding. */
            uint64_t random = ref_random(&seed);
            small[i] =
                (uint16_t)(random % 4 == 0 ? random >> 8 : codes[i] - (random >> 8) % 0x3000);
        }
        for (size_t t = 0; t < 2; t++) {
            const void *srcs[] = {codes, small};
            void *dsts[] = {want};
            struct wh_combine c = {
                .dsts = dsts, .ndsts = 1, .srcs = srcs, .nsrcs = 2, .nelems = NCODES};
            wh_kernels_scalar.combine[types[t]][WH_KERNEL_SUM](&c);
            dsts[0] = got;
            for (size_t k = 0; wh_kernels_at(k) != NULL; k++) {
                wh_kernels_at(k)->combine[types[t]][WH_KERNEL_SUM](&c);
                cr_assert_arr_eq(got, want, sizeof(want), "%s %s", wh_kernels_at(k)->isa,
                                 wh_dtype_str(types[t]));
            }
        }
    }
}

static void check_scale(const struct wh_kernels *kernels, whorl_dtype_t dtype, uint64_t *seed)
{
    static unsigned char want[VECTOR_NBYTES];
    unsigned char *source = got_place.sources[0], *result = got_place.results[0];
    size_t elem_nbytes = wh_dtype_nbytes(dtype);
    unsigned char scalar[9];
    uint64_t factor = ref_is_integer(dtype) ? 3 : ref_float_bits(dtype, -0.75);
    for (size_t l = 0; l < NLENGTHS; l++) {
        size_t nelems = length_at(l, elem_nbytes);
        uint64_t random = ref_random(seed);
        unsigned char *from = source + GUARD_NBYTES + random % MISALIGN_MAX;
        unsigned char *to = result + GUARD_NBYTES + (random >> 16) % MISALIGN_MAX;
        to = random >> 32 & 1 ? from : to;
        for (size_t i = 0; i < nelems; i++) {
            uint64_t a = ref_load(dtype, elements[0] + i * elem_nbytes);
            uint64_t product = ref_reduce(dtype, WH_KERNEL_PROD, a, factor);
            ref_store(dtype, want + i * elem_nbytes, product);
        }
        memset(to - GUARD_NBYTES, GUARD, nelems * elem_nbytes + 2 * GUARD_NBYTES);
        memcpy(from, elements[0], nelems * elem_nbytes);
        ref_store(dtype, scalar + 1, factor);
        kernels->scale[dtype](to, from, scalar + 1, nelems);
        struct call call = {.dtype = dtype, .nsrcs = 1, .ndsts = 1, .nelems = nelems};
        check_results(&call, "scale", (unsigned char *const[NDSTS_MAX]){to}, want);
    }
}

Test(reduce, scale_matches_the_reference)
{
    uint64_t seed = 4;
    for (int dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
        fill_elements((whorl_dtype_t)dtype, 100 + (uint64_t)dtype);
        for (size_t t = 0; wh_kernels_at(t) != NULL; t++) {
            check_scale(wh_kernels_at(t), (whorl_dtype_t)dtype, &seed);
        }
    }
}

Test(reduce, a_thousand_sources_are_summed_in_order)
{
    enum { NSRCS = 1024, NELEMS = 100 };
    static float values[NSRCS][NELEMS];
    static const void *srcs[NSRCS];
    float want[NELEMS], got[NELEMS];
    void *dsts[] = {got};
    uint64_t seed = 5;
    for (size_t s = 0; s < NSRCS; s++) {
        srcs[s] = values[s];
        for (size_t i = 0; i < NELEMS; i++) {
            values[s][i] = (float)(ref_random(&seed) % 1000) / 7.0f;
            want[i] = s == 0 ? values[s][i] : want[i] + values[s][i];
        }
    }
    struct wh_combine c = {
        .dsts = dsts, .ndsts = 1, .srcs = srcs, .nsrcs = NSRCS, .nelems = NELEMS};
    for (size_t t = 0; wh_kernels_at(t) != NULL; t++) {
        wh_kernels_at(t)->combine[WHORL_FLOAT32][WH_KERNEL_SUM](&c);
        cr_assert_arr_eq(got, want, sizeof(want), "%s", wh_kernels_at(t)->isa);
    }
}

Test(reduce, every_table_has_a_name_and_every_kernel)
{
    for (size_t t = 0; wh_kernels_at(t) != NULL; t++) {
        const struct wh_kernels *kernels = wh_kernels_at(t);
        cr_assert_not_null(kernels->isa);
        cr_assert_not_null(kernels->copy_pair);
        for (unsigned dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
            for (unsigned op = 0; op < WH_NKERNEL_OPS; op++) {
                cr_assert_not_null(kernels->combine[dtype][op], "dtype %u, op %u", dtype, op);
            }
            cr_assert_not_null(kernels->scale[dtype], "dtype %u", dtype);
        }
    }
}

/* Lengths around where they go page by page, at any address. */
Test(reduce, pairs_are_copied_and_nothing_else_is_written)
{
    enum { NBYTES_MAX = 70000, GUARD_AT_END = 64 };
    static const size_t lengths[] = {0, 1, 63, 4096, 65535, 65536, 65537, 69888, 69999};
    static uint8_t from[2][NBYTES_MAX + 2 * GUARD_AT_END], to[2][NBYTES_MAX + 2 * GUARD_AT_END];
    uint64_t seed = 4;
    for (size_t i = 0; i < sizeof(from); i++) {
        from[i % 2][i / 2] = (uint8_t)ref_random(&seed);
    }
    for (size_t t = 0; wh_kernels_at(t) != NULL; t++) {
        for (size_t l = 0; l < 4 * sizeof(lengths) / sizeof(lengths[0]); l++) {
            size_t nbytes = lengths[l / 4], shift = l % 4 * 5;
            void *const dsts[] = {to[0] + shift, to[1] + 2 * shift};
            const void *const srcs[] = {from[0] + 3 * shift, from[1]};
            memset(to, GUARD, sizeof(to));
            wh_kernels_at(t)->copy_pair(dsts, srcs, nbytes);
            for (size_t k = 0; k < 2; k++) {
                const uint8_t *dst = dsts[k];
                cr_assert_arr_eq(dst, srcs[k], nbytes, "%s, %zu bytes, copy %zu",
                                 wh_kernels_at(t)->isa, nbytes, k);
                cr_assert(dst[nbytes] == GUARD && (shift == 0 || dst[-1] == GUARD),
                          "%s, %zu bytes, copy %zu", wh_kernels_at(t)->isa, nbytes, k);
            }
        }
    }
}

Test(reduce, nothing_is_touched_when_there_are_no_elements)
{
    /* Through NULL, any access would end the test. */
    const void *srcs[4] = {NULL};
    void *dsts[2] = {NULL};
    for (size_t t = 0; wh_kernels_at(t) != NULL; t++) {
        for (unsigned dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
            for (unsigned op = 0; op < WH_NKERNEL_OPS; op++) {
                for (size_t nsrcs = 1; nsrcs <= 4; nsrcs++) {
                    struct wh_combine c = {.dsts = dsts, .ndsts = 2, .srcs = srcs, .nsrcs = nsrcs};
                    wh_kernels_at(t)->combine[dtype][op](&c);
                    c.streaming = true;
                    wh_kernels_at(t)->combine[dtype][op](&c);
                }
            }
            wh_kernels_at(t)->scale[dtype](NULL, NULL, NULL, 0);
        }
    }
}

Test(reduce, tables_are_found_by_name)
{
    cr_assert_eq(wh_kernels_named("auto"), wh_kernels_at(0));
    cr_assert_null(wh_kernels_named("mmx"));
    cr_assert_null(wh_kernels_named(""));
    for (size_t t = 0; wh_kernels_at(t) != NULL; t++) {
        cr_assert_eq(wh_kernels_named(wh_kernels_at(t)->isa), wh_kernels_at(t));
    }
}

Test(reduce, whorl_isa_chooses_the_table)
{
    setenv("WHORL_ISA", "scalar", 1);
    cr_assert_eq(wh_kernels_check(), WHORL_OK);
    cr_assert_eq(wh_kernels_get(), &wh_kernels_scalar);
}

Test(reduce, an_instruction_set_that_cannot_be_had_is_an_error_that_lists_those_that_can)
{
    setenv("WHORL_ISA", "mmx", 1);
    setenv("WHORL_DEBUG", "NONE", 1);
    cr_assert_eq(wh_kernels_check(), WHORL_E_CONFIG);
    cr_assert_not_null(strstr(wh_error_get(), "WHORL_ISA=mmx"), "%s", wh_error_get());
    cr_assert_not_null(strstr(wh_error_get(), "scalar"), "%s", wh_error_get());
    cr_assert_eq(wh_kernels_get(), wh_kernels_at(0));
}

static void *get_kernels(void *table_out)
{
    *(const struct wh_kernels **)table_out = wh_kernels_get();
    return NULL;
}

Test(reduce, all_threads_get_the_same_table)
{
    enum { NTHREADS = 8 };
    pthread_t threads[NTHREADS];
    const struct wh_kernels *tables[NTHREADS] = {NULL};

    for (size_t i = 0; i < NTHREADS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, get_kernels, &tables[i]), 0);
    }
    for (size_t i = 0; i < NTHREADS; i++) {
        pthread_join(threads[i], NULL);
        cr_assert_eq(tables[i], wh_kernels_get());
    }
}
