/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules of all ranks at once, for tests of the checker: right ones to break, and a verdict. */
#ifndef WH_TESTS_SCHEDULE_WORLD_H
#define WH_TESTS_SCHEDULE_WORLD_H

#include "schedule/check.h"
#include "schedule/sched.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world {
    uint32_t nranks;
    struct wh_sched **scheds;
};

typedef void (*world_build_fn)(const struct wh_problem *problem, struct wh_builder *b);

static const struct wh_check_options world_plain = {.fifo_slots = 1, .npasses = 1};
static const struct wh_check_options world_in_place = {
    .fifo_slots = 1,
    .npasses = 1,
    .in_place = true,
};

/* The schedules of problem->nranks ranks; problem->rank does not matter. */
static inline struct world world_create(struct wh_problem problem, uint32_t nchunks,
                                        world_build_fn build)
{
    struct world world = {.nranks = problem.nranks};

    world.scheds = calloc(problem.nranks, sizeof(struct wh_sched *));
    cr_assert_not_null(world.scheds);
    for (uint32_t r = 0; r < problem.nranks; r++) {
        problem.rank = r;
        struct wh_builder *b = wh_builder_create(&problem, "test", nchunks);
        build(&problem, b);
        cr_assert_eq(wh_builder_seal(b, &world.scheds[r]), WHORL_OK, "rank %u", r);
    }
    return world;
}

static inline void world_destroy(struct world *world)
{
    for (uint32_t r = 0; r < world->nranks; r++) {
        wh_sched_destroy(world->scheds[r]);
    }
    free(world->scheds);
}

/* The fault that the checker names; "" if it finds none. */
static inline const char *world_fault(const struct world *world,
                                      const struct wh_check_options *options)
{
    static char why[768];

    snprintf(why, sizeof(why), "(nothing written)");
    whorl_result_t rc = wh_check(world->scheds, world->nranks, options, why, sizeof(why));
    if (rc == WHORL_OK) {
        return "";
    }
    cr_assert_eq(rc, WHORL_E_INTERNAL);
    return why;
}

/* Checks and gives back the world: the fault must read exactly so; "" for none. */
static inline void world_expect(struct world *world, const struct wh_check_options *options,
                                const char *fault)
{
    cr_expect_str_eq(world_fault(world, options), fault, "got:  %s\nwant: %s",
                     world_fault(world, options), fault);
    world_destroy(world);
}

/* Step s of lane l. */
static inline struct wh_step *world_step(struct world *world, uint32_t rank, uint32_t l, uint32_t s)
{
    struct wh_sched *sched = world->scheds[rank];

    cr_assert_lt(l, sched->nlanes);
    cr_assert_lt(s, sched->lanes[l].nsteps);
    return &sched->steps[sched->lanes[l].first_step + s];
}

/*
 * A ring all_reduce of n chunks, right as it stands. Rank r in 2n-1 steps, chunks modulo n:
 *   step 0          send INPUT chunk r
 *   steps 1..n-2    add INPUT to chunk r-s as it passes
 *   step n-1        add, finish and keep chunk r+1, and send it
 *   steps n..2n-2   keep chunk r+n-s, and send it on in all but the last
 */
static inline void world_build_ring(const struct wh_problem *p, struct wh_builder *b)
{
    const uint32_t n = p->nranks;
    const uint32_t last = 2 * n - 2;

    if (n == 1) {
        wh_build_lane(b, 0);
        wh_build_step(b, &(struct wh_move){.flags = WH_STORE | WH_FINISH,
                                           .local = WH_INPUT,
                                           .store = WH_OUTPUT,
                                           .nchunks = 1});
        return;
    }

    wh_build_lane(b, 0);
    for (uint32_t s = 0; s <= last; s++) {
        uint32_t flags = s == 0       ? WH_SEND
                         : s < n - 1  ? WH_RECV | WH_REDUCE | WH_SEND
                         : s == n - 1 ? WH_RECV | WH_REDUCE | WH_FINISH | WH_STORE | WH_SEND
                                      : WH_RECV | WH_STORE | WH_SEND;
        wh_build_step(b, &(struct wh_move){
                             .flags = s == last ? flags & ~(uint32_t)WH_SEND : flags,
                             .from = (p->rank + n - 1) % n,
                             .to = (p->rank + 1) % n,
                             .local = WH_INPUT,
                             .store = WH_OUTPUT,
                             .chunk = p->rank + 2 * n - s,
                             .nchunks = 1,
                         });
    }
}

static inline struct world world_create_ring(uint32_t n)
{
    return world_create((struct wh_problem){.coll = WH_COLL_ALL_REDUCE, .nranks = n}, n,
                        world_build_ring);
}

#endif
