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
#include "executor/cpu/geometry.h"
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
    bool has_root = wh_coll_has_root(plan->sched->coll) && !wh_coll_is_p2p(plan->sched->coll);
    plan->signature = (struct wh_signature){
        .seq = op->seq,
        .count = op->count,
        .root = has_root ? wh_plan_rank(plan, plan->sched->root) : plan->sched->root,
        .coll = (uint8_t)plan->sched->coll,
        .dtype = (uint8_t)op->dtype,
        .redop = op->redop,
        .algo = hash_name(plan->sched->algo),
    };
    if (op->as != NULL) {
        plan->signature = *op->as;
    }
    plan->divisor = op->avg_nparts > 0 ? op->avg_nparts : plan->sched->nranks;
    /* Both ends of a message between two ranks call it the same thing on the wire. */
    struct wh_signature told = plan->signature;
    if (wh_coll_is_p2p(plan->sched->coll)) {
        told.coll = WH_COLL_SEND;
        told.root = 0;
    }
    wh_signature_encode(&told, plan->encoded);
    wh_geometry_set(plan);
    for (uint32_t i = 0; i < plan->sched->nlanes; i++) {
        plan->lanes[i].step = 0;
        plan->lanes[i].pass = 0;
        plan->lanes[i].is_stored = false;
        plan->nlanes_running += plan->sched->lanes[i].nsteps > 0;
    }
    return WHORL_OK;
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
        .divisor = divide ? plan->divisor : 1,
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
            wh_plan_rank(plan, plan->sched->rank), my_text, (unsigned long long)plan->signature.seq,
            peer, their_text, (unsigned long long)theirs.seq);
    }
    struct wh_msg_place place;
    wh_msg_place_decode(head, &place);
    return wh_fail(
        WHORL_E_MISMATCH, WH_SUBSYS_COLL,
        "rank %u in %s, algorithm %s, lane step %u pass %llu got a message of rank %u that "
        "does not belong there (pass %u, chunks %u+%u, %zu bytes): do the ranks have the "
        "same settings (WHORL_ALGO, WHORL_BUFFSIZE, WHORL_SLOTS) and library?",
        wh_plan_rank(plan, plan->sched->rank), my_text, plan->sched->algo, lane->step,
        (unsigned long long)lane->pass, peer, place.pass, place.chunk, place.nchunks, nbytes);
}

static bool belongs(const struct wh_plan *plan, const struct wh_lane_cursor *lane,
                    const struct wh_step *step, const struct wh_slot *slot)
{
    struct wh_msg_place place;
    wh_msg_place_decode(slot->head, &place);
    return memcmp(slot->head, plan->encoded, WH_SIGNATURE_NBYTES) == 0 &&
           place.pass == (uint32_t)lane->pass && place.chunk == step->chunk &&
           place.nchunks == step->nchunks &&
           slot->nbytes == wh_geometry_message_nbytes(plan, lane->pass, step);
}

static size_t do_chunks(struct wh_plan *plan, const struct wh_lane_cursor *lane,
                        const struct wh_step *step, uint32_t flags, const uint8_t *in, uint8_t *out)
{
    size_t at = 0;
    uint32_t chunk = step->chunk;
    for (uint32_t i = 0; i < step->nchunks; i++) {
        size_t start;
        struct piece p = {.nelems = wh_geometry_span(plan, lane->pass, chunk, &start)};
        if (p.nelems > 0) {
            if ((flags & (WH_RECV | WH_REDUCE)) != WH_RECV) {
                p.local = wh_geometry_ptr(plan, lane, step->local, chunk, start);
                p.local_is_input = step->local == WH_INPUT;
            }
            if (flags & WH_STORE) {
                p.store = wh_geometry_ptr(plan, lane, step->store, chunk, start);
            }
            p.in = in != NULL ? in + at : NULL;
            p.out = out != NULL ? out + at : NULL;
            do_piece(plan, flags, &p);
            at += p.nelems * plan->elem_nbytes;
        }
        chunk = chunk + 1 == plan->sched->nchunks ? 0 : chunk + 1;
    }
    return at;
}

/* The step's range of chunks in one of the buffers, if it is one piece of memory; else NULL. */
static uint8_t *one_piece(const struct wh_plan *plan, const struct wh_lane_cursor *lane,
                          const struct wh_step *step, enum wh_buf buf)
{
    uint8_t *first = NULL;
    size_t at = 0;
    uint32_t chunk = step->chunk;
    for (uint32_t i = 0; i < step->nchunks; i++) {
        size_t start;
        size_t nelems = wh_geometry_span(plan, lane->pass, chunk, &start);
        if (nelems > 0) {
            uint8_t *here = wh_geometry_ptr(plan, lane, buf, chunk, start);
            first = first == NULL ? here : first;
            if (here != first + at) {
                return NULL;
            }
            at += nelems * plan->elem_nbytes;
        }
        chunk = chunk + 1 == plan->sched->nchunks ? 0 : chunk + 1;
    }
    return first;
}

/* Does the value of the step differ from what it takes, by a scale or a quotient? */
static bool changes_value(const struct wh_plan *plan, const struct wh_step *step)
{
    bool scales = plan->op.redop == WH_REDOP_PREMUL_SUM && (step->flags & WH_RECV) == 0 &&
                  step->local == WH_INPUT;
    return scales || ((step->flags & WH_FINISH) && plan->op.redop == WHORL_AVG);
}

/* Takes the message that the step receives; where it is to be stored as it is, straight there. */
static whorl_result_t take(struct wh_plan *plan, const struct wh_lane_cursor *lane,
                           const struct wh_step *step, struct wh_slot *in)
{
    struct wh_link *from = plan->links[step->recv_link];
    whorl_result_t rc;
    if (from->ops->recv_into != NULL) {
        bool as_it_is =
            (step->flags & (WH_STORE | WH_REDUCE)) == WH_STORE && !changes_value(plan, step);
        rc = from->ops->recv_into(from, as_it_is ? one_piece(plan, lane, step, step->store) : NULL,
                                  wh_geometry_message_nbytes(plan, lane->pass, step), in);
    } else {
        rc = from->ops->poll(from, in);
    }
    if (rc == WHORL_OK && !belongs(plan, lane, step, in)) {
        return mismatch(plan, wh_plan_peer(plan, step->recv_link), in->head, lane, in->nbytes);
    }
    return rc;
}

/* The memory that holds what the step sends once its chunks are done, if the link can send from
 * there; else NULL, and it has to go through a slot. */
static const uint8_t *source_of(const struct wh_plan *plan, const struct wh_lane_cursor *lane,
                                const struct wh_step *step, const struct wh_slot *in)
{
    if (plan->links[step->send_link]->ops->send_from == NULL) {
        return NULL;
    }
    if (step->flags & WH_STORE) {
        return one_piece(plan, lane, step, step->store);
    }
    if ((step->flags & WH_REDUCE) || changes_value(plan, step)) {
        return NULL;
    }
    return (step->flags & WH_RECV) ? in->data : one_piece(plan, lane, step, step->local);
}

/* Does the chunks of a step that sends, and sends. */
static whorl_result_t do_send(struct wh_plan *plan, struct wh_lane_cursor *lane,
                              const struct wh_step *step, const struct wh_slot *in)
{
    struct wh_link *to = plan->links[step->send_link];
    const struct wh_msg_place place = {(uint32_t)lane->pass, step->chunk, step->nchunks};
    const uint8_t *source = source_of(plan, lane, step, in);
    if (source == NULL) {
        struct wh_slot out;
        whorl_result_t rc = to->ops->acquire(to, &out);
        if (rc != WHORL_OK) {
            return rc;
        }
        size_t nbytes = do_chunks(plan, lane, step, step->flags, in->data, out.data);
        wh_msg_head_encode(plan->encoded, &place, out.head);
        return to->ops->post(to, nbytes);
    }

    uint32_t flags = step->flags & ~(uint32_t)WH_SEND;
    if ((flags & WH_STORE) && !lane->is_stored) {
        do_chunks(plan, lane, step, flags, in->data, NULL);
        lane->is_stored = true;
    }
    _Alignas(8) uint8_t head[WH_SLOT_HEAD_NBYTES];
    wh_msg_head_encode(plan->encoded, &place, head);
    whorl_result_t rc =
        to->ops->send_from(to, head, source, wh_geometry_message_nbytes(plan, lane->pass, step));
    lane->is_stored &= rc == WHORL_IN_PROGRESS;
    return rc;
}

/* Does the lane's next step, or says WHORL_IN_PROGRESS. */
static whorl_result_t do_step(struct wh_plan *plan, struct wh_lane_cursor *lane,
                              const struct wh_step *step)
{
    struct wh_slot in = {0};
    whorl_result_t rc = WHORL_OK;
    if (step->flags & WH_RECV) {
        rc = take(plan, lane, step, &in);
    }
    if (rc == WHORL_OK && (step->flags & WH_SEND)) {
        rc = do_send(plan, lane, step, &in);
    } else if (rc == WHORL_OK) {
        do_chunks(plan, lane, step, step->flags, in.data, NULL);
    }
    if (rc == WHORL_OK && (step->flags & WH_RECV)) {
        struct wh_link *from = plan->links[step->recv_link];
        from->ops->release(from);
    }
    return rc;
}

/* The same step of the next pass beside this one; after the last of them, the next step. What
 * sealing added in front is done in the first pass only. */
static void next_step(const struct wh_plan *plan, const struct wh_lane *steps,
                      struct wh_lane_cursor *lane)
{
    const uint64_t first = lane->pass - lane->pass % plan->nabreast;
    const uint64_t end = wh_min_size((size_t)first + plan->nabreast, (size_t)plan->npasses);
    const bool is_entry = lane->step < steps->nentry;
    lane->pass = is_entry ? end : lane->pass + 1;
    if (lane->pass < end) {
        return;
    }
    lane->step++;
    if (lane->step < steps->nsteps) {
        lane->pass = first;
        return;
    }
    lane->step = steps->nentry;
    lane->pass = is_entry ? plan->npasses : end;
}

/* All lanes are through. Is everything on its way? Only this rank's calls send what is left. */
static whorl_result_t flush(struct wh_plan *plan)
{
    for (uint32_t i = 0; i < plan->sched->nlinks; i++) {
        struct wh_link *link = plan->links[i];
        if (plan->sched->links[i].is_send && link->ops->flush != NULL) {
            whorl_result_t rc = link->ops->flush(link);
            if (rc != WHORL_OK) {
                return rc;
            }
        }
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
            next_step(plan, &sched->lanes[i], lane);
            plan->nlanes_running -= lane->pass == plan->npasses;
        }
    }
    return plan->nlanes_running == 0 ? flush(plan) : WHORL_IN_PROGRESS;
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
                     wh_plan_peer(plan, step->recv_link));
        }
        if (step->flags & WH_SEND) {
            snprintf(to, sizeof(to), " sends to rank %u", wh_plan_peer(plan, step->send_link));
        }
        used += (size_t)snprintf(
            text + used, text_nbytes - used, "; lane %u step %u of %u, pass %llu of %llu%s%s", i,
            lane->step + 1, sched->lanes[i].nsteps, (unsigned long long)lane->pass + 1,
            (unsigned long long)plan->npasses, from, to);
    }
}
