/* SPDX-License-Identifier: Apache-2.0 */
/* One phase of one group: do its members agree, and what do they have then? */
#include "schedule/compose_model.h"

#include <assert.h>
#include <stdlib.h>

/* A group that has come to a phase. */
struct meeting {
    struct wh_compose_model *m;
    uint32_t rank; /* some member */
    const struct wh_phase *phase;
};

static uint32_t member_rank(const struct meeting *g, uint32_t member)
{
    return wh_phase_group_rank(g->m->hosts, g->rank, g->phase->place, member);
}

static const struct wh_phase *member_phase(const struct meeting *g, uint32_t member)
{
    const struct wh_compose_rank *rank = &g->m->ranks[member_rank(g, member)];
    return &rank->composition->phases[rank->next];
}

static bool reads(const struct wh_phase *p, uint32_t member)
{
    bool from_root = p->coll == WH_COLL_BROADCAST || p->coll == WH_COLL_SCATTER;
    return !from_root || member == p->root;
}

static bool writes(const struct wh_phase *p, uint32_t member)
{
    bool to_root = p->coll == WH_COLL_REDUCE || p->coll == WH_COLL_GATHER;
    return !to_root || member == p->root;
}

static whorl_result_t phase_fault(const struct meeting *g, uint32_t member, const char *text)
{
    return wh_why_fault(g->m->why, "rank %u phase %u (%s): %s", member_rank(g, member),
                        g->phase->id, wh_coll_str(g->phase->coll), text);
}

/* ---- agreement ------------------------------------------------------------------------------- */

static bool same_blocks(const struct wh_cells *a, const struct wh_cells *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (a[i].n != b[i].n || (a[i].n > 0 && a[i].first != b[i].first)) {
            return false;
        }
    }
    return true;
}

/* What a member says about the phase, beside what member 0 says. */
static whorl_result_t agree(const struct meeting *g, uint32_t member)
{
    const struct wh_phase *a = member_phase(g, 0), *b = member_phase(g, member);
    const uint32_t n = a->nranks;
    bool in_host = a->place != WH_PHASE_ACROSS;
    if (a->coll != b->coll || a->root != b->root || a->place != b->place || b->nranks != n ||
        b->me != member || a->nsrc != b->nsrc || a->ndst != b->ndst ||
        a->finishes != b->finishes) {
        return phase_fault(g, member, "its group does something else");
    }
    if (n > 1 && ((a->nsrc == n && !same_blocks(a->src, b->src, n)) ||
                  (a->ndst == n && !same_blocks(a->dst, b->dst, n)))) {
        return phase_fault(g, member, "blocks are elsewhere than for others of its group");
    }
    if (in_host && ((a->nsrc == n && a->from != b->from) || (a->ndst == n && a->to != b->to))) {
        return phase_fault(g, member, "blocks are in another buffer than for others of its host");
    }
    if (a->coll == WH_COLL_BARRIER) {
        return WHORL_OK;
    }
    bool has_blocks = a->nsrc == n || a->ndst == n;
    uint32_t own = !has_blocks ? b->src->n : a->nsrc == n ? b->src[member].n : b->src->n;
    uint32_t other = !has_blocks ? a->src->n : a->nsrc == n ? b->dst->n : b->dst[member].n;
    bool is_all_to_all = a->nsrc == n && a->ndst == n;
    if (is_all_to_all) {
        own = b->src[member].n;
        other = a->dst[member].n;
    }
    if (own != other || (!has_blocks && b->dst->n != a->src->n)) {
        return phase_fault(g, member, "sizes of blocks do not agree");
    }
    return WHORL_OK;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static whorl_result_t check_place(const struct meeting *g, uint32_t member, enum wh_buf buf,
                                  const struct wh_cells *cells)
{
    if (cells->n == 0) {
        return WHORL_OK;
    }
    if (!wh_compose_model_has(g->m, member_rank(g, member), buf)) {
        return phase_fault(g, member, "uses a buffer that the rank does not have");
    }
    if (cells->first >= g->m->ncells[buf] || cells->n > g->m->ncells[buf] - cells->first) {
        return phase_fault(g, member, "uses cells that the buffer does not have");
    }
    return WHORL_OK;
}

/* May block s of what is read and block d of what is written be the same memory? */
static bool may_coincide(const struct wh_phase *p, uint32_t s, uint32_t d)
{
    if (p->nsrc > 1 && p->ndst > 1) {
        return false;
    }
    return (p->nsrc == 1 || s == p->me) && (p->ndst == 1 || d == p->me);
}

/* A block that is read and one that is written are the same memory, or have none in common. */
static whorl_result_t check_overlap(const struct meeting *g, uint32_t member, uint32_t s,
                                    uint32_t d)
{
    const struct wh_phase *p = member_phase(g, member);
    const uint32_t first = p->src[s].first, n = p->src[s].n;
    for (uint32_t i = 0; i < p->dst[d].n; i++) {
        enum wh_buf to = p->to;
        uint32_t at = p->dst[d].first + i;
        bool hits = to == p->from && at >= first && at < first + n;
        if (!hits) {
            wh_compose_model_alias(g->m, member_rank(g, member), &to, &at);
            hits = to == p->from && at >= first && at < first + n;
        }
        if (hits && !(may_coincide(p, s, d) && at == first + i)) {
            return phase_fault(g, member, "writes over what it reads");
        }
    }
    return WHORL_OK;
}

static whorl_result_t check_memory(const struct meeting *g, uint32_t member)
{
    const struct wh_phase *p = member_phase(g, member);
    whorl_result_t rc = WHORL_OK;
    if (p->nsrc > 0 && writes(p, member) && p->to == WH_INPUT) {
        return phase_fault(g, member, "writes INPUT");
    }
    for (uint32_t s = 0; reads(p, member) && s < p->nsrc && rc == WHORL_OK; s++) {
        rc = check_place(g, member, p->from, &p->src[s]);
    }
    for (uint32_t d = 0; writes(p, member) && d < p->ndst && rc == WHORL_OK; d++) {
        rc = check_place(g, member, p->to, &p->dst[d]);
        for (uint32_t s = 0; reads(p, member) && s < p->nsrc && rc == WHORL_OK; s++) {
            rc = check_overlap(g, member, s, d);
        }
    }
    return rc;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Cell j of a block that member reads. parts is a reference of the caller's. */
static whorl_result_t read_cell(const struct meeting *g, uint32_t member, uint32_t block,
                                uint32_t j, struct wh_compose_value *value_out)
{
    const struct wh_phase *p = member_phase(g, member);
    uint32_t rank = member_rank(g, member), cell = p->src[block].first + j;
    struct wh_compose_value *value = &g->m->ranks[rank].cells[p->from][cell];
    if (value->parts == NULL) {
        return phase_fault(g, member, "reads what nobody has written");
    }
    if (p->from == WH_INPUT && !wh_compose_model_is_input(g->m, rank, cell, value)) {
        return phase_fault(g, member, "reads INPUT after OUTPUT was stored over it");
    }
    *value_out = *value;
    if (wh_coll_reduces(p->coll)) {
        if (value->scaled == p->scales) {
            return phase_fault(g, member,
                               p->scales ? "scales twice" : "adds up what is not scaled");
        }
        value_out->scaled = true;
    }
    wh_parts_get(value_out->parts);
    return WHORL_OK;
}

/* *sum = *sum op more, of which the caller keeps its reference. */
static whorl_result_t add_up(const struct meeting *g, uint32_t member,
                             struct wh_compose_value *sum, const struct wh_compose_value *more)
{
    if (sum->key != more->key) {
        return phase_fault(g, member, "adds up different parts of the data");
    }
    if (sum->parts->finished || more->parts->finished) {
        return phase_fault(g, member, "adds to what is finished");
    }
    if (wh_parts_common(sum->parts, more->parts) < g->m->hosts->nranks) {
        return phase_fault(g, member, "counts a contribution twice");
    }
    return wh_parts_merge(&sum->parts, more->parts) == WHORL_OK ? WHORL_OK
                                                                : wh_why_nomem(g->m->why);
}

/* The sum of cell j of a block of all members. */
static whorl_result_t reduce_cell(const struct meeting *g, uint32_t block, uint32_t j,
                                  struct wh_compose_value *value_out)
{
    struct wh_compose_value sum;
    whorl_result_t rc = read_cell(g, 0, block, j, &sum);
    if (rc != WHORL_OK) {
        return rc;
    }
    for (uint32_t i = 1; i < g->phase->nranks && rc == WHORL_OK; i++) {
        struct wh_compose_value more;
        rc = read_cell(g, i, block, j, &more);
        if (rc == WHORL_OK) {
            rc = add_up(g, i, &sum, &more);
            wh_parts_put(more.parts);
        }
    }
    if (rc == WHORL_OK && g->phase->finishes) {
        rc = sum.parts->nparts < g->m->hosts->nranks
                 ? phase_fault(g, 0, "finishes what lacks contributions")
                 : wh_parts_finish(&sum.parts);
    }
    if (rc != WHORL_OK) {
        wh_parts_put(sum.parts);
        return rc;
    }
    *value_out = sum;
    return WHORL_OK;
}

/* What cell j of block d of what member writes will be. */
static whorl_result_t result_cell(const struct meeting *g, uint32_t member, uint32_t d, uint32_t j,
                                  struct wh_compose_value *value_out)
{
    switch (g->phase->coll) {
    case WH_COLL_ALL_REDUCE:
    case WH_COLL_REDUCE:
        return reduce_cell(g, 0, j, value_out);
    case WH_COLL_REDUCE_SCATTER:
        return reduce_cell(g, member, j, value_out);
    case WH_COLL_BROADCAST:
        return read_cell(g, g->phase->root, 0, j, value_out);
    case WH_COLL_SCATTER:
        return read_cell(g, g->phase->root, member, j, value_out);
    case WH_COLL_ALL_TO_ALL:
        return read_cell(g, d, member, j, value_out);
    case WH_COLL_ALL_GATHER:
    case WH_COLL_GATHER:
        return read_cell(g, d, 0, j, value_out);
    default:
        return phase_fault(g, member, "no collective that a phase can be");
    }
}

static void write_cell(const struct meeting *g, uint32_t member, uint32_t cell,
                       const struct wh_compose_value *value)
{
    uint32_t rank = member_rank(g, member), alias = cell;
    enum wh_buf to = member_phase(g, member)->to, buf = to;
    struct wh_compose_rank *state = &g->m->ranks[rank];
    wh_parts_put(state->cells[to][cell].parts);
    state->cells[to][cell] = *value;
    wh_compose_model_alias(g->m, rank, &buf, &alias);
    if (buf != to) {
        wh_parts_put(state->cells[buf][alias].parts);
        state->cells[buf][alias] = *value;
        wh_parts_get(value->parts);
    }
}

/* ---- the phase ------------------------------------------------------------------------------- */

/* Cells that the members write together. */
static size_t count_results(const struct meeting *g)
{
    size_t n = 0;
    for (uint32_t i = 0; i < g->phase->nranks; i++) {
        const struct wh_phase *p = member_phase(g, i);
        for (uint32_t d = 0; writes(p, i) && d < p->ndst; d++) {
            n += p->dst[d].n;
        }
    }
    return n;
}

/* Everything is read before anything is written. */
static whorl_result_t move_data(const struct meeting *g, struct wh_compose_value *results)
{
    whorl_result_t rc = WHORL_OK;
    size_t n = 0;
    for (uint32_t i = 0; i < g->phase->nranks; i++) {
        const struct wh_phase *p = member_phase(g, i);
        for (uint32_t d = 0; writes(p, i) && d < p->ndst; d++) {
            for (uint32_t j = 0; j < p->dst[d].n && rc == WHORL_OK; j++) {
                rc = result_cell(g, i, d, j, &results[n]);
                n += rc == WHORL_OK;
            }
        }
    }
    if (rc != WHORL_OK) {
        while (n > 0) {
            wh_parts_put(results[--n].parts);
        }
        return rc;
    }
    n = 0;
    for (uint32_t i = 0; i < g->phase->nranks; i++) {
        const struct wh_phase *p = member_phase(g, i);
        for (uint32_t d = 0; writes(p, i) && d < p->ndst; d++) {
            for (uint32_t j = 0; j < p->dst[d].n; j++) {
                write_cell(g, i, p->dst[d].first + j, &results[n++]);
            }
        }
    }
    return WHORL_OK;
}

/* Everybody hears what anybody of the group has heard. */
static whorl_result_t spread_word(const struct meeting *g)
{
    struct wh_parts *all = wh_parts_get(g->m->ranks[g->rank].heard);
    whorl_result_t rc = WHORL_OK;
    for (uint32_t i = 0; i < g->phase->nranks && rc == WHORL_OK; i++) {
        rc = wh_parts_merge(&all, g->m->ranks[member_rank(g, i)].heard);
    }
    for (uint32_t i = 0; i < g->phase->nranks && rc == WHORL_OK; i++) {
        struct wh_parts **heard = &g->m->ranks[member_rank(g, i)].heard;
        wh_parts_put(*heard);
        *heard = wh_parts_get(all);
    }
    wh_parts_put(all);
    return rc == WHORL_OK ? rc : wh_why_nomem(g->m->why);
}

whorl_result_t wh_compose_model_phase(struct wh_compose_model *m, uint32_t rank)
{
    const struct wh_compose_rank *state = &m->ranks[rank];
    const struct meeting g = {m, rank, &state->composition->phases[state->next]};
    whorl_result_t rc = WHORL_OK;
    for (uint32_t i = 0; i < g.phase->nranks && rc == WHORL_OK; i++) {
        rc = agree(&g, i);
    }
    for (uint32_t i = 0; i < g.phase->nranks && rc == WHORL_OK; i++) {
        rc = check_memory(&g, i);
    }
    if (rc == WHORL_OK && g.phase->coll == WH_COLL_BARRIER) {
        rc = spread_word(&g);
    } else if (rc == WHORL_OK) {
        struct wh_compose_value *results = calloc(count_results(&g) + 1, sizeof(*results));
        rc = results != NULL ? move_data(&g, results) : wh_why_nomem(m->why);
        free(results);
    }
    for (uint32_t i = g.phase->nranks; rc == WHORL_OK && i-- > 0;) {
        m->ranks[member_rank(&g, i)].next++;
    }
    return rc;
}
