/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the machine of compose_model.h, and judges what it ends with. */
#include "schedule/compose_model.h"

#include <assert.h>
#include <stdlib.h>

/* Cells of a buffer. */
static uint32_t count_cells(const struct wh_composition *k, enum wh_buf buf)
{
    if (buf == WH_SCRATCH) {
        return k->nscratch;
    }
    if (!wh_compose_is_blockwise(k->coll)) {
        return k->ncells;
    }
    bool is_own = (k->coll == WH_COLL_ALL_GATHER && buf == WH_INPUT) ||
                  (k->coll == WH_COLL_REDUCE_SCATTER && buf == WH_OUTPUT);
    return is_own ? 1 : k->nranks;
}

bool wh_compose_model_has(const struct wh_compose_model *m, uint32_t rank, enum wh_buf buf)
{
    bool is_missing = (m->coll == WH_COLL_BROADCAST && buf == WH_INPUT) ||
                      (m->coll == WH_COLL_REDUCE && buf == WH_OUTPUT);
    return !is_missing || rank == m->root;
}

void wh_compose_model_alias(const struct wh_compose_model *m, uint32_t rank, enum wh_buf *buf,
                            uint32_t *cell)
{
    if (!m->in_place || *buf != WH_OUTPUT || m->coll == WH_COLL_ALL_TO_ALL) {
        return;
    }
    if (m->coll == WH_COLL_ALL_GATHER) {
        *buf = *cell == rank ? WH_INPUT : WH_OUTPUT;
        *cell = *cell == rank ? 0 : *cell;
        return;
    }
    *buf = wh_compose_model_has(m, rank, WH_INPUT) ? WH_INPUT : WH_OUTPUT;
    *cell = m->coll == WH_COLL_REDUCE_SCATTER ? rank : *cell;
}

bool wh_compose_model_is_input(const struct wh_compose_model *m, uint32_t rank, uint32_t cell,
                               const struct wh_compose_value *value)
{
    uint32_t key = m->coll == WH_COLL_ALL_GATHER ? 0 : cell;
    return value->key == key && !value->scaled && !value->parts->finished &&
           value->parts->nparts == 1 && wh_parts_has(value->parts, rank);
}

/* ---- create and destroy ---------------------------------------------------------------------- */

static whorl_result_t check_agreement(struct wh_composition *const *compositions,
                                      const struct wh_hosts *hosts, struct wh_why *why)
{
    const struct wh_composition *first = compositions[0];
    for (uint32_t r = 0; r < hosts->nranks; r++) {
        const struct wh_composition *k = compositions[r];
        if (k->rank != r || k->nranks != hosts->nranks) {
            return wh_why_fault(why, "rank %u: the composition is rank %u's of %u", r, k->rank,
                                k->nranks);
        }
        if (k->coll != first->coll || k->root != first->root || k->ncells != first->ncells ||
            k->nscratch != first->nscratch || k->nacross != first->nacross ||
            k->nids != first->nids) {
            return wh_why_fault(why, "ranks 0 and %u do not agree about the piece or the phases",
                                r);
        }
    }
    return WHORL_OK;
}

static whorl_result_t fill_input(const struct wh_compose_model *m, uint32_t r)
{
    if (!wh_compose_model_has(m, r, WH_INPUT)) {
        return WHORL_OK;
    }
    struct wh_parts *own = wh_parts_create(m->hosts->nranks, r);
    if (own == NULL) {
        return wh_why_nomem(m->why);
    }
    for (uint32_t c = 0; c < m->ncells[WH_INPUT]; c++) {
        m->ranks[r].cells[WH_INPUT][c] =
            (struct wh_compose_value){.parts = wh_parts_get(own), .key = c};
    }
    wh_parts_put(own);
    return WHORL_OK;
}

static whorl_result_t create_rank(const struct wh_compose_model *m, uint32_t r,
                                  const struct wh_composition *composition)
{
    struct wh_compose_rank *rank = &m->ranks[r];
    rank->composition = composition;
    rank->heard = wh_parts_create(m->hosts->nranks, r);
    bool is_made = rank->heard != NULL;
    for (int buf = 0; buf < WH_NBUFS; buf++) {
        rank->cells[buf] = calloc((size_t)m->ncells[buf] + 1, sizeof(*rank->cells[buf]));
        is_made &= rank->cells[buf] != NULL;
    }
    return is_made ? fill_input(m, r) : wh_why_nomem(m->why);
}

whorl_result_t wh_compose_model_create(struct wh_composition *const *compositions,
                                       const struct wh_hosts *hosts, bool in_place,
                                       struct wh_why *why, struct wh_compose_model **model_out)
{
    whorl_result_t rc = check_agreement(compositions, hosts, why);
    if (rc != WHORL_OK) {
        return rc;
    }
    struct wh_compose_model *m = calloc(1, sizeof(*m));
    if (m == NULL) {
        return wh_why_nomem(why);
    }
    *m = (struct wh_compose_model){
        .hosts = hosts,
        .coll = compositions[0]->coll,
        .root = compositions[0]->root,
        .in_place = in_place,
        .ranks = calloc(hosts->nranks, sizeof(*m->ranks)),
        .why = why,
    };
    for (int buf = 0; buf < WH_NBUFS; buf++) {
        m->ncells[buf] = count_cells(compositions[0], (enum wh_buf)buf);
    }
    rc = m->ranks != NULL ? WHORL_OK : wh_why_nomem(why);
    for (uint32_t r = 0; r < hosts->nranks && rc == WHORL_OK; r++) {
        rc = create_rank(m, r, compositions[r]);
    }
    if (rc != WHORL_OK) {
        wh_compose_model_destroy(m);
        return rc;
    }
    *model_out = m;
    return WHORL_OK;
}

void wh_compose_model_destroy(struct wh_compose_model *m)
{
    if (m == NULL) {
        return;
    }
    for (uint32_t r = 0; m->ranks != NULL && r < m->hosts->nranks; r++) {
        struct wh_compose_rank *rank = &m->ranks[r];
        for (int buf = 0; buf < WH_NBUFS; buf++) {
            for (uint32_t c = 0; rank->cells[buf] != NULL && c < m->ncells[buf]; c++) {
                wh_parts_put(rank->cells[buf][c].parts);
            }
            free(rank->cells[buf]);
        }
        wh_parts_put(rank->heard);
    }
    free(m->ranks);
    free(m);
}

/* ---- verdict --------------------------------------------------------------------------------- */

/* A sum of everybody's contributions to what key names. */
static whorl_result_t verify_sum(const struct wh_compose_model *m, uint32_t rank, uint32_t cell,
                                 uint32_t key)
{
    const struct wh_compose_value *value = &m->ranks[rank].cells[WH_OUTPUT][cell];
    if (value->key != key) {
        return wh_why_fault(m->why, "rank %u: cell %u of OUTPUT holds %u instead of %u", rank, cell,
                            value->key, key);
    }
    if (value->parts->nparts != m->hosts->nranks) {
        return wh_why_fault(m->why, "rank %u: cell %u of OUTPUT lacks rank %u's contribution", rank,
                            cell, wh_parts_missing(value->parts));
    }
    if (!value->parts->finished || !value->scaled) {
        return wh_why_fault(m->why, "rank %u: cell %u of OUTPUT was never %s", rank, cell,
                            value->scaled ? "finished" : "scaled");
    }
    return WHORL_OK;
}

/* What is rank `from`'s, and nobody else's. */
static whorl_result_t verify_copy(const struct wh_compose_model *m, uint32_t rank, uint32_t cell,
                                  uint32_t key, uint32_t from)
{
    const struct wh_compose_value *value = &m->ranks[rank].cells[WH_OUTPUT][cell];
    if (value->key != key || value->parts->nparts != 1 || !wh_parts_has(value->parts, from)) {
        return wh_why_fault(m->why, "rank %u: cell %u of OUTPUT is not number %u of rank %u", rank,
                            cell, key, from);
    }
    return WHORL_OK;
}

static whorl_result_t verify_cell(const struct wh_compose_model *m, uint32_t rank, uint32_t cell)
{
    if (m->ranks[rank].cells[WH_OUTPUT][cell].parts == NULL) {
        return wh_why_fault(m->why, "rank %u: cell %u of OUTPUT was never written", rank, cell);
    }
    switch (m->coll) {
    case WH_COLL_ALL_GATHER:
        return verify_copy(m, rank, cell, 0, cell);
    case WH_COLL_ALL_TO_ALL:
        return verify_copy(m, rank, cell, rank, cell);
    case WH_COLL_BROADCAST:
        return verify_copy(m, rank, cell, cell, m->root);
    case WH_COLL_REDUCE_SCATTER:
        return verify_sum(m, rank, cell, rank);
    default:
        return verify_sum(m, rank, cell, cell);
    }
}

whorl_result_t wh_compose_model_verify(const struct wh_compose_model *m)
{
    whorl_result_t rc = WHORL_OK;
    for (uint32_t r = 0; r < m->hosts->nranks && rc == WHORL_OK; r++) {
        const struct wh_parts *heard = m->ranks[r].heard;
        if (m->coll == WH_COLL_BARRIER && heard->nparts != m->hosts->nranks) {
            return wh_why_fault(m->why, "rank %u leaves without having heard of rank %u", r,
                                wh_parts_missing(heard));
        }
        bool has_output = wh_compose_model_has(m, r, WH_OUTPUT);
        for (uint32_t c = 0; has_output && c < m->ncells[WH_OUTPUT] && rc == WHORL_OK; c++) {
            rc = verify_cell(m, r, c);
        }
    }
    return rc;
}
