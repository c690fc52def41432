/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on buffers that all ranks can address: no staging, two waits.
 *
 * Vectors are reduced in two shots that are one: rank r combines slice r of all inputs in registers
 * and stores it to all outputs. Blocks are read by their receivers. Either way every input is read
 * once and every output written once, which is the least there is. In place costs nothing: slice r
 * of every buffer is touched by rank r only, and own blocks by their owner.
 *
 * A record of another rank is checked before it becomes an address.
 */
#include "base/bits.h"
#include "base/log.h"
#include "executor/arena/internal.h"

#include <string.h>

static whorl_result_t bad_record(const struct wh_arena *a, uint32_t rank)
{
    return wh_fail(WHORL_E_PEER, WH_SUBSYS_COLL,
                   "rank %u: what rank %u says about its buffers is outside of what it shares",
                   a->names[a->me], a->names[rank]);
}

/* The input (or output) of rank as this process addresses it; NULL: damaged. */
static uint8_t *buffer_of(const struct wh_arena *a, uint32_t rank, bool is_send, size_t nbytes)
{
    const struct wh_op *op = a->run.op;
    if (rank == a->me) {
        return is_send ? (uint8_t *)(uintptr_t)op->input : op->output;
    }
    struct arena_record record;
    arena_read_record(a, rank, &record);
    if (a->is_one_process) {
        return (uint8_t *)(uintptr_t)(is_send ? record.send : record.recv);
    }
    return wh_windows_ptr(a->windows, rank, is_send ? record.send_slot : record.recv_slot,
                          is_send ? record.send : record.recv, nbytes);
}

static whorl_result_t reduce_vector(struct wh_arena *a)
{
    const struct arena_run *run = &a->run;
    size_t count = run->op->count, elem = run->elem_nbytes;
    size_t each = wh_align_up(wh_div_up(count, a->n), 64 / elem);
    size_t first = wh_min_size(a->me * each, count);
    size_t nelems = wh_min_size(each, count - first);
    size_t ndsts = 0;
    for (uint32_t r = 0; r < a->n; r++) {
        uint8_t *input = buffer_of(a, r, true, run->block_nbytes);
        uint8_t *output = arena_receives(a, r) ? buffer_of(a, r, false, run->block_nbytes) : NULL;
        if (input == NULL || (output == NULL && arena_receives(a, r))) {
            return bad_record(a, r);
        }
        a->srcs[r] = input + first * elem;
        if (output != NULL) {
            a->dsts[ndsts++] = output + first * elem;
        }
    }
    arena_combine(a, a->dsts, ndsts, nelems, ARENA_TO_USER);
    return WHORL_OK;
}

/* Where in the input of rank the block for this rank is. */
static size_t block_at(const struct wh_arena *a)
{
    return a->run.pattern.per_dest ? a->me * a->run.block_nbytes : 0;
}

static whorl_result_t reduce_block(struct wh_arena *a)
{
    const struct arena_run *run = &a->run;
    for (uint32_t r = 0; r < a->n; r++) {
        uint8_t *input = buffer_of(a, r, true, a->n * run->block_nbytes);
        if (input == NULL) {
            return bad_record(a, r);
        }
        a->srcs[r] = input + block_at(a);
    }
    void *const dsts[] = {run->op->output};
    arena_combine(a, dsts, 1, run->op->count, ARENA_TO_USER);
    return WHORL_OK;
}

static whorl_result_t take_blocks(struct wh_arena *a)
{
    const struct arena_run *run = &a->run;
    size_t nbytes = run->block_nbytes;
    size_t all_nbytes = run->pattern.per_dest ? a->n * nbytes : nbytes;
    /* The own one last: others wrote theirs a moment ago, and have them in their caches still. */
    for (uint32_t i = 1; i <= a->n && arena_receives(a, a->me); i++) {
        uint32_t r = a->me + i < a->n ? a->me + i : a->me + i - a->n;
        if (!arena_sends(a, r)) {
            continue;
        }
        uint8_t *to = (uint8_t *)run->op->output + (run->pattern.from_root ? 0 : r * nbytes);
        struct arena_record record;
        arena_read_record(a, r, &record);
        if (record.reach == ARENA_CMA && r != a->me) {
            whorl_result_t rc = arena_cma_read(a, r, record.send + block_at(a), to, nbytes);
            if (rc != WHORL_OK) {
                return rc;
            }
            continue;
        }
        const uint8_t *input = buffer_of(a, r, true, all_nbytes);
        if (input == NULL) {
            return bad_record(a, r);
        }
        arena_copy(a, to, input + block_at(a), nbytes);
    }
    return WHORL_OK;
}

void wh_arena_leave(struct wh_arena *a)
{
    atomic_store(&arena_head(a, a->me)->has_left, 1);
}

/* Has somebody left whose buffers this operation has used? It said so before it touched them. */
static bool has_anyone_left(const struct wh_arena *a)
{
    for (uint32_t r = 0; r < a->n; r++) {
        if (atomic_load_explicit(&arena_head(a, r)->has_left, memory_order_acquire) != 0) {
            return true;
        }
    }
    return false;
}

/* Whom this rank waits for at the end: whoever reads its input or writes its output. */
static whorl_result_t await_others(struct wh_arena *a)
{
    bool all_work = a->run.pattern.reduces && !a->run.pattern.per_dest;
    if (all_work || !arena_is_rooted(a)) {
        return arena_await(a, 1, ARENA_ALL);
    }
    if (!arena_sends(a, a->me)) {
        return WHORL_OK;
    }
    return arena_await(a, 1, a->run.pattern.to_root ? a->run.root : ARENA_ALL);
}

whorl_result_t arena_direct_body(struct wh_arena *a, bool *moved_out)
{
    struct arena_run *run = &a->run;
    if (!run->waits_reduced) {
        /* All of the work is one step: whoever sleeps until this rank comes should begin, too. */
        wh_arena_wake(a);
        whorl_result_t rc = !run->pattern.reduces   ? take_blocks(a)
                            : run->pattern.per_dest ? reduce_block(a)
                                                    : reduce_vector(a);
        if (rc != WHORL_OK) {
            return rc;
        }
        arena_publish(a, 1);
        run->waits_reduced = true;
        *moved_out = true;
    }
    whorl_result_t rc = await_others(a);
    if (rc == WHORL_OK && has_anyone_left(a)) {
        rc = WHORL_IN_PROGRESS; /* the communicator's failure is on its way */
    }
    if (rc != WHORL_OK) {
        return rc;
    }
    arena_finish(a, 1);
    return WHORL_OK;
}
