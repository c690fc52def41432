/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a long operation begins: everyone enters and says which of its buffers the others can
 * address. If they can address all that matters, the operation is a direct one. Otherwise it goes
 * through staging, and ranks whose buffers could have been addressed, and so were not staged before
 * entering, are given time for it by one more step.
 *
 * The first chunk is staged before entering where it can be: then entering also says that it is
 * there, and costs no wait of its own. It cannot where the sizes of blocks are known to their
 * senders only (v-collectives): those tell them when they enter, and if everything is small bring
 * the data too.
 */
#include "base/shmem.h"
#include "executor/arena/internal.h"

#include <string.h>

/* ---- buffers that others can address -------------------------------------------------------- */

/* Bytes of this rank's buffers that others read or write when there is no staging. */
static size_t read_nbytes(const struct wh_arena *a)
{
    return arena_sends(a, a->me) ? arena_brought_nbytes(a) : 0;
}

static size_t written_nbytes(const struct wh_arena *a)
{
    const struct arena_pattern *p = &a->run.pattern;
    return p->reduces && !p->per_dest && arena_receives(a, a->me) ? a->run.block_nbytes : 0;
}

/*
 * Is the vector, the longer one of what a rank brings and receives, worth reading where it is?
 * Lines that others have read in a user's buffer have to come back when the user writes to them
 * again, and staging saves that: see exchange.c. So short ones are staged, too. (Measured with two
 * and four ranks on two cores. Two ranks, blocks of 128 KiB in all: direct takes three times as
 * long as staged, at 1 MiB up to a third longer, at 2 MiB no longer. Four ranks: up to a half
 * longer to 128 KiB, less from 512 KiB on. Sums of vectors: two ranks a sixth longer at 128 KiB,
 * less from 256 KiB on; more ranks are faster direct, but for a tenth at 16 KiB.)
 */
static bool is_worth_reading_directly(const struct wh_arena *a)
{
    const struct arena_pattern *p = &a->run.pattern;
    bool is_vector = p->reduces && !p->per_dest;
    if (is_vector && a->n > 2) {
        return true;
    }
    bool has_one = p->reduces || p->from_root;
    size_t nbytes = a->run.block_nbytes * (p->per_dest || !has_one ? a->n : 1);
    return nbytes >= a->direct_nbytes / (is_vector || a->n > 2 ? 8 : 1);
}

/* Can the others address what they need of this rank's buffers? */
static bool has_mapped_buffers(struct wh_arena *a)
{
    struct arena_run *run = &a->run;
    if (a->is_one_process) {
        return true;
    }
    return (read_nbytes(a) == 0 ||
            wh_windows_own(a->windows, run->op->input, read_nbytes(a), &run->send_window)) &&
           (written_nbytes(a) == 0 ||
            wh_windows_own(a->windows, run->op->output, written_nbytes(a), &run->recv_window));
}

static enum arena_reach offer_buffers(struct wh_arena *a)
{
    if (wh_coll_is_v(a->run.coll) || a->run.op->redop == WH_REDOP_PREMUL_SUM) {
        return ARENA_STAGED;
    }
    if (is_worth_reading_directly(a) && has_mapped_buffers(a)) {
        return ARENA_MAPPED;
    }
    return arena_cma_wanted(a) ? ARENA_CMA : ARENA_STAGED;
}

static void write_record(struct wh_arena *a)
{
    struct arena_run *run = &a->run;
    struct arena_slot *slot = arena_slot(a, a->me, a->seq);
    struct arena_record record = {
        .reach = (uint8_t)run->reach,
        .tries_cma = arena_cma_wanted(a) && arena_cma_tell(a),
    };
    if (run->reach == ARENA_CMA || (run->reach == ARENA_MAPPED && a->is_one_process)) {
        record.send = (uintptr_t)run->op->input;
        record.recv = (uintptr_t)run->op->output;
    } else if (run->reach == ARENA_MAPPED) {
        bool has_send = read_nbytes(a) > 0, has_recv = written_nbytes(a) > 0;
        if (has_send) {
            record.send_slot = run->send_window.slot;
            record.send = run->send_window.offset;
            record.new_send = run->send_window.is_new;
        }
        if (has_recv) {
            record.recv_slot = run->recv_window.slot;
            record.recv = run->recv_window.offset;
            record.new_recv = run->recv_window.is_new;
        }
        struct wh_window_record windows[2] = {0};
        if (record.new_send) {
            wh_windows_record(a->windows, record.send_slot, &windows[0]);
        }
        if (record.new_recv) {
            wh_windows_record(a->windows, record.recv_slot, &windows[1]);
        }
        memcpy(slot->data, windows, sizeof(windows));
    }
    memcpy(slot->inside, &record, sizeof(record));
}

void arena_read_record(const struct wh_arena *a, uint32_t rank, struct arena_record *out)
{
    memcpy(out, arena_slot(a, rank, a->seq)->inside, sizeof(*out));
}

/* What the records of all ranks come to. */
struct outcome {
    bool all_direct; /* go direct */
    bool any_late;   /* somebody who sends has not staged its first chunk */
    bool any_new;    /* there are windows to map first */
};

static struct outcome read_records(const struct wh_arena *a)
{
    struct outcome o = {.all_direct = true};
    for (uint32_t r = 0; r < a->n; r++) {
        struct arena_record record;
        arena_read_record(a, r, &record);
        o.all_direct &= record.reach != ARENA_STAGED;
        o.any_late |= record.reach != ARENA_STAGED && arena_sends(a, r);
        o.any_new |= record.new_send || record.new_recv || record.tries_cma;
    }
    return o;
}

/* Maps and tries what is new; false if something did not work. */
static bool map_windows(struct wh_arena *a)
{
    bool all = !arena_cma_wanted(a) || a->cma != ARENA_CMA_UNTRIED || arena_cma_try(a);
    for (uint32_t r = 0; r < a->n; r++) {
        struct arena_record record;
        struct wh_window_record windows[2];
        arena_read_record(a, r, &record);
        memcpy(windows, arena_slot(a, r, a->seq)->data, sizeof(windows));
        if (r == a->me) {
            continue;
        }
        if (record.new_send) {
            all &= wh_windows_map(a->windows, r, record.send_slot, &windows[0]);
        }
        if (record.new_recv) {
            all &= wh_windows_map(a->windows, r, record.recv_slot, &windows[1]);
        }
    }
    return all;
}

/* Everyone has said whether it could map what is new. */
static bool settle_windows(struct wh_arena *a)
{
    bool all = true;
    for (uint32_t r = 0; r < a->n; r++) {
        all &= atomic_load_explicit(&arena_head(a, r)->mapped, memory_order_relaxed) != 0;
    }
    struct arena_record mine;
    arena_read_record(a, a->me, &mine);
    if (mine.tries_cma) {
        a->cma = all ? ARENA_CMA_WORKS : ARENA_CMA_REFUSED;
    }
    if (mine.new_send) {
        (all ? wh_windows_confirm : wh_windows_refused)(a->windows, mine.send_slot);
    }
    if (mine.new_recv) {
        (all ? wh_windows_confirm : wh_windows_refused)(a->windows, mine.recv_slot);
    }
    return all;
}

/* ---- staging -------------------------------------------------------------------------------- */

static void fill(struct wh_arena *a, uint64_t chunk)
{
    if (!a->has_staged) {
        wh_shmem_advise_huge(a->region.base + a->me * a->region.nbytes, a->staging_nbytes);
        a->has_staged = true;
    }
    if (a->run.way == ARENA_TWOSHOT) {
        arena_twoshot_fill(a, chunk);
    } else if (a->run.way == ARENA_LEVELS) {
        arena_levels_fill(a, chunk);
    } else {
        arena_exchange_fill(a, chunk);
    }
}

/* Everyone whose first chunk is not staged stages it now; one step. */
static void begin_late(struct wh_arena *a)
{
    if (!a->run.is_staged) {
        fill(a, 0);
        a->run.is_staged = true;
    }
    arena_publish(a, 1);
    a->steps++;
    a->run.stage = ARENA_FILL;
}

/* ---- the stages ----------------------------------------------------------------------------- */

static whorl_result_t enter(struct wh_arena *a)
{
    struct arena_run *run = &a->run;
    whorl_result_t rc = WHORL_OK;
    if (a->must_drain) {
        rc = arena_await(a, 0, ARENA_ALL);
        a->must_drain = rc != WHORL_OK;
    }
    if (rc == WHORL_OK) {
        rc = arena_may_enter(a);
    }
    if (rc != WHORL_OK) {
        return rc;
    }
    run->reach = offer_buffers(a);
    if (wh_coll_is_v(run->coll)) {
        arena_counts_tell(a);
    } else {
        if (run->way == ARENA_TWOSHOT || run->way == ARENA_LEVELS) {
            arena_twoshot_plan(a);
        } else {
            arena_exchange_plan(a);
        }
        if (run->reach == ARENA_STAGED) {
            fill(a, 0);
            run->is_staged = true;
        }
        write_record(a);
    }
    arena_enter(a);
    run->stage = ARENA_MEET;
    return WHORL_OK;
}

static whorl_result_t meet(struct wh_arena *a)
{
    whorl_result_t rc = arena_meet(a, ARENA_ALL);
    if (rc != WHORL_OK) {
        return rc;
    }
    if (wh_coll_is_v(a->run.coll)) {
        rc = arena_counts_read(a);
        if (rc == WHORL_OK && a->run.stage != ARENA_IDLE) {
            begin_late(a);
        }
        return rc;
    }
    struct outcome o = read_records(a);
    if (o.all_direct && o.any_new) {
        atomic_store_explicit(&arena_head(a, a->me)->mapped, map_windows(a), memory_order_relaxed);
        arena_publish(a, 1);
        a->steps++;
        a->run.stage = ARENA_MAP;
    } else if (o.all_direct) {
        a->run.way = ARENA_DIRECT;
        a->run.stage = ARENA_BODY;
    } else if (o.any_late) {
        begin_late(a);
    } else {
        a->run.stage = ARENA_BODY;
    }
    return WHORL_OK;
}

/* The step that the stage waits for is already counted in a->steps. */
static whorl_result_t map(struct wh_arena *a)
{
    whorl_result_t rc = arena_await(a, 0, ARENA_ALL);
    if (rc != WHORL_OK) {
        return rc;
    }
    if (settle_windows(a)) {
        a->run.way = ARENA_DIRECT;
        a->run.stage = ARENA_BODY;
    } else {
        begin_late(a);
    }
    return WHORL_OK;
}

static whorl_result_t await_filled(struct wh_arena *a)
{
    whorl_result_t rc = arena_await(a, 0, ARENA_ALL);
    if (rc == WHORL_OK) {
        a->run.stage = ARENA_BODY;
    }
    return rc;
}

static whorl_result_t body(struct wh_arena *a, bool *moved_out)
{
    switch (a->run.way) {
    case ARENA_TWOSHOT:
        return arena_twoshot_body(a, moved_out);
    case ARENA_LEVELS:
        return arena_levels_body(a, moved_out);
    case ARENA_DIRECT:
        return arena_direct_body(a, moved_out);
    default:
        return arena_exchange_body(a, moved_out);
    }
}

whorl_result_t arena_advance_long(struct wh_arena *a, bool *moved_out)
{
    static whorl_result_t (*const stages[])(struct wh_arena *) = {
        [ARENA_ENTER] = enter,
        [ARENA_MEET] = meet,
        [ARENA_MAP] = map,
        [ARENA_FILL] = await_filled,
    };
    while (a->run.stage != ARENA_BODY) {
        whorl_result_t rc = stages[a->run.stage](a);
        if (rc != WHORL_OK || a->run.stage == ARENA_IDLE) {
            return rc;
        }
        *moved_out = true;
    }
    return body(a, moved_out);
}
