/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arenas whose ranks are in groups, all in one thread, and what they must come to.
 *
 * Each rank has a mapping of its own of the region, so that a test can take pages of it away from
 * that rank only. Who goes on next is chosen at random; a rank goes on until it has to wait.
 */
#ifndef WH_TESTS_LEVELS_WORLD_H
#define WH_TESTS_LEVELS_WORLD_H

#include "base/bits.h"
#include "base/log.h"
#include "base/shmem.h"
#include "base/wait.h"
#include "executor/arena/internal.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    LEVELS_RANKS_MAX = 16,
    LEVELS_CHUNK_NBYTES = 4096, /* small, so that operations have many chunks */
};

struct levels_world {
    uint32_t n, ngroups;
    uint32_t groups[LEVELS_RANKS_MAX];
    uint64_t random, seq;
    size_t part_nbytes;
    uint8_t *maps[LEVELS_RANKS_MAX];
    struct wh_doorbell *bells;
    struct wh_doorbell *bell_ptrs[LEVELS_RANKS_MAX];
    struct wh_arena *arenas[LEVELS_RANKS_MAX];
};

static inline uint64_t levels_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/** groups: a digit per rank, "0011". If all are 0, arenas are told of no groups. */
static inline void levels_open(struct levels_world *w, const char *groups, size_t chunk_nbytes,
                               bool is_one_process)
{
    *w = (struct levels_world){.n = (uint32_t)strlen(groups), .random = 1};
    for (uint32_t r = 0; r < w->n; r++) {
        w->groups[r] = (uint32_t)(groups[r] - '0');
        w->ngroups = w->groups[r] >= w->ngroups ? w->groups[r] + 1 : w->ngroups;
    }
    w->part_nbytes = wh_arena_region_nbytes(w->n, chunk_nbytes);
    int fd;
    cr_assert_eq(wh_shmem_create("levels", w->n * w->part_nbytes, &fd), WHORL_OK);
    w->bells = aligned_alloc(WH_LINE_NBYTES, w->n * sizeof(*w->bells));
    cr_assert_not_null(w->bells);
    memset((void *)w->bells, 0, w->n * sizeof(*w->bells));
    for (uint32_t r = 0; r < w->n; r++) {
        w->bell_ptrs[r] = &w->bells[r];
    }
    for (uint32_t r = 0; r < w->n; r++) {
        void *map;
        cr_assert_eq(wh_shmem_map_aligned(fd, 0, w->n * w->part_nbytes, &map), WHORL_OK);
        w->maps[r] = map;
        struct wh_arena_env env = {
            .region = {.base = map,
                       .nbytes = w->part_nbytes,
                       .local = r,
                       .nlocal = w->n,
                       .bells = w->bell_ptrs},
            .chunk_nbytes = chunk_nbytes,
            .llc_nbytes = 1 << 20,
            .is_one_process = is_one_process,
            .groups = w->ngroups > 1 ? w->groups : NULL,
        };
        cr_assert_eq(wh_arena_create(&env, &w->arenas[r]), WHORL_OK, "%s", wh_error_get());
    }
    close(fd);
}

static inline void levels_close(struct levels_world *w)
{
    for (uint32_t r = 0; r < w->n; r++) {
        wh_arena_destroy(w->arenas[r]);
        wh_shmem_unmap(w->maps[r], w->n * w->part_nbytes);
    }
    free((void *)w->bells);
}

/* ---- calls ---------------------------------------------------------------------------------- */

/** A collective that reduces, or all_gather. */
struct levels_call {
    enum wh_coll coll;
    size_t count;
    whorl_dtype_t dtype;
    uint8_t redop;
    uint32_t root;
    bool in_place;
    uint64_t seed;

    /* Of levels_begin(). */
    uint32_t n;
    struct wh_op ops[LEVELS_RANKS_MAX];
    uint8_t *inputs[LEVELS_RANKS_MAX]; /* as they were */
    uint8_t *sends[LEVELS_RANKS_MAX], *recvs[LEVELS_RANKS_MAX];
};

static inline size_t levels_elem(const struct levels_call *c)
{
    return whorl_dtype_nbytes(c->dtype);
}

/** Elements that each rank brings. */
static inline size_t levels_in_nelems(const struct levels_call *c)
{
    return c->coll == WH_COLL_REDUCE_SCATTER ? c->count * c->n : c->count;
}

static inline size_t levels_out_nelems(const struct levels_call *c)
{
    return c->coll == WH_COLL_ALL_GATHER ? c->count * c->n : c->count;
}

/** Random elements of about the same size and any sign, whose sums depend on the order. */
static inline void levels_fill(uint8_t *to, size_t nelems, whorl_dtype_t dtype, uint64_t seed)
{
    static const struct {
        unsigned mantissa_nbits, bias; /* of floats */
    } layout[WHORL_DTYPE_COUNT] = {
        [WHORL_FLOAT16] = {10, 15},  [WHORL_FLOAT32] = {23, 127},  [WHORL_FLOAT64] = {52, 1023},
        [WHORL_BFLOAT16] = {7, 127}, [WHORL_FLOAT8_E4M3] = {3, 7}, [WHORL_FLOAT8_E5M2] = {2, 15},
    };
    size_t elem = whorl_dtype_nbytes(dtype);
    unsigned nbits = layout[dtype].mantissa_nbits;
    for (size_t i = 0; i < nelems; i++) {
        uint64_t bits = levels_random(&seed);
        if (nbits > 0) {
            uint64_t exponent = layout[dtype].bias - 2 + (bits >> 60) % 4;
            uint64_t sign = bits >> 59 & 1;
            bits =
                (bits & ((UINT64_C(1) << nbits) - 1)) | exponent << nbits | sign << (8 * elem - 1);
        }
        memcpy(to + i * elem, &bits, elem);
    }
}

static inline void levels_begin(struct levels_world *w, struct levels_call *c)
{
    static const float half = 0.5f;
    c->n = w->n;
    w->seq++;
    size_t in_nbytes = levels_in_nelems(c) * levels_elem(c);
    size_t out_nbytes = levels_out_nelems(c) * levels_elem(c);
    size_t most = in_nbytes > out_nbytes ? in_nbytes : out_nbytes;
    for (uint32_t r = 0; r < w->n; r++) {
        c->inputs[r] = malloc(in_nbytes + 1);
        c->recvs[r] = malloc(most + 1);
        c->sends[r] = c->in_place ? c->recvs[r] : malloc(in_nbytes + 1);
        cr_assert(c->inputs[r] != NULL && c->recvs[r] != NULL && c->sends[r] != NULL);
        levels_fill(c->inputs[r], levels_in_nelems(c), c->dtype, c->seed + r);
        memset(c->recvs[r], 0x5a, most);
        memcpy(c->sends[r], c->inputs[r], in_nbytes);
        c->ops[r] = (struct wh_op){
            .input = c->sends[r],
            .output = c->recvs[r],
            .count = c->count,
            .dtype = c->dtype,
            .redop = c->redop,
            .seq = w->seq,
        };
        if (c->redop == WH_REDOP_PREMUL_SUM) {
            cr_assert_eq(c->dtype, WHORL_FLOAT32);
            memcpy(c->ops[r].premul_scalar, &half, sizeof(half));
        }
    }
}

static inline void levels_end(struct levels_call *c)
{
    for (uint32_t r = 0; r < c->n; r++) {
        free(c->inputs[r]);
        free(c->recvs[r]);
        if (!c->in_place) {
            free(c->sends[r]);
        }
    }
}

/** Lets one rank at random go on, until all have done all calls. */
static inline void levels_play(struct levels_world *w, struct levels_call *calls, uint32_t ncalls)
{
    uint32_t next[LEVELS_RANKS_MAX] = {0}, nidle = 0, ndone = 0;
    bool at_work[LEVELS_RANKS_MAX] = {false};
    while (ndone < w->n) {
        uint32_t r = (uint32_t)(levels_random(&w->random) % w->n);
        if (next[r] == ncalls) {
            continue;
        }
        struct levels_call *c = &calls[next[r]];
        if (!at_work[r]) {
            wh_arena_start(w->arenas[r], c->coll, c->root, &c->ops[r]);
            at_work[r] = true;
        }
        bool moved = false;
        whorl_result_t rc = wh_arena_advance(w->arenas[r], &moved);
        cr_assert(rc == WHORL_OK || rc == WHORL_IN_PROGRESS, "%s", wh_error_get());
        nidle = moved || rc == WHORL_OK ? 0 : nidle + 1;
        cr_assert_lt(nidle, 10000, "nobody can go on");
        if (rc == WHORL_OK) {
            at_work[r] = false;
            next[r]++;
            ndone += next[r] == ncalls;
        }
    }
}

/* ---- what must come out --------------------------------------------------------------------- */

/** srcs combined in their order by the scalar kernels. */
static inline void levels_combine(const struct levels_call *c, const void *const *srcs, size_t n,
                                  uint32_t divisor, uint8_t *to)
{
    enum wh_kernel_op kernel = c->redop == WHORL_PROD  ? WH_KERNEL_PROD
                               : c->redop == WHORL_MAX ? WH_KERNEL_MAX
                               : c->redop == WHORL_MIN ? WH_KERNEL_MIN
                                                       : WH_KERNEL_SUM;
    void *const dsts[] = {to};
    const struct wh_combine job = {
        .dsts = dsts,
        .ndsts = 1,
        .srcs = srcs,
        .nsrcs = n,
        .nelems = levels_in_nelems(c),
        .divisor = divisor,
    };
    wh_kernels_scalar.combine[c->dtype][kernel](&job);
}

/** The reduction of everything that ranks bring: over each group in the order of ranks, then over
 *  the groups; with one group flat. The caller frees it. */
static inline uint8_t *levels_reference(const struct levels_call *c, const uint32_t *groups,
                                        uint32_t ngroups)
{
    size_t nbytes = levels_in_nelems(c) * levels_elem(c);
    uint8_t *result = malloc(nbytes + 1);
    uint8_t *partials[LEVELS_RANKS_MAX];
    cr_assert_not_null(result);
    if (c->redop == WH_REDOP_PREMUL_SUM) {
        static const float half = 0.5f;
        for (uint32_t r = 0; r < c->n; r++) {
            wh_kernels_scalar.scale[c->dtype](c->inputs[r], c->inputs[r], &half,
                                              levels_in_nelems(c));
        }
    }
    for (uint32_t g = 0; g < ngroups; g++) {
        const void *srcs[LEVELS_RANKS_MAX];
        size_t n = 0;
        for (uint32_t r = 0; r < c->n; r++) {
            if (groups[r] == g) {
                srcs[n++] = c->inputs[r];
            }
        }
        partials[g] = malloc(nbytes + 1);
        cr_assert_not_null(partials[g]);
        bool is_last = ngroups == 1 && c->redop == WHORL_AVG;
        levels_combine(c, srcs, n, is_last ? c->n : 1, partials[g]);
    }
    if (ngroups == 1) {
        memcpy(result, partials[0], nbytes);
    } else {
        levels_combine(c, (const void *const *)partials, ngroups, c->redop == WHORL_AVG ? c->n : 1,
                       result);
    }
    for (uint32_t g = 0; g < ngroups; g++) {
        free(partials[g]);
    }
    return result;
}

/** Compares the outputs of all ranks. */
static inline void levels_check(const struct levels_world *w, const struct levels_call *c)
{
    size_t elem = levels_elem(c), block_nbytes = c->count * elem;
    uint8_t *want = NULL;
    if (c->coll != WH_COLL_ALL_GATHER) {
        want = levels_reference(c, w->groups, w->ngroups);
    }
    for (uint32_t r = 0; r < w->n; r++) {
        bool is_right = true;
        for (uint32_t s = 0; want == NULL && s < w->n; s++) {
            is_right &= memcmp(c->recvs[r] + s * block_nbytes, c->inputs[s], block_nbytes) == 0;
        }
        if (want != NULL && (c->coll != WH_COLL_REDUCE || r == c->root)) {
            size_t at = c->coll == WH_COLL_REDUCE_SCATTER ? r * block_nbytes : 0;
            is_right = memcmp(c->recvs[r], want + at, block_nbytes) == 0;
        }
        cr_assert(is_right, "rank %u: coll %d, count %zu, dtype %d, redop %d%s", r, (int)c->coll,
                  c->count, (int)c->dtype, c->redop, c->in_place ? ", in place" : "");
    }
    free(want);
}

/** One call from buffers to checked bytes. */
static inline void levels_do(struct levels_world *w, struct levels_call c)
{
    levels_begin(w, &c);
    levels_play(w, &c, 1);
    levels_check(w, &c);
    levels_end(&c);
}

#endif
