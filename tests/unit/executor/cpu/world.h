/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All ranks of a communicator in one thread: their wires over the loop transport, and their plans.
 */
#ifndef WH_TESTS_EXECUTOR_WORLD_H
#define WH_TESTS_EXECUTOR_WORLD_H

#include "../../../../transports/loop/loop.h"
#include "algorithms/algo.h"
#include "base/clock.h"
#include "executor/cpu/run.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct world {
    uint32_t nranks;
    struct wh_wire **wires;
    uint64_t next_seq;
};

/** faults may be NULL. */
static inline struct world world_open(uint32_t nranks, uint32_t nslots, size_t slot_nbytes,
                                      const struct loop_faults *faults)
{
    struct world world = {.nranks = nranks, .next_seq = 1};
    const struct wh_config config = {.transports = "loop"};
    uint64_t *keys = calloc(nranks, sizeof(*keys));
    size_t address_nbytes = wh_wire_address_nbytes();
    uint8_t *addresses = calloc(nranks, address_nbytes);
    world.wires = calloc(nranks, sizeof(struct wh_wire *));
    cr_assert(keys != NULL && addresses != NULL && world.wires != NULL);

    loop_faults_set(faults);
    for (uint32_t r = 0; r < nranks; r++) {
        struct wh_wire_env env = {
            .rank = r,
            .nranks = nranks,
            .host_keys = keys,
            .process_keys = keys,
            .nchannels = WH_NCHANNELS,
            .nslots = nslots,
            .slot_nbytes = slot_nbytes,
        };
        cr_assert_eq(wh_wire_create(&env, &config, &world.wires[r]), WHORL_OK);
        wh_wire_address(world.wires[r], addresses + r * address_nbytes);
    }
    for (uint32_t r = 0; r < nranks; r++) {
        cr_assert_eq(wh_wire_connect(world.wires[r], addresses, NULL, WH_NEVER), WHORL_OK);
    }
    loop_faults_set(NULL);
    free(addresses);
    free(keys);
    return world;
}

static inline void world_close(struct world *world)
{
    for (uint32_t r = 0; r < world->nranks; r++) {
        wh_wire_destroy(world->wires[r]);
    }
    free(world->wires);
}

static inline struct wh_sched *world_sched(const struct world *world, uint32_t rank,
                                           const struct wh_algo *algo, uint32_t root)
{
    struct wh_problem problem = {algo->coll, rank, world->nranks, root};
    struct wh_sched *sched;
    cr_assert_eq(wh_algo_build(algo, &problem, &sched), WHORL_OK, "%s", algo->name);
    return sched;
}

static inline struct wh_plan *world_plan(const struct world *world, uint32_t rank,
                                         const struct wh_algo *algo, uint32_t root)
{
    struct wh_plan *plan;
    cr_assert_eq(wh_plan_create(world_sched(world, rank, algo, root), world->wires[rank],
                                NULL, &plan),
                 WHORL_OK);
    return plan;
}

/** A send row is rank 0's, a receive row rank 1's; all others are everybody's. */
static inline const struct wh_algo *world_row_of(const struct wh_algo *algo, uint32_t rank)
{
    return algo->coll == WH_COLL_SEND && rank == 1 ? wh_algo_find(WH_COLL_RECV, "p2p") : algo;
}

/** plans has nranks entries; of a send, only those of ranks 0 and 1 are made. */
static inline void world_plans(const struct world *world, const struct wh_algo *algo, uint32_t root,
                               struct wh_plan **plans)
{
    for (uint32_t r = 0; r < world->nranks; r++) {
        plans[r] = NULL;
        if (algo->coll == WH_COLL_SEND && r > 1) {
            continue;
        }
        uint32_t peer = algo->coll == WH_COLL_SEND ? 1 - r : root;
        plans[r] = world_plan(world, r, world_row_of(algo, r), peer);
    }
}

/**
 * Advances all runs in turn. WHORL_OK when all are over; WHORL_IN_PROGRESS if nothing has moved for
 * a long while; else the first failure, of *rank_out.
 */
static inline whorl_result_t world_drive(const struct world *world, struct wh_plan **plans,
                                         uint32_t *rank_out)
{
    enum { IDLE_ROUNDS_MAX = 1000 };
    bool done[64] = {false};
    uint32_t nleft = 0;
    for (uint32_t r = 0; r < world->nranks; r++) {
        done[r] = plans[r] == NULL;
        nleft += plans[r] != NULL;
    }
    for (uint32_t idle = 0; nleft > 0 && idle < IDLE_ROUNDS_MAX; idle++) {
        for (uint32_t r = 0; r < world->nranks; r++) {
            bool moved = false;
            whorl_result_t rc = done[r] ? WHORL_IN_PROGRESS : wh_run_advance(plans[r], &moved);
            if (rc == WHORL_OK) {
                done[r] = true;
                nleft--;
            } else if (rc != WHORL_IN_PROGRESS) {
                *rank_out = r;
                return rc;
            }
            idle = moved ? 0 : idle;
        }
    }
    return nleft == 0 ? WHORL_OK : WHORL_IN_PROGRESS;
}

#endif
