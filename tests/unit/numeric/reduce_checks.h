/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the kernels, for the tests of every table: many numbers of sources and lengths; what
 * else can differ (misalignment of each pointer, divisor, number of destinations, in place or not,
 * past the caches or not) is drawn anew for every call, from a fixed sequence.
 */
#ifndef TEST_NUMERIC_REDUCE_CHECKS_H
#define TEST_NUMERIC_REDUCE_CHECKS_H

#include "numeric/reduce.h"
#include "reference.h"

#include <criterion/criterion.h>

enum {
    NSRCS_MAX = 17,
    NDSTS_MAX = 3,
    VECTOR_NBYTES = 73752, /* the longest: pages take turns in it, or ask for the next */
    MISALIGN_MAX = 80, /* bytes; more than the largest vector */
    GUARD_NBYTES = 128,
    BUFFER_NBYTES = GUARD_NBYTES + MISALIGN_MAX + VECTOR_NBYTES + GUARD_NBYTES,
    GUARD = 0xa5,
};

static const size_t numbers_of_sources[] = {1, 2, 3, 4, 5, 7, 8, 9, NSRCS_MAX};
enum { NNUMBERS = sizeof(numbers_of_sources) / sizeof(numbers_of_sources[0]) };

/* All lengths to two vectors of 64 single bytes, then some around multiples of what loops take. */
static const size_t longer[] = {191, 255, 256, 257, 300, 511, 513, 777, 1027, 2050};
enum { NSHORT = 131, NLONGER = sizeof(longer) / sizeof(longer[0]), NLENGTHS = NSHORT + NLONGER + 1 };

static inline size_t length_at(size_t i, size_t elem_nbytes)
{
    if (i < NSHORT) {
        return i;
    }
    return i < NSHORT + NLONGER ? longer[i - NSHORT] : VECTOR_NBYTES / elem_nbytes;
}

static const char *const op_names[] = {"sum", "prod", "max", "min"};

/* What is combined: the same elements for all calls of one type. */
static unsigned char elements[NSRCS_MAX][VECTOR_NBYTES];

/* One in 64 floats is a NaN with any sign and payload, quiet and signalling. */
static inline uint64_t element(whorl_dtype_t dtype, uint64_t *seed)
{
    uint64_t random = ref_random(seed);
    if (ref_is_integer(dtype) || random % 64 != 0) {
        return ref_element(dtype, seed);
    }
    uint64_t quiet = ref_float_bits(dtype, NAN);
    uint64_t nan = (quiet | random >> 8) & ref_mask(dtype);
    uint64_t quiet_bit = quiet ^ ref_float_bits(dtype, INFINITY);
    bool signalling = wh_dtype_nbytes(dtype) > 1 && random >> 7 & 1;
    return signalling ? (nan & ~quiet_bit) | 1 : nan;
}

static inline void fill_elements(whorl_dtype_t dtype, uint64_t seed)
{
    size_t elem_nbytes = wh_dtype_nbytes(dtype);
    for (size_t s = 0; s < NSRCS_MAX; s++) {
        for (size_t i = 0; i < VECTOR_NBYTES / elem_nbytes; i++) {
            ref_store(dtype, elements[s] + i * elem_nbytes, element(dtype, &seed));
        }
    }
}

/* Memory of one call. A destination that is a source has no buffer of its own. */
struct place {
    unsigned char sources[NSRCS_MAX][BUFFER_NBYTES];
    unsigned char results[NDSTS_MAX][BUFFER_NBYTES];
};
static struct place got_place, want_place;

/* One call, as numbers. */
struct call {
    whorl_dtype_t dtype;
    enum wh_kernel_op op;
    size_t nsrcs, ndsts, nelems;
    uint32_t divisor;
    bool from_memory, streaming;
    size_t src_misalign[NSRCS_MAX], dst_misalign[NDSTS_MAX];
    size_t in_place; /* the source that dsts[0] is; nsrcs: none */
};

static inline struct call draw_call(whorl_dtype_t dtype, enum wh_kernel_op op, size_t nsrcs,
                                    size_t nelems, uint64_t *seed)
{
    static const uint32_t divisors[] = {0, 1, 2, 3, 7, 64, 1023, 0x80000001u, UINT32_MAX};
    struct call call = {.dtype = dtype, .op = op, .nsrcs = nsrcs, .nelems = nelems};
    uint64_t random = ref_random(seed);
    call.ndsts = 1 + random % NDSTS_MAX;
    call.streaming = random >> 8 & 1;
    call.from_memory = random >> 9 & 1;
    call.divisor = op == WH_KERNEL_SUM ? divisors[(random >> 16) % 9] : (random >> 16) & 1;
    call.in_place = (random >> 24) % (nsrcs + 2);
    call.in_place = call.in_place > nsrcs ? nsrcs : call.in_place;

    /* A quarter of the calls each: all aligned to lines, to elements, differently, to any byte. */
    unsigned kind = random >> 32 & 3;
    size_t unit = kind == 3 ? 1 : wh_dtype_nbytes(dtype);
    size_t common = (random >> 40) % (MISALIGN_MAX / unit) * unit;
    for (size_t i = 0; i < NSRCS_MAX + NDSTS_MAX; i++) {
        size_t own = ref_random(seed) % (MISALIGN_MAX / unit) * unit;
        size_t misalign = kind == 0 ? 0 : kind == 1 ? common : own;
        *(i < NSRCS_MAX ? &call.src_misalign[i] : &call.dst_misalign[i - NSRCS_MAX]) = misalign;
    }
    return call;
}

/* Runs the call with one table; where[d] is where result d is then. */
static inline void run_call(const struct call *call, const struct wh_kernels *kernels,
                            struct place *place, unsigned char *where[NDSTS_MAX])
{
    const void *srcs[NSRCS_MAX];
    size_t nbytes = call->nelems * wh_dtype_nbytes(call->dtype);
    for (size_t s = 0; s < call->nsrcs; s++) {
        unsigned char *buffer = place->sources[s];
        unsigned char *start = buffer + GUARD_NBYTES + call->src_misalign[s];
        memset(buffer, GUARD, GUARD_NBYTES + MISALIGN_MAX);
        memcpy(start, elements[s], nbytes);
        memset(start + nbytes, GUARD, GUARD_NBYTES);
        srcs[s] = start;
    }
    for (size_t d = 0; d < call->ndsts; d++) {
        unsigned char *buffer = place->results[d];
        memset(buffer, GUARD, GUARD_NBYTES + MISALIGN_MAX + nbytes + GUARD_NBYTES);
        where[d] = buffer + GUARD_NBYTES + call->dst_misalign[d];
    }
    if (call->in_place < call->nsrcs) {
        where[0] = (unsigned char *)(uintptr_t)srcs[call->in_place];
    }
    struct wh_combine c = {
        .dsts = (void *const *)where,
        .ndsts = call->ndsts,
        .srcs = srcs,
        .nsrcs = call->nsrcs,
        .nelems = call->nelems,
        .divisor = call->divisor,
        .from_memory = call->from_memory,
        .streaming = call->streaming,
    };
    kernels->combine[call->dtype][call->op](&c);
}

static inline void fail_call(const struct call *call, const char *isa, const char *what,
                             ptrdiff_t at)
{
    cr_assert_fail("%s: %s %s of %zu sources to %zu places, %zu elements, divisor %u, %s%s, in place "
                   "of source %zu, misaligned by %zu %zu to %zu: %s at byte %td",
                   isa, wh_dtype_str(call->dtype), op_names[call->op], call->nsrcs, call->ndsts,
                   call->nelems, call->divisor, call->streaming ? "streaming" : "not streaming",
                   call->from_memory ? " from memory" : "",
                   call->in_place, call->src_misalign[0], call->src_misalign[1],
                   call->dst_misalign[0], what, at);
}

/* Results are as wanted, all of them, and nothing before or after is written. */
static inline void check_results(const struct call *call, const char *isa,
                                 unsigned char *const got[NDSTS_MAX], const unsigned char *want)
{
    size_t nbytes = call->nelems * wh_dtype_nbytes(call->dtype);
    for (size_t d = 0; d < call->ndsts; d++) {
        if (memcmp(got[d], want, nbytes) != 0) {
            size_t at = 0;
            while (got[d][at] == want[at]) {
                at++;
            }
            fail_call(call, isa, "another result", (ptrdiff_t)at);
        }
        for (ptrdiff_t i = 1; i <= GUARD_NBYTES; i++) {
            if (got[d][-i] != GUARD || got[d][(ptrdiff_t)nbytes + i - 1] != GUARD) {
                fail_call(call, isa, "wrote outside, this far", i);
            }
        }
    }
}

static inline void check_sources_untouched(const struct call *call, const char *isa,
                                           const struct place *place)
{
    size_t nbytes = call->nelems * wh_dtype_nbytes(call->dtype);
    for (size_t s = 0; s < call->nsrcs; s++) {
        const unsigned char *start = place->sources[s] + GUARD_NBYTES + call->src_misalign[s];
        if (s != call->in_place && memcmp(start, elements[s], nbytes) != 0) {
            fail_call(call, isa, "a source was written, this one", (ptrdiff_t)s);
        }
    }
}

/* One operation of one type: table `kernels` must do every call as the scalar table does. */
static inline void check_operation(const struct wh_kernels *kernels, whorl_dtype_t dtype,
                                   enum wh_kernel_op op, uint64_t *seed)
{
    unsigned char *got[NDSTS_MAX], *want[NDSTS_MAX];
    for (size_t k = 0; k < NNUMBERS; k++) {
        for (size_t l = 0; l < NLENGTHS; l++) {
            size_t nelems = length_at(l, wh_dtype_nbytes(dtype));
            struct call call = draw_call(dtype, op, numbers_of_sources[k], nelems, seed);
            run_call(&call, &wh_kernels_scalar, &want_place, want);
            run_call(&call, kernels, &got_place, got);
            check_results(&call, kernels->isa, got, want[0]);
            check_sources_untouched(&call, kernels->isa, &got_place);
        }
    }
}

/* Every operation of every type of the table called isa; skips the test where there is none. */
static inline void check_table(const char *isa)
{
    enum { NROUNDS = 2 };
    const struct wh_kernels *kernels = wh_kernels_named(isa);
    uint64_t seed = 2;
    if (kernels == NULL) {
        cr_skip_test("this CPU has no %s", isa);
    }
    for (int round = 0; round < NROUNDS; round++) {
        for (int dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
            fill_elements((whorl_dtype_t)dtype, ref_random(&seed));
            for (int op = 0; op < WH_NKERNEL_OPS; op++) {
                check_operation(kernels, (whorl_dtype_t)dtype, (enum wh_kernel_op)op, &seed);
            }
        }
    }
}

#endif
