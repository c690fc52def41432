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
#include "base/clock.h"
#include "base/log.h"
#include "base/wait.h"
#include "executor/arena/internal.h"

#include <string.h>

enum { LEAVE_NSPINS = 100, LEAVE_NYIELDS = 10 };

/* How long who leaves waits for others who are at work on its buffers. They are for the time of one
 * pass over their part, unless their process was killed or stopped in the middle of it, or a
 * reduction of the user's does what it likes there, even waits for this rank. */
enum { LEAVE_PROCESSES_MS = 2000, LEAVE_THREADS_MS = 20000 };

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

bool arena_has_anyone_left(const struct wh_arena *a)
{
    for (uint32_t r = 0; r < a->n; r++) {
        if (atomic_load(&arena_head(a, r)->has_left) != 0) {
            return true;
        }
    }
    return false;
}

/* Reads, or reads and writes, the buffers of all ranks; not if one has left, as its buffers may be
 * gone, or hold something else. Who leaves says so first and then waits for those who are at work,
 * and who begins to work says so first and then looks who has left: one of the two sees the other. */
static whorl_result_t work_on_buffers(struct wh_arena *a)
{
    const struct arena_pattern *pattern = &a->run.pattern;
    _Atomic uint32_t *at_work = &arena_head(a, a->me)->at_work;
    whorl_result_t rc = WHORL_IN_PROGRESS;
    atomic_store(at_work, 1);
    if (!arena_has_anyone_left(a)) {
        rc = !pattern->reduces   ? take_blocks(a)
             : pattern->per_dest ? reduce_block(a)
                                 : reduce_vector(a);
    }
    wh_shared_release();
    atomic_store(at_work, 0);
    return rc;
}

/* Another rank that is at work on buffers; a->n: none. */
static uint32_t find_at_work(const struct wh_arena *a)
{
    uint32_t r = 0;
    while (r < a->n && (r == a->me || atomic_load(&arena_head(a, r)->at_work) == 0)) {
        r++;
    }
    return r;
}

static whorl_result_t poll_hands_off(void *ctx, bool *moved_out)
{
    const struct wh_arena *a = ctx;
    (void)moved_out;
    if (find_at_work(a) < a->n) {
        return WHORL_IN_PROGRESS;
    }
    wh_shared_acquire();
    return WHORL_OK;
}

void wh_arena_leave(struct wh_arena *a)
{
    atomic_store(&arena_head(a, a->me)->has_left, 1);
    int patience_ms = a->is_one_process ? LEAVE_THREADS_MS : LEAVE_PROCESSES_MS;
    struct wh_wait wait = {
        .patience = {.nspins = LEAVE_NSPINS, .nyields = LEAVE_NYIELDS},
        .poll = poll_hands_off,
        .ctx = a,
        .deadline_ns = wh_deadline_after_ms((uint64_t)patience_ms),
    };
    uint32_t busy = wh_wait(&wait) == WHORL_OK ? a->n : find_at_work(a);
    if (busy < a->n) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_COLL,
               "rank %u: its call has failed, but rank %u was at work on its buffers and has not "
               "said for %d ms that it is done; it was killed or stopped, or is in a reduction of "
               "the user's",
               a->names[a->me], a->names[busy], patience_ms);
    }
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
        whorl_result_t rc = work_on_buffers(a);
        if (rc != WHORL_OK) {
            return rc;
        }
        arena_publish(a, 1);
        run->waits_reduced = true;
        *moved_out = true;
    }
    whorl_result_t rc = await_others(a);
    if (rc == WHORL_OK && arena_has_anyone_left(a)) {
        rc = WHORL_IN_PROGRESS;
    }
    if (rc != WHORL_OK) {
        return rc;
    }
    arena_finish(a, 1);
    return WHORL_OK;
}
