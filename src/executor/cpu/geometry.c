/* SPDX-License-Identifier: Apache-2.0 */
#include "executor/cpu/geometry.h"

#include "base/bits.h"

/* Do chunks stand for blocks of ranks? */
static bool is_blockwise(const struct wh_plan *plan)
{
    return plan->sched->coll == WH_COLL_ALL_GATHER ||
           plan->sched->coll == WH_COLL_REDUCE_SCATTER || plan->sched->coll == WH_COLL_ALL_TO_ALL;
}

/* The buffer that has one block, this rank's own; of all_to_all none has. */
static enum wh_buf own_buf(const struct wh_plan *plan)
{
    return plan->sched->coll == WH_COLL_ALL_GATHER       ? WH_INPUT
           : plan->sched->coll == WH_COLL_REDUCE_SCATTER ? WH_OUTPUT
                                                         : WH_NBUFS;
}

/* The block of `buf` that a chunk is a slice of. */
static uint32_t block_of(const struct wh_plan *plan, enum wh_buf buf, uint32_t chunk)
{
    if (plan->sched->coll != WH_COLL_ALL_TO_ALL) {
        return chunk;
    }
    return buf == WH_INPUT ? chunk % plan->sched->nranks : chunk / plan->sched->nranks;
}

/* Sizes of blocks; NULL: all have op.count elements. */
static const size_t *block_counts(const struct wh_plan *plan)
{
    return plan->sched->coll == WH_COLL_ALL_GATHER       ? plan->op.recv_counts
           : plan->sched->coll == WH_COLL_REDUCE_SCATTER ? plan->op.send_counts
                                                         : NULL;
}

static size_t block_count(const struct wh_plan *plan, uint32_t chunk)
{
    const size_t *counts = block_counts(plan);
    return counts != NULL ? counts[chunk] : plan->op.count;
}

/* Where a block starts in the buffer that has all of them. */
static size_t block_displ(const struct wh_plan *plan, enum wh_buf buf, uint32_t block)
{
    const size_t *displs =
        plan->sched->coll == WH_COLL_ALL_GATHER || buf == WH_OUTPUT ? plan->op.recv_displs
                                                                    : plan->op.send_displs;
    if (displs != NULL) {
        return displs[block];
    }
    const size_t *counts = block_counts(plan);
    if (counts == NULL) {
        return block * plan->op.count;
    }
    size_t start = 0;
    for (uint32_t b = 0; b < block; b++) {
        start += counts[b];
    }
    return start;
}

static size_t largest_block(const struct wh_plan *plan)
{
    const size_t *counts = block_counts(plan);
    size_t most = 0;
    for (uint32_t b = 0; counts != NULL && b < plan->sched->nranks; b++) {
        most = counts[b] > most ? counts[b] : most;
    }
    return counts != NULL ? most : plan->op.count;
}

/* Elements of a chunk when `nelems` are spread over nchunks: whole vectors where there are enough.
 * */
static size_t spread(size_t nelems, size_t nchunks, size_t elem_nbytes)
{
    size_t even = wh_div_up(nelems, nchunks);
    size_t vector = 64 / elem_nbytes;
    return even >= 4 * vector ? wh_align_up(even, vector) : even;
}

/* Elements that a slot has room for, of each chunk of a step. */
static size_t most_nelems(const struct wh_plan *plan)
{
    return plan->chunk_nbytes / plan->elem_nbytes;
}

/* Elements of the chunks of all passes but the last: what a slot allows; or half of that, where all
 * passes side by side then have about as much to do, if their messages are worth it. Half a slot of
 * the default WHORL_BUFFSIZE is what TCP sends at once; a little more goes as two. */
static size_t chunk_for(const struct wh_plan *plan, size_t count, size_t ways)
{
    enum { MESSAGE_LEAST_NBYTES = 64 << 10 };
    const size_t vector = 64 / plan->elem_nbytes;
    const size_t most = most_nelems(plan), half = most / 2 / vector * vector;
    const size_t nabreast = plan->nabreast;
    const size_t npasses = wh_div_up(count, most * ways * nabreast) * nabreast;
    const size_t even = spread(wh_div_up(count, wh_max_size(npasses, 1)), ways, plan->elem_nbytes);
    const size_t message_nbytes = even * plan->sched->nchunks_per_step * plan->elem_nbytes;
    if (message_nbytes < MESSAGE_LEAST_NBYTES || even > half + half / 4) {
        return most;
    }
    return wh_min_size(even, half);
}

void wh_geometry_set(struct wh_plan *plan)
{
    const size_t count = is_blockwise(plan) ? largest_block(plan) : plan->op.count;
    const size_t ways = is_blockwise(plan) ? 1 : plan->sched->nchunks;
    const size_t most = most_nelems(plan);
    plan->chunk_nelems = chunk_for(plan, count, ways);
    const size_t pass_nelems = plan->chunk_nelems * ways;
    plan->npasses = count == 0 ? 1 : wh_div_up(count, pass_nelems);
    size_t rest = count - (size_t)(plan->npasses - 1) * pass_nelems;
    /* A small rest goes with the pass before it. */
    if (plan->npasses > 1 && rest < pass_nelems / 2 &&
        spread(pass_nelems + rest, ways, plan->elem_nbytes) <= most) {
        plan->npasses--;
        rest += pass_nelems;
    }
    plan->last_chunk_nelems = wh_min_size(most, spread(rest, ways, plan->elem_nbytes));
}

size_t wh_geometry_span(const struct wh_plan *plan, uint64_t pass, uint32_t chunk,
                        size_t *start_out)
{
    const bool is_last = pass + 1 == plan->npasses;
    if (is_blockwise(plan)) {
        size_t count = block_count(plan, chunk);
        size_t done = wh_min_size((size_t)pass * plan->chunk_nelems, count);
        *start_out = 0;
        return is_last ? count - done : wh_min_size(plan->chunk_nelems, count - done);
    }
    size_t nelems = is_last ? plan->last_chunk_nelems : plan->chunk_nelems;
    size_t pass_start = (size_t)pass * plan->chunk_nelems * plan->sched->nchunks;
    size_t left = plan->op.count - pass_start;
    *start_out = wh_min_size((size_t)chunk * nelems, left);
    return wh_min_size(nelems, left - *start_out);
}

uint8_t *wh_geometry_ptr(const struct wh_plan *plan, const struct wh_lane_cursor *lane,
                         enum wh_buf buf, uint32_t chunk, size_t start)
{
    if (buf == WH_SCRATCH) {
        return lane->scratch + (size_t)chunk * plan->chunk_nbytes;
    }
    uint8_t *base = buf == WH_INPUT ? (uint8_t *)(uintptr_t)plan->op.input : plan->op.output;
    size_t at = (size_t)lane->pass * plan->chunk_nelems;
    if (!is_blockwise(plan)) {
        at = at * plan->sched->nchunks + start;
    } else if (buf != own_buf(plan)) {
        at += block_displ(plan, buf, block_of(plan, buf, chunk));
    }
    return base + at * plan->elem_nbytes;
}

size_t wh_geometry_message_nbytes(const struct wh_plan *plan, uint64_t pass,
                                  const struct wh_step *step)
{
    size_t nelems = 0, start;
    uint32_t chunk = step->chunk;
    for (uint32_t i = 0; i < step->nchunks; i++) {
        nelems += wh_geometry_span(plan, pass, chunk, &start);
        chunk = chunk + 1 == plan->sched->nchunks ? 0 : chunk + 1;
    }
    return nelems * plan->elem_nbytes;
}
