/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every table of kernels that can run here, against the reference: every element type, operation,
 * length from 0 to three vectors, and misalignment of each pointer; out of place and in place.
 */
#include "numeric/reduce.h"
#include "reference.h"

#include <criterion/criterion.h>
#include <pthread.h>

enum {
    LENGTH_MAX = 67,  /* past four vectors of 16 bytes for every element size */
    MISALIGN_MAX = 3, /* bytes */
    ELEMENT_NBYTES_MAX = 8,
    GUARD_NBYTES = 16,
    BUFFER_NBYTES = GUARD_NBYTES + MISALIGN_MAX + LENGTH_MAX * ELEMENT_NBYTES_MAX + GUARD_NBYTES,
    GUARD = 0xa5,
};

struct buffer {
    _Alignas(16) unsigned char bytes[BUFFER_NBYTES];
};

/* Where the elements start: after a guard, off alignment by misalign bytes. */
static unsigned char *start_of(struct buffer *buffer, size_t misalign)
{
    return buffer->bytes + GUARD_NBYTES + misalign;
}

static void put(struct buffer *buffer, size_t misalign, const void *elements, size_t nbytes)
{
    memset(buffer->bytes, GUARD, sizeof(buffer->bytes));
    memcpy(start_of(buffer, misalign), elements, nbytes);
}

/* What one kernel should have written, and how to say which one it was. */
struct expectation {
    const char *what;
    whorl_dtype_t dtype;
    unsigned char elements[LENGTH_MAX * ELEMENT_NBYTES_MAX];
};

static void check_buffer(const struct expectation *want, struct buffer *got, size_t misalign,
                         size_t nelems)
{
    size_t elem_nbytes = wh_dtype_nbytes(want->dtype);
    unsigned char *elements = start_of(got, misalign);

    for (size_t i = 0; i < nelems; i++) {
        uint64_t g = ref_load(want->dtype, elements + i * elem_nbytes);
        uint64_t w = ref_load(want->dtype, want->elements + i * elem_nbytes);
        if (!ref_same(want->dtype, g, w)) {
            cr_assert_fail("%s %s, element %zu of %zu at misalignment %zu: got 0x%llx, want 0x%llx",
                           wh_dtype_str(want->dtype), want->what, i, nelems, misalign,
                           (unsigned long long)g, (unsigned long long)w);
        }
    }
    for (unsigned char *p = got->bytes; p < got->bytes + sizeof(got->bytes); p++) {
        bool outside = p < elements || p >= elements + nelems * elem_nbytes;
        if (outside && *p != GUARD) {
            cr_assert_fail("%s %s, %zu elements: wrote outside, at offset %td",
                           wh_dtype_str(want->dtype), want->what, nelems, p - elements);
        }
    }
}

/* Two operands, as elements in a row. */
struct operands {
    unsigned char a[LENGTH_MAX * ELEMENT_NBYTES_MAX];
    unsigned char b[LENGTH_MAX * ELEMENT_NBYTES_MAX];
};

static void fill_operands(whorl_dtype_t dtype, uint64_t seed, struct operands *operands)
{
    size_t elem_nbytes = wh_dtype_nbytes(dtype);
    for (size_t i = 0; i < LENGTH_MAX; i++) {
        ref_store(dtype, operands->a + i * elem_nbytes, ref_element(dtype, &seed));
        ref_store(dtype, operands->b + i * elem_nbytes, ref_element(dtype, &seed));
    }
}

/* misalign has two bits for each of dst, a and b. */
static void check_reduce_at(wh_reduce_fn reduce, const struct expectation *want,
                            const struct operands *operands, unsigned misalign)
{
    size_t dst_off = misalign & 3;
    size_t a_off = misalign >> 2 & 3;
    size_t b_off = misalign >> 4 & 3;
    struct buffer dst;
    struct buffer a;
    struct buffer b;

    for (size_t nelems = 0; nelems <= LENGTH_MAX; nelems++) {
        size_t nbytes = nelems * wh_dtype_nbytes(want->dtype);
        put(&a, a_off, operands->a, nbytes);
        put(&b, b_off, operands->b, nbytes);
        put(&dst, dst_off, operands->b, 0);
        reduce(start_of(&dst, dst_off), start_of(&a, a_off), start_of(&b, b_off), nelems);
        check_buffer(want, &dst, dst_off, nelems);

        reduce(start_of(&a, a_off), start_of(&a, a_off), start_of(&b, b_off), nelems);
        check_buffer(want, &a, a_off, nelems);

        put(&a, a_off, operands->a, nbytes);
        reduce(start_of(&b, b_off), start_of(&a, a_off), start_of(&b, b_off), nelems);
        check_buffer(want, &b, b_off, nelems);
    }
}

static void check_reduce(const struct wh_kernels *kernels, whorl_dtype_t dtype,
                         enum wh_kernel_op op)
{
    static const char *const names[] = {"sum", "prod", "max", "min"};
    size_t elem_nbytes = wh_dtype_nbytes(dtype);
    struct expectation want = {.what = names[op], .dtype = dtype};
    struct operands operands;

    fill_operands(dtype, 1 + (uint64_t)dtype, &operands);
    for (size_t i = 0; i < LENGTH_MAX; i++) {
        uint64_t a = ref_load(dtype, operands.a + i * elem_nbytes);
        uint64_t b = ref_load(dtype, operands.b + i * elem_nbytes);
        ref_store(dtype, want.elements + i * elem_nbytes, ref_reduce(dtype, op, a, b));
    }
    for (unsigned misalign = 0; misalign < 64; misalign++) {
        check_reduce_at(kernels->reduce[dtype][op], &want, &operands, misalign);
    }
}

/* misalign has two bits for each of dst, src and the scalar. */
static void check_scale(const struct wh_kernels *kernels, const struct expectation *want,
                        const struct operands *operands, unsigned misalign)
{
    wh_scale_fn scale = kernels->scale[want->dtype];
    size_t dst_off = misalign & 3;
    size_t src_off = misalign >> 2 & 3;
    size_t elem_nbytes = wh_dtype_nbytes(want->dtype);
    struct buffer dst;
    struct buffer src;
    struct buffer factor;
    const void *scalar = start_of(&factor, misalign >> 4);

    put(&factor, misalign >> 4, operands->b, elem_nbytes);
    for (size_t nelems = 0; nelems <= LENGTH_MAX; nelems++) {
        put(&src, src_off, operands->a, nelems * elem_nbytes);
        put(&dst, dst_off, operands->a, 0);
        scale(start_of(&dst, dst_off), start_of(&src, src_off), scalar, nelems);
        check_buffer(want, &dst, dst_off, nelems);
        scale(start_of(&src, src_off), start_of(&src, src_off), scalar, nelems);
        check_buffer(want, &src, src_off, nelems);
    }
}

static void check_divide(const struct wh_kernels *kernels, const struct expectation *want,
                         const struct operands *operands, uint32_t divisor)
{
    wh_divide_fn divide = kernels->divide[want->dtype];
    size_t elem_nbytes = wh_dtype_nbytes(want->dtype);
    struct buffer dst;
    struct buffer src;

    for (unsigned misalign = 0; misalign < 16; misalign++) {
        size_t dst_off = misalign & 3;
        size_t src_off = misalign >> 2;
        for (size_t nelems = 0; nelems <= LENGTH_MAX; nelems++) {
            put(&src, src_off, operands->a, nelems * elem_nbytes);
            put(&dst, dst_off, operands->a, 0);
            divide(start_of(&dst, dst_off), start_of(&src, src_off), divisor, nelems);
            check_buffer(want, &dst, dst_off, nelems);
            divide(start_of(&src, src_off), start_of(&src, src_off), divisor, nelems);
            check_buffer(want, &src, src_off, nelems);
        }
    }
}

/* The tables to test: the scalar one, and this CPU's if that is another. */
static size_t tables_here(const struct wh_kernels *tables[2])
{
    tables[0] = &wh_kernels_scalar;
    tables[1] = wh_kernels_get();
    return tables[0] == tables[1] ? 1 : 2;
}

Test(reduce, every_reduction_matches_the_reference_at_every_length_and_misalignment)
{
    const struct wh_kernels *tables[2];
    size_t ntables = tables_here(tables);

    for (size_t t = 0; t < ntables; t++) {
        for (unsigned dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
            for (unsigned op = 0; op < WH_NKERNEL_OPS; op++) {
                check_reduce(tables[t], (whorl_dtype_t)dtype, (enum wh_kernel_op)op);
            }
        }
    }
}

Test(reduce, scale_matches_the_reference_at_every_length_and_misalignment)
{
    const struct wh_kernels *tables[2];
    size_t ntables = tables_here(tables);

    for (unsigned d = 0; d < WHORL_DTYPE_COUNT; d++) {
        whorl_dtype_t dtype = (whorl_dtype_t)d;
        size_t elem_nbytes = wh_dtype_nbytes(dtype);
        struct expectation want = {.what = "scale", .dtype = dtype};
        struct operands operands;

        fill_operands(dtype, 100 + (uint64_t)d, &operands);
        uint64_t factor = ref_is_integer(dtype) ? 3 : ref_float_bits(dtype, -0.75);
        ref_store(dtype, operands.b, factor);
        for (size_t i = 0; i < LENGTH_MAX; i++) {
            uint64_t a = ref_load(dtype, operands.a + i * elem_nbytes);
            uint64_t product = ref_reduce(dtype, WH_KERNEL_PROD, a, factor);
            ref_store(dtype, want.elements + i * elem_nbytes, product);
        }
        for (size_t t = 0; t < ntables; t++) {
            for (unsigned misalign = 0; misalign < 64; misalign++) {
                check_scale(tables[t], &want, &operands, misalign);
            }
        }
    }
}

Test(reduce, divide_matches_the_reference_at_every_length_and_misalignment)
{
    static const uint32_t divisors[] = {1, 2, 3, 7, 64, 1023, 0x80000001u, UINT32_MAX};
    const struct wh_kernels *tables[2];
    size_t ntables = tables_here(tables);

    for (unsigned d = 0; d < WHORL_DTYPE_COUNT; d++) {
        whorl_dtype_t dtype = (whorl_dtype_t)d;
        size_t elem_nbytes = wh_dtype_nbytes(dtype);
        struct expectation want = {.what = "divide", .dtype = dtype};
        struct operands operands;

        fill_operands(dtype, 200 + (uint64_t)d, &operands);
        for (size_t k = 0; k < sizeof(divisors) / sizeof(divisors[0]); k++) {
            for (size_t i = 0; i < LENGTH_MAX; i++) {
                uint64_t a = ref_load(dtype, operands.a + i * elem_nbytes);
                uint64_t quotient = ref_divide(dtype, a, divisors[k]);
                ref_store(dtype, want.elements + i * elem_nbytes, quotient);
            }
            for (size_t t = 0; t < ntables; t++) {
                check_divide(tables[t], &want, &operands, divisors[k]);
            }
        }
    }
}

Test(reduce, the_table_has_a_name_and_every_kernel)
{
    const struct wh_kernels *kernels = wh_kernels_get();
    cr_assert_not_null(kernels);
    cr_assert_not_null(kernels->isa);

    for (unsigned dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
        for (unsigned op = 0; op < WH_NKERNEL_OPS; op++) {
            cr_assert_not_null(kernels->reduce[dtype][op], "dtype %u, op %u", dtype, op);
        }
        cr_assert_not_null(kernels->scale[dtype], "dtype %u", dtype);
        cr_assert_not_null(kernels->divide[dtype], "dtype %u", dtype);
    }
}

Test(reduce, nothing_is_touched_when_there_are_no_elements)
{
    const struct wh_kernels *kernels = wh_kernels_get();

    /* Through NULL, any access would end the test. */
    for (unsigned dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
        for (unsigned op = 0; op < WH_NKERNEL_OPS; op++) {
            kernels->reduce[dtype][op](NULL, NULL, NULL, 0);
        }
        kernels->scale[dtype](NULL, NULL, NULL, 0);
        kernels->divide[dtype](NULL, NULL, 1, 0);
    }
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
