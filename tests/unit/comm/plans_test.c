/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of plans: one per algorithm and root, in rows that stay where they are. */
#include "base/log.h"
#include "comm/plans.h"
#include "unit/executor/cpu/world.h"

static const struct wh_algo_mask everything = {.allowed = UINT64_MAX};
static const struct wh_fabric fabric = {.message_ns = 300,
                                        .byte_ns = 0.2,
                                        .reduce_byte_ns = 0.1,
                                        .slot_nbytes = 4096,
                                        .ranks_per_core = 1};

static struct wh_plan_query query_of(struct world *world, enum wh_coll coll, uint32_t root,
                                     size_t nbytes)
{
    return (struct wh_plan_query){
        .problem = {coll, 0, world->nranks, root},
        .nbytes = nbytes,
        .fabric = &fabric,
        .algos = &everything,
        .wire = world->wires[0],
    };
}

static struct wh_plan_row *get(struct wh_plans *plans, const struct wh_plan_query *query)
{
    struct wh_plan_row *row = NULL;
    cr_assert_eq(wh_plans_get(plans, query, &row), WHORL_OK, "%s", wh_error_get());
    return row;
}

Test(plans, the_same_call_gets_the_same_row)
{
    struct world world = world_open(4, 2, 4096, NULL);
    struct wh_plans plans = {0};
    struct wh_plan_query query = query_of(&world, WH_COLL_ALL_REDUCE, 0, 1000);
    struct wh_plan_row *first = get(&plans, &query);
    cr_expect_eq(get(&plans, &query), first);
    cr_expect_eq(plans.nrows, 1);
    cr_expect_eq(first->next_seq, 1);
    cr_expect_not(first->busy);
    cr_expect_eq(first->plan->sched->coll, WH_COLL_ALL_REDUCE);
    wh_plans_fini(&plans);
    cr_expect_eq(plans.nrows, 0);
    wh_plans_fini(&plans);
    world_close(&world);
}

Test(plans, every_root_and_peer_has_its_own)
{
    struct world world = world_open(40, 2, 512, NULL);
    struct wh_plans plans = {0};
    struct wh_plan_row *casts[40], *sends[40];
    for (uint32_t root = 1; root < 40; root++) {
        struct wh_plan_query cast = query_of(&world, WH_COLL_BROADCAST, root, 100);
        struct wh_plan_query send = query_of(&world, WH_COLL_SEND, root, 100);
        casts[root] = get(&plans, &cast);
        sends[root] = get(&plans, &send);
    }
    cr_expect_eq(plans.nrows, 78);
    for (uint32_t root = 1; root < 40; root++) {
        struct wh_plan_query cast = query_of(&world, WH_COLL_BROADCAST, root, 100);
        struct wh_plan_query send = query_of(&world, WH_COLL_SEND, root, 100);
        cr_expect_eq(get(&plans, &cast), casts[root], "rows do not move");
        cr_expect_eq(get(&plans, &send), sends[root]);
        cr_expect_eq(casts[root]->plan->sched->root, root);
        cr_expect_eq(sends[root]->plan->sched->coll, WH_COLL_SEND);
        cr_expect_eq(sends[root]->plan->sched->root, root);
    }
    cr_expect_eq(plans.nrows, 78);
    wh_plans_fini(&plans);
    world_close(&world);
}

Test(plans, what_is_remembered_is_what_would_be_chosen)
{
    static const enum wh_coll colls[] = {WH_COLL_ALL_REDUCE,     WH_COLL_ALL_GATHER,
                                         WH_COLL_REDUCE_SCATTER, WH_COLL_BROADCAST,
                                         WH_COLL_REDUCE,         WH_COLL_BARRIER};
    struct world world = world_open(8, 2, 4096, NULL);
    struct wh_plans plans = {0};
    for (size_t i = 0; i < 5000; i++) {
        uint64_t x = (i * UINT64_C(2654435761)) >> 7;
        enum wh_coll coll = colls[x % ARRAY_LEN(colls)];
        bool rooted = coll == WH_COLL_BROADCAST || coll == WH_COLL_REDUCE;
        struct wh_plan_query query =
            query_of(&world, coll, rooted ? (uint32_t)(x / 7 % 8) : 0, (size_t)1 << (x / 64 % 30));
        struct wh_plan_row *row = get(&plans, &query);
        const struct wh_algo *best =
            wh_tuner_select(&query.problem, query.nbytes, &fabric, &everything);
        cr_assert_eq(row->algo, best);
        cr_assert_eq(row->root, query.problem.root);
        cr_assert_eq(row->plan->sched->coll, coll);
    }
    cr_expect_leq(plans.nrows, wh_nalgos * 8);
    wh_plans_fini(&plans);
    world_close(&world);
}

Test(plans, what_is_not_allowed_is_refused_by_name)
{
    struct world world = world_open(4, 2, 4096, NULL);
    struct wh_plans plans = {0};
    struct wh_algo_mask none = {0};
    struct wh_plan_query query = query_of(&world, WH_COLL_REDUCE, 0, 8);
    struct wh_plan_row *row = NULL;
    query.algos = &none;
    cr_expect_eq(wh_plans_get(&plans, &query, &row), WHORL_E_UNSUPPORTED);
    cr_expect_not_null(strstr(wh_error_get(), "no algorithm for reduce of 4 ranks"));
    cr_expect_null(row);
    wh_plans_fini(&plans);
    world_close(&world);
}

Test(plans, a_plan_that_cannot_be_made_leaves_no_row)
{
    /* Messages of sixteen chunks, in slots that have four bytes for each. */
    struct world world = world_open(32, 2, 64, NULL);
    struct wh_plans plans = {0};
    struct wh_algo_mask circulant = {0};
    for (size_t a = 0; a < wh_nalgos; a++) {
        bool is_it = strcmp(wh_algos[a]->name, "circulant") == 0;
        circulant.allowed |= is_it ? UINT64_C(1) << a : 0;
    }
    struct wh_plan_query query = query_of(&world, WH_COLL_ALL_GATHER, 0, 8);
    query.algos = &circulant;
    struct wh_plan_row *row = NULL;
    cr_expect_eq(wh_plans_get(&plans, &query, &row), WHORL_E_CONFIG);
    cr_expect_null(row);
    cr_expect_eq(plans.nrows, 0);
    query.algos = &everything;
    query.problem.coll = WH_COLL_REDUCE;
    cr_expect_not_null(get(&plans, &query));
    wh_plans_fini(&plans);
    world_close(&world);
}
