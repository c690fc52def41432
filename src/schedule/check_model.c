/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the machine of check_model.h from schedules, and judges what it ends with. */
#include "schedule/check_model.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- links: every send must meet its recv ---------------------------------------------------- */

/* One end of a link, as one rank names it. */
struct end {
    uint32_t from, to;
    uint8_t channel;
    bool is_send;
    uint16_t link;     /* of the rank that has this end */
    size_t link_index; /* into link_fifos */
};

static int order_u32(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

/* Do both name the same link? As qsort() wants it. */
static int order_links(const struct end *a, const struct end *b)
{
    int order = order_u32(a->from, b->from);
    if (order == 0) {
        order = order_u32(a->to, b->to);
    }
    return order != 0 ? order : order_u32(a->channel, b->channel);
}

static int order_ends(const void *left, const void *right)
{
    const struct end *a = left;
    const struct end *b = right;
    int order = order_links(a, b);
    return order != 0 ? order : order_u32(b->is_send, a->is_send); /* the sender first */
}

/* Fills ends[] with every link of every rank, the two ends of a link side by side. */
static void list_ends(const struct wh_model *m, struct end *ends, size_t nends)
{
    size_t i = 0;

    for (uint32_t r = 0; r < m->nranks; r++) {
        const struct wh_sched *sched = m->scheds[r];
        for (uint32_t l = 0; l < sched->nlinks; l++, i++) {
            const struct wh_sched_link *link = &sched->links[l];
            ends[i] = (struct end){
                .from = link->is_send ? r : link->peer,
                .to = link->is_send ? link->peer : r,
                .channel = link->channel,
                .is_send = link->is_send,
                .link = (uint16_t)l,
                .link_index = i,
            };
        }
    }
    assert(i == nends);
    qsort(ends, nends, sizeof(*ends), order_ends);
}

/* A link that its peer does not have; says which step uses it first. */
static whorl_result_t lone_end(const struct wh_model *m, const struct end *end)
{
    const uint32_t rank = end->is_send ? end->from : end->to;
    const uint32_t peer = end->is_send ? end->to : end->from;
    const struct wh_sched *sched = m->scheds[rank];

    for (uint32_t l = 0; l < sched->nlanes; l++) {
        const struct wh_lane *lane = &sched->lanes[l];
        for (uint32_t s = 0; s < lane->nsteps; s++) {
            const struct wh_step *step = &sched->steps[lane->first_step + s];
            if ((end->is_send ? step->send_link : step->recv_link) == end->link) {
                return wh_why_fault(m->why,
                                    "rank %u lane %u step %u: %s rank %u on channel %u, "
                                    "which never %s it",
                                    rank, l, s, end->is_send ? "sends to" : "receives from", peer,
                                    end->channel, end->is_send ? "receives from" : "sends to");
            }
        }
    }
    return wh_why_fault(m->why, "rank %u link %u: no step uses it", rank, end->link);
}

static whorl_result_t pair_ends(struct wh_model *m, const struct end *ends, size_t nends)
{
    for (size_t i = 0; i < nends; i += 2) {
        const struct end *a = &ends[i];
        const struct end *b = &ends[i + 1];
        if (i + 1 == nends || order_links(a, b) != 0) {
            return lone_end(m, a);
        }
        if (a->is_send == b->is_send || (i + 2 < nends && order_links(b, b + 1) == 0)) {
            const struct end *twin = a->is_send == b->is_send ? b : b + 1;
            return wh_why_fault(m->why,
                                "rank %u link %u: the schedule has another link %s rank %u on "
                                "channel %u",
                                twin->is_send ? twin->from : twin->to, twin->link,
                                twin->is_send ? "to" : "from",
                                twin->is_send ? twin->to : twin->from, twin->channel);
        }

        const uint32_t f = (uint32_t)(i / 2);
        m->fifos[f] = (struct wh_model_fifo){.from = a->from, .to = a->to, .channel = a->channel};
        m->link_fifos[a->link_index] = f;
        m->link_fifos[b->link_index] = f;
    }
    return WHORL_OK;
}

/* Makes the fifos. */
static whorl_result_t connect_links(struct wh_model *m)
{
    size_t nends = 0;

    for (uint32_t r = 0; r < m->nranks; r++) {
        m->first_links[r] = nends;
        nends += m->scheds[r]->nlinks;
    }

    /* One too many each: there may be no link at all, and an odd number of ends. */
    struct end *ends = calloc(nends + 1, sizeof(*ends));
    m->link_fifos = calloc(nends + 1, sizeof(*m->link_fifos));
    m->fifos = calloc(nends / 2 + 1, sizeof(*m->fifos));
    m->nfifos = (uint32_t)(nends / 2);
    whorl_result_t rc;
    if (ends == NULL || m->link_fifos == NULL || m->fifos == NULL) {
        rc = wh_why_nomem(m->why);
    } else {
        list_ends(m, ends, nends);
        rc = pair_ends(m, ends, nends);
    }
    free(ends);
    return rc;
}

/* ---- create and destroy ---------------------------------------------------------------------- */

static whorl_result_t create_inputs(struct wh_model *m)
{
    for (uint32_t r = 0; r < m->nranks; r++) {
        m->inputs[r] = wh_parts_create(m->nranks, r);
        if (m->inputs[r] == NULL) {
            return wh_why_nomem(m->why);
        }
    }
    return WHORL_OK;
}

static void start_lanes(struct wh_model *m)
{
    uint32_t i = 0;

    for (uint32_t r = 0; r < m->nranks; r++) {
        for (uint32_t l = 0; l < m->scheds[r]->nlanes; l++, i++) {
            m->lanes[i] = (struct wh_model_lane){.sched = m->scheds[r], .index = l};
            wh_model_start_pass(m, &m->lanes[i]);
        }
    }
}

whorl_result_t wh_model_create(struct wh_sched *const *scheds, uint32_t nranks,
                               const struct wh_check_options *options, struct wh_why *why,
                               struct wh_model **model_out)
{
    struct wh_model *m = calloc(1, sizeof(*m));
    if (m == NULL) {
        return wh_why_nomem(why);
    }

    m->scheds = scheds;
    m->options = options;
    m->why = why;
    m->nranks = nranks;
    for (uint32_t r = 0; r < nranks; r++) {
        m->nlanes += scheds[r]->nlanes;
    }
    m->inputs = calloc(nranks, sizeof(struct wh_parts *));
    m->lanes = calloc((size_t)m->nlanes + 1, sizeof(*m->lanes));
    m->outcomes = calloc((size_t)nranks * options->npasses, sizeof(*m->outcomes));
    m->first_links = calloc(nranks, sizeof(*m->first_links));

    whorl_result_t rc = WHORL_OK;
    if (m->inputs == NULL || m->lanes == NULL || m->outcomes == NULL || m->first_links == NULL) {
        rc = wh_why_nomem(why);
    }
    if (rc == WHORL_OK) {
        rc = create_inputs(m);
    }
    if (rc == WHORL_OK) {
        rc = connect_links(m);
    }
    if (rc != WHORL_OK) {
        m->nlanes = 0; /* none has started */
        wh_model_destroy(m);
        return rc;
    }
    start_lanes(m);
    *model_out = m;
    return WHORL_OK;
}

static void destroy_fifos(struct wh_model *m)
{
    for (uint32_t f = 0; m->fifos != NULL && f < m->nfifos; f++) {
        struct wh_model_message *message = m->fifos[f].head;
        while (message != NULL) {
            struct wh_model_message *next = message->next;
            wh_model_message_destroy(message);
            message = next;
        }
    }
    free(m->fifos);
    free(m->link_fifos);
    free(m->first_links);
}

static void destroy_outcomes(struct wh_model *m)
{
    const size_t noutcomes = (size_t)m->nranks * m->options->npasses;

    for (size_t i = 0; m->outcomes != NULL && i < noutcomes; i++) {
        wh_model_put_cells(m->outcomes[i].output, m->scheds[0]->nchunks);
        wh_parts_put(m->outcomes[i].heard);
    }
    free(m->outcomes);
}

void wh_model_destroy(struct wh_model *m)
{
    if (m == NULL) {
        return;
    }
    for (uint32_t l = 0; l < m->nlanes; l++) {
        wh_model_put_cells(m->lanes[l].scratch, m->scheds[0]->nchunks);
        wh_parts_put(m->lanes[l].heard);
        wh_model_message_destroy(m->lanes[l].held);
    }
    free(m->lanes);
    destroy_outcomes(m);
    destroy_fifos(m);
    for (uint32_t r = 0; m->inputs != NULL && r < m->nranks; r++) {
        wh_parts_put(m->inputs[r]);
    }
    free(m->inputs);
    free(m);
}

/* ---- verdict --------------------------------------------------------------------------------- */

/* "rank 1: " or, with several passes, "rank 1 pass 2: " */
static void print_whose(const struct wh_model *m, uint32_t rank, uint32_t pass, char *text,
                        size_t text_nbytes)
{
    if (m->options->npasses > 1) {
        snprintf(text, text_nbytes, "rank %u pass %u: ", rank, pass);
    } else {
        snprintf(text, text_nbytes, "rank %u: ", rank);
    }
}

static whorl_result_t verify_sum(const struct wh_model *m, const char *whose, uint32_t chunk,
                                 const struct wh_parts *value)
{
    if (value->nparts != m->nranks) {
        return wh_why_fault(
            m->why, "%schunk %u of OUTPUT holds %u of %u contributions; rank %u's is missing",
            whose, chunk, value->nparts, m->nranks, wh_parts_missing(value));
    }
    if (!value->finished) {
        return wh_why_fault(m->why, "%schunk %u of OUTPUT was never finished", whose, chunk);
    }
    return WHORL_OK;
}

/* Whose INPUT a chunk is where nothing is reduced. */
static uint32_t origin_of(const struct wh_sched *sched, uint32_t chunk)
{
    return sched->coll == WH_COLL_ALL_GATHER   ? chunk
           : sched->coll == WH_COLL_ALL_TO_ALL ? chunk / sched->nranks
                                               : sched->root;
}

static whorl_result_t verify_output(const struct wh_model *m, uint32_t rank, uint32_t pass)
{
    const struct wh_sched *sched = m->scheds[rank];
    struct wh_parts *const *output = m->outcomes[(size_t)rank * m->options->npasses + pass].output;
    whorl_result_t rc = WHORL_OK;
    char whose[48];

    print_whose(m, rank, pass, whose, sizeof(whose));
    for (uint32_t c = 0; c < sched->nchunks && rc == WHORL_OK; c++) {
        if (!wh_model_has_output(sched, c)) {
            continue;
        }
        if (output == NULL || output[c] == NULL) {
            return wh_why_fault(m->why, "%schunk %u of OUTPUT was never stored", whose, c);
        }
        if (wh_coll_reduces(sched->coll)) {
            rc = verify_sum(m, whose, c, output[c]);
        } else {
            /* Where nothing is reduced a chunk is some rank's INPUT, and only one rank has it. */
            assert(wh_parts_has(output[c], origin_of(sched, c)));
        }
    }
    return rc;
}

static whorl_result_t verify_barrier(const struct wh_model *m, uint32_t rank, uint32_t pass)
{
    const struct wh_parts *heard = m->outcomes[(size_t)rank * m->options->npasses + pass].heard;
    char whose[48];

    if (m->scheds[rank]->coll != WH_COLL_BARRIER || m->nranks == 1) {
        return WHORL_OK;
    }
    assert(heard != NULL); /* the entry rule gives every rank a lane */
    if (heard->nparts != m->nranks) {
        print_whose(m, rank, pass, whose, sizeof(whose));
        return wh_why_fault(m->why, "%sleaves the barrier without having heard of rank %u", whose,
                            wh_parts_missing(heard));
    }
    return WHORL_OK;
}

static whorl_result_t verify_fifos(const struct wh_model *m)
{
    for (uint32_t f = 0; f < m->nfifos; f++) {
        const struct wh_model_fifo *fifo = &m->fifos[f];
        if (fifo->head != NULL) {
            return wh_why_fault(m->why,
                                "rank %u lane %u step %u: its message to rank %u on channel %u is "
                                "never received",
                                fifo->from, fifo->head->lane, fifo->head->step, fifo->to,
                                fifo->channel);
        }
    }
    return WHORL_OK;
}

whorl_result_t wh_model_verify(const struct wh_model *m)
{
    whorl_result_t rc = verify_fifos(m);

    for (uint32_t r = 0; r < m->nranks && rc == WHORL_OK; r++) {
        for (uint32_t p = 0; p < m->options->npasses && rc == WHORL_OK; p++) {
            rc = verify_output(m, r, p);
            if (rc == WHORL_OK) {
                rc = verify_barrier(m, r, p);
            }
        }
    }
    return rc;
}
