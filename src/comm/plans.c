/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/plans.h"

#include "base/log.h"

#include <stdlib.h>

static struct wh_plan_row *find_row(const struct wh_plans *plans, const struct wh_algo *algo,
                                    uint32_t root)
{
    for (size_t i = 0; i < plans->nrows; i++) {
        if (plans->rows[i]->algo == algo && plans->rows[i]->root == root) {
            return plans->rows[i];
        }
    }
    return NULL;
}

static bool grow(struct wh_plans *plans)
{
    if (plans->nrows < plans->capacity) {
        return true;
    }
    size_t capacity = plans->capacity > 0 ? 2 * plans->capacity : 16;
    struct wh_plan_row **rows = realloc(plans->rows, capacity * sizeof(struct wh_plan_row *));
    if (rows == NULL) {
        return false;
    }
    plans->rows = rows;
    plans->capacity = capacity;
    return true;
}

static whorl_result_t make_row(struct wh_plans *plans, const struct wh_plan_query *query,
                               const struct wh_algo *algo, struct wh_plan_row **row_out)
{
    struct wh_plan_row *row = calloc(1, sizeof(*row));
    if (row == NULL || !grow(plans)) {
        free(row);
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a plan");
    }
    struct wh_sched *sched;
    whorl_result_t rc = wh_algo_build(algo, &query->problem, &sched);
    if (rc == WHORL_OK) {
        rc = wh_plan_create(sched, query->wire, query->order, &row->plan);
    }
    if (rc == WHORL_OK && query->order != NULL) {
        row->displs = calloc(query->problem.nranks, sizeof(*row->displs));
        if (row->displs == NULL) {
            wh_plan_destroy(row->plan);
            rc = wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a plan");
        }
    }
    if (rc != WHORL_OK) {
        free(row);
        return rc;
    }
    row->algo = algo;
    row->root = query->problem.root;
    row->next_seq = 1;
    plans->rows[plans->nrows++] = row;
    wh_log(WH_LOG_INFO, WH_SUBSYS_TUNING,
           "%s of %zu bytes: algorithm %s (%u lanes, %u steps, %u links)", wh_coll_str(algo->coll),
           query->nbytes, algo->name, row->plan->sched->nlanes, row->plan->sched->nsteps,
           row->plan->sched->nlinks);
    *row_out = row;
    return WHORL_OK;
}

whorl_result_t wh_plans_get(struct wh_plans *plans, const struct wh_plan_query *query,
                            struct wh_plan_row **row_out)
{
    const struct wh_problem *problem = &query->problem;
    /* Any spread will do: a wrong guess costs a run of the cost functions, nothing else. */
    uint64_t mix =
        (query->nbytes ^ ((uint64_t)problem->coll << 56) ^ ((uint64_t)problem->root << 40)) *
        UINT64_C(0x9e3779b97f4a7c15);
    struct wh_plan_choice *choice = &plans->choices[mix >> 58];
    if (choice->row != NULL && choice->coll == problem->coll && choice->root == problem->root &&
        choice->nbytes == query->nbytes) {
        *row_out = choice->row;
        return WHORL_OK;
    }

    const struct wh_algo *algo =
        wh_tuner_select(problem, query->nbytes, query->fabric, query->algos);
    if (algo == NULL) {
        return wh_fail(WHORL_E_UNSUPPORTED, WH_SUBSYS_TUNING,
                       "WHORL_ALGO allows no algorithm for %s of %u ranks",
                       wh_coll_str(problem->coll), problem->nranks);
    }
    struct wh_plan_row *row = find_row(plans, algo, problem->root);
    if (row == NULL) {
        whorl_result_t rc = make_row(plans, query, algo, &row);
        if (rc != WHORL_OK) {
            return rc;
        }
    }
    *choice = (struct wh_plan_choice){problem->coll, problem->root, query->nbytes, row};
    *row_out = row;
    return WHORL_OK;
}

uint64_t wh_plans_memory_nbytes(const struct wh_plans *plans)
{
    uint64_t nbytes = 0;
    for (size_t i = 0; i < plans->nrows; i++) {
        nbytes += wh_plan_memory_nbytes(plans->rows[i]->plan);
    }
    return nbytes;
}

void wh_plans_fini(struct wh_plans *plans)
{
    for (size_t i = 0; i < plans->nrows; i++) {
        wh_plan_destroy(plans->rows[i]->plan);
        free(plans->rows[i]->displs);
        free(plans->rows[i]);
    }
    free(plans->rows);
    *plans = (struct wh_plans){0};
}
