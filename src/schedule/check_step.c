/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step at a time, with sets of ranks for numbers.
 *
 *   INPUT    never changes: each chunk that a rank has holds {rank}. In place it is gone once the
 *            chunk of OUTPUT was stored (see input_is_gone()), so INPUT needs no state at all.
 *   OUTPUT   a set per chunk, for each pass its own, NULL before the first store.
 *   SCRATCH  a set per chunk and lane, NULL again at the start of every pass.
 *   links    queues of messages; a message holds a set per chunk, and what it may be received as.
 *
 * A step that receives and sends takes the message off its link first and then waits for room to
 * send, as sched.h says. If it had to do both at once, a ring would lock up: all links hold one
 * message, and nobody makes room.
 *
 * In a barrier no data moves. Instead every lane carries the set of ranks that it has heard of, and
 * every message the set of its sender: a barrier is one if each rank ends with the full set. A
 * lane knows nothing of what other lanes of its rank have heard.
 */
#include "schedule/check_model.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- faults ---------------------------------------------------------------------------------- */

/* "rank 3 lane 0 step 5: ", with the pass where there are several. As snprintf(). */
static int print_place(const struct wh_model *m, const struct wh_model_lane *lane, char *text,
                       size_t text_nbytes)
{
    if (m->options->npasses > 1) {
        return snprintf(text, text_nbytes, "rank %u lane %u step %u pass %u: ", lane->sched->rank,
                        lane->index, lane->step, lane->pass);
    }
    return snprintf(text, text_nbytes, "rank %u lane %u step %u: ", lane->sched->rank, lane->index,
                    lane->step);
}

/* The lane's step does what it must not. */
WH_PRINTF(3, 4)
static whorl_result_t fault(const struct wh_model *m, const struct wh_model_lane *lane,
                            const char *format, ...)
{
    char place[96];
    char text[192];
    va_list args;

    print_place(m, lane, place, sizeof(place));
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return wh_why_fault(m->why, "%s%s", place, text);
}

/* ---- messages -------------------------------------------------------------------------------- */

static struct wh_model_message *message_create(uint32_t nchunks)
{
    struct wh_model_message *message =
        calloc(1, sizeof(*message) + nchunks * sizeof(message->values[0]));
    if (message != NULL) {
        message->nchunks = nchunks;
    }
    return message;
}

void wh_model_message_destroy(struct wh_model_message *message)
{
    if (message == NULL) {
        return;
    }
    for (uint32_t i = 0; i < message->nchunks; i++) {
        wh_parts_put(message->values[i]);
    }
    wh_parts_put(message->heard);
    free(message);
}

static void fifo_push(struct wh_model_fifo *fifo, struct wh_model_message *message)
{
    if (fifo->tail != NULL) {
        fifo->tail->next = message;
    } else {
        fifo->head = message;
    }
    fifo->tail = message;
    fifo->nmessages++;
}

static struct wh_model_message *fifo_pop(struct wh_model_fifo *fifo)
{
    struct wh_model_message *message = fifo->head;

    assert(fifo->nmessages > 0);
    fifo->head = message->next;
    if (fifo->head == NULL) {
        fifo->tail = NULL;
    }
    fifo->nmessages--;
    message->next = NULL;
    return message;
}

/* ---- buffers --------------------------------------------------------------------------------- */

static const char *const buf_names[WH_NBUFS] = {"INPUT", "OUTPUT", "SCRATCH"};

static bool has_input(const struct wh_sched *sched, uint32_t chunk)
{
    switch (sched->coll) {
    case WH_COLL_ALL_GATHER:
        return chunk == sched->rank;
    case WH_COLL_BROADCAST:
        return sched->rank == sched->root;
    case WH_COLL_ALL_TO_ALL:
        return chunk / sched->nranks == sched->rank;
    case WH_COLL_BARRIER:
    case WH_COLL_RECV:
        return false;
    default:
        return true;
    }
}

bool wh_model_has_output(const struct wh_sched *sched, uint32_t chunk)
{
    switch (sched->coll) {
    case WH_COLL_REDUCE_SCATTER:
        return chunk == sched->rank;
    case WH_COLL_REDUCE:
        return sched->rank == sched->root;
    case WH_COLL_ALL_TO_ALL:
        return chunk % sched->nranks == sched->rank;
    case WH_COLL_BARRIER:
    case WH_COLL_SEND:
        return false;
    default:
        return true;
    }
}

static bool has_chunk(const struct wh_sched *sched, uint8_t buf, uint32_t chunk)
{
    switch (buf) {
    case WH_INPUT:
        return has_input(sched, chunk);
    case WH_OUTPUT:
        return wh_model_has_output(sched, chunk);
    default:
        return true;
    }
}

static struct wh_model_outcome *outcome_of(const struct wh_model *m,
                                           const struct wh_model_lane *lane)
{
    return &m->outcomes[(size_t)lane->sched->rank * m->options->npasses + lane->pass];
}

/* The sets of OUTPUT or SCRATCH; NULL while nothing was stored. */
static struct wh_parts **cells_of(const struct wh_model *m, const struct wh_model_lane *lane,
                                  uint8_t buf)
{
    return buf == WH_OUTPUT ? outcome_of(m, lane)->output : lane->scratch;
}

/*
 * In place a store to OUTPUT overwrites INPUT. Storing INPUT itself moves nothing, so a collective
 * that only moves data may go on reading it; one that reduces may not, because its input can be
 * scaled on the way.
 */
static bool input_is_gone(const struct wh_model *m, const struct wh_model_lane *lane,
                          uint32_t chunk)
{
    struct wh_parts *const *output = outcome_of(m, lane)->output;

    if (!m->options->in_place || output == NULL || output[chunk] == NULL) {
        return false;
    }
    return wh_coll_reduces(lane->sched->coll) || output[chunk]->nparts != 1 ||
           !wh_parts_has(output[chunk], lane->sched->rank);
}

/* *value_out is a reference of the caller's. */
static whorl_result_t read_chunk(const struct wh_model *m, const struct wh_model_lane *lane,
                                 uint8_t buf, uint32_t chunk, struct wh_parts **value_out)
{
    if (!has_chunk(lane->sched, buf, chunk)) {
        return fault(m, lane, "reads chunk %u of %s, which this rank does not have", chunk,
                     buf_names[buf]);
    }
    if (buf == WH_INPUT) {
        if (input_is_gone(m, lane, chunk)) {
            return fault(m, lane,
                         "reads chunk %u of INPUT after OUTPUT was stored over it in place", chunk);
        }
        *value_out = wh_parts_get(m->inputs[lane->sched->rank]);
        return WHORL_OK;
    }

    struct wh_parts **cells = cells_of(m, lane, buf);
    if (cells == NULL || cells[chunk] == NULL) {
        return fault(m, lane, "reads chunk %u of %s before anything was stored there", chunk,
                     buf_names[buf]);
    }
    *value_out = wh_parts_get(cells[chunk]);
    return WHORL_OK;
}

static whorl_result_t store_chunk(const struct wh_model *m, struct wh_model_lane *lane, uint8_t buf,
                                  uint32_t chunk, struct wh_parts *value)
{
    if (!has_chunk(lane->sched, buf, chunk)) {
        return fault(m, lane, "stores chunk %u of %s, which this rank does not have", chunk,
                     buf_names[buf]);
    }

    struct wh_parts **cells = cells_of(m, lane, buf);
    if (cells == NULL) {
        cells = calloc(lane->sched->nchunks, sizeof(struct wh_parts *));
        if (cells == NULL) {
            return wh_why_nomem(m->why);
        }
        if (buf == WH_OUTPUT) {
            outcome_of(m, lane)->output = cells;
        } else {
            lane->scratch = cells;
        }
    }
    wh_parts_put(cells[chunk]);
    cells[chunk] = wh_parts_get(value);
    return WHORL_OK;
}

void wh_model_put_cells(struct wh_parts **cells, uint32_t nchunks)
{
    for (uint32_t c = 0; cells != NULL && c < nchunks; c++) {
        wh_parts_put(cells[c]);
    }
    free(cells);
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* *value = *value op chunk of buf */
static whorl_result_t reduce_chunk(const struct wh_model *m, const struct wh_model_lane *lane,
                                   uint8_t buf, uint32_t chunk, struct wh_parts **value)
{
    struct wh_parts *other = NULL;
    whorl_result_t rc = read_chunk(m, lane, buf, chunk, &other);
    if (rc != WHORL_OK) {
        return rc;
    }

    uint32_t twice = wh_parts_common(*value, other);
    if ((*value)->finished || other->finished) {
        rc = fault(m, lane, "reduces chunk %u after FINISH", chunk);
    } else if (twice < m->nranks) {
        rc = fault(m, lane, "counts rank %u's contribution to chunk %u twice", twice, chunk);
    } else if (wh_parts_merge(value, other) != WHORL_OK) {
        rc = wh_why_nomem(m->why);
    }
    wh_parts_put(other);
    return rc;
}

static whorl_result_t finish_chunk(const struct wh_model *m, const struct wh_model_lane *lane,
                                   uint32_t chunk, struct wh_parts **value)
{
    if ((*value)->finished) {
        return fault(m, lane, "finishes chunk %u twice", chunk);
    }
    if ((*value)->nparts != m->nranks) {
        return fault(m, lane, "finishes chunk %u with %u of %u contributions; rank %u's is missing",
                     chunk, (*value)->nparts, m->nranks, wh_parts_missing(*value));
    }
    return wh_parts_finish(value) == WHORL_OK ? WHORL_OK : wh_why_nomem(m->why);
}

/* What a step computes for one chunk, in place of what arrived (NULL without RECV). */
static whorl_result_t compute_chunk(const struct wh_model *m, const struct wh_model_lane *lane,
                                    const struct wh_step *step, uint32_t chunk,
                                    struct wh_parts **value)
{
    whorl_result_t rc = WHORL_OK;

    if (!(step->flags & WH_RECV)) {
        rc = read_chunk(m, lane, step->local, chunk, value);
    }
    if (rc == WHORL_OK && (step->flags & WH_REDUCE)) {
        uint8_t other = step->flags & WH_RECV ? step->local : step->store;
        rc = reduce_chunk(m, lane, other, chunk, value);
    }
    if (rc == WHORL_OK && (step->flags & WH_FINISH)) {
        rc = finish_chunk(m, lane, chunk, value);
    }
    return rc;
}

/* All chunks of a step: from `got` (NULL without RECV) to the store and to `sent` (or NULL). */
static whorl_result_t move_chunks(const struct wh_model *m, struct wh_model_lane *lane,
                                  const struct wh_step *step, struct wh_model_message *got,
                                  struct wh_model_message *sent)
{
    whorl_result_t rc = WHORL_OK;

    for (uint32_t i = 0; i < step->nchunks && rc == WHORL_OK; i++) {
        const uint32_t chunk = (uint32_t)(((uint64_t)step->chunk + i) % lane->sched->nchunks);
        struct wh_parts *value = NULL;

        if (got != NULL) {
            /* Taken over rather than shared, so that a reduction need not copy it. */
            value = got->values[i];
            got->values[i] = NULL;
        }
        rc = compute_chunk(m, lane, step, chunk, &value);
        if (rc == WHORL_OK && (step->flags & WH_STORE)) {
            rc = store_chunk(m, lane, step->store, chunk, value);
        }
        if (rc == WHORL_OK && sent != NULL) {
            sent->values[i] = wh_parts_get(value);
        }
        wh_parts_put(value);
    }
    return rc;
}

/* Is what arrived what the step expects? */
static whorl_result_t match_message(const struct wh_model *m, const struct wh_model_lane *lane,
                                    const struct wh_step *step, const struct wh_model_message *got)
{
    if (got->nchunks != step->nchunks || got->chunk != step->chunk) {
        return fault(m, lane,
                     "expects chunks %u+%u, but lane %u step %u of rank %u sent chunks %u+%u",
                     step->chunk, step->nchunks, got->lane, got->step,
                     lane->sched->links[step->recv_link].peer, got->chunk, got->nchunks);
    }
    if (got->pass != lane->pass) {
        return fault(m, lane, "receives what lane %u step %u of rank %u sent in pass %u", got->lane,
                     got->step, lane->sched->links[step->recv_link].peer, got->pass);
    }
    return WHORL_OK;
}

/* Barrier: what the lane hears, and what it tells. */
static whorl_result_t pass_on(const struct wh_model *m, struct wh_model_lane *lane,
                              const struct wh_model_message *got, struct wh_model_message *sent)
{
    if (lane->heard == NULL) {
        return WHORL_OK;
    }
    if (got != NULL && wh_parts_merge(&lane->heard, got->heard) != WHORL_OK) {
        return wh_why_nomem(m->why);
    }
    if (sent != NULL) {
        sent->heard = wh_parts_get(lane->heard);
    }
    return WHORL_OK;
}

/* A lane begins a pass, or is done. */
void wh_model_start_pass(const struct wh_model *m, struct wh_model_lane *lane)
{
    const struct wh_lane *steps = &lane->sched->lanes[lane->index];
    lane->step = lane->pass == 0 ? 0 : steps->nentry;
    if (lane->step == steps->nsteps) {
        lane->pass = m->options->npasses;
    }
    if (lane->sched->coll == WH_COLL_BARRIER && lane->pass < m->options->npasses) {
        lane->heard = wh_parts_get(m->inputs[lane->sched->rank]);
    }
}

static whorl_result_t end_pass(const struct wh_model *m, struct wh_model_lane *lane)
{
    struct wh_model_outcome *outcome = outcome_of(m, lane);

    wh_model_put_cells(lane->scratch, lane->sched->nchunks);
    lane->scratch = NULL;
    if (lane->heard != NULL) {
        if (outcome->heard == NULL) {
            outcome->heard = wh_parts_get(lane->heard);
        } else if (wh_parts_merge(&outcome->heard, lane->heard) != WHORL_OK) {
            return wh_why_nomem(m->why);
        }
        wh_parts_put(lane->heard);
        lane->heard = NULL;
    }
    lane->pass++;
    wh_model_start_pass(m, lane);
    return WHORL_OK;
}

static const struct wh_step *step_of(const struct wh_model_lane *lane)
{
    const struct wh_sched *sched = lane->sched;
    return &sched->steps[sched->lanes[lane->index].first_step + lane->step];
}

static struct wh_model_fifo *fifo_of(const struct wh_model *m, const struct wh_sched *sched,
                                     uint16_t link)
{
    return link == WH_NO_LINK ? NULL : &m->fifos[m->link_fifos[m->first_links[sched->rank] + link]];
}

/* The message of a step that sends, still without values; NULL: no memory. */
static struct wh_model_message *message_of(const struct wh_model_lane *lane,
                                           const struct wh_step *step)
{
    struct wh_model_message *message = message_create(step->nchunks);
    if (message != NULL) {
        message->lane = lane->index;
        message->step = lane->step;
        message->pass = lane->pass;
        message->chunk = step->chunk;
    }
    return message;
}

/* A step that need not wait any more, with what it received in lane->held. */
static whorl_result_t complete_step(const struct wh_model *m, struct wh_model_lane *lane,
                                    const struct wh_step *step, struct wh_model_fifo *out)
{
    struct wh_model_message *got = lane->held;
    struct wh_model_message *sent = out != NULL ? message_of(lane, step) : NULL;
    if (out != NULL && sent == NULL) {
        return wh_why_nomem(m->why);
    }

    whorl_result_t rc = got != NULL ? match_message(m, lane, step, got) : WHORL_OK;
    if (rc == WHORL_OK) {
        rc = move_chunks(m, lane, step, got, sent);
    }
    if (rc == WHORL_OK) {
        rc = pass_on(m, lane, got, sent);
    }
    if (rc != WHORL_OK) {
        wh_model_message_destroy(sent);
    } else if (sent != NULL) {
        fifo_push(out, sent);
    }
    return rc;
}

whorl_result_t wh_model_step(struct wh_model *m, struct wh_model_lane *lane, bool *moved_out)
{
    assert(!wh_model_is_done(m, lane));

    const struct wh_step *step = step_of(lane);
    struct wh_model_fifo *in = fifo_of(m, lane->sched, step->recv_link);
    struct wh_model_fifo *out = fifo_of(m, lane->sched, step->send_link);
    *moved_out = false;

    if (in != NULL && lane->held == NULL) {
        if (in->nmessages == 0) {
            return WHORL_OK;
        }
        lane->held = fifo_pop(in);
        *moved_out = true;
    }
    if (out != NULL && out->nmessages >= m->options->fifo_slots) {
        return WHORL_OK;
    }

    whorl_result_t rc = complete_step(m, lane, step, out);
    wh_model_message_destroy(lane->held);
    lane->held = NULL;
    if (rc != WHORL_OK) {
        return rc;
    }
    *moved_out = true;
    lane->step++;
    return lane->step == lane->sched->lanes[lane->index].nsteps ? end_pass(m, lane) : WHORL_OK;
}

bool wh_model_is_done(const struct wh_model *m, const struct wh_model_lane *lane)
{
    return lane->pass == m->options->npasses;
}

int wh_model_print_wait(const struct wh_model *m, const struct wh_model_lane *lane, char *text,
                        size_t text_nbytes)
{
    const struct wh_step *step = step_of(lane);
    const struct wh_model_fifo *in = fifo_of(m, lane->sched, step->recv_link);
    const struct wh_model_fifo *out = fifo_of(m, lane->sched, step->send_link);
    const bool waits_to_recv = in != NULL && lane->held == NULL;
    char place[96];

    assert(waits_to_recv || out != NULL);
    print_place(m, lane, place, sizeof(place));
    return snprintf(text, text_nbytes, "%swaits for %s rank %u on channel %u", place,
                    waits_to_recv ? "a message from" : "room to send to",
                    waits_to_recv ? in->from : out->to, waits_to_recv ? in->channel : out->channel);
}
