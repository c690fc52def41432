/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several hosts in one thread: an arena for each, wires over the loop transport, and all ranks
 * driven in an order of random choices.
 */
#ifndef WH_TESTS_HIER_WORLD_H
#define WH_TESTS_HIER_WORLD_H

#include "../arena/calls.h"
#include "algorithms/hier.h"
#include "algorithms/hier_prompt.h"
#include "base/clock.h"
#include "base/log.h"
#include "executor/hier/internal.h"
#include "tuner/select.h"

#include <criterion/criterion.h>
#include <strings.h>
#include <sys/mman.h>

enum { WORLD_RANKS_MAX = 40, WORLD_CHUNK_NBYTES = 4096 };

/** Hosts by the numbers of their ranks, ended by 0. */
struct world_shape {
    uint32_t nlocal[12];
    bool is_dealt; /* ranks go to hosts in turn, as long as these have room */
};

/** What a world's calls are done by. */
struct world_choices {
    const char *algo;              /* NULL: what is cheapest */
    const char *rails[WH_NCOLLS];  /* the same for rails */
    struct wh_fabric local, net;
};

struct world {
    uint32_t n;
    uint64_t random, seq;
    struct world_choices choices;
    struct wh_hosts *hosts;
    struct wh_wire *wires[WORLD_RANKS_MAX];
    struct wh_arena *arenas[WORLD_RANKS_MAX];
    struct wh_hier *hiers[WORLD_RANKS_MAX];
    struct wh_doorbell *bells;
    struct wh_doorbell *bell_ptrs[WORLD_RANKS_MAX]; /* host by host */
    void *maps[WORLD_RANKS_MAX];
    size_t map_nbytes[WORLD_RANKS_MAX];
};

/* ---- what comm chooses ---- */

static inline const void *world_choose(void *ctx, const struct wh_compose_problem *problem,
                                       size_t nbytes)
{
    const struct world_choices *c = ctx;
    for (size_t i = 0; c->algo != NULL && i < wh_nhier_algos; i++) {
        if (wh_hier_algos[i]->coll == problem->coll &&
            strcmp(wh_hier_algos[i]->name, c->algo) == 0 &&
            wh_hier_algo_fits(wh_hier_algos[i], problem->hosts)) {
            return wh_hier_algos[i];
        }
    }
    return wh_hier_select(&(struct wh_hier_query){.coll = problem->coll,
                                                  .hosts = problem->hosts,
                                                  .local = &c->local,
                                                  .net = &c->net,
                                                  .nbytes = nbytes});
}

static inline whorl_result_t world_compose(void *ctx, const void *chosen,
                                           const struct wh_compose_problem *problem,
                                           struct wh_composition **composition_out)
{
    (void)ctx;
    const struct wh_hier_algo *algo = chosen;
    return algo->build(problem, composition_out);
}

static inline const void *world_choose_rail(void *ctx, const struct wh_problem *problem,
                                            size_t nbytes)
{
    const struct world_choices *c = ctx;
    if (problem->coll == WH_COLL_ALL_TO_ALL) {
        return &wh_algo_alltoall_pairwise;
    }
    if (c->rails[problem->coll] != NULL) {
        return wh_algo_find(problem->coll, c->rails[problem->coll]);
    }
    const struct wh_algo_mask all = {.allowed = UINT64_MAX};
    return wh_tuner_select(problem, nbytes, &c->net, &all);
}

static inline whorl_result_t world_build_rail(void *ctx, const void *chosen,
                                              const struct wh_problem *problem,
                                              struct wh_sched **sched_out)
{
    (void)ctx;
    return wh_algo_build(chosen, problem, sched_out);
}

static inline whorl_result_t world_finds_out(void *ctx, const void *chosen,
                                             const struct wh_problem *problem, bool *finds_out_out)
{
    (void)ctx;
    return wh_algo_finds_out(chosen, problem, finds_out_out);
}

static const struct wh_hier_choices world_methods = {
    .choose = world_choose,
    .compose = world_compose,
    .choose_rail = world_choose_rail,
    .build_rail = world_build_rail,
    .finds_out = world_finds_out,
};

/* ---- opening ---- */

static inline void world_open_hosts(struct world *w, const struct world_shape *shape)
{
    uint64_t keys[WORLD_RANKS_MAX];
    uint32_t nhosts = 0, used[12] = {0};
    while (shape->nlocal[nhosts] > 0) {
        w->n += shape->nlocal[nhosts++];
    }
    cr_assert_leq(w->n, WORLD_RANKS_MAX);
    for (uint32_t r = 0, h = 0; r < w->n; r++) {
        while (used[h] == shape->nlocal[h]) {
            h = (h + 1) % nhosts;
        }
        keys[r] = 1000 + h;
        used[h]++;
        h = shape->is_dealt ? (h + 1) % nhosts : h;
    }
    cr_assert_eq(wh_hosts_create(keys, w->n, &w->hosts), WHORL_OK);
}

static inline void world_open_wires(struct world *w, size_t slot_nbytes)
{
    const struct wh_config config = {.transports = "loop"};
    uint64_t keys[WORLD_RANKS_MAX] = {0};
    size_t address_nbytes = wh_wire_address_nbytes();
    uint8_t *addresses = calloc(w->n, address_nbytes);
    cr_assert_not_null(addresses);
    for (uint32_t r = 0; r < w->n; r++) {
        struct wh_wire_env env = {
            .rank = r,
            .nranks = w->n,
            .host_keys = keys,
            .process_keys = keys,
            .nchannels = WH_NCHANNELS,
            .nslots = 2,
            .slot_nbytes = slot_nbytes,
        };
        cr_assert_eq(wh_wire_create(&env, &config, &w->wires[r]), WHORL_OK);
        wh_wire_address(w->wires[r], addresses + r * address_nbytes);
    }
    for (uint32_t r = 0; r < w->n; r++) {
        cr_assert_eq(wh_wire_connect(w->wires[r], addresses, NULL, WH_NEVER), WHORL_OK);
    }
    free(addresses);
}

static inline void world_open_arenas(struct world *w, uint32_t host)
{
    uint32_t nlocal = wh_hosts_nlocal(w->hosts, host), first = w->hosts->first[host];
    size_t part_nbytes = wh_arena_region_nbytes(nlocal, WORLD_CHUNK_NBYTES);
    w->map_nbytes[host] = nlocal * part_nbytes + WH_REGION_ALIGN_NBYTES;
    w->maps[host] = mmap(NULL, w->map_nbytes[host], PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq(w->maps[host], MAP_FAILED);
    uintptr_t align = WH_REGION_ALIGN_NBYTES;
    uint8_t *base = (uint8_t *)(((uintptr_t)w->maps[host] + align - 1) & ~(align - 1));
    for (uint32_t i = 0; i < nlocal && nlocal > 1; i++) {
        struct wh_arena_env env = {
            .region = {.base = base,
                       .nbytes = part_nbytes,
                       .local = i,
                       .nlocal = nlocal,
                       .bells = w->bell_ptrs + first},
            .chunk_nbytes = WORLD_CHUNK_NBYTES,
            .llc_nbytes = 64 * 1024,
            .names = w->hosts->ranks + first,
        };
        cr_assert_eq(wh_arena_create(&env, &w->arenas[w->hosts->ranks[first + i]]), WHORL_OK);
    }
}

static inline void world_open(struct world *w, const struct world_shape *shape,
                              const struct world_choices *choices, uint64_t seed)
{
    const size_t slot_nbytes = 4096;
    *w = (struct world){.random = seed, .choices = *choices};
    w->choices.local = wh_fabric_shared_memory(1, slot_nbytes);
    w->choices.net = w->choices.local;
    w->choices.net.message_ns *= 50;
    world_open_hosts(w, shape);
    world_open_wires(w, slot_nbytes);
    w->bells = aligned_alloc(WH_LINE_NBYTES, w->n * sizeof(*w->bells));
    cr_assert_not_null(w->bells);
    memset((void *)w->bells, 0, w->n * sizeof(*w->bells));
    for (uint32_t r = 0; r < w->n; r++) {
        w->bell_ptrs[r] = &w->bells[r];
    }
    for (uint32_t h = 0; h < w->hosts->nhosts; h++) {
        world_open_arenas(w, h);
    }
    for (uint32_t r = 0; r < w->n; r++) {
        struct wh_hier_env env = {.rank = r,
                                  .hosts = w->hosts,
                                  .arena = w->arenas[r],
                                  .wire = w->wires[r],
                                  .choices = &world_methods,
                                  .ctx = &w->choices};
        cr_assert_eq(wh_hier_create(&env, &w->hiers[r]), WHORL_OK);
    }
}

static inline void world_close(struct world *w)
{
    for (uint32_t r = 0; r < w->n; r++) {
        wh_hier_destroy(w->hiers[r]);
        wh_arena_destroy(w->arenas[r]);
    }
    for (uint32_t r = 0; r < w->n; r++) {
        wh_wire_destroy(w->wires[r]);
    }
    for (uint32_t h = 0; h < w->hosts->nhosts; h++) {
        munmap(w->maps[h], w->map_nbytes[h]);
    }
    free((void *)w->bells);
    wh_hosts_destroy(w->hosts);
}

/* ---- driving ---- */

/** Says who waits for whom. */
static inline void world_print(const struct world *w, char *text, size_t text_nbytes)
{
    size_t used = 0;
    for (uint32_t r = 0; r < w->n && used < text_nbytes; r++) {
        char what[256];
        wh_hier_describe(w->hiers[r], what, sizeof(what));
        used += (size_t)snprintf(text + used, text_nbytes - used, "\nrank %u: %s", r, what);
    }
}

/**
 * Advances all ranks, whose calls have been started or not, until all are done. Some runs are fair,
 * some let a rank go on as long as it can. WHORL_OK; WHORL_IN_PROGRESS if nobody can go on; or the
 * first failure, of *rank_out.
 */
static inline whorl_result_t world_drive(struct world *w, struct call *const *calls,
                                         uint32_t ncalls, uint32_t *rank_out)
{
    uint32_t next[WORLD_RANKS_MAX] = {0}, nleft = w->n, idle = 0, sweep = 0;
    bool is_greedy = ref_random(&w->random) % 2 == 0;
    while (nleft > 0) {
        /* When chance has found nobody for a while, everyone is asked in turn. */
        bool is_sweep = idle > 4 * w->n;
        uint32_t r = is_sweep ? sweep++ % w->n : (uint32_t)(ref_random(&w->random) % w->n);
        if (idle > 8 * w->n) {
            return WHORL_IN_PROGRESS;
        }
        bool moved = false;
        for (bool goes_on = next[r] < ncalls; goes_on;) {
            const struct call_rank *mine = &calls[next[r]]->ranks[r];
            if (!w->hiers[r]->run.is_busy) {
                cr_assert_eq(wh_hier_start(w->hiers[r], mine->coll, mine->root, &mine->op),
                             WHORL_OK, "%s", wh_error_get());
                moved = true;
            }
            goes_on = false;
            whorl_result_t rc = wh_hier_advance(w->hiers[r], &goes_on);
            wh_hier_wake(w->hiers[r]);
            moved |= goes_on;
            if (rc == WHORL_OK) {
                next[r]++;
                nleft -= next[r] == ncalls;
            } else if (rc != WHORL_IN_PROGRESS) {
                *rank_out = r;
                return rc;
            }
            goes_on &= is_greedy && next[r] < ncalls;
        }
        idle = moved ? 0 : idle + 1;
    }
    return WHORL_OK;
}

/** Drives all ranks through ncalls calls, and checks every byte. */
static inline void world_play(struct world *w, struct call *const *calls, uint32_t ncalls)
{
    for (uint32_t i = 0; i < ncalls; i++) {
        w->seq++;
        for (uint32_t r = 0; r < w->n; r++) {
            calls[i]->ranks[r].op.seq = w->seq;
        }
    }
    uint32_t who = 0;
    whorl_result_t rc = world_drive(w, calls, ncalls, &who);
    if (rc != WHORL_OK) {
        char text[8192], what[256];
        world_print(w, text, sizeof(text));
        call_print(calls[0], what, sizeof(what));
        cr_assert_fail("%s ...: %s of rank %u: %s%s", what, whorl_result_str(rc), who,
                       rc == WHORL_IN_PROGRESS ? "nobody can go on" : wh_error_get(), text);
    }
    for (uint32_t i = 0; i < ncalls; i++) {
        call_check(calls[i]);
    }
}

/** One call from buffers to checked bytes. */
static inline void world_do(struct world *w, const struct call_spec *spec)
{
    struct call *call = call_create(spec, w->n);
    cr_assert(wh_hier_fits(w->hiers[0], call->ranks[0].coll, call->ranks[0].root,
                           &call->ranks[0].op));
    world_play(w, &call, 1);
    call_destroy(call);
}

#endif
