/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trials: one operation on all ranks of a world, against a reference that needs no schedule.
 *
 * The reference takes the inputs in rank order. The inputs are such that every order gives the same
 * bits: integers wrap, and floats are integers so small that no sum or product is rounded.
 */
#ifndef WH_TESTS_EXECUTOR_TRIAL_H
#define WH_TESTS_EXECUTOR_TRIAL_H

#include "numeric/dtype.h"
#include "numeric/float16.h"
#include "numeric/float8.h"
#include "world.h"

#include <stdio.h>

struct trial {
    const struct wh_algo *algo;
    uint32_t root;
    size_t count;
    whorl_dtype_t dtype;
    uint8_t redop;
    bool in_place;
    size_t misalign; /* bytes by which buffers miss the alignment of anything */
};

enum { GUARD_NBYTES = 64, GUARD = 0xa5 };

/* One rank's memory: guard, input, guard, output, guard; in place one lies within the other. */
struct bufs {
    uint8_t *block, *original; /* the whole memory, now and as it was */
    size_t block_nbytes;
    uint8_t *input, *output;
    size_t in_nbytes, out_nbytes; /* 0: the rank has none */
};

static inline bool trial_has_root(enum wh_coll coll)
{
    return coll == WH_COLL_BROADCAST || coll == WH_COLL_REDUCE;
}

static inline bool is_float(whorl_dtype_t dtype)
{
    return dtype >= WHORL_FLOAT16;
}

static inline bool is_float8(whorl_dtype_t dtype)
{
    return dtype >= WHORL_FLOAT8_E4M3;
}

/* *at = value, as an element. */
static inline void put_elem(uint8_t *at, whorl_dtype_t dtype, int64_t value)
{
    float single = (float)value;
    double wide = (double)value;
    uint16_t half = dtype == WHORL_FLOAT16 ? wh_f32_to_f16(single) : wh_f32_to_bf16(single);
    uint8_t byte = dtype == WHORL_FLOAT8_E4M3 ? wh_f32_to_e4m3(single) : wh_f32_to_e5m2(single);
    size_t nbytes = wh_dtype_nbytes(dtype);
    if (!is_float(dtype)) {
        memcpy(at, &value, nbytes); /* the low bytes: little endian */
    } else if (dtype == WHORL_FLOAT32) {
        memcpy(at, &single, nbytes);
    } else if (dtype == WHORL_FLOAT64) {
        memcpy(at, &wide, nbytes);
    } else if (is_float8(dtype)) {
        memcpy(at, &byte, nbytes);
    } else {
        memcpy(at, &half, nbytes);
    }
}

static inline uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline int64_t trial_value(const struct trial *t, uint32_t rank, size_t i)
{
    uint64_t x = mix((uint64_t)rank << 40 ^ i ^ (uint64_t)t->dtype << 56);
    if (!is_float(t->dtype)) {
        return (int64_t)x;
    }
    if (t->redop == WHORL_PROD) {
        return (x & 1) != 0 ? -1 : ((x & 2) != 0 && !is_float8(t->dtype) ? 2 : 1);
    }
    /* e5m2 counts to 8, e4m3 to 16, bfloat16 to 256. */
    return is_float8(t->dtype) ? (rank < 8 ? (int64_t)(x & 1) : 0) : (int64_t)(x % 41) - 20;
}

/* What this rank multiplies by. */
static inline int64_t trial_scalar(const struct trial *t, uint32_t rank)
{
    return is_float8(t->dtype) ? rank % 2 : rank % 3;
}

static inline struct bufs bufs_create(const struct trial *t, uint32_t rank, uint32_t nranks)
{
    enum wh_coll coll = t->algo->coll;
    size_t elem = wh_dtype_nbytes(t->dtype);
    size_t block = t->count * elem;
    struct bufs b = {.in_nbytes = block, .out_nbytes = block};
    b.in_nbytes *= coll == WH_COLL_REDUCE_SCATTER ? nranks : 1;
    b.out_nbytes *= coll == WH_COLL_ALL_GATHER ? nranks : 1;
    if (coll == WH_COLL_BARRIER || (coll == WH_COLL_BROADCAST && rank != t->root) ||
        (coll == WH_COLL_SEND && rank == 1)) {
        b.in_nbytes = 0;
    }
    if (coll == WH_COLL_BARRIER || (coll == WH_COLL_REDUCE && rank != t->root) ||
        (coll == WH_COLL_SEND && rank == 0)) {
        b.out_nbytes = 0;
    }
    b.block_nbytes = 3 * GUARD_NBYTES + t->misalign + b.in_nbytes + b.out_nbytes;
    b.block = malloc(b.block_nbytes);
    b.original = malloc(b.block_nbytes);
    cr_assert(b.block != NULL && b.original != NULL);
    memset(b.block, GUARD, b.block_nbytes);
    b.input = b.block + GUARD_NBYTES + t->misalign;
    b.output = b.input + b.in_nbytes + GUARD_NBYTES;
    if (t->in_place && b.in_nbytes > 0 && b.out_nbytes > 0) {
        b.output = b.input;
        b.input += coll == WH_COLL_ALL_GATHER ? rank * block : 0;
        b.output += coll == WH_COLL_REDUCE_SCATTER ? rank * block : 0;
    }
    for (size_t i = 0; i < b.in_nbytes / elem; i++) {
        put_elem(b.input + i * elem, t->dtype, trial_value(t, rank, i));
    }
    memcpy(b.original, b.block, b.block_nbytes);
    return b;
}

/* Where the input was, as it was. */
static inline const uint8_t *bufs_original_input(const struct bufs *b)
{
    return b->original + (b->input - b->block);
}

/* acc = (acc op part) / divisor; acc / divisor if part is NULL. */
static inline void trial_combine(wh_combine_fn combine, uint8_t *acc, const uint8_t *part,
                                 uint32_t divisor, size_t nelems)
{
    void *dsts[] = {acc};
    const void *srcs[] = {acc, part};
    combine(&(struct wh_combine){.dsts = dsts,
                                 .ndsts = 1,
                                 .srcs = srcs,
                                 .nsrcs = part != NULL ? 2 : 1,
                                 .nelems = nelems,
                                 .divisor = divisor});
}

/* acc = op over the inputs of all ranks, from byte `from` of each on; count elements. */
static inline void trial_fold(const struct trial *t, const struct bufs *bufs, uint32_t nranks,
                              size_t from, uint8_t *acc)
{
    const struct wh_kernels *k = &wh_kernels_scalar;
    size_t nbytes = t->count * wh_dtype_nbytes(t->dtype);
    uint8_t *part = malloc(nbytes + 1);
    enum wh_kernel_op op = t->redop == WHORL_PROD  ? WH_KERNEL_PROD
                           : t->redop == WHORL_MAX ? WH_KERNEL_MAX
                           : t->redop == WHORL_MIN ? WH_KERNEL_MIN
                                                   : WH_KERNEL_SUM;
    for (uint32_t r = 0; r < nranks; r++) {
        memcpy(part, bufs_original_input(&bufs[r]) + from, nbytes);
        if (t->redop == WH_REDOP_PREMUL_SUM) {
            uint8_t scalar[WH_ELEM_NBYTES_MAX];
            put_elem(scalar, t->dtype, trial_scalar(t, r));
            k->scale[t->dtype](part, part, scalar, t->count);
        }
        if (r == 0) {
            memcpy(acc, part, nbytes);
        } else {
            trial_combine(k->combine[t->dtype][op], acc, part, 1, t->count);
        }
    }
    if (t->redop == WHORL_AVG) {
        trial_combine(k->combine[t->dtype][op], acc, NULL, nranks, t->count);
    }
    free(part);
}

/* What rank's output must be. */
static inline void trial_expect(const struct trial *t, const struct bufs *bufs, uint32_t nranks,
                                uint32_t rank, uint8_t *out)
{
    size_t block = t->count * wh_dtype_nbytes(t->dtype);
    switch (t->algo->coll) {
    case WH_COLL_ALL_GATHER:
        for (uint32_t r = 0; r < nranks; r++) {
            memcpy(out + r * block, bufs_original_input(&bufs[r]), block);
        }
        break;
    case WH_COLL_BROADCAST:
        memcpy(out, bufs_original_input(&bufs[t->root]), block);
        break;
    case WH_COLL_SEND:
        memcpy(out, bufs_original_input(&bufs[0]), block);
        break;
    case WH_COLL_REDUCE_SCATTER:
        trial_fold(t, bufs, nranks, rank * block, out);
        break;
    default:
        trial_fold(t, bufs, nranks, 0, out);
        break;
    }
}

static inline const char *trial_str(const struct trial *t, uint32_t nranks)
{
    static char text[256];
    snprintf(text, sizeof(text),
             "%s %s, %u ranks, root %u, count %zu, %s, op %u, %s, misaligned by %zu",
             wh_coll_str(t->algo->coll), t->algo->name, nranks, t->root, t->count,
             wh_dtype_str(t->dtype), t->redop, t->in_place ? "in place" : "apart", t->misalign);
    return text;
}

/* The output is right, and not one byte beside it has changed. */
static inline void trial_check(const struct trial *t, const struct bufs *bufs, uint32_t nranks,
                               uint32_t rank)
{
    const struct bufs *b = &bufs[rank];
    uint8_t *want = malloc(b->block_nbytes);
    memcpy(want, b->original, b->block_nbytes);
    if (b->out_nbytes > 0) {
        trial_expect(t, bufs, nranks, rank, want + (b->output - b->block));
    }
    for (size_t i = 0; i < b->block_nbytes; i++) {
        if (b->block[i] != want[i]) {
            cr_assert_fail("%s: rank %u, byte %zd of the output is 0x%02x and should be 0x%02x",
                           trial_str(t, nranks), rank, (ptrdiff_t)i - (b->output - b->block),
                           b->block[i], want[i]);
        }
    }
    free(want);
}

/* Starts rank's part of the trial. */
static inline void trial_start(const struct trial *t, const struct bufs *b, struct wh_plan *plan,
                               uint32_t rank, uint64_t seq)
{
    struct wh_op op = {
        .input = b->in_nbytes > 0 ? b->input : NULL,
        .output = b->out_nbytes > 0 ? b->output : NULL,
        .count = t->count,
        .dtype = t->dtype,
        .redop = wh_coll_reduces(t->algo->coll) ? t->redop : WH_REDOP_NONE,
        .seq = seq,
    };
    if (t->redop == WH_REDOP_PREMUL_SUM) {
        put_elem(op.premul_scalar, t->dtype, trial_scalar(t, rank));
    }
    cr_assert_eq(wh_run_start(plan, &op), WHORL_OK);
}

/** Runs one trial with plans that are idle. */
static inline void trial_run(struct world *world, struct wh_plan **plans, const struct trial *t)
{
    struct bufs bufs[64] = {{.block = NULL}};
    uint32_t n = world->nranks, who = 0;
    uint64_t seq = world->next_seq++;
    for (uint32_t r = 0; r < n; r++) {
        if (plans[r] != NULL) {
            bufs[r] = bufs_create(t, r, n);
            trial_start(t, &bufs[r], plans[r], r, seq);
        }
    }
    whorl_result_t rc = world_drive(world, plans, &who);
    if (rc != WHORL_OK) {
        char where[512];
        wh_run_describe(plans[who], where, sizeof(where));
        cr_assert_fail("%s: result %d of rank %u: %s", trial_str(t, n), rc, who, where);
    }
    for (uint32_t r = 0; r < n; r++) {
        if (plans[r] != NULL) {
            trial_check(t, bufs, n, r);
        }
    }
    for (uint32_t r = 0; r < n; r++) {
        free(bufs[r].block);
        free(bufs[r].original);
    }
}

#endif
