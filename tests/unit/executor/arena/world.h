/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All ranks of an arena in one thread, driven by a scheduler of random choices.
 *
 * wh_arena_advance() never waits, so who goes on next is ours to choose: an interleaving is a
 * sequence of ranks, at the grain of a rank's waits, and a seed gives the same one again. Some runs
 * are fair, some let a rank run as far as it can, some leave one rank behind as long as anybody
 * else can go on.
 */
#ifndef WH_TESTS_ARENA_WORLD_H
#define WH_TESTS_ARENA_WORLD_H

#include "base/log.h"
#include "base/wait.h"
#include "calls.h"
#include "executor/arena/internal.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    WORLD_RANKS_MAX = 40,
    WORLD_CMA_NBYTES = 256 << 10,
    WORLD_CHUNK_NBYTES = 4096, /* small, so that operations have many chunks */
};

struct world {
    uint32_t n;
    uint64_t random;
    uint64_t seq;
    void *map;
    size_t map_nbytes, part_nbytes;
    uint8_t *base;
    struct wh_doorbell *bells;
    struct wh_doorbell *bell_ptrs[WORLD_RANKS_MAX];
    struct wh_arena *arenas[WORLD_RANKS_MAX];
};

/** What worlds may differ in; 0 and NULL are the usual. */
struct world_options {
    size_t chunk_nbytes, llc_nbytes;
    size_t direct_nbytes; /* 0: all that can be is read where it is */
    bool is_one_process;
    const uint32_t *groups; /* of each rank */
    uint64_t seed;
};

static inline void world_open_with(struct world *world, uint32_t n,
                                   const struct world_options *options)
{
    size_t chunk_nbytes = options->chunk_nbytes != 0 ? options->chunk_nbytes : WORLD_CHUNK_NBYTES;
    cr_assert_leq(n, WORLD_RANKS_MAX);
    *world = (struct world){.n = n, .random = options->seed};
    world->part_nbytes = wh_arena_region_nbytes(n, chunk_nbytes);
    world->map_nbytes = n * world->part_nbytes + WH_REGION_ALIGN_NBYTES;
    world->map = mmap(NULL, world->map_nbytes, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq(world->map, MAP_FAILED);
    uintptr_t align = WH_REGION_ALIGN_NBYTES;
    world->base = (uint8_t *)(((uintptr_t)world->map + align - 1) & ~(align - 1));
    world->bells = aligned_alloc(WH_LINE_NBYTES, n * sizeof(*world->bells));
    cr_assert_not_null(world->bells);
    memset((void *)world->bells, 0, n * sizeof(*world->bells));
    for (uint32_t r = 0; r < n; r++) {
        world->bell_ptrs[r] = &world->bells[r];
    }
    for (uint32_t r = 0; r < n; r++) {
        struct wh_arena_env env = {
            .region = {.base = world->base,
                       .nbytes = world->part_nbytes,
                       .local = r,
                       .nlocal = n,
                       .bells = world->bell_ptrs},
            .chunk_nbytes = chunk_nbytes,
            .llc_nbytes = options->llc_nbytes != 0 ? options->llc_nbytes : 64 << 10,
            .direct_nbytes = options->direct_nbytes,
            .cma_nbytes = WORLD_CMA_NBYTES,
            .is_one_process = options->is_one_process,
            .groups = options->groups,
        };
        cr_assert_eq(wh_arena_create(&env, &world->arenas[r]), WHORL_OK, "%s", wh_error_get());
    }
}

static inline void world_open(struct world *world, uint32_t n, bool is_one_process, uint64_t seed)
{
    world_open_with(world, n,
                    &(struct world_options){.is_one_process = is_one_process, .seed = seed});
}

static inline void world_close(struct world *world)
{
    for (uint32_t r = 0; r < world->n; r++) {
        wh_arena_destroy(world->arenas[r]);
    }
    free((void *)world->bells);
    munmap(world->map, world->map_nbytes);
}

/* ---- the scheduler ---- */

enum world_style { WORLD_FAIR, WORLD_GREEDY, WORLD_STARVE, WORLD_NSTYLES };

/** Where every rank is in a list of calls. */
struct world_drive {
    struct world *world;
    struct call *const *calls;
    uint32_t ncalls;
    uint32_t next[WORLD_RANKS_MAX]; /* call at work, or that comes next */
    bool is_at_work[WORLD_RANKS_MAX];
    uint32_t ndone;       /* ranks that have done all calls */
    uint32_t failed_rank; /* whose call returned an error */
};

/** Lets rank go on once. *moved_out is set if it did anything. */
static inline whorl_result_t world_step(struct world_drive *d, uint32_t rank, bool *moved_out)
{
    struct wh_arena *arena = d->world->arenas[rank];
    if (d->next[rank] == d->ncalls) {
        return WHORL_OK;
    }
    if (!d->is_at_work[rank]) {
        const struct call *call = d->calls[d->next[rank]];
        wh_arena_start(arena, call->ranks[rank].coll, call->ranks[rank].root,
                       &call->ranks[rank].op);
        d->is_at_work[rank] = true;
        *moved_out = true;
    }
    enum arena_stage stage = arena->run.stage;
    whorl_result_t rc = wh_arena_advance(arena, moved_out);
    wh_arena_wake(arena);
    *moved_out |= arena->run.stage != stage;
    if (rc == WHORL_OK) {
        cr_assert_eq(arena->run.stage, ARENA_IDLE);
        d->is_at_work[rank] = false;
        d->next[rank]++;
        d->ndone += d->next[rank] == d->ncalls;
        *moved_out = true;
    } else if (rc != WHORL_IN_PROGRESS) {
        d->failed_rank = rank;
    }
    return rc == WHORL_IN_PROGRESS ? WHORL_OK : rc;
}

/** Lets every rank go on once, in turn. */
static inline whorl_result_t world_sweep(struct world_drive *d, bool *moved_out)
{
    whorl_result_t rc = WHORL_OK;
    for (uint32_t r = 0; r < d->world->n && rc == WHORL_OK; r++) {
        rc = world_step(d, r, moved_out);
    }
    return rc;
}

/** Lets rank go on until it cannot. */
static inline whorl_result_t world_exhaust(struct world_drive *d, uint32_t rank, bool *moved_out)
{
    bool moved = true;
    whorl_result_t rc = WHORL_OK;
    while (moved && rc == WHORL_OK) {
        moved = false;
        rc = world_step(d, rank, &moved);
        *moved_out |= moved;
    }
    return rc;
}

/** Says who waits for whom. */
static inline void world_print(const struct world_drive *d, char *text, size_t text_nbytes)
{
    size_t used = 0;
    for (uint32_t r = 0; r < d->world->n && used < text_nbytes; r++) {
        char what[128];
        wh_arena_describe(d->world->arenas[r], what, sizeof(what));
        used += (size_t)snprintf(text + used, text_nbytes - used, "rank %u in call %u %s; ", r,
                                 d->next[r], what);
    }
}

/**
 * Drives all ranks through their calls. WHORL_OK; WHORL_IN_PROGRESS if nobody can go on; or the
 * first failure, of d->failed_rank.
 */
static inline whorl_result_t world_drive(struct world_drive *d)
{
    struct world *world = d->world;
    enum world_style style = (enum world_style)(ref_random(&world->random) % WORLD_NSTYLES);
    uint32_t starved = (uint32_t)(ref_random(&world->random) % world->n);
    uint32_t idle = 0, nidle_sweeps = 0;
    while (d->ndone < world->n) {
        bool moved = false;
        whorl_result_t rc;
        uint32_t rank = (uint32_t)(ref_random(&world->random) % world->n);
        bool is_sweep = idle > 4 * world->n;
        if (is_sweep && style == WORLD_STARVE && nidle_sweeps == 0) {
            rc = world_step(d, starved, &moved);
            starved = rank;
        } else if (is_sweep) {
            rc = world_sweep(d, &moved);
            nidle_sweeps = moved ? 0 : nidle_sweeps + 1;
        } else if (style == WORLD_STARVE && rank == starved) {
            rc = WHORL_OK;
        } else if (style == WORLD_GREEDY) {
            rc = world_exhaust(d, rank, &moved);
        } else {
            rc = world_step(d, rank, &moved);
        }
        if (rc != WHORL_OK) {
            return rc;
        }
        idle = moved ? 0 : idle + 1;
        nidle_sweeps += is_sweep && !moved && nidle_sweeps == 0;
        if (nidle_sweeps > 4) {
            return WHORL_IN_PROGRESS;
        }
    }
    return WHORL_OK;
}

/** Drives all ranks through ncalls calls, and checks every byte. */
static inline void world_play(struct world *world, struct call *const *calls, uint32_t ncalls)
{
    struct world_drive d = {.world = world, .calls = calls, .ncalls = ncalls};
    for (uint32_t i = 0; i < ncalls; i++) {
        for (uint32_t r = 0; r < world->n; r++) {
            calls[i]->ranks[r].op.seq = world->seq + 1 + i;
        }
    }
    whorl_result_t rc = world_drive(&d);
    char text[4096] = "";
    world_print(&d, text, sizeof(text));
    cr_assert_eq(rc, WHORL_OK, "%s: %s: %s", whorl_result_str(rc),
                 rc == WHORL_IN_PROGRESS ? "nobody can go on" : wh_error_get(), text);
    world->seq += ncalls;
    for (uint32_t i = 0; i < ncalls; i++) {
        call_check(calls[i]);
    }
}

/** One call from buffers to checked bytes. */
static inline void world_do(struct world *world, const struct call_spec *spec)
{
    struct call *call = call_create(spec, world->n);
    world_play(world, &call, 1);
    call_destroy(call);
}

/** The same in a world of its own. */
static inline void world_do_alone(uint32_t n, bool is_one_process, const struct call_spec *spec)
{
    struct world world;
    world_open(&world, n, is_one_process, spec->seed);
    world_do(&world, spec);
    world_close(&world);
}

#endif
