/* SPDX-License-Identifier: Apache-2.0 */
/* Compositions, and plans of rails: made on first use, kept until the end. */
#include "base/log.h"
#include "executor/hier/internal.h"
#include "numeric/dtype.h"

#include <stdlib.h>

whorl_result_t hier_cache_init(struct wh_hier *hier)
{
    hier->choices = calloc(1, sizeof(*hier->choices));
    if (hier->choices == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for %d choices", HIER_NCHOICES);
    }
    pthread_mutex_init(&hier->choices->lock, NULL);
    return WHORL_OK;
}

const void *hier_choose(const struct wh_hier *hier, enum wh_coll coll, uint32_t root, size_t nbytes)
{
    /* Any spread will do: a wrong guess costs a run of the cost functions, nothing else. */
    uint64_t mix = (nbytes ^ ((uint64_t)coll << 56) ^ ((uint64_t)root << 40)) *
                   UINT64_C(0x9e3779b97f4a7c15);
    struct hier_choice *row = &hier->choices->rows[mix >> 58];
    pthread_mutex_lock(&hier->choices->lock);
    if (!row->is_set || row->coll != coll || row->root != root || row->nbytes != nbytes) {
        const struct wh_compose_problem problem = {coll, hier->env.rank, root, hier->env.hosts};
        *row = (struct hier_choice){
            true, coll, root, nbytes,
            hier->env.choices->choose(hier->env.ctx, &problem, nbytes)};
    }
    const void *chosen = row->chosen;
    pthread_mutex_unlock(&hier->choices->lock);
    return chosen;
}

/* Room for one more row of row_nbytes. */
static whorl_result_t grow(void **rows, size_t nrows, size_t *capacity, size_t row_nbytes)
{
    if (nrows < *capacity) {
        return WHORL_OK;
    }
    size_t more = *capacity > 0 ? 2 * *capacity : 16;
    void *grown = realloc(*rows, more * row_nbytes);
    if (grown == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for %zu plans", more);
    }
    *rows = grown;
    *capacity = more;
    return WHORL_OK;
}

whorl_result_t hier_get_composition(struct wh_hier *hier, const void *chosen, enum wh_coll coll,
                                    uint32_t root, const struct wh_composition **composition_out)
{
    for (size_t i = 0; i < hier->ncompositions; i++) {
        const struct hier_composition_row *row = &hier->compositions[i];
        if (row->chosen == chosen && row->coll == coll && row->root == root) {
            *composition_out = row->composition;
            return WHORL_OK;
        }
    }
    void *rows = hier->compositions;
    whorl_result_t rc = grow(&rows, hier->ncompositions, &hier->compositions_capacity,
                             sizeof(*hier->compositions));
    hier->compositions = rows;
    if (rc != WHORL_OK) {
        return rc;
    }
    const struct wh_compose_problem problem = {coll, hier->env.rank, root, hier->env.hosts};
    struct wh_composition *made;
    rc = hier->env.choices->compose(hier->env.ctx, chosen, &problem, &made);
    if (rc != WHORL_OK) {
        return rc;
    }
    hier->compositions[hier->ncompositions++] =
        (struct hier_composition_row){chosen, coll, root, made};
    wh_log(WH_LOG_INFO, WH_SUBSYS_TUNING, "%s of %u hosts: algorithm %s (%u phases)",
           wh_coll_str(coll), hier->env.hosts->nhosts, made->algo, made->nphases);
    *composition_out = made;
    return WHORL_OK;
}

/* Bytes by which rails choose: of the vector, or of all blocks. */
static size_t part_nbytes(const struct wh_phase *phase, const struct hier_part *part)
{
    size_t nelems = part->op.count;
    if (phase->nsrc > 1 || phase->ndst > 1) {
        const size_t *counts = phase->nsrc > 1 ? part->send_counts : part->recv_counts;
        nelems = 0;
        for (uint32_t i = 0; i < phase->nranks; i++) {
            nelems += counts[i];
        }
    }
    return nelems * wh_dtype_nbytes(part->op.dtype);
}

static whorl_result_t make_plan(struct wh_hier *hier, const void *chosen,
                                const struct wh_problem *problem, struct wh_plan **plan_out)
{
    struct wh_sched *sched;
    whorl_result_t rc = hier->env.choices->build_rail(hier->env.ctx, chosen, problem, &sched);
    if (rc != WHORL_OK) {
        return rc;
    }
    wh_log(WH_LOG_INFO, WH_SUBSYS_TUNING, "%s on rail %u: algorithm %s", wh_coll_str(problem->coll),
           hier->env.hosts->local[hier->env.rank], sched->algo);
    return wh_plan_create(sched, hier->env.wire, hier->rail_ranks, plan_out);
}

static whorl_result_t find_plan(struct wh_hier *hier, const struct wh_problem *problem,
                                size_t nbytes, struct hier_part *part)
{
    const void *chosen = hier->env.choices->choose_rail(hier->env.ctx, problem, nbytes);
    if (chosen == NULL) {
        return wh_fail(WHORL_E_UNSUPPORTED, WH_SUBSYS_TUNING,
                       "WHORL_ALGO allows no algorithm for %s of %u hosts",
                       wh_coll_str(problem->coll), problem->nranks);
    }
    for (size_t i = 0; i < hier->nplans; i++) {
        const struct hier_plan_row *row = &hier->plans[i];
        if (row->chosen == chosen && row->coll == problem->coll && row->root == problem->root) {
            part->plan = row->plan;
            part->finds_out = row->finds_out;
            return WHORL_OK;
        }
    }
    void *rows = hier->plans;
    whorl_result_t rc = grow(&rows, hier->nplans, &hier->plans_capacity, sizeof(*hier->plans));
    hier->plans = rows;
    part->finds_out = false;
    if (rc == WHORL_OK && hier->env.choices->finds_out != NULL) {
        rc = hier->env.choices->finds_out(hier->env.ctx, chosen, problem, &part->finds_out);
    }
    if (rc == WHORL_OK) {
        rc = make_plan(hier, chosen, problem, &part->plan);
    }
    if (rc == WHORL_OK) {
        hier->plans[hier->nplans++] = (struct hier_plan_row){
            chosen, problem->coll, problem->root, part->finds_out, part->plan};
    }
    return rc;
}

whorl_result_t hier_set_plan(struct wh_hier *hier, const struct wh_phase *phase,
                             struct hier_part *part)
{
    const struct wh_problem problem = {phase->coll, phase->me, phase->nranks, phase->root};
    size_t nbytes = part_nbytes(phase, part);
    struct hier_rail_memo *memo = &hier->rail_memos[phase->coll];
    if (memo->plan != NULL && memo->root == phase->root && memo->nbytes == nbytes) {
        part->plan = memo->plan;
        part->finds_out = memo->finds_out;
        return WHORL_OK;
    }
    whorl_result_t rc = find_plan(hier, &problem, nbytes, part);
    if (rc == WHORL_OK) {
        *memo = (struct hier_rail_memo){part->plan, phase->root, nbytes, part->finds_out};
    }
    return rc;
}

void hier_cache_fini(struct wh_hier *hier)
{
    for (size_t i = 0; i < hier->ncompositions; i++) {
        wh_composition_destroy(hier->compositions[i].composition);
    }
    for (size_t i = 0; i < hier->nplans; i++) {
        wh_plan_destroy(hier->plans[i].plan);
    }
    wh_plan_destroy(hier->greeting);
    if (hier->choices != NULL) {
        pthread_mutex_destroy(&hier->choices->lock);
        free(hier->choices);
    }
    free(hier->compositions);
    free(hier->plans);
}

uint64_t hier_cache_memory_nbytes(const struct wh_hier *hier)
{
    uint64_t nbytes = sizeof(*hier->choices) +
                      hier->compositions_capacity * sizeof(*hier->compositions) +
                      hier->plans_capacity * sizeof(*hier->plans);
    nbytes += hier->greeting != NULL ? wh_plan_memory_nbytes(hier->greeting) : 0;
    for (size_t i = 0; i < hier->ncompositions; i++) {
        const struct wh_composition *k = hier->compositions[i].composition;
        nbytes += sizeof(*k) + k->nphases * sizeof(*k->phases);
        for (uint32_t p = 0; p < k->nphases; p++) {
            nbytes += (k->phases[p].nsrc + k->phases[p].ndst) * sizeof(*k->cells);
        }
    }
    for (size_t i = 0; i < hier->nplans; i++) {
        nbytes += wh_plan_memory_nbytes(hier->plans[i].plan);
    }
    return nbytes;
}
