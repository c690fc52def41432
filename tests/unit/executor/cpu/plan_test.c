/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: how a slot is shared out, what they hold, what cannot be made. */
#include "base/log.h"
#include "world.h"

static struct wh_plan *make(struct world *world, enum wh_coll coll, const char *name)
{
    return world_plan(world, 0, wh_algo_find(coll, name), 0);
}

Test(plan, a_slot_is_shared_by_the_chunks_of_the_widest_message)
{
    static const size_t slots[] = {64, 128, 512, 576, 1024, 4096};
    for (size_t s = 0; s < ARRAY_LEN(slots); s++) {
        struct world world = world_open(7, 1, slots[s], NULL);
        for (size_t a = 0; a < wh_nalgos; a++) {
            struct wh_problem problem = {wh_algos[a]->coll, 0, 7, 1};
            if (wh_algos[a]->fits != NULL && !wh_algos[a]->fits(&problem)) {
                continue;
            }
            struct wh_plan *plan = world_plan(&world, 0, wh_algos[a], 1);
            uint32_t ways = plan->sched->nchunks_per_step;
            cr_expect_leq(ways * plan->chunk_nbytes, slots[s], "%s", wh_algos[a]->name);
            cr_expect_eq(plan->chunk_nbytes % WH_ELEM_NBYTES_MAX, 0, "%s", wh_algos[a]->name);
            cr_expect_gt(plan->chunk_nbytes, 0);
            wh_plan_destroy(plan);
        }
        world_close(&world);
    }
}

Test(plan, a_slot_of_one_chunk_is_used_whole)
{
    struct world world = world_open(3, 1, 4096, NULL);
    struct wh_plan *plan = make(&world, WH_COLL_BROADCAST, "chain");
    cr_expect_eq(plan->chunk_nbytes, 4096);
    wh_plan_destroy(plan);
    world_close(&world);
}

/* Every rank sends or receives nothing of its own in one message of 16 chunks. */
static struct wh_sched *wide_sched(uint32_t nchunks)
{
    struct wh_problem problem = {WH_COLL_BROADCAST, 0, 2, 0};
    struct wh_builder *b = wh_builder_create(&problem, "wide", nchunks);
    wh_build_lane(b, 0);
    wh_build_copy(b, WH_INPUT, WH_OUTPUT, 0, nchunks);
    wh_build_send(b, 1, WH_INPUT, 0, nchunks);
    struct wh_sched *sched;
    cr_assert_eq(wh_builder_seal(b, &sched), WHORL_OK);
    return sched;
}

Test(plan, a_slot_too_small_for_its_chunks_is_refused_with_advice)
{
    struct world world = world_open(2, 1, 128, NULL);
    struct wh_plan *plan = NULL;
    cr_assert_eq(wh_plan_create(wide_sched(16), world.wires[0], NULL, &plan), WHORL_OK);
    cr_expect_eq(plan->chunk_nbytes, 8);
    wh_plan_destroy(plan);

    plan = NULL;
    cr_expect_eq(wh_plan_create(wide_sched(17), world.wires[0], NULL, &plan), WHORL_E_CONFIG);
    cr_expect_null(plan);
    cr_expect_not_null(strstr(wh_error_get(), "128 bytes are too small for 17 chunks of wide"));
    cr_expect_not_null(strstr(wh_error_get(), "WHORL_BUFFSIZE"));
    world_close(&world);
}

Test(plan, lanes_that_need_scratch_have_their_own_and_it_is_counted)
{
    struct world world = world_open(6, 4, 1024, NULL);
    uint32_t nwith = 0;
    for (size_t a = 0; a < wh_nalgos; a++) {
        struct wh_problem problem = {wh_algos[a]->coll, 0, 6, 1};
        if (wh_algos[a]->fits != NULL && !wh_algos[a]->fits(&problem)) {
            continue;
        }
        struct wh_plan *plan = world_plan(&world, 0, wh_algos[a], 1);
        uint64_t scratch_nbytes = 0;
        for (uint32_t i = 0; i < plan->sched->nlanes; i++) {
            bool has = plan->lanes[i].scratch != NULL;
            cr_expect_eq(has, plan->sched->lanes[i].uses_scratch, "%s", wh_algos[a]->name);
            scratch_nbytes += has ? (uint64_t)plan->sched->nchunks * plan->chunk_nbytes : 0;
            nwith += has;
        }
        cr_expect_gt(wh_plan_memory_nbytes(plan), scratch_nbytes);
        wh_plan_destroy(plan);
    }
    cr_expect_gt(nwith, 0, "some algorithm has scratch");
    world_close(&world);
}

Test(plan, a_premultiplied_sum_brings_scratch_of_a_chunk_once)
{
    struct world world = world_open(1, 2, 1024, NULL);
    struct wh_plan *plan = make(&world, WH_COLL_ALL_REDUCE, "ring");
    int32_t in = 3, out = 0, scalar = 5;
    struct wh_op op = {.input = &in,
                       .output = &out,
                       .count = 1,
                       .dtype = WHORL_INT32,
                       .redop = WH_REDOP_PREMUL_SUM};
    memcpy(op.premul_scalar, &scalar, sizeof(scalar));
    uint64_t before = wh_plan_memory_nbytes(plan);
    bool moved;
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(wh_run_start(plan, &op), WHORL_OK);
        cr_assert_eq(wh_run_advance(plan, &moved), WHORL_OK);
        cr_expect_eq(out, 15);
        cr_expect_eq(wh_plan_memory_nbytes(plan), before + plan->chunk_nbytes);
    }
    wh_plan_destroy(plan);
    world_close(&world);
}

Test(plan, half_of_a_links_slots_are_passes_side_by_side_where_that_helps)
{
    static const uint32_t nslots[] = {1, 2, 3, 4, 8}, nabreast[] = {1, 1, 1, 2, 4};
    for (size_t i = 0; i < ARRAY_LEN(nslots); i++) {
        struct world world = world_open(2, nslots[i], 512, NULL);
        struct wh_plan *plan = make(&world, WH_COLL_ALL_REDUCE, "ring");
        cr_expect_eq(plan->nabreast, nabreast[i]);
        wh_plan_destroy(plan);
        plan = make(&world, WH_COLL_BROADCAST, "chain");
        cr_expect_eq(plan->nabreast, 1, "its passes follow one another anyway");
        wh_plan_destroy(plan);
        world_close(&world);
    }
}

Test(plan, links_are_those_of_the_wire)
{
    struct world world = world_open(3, 2, 512, NULL);
    struct wh_plan *plan = make(&world, WH_COLL_ALL_GATHER, "ring");
    cr_assert_gt(plan->sched->nlinks, 0);
    for (uint32_t i = 0; i < plan->sched->nlinks; i++) {
        const struct wh_sched_link *name = &plan->sched->links[i];
        struct wh_link *link = NULL;
        cr_assert_eq(wh_wire_link(world.wires[0], name->peer, name->channel, name->is_send, &link),
                     WHORL_OK);
        cr_expect_eq(link, plan->links[i]);
    }
    wh_plan_destroy(plan);
    world_close(&world);
}

Test(plan, destroy_takes_null)
{
    wh_plan_destroy(NULL);
}
