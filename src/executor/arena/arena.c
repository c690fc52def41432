/* SPDX-License-Identifier: Apache-2.0 */
/* The arena's life, and which way an operation goes. */
#include "executor/arena/arena.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/shmem.h"
#include "executor/arena/internal.h"
#include "numeric/dtype.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct arena_pattern patterns[WH_NCOLLS] = {
    [WH_COLL_ALL_REDUCE] = {.reduces = true},
    [WH_COLL_ALL_GATHER] = {.per_dest = false},
    [WH_COLL_REDUCE_SCATTER] = {.per_dest = true, .reduces = true},
    [WH_COLL_BROADCAST] = {.from_root = true},
    [WH_COLL_REDUCE] = {.to_root = true, .reduces = true},
    [WH_COLL_BARRIER] = {.per_dest = false},
    [WH_COLL_ALL_TO_ALL] = {.per_dest = true},
    [WH_COLL_GATHER] = {.to_root = true},
    [WH_COLL_SCATTER] = {.per_dest = true, .from_root = true},
    [WH_COLL_ALL_GATHER_V] = {.per_dest = false},
    [WH_COLL_REDUCE_SCATTER_V] = {.per_dest = true, .reduces = true},
    [WH_COLL_ALL_TO_ALL_V] = {.per_dest = true},
    [WH_COLL_GATHER_V] = {.to_root = true},
    [WH_COLL_SCATTER_V] = {.per_dest = true, .from_root = true},
};

/* Room of a slot behind its first line: sizes of blocks, and data. */
static size_t slot_data_nbytes(uint32_t nranks)
{
    return wh_align_up(nranks * sizeof(uint64_t), 64) + ARENA_DATA_NBYTES;
}

static size_t slot_stride(uint32_t nranks)
{
    return wh_align_up(sizeof(struct arena_slot) + slot_data_nbytes(nranks), WH_LINE_NBYTES);
}

static size_t staging_nbytes(size_t chunk_nbytes)
{
    return wh_align_up(ARENA_NCHUNKS * chunk_nbytes, WH_REGION_ALIGN_NBYTES);
}

size_t wh_arena_region_nbytes(uint32_t nranks, size_t chunk_nbytes)
{
    size_t head_nbytes = sizeof(struct arena_head) + ARENA_NSLOTS * slot_stride(nranks);
    return wh_align_up(staging_nbytes(chunk_nbytes) + head_nbytes, WH_REGION_ALIGN_NBYTES);
}

whorl_result_t wh_arena_create(const struct wh_arena_env *env, struct wh_arena **arena_out)
{
    uint32_t n = env->region.nlocal;
    assert(env->chunk_nbytes >= 4096 && (env->chunk_nbytes & (env->chunk_nbytes - 1)) == 0);
    assert(env->region.nbytes >= wh_arena_region_nbytes(n, env->chunk_nbytes));

    struct wh_arena *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for an arena");
    }
    *a = (struct wh_arena){
        .region = env->region,
        .me = env->region.local,
        .n = n,
        .chunk_nbytes = env->chunk_nbytes,
        .slot_stride = slot_stride(n),
        .staging_nbytes = staging_nbytes(env->chunk_nbytes),
        .llc_nbytes = env->llc_nbytes,
        .direct_nbytes = env->direct_nbytes,
        .cma_nbytes = env->cma_nbytes > 0 ? env->cma_nbytes : SIZE_MAX,
        .is_one_process = env->is_one_process,
        .kernels = wh_kernels_get(),
        .in = calloc(n, sizeof(*a->in)),
        .out = calloc(n, sizeof(*a->out)),
        .srcs = calloc(n, sizeof(void *)),
        .dsts = calloc(n, sizeof(void *)),
        .cma_pids = calloc(n, sizeof(*a->cma_pids)),
        .names = calloc(n, sizeof(*a->names)),
    };
    whorl_result_t rc = WHORL_OK;
    if (a->in == NULL || a->out == NULL || a->srcs == NULL || a->dsts == NULL ||
        a->cma_pids == NULL || a->names == NULL) {
        rc = wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for an arena of %u ranks", n);
    }
    if (rc == WHORL_OK) {
        for (uint32_t r = 0; r < n; r++) {
            a->names[r] = env->names != NULL ? env->names[r] : r;
        }
        rc = arena_levels_init(a, env->groups);
    }
    if (rc == WHORL_OK) {
        rc = wh_windows_create(n, a->me, &a->windows);
    }
    if (rc != WHORL_OK) {
        wh_arena_destroy(a);
        return rc;
    }
    *arena_out = a;
    return WHORL_OK;
}

void wh_arena_destroy(struct wh_arena *a)
{
    if (a == NULL) {
        return;
    }
    wh_windows_destroy(a->windows);
    arena_levels_fini(a);
    free(a->in);
    free(a->out);
    free((void *)a->srcs);
    free((void *)a->dsts);
    free(a->cma_pids);
    free(a->names);
    free(a);
}

/* Most that goes through slots. What a root brings for several ranks may be half a chunk: it need
 * not wait for anyone, and with 4 ranks on 2 cores 32 KiB take half as long. Two ranks are faster
 * part by part (16 KiB: by a quarter). */
static size_t small_nbytes(const struct wh_arena *a)
{
    size_t most = wh_min_size(ARENA_DATA_NBYTES, a->chunk_nbytes / 2);
    return a->run.pattern.from_root && a->n > 2 ? wh_max_size(most, ARENA_SMALL_NBYTES)
                                                : ARENA_SMALL_NBYTES;
}

static enum arena_way way_of(const struct wh_arena *a)
{
    const struct arena_run *run = &a->run;
    if (wh_coll_is_v(run->coll)) {
        return ARENA_EXCHANGE;
    }
    if (a->n == 1 || arena_brought_nbytes(a) <= small_nbytes(a)) {
        return ARENA_SMALL;
    }
    if (run->coll == WH_COLL_ALL_REDUCE && a->ngroups > 1 && run->op->redop != WH_REDOP_USER) {
        return ARENA_LEVELS;
    }
    /* Two ranks read as many bytes of each other in one shot as in two, and wait half as often. */
    bool is_vector = run->pattern.reduces && !run->pattern.per_dest;
    return is_vector && a->n > 2 ? ARENA_TWOSHOT : ARENA_EXCHANGE;
}

void wh_arena_start(struct wh_arena *a, enum wh_coll coll, uint32_t root, const struct wh_op *op)
{
    assert(a->run.stage == ARENA_IDLE && !wh_coll_is_p2p(coll));

    a->seq++;
    struct arena_run *run = &a->run;
    run->coll = coll;
    run->pattern = patterns[coll];
    run->root = root;
    run->op = op;
    run->stage = ARENA_ENTER;
    run->nmet = 0;
    run->elem_nbytes = whorl_dtype_nbytes(op->dtype);
    run->block_nbytes = coll == WH_COLL_BARRIER ? 0 : op->count * run->elem_nbytes;
    run->way = way_of(a);
    run->is_streaming = false;
    if (run->way != ARENA_SMALL) {
        bool has_one = run->pattern.reduces || run->pattern.from_root;
        run->is_streaming = arena_fills_caches(a, arena_brought_nbytes(a),
                                               run->block_nbytes * (has_one ? 1 : a->n));
        run->is_staged = false;
        run->waits_reduced = false;
        run->phase = 0;
        run->chunk = 0;
        run->nchunks = 1;
    }
}

whorl_result_t wh_arena_advance(struct wh_arena *a, bool *moved_out)
{
    return a->run.way == ARENA_SMALL ? arena_advance_small(a, moved_out)
                                     : arena_advance_long(a, moved_out);
}

/* What all ranks agree on in a call; the block sizes of v-collectives are compared one by one. */
static size_t common_count(const struct wh_arena *a)
{
    const struct wh_op *op = a->run.op;
    if (!wh_coll_is_v(a->run.coll)) {
        return op->count;
    }
    const size_t *counts = a->run.coll == WH_COLL_ALL_GATHER_V       ? op->recv_counts
                           : a->run.coll == WH_COLL_REDUCE_SCATTER_V ? op->send_counts
                                                                     : NULL;
    size_t total = 0;
    for (uint32_t r = 0; counts != NULL && r < a->n; r++) {
        total += counts[r];
    }
    return total;
}

void wh_arena_signature(const struct wh_arena *a, struct wh_signature *sig_out)
{
    if (a->run.op->as != NULL) {
        *sig_out = *a->run.op->as;
        return;
    }
    *sig_out = (struct wh_signature){
        .seq = a->run.op->seq,
        .count = common_count(a),
        .root = a->run.root,
        .coll = (uint8_t)a->run.coll,
        .dtype = (uint8_t)a->run.op->dtype,
        .redop = a->run.op->redop,
    };
}

uint64_t wh_arena_memory_nbytes(const struct wh_arena *a)
{
    uint64_t nbytes = sizeof(*a) + a->n * (sizeof(*a->in) + sizeof(*a->out) + 5 * sizeof(void *) +
                                           sizeof(*a->seats) + sizeof(*a->ranks));
    nbytes += sizeof(struct arena_head) + ARENA_NSLOTS * a->slot_stride;
    nbytes += a->has_staged ? a->staging_nbytes : 0;
    return nbytes;
}
