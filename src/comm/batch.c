/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches: calls that run together in one thread.
 *
 * A batch is one loop over its calls, inside wh_wait(). A call starts when its communicator's
 * ticket is on turn and nothing that it must come after is still running: collectives of a
 * communicator run one after the other, messages on the same plan too, everything else side by
 * side. That is what lets one thread drive several ranks, or exchange messages in both directions.
 */
#include "comm/batch.h"

#include "base/clock.h"
#include "base/cpus.h"
#include "base/log.h"
#include "comm/counts.h"
#include "comm/watch.h"
#include "comm/work.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NSPINS_LEAST = 4, LONG_WAITS_TO_SPREAD = 32 };

enum call_state { CALL_PENDING, CALL_RUNNING, CALL_DONE };

struct running_call {
    struct wh_call call;
    enum call_state state;
    struct wh_work work;
    uint64_t submitted_ns, record; /* see watch.h; no record until it has started */
    whorl_result_t rc;
};

/* One communicator's share in a batch. */
struct part {
    struct whorl_comm *comm;
    uint64_t ticket;
    uint64_t deadline_ns; /* counted from when the ticket is on turn; WH_NEVER: none */
    uint64_t look_ns;     /* when the wait looks up next, see watch.h */
    bool on_turn, waited;
    bool collective_running;
    size_t nleft; /* calls not done */
};

struct wh_batch {
    size_t ncalls, nparts;
    size_t nleft;
    bool has_spun; /* and comes to wait: it yields at once */
    uint32_t nidle, nidle_most; /* polls in a row in which nothing moved */
    struct running_call *calls;
    struct part *parts;
};

/* A batch of one call, the common case, needs no memory of its own. */
struct small_batch {
    struct wh_batch batch;
    struct running_call call;
    struct part part;
};

static struct part *part_of(struct wh_batch *b, const struct whorl_comm *comm)
{
    for (size_t i = 0; i < b->nparts; i++) {
        if (b->parts[i].comm == comm) {
            return &b->parts[i];
        }
    }
    return NULL;
}

/* Starts a call, if what it needs is free. */
static whorl_result_t start_call(struct running_call *call)
{
    whorl_result_t rc = wh_work_start(&call->work, &call->call);
    if (rc == WHORL_OK) {
        call->record =
            wh_watch_begin(call->call.comm, &call->call, call->work.algo, call->submitted_ns);
        call->state = CALL_RUNNING;
    }
    return rc;
}

static void end_call(struct wh_batch *b, struct part *part, struct running_call *call,
                     whorl_result_t rc)
{
    if (call->state == CALL_RUNNING) {
        wh_work_end(&call->work, part->comm, rc);
        part->collective_running &= wh_coll_is_p2p(call->call.coll);
    }
    if (call->record != 0) {
        wh_watch_end(part->comm, &call->call, call->record, rc);
    }
    call->state = CALL_DONE;
    call->rc = rc;
    b->nleft--;
    part->nleft--;
    if (part->nleft == 0) {
        atomic_store_explicit(&part->comm->now_serving, part->ticket + 1, memory_order_release);
        wh_comm_ring(part->comm);
    }
}

/* Is this a message from the rank to itself? */
static bool is_self(const struct wh_call *call)
{
    return wh_coll_is_p2p(call->coll) && call->root == call->comm->rank;
}

/* A message to itself is a copy, from the first send that is left to the first receive. */
static whorl_result_t copy_self(struct wh_batch *b, struct part *part, struct running_call *send)
{
    const struct wh_op *from = &send->call.op;
    for (size_t i = 0; i < b->ncalls; i++) {
        struct running_call *recv = &b->calls[i];
        if (recv->call.comm != part->comm || recv->state == CALL_DONE || !is_self(&recv->call) ||
            recv->call.coll != WH_COLL_RECV || recv->call.op.redop != from->redop) {
            continue;
        }
        const struct wh_op *to = &recv->call.op;
        if (from->count != to->count || from->dtype != to->dtype) {
            return wh_fail(WHORL_E_MISMATCH, WH_SUBSYS_P2P,
                           "rank %u sends %zu elements of %s to itself, but receives %zu of %s",
                           part->comm->rank, from->count, whorl_dtype_str(from->dtype), to->count,
                           whorl_dtype_str(to->dtype));
        }
        if (from->count > 0) {
            memmove(to->output, from->input, from->count * whorl_dtype_nbytes(from->dtype));
        }
        end_call(b, part, recv, WHORL_OK);
        return WHORL_OK;
    }
    return wh_fail(WHORL_E_USAGE, WH_SUBSYS_P2P,
                   "rank %u sends to itself, but no receive from itself on the same stream is left "
                   "in the group",
                   part->comm->rank);
}

/* A receive from itself waits for its send, which must be in the batch too. */
static whorl_result_t await_self(const struct wh_batch *b, const struct part *part)
{
    for (size_t i = 0; i < b->ncalls; i++) {
        const struct running_call *send = &b->calls[i];
        if (send->call.comm == part->comm && send->state != CALL_DONE && is_self(&send->call) &&
            send->call.coll == WH_COLL_SEND) {
            return WHORL_IN_PROGRESS;
        }
    }
    return wh_fail(WHORL_E_USAGE, WH_SUBSYS_P2P,
                   "rank %u receives from itself, but no send to itself on the same stream is left "
                   "in the group",
                   part->comm->rank);
}

/* When a call of comm that starts now has to be over. */
static uint64_t deadline_of(const struct whorl_comm *comm)
{
    return comm->timeout_ms > 0 ? wh_deadline_after_ms(comm->timeout_ms) : WH_NEVER;
}

/* Finds out whether part's turn has come. Once per round and for all its calls: a turn that came
 * between two of them would let the later one start first. */
static void poll_turn(struct part *part)
{
    struct whorl_comm *comm = part->comm;
    uint64_t serving = atomic_load_explicit(&comm->now_serving, memory_order_acquire);
    part->on_turn = serving == part->ticket;
    if (!part->on_turn) {
        part->waited = true;
    } else if (part->waited) {
        part->deadline_ns = deadline_of(comm);
    }
}

/* Goes on with one call of a part that is on turn. */
static void poll_call(struct wh_batch *b, struct part *part, struct running_call *call,
                      bool *moved_out)
{
    struct whorl_comm *comm = call->call.comm;
    whorl_result_t rc = WHORL_OK;
    if (atomic_load_explicit(&comm->failure.stop, memory_order_relaxed) != 0) {
        rc = wh_comm_failure(comm);
    } else if (is_self(&call->call)) {
        rc = call->call.coll == WH_COLL_SEND ? copy_self(b, part, call) : await_self(b, part);
    } else if (call->state == CALL_PENDING) {
        bool collective = !wh_coll_is_p2p(call->call.coll);
        if (collective && part->collective_running) {
            return;
        }
        rc = start_call(call);
        if (rc == WHORL_IN_PROGRESS) {
            return;
        }
        part->collective_running |= rc == WHORL_OK && collective;
        *moved_out = true;
    }
    if (rc == WHORL_OK && call->state == CALL_RUNNING) {
        rc = wh_work_advance(&call->work, comm, moved_out);
    }
    if (rc == WHORL_IN_PROGRESS) {
        return;
    }
    if (rc != WHORL_OK) {
        rc = wh_comm_fail(comm, rc, wh_error_get());
    }
    *moved_out = true;
    end_call(b, part, call, rc);
}

/* Nothing moved: the wire's own work may be what the calls wait for. */
static void progress(struct part *part)
{
    if (part->nleft == 0 || !part->on_turn) {
        return;
    }
    whorl_result_t rc = wh_wire_progress(part->comm->wire);
    if (rc != WHORL_OK && rc != WHORL_IN_PROGRESS) {
        wh_comm_fail(part->comm, rc, wh_error_get());
    }
}

static whorl_result_t poll_batch(void *ctx, bool *moved_out)
{
    struct wh_batch *b = ctx;
    for (size_t i = 0; i < b->nparts; i++) {
        if (!b->parts[i].on_turn) {
            poll_turn(&b->parts[i]);
        }
    }
    for (size_t i = 0; i < b->ncalls; i++) {
        struct part *part = part_of(b, b->calls[i].call.comm);
        if (b->calls[i].state != CALL_DONE && part->on_turn) {
            poll_call(b, part, &b->calls[i], moved_out);
        }
    }
    b->nidle = *moved_out ? 0 : b->nidle + 1;
    b->nidle_most = b->nidle > b->nidle_most ? b->nidle : b->nidle_most;
    for (size_t i = 0; i < b->nparts && !*moved_out; i++) {
        progress(&b->parts[i]);
    }
    return b->nleft == 0 ? WHORL_OK : WHORL_IN_PROGRESS;
}

/* See wh_wait.fds. A batch whose turn has not come everywhere has only bells to wait for there. */
static uint32_t wait_fds(void *ctx, int *fds_out)
{
    struct wh_batch *b = ctx;
    uint32_t n = 0;
    for (size_t i = 0; i < b->nparts; i++) {
        struct part *part = &b->parts[i];
        if (part->nleft == 0 || !part->on_turn) {
            continue;
        }
        uint32_t more = wh_wire_wait_fds(part->comm->wire, fds_out + n, WH_WAIT_NFDS_MAX - n);
        if (more == UINT32_MAX) {
            return UINT32_MAX;
        }
        n += more;
    }
    return n;
}

/* The call that holds up part, which is on turn. */
static struct running_call *late_call(const struct wh_batch *b, const struct part *part)
{
    struct running_call *late = NULL;
    for (size_t i = 0; i < b->ncalls && (late == NULL || late->state != CALL_RUNNING); i++) {
        struct running_call *call = &b->calls[i];
        if (call->call.comm == part->comm && call->state != CALL_DONE) {
            late = call->state == CALL_RUNNING || late == NULL ? call : late;
        }
    }
    assert(late != NULL);
    return late;
}

/* Reports the call that holds up part, and fails its communicator. */
static void expire_part(struct wh_batch *b, const struct part *part)
{
    const struct running_call *late = late_call(b, part);
    char what[128] = "a call", where[512], finding[320];
    if (late->state == CALL_RUNNING) {
        struct wh_signature sig;
        wh_work_signature(&late->work, part->comm, &sig);
        wh_signature_print(&sig, what, sizeof(what));
    }
    wh_work_describe(&late->work, part->comm, where, sizeof(where));
    wh_fail(WHORL_E_TIMEOUT, WH_SUBSYS_COLL,
            "rank %u: %s, operation %llu, did not finish within %llu ms (WHORL_TIMEOUT): %s%s",
            part->comm->rank, what, (unsigned long long)late->call.op.seq,
            (unsigned long long)part->comm->timeout_ms, where,
            wh_watch_finding(part->comm, late->record, finding, sizeof(finding)));
    wh_comm_fail(part->comm, WHORL_E_TIMEOUT, wh_error_get());
}

/* Some deadline passed. Those that are on turn fail, and with them their calls; the time of all
 * others has not begun: the calls before theirs have deadlines of their own. */
static void expire(struct wh_batch *b)
{
    uint64_t now_ns = wh_now_ns();
    for (size_t i = 0; i < b->nparts; i++) {
        struct part *part = &b->parts[i];
        if (part->nleft == 0 || now_ns < part->deadline_ns) {
            continue;
        }
        if (!part->on_turn) {
            part->deadline_ns = deadline_of(part->comm);
        } else if (atomic_load_explicit(&part->comm->failure.stop, memory_order_relaxed) == 0) {
            expire_part(b, part);
        }
    }
}

/* Has those looked at whose time for it has come. */
static void look(struct wh_batch *b)
{
    uint64_t now_ns = wh_now_ns();
    for (size_t i = 0; i < b->nparts; i++) {
        struct part *part = &b->parts[i];
        if (part->nleft > 0 && now_ns >= part->look_ns) {
            char where[512] = "";
            uint64_t record = 0;
            if (part->on_turn) {
                const struct running_call *late = late_call(b, part);
                wh_work_describe(&late->work, part->comm, where, sizeof(where));
                record = late->record;
            }
            part->look_ns = wh_watch_look(part->comm, record, where);
        }
    }
}

/* The first deadline of what is left, or when to look up before it. Failed calls need neither: they
 * end when they are on turn. */
static uint64_t next_deadline(const struct wh_batch *b)
{
    uint64_t first_ns = WH_NEVER;
    for (size_t i = 0; i < b->nparts; i++) {
        const struct part *part = &b->parts[i];
        uint64_t part_ns = part->deadline_ns < part->look_ns ? part->deadline_ns : part->look_ns;
        if (part->nleft > 0 && part_ns < first_ns &&
            atomic_load_explicit(&part->comm->failure.stop, memory_order_relaxed) == 0) {
            first_ns = part_ns;
        }
    }
    return first_ns;
}

/* Where spinning does not pay, because the other rank has this very core, it soon stops, and where a
 * few polls do, it is back at once. */
static void learn_patience(struct whorl_comm *comm, bool paid)
{
    uint32_t nspins = atomic_load_explicit(&comm->nspins, memory_order_relaxed) / 2;
    nspins = nspins > NSPINS_LEAST ? nspins : NSPINS_LEAST;
    atomic_store_explicit(&comm->nspins, paid ? comm->patience.nspins : nspins,
                          memory_order_relaxed);
}

/* See struct wh_sharing. Where this host's ranks outnumber its cores they share them anyway. */
static void leave_shared_core(const struct whorl_comm *comm, bool paid)
{
    static _Thread_local struct wh_sharing sharing;
    if (comm->fabric.ranks_per_core <= 1 &&
        wh_sharing_should_leave(&sharing, paid, comm->rank % 2 == 1, paid ? 0 : wh_lost_cores())) {
        wh_leave_cpu(wh_current_cpu());
    }
}

static whorl_result_t run_batch(struct wh_batch *b)
{
    enum { BELLS_MAX = 16 };
    struct wh_doorbell *bells[BELLS_MAX];
    uint32_t nbells = 0;
    struct wh_wait wait = {
        .poll = poll_batch,
        .ctx = b,
        .bells = bells,
        .bells_are_quiet = true,
        .fds = wait_fds,
        .deadline_ns = WH_NEVER,
    };
    for (size_t i = 0; i < b->nparts; i++) {
        struct whorl_comm *comm = b->parts[i].comm;
        if (i == 0 || comm->patience.nspins < wait.patience.nspins) {
            wait.patience = comm->patience;
        }
        uint32_t nspins = atomic_load_explicit(&comm->nspins, memory_order_relaxed);
        if (b->has_spun || nspins < wait.patience.nspins) {
            wait.patience.nspins = b->has_spun ? 0 : nspins;
        }
        struct wh_doorbell *bell = atomic_load_explicit(&comm->bell, memory_order_relaxed);
        wait.bells_are_quiet &= wh_wire_bell_is_quiet(comm->wire);
        if (bell != NULL && nbells < BELLS_MAX) {
            bells[nbells++] = bell;
        }
        b->parts[i].deadline_ns = deadline_of(comm);
        b->parts[i].look_ns = wh_watch_first_look(comm, b->parts[i].deadline_ns);
    }
    /* A bell short would mean sleeping through a wake-up: then none, and sleeps are naps. */
    wait.nbells = nbells == b->nparts ? nbells : 0;

    int rank_before = wh_log_set_rank((int)b->parts[0].comm->rank);
    wait.deadline_ns = next_deadline(b);
    while (wh_wait(&wait) == WHORL_E_TIMEOUT) {
        expire(b);
        look(b);
        wait.deadline_ns = next_deadline(b);
    }
    if (b->nparts == 1 && !b->has_spun && b->nidle_most > 0) {
        bool paid = b->nidle_most <= wait.patience.nspins;
        learn_patience(b->parts[0].comm, paid);
        leave_shared_core(b->parts[0].comm, paid);
    }
    whorl_result_t first = WHORL_OK;
    for (size_t i = 0; i < b->ncalls; i++) {
        if (b->calls[i].rc != WHORL_OK) {
            wh_comm_failure(b->calls[i].call.comm);
            wh_comm_keep_error(b->calls[i].call.comm);
            first = first != WHORL_OK ? first : b->calls[i].rc;
        }
    }
    wh_log_set_rank(rank_before);
    return first;
}

static void add_call(struct wh_batch *b, const struct wh_call *call)
{
    struct part *part = part_of(b, call->comm);
    if (part == NULL) {
        part = &b->parts[b->nparts++];
        *part = (struct part){.comm = call->comm, .ticket = call->comm->next_ticket++};
    }
    b->calls[b->ncalls++] =
        (struct running_call){.call = *call, .submitted_ns = wh_now_coarse_ns()};
    part->nleft++;
    b->nleft++;
}

whorl_result_t wh_batch_create(const struct wh_call *calls, size_t ncalls,
                               struct wh_batch **batch_out)
{
    struct wh_batch *b =
        malloc(sizeof(*b) + ncalls * (sizeof(struct running_call) + sizeof(struct part)));
    if (b == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a group of %zu calls",
                       ncalls);
    }
    *b = (struct wh_batch){.calls = (struct running_call *)(b + 1)};
    b->parts = (struct part *)(b->calls + ncalls);
    for (size_t i = 0; i < ncalls; i++) {
        add_call(b, &calls[i]);
    }
    for (size_t i = 0; i < b->nparts; i++) {
        pthread_mutex_lock(&b->parts[i].comm->text_lock);
        b->parts[i].comm->nqueued++;
        pthread_mutex_unlock(&b->parts[i].comm->text_lock);
    }
    *batch_out = b;
    return WHORL_OK;
}

whorl_result_t wh_batch_run(struct wh_batch *b)
{
    whorl_result_t rc = run_batch(b);
    for (size_t i = 0; i < b->ncalls; i++) {
        wh_counts_drop(&b->calls[i].call, 1);
    }
    for (size_t i = 0; i < b->nparts; i++) {
        struct whorl_comm *comm = b->parts[i].comm;
        /* Whoever drains may free comm once the lock is open: nothing may touch it after. */
        pthread_mutex_lock(&comm->text_lock);
        comm->nqueued--;
        wh_comm_ring(comm);
        pthread_mutex_unlock(&comm->text_lock);
    }
    free(b);
    return rc;
}

/* Runs a collective in the arena as far as it goes while this thread keeps its core. With
 * WHORL_IN_PROGRESS the others take longer, and it is time to wait properly. */
static whorl_result_t run_in_arena(struct wh_work *work, struct wh_call *call, uint64_t *record_out)
{
    struct whorl_comm *comm = call->comm;
    bool moved;

    wh_work_start_in_arena(work, call);
    *record_out = wh_watch_begin(comm, call, work->algo, 0);
    whorl_result_t rc = wh_arena_advance(comm->arena, &moved);
    uint32_t nspins = 0, most = atomic_load_explicit(&comm->nspins, memory_order_relaxed);
    for (; rc == WHORL_IN_PROGRESS && nspins < most; nspins++) {
        wh_pause_core();
        rc = wh_arena_advance(comm->arena, &moved);
    }
    wh_arena_wake(comm->arena);
    if (rc == WHORL_IN_PROGRESS) {
        bool has_own_core = comm->fabric.ranks_per_core <= 1;
        if (has_own_core && ++comm->nlong_waits % LONG_WAITS_TO_SPREAD == 0) {
            wh_arena_spread(comm->arena);
        }
    }
    if (nspins > 0) {
        learn_patience(comm, rc != WHORL_IN_PROGRESS);
    }
    return rc;
}

whorl_result_t wh_batch_run_one(struct wh_call *call)
{
    struct whorl_comm *comm = call->comm;
    struct small_batch small;
    struct wh_work work;
    uint64_t serving = atomic_load_explicit(&comm->now_serving, memory_order_acquire);
    bool is_now = serving == comm->next_ticket && wh_comm_uses_arena(comm, call->coll);
    uint64_t record = 0;

    if (is_now) {
        whorl_result_t rc = run_in_arena(&work, call, &record);
        if (rc != WHORL_IN_PROGRESS) {
            wh_watch_end_at_once(comm, call, record, rc);
            if (rc != WHORL_OK) {
                wh_work_end(&work, comm, rc);
                rc = wh_comm_fail(comm, rc, wh_error_get());
                wh_comm_keep_error(comm);
            }
            comm->next_ticket++;
            atomic_store_explicit(&comm->now_serving, serving + 1, memory_order_release);
            return rc;
        }
    }
    small.batch = (struct wh_batch){.calls = &small.call, .parts = &small.part};
    add_call(&small.batch, call);
    if (is_now) {
        small.call.state = CALL_RUNNING;
        small.call.work = work;
        small.call.record = record;
        small.part.on_turn = true;
        small.part.collective_running = true;
        small.batch.has_spun = true;
    }
    return run_batch(&small.batch);
}
