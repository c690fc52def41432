/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions combine in the order of ranks, whatever way a call takes: all ranks get the same bits,
 * and they are those of a plain loop over the ranks.
 *
 * The values are floats of very different sizes, for which the order matters: the test makes sure
 * that another order gives other bits. Small floats are combined in float32 and rounded once. A
 * reduction of the test's own, which does not commute, goes the same ways.
 */
#include "harness/ranks.h"
#include "unit/numeric/reference.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum memory { PRIVATE, SYMMETRIC, REGISTERED, MIXED, NMEMORIES };
enum { PERIOD = 1021 }; /* elements, then values come again */
enum { ODD_BYTES = 5 }; /* in front of every other rank's buffers */

/* ---- what must come out --------------------------------------------------------------------- */

/* One rank has a large number and one has the same with the other sign; the others have small ones,
 * which are lost where they are added between those two. */
static uint64_t element(whorl_dtype_t dtype, int nranks, int rank, size_t i)
{
    uint64_t state = (uint64_t)(rank + 1) << 40 ^ i, common_state = i;
    uint64_t own = ranks_random(&state), common = ranks_random(&common_state);
    if (dtype == WHORL_UINT64) {
        return own;
    }
    double large = ldexp(1 + (double)(common % 64) / 64, 25 + (int)(common >> 8) % 10);
    double small = ldexp(1 + (double)(own % 64) / 64, (int)(own >> 8) % 8 - 8);
    size_t n = (size_t)nranks, me = (size_t)rank;
    if (me == i % n) {
        return ref_float_bits(dtype, large);
    }
    if (me == (i + 1 + i / n % (n - 1)) % n) {
        return ref_float_bits(dtype, -large);
    }
    return ref_float_bits(dtype, own & 0x10000 ? -small : small);
}

/* x -> a * x + b in 32-bit integers, a above b in the element: composing them does not commute. */
static uint64_t compose(uint64_t left, uint64_t right)
{
    uint32_t a = (uint32_t)(left >> 32), b = (uint32_t)left;
    uint32_t c = (uint32_t)(right >> 32), d = (uint32_t)right;
    return (uint64_t)(a * c) << 32 | (uint32_t)(a * d + b);
}

static void compose_all(const void *in, void *inout, size_t count, whorl_dtype_t dtype, void *ctx)
{
    (void)dtype;
    (void)ctx;
    for (size_t i = 0; i < count; i++) {
        uint64_t left, right;
        memcpy(&left, (char *)inout + i * 8, 8);
        memcpy(&right, (const char *)in + i * 8, 8);
        left = compose(left, right);
        memcpy((char *)inout + i * 8, &left, 8);
    }
}

enum order_of_ranks { FORWARDS, BACKWARDS, ZERO_THEN_BACKWARDS, NEIGHBOURS_SWAPPED, NORDERS };

static int rank_at_place(enum order_of_ranks order, int nranks, int place)
{
    switch (order) {
    case BACKWARDS:
        return nranks - 1 - place;
    case ZERO_THEN_BACKWARDS:
        return (nranks - place) % nranks;
    case NEIGHBOURS_SWAPPED:
        return (place ^ 1) < nranks ? place ^ 1 : place;
    default:
        return place;
    }
}

/* A left fold over the ranks in some order. */
static uint64_t fold(whorl_dtype_t dtype, int nranks, size_t i, enum order_of_ranks order)
{
    uint64_t elements[RANKS_MAX] = {0};
    for (int r = 0; r < nranks; r++) {
        elements[r] = element(dtype, nranks, rank_at_place(order, nranks, r), i);
    }
    if (dtype != WHORL_UINT64) {
        return ref_combine(dtype, WH_KERNEL_SUM, elements, (size_t)nranks, 1);
    }
    uint64_t result = elements[0];
    for (int r = 1; r < nranks; r++) {
        result = compose(result, elements[r]);
    }
    return result;
}

/* ---- buffers -------------------------------------------------------------------------------- */

struct buffer {
    enum memory kind;
    unsigned char *memory;
    size_t nbytes;
    void *handle;
    unsigned char *at;
};

static void buffer_init(struct rank *rank, enum memory kind, size_t nbytes, struct buffer *b)
{
    void *memory = NULL;
    *b = (struct buffer){.kind = kind, .nbytes = nbytes + ODD_BYTES + 1};
    if (kind == MIXED) {
        b->kind = rank->rank % 2 == 0 ? SYMMETRIC : PRIVATE;
    }
    if (b->kind == PRIVATE) {
        memory = malloc(b->nbytes);
        RANK_CHECK(rank, memory != NULL, "no memory");
    } else if (b->kind == SYMMETRIC) {
        RANK_OK(rank, whorl_mem_alloc(b->nbytes, &memory));
    } else {
        int fd = memfd_create("order", MFD_CLOEXEC);
        RANK_CHECK(rank, fd >= 0 && ftruncate(fd, (off_t)b->nbytes) == 0, "memfd: %s",
                   strerror(errno));
        memory = mmap(NULL, b->nbytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        RANK_CHECK(rank, memory != MAP_FAILED, "mmap: %s", strerror(errno));
        close(fd);
        RANK_OK(rank, whorl_comm_register(rank->comm, memory, b->nbytes, &b->handle));
    }
    b->memory = memory;
    b->at = b->memory + (rank->rank % 2 == 1 ? ODD_BYTES : 0);
}

static void buffer_fini(struct rank *rank, struct buffer *b)
{
    if (b->kind == PRIVATE) {
        free(b->memory);
    } else if (b->kind == SYMMETRIC) {
        RANK_OK(rank, whorl_mem_free(b->memory));
    } else {
        RANK_OK(rank, whorl_comm_deregister(rank->comm, b->handle));
        munmap(b->memory, b->nbytes);
    }
}

/* ---- the calls ------------------------------------------------------------------------------ */

struct order {
    whorl_dtype_t dtype; /* WHORL_UINT64: the reduction of the test's own */
    enum memory memory;
    whorl_redop_t op;
    uint64_t inputs[PERIOD], results[PERIOD];
};

/* Checks nelems elements that belong to elements first, first + 1, ... of the vector. */
static void expect_fold(struct rank *rank, const struct order *o, const unsigned char *got,
                        size_t first, size_t nelems)
{
    size_t elem = whorl_dtype_nbytes(o->dtype);
    for (size_t i = 0; i < nelems; i++) {
        uint64_t bits = ref_load(o->dtype, got + i * elem);
        uint64_t want = o->results[(first + i) % PERIOD];
        RANK_CHECK(rank, bits == want,
                   "%s, memory %d: element %zu (%zu of %zu) has bits 0x%llx, not 0x%llx",
                   whorl_dtype_str(o->dtype), (int)o->memory, first + i, i, nelems,
                   (unsigned long long)bits, (unsigned long long)want);
    }
}

static void reduce_every_way(struct rank *rank, const struct order *o, size_t count)
{
    whorl_comm_t comm = rank->comm;
    size_t elem = whorl_dtype_nbytes(o->dtype), n = (size_t)rank->nranks, me = (size_t)rank->rank;
    size_t block = count / n, counts[RANKS_MAX], last = count - block * (n - 1);
    struct buffer in, out;
    buffer_init(rank, o->memory, count * elem, &in);
    buffer_init(rank, o->memory, count * elem, &out);
    for (size_t i = 0; i < count; i++) {
        ref_store(o->dtype, in.at + i * elem, o->inputs[i % PERIOD]);
    }
    rank_at(rank, "reduces %zu elements of %s, memory %d", count, whorl_dtype_str(o->dtype),
            (int)o->memory);

    RANK_OK(rank, whorl_all_reduce(in.at, out.at, count, o->dtype, o->op, comm, NULL));
    expect_fold(rank, o, out.at, 0, count);
    int root = (int)(count % n);
    RANK_OK(rank, whorl_reduce(in.at, out.at, count, o->dtype, o->op, root, comm, NULL));
    expect_fold(rank, o, out.at, 0, rank->rank == root ? count : 0);
    RANK_OK(rank, whorl_reduce_scatter(in.at, out.at, block, o->dtype, o->op, comm, NULL));
    expect_fold(rank, o, out.at, me * block, block);
    for (size_t r = 0; r < n; r++) {
        counts[r] = r + 1 < n ? block : last;
    }
    RANK_OK(rank, whorl_reduce_scatter_v(in.at, counts, NULL, out.at, counts[me], o->dtype, o->op,
                                         comm, NULL));
    expect_fold(rank, o, out.at, me * block, counts[me]);
    RANK_OK(rank, whorl_all_reduce(in.at, in.at, count, o->dtype, o->op, comm, NULL));
    expect_fold(rank, o, in.at, 0, count);

    buffer_fini(rank, &in);
    buffer_fini(rank, &out);
}

static const size_t sizes[] = {7, 28, 1000, 4097, 30000, 600001};
enum { NSIZES = sizeof(sizes) / sizeof(sizes[0]) };

static void reduce_in_order(struct rank *rank)
{
    static const whorl_dtype_t dtypes[] = {WHORL_FLOAT32, WHORL_BFLOAT16, WHORL_UINT64};
    whorl_redop_t compose_op;
    RANK_OK(rank, whorl_redop_create_user(compose_all, NULL, rank->comm, &compose_op));
    for (int d = 0; d < 3; d++) {
        struct order o = {.dtype = dtypes[d],
                          .op = dtypes[d] == WHORL_UINT64 ? compose_op : WHORL_SUM};
        for (size_t i = 0; i < PERIOD; i++) {
            o.inputs[i] = element(o.dtype, rank->nranks, rank->rank, i);
            o.results[i] = fold(o.dtype, rank->nranks, i, FORWARDS);
        }
        for (int i = 0; i < NMEMORIES * NSIZES; i++) {
            o.memory = (enum memory)(i % NMEMORIES);
            reduce_every_way(rank, &o, sizes[i / NMEMORIES]);
        }
    }
    RANK_OK(rank, whorl_redop_destroy(compose_op, rank->comm));
}

static void run(int nprocesses, int nthreads, const char *chunk)
{
    const char *env[] = {chunk, NULL};
    ranks_run(&(struct ranks_job){
        .nprocesses = nprocesses, .nthreads = nthreads, .run = reduce_in_order, .env = env});
}

/* Else the other tests could not fail. */
Test(order, of_the_values_of_this_test_matters)
{
    static const whorl_dtype_t dtypes[] = {WHORL_FLOAT32, WHORL_BFLOAT16, WHORL_UINT64};
    for (int d = 0; d < 3; d++) {
        for (int nranks = dtypes[d] == WHORL_UINT64 ? 2 : 3; nranks <= 5; nranks++) {
            int ndiffer[NORDERS] = {0};
            for (size_t i = 0; i < PERIOD; i++) {
                uint64_t want = fold(dtypes[d], nranks, i, FORWARDS);
                for (int order = 1; order < NORDERS; order++) {
                    ndiffer[order] +=
                        want != fold(dtypes[d], nranks, i, (enum order_of_ranks)order);
                }
            }
            fprintf(stderr, "%s, %d ranks: of %d elements %d, %d, %d differ in other orders\n",
                    whorl_dtype_str(dtypes[d]), nranks, PERIOD, ndiffer[1], ndiffer[2], ndiffer[3]);
            cr_assert(ndiffer[1] + ndiffer[2] + ndiffer[3] > PERIOD / 10, "%s, %d ranks",
                      whorl_dtype_str(dtypes[d]), nranks);
        }
    }
}

Test(order, is_that_of_three_processes)
{
    run(3, 1, NULL);
}

Test(order, is_that_of_two_and_of_five_processes)
{
    run(2, 1, NULL);
    run(5, 1, NULL);
}

Test(order, is_that_of_threads)
{
    run(1, 3, NULL);
    run(1, 4, NULL);
}

Test(order, is_that_of_processes_of_threads)
{
    run(2, 2, NULL);
}

Test(order, does_not_depend_on_chunks)
{
    run(3, 1, "WHORL_CHUNK=4K");
    run(3, 1, "WHORL_CHUNK=100000");
}
