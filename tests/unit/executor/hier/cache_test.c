/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <criterion/criterion.h>

static struct call_spec spec_of(enum wh_coll coll, uint32_t root, size_t count)
{
    return (struct call_spec){.coll = coll, .root = root, .count = count, .dtype = WHORL_INT32};
}

static void play(struct world *w, enum wh_coll coll, uint32_t root, size_t count)
{
    struct call_spec spec = spec_of(coll, root, count);
    world_do(w, &spec);
}

Test(cache, makes_nothing_twice)
{
    struct world_choices choices = {.algo = "rails"};
    choices.rails[WH_COLL_ALL_REDUCE] = "ring";
    choices.rails[WH_COLL_REDUCE] = "chain";
    struct world w;
    world_open(&w, &(struct world_shape){.nlocal = {2, 2}}, &choices, 1);
    play(&w, WH_COLL_ALL_REDUCE, 0, 500000);
    play(&w, WH_COLL_REDUCE, 1, 500000);
    const struct wh_hier *hier = w.hiers[3];
    size_t ncompositions = hier->ncompositions, nplans = hier->nplans;
    uint64_t nbytes = wh_hier_memory_nbytes(hier);
    cr_expect_eq(ncompositions, 2);
    cr_expect_eq(nplans, 2);
    play(&w, WH_COLL_ALL_REDUCE, 0, 500000);
    play(&w, WH_COLL_REDUCE, 1, 500000);
    cr_expect_eq(hier->ncompositions, ncompositions);
    cr_expect_eq(hier->nplans, nplans);
    cr_expect_eq(wh_hier_memory_nbytes(hier), nbytes);
    play(&w, WH_COLL_REDUCE, 2, 500000);
    cr_expect_eq(hier->ncompositions, ncompositions + 1);
    cr_expect_gt(wh_hier_memory_nbytes(hier), nbytes);
    world_close(&w);
}

Test(cache, grows)
{
    struct world w;
    world_open(&w, &(struct world_shape){.nlocal = {3, 3, 3, 3, 3, 3}},
               &(struct world_choices){.algo = "leader"}, 1);
    for (uint32_t root = 0; root < w.n; root++) {
        play(&w, WH_COLL_BROADCAST, root, 5);
    }
    cr_expect_eq(w.hiers[0]->ncompositions, 18);
    cr_expect_eq(w.hiers[0]->nplans, 6); /* of roots on its rail, one for each host */
    world_close(&w);
}

static const void *choose_no_rail(void *ctx, const struct wh_problem *problem, size_t nbytes)
{
    (void)ctx;
    (void)problem;
    (void)nbytes;
    return NULL;
}

Test(cache, a_rail_without_an_algorithm_is_an_error)
{
    struct world w;
    world_open(&w, &(struct world_shape){.nlocal = {1, 2}}, &(struct world_choices){.algo = NULL},
               1);
    struct wh_hier_choices choices = world_methods;
    choices.choose_rail = choose_no_rail;
    w.hiers[0]->env.choices = &choices;
    struct call_spec spec = spec_of(WH_COLL_ALL_REDUCE, 0, 5);
    struct call *call = call_create(&spec, w.n);
    cr_expect_eq(wh_hier_start(w.hiers[0], WH_COLL_ALL_REDUCE, 0, &call->ranks[0].op),
                 WHORL_E_UNSUPPORTED);
    cr_expect_str_eq(wh_error_get(), "WHORL_ALGO allows no algorithm for all_reduce of 2 hosts");
    call_destroy(call);
    world_close(&w);
}

static int nasked;

static const void *count_choices(void *ctx, const struct wh_compose_problem *problem, size_t nbytes)
{
    nasked++;
    return problem->root == 3 ? NULL : world_choose(ctx, problem, nbytes);
}

Test(cache, a_choice_is_made_once)
{
    struct world w;
    world_open(&w, &(struct world_shape){.nlocal = {2, 2}}, &(struct world_choices){.algo = NULL},
               1);
    struct wh_hier_choices choices = world_methods;
    choices.choose = count_choices;
    w.hiers[0]->env.choices = &choices;
    struct wh_op op = {.count = 5, .dtype = WHORL_INT32, .redop = WHORL_SUM};
    for (int i = 0; i < 3; i++) {
        cr_expect(wh_hier_fits(w.hiers[0], WH_COLL_BROADCAST, 1, &op));
        cr_expect_not(wh_hier_fits(w.hiers[0], WH_COLL_BROADCAST, 3, &op));
    }
    cr_expect_eq(nasked, 2, "also that there is none is remembered: %d", nasked);
    /* More kinds of calls than there is room for: what is found stays right. */
    for (int i = 0; i < 1000; i++) {
        op.count = (size_t)i;
        cr_expect_eq(wh_hier_fits(w.hiers[0], WH_COLL_BROADCAST, (uint32_t)i % 4, &op), i % 4 != 3);
    }
    world_close(&w);
}
