/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A collective as all ranks make it: buffers, struct wh_op, and what every byte must be after it.
 *
 * Elements are chosen so that order shows: floats of magnitudes far apart, for which no other order
 * of combining gives the same bits. What must come out is the fold in the order of ranks, computed
 * by tests/unit/numeric/reference.h. They repeat every CALLS_PERIOD elements of a rank's buffer.
 *
 * Both buffers of a rank lie between guard bytes; blocks may have gaps between them. All that is
 * checked is against images: what the memory was before, with the blocks that come in written over.
 */
#ifndef WH_TESTS_ARENA_CALLS_H
#define WH_TESTS_ARENA_CALLS_H

#include "device/memory.h"
#include "executor/op.h"
#include "executor/signature.h"
#include "schedule/sched.h"
#include "unit/numeric/reference.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS_PERIOD = 251, CALLS_GUARD_NBYTES = 64, CALLS_MISALIGNED_MAX = 64 };

/** Where buffers are. */
enum call_memory {
    CALL_PRIVATE,
    CALL_SHARED, /* in regions that other processes could map */
    CALL_MIXED,  /* some of them */
};

struct call_spec {
    enum wh_coll coll;
    uint32_t root;
    size_t count; /* v-collectives: of the largest block */
    whorl_dtype_t dtype;
    uint8_t redop; /* as in wh_signature; set to none where nothing is reduced */
    bool in_place;
    bool has_displs; /* v-collectives: blocks with gaps, in no order */
    enum call_memory memory;
    const uint32_t *groups; /* of each rank, if sums are formed in groups first */
    unsigned misaligned;    /* bytes, less than CALLS_MISALIGNED_MAX */
    uint64_t seed;
};

/** A buffer, and what its memory must be in the end. */
struct call_area {
    uint8_t *memory, *at, *image;
    size_t memory_nbytes;
    bool is_shared;
};

struct call_rank {
    enum wh_coll coll;
    uint32_t root;
    struct wh_op op;
    struct call_area send, recv;
    size_t *send_counts, *send_starts; /* of the blocks this rank sends, in elements */
    size_t *recv_counts, *recv_starts;
    size_t send_nelems, recv_nelems; /* with gaps */
    uint8_t *elems;                  /* CALLS_PERIOD of the input, as they are combined */
};

struct call {
    struct call_spec spec;
    uint32_t n;
    size_t elem_nbytes;
    struct call_rank ranks[];
};

/* ---- who sends what to whom ---- */

static inline bool call_is_from_root(enum wh_coll coll)
{
    return coll == WH_COLL_BROADCAST || coll == WH_COLL_SCATTER || coll == WH_COLL_SCATTER_V;
}

static inline bool call_is_to_root(enum wh_coll coll)
{
    return coll == WH_COLL_REDUCE || coll == WH_COLL_GATHER || coll == WH_COLL_GATHER_V;
}

static inline bool call_is_per_dest(enum wh_coll coll)
{
    return coll == WH_COLL_REDUCE_SCATTER || coll == WH_COLL_REDUCE_SCATTER_V ||
           coll == WH_COLL_ALL_TO_ALL || coll == WH_COLL_ALL_TO_ALL_V || coll == WH_COLL_SCATTER ||
           coll == WH_COLL_SCATTER_V;
}

static inline bool call_sends(const struct call *call, uint32_t rank)
{
    return !call_is_from_root(call->spec.coll) || rank == call->spec.root;
}

static inline bool call_receives(const struct call *call, uint32_t rank)
{
    return !call_is_to_root(call->spec.coll) || rank == call->spec.root;
}

static inline uint64_t call_hash(const struct call *call, uint64_t a, uint64_t b)
{
    uint64_t state = call->spec.seed ^ a << 40 ^ b << 8;
    return ref_random(&state);
}

/** Elements that src has for dest. */
static inline size_t call_block(const struct call *call, uint32_t src, uint32_t dest)
{
    const struct call_spec *s = &call->spec;
    if (!wh_coll_is_v(s->coll)) {
        return s->coll == WH_COLL_BARRIER ? 0 : s->count;
    }
    bool by_both = s->coll == WH_COLL_ALL_TO_ALL_V;
    bool by_dest = call_is_per_dest(s->coll);
    uint64_t h = call_hash(call, by_dest && !by_both ? 0 : src + 1, by_dest ? dest + 1 : 0);
    switch (h % 5) {
    case 0:
        return 0;
    case 1:
        return s->count;
    case 2:
        return s->count < 3 ? s->count : s->count / 3;
    default:
        return (size_t)(h >> 8) % (s->count + 1);
    }
}

/* Lays out the blocks of a buffer: one, or one per rank. Fills starts; returns the elements of the
 * whole. */
static inline size_t call_lay_out(const struct call *call, uint64_t salt, bool is_many,
                                  const size_t *counts, size_t *starts)
{
    bool gaps = wh_coll_is_v(call->spec.coll) && call->spec.has_displs && is_many;
    uint32_t nblocks = is_many ? call->n : 1;
    size_t next = 0;
    for (uint32_t i = 0; i < nblocks; i++) {
        uint32_t b = gaps ? nblocks - 1 - i : i;
        next += gaps ? call_hash(call, salt, i) % 5 : 0;
        starts[b] = next;
        next += counts[b];
    }
    return next;
}

/* ---- elements ---- */

/* Floats that do not commute, and a few that are special. */
static inline uint64_t call_element(whorl_dtype_t dtype, bool is_copied, uint64_t *state)
{
    uint64_t h = ref_random(state);
    if (is_copied || ref_is_integer(dtype)) {
        return h & ref_mask(dtype);
    }
    if (h % 32 == 0) {
        return ref_element(dtype, state);
    }
    int spread = wh_dtype_nbytes(dtype) == 1 ? 3 : dtype == WHORL_FLOAT16 ? 8 : 24;
    if (h >> 8 & 1) { /* large ones cancel each other, and what was added in between is lost */
        return ref_float_bits(dtype, h & 64 ? -ldexp(1, spread + 4) : ldexp(1, spread + 4));
    }
    double mantissa = 1.0 + (double)(h >> 12 & 0xfffff) / 0x100000;
    double value = ldexp(mantissa, (int)(h >> 40 & 0xff) % (2 * spread + 1) - spread);
    return ref_float_bits(dtype, h & 64 ? -value : value);
}

static inline enum wh_kernel_op call_kernel_op(uint8_t redop)
{
    return redop == WHORL_PROD  ? WH_KERNEL_PROD
           : redop == WHORL_MAX ? WH_KERNEL_MAX
           : redop == WHORL_MIN ? WH_KERNEL_MIN
                                : WH_KERNEL_SUM;
}

/** The user's function: a * 31 + b over integers as wide as the dtype. Order matters. */
static inline void call_user_fn(const void *in, void *inout, size_t count, whorl_dtype_t dtype,
                                void *ctx)
{
    size_t elem_nbytes = wh_dtype_nbytes(dtype);
    if (ctx != NULL) {
        *(size_t *)ctx += count;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t left = ref_load(dtype, (uint8_t *)inout + i * elem_nbytes);
        uint64_t right = ref_load(dtype, (const uint8_t *)in + i * elem_nbytes);
        ref_store(dtype, (uint8_t *)inout + i * elem_nbytes, (left * 31 + right) & ref_mask(dtype));
    }
}

/* The same in two levels: each group's elements, then what the groups have. */
static inline uint64_t call_fold_groups(const struct call *call, const uint64_t *elements)
{
    const struct call_spec *s = &call->spec;
    uint64_t parts[64];
    uint32_t ngroups = 0;
    for (uint32_t g = 0;; g++) {
        uint64_t members[64];
        uint32_t nmembers = 0;
        for (uint32_t r = 0; r < call->n; r++) {
            if (s->groups[r] == g) {
                members[nmembers++] = elements[r];
            }
        }
        if (nmembers == 0) {
            break;
        }
        parts[ngroups++] = ref_combine(s->dtype, call_kernel_op(s->redop), members, nmembers, 1);
    }
    uint32_t divisor = s->redop == WHORL_AVG ? call->n : 1;
    return ref_combine(s->dtype, call_kernel_op(s->redop), parts, ngroups, divisor);
}

/* The fold of one element of every rank, in the order of ranks. */
static inline uint64_t call_fold(const struct call *call, const uint64_t *elements)
{
    const struct call_spec *s = &call->spec;
    if (s->groups != NULL && s->redop != WH_REDOP_USER) {
        return call_fold_groups(call, elements);
    }
    if (s->redop != WH_REDOP_USER) {
        uint32_t divisor = s->redop == WHORL_AVG ? call->n : 1;
        return ref_combine(s->dtype, call_kernel_op(s->redop), elements, call->n, divisor);
    }
    uint64_t result = elements[0];
    for (uint32_t r = 1; r < call->n; r++) {
        result = (result * 31 + elements[r]) & ref_mask(s->dtype);
    }
    return result;
}

/* ---- buffers ---- */

static inline void call_area_init(const struct call *call, struct call_area *area, uint32_t rank,
                                  size_t nbytes)
{
    const struct call_spec *s = &call->spec;
    area->memory_nbytes = nbytes + 2 * CALLS_GUARD_NBYTES + CALLS_MISALIGNED_MAX;
    area->is_shared =
        s->memory == CALL_SHARED || (s->memory == CALL_MIXED && call_hash(call, rank, 7) % 2 == 0);
    void *memory = NULL;
    if (area->is_shared) {
        cr_assert_eq(wh_memory_alloc(area->memory_nbytes, &memory), WHORL_OK);
    } else {
        cr_assert_eq(posix_memalign(&memory, 64, area->memory_nbytes), 0);
    }
    area->memory = memory;
    memset(area->memory, 0xa5, area->memory_nbytes);
    area->at = area->memory + CALLS_GUARD_NBYTES + s->misaligned;
    area->image = malloc(area->memory_nbytes);
    cr_assert_not_null(area->image);
}

static inline void call_area_fini(struct call_area *area)
{
    if (area->memory == NULL) {
        return;
    }
    if (area->is_shared) {
        cr_assert_eq(wh_memory_free(area->memory), WHORL_OK);
    } else {
        free(area->memory);
    }
    free(area->image);
}

/* Elements from CALLS_PERIOD on repeat those a period before. */
static inline void call_repeat(uint8_t *to, size_t nelems, size_t elem_nbytes)
{
    for (size_t at = CALLS_PERIOD; at < nelems; at += CALLS_PERIOD) {
        size_t now = nelems - at < CALLS_PERIOD ? nelems - at : CALLS_PERIOD;
        memcpy(to + at * elem_nbytes, to, now * elem_nbytes);
    }
}

/* Fills a rank's input; keeps a period of it, multiplied if the reduction says so. */
static inline void call_fill_input(struct call *call, uint32_t rank)
{
    const struct call_spec *s = &call->spec;
    struct call_rank *me = &call->ranks[rank];
    size_t elem = call->elem_nbytes;
    uint64_t state = s->seed ^ (uint64_t)rank << 32;
    bool is_copied = !wh_coll_reduces(s->coll);
    uint64_t factor = call_element(s->dtype, false, &state);
    ref_store(s->dtype, me->op.premul_scalar, factor);
    me->elems = malloc(CALLS_PERIOD * elem);
    cr_assert_not_null(me->elems);
    uint8_t *input = (uint8_t *)(uintptr_t)me->op.input;
    for (size_t i = 0; i < CALLS_PERIOD; i++) {
        uint64_t x = call_element(s->dtype, is_copied, &state);
        if (i < me->send_nelems) {
            ref_store(s->dtype, input + i * elem, x);
        }
        bool is_scaled = s->redop == WH_REDOP_PREMUL_SUM;
        ref_store(s->dtype, me->elems + i * elem,
                  is_scaled ? ref_reduce(s->dtype, WH_KERNEL_PROD, x, factor) : x);
    }
    call_repeat(input, me->send_nelems, elem);
}

static inline void call_make_layout(struct call *call, uint32_t rank)
{
    enum wh_coll coll = call->spec.coll;
    struct call_rank *me = &call->ranks[rank];
    bool sends_many = call_is_per_dest(coll);
    bool receives_many = !wh_coll_reduces(coll) && !call_is_from_root(coll);
    size_t **lists[] = {&me->send_counts, &me->send_starts, &me->recv_counts, &me->recv_starts};
    for (size_t i = 0; i < 4; i++) {
        *lists[i] = calloc(call->n, sizeof(size_t));
        cr_assert_not_null(*lists[i]);
    }
    for (uint32_t r = 0; r < (sends_many ? call->n : 1); r++) {
        me->send_counts[r] = call_block(call, rank, r);
    }
    for (uint32_t r = 0; r < (receives_many ? call->n : 1); r++) {
        me->recv_counts[r] = call_block(call, receives_many ? r : call->spec.root, rank);
    }
    me->send_nelems = call_lay_out(call, 100 + rank, sends_many, me->send_counts, me->send_starts);
    me->recv_nelems =
        call_lay_out(call, 200 + rank, receives_many, me->recv_counts, me->recv_starts);
    me->send_nelems = call_sends(call, rank) ? me->send_nelems : 0;
    me->recv_nelems = call_receives(call, rank) ? me->recv_nelems : 0;
}

static inline void call_make_op(struct call *call, uint32_t rank)
{
    const struct call_spec *s = &call->spec;
    struct call_rank *me = &call->ranks[rank];
    struct wh_op *op = &me->op;
    me->coll = s->coll;
    me->root = wh_coll_has_root(s->coll) ? s->root : 0;
    op->count = s->coll == WH_COLL_BARRIER ? 0 : s->count;
    op->dtype = s->dtype;
    op->redop = s->redop;
    op->user = (struct wh_user_redop){.fn = call_user_fn};
    if (!wh_coll_is_v(s->coll)) {
        return;
    }
    bool sends_many = call_is_per_dest(s->coll);
    bool receives_many = !wh_coll_reduces(s->coll) && !call_is_from_root(s->coll);
    if (sends_many && call_sends(call, rank)) {
        op->send_counts = me->send_counts;
        op->send_displs = s->has_displs ? me->send_starts : NULL;
    }
    if (receives_many && call_receives(call, rank)) {
        op->recv_counts = me->recv_counts;
        op->recv_displs = s->has_displs ? me->recv_starts : NULL;
    }
    op->count = sends_many && receives_many ? 0
                : sends_many                ? me->recv_counts[0]
                                            : me->send_counts[0];
}

/* Buffers that hold nothing stay NULL. In place, the smaller of the two is inside the larger. */
static inline void call_make_buffers(struct call *call, uint32_t rank)
{
    struct call_rank *me = &call->ranks[rank];
    size_t elem = call->elem_nbytes;
    bool in_place = call->spec.in_place && call_sends(call, rank) && call_receives(call, rank) &&
                    call->spec.coll != WH_COLL_ALL_TO_ALL &&
                    call->spec.coll != WH_COLL_ALL_TO_ALL_V;
    bool send_is_whole = call_is_per_dest(call->spec.coll);
    if (me->send_nelems > 0 && (!in_place || send_is_whole)) {
        call_area_init(call, &me->send, rank, me->send_nelems * elem);
    }
    if (me->recv_nelems > 0 && (!in_place || !send_is_whole)) {
        call_area_init(call, &me->recv, rank, me->recv_nelems * elem);
    }
    me->op.input = me->send.at;
    me->op.output = me->recv.at;
    if (in_place && send_is_whole && me->recv_nelems > 0) {
        me->op.output = me->send.at + me->send_starts[rank] * elem;
    } else if (in_place && !send_is_whole && me->send_nelems > 0) {
        bool has_blocks = !wh_coll_reduces(call->spec.coll) && !call_is_from_root(call->spec.coll);
        me->op.input = me->recv.at + (has_blocks ? me->recv_starts[rank] * elem : 0);
    }
}

/* ---- what must come out ---- */

/* Writes what rank must receive at `to`: block `src`, or the reduction. */
static inline void call_expect_block(const struct call *call, uint32_t rank, uint32_t src,
                                     uint8_t *to, size_t nelems)
{
    const struct call_spec *s = &call->spec;
    size_t elem = call->elem_nbytes;
    bool per_dest = call_is_per_dest(s->coll);
    size_t nfresh = nelems < CALLS_PERIOD ? nelems : CALLS_PERIOD;
    for (size_t i = 0; i < nfresh; i++) {
        uint64_t elements[64], x;
        for (uint32_t r = 0; r < call->n; r++) {
            size_t at = (per_dest ? call->ranks[r].send_starts[rank] : 0) + i;
            elements[r] = ref_load(s->dtype, call->ranks[r].elems + at % CALLS_PERIOD * elem);
        }
        x = wh_coll_reduces(s->coll) ? call_fold(call, elements) : elements[src];
        ref_store(s->dtype, to + i * elem, x);
    }
    call_repeat(to, nelems, elem);
}

/* Takes the images of a rank's memory: as it is, with what comes in written over. */
static inline void call_make_images(struct call *call, uint32_t rank)
{
    struct call_rank *me = &call->ranks[rank];
    struct call_area *areas[] = {&me->send, &me->recv};
    for (size_t i = 0; i < 2; i++) {
        if (areas[i]->memory != NULL) {
            memcpy(areas[i]->image, areas[i]->memory, areas[i]->memory_nbytes);
        }
    }
    if (me->recv_nelems == 0) {
        return;
    }
    const struct call_area *into = me->recv.memory != NULL ? &me->recv : &me->send;
    uint8_t *output = into->image + ((uint8_t *)me->op.output - into->memory);
    enum wh_coll coll = call->spec.coll;
    bool is_one = wh_coll_reduces(coll) || call_is_from_root(coll);
    for (uint32_t b = 0; b < (is_one ? 1 : call->n); b++) {
        call_expect_block(call, rank, is_one ? call->spec.root : b,
                          output + me->recv_starts[b] * call->elem_nbytes, me->recv_counts[b]);
    }
}

static inline struct call *call_create(const struct call_spec *spec, uint32_t n)
{
    struct call *call = calloc(1, sizeof(*call) + n * sizeof(call->ranks[0]));
    cr_assert_not_null(call);
    call->spec = *spec;
    call->n = n;
    if (!wh_coll_reduces(spec->coll)) {
        call->spec.redop = WH_REDOP_NONE;
    }
    call->elem_nbytes = wh_dtype_nbytes(spec->dtype);
    for (uint32_t r = 0; r < n; r++) {
        call_make_layout(call, r);
        call_make_op(call, r);
        call_make_buffers(call, r);
        call_fill_input(call, r);
    }
    for (uint32_t r = 0; r < n; r++) {
        call_make_images(call, r);
    }
    return call;
}

/** "all_reduce(count 7, float32, op 0, root 0, ...) of 4 ranks" */
static inline void call_print(const struct call *call, char *text, size_t text_nbytes)
{
    const struct call_spec *s = &call->spec;
    snprintf(text, text_nbytes,
             "%s(count %zu, %s, op %u, root %u%s%s, memory %d, misaligned %u, seed %llu) of %u "
             "ranks",
             wh_coll_str(s->coll), s->count, wh_dtype_str(s->dtype), s->redop, s->root,
             s->in_place ? ", in place" : "", s->has_displs ? ", displs" : "", (int)s->memory,
             s->misaligned, (unsigned long long)s->seed, call->n);
}

/** Compares all memory with its images. */
static inline void call_check(const struct call *call)
{
    for (uint32_t r = 0; r < call->n; r++) {
        const struct call_area *areas[] = {&call->ranks[r].send, &call->ranks[r].recv};
        for (size_t i = 0; i < 2; i++) {
            const struct call_area *area = areas[i];
            if (area->memory == NULL ||
                memcmp(area->memory, area->image, area->memory_nbytes) == 0) {
                continue;
            }
            size_t at = 0;
            while (area->memory[at] == area->image[at]) {
                at++;
            }
            char text[256];
            call_print(call, text, sizeof(text));
            cr_assert_fail("%s: rank %u, %s buffer: byte %td is %02x, not %02x", text, r,
                           i == 0 ? "send" : "receive", area->memory + at - area->at,
                           area->memory[at], area->image[at]);
        }
    }
}

static inline void call_destroy(struct call *call)
{
    for (uint32_t r = 0; r < call->n; r++) {
        struct call_rank *me = &call->ranks[r];
        call_area_fini(&me->send);
        call_area_fini(&me->recv);
        free(me->send_counts);
        free(me->send_starts);
        free(me->recv_counts);
        free(me->recv_starts);
        free(me->elems);
    }
    free(call);
}

#endif
