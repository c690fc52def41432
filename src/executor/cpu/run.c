/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs: the interpreter of schedules.
 *
 * A step first looks whether it can go on at all (message there, room to send), so that it happens
 * whole or not at all; then it goes over its chunks one by one. The bytes of a message are its
 * chunks side by side, without gaps.
 */
#include "executor/cpu/run.h"

#include "base/bits.h"
#include "base/log.h"
#include "numeric/dtype.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One chunk of one step: where its operands are. */
struct piece {
    uint8_t *local;
    uint8_t *store;
    const uint8_t *in; /* in the message that arrived */
    uint8_t *out;      /* in the message that leaves */
    size_t nelems;
    bool local_is_input;
};

static bool is_blockwise(const struct wh_plan *plan)
{
    return plan->sched->coll == WH_COLL_ALL_GATHER || plan->sched->coll == WH_COLL_REDUCE_SCATTER;
}

/* Elements of a chunk when `nelems` are spread over nchunks: whole vectors where there are enough.
 * */
static size_t spread(size_t nelems, size_t nchunks, size_t elem_nbytes)
{
    size_t even = wh_div_up(nelems, nchunks);
    size_t vector = 64 / elem_nbytes;
    return even >= 4 * vector ? wh_align_up(even, vector) : even;
}

static void set_geometry(struct wh_plan *plan)
{
    size_t most = plan->chunk_nbytes / plan->elem_nbytes;
    size_t count = plan->op.count;
    size_t ways = is_blockwise(plan) ? 1 : plan->sched->nchunks;
    size_t pass_nelems = most * ways;
    plan->chunk_nelems = most;
    plan->npasses = count == 0 ? 1 : wh_div_up(count, pass_nelems);
    size_t rest = count - (size_t)(plan->npasses - 1) * pass_nelems;
    plan->last_chunk_nelems = wh_min_size(most, spread(rest, ways, plan->elem_nbytes));
}

/* Names of algorithms of one collective differ in it. */
static uint8_t hash_name(const char *name)
{
    uint32_t hash = 0;
    for (const char *c = name; *c != '\0'; c++) {
        hash = hash * 31 + (uint8_t)*c;
    }
    return (uint8_t)(hash % 251);
}

whorl_result_t wh_run_start(struct wh_plan *plan, const struct wh_op *op)
{
    assert(plan->nlanes_running == 0);

    if (op->redop == WH_REDOP_PREMUL_SUM && plan->bounce == NULL) {
        plan->bounce =
            aligned_alloc(WH_LINE_NBYTES, wh_align_up(plan->chunk_nbytes, WH_LINE_NBYTES));
        if (plan->bounce == NULL) {
            return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC,
                           "no memory for %zu bytes of premul scratch", plan->chunk_nbytes);
        }
    }
    plan->op = *op;
    plan->elem_nbytes = wh_dtype_nbytes(op->dtype);
    plan->signature = (struct wh_signature){
        .seq = op->seq,
        .count = op->count,
        .root = plan->sched->root,
        .coll = (uint8_t)plan->sched->coll,
        .dtype = (uint8_t)op->dtype,
        .redop = op->redop,
        .algo = hash_name(plan->sched->algo),
    };
    /* Both ends of a message between two ranks call it the same thing on the wire. */
    struct wh_signature told = plan->signature;
    if (wh_coll_is_p2p(plan->sched->coll)) {
        told.coll = WH_COLL_SEND;
        told.root = 0;
    }
    wh_signature_encode(&told, plan->encoded);
    set_geometry(plan);
    for (uint32_t i = 0; i < plan->sched->nlanes; i++) {
        plan->lanes[i].step = 0;
        plan->lanes[i].pass = 0;
        plan->nlanes_running += plan->sched->lanes[i].nsteps > 0;
    }
    return WHORL_OK;
}

/* Elements of chunk `chunk` in `pass`, and where the chunk starts within the pass. */
static size_t chunk_span(const struct wh_plan *plan, uint64_t pass, uint32_t chunk,
                         size_t *start_out)
{
    bool last = pass + 1 == plan->npasses;
    size_t nelems = last ? plan->last_chunk_nelems : plan->chunk_nelems;
    if (is_blockwise(plan)) {
        *start_out = 0;
        size_t left = plan->op.count - (size_t)pass * plan->chunk_nelems;
        return wh_min_size(nelems, left);
    }
    size_t pass_start = (size_t)pass * plan->chunk_nelems * plan->sched->nchunks;
    size_t left = plan->op.count - pass_start;
    *start_out = wh_min_size((size_t)chunk * nelems, left);
    return wh_min_size(nelems, left - *start_out);
}

/* Address of a chunk in one of the three buffers. */
static uint8_t *chunk_ptr(const struct wh_plan *plan, const struct wh_lane_cursor *lane,
                          enum wh_buf buf, uint32_t chunk, size_t start)
{
    if (buf == WH_SCRATCH) {
        return lane->scratch + (size_t)chunk * plan->chunk_nbytes;
    }
    uint8_t *base = buf == WH_INPUT ? (uint8_t *)(uintptr_t)plan->op.input : plan->op.output;
    size_t elem = plan->elem_nbytes;
    if (!is_blockwise(plan)) {
        return base +
               ((size_t)lane->pass * plan->chunk_nelems * plan->sched->nchunks + start) * elem;
    }
    /* The small buffer (what all_gather reads, what reduce_scatter writes) is this rank's block. */
    enum wh_buf small = plan->sched->coll == WH_COLL_ALL_GATHER ? WH_INPUT : WH_OUTPUT;
    size_t block = buf == small ? 0 : chunk;
    return base + (block * plan->op.count + (size_t)lane->pass * plan->chunk_nelems) * elem;
}

static void move_bytes(uint8_t *to, const uint8_t *from, size_t nbytes)
{
    if (to != from && nbytes > 0) {
        memcpy(to, from, nbytes);
    }
}

static wh_combine_fn kernel_of(const struct wh_plan *plan)
{
    static const uint8_t kernel[] = {
        [WHORL_SUM] = WH_KERNEL_SUM, [WHORL_PROD] = WH_KERNEL_PROD,
        [WHORL_MAX] = WH_KERNEL_MAX, [WHORL_MIN] = WH_KERNEL_MIN,
        [WHORL_AVG] = WH_KERNEL_SUM, [WH_REDOP_PREMUL_SUM] = WH_KERNEL_SUM,
    };
    return plan->kernels->combine[plan->op.dtype][kernel[plan->op.redop]];
}

/* What one step does with one chunk. */
static void do_piece(struct wh_plan *plan, uint32_t flags, const struct piece *p)
{
    void *dsts[2];
    size_t ndsts = 0;
    if (flags & WH_STORE) {
        dsts[ndsts++] = p->store;
    }
    if (flags & WH_SEND) {
        dsts[ndsts++] = p->out;
    }
    const uint8_t *local = p->local;
    bool premul = p->local_is_input && plan->op.redop == WH_REDOP_PREMUL_SUM;
    if (premul && (flags & (WH_RECV | WH_REDUCE)) != WH_RECV) {
        uint8_t *scaled = (flags & WH_REDUCE) ? plan->bounce : dsts[0];
        plan->kernels->scale[plan->op.dtype](scaled, local, plan->op.premul_scalar, p->nelems);
        local = scaled;
    }

    const void *srcs[2] = {(flags & WH_RECV) ? p->in : local};
    bool divide = (flags & WH_FINISH) && plan->op.redop == WHORL_AVG;
    struct wh_combine c = {
        .dsts = dsts,
        .ndsts = ndsts,
        .srcs = srcs,
        .nsrcs = 1,
        .nelems = p->nelems,
        .divisor = divide ? plan->sched->nranks : 1,
    };
    if (flags & WH_REDUCE) {
        srcs[0] = (flags & WH_RECV) ? p->in : p->store;
        srcs[c.nsrcs++] = local;
    }
    if (c.nsrcs > 1 || c.divisor > 1) {
        kernel_of(plan)(&c);
        return;
    }
    for (size_t i = 0; i < ndsts; i++) {
        move_bytes(dsts[i], srcs[0], p->nelems * plan->elem_nbytes);
    }
}

static whorl_result_t mismatch(const struct wh_plan *plan, uint32_t peer, const uint8_t *head,
                               const struct wh_lane_cursor *lane, size_t nbytes)
{
    struct wh_signature theirs;
    wh_signature_decode(head, &theirs);
    char my_text[128], their_text[128];
    wh_signature_print(&plan->signature, my_text, sizeof(my_text));
    wh_signature_print(&theirs, their_text, sizeof(their_text));
    if (memcmp(head, plan->encoded, WH_SIGNATURE_CALL_NBYTES) != 0) {
        return wh_fail(
            WHORL_E_MISMATCH, WH_SUBSYS_COLL,
            "rank %u called %s as operation %llu, but rank %u called %s as operation %llu",
            plan->sched->rank, my_text, (unsigned long long)plan->signature.seq, peer, their_text,
            (unsigned long long)theirs.seq);
    }
    struct wh_msg_place place;
    wh_msg_place_decode(head, &place);
    return wh_fail(
        WHORL_E_MISMATCH, WH_SUBSYS_COLL,
        "rank %u in %s, algorithm %s, lane step %u pass %llu got a message of rank %u that "
        "does not belong there (pass %u, chunks %u+%u, %zu bytes): do the ranks have the "
        "same settings (WHORL_ALGO, WHORL_BUFFSIZE, WHORL_SLOTS) and library?",
        plan->sched->rank, my_text, plan->sched->algo, lane->step, (unsigned long long)lane->pass,
        peer, place.pass, place.chunk, place.nchunks, nbytes);
}

/* Bytes of a step's message. */
static size_t message_nbytes(const struct wh_plan *plan, uint64_t pass, const struct wh_step *step)
{
    size_t nelems = 0, start;
    uint32_t chunk = step->chunk;
    for (uint32_t i = 0; i < step->nchunks; i++) {
        nelems += chunk_span(plan, pass, chunk, &start);
        chunk = chunk + 1 == plan->sched->nchunks ? 0 : chunk + 1;
    }
    return nelems * plan->elem_nbytes;
}

static bool belongs(const struct wh_plan *plan, const struct wh_lane_cursor *lane,
                    const struct wh_step *step, const struct wh_slot *slot)
{
    struct wh_msg_place place;
    wh_msg_place_decode(slot->head, &place);
    return memcmp(slot->head, plan->encoded, WH_SIGNATURE_NBYTES) == 0 &&
           place.pass == (uint32_t)lane->pass && place.chunk == step->chunk &&
           place.nchunks == step->nchunks && slot->nbytes == message_nbytes(plan, lane->pass, step);
}

static size_t do_chunks(struct wh_plan *plan, const struct wh_lane_cursor *lane,
                        const struct wh_step *step, const uint8_t *in, uint8_t *out)
{
    size_t at = 0;
    uint32_t chunk = step->chunk;
    for (uint32_t i = 0; i < step->nchunks; i++) {
        size_t start;
        struct piece p = {.nelems = chunk_span(plan, lane->pass, chunk, &start)};
        if (p.nelems > 0) {
            if ((step->flags & (WH_RECV | WH_REDUCE)) != WH_RECV) {
                p.local = chunk_ptr(plan, lane, step->local, chunk, start);
                p.local_is_input = step->local == WH_INPUT;
            }
            if (step->flags & WH_STORE) {
                p.store = chunk_ptr(plan, lane, step->store, chunk, start);
            }
            p.in = in != NULL ? in + at : NULL;
            p.out = out != NULL ? out + at : NULL;
            do_piece(plan, step->flags, &p);
            at += p.nelems * plan->elem_nbytes;
        }
        chunk = chunk + 1 == plan->sched->nchunks ? 0 : chunk + 1;
    }
    return at;
}

/* Does the lane's next step, or says WHORL_IN_PROGRESS. */
static whorl_result_t do_step(struct wh_plan *plan, struct wh_lane_cursor *lane,
                              const struct wh_step *step)
{
    struct wh_slot in = {0}, out = {0};
    struct wh_link *from = NULL, *to = NULL;
    whorl_result_t rc;
    if (step->flags & WH_RECV) {
        from = plan->links[step->recv_link];
        rc = from->ops->poll(from, &in);
        if (rc != WHORL_OK) {
            return rc;
        }
        if (!belongs(plan, lane, step, &in)) {
            return mismatch(plan, plan->sched->links[step->recv_link].peer, in.head, lane,
                            in.nbytes);
        }
    }
    if (step->flags & WH_SEND) {
        to = plan->links[step->send_link];
        rc = to->ops->acquire(to, &out);
        if (rc != WHORL_OK) {
            return rc;
        }
    }

    size_t nbytes = do_chunks(plan, lane, step, in.data, out.data);
    if (to != NULL) {
        struct wh_msg_place place = {(uint32_t)lane->pass, step->chunk, step->nchunks};
        wh_msg_head_encode(plan->encoded, &place, out.head);
        rc = to->ops->post(to, nbytes);
        if (rc != WHORL_OK) {
            return rc;
        }
    }
    if (from != NULL) {
        from->ops->release(from);
    }
    return WHORL_OK;
}

whorl_result_t wh_run_advance(struct wh_plan *plan, bool *moved_out)
{
    const struct wh_sched *sched = plan->sched;
    for (uint32_t i = 0; i < sched->nlanes; i++) {
        struct wh_lane_cursor *lane = &plan->lanes[i];
        const struct wh_step *steps = sched->steps + sched->lanes[i].first_step;
        uint32_t nsteps = sched->lanes[i].nsteps;
        while (lane->pass < plan->npasses && nsteps > 0) {
            whorl_result_t rc = do_step(plan, lane, &steps[lane->step]);
            if (rc == WHORL_IN_PROGRESS) {
                break;
            }
            if (rc != WHORL_OK) {
                plan->nlanes_running = 0;
                return rc;
            }
            *moved_out = true;
            lane->step++;
            if (lane->step == nsteps) {
                lane->step = 0;
                lane->pass++;
                plan->nlanes_running -= lane->pass == plan->npasses;
            }
        }
    }
    return plan->nlanes_running == 0 ? WHORL_OK : WHORL_IN_PROGRESS;
}

void wh_run_describe(const struct wh_plan *plan, char *text, size_t text_nbytes)
{
    const struct wh_sched *sched = plan->sched;
    size_t used = (size_t)snprintf(text, text_nbytes, "algorithm %s", sched->algo);
    for (uint32_t i = 0; i < sched->nlanes; i++) {
        const struct wh_lane_cursor *lane = &plan->lanes[i];
        if (lane->pass >= plan->npasses || sched->lanes[i].nsteps == 0 || used >= text_nbytes) {
            continue;
        }
        const struct wh_step *step = &sched->steps[sched->lanes[i].first_step + lane->step];
        char from[48] = "", to[48] = "";
        if (step->flags & WH_RECV) {
            snprintf(from, sizeof(from), " receives from rank %u",
                     sched->links[step->recv_link].peer);
        }
        if (step->flags & WH_SEND) {
            snprintf(to, sizeof(to), " sends to rank %u", sched->links[step->send_link].peer);
        }
        used += (size_t)snprintf(
            text + used, text_nbytes - used, "; lane %u step %u of %u, pass %llu of %llu%s%s", i,
            lane->step + 1, sched->lanes[i].nsteps, (unsigned long long)lane->pass + 1,
            (unsigned long long)plan->npasses, from, to);
    }
}
