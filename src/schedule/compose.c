/* SPDX-License-Identifier: Apache-2.0 */
/* Writing compositions, and reading them. */
#include "schedule/compose.h"

#include "base/log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- hosts ----------------------------------------------------------------------------------- */

/* Numbers the hosts, and the ranks of each. first[h + 1] is left as the number of h's ranks. */
static void number_hosts(struct wh_hosts *hosts, const uint64_t *keys)
{
    for (uint32_t r = 0; r < hosts->nranks; r++) {
        uint32_t twin = 0;
        while (keys[twin] != keys[r]) {
            twin++;
        }
        hosts->host[r] = twin < r ? hosts->host[twin] : hosts->nhosts++;
        hosts->local[r] = hosts->first[hosts->host[r] + 1]++;
    }
}

static void measure_hosts(struct wh_hosts *hosts)
{
    hosts->nrails = hosts->nranks;
    hosts->is_contiguous = true;
    for (uint32_t h = 0; h < hosts->nhosts; h++) {
        uint32_t nlocal = hosts->first[h + 1];
        hosts->nrails = nlocal < hosts->nrails ? nlocal : hosts->nrails;
        hosts->nlocal_max = nlocal > hosts->nlocal_max ? nlocal : hosts->nlocal_max;
        hosts->first[h + 1] += hosts->first[h];
    }
    hosts->is_even = hosts->nrails == hosts->nlocal_max;
    for (uint32_t r = 0; r < hosts->nranks; r++) {
        uint32_t at = hosts->first[hosts->host[r]] + hosts->local[r];
        hosts->ranks[at] = r;
        hosts->is_contiguous &= at == r;
    }
}

whorl_result_t wh_hosts_create(const uint64_t *keys, uint32_t nranks, struct wh_hosts **hosts_out)
{
    assert(nranks > 0);

    /* One block: the struct and its four arrays. */
    size_t nnumbers = 4 * (size_t)nranks + 1;
    struct wh_hosts *hosts = calloc(1, sizeof(*hosts) + nnumbers * sizeof(uint32_t));
    if (hosts == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for the hosts of %u ranks",
                       nranks);
    }
    hosts->nranks = nranks;
    hosts->host = (uint32_t *)(hosts + 1);
    hosts->local = hosts->host + nranks;
    hosts->ranks = hosts->local + nranks;
    hosts->first = hosts->ranks + nranks;
    number_hosts(hosts, keys);
    measure_hosts(hosts);
    *hosts_out = hosts;
    return WHORL_OK;
}

void wh_hosts_destroy(struct wh_hosts *hosts)
{
    free(hosts);
}

uint32_t wh_phase_group_nranks(const struct wh_hosts *hosts, uint32_t rank,
                               enum wh_phase_place place)
{
    return place == WH_PHASE_ACROSS ? hosts->nhosts : wh_hosts_nlocal(hosts, hosts->host[rank]);
}

uint32_t wh_phase_group_rank(const struct wh_hosts *hosts, uint32_t rank, enum wh_phase_place place,
                             uint32_t member)
{
    return place == WH_PHASE_ACROSS ? wh_hosts_rank(hosts, member, hosts->local[rank])
                                    : wh_hosts_rank(hosts, hosts->host[rank], member);
}

/* ---- writing --------------------------------------------------------------------------------- */

struct wh_composer {
    struct wh_compose_problem problem;
    struct wh_compose_shape shape;
    bool is_spoiled; /* out of memory */
    uint32_t nids;
    struct wh_phase *phases;
    uint32_t nphases, phases_capacity;
    struct wh_cells *cells; /* src and dst of the phases, one behind the other */
    size_t ncells, cells_capacity;
};

bool wh_compose_is_blockwise(enum wh_coll coll)
{
    return coll == WH_COLL_ALL_GATHER || coll == WH_COLL_REDUCE_SCATTER ||
           coll == WH_COLL_ALL_TO_ALL;
}

struct wh_composer *wh_composer_create(const struct wh_compose_problem *problem,
                                       const struct wh_compose_shape *shape)
{
    struct wh_composer *c = calloc(1, sizeof(*c));
    if (c != NULL) {
        c->problem = *problem;
        c->shape = *shape;
    }
    return c;
}

/* Blocks that a phase reads, and that it writes. */
static uint32_t count_src(enum wh_coll coll, uint32_t nranks)
{
    bool per_member = coll == WH_COLL_REDUCE_SCATTER || coll == WH_COLL_SCATTER ||
                      coll == WH_COLL_ALL_TO_ALL;
    return coll == WH_COLL_BARRIER ? 0 : per_member ? nranks : 1;
}

static uint32_t count_dst(enum wh_coll coll, uint32_t nranks)
{
    bool per_member =
        coll == WH_COLL_ALL_GATHER || coll == WH_COLL_GATHER || coll == WH_COLL_ALL_TO_ALL;
    return coll == WH_COLL_BARRIER ? 0 : per_member ? nranks : 1;
}

static bool make_room(struct wh_composer *c, size_t ncells)
{
    if (c->nphases == c->phases_capacity) {
        uint32_t capacity = 2 * c->phases_capacity + 4;
        struct wh_phase *phases = realloc(c->phases, capacity * sizeof(*phases));
        if (phases == NULL) {
            return false;
        }
        c->phases = phases;
        c->phases_capacity = capacity;
    }
    if (c->ncells + ncells > c->cells_capacity) {
        size_t capacity = 2 * c->cells_capacity + ncells;
        struct wh_cells *cells = realloc(c->cells, capacity * sizeof(*cells));
        if (cells == NULL) {
            return false;
        }
        c->cells = cells;
        c->cells_capacity = capacity;
    }
    return true;
}

static void add_blocks(struct wh_composer *c, uint32_t nblocks, wh_block_fn block, uint32_t arg,
                       uint32_t me)
{
    for (uint32_t i = 0; i < nblocks; i++) {
        c->cells[c->ncells++] = block(&c->problem, arg, nblocks == 1 ? me : i);
    }
}

void wh_compose_add(struct wh_composer *c, const struct wh_compose_move *move)
{
    if (c == NULL) {
        return;
    }
    const struct wh_hosts *hosts = c->problem.hosts;
    uint32_t rank = c->problem.rank;
    uint32_t id = c->nids++;
    uint32_t n = wh_phase_group_nranks(hosts, rank, move->place);
    bool is_across = move->place == WH_PHASE_ACROSS;
    bool has_group = is_across ? hosts->local[rank] < hosts->nrails : n > 1;
    if (move->is_absent || !has_group || c->is_spoiled) {
        return;
    }
    struct wh_phase phase = {
        .id = id,
        .place = move->place,
        .coll = move->coll,
        .root = move->root,
        .nranks = n,
        .me = is_across ? hosts->host[rank] : hosts->local[rank],
        .from = move->from,
        .to = move->to,
        .scales = move->scales,
        .finishes = move->finishes,
        .nsrc = count_src(move->coll, n),
        .ndst = count_dst(move->coll, n),
    };
    if (!make_room(c, (size_t)phase.nsrc + phase.ndst)) {
        c->is_spoiled = true;
        return;
    }
    assert(c->nphases == 0 || c->phases[c->nphases - 1].place <= move->place);
    add_blocks(c, phase.nsrc, move->src, move->src_arg, phase.me);
    add_blocks(c, phase.ndst, move->dst, move->dst_arg, phase.me);
    c->phases[c->nphases++] = phase;
}

whorl_result_t wh_composer_seal(struct wh_composer *c, struct wh_composition **composition_out)
{
    struct wh_composition *k = c != NULL && !c->is_spoiled ? calloc(1, sizeof(*k)) : NULL;
    if (k == NULL) {
        if (c != NULL) {
            free(c->phases);
            free(c->cells);
            free(c);
        }
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a composition");
    }
    *k = (struct wh_composition){
        .coll = c->problem.coll,
        .algo = c->shape.algo,
        .rank = c->problem.rank,
        .nranks = c->problem.hosts->nranks,
        .root = c->problem.root,
        .ncells = c->shape.ncells,
        .nscratch = c->shape.nscratch,
        .nacross = c->shape.nacross,
        .nids = c->nids,
        .nphases = c->nphases,
        .phases = c->phases,
        .cells = c->cells,
    };
    struct wh_cells *next = k->cells;
    for (uint32_t i = 0; i < k->nphases; i++) {
        struct wh_phase *phase = &k->phases[i];
        phase->src = next;
        phase->dst = next + phase->nsrc;
        next += phase->nsrc + phase->ndst;
    }
    free(c);
    *composition_out = k;
    return WHORL_OK;
}

void wh_composition_destroy(struct wh_composition *composition)
{
    if (composition == NULL) {
        return;
    }
    free(composition->phases);
    free(composition->cells);
    free(composition);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Text that is being written; goes on counting when it is full. */
struct text {
    char *at;
    size_t left, used;
};

static void say(struct text *text, const char *format, ...) WH_PRINTF(2, 3);

static void say(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text->at, text->left, format, args);
    va_end(args);
    size_t wrote = (size_t)n < text->left ? (size_t)n : (text->left > 0 ? text->left - 1 : 0);
    text->at += wrote;
    text->left -= wrote;
    text->used += (size_t)n;
}

static void say_cells(struct text *text, enum wh_buf buf, const struct wh_cells *cells, uint32_t n)
{
    static const char *const names[WH_NBUFS] = {
        [WH_INPUT] = "input", [WH_OUTPUT] = "output", [WH_SCRATCH] = "scratch"};
    say(text, " %s", names[buf]);
    for (uint32_t i = 0; i < n; i++) {
        const char *comma = i > 0 ? "," : " ";
        if (cells[i].n == 1) {
            say(text, "%s%u", comma, cells[i].first);
        } else if (cells[i].n == 0) {
            say(text, "%s-", comma);
        } else {
            say(text, "%s%u..%u", comma, cells[i].first, cells[i].first + cells[i].n - 1);
        }
    }
}

size_t wh_composition_print(const struct wh_composition *k, char *text, size_t text_nbytes)
{
    static const char *const places[] = {
        [WH_PHASE_BEFORE] = "host", [WH_PHASE_ACROSS] = "rail", [WH_PHASE_AFTER] = "host"};
    struct text out = {text, text_nbytes, 0};
    say(&out, "%s %s: rank %u of %u, pieces of %u cells, %u of scratch\n", wh_coll_str(k->coll),
        k->algo, k->rank, k->nranks, k->ncells, k->nscratch);
    for (uint32_t i = 0; i < k->nphases; i++) {
        const struct wh_phase *p = &k->phases[i];
        say(&out, "%3u  %s: %s", p->id, places[p->place], wh_coll_str(p->coll));
        if (wh_coll_has_root(p->coll)) {
            say(&out, " root %u", p->root);
        }
        if (p->nsrc > 0) {
            say_cells(&out, p->from, p->src, p->nsrc);
            say(&out, " ->");
            say_cells(&out, p->to, p->dst, p->ndst);
        }
        say(&out, "%s%s\n", p->scales ? ", scale" : "", p->finishes ? ", finish" : "");
    }
    return out.used;
}
