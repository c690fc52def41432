/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interpreter against a reference: every algorithm, on few ranks, over sizes around every edge
 * that the geometry has. What goes wrong on purpose is in run_faults_test.c.
 */
#include "executor/cpu/run.h"
#include "trial.h"

enum { NRANKS_MAX = 9 };
#if defined(__SANITIZE_THREAD__)
enum { NRANKS_TRIED = 5 }; /* all ranks run in one thread: nothing for this sanitizer to find */
#else
enum { NRANKS_TRIED = NRANKS_MAX };
#endif

static void destroy_plans(struct wh_plan **plans, uint32_t nranks)
{
    for (uint32_t r = 0; r < nranks; r++) {
        wh_plan_destroy(plans[r]);
    }
}

/* Sizes around the edges of a plan's chunks and passes; returns how many. */
static size_t edge_counts(const struct wh_plan *plan, size_t elem_nbytes, size_t *counts)
{
    bool blocks =
        plan->sched->coll == WH_COLL_ALL_GATHER || plan->sched->coll == WH_COLL_REDUCE_SCATTER;
    size_t chunk = plan->chunk_nbytes / elem_nbytes;
    size_t pass = blocks ? chunk : chunk * plan->sched->nchunks;
    size_t nranks = plan->sched->nranks;
    const size_t edges[] = {
        0,
        1,
        2,
        3,
        nranks - 1,
        nranks,
        nranks + 1,
        chunk - 1,
        chunk,
        33,
        chunk + 1,
        pass - 1,
        pass,
        pass + 1,
        2 * pass - 1,
        2 * pass,
        pass / 2,
        1000,
        2 * pass + 1,
        5 * pass - 3,
    };
    memcpy(counts, edges, sizeof(edges));
    return sizeof(edges) / sizeof(edges[0]);
}

enum { EDGES_MAX = 32 };

/* One algorithm and root in a world: all edges, with types, places and reductions in turn. */
static void run_edges(struct world *world, const struct wh_algo *algo, uint32_t root)
{
    static const whorl_dtype_t dtypes[] = {WHORL_FLOAT32, WHORL_INT8, WHORL_FLOAT64,
                                           WHORL_BFLOAT16};
    static const uint8_t redops[] = {WHORL_SUM, WHORL_AVG, WH_REDOP_PREMUL_SUM, WHORL_MAX,
                                     WHORL_PROD};
    struct wh_plan *plans[NRANKS_MAX];
    world_plans(world, algo, root, plans);
    for (size_t d = 0; d < ARRAY_LEN(dtypes); d++) {
        size_t counts[EDGES_MAX];
        size_t n = edge_counts(plans[0], wh_dtype_nbytes(dtypes[d]), counts);
        for (size_t i = 0; i < n; i++) {
            struct trial t = {
                .algo = algo,
                .root = root,
                .count = counts[i],
                .dtype = dtypes[d],
                .redop = redops[(i + d) % ARRAY_LEN(redops)],
                .in_place = (i + d) % 2 == 1,
                .misalign = (i + 3 * d) % 8,
            };
            trial_run(world, plans, &t);
        }
    }
    destroy_plans(plans, world->nranks);
}

/* Every algorithm on every number of ranks; of the roots the first, the last and one between. */
static void run_everything(uint32_t nslots, size_t slot_nbytes, const struct loop_faults *faults)
{
    for (uint32_t n = 1; n <= NRANKS_TRIED; n++) {
        struct world world = world_open(n, nslots, slot_nbytes, faults);
        for (size_t a = 0; a < wh_nalgos; a++) {
            const struct wh_algo *algo = wh_algos[a];
            uint32_t roots[] = {0, n / 2, n - 1};
            if (algo->coll == WH_COLL_RECV || (algo->coll == WH_COLL_SEND && n == 1)) {
                continue;
            }
            for (size_t i = 0; i < (trial_has_root(algo->coll) ? 3 : 1); i++) {
                struct wh_problem problem = {algo->coll, 0, n, roots[i]};
                if (wh_coll_is_p2p(algo->coll) || algo->fits == NULL || algo->fits(&problem)) {
                    run_edges(&world, algo, roots[i]);
                }
            }
        }
        world_close(&world);
    }
}

Test(run, every_algorithm_gives_what_its_collective_promises)
{
    run_everything(4, 1024, NULL);
}

Test(run, two_slots_per_link_are_enough)
{
    run_everything(2, 576, NULL);
}

Test(run, slots_that_hold_one_element_of_each_chunk_are_enough)
{
    run_everything(2, 128, NULL);
}

/* Two, two and four passes side by side: twice as many slots are as many as there have to be. */
Test(run, slots_for_every_pass_side_by_side_are_enough)
{
    struct loop_faults faults = {.shuffle_npolls = 7, .seed = 3};
    run_everything(4, 128, NULL);
    run_everything(5, 256, &faults);
    run_everything(8, 576, NULL);
}

Test(run, late_messages_change_nothing)
{
    struct loop_faults faults = {.delay_npolls = 3};
    run_everything(2, 512, &faults);
}

Test(run, links_that_overtake_each_other_change_nothing)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct loop_faults faults = {.shuffle_npolls = 7, .seed = seed};
        run_everything((uint32_t)seed + 1, 512, &faults);
    }
}

/* A rank alone that is late, each in turn. */
Test(run, one_slow_rank_changes_nothing)
{
    for (uint32_t slow = 0; slow < 5; slow++) {
        struct loop_faults faults = {.is_one_rank = true, .rank = slow, .delay_npolls = 20};
        struct world world = world_open(5, 2, 512, &faults);
        for (size_t a = 0; a < wh_nalgos; a++) {
            struct wh_problem problem = {wh_algos[a]->coll, 0, 5, 0};
            bool fits = wh_algos[a]->fits == NULL || wh_algos[a]->fits(&problem);
            if (!wh_coll_is_p2p(wh_algos[a]->coll) && fits) {
                run_edges(&world, wh_algos[a], 0);
            }
        }
        world_close(&world);
    }
}

Test(run, every_type_is_reduced_by_every_reduction)
{
    struct world world = world_open(4, 2, 512, NULL);
    for (size_t a = 0; a < wh_nalgos; a++) {
        struct wh_problem problem = {wh_algos[a]->coll, 0, 4, 1};
        if (!wh_coll_reduces(problem.coll) ||
            (wh_algos[a]->fits != NULL && !wh_algos[a]->fits(&problem))) {
            continue;
        }
        struct wh_plan *plans[4];
        uint32_t root = problem.coll == WH_COLL_REDUCE ? 1 : 0;
        world_plans(&world, wh_algos[a], root, plans);
        for (int dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
            for (uint8_t redop = 0; redop <= WH_REDOP_PREMUL_SUM; redop++) {
                struct trial t = {.algo = wh_algos[a],
                                  .root = root,
                                  .count = 517,
                                  .dtype = (whorl_dtype_t)dtype,
                                  .redop = redop,
                                  .in_place = redop % 2 == 0};
                trial_run(&world, plans, &t);
            }
        }
        destroy_plans(plans, 4);
    }
    world_close(&world);
}

Test(run, plans_of_one_wire_take_turns_without_harm)
{
    struct world world = world_open(6, 2, 512, NULL);
    struct wh_plan *plans[32][NRANKS_MAX];
    const struct wh_algo *rows[32];
    size_t n = 0;
    for (size_t a = 0; a < wh_nalgos && n < 32; a++) {
        struct wh_problem problem = {wh_algos[a]->coll, 0, 6, 0};
        if (!wh_coll_is_p2p(problem.coll) &&
            (wh_algos[a]->fits == NULL || wh_algos[a]->fits(&problem))) {
            rows[n] = wh_algos[a];
            world_plans(&world, rows[n], 0, plans[n]);
            n++;
        }
    }
    for (size_t i = 0; i < 300; i++) {
        size_t pick = (size_t)(mix(i) % n);
        struct trial t = {
            .algo = rows[pick], .count = (size_t)(mix(~i) % 3000), .dtype = WHORL_INT32};
        trial_run(&world, plans[pick], &t);
    }
    for (size_t i = 0; i < n; i++) {
        destroy_plans(plans[i], 6);
    }
    world_close(&world);
}

/* Rank 0 has sent two messages before rank 1 has looked for the first. */
Test(run, a_rank_may_be_an_operation_ahead)
{
    struct world world = world_open(2, 4, 512, NULL);
    struct wh_plan *plans[2][2]; /* by operation */
    int32_t sent[2] = {7, 8}, got[2] = {0, 0};
    world_plans(&world, wh_algo_find(WH_COLL_SEND, "p2p"), 0, plans[0]);
    world_plans(&world, wh_algo_find(WH_COLL_SEND, "p2p"), 0, plans[1]);
    bool moved;
    for (uint64_t i = 0; i < 2; i++) {
        struct wh_op op = {.input = &sent[i],
                           .count = 1,
                           .dtype = WHORL_INT32,
                           .redop = WH_REDOP_NONE,
                           .seq = i + 1};
        cr_assert_eq(wh_run_start(plans[i][0], &op), WHORL_OK);
        cr_assert_eq(wh_run_advance(plans[i][0], &moved), WHORL_OK);
    }
    for (uint64_t i = 0; i < 2; i++) {
        struct wh_op op = {.output = &got[i],
                           .count = 1,
                           .dtype = WHORL_INT32,
                           .redop = WH_REDOP_NONE,
                           .seq = i + 1};
        cr_assert_eq(wh_run_start(plans[i][1], &op), WHORL_OK);
        cr_assert_eq(wh_run_advance(plans[i][1], &moved), WHORL_OK);
        cr_expect_eq(got[i], sent[i]);
        destroy_plans(plans[i], 2);
    }
    world_close(&world);
}

Test(run, moved_is_set_only_by_progress)
{
    struct world world = world_open(2, 1, 512, NULL);
    struct wh_plan *plans[2];
    world_plans(&world, wh_algo_find(WH_COLL_SEND, "p2p"), 0, plans);
    int32_t in = 5, out = 0;
    struct wh_op recv = {
        .output = &out, .count = 1, .dtype = WHORL_INT32, .redop = WH_REDOP_NONE, .seq = 1};
    struct wh_op send = {
        .input = &in, .count = 1, .dtype = WHORL_INT32, .redop = WH_REDOP_NONE, .seq = 1};
    bool moved = false;

    cr_assert_eq(wh_run_start(plans[1], &recv), WHORL_OK);
    cr_expect_eq(wh_run_advance(plans[1], &moved), WHORL_IN_PROGRESS);
    cr_expect_not(moved);

    cr_assert_eq(wh_run_start(plans[0], &send), WHORL_OK);
    cr_expect_eq(wh_run_advance(plans[0], &moved), WHORL_OK);
    cr_expect(moved);

    moved = false;
    cr_expect_eq(wh_run_advance(plans[1], &moved), WHORL_OK);
    cr_expect(moved);
    cr_expect_eq(out, 5);
    destroy_plans(plans, 2);
    world_close(&world);
}
