/* SPDX-License-Identifier: Apache-2.0 */
/*
 * all_reduce and reduce through staging: by chunks that stay in cache, each in two shots.
 *
 *     fill      copy the chunk to staging, but for the slice that this rank combines itself
 *     -- wait 1: everyone has filled --
 *     combine   this rank's slice of all inputs -> its slice of staging, and the user's output
 *     -- wait 2: everyone has combined --
 *     collect   the other slices out of their combiners' staging (and the own one, if it goes past
 *               the caches)
 *
 * Between combining chunk c and waiting for the others a rank fills chunk c + 1 in the other
 * buffer, so a chunk costs two waits and hardly ever a stall.
 *
 * Why two buffers suffice. A rank fills chunk c + 2 after it has seen everyone combine c, who have
 * then read all they need of its chunk c but for its combined slice. Filling leaves that alone, as
 * a rank's slice is in the same place in all chunks; it is overwritten only by combining c + 2,
 * after everyone has filled c + 2, which they did after they had collected c.
 *
 * Steps: combining chunk c is step 2c + 1, filling it (but for the first) step 2c.
 */
#include "base/bits.h"
#include "executor/arena/internal.h"

#include <string.h>

struct span {
    size_t start, nelems; /* of the vector */
};

static struct span chunk_span(const struct wh_arena *a, uint64_t chunk)
{
    size_t start = (size_t)chunk * a->run.chunk_nelems;
    return (struct span){start, wh_min_size(a->run.chunk_nelems, a->run.op->count - start)};
}

/* The slice that rank combines, of a chunk. The same place in all chunks, also in the last, which
 * may be shorter. */
static struct span slice_span(const struct wh_arena *a, uint32_t rank, struct span chunk)
{
    size_t vector = 64 / a->run.elem_nbytes;
    size_t each = wh_align_up(wh_div_up(a->run.chunk_nelems, a->n), vector);
    size_t first = wh_min_size(rank * each, chunk.nelems);
    return (struct span){first, wh_min_size(each, chunk.nelems - first)};
}

void arena_twoshot_plan(struct wh_arena *a)
{
    struct arena_run *run = &a->run;
    size_t most = a->chunk_nbytes / run->elem_nbytes;
    run->nchunks = wh_div_up(run->op->count, most);
    run->chunk_nelems = wh_min_size(
        most, wh_align_up(wh_div_up(run->op->count, run->nchunks), 64 / run->elem_nbytes));
    run->nchunks = wh_div_up(run->op->count, run->chunk_nelems);
    arena_stage_plan(a, run->chunk_nelems * run->elem_nbytes);
}

void arena_twoshot_fill(struct wh_arena *a, uint64_t chunk)
{
    const struct arena_run *run = &a->run;
    size_t elem = run->elem_nbytes;
    struct span c = chunk_span(a, chunk);
    struct span mine = slice_span(a, a->me, c);
    uint8_t *to = arena_staging(a, a->me, chunk);
    const uint8_t *from = (const uint8_t *)run->op->input + c.start * elem;
    size_t after = mine.start + mine.nelems;
    arena_bring(a, to, from, mine.start * elem);
    arena_bring(a, to + after * elem, from + after * elem, (c.nelems - after) * elem);
}

static void combine(struct wh_arena *a, uint64_t chunk)
{
    const struct arena_run *run = &a->run;
    size_t elem = run->elem_nbytes;
    struct span c = chunk_span(a, chunk);
    struct span mine = slice_span(a, a->me, c);
    for (uint32_t r = 0; r < a->n; r++) {
        a->srcs[r] = arena_staging(a, r, chunk) + mine.start * elem;
    }
    a->dsts[0] = arena_staging(a, a->me, chunk) + mine.start * elem;
    const uint8_t *own = (const uint8_t *)run->op->input + (c.start + mine.start) * elem;
    if (run->op->redop == WH_REDOP_PREMUL_SUM) {
        arena_bring(a, a->dsts[0], own, mine.nelems * elem);
    } else {
        a->srcs[a->me] = own;
    }
    if (arena_receives(a, a->me) && !run->is_streaming) {
        a->dsts[1] = (uint8_t *)run->op->output + (c.start + mine.start) * elem;
        arena_combine(a, a->dsts, 2, mine.nelems, ARENA_TO_USER);
    } else {
        arena_combine(a, a->dsts, 1, mine.nelems, ARENA_TO_STAGING);
    }
}

static void collect(const struct wh_arena *a, uint64_t chunk)
{
    const struct arena_run *run = &a->run;
    size_t elem = run->elem_nbytes;
    if (!arena_receives(a, a->me)) {
        return;
    }
    struct span c = chunk_span(a, chunk);
    uint8_t *to = (uint8_t *)run->op->output + c.start * elem;
    for (uint32_t i = run->is_streaming ? 0 : 1; i < a->n; i++) {
        uint32_t r = a->me + i < a->n ? a->me + i : a->me + i - a->n;
        struct span s = slice_span(a, r, c);
        arena_copy(a, to + s.start * elem, arena_staging(a, r, chunk) + s.start * elem,
                   s.nelems * elem);
    }
}

whorl_result_t arena_twoshot_body(struct wh_arena *a, bool *moved_out)
{
    struct arena_run *run = &a->run;
    while (run->chunk < run->nchunks) {
        uint64_t c = run->chunk;
        if (!run->waits_reduced) {
            whorl_result_t rc = c == 0 ? WHORL_OK : arena_await(a, 2 * c, ARENA_ALL);
            if (rc != WHORL_OK) {
                return rc;
            }
            combine(a, c);
            arena_publish(a, 2 * c + 1);
            if (c + 1 < run->nchunks) {
                arena_twoshot_fill(a, c + 1);
                arena_publish(a, 2 * c + 2);
            }
            run->waits_reduced = true;
            *moved_out = true;
        }
        bool is_last_of_sender = c + 1 == run->nchunks && !arena_receives(a, a->me);
        whorl_result_t rc = is_last_of_sender ? WHORL_OK : arena_await(a, 2 * c + 1, ARENA_ALL);
        if (rc != WHORL_OK) {
            return rc;
        }
        collect(a, c);
        run->waits_reduced = false;
        run->chunk++;
    }
    arena_stage_end(a);
    arena_finish(a, 2 * run->nchunks);
    return WHORL_OK;
}
