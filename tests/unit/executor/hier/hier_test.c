/* SPDX-License-Identifier: Apache-2.0 */
#include "executor/hier/hier.h"

#include "world.h"

static const struct world_shape shapes[] = {
    {.nlocal = {2, 2}},       {.nlocal = {4, 4, 4}},          {.nlocal = {3, 3}},
    {.nlocal = {1, 3}},       {.nlocal = {3, 1, 2}},          {.nlocal = {2, 2, 2, 2, 2}},
    {.nlocal = {4, 2, 3}},    {.nlocal = {2, 2}, .is_dealt = true},
    {.nlocal = {8, 8}},       {.nlocal = {3, 2}, .is_dealt = true},
};
enum { NSHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static const enum wh_coll colls[] = {
    WH_COLL_ALL_REDUCE, WH_COLL_ALL_GATHER, WH_COLL_REDUCE_SCATTER, WH_COLL_BROADCAST,
    WH_COLL_REDUCE,     WH_COLL_BARRIER,    WH_COLL_ALL_TO_ALL,
};
enum { NCOLLS = sizeof(colls) / sizeof(colls[0]) };

static bool fits(struct world *w, enum wh_coll coll)
{
    const struct wh_op op = {.count = 1, .dtype = WHORL_INT32, .redop = WHORL_SUM};
    return wh_hier_fits(w->hiers[0], coll, 0, &op);
}

/* Calls of all kinds one after the other, integers: every order of combining gives the same. */
static void play_all(const struct world_shape *shape, const char *algo, size_t count, uint64_t seed)
{
    static const whorl_dtype_t dtypes[] = {WHORL_INT32, WHORL_UINT8, WHORL_INT64};
    struct world w;
    world_open(&w, shape, &(struct world_choices){.algo = algo}, seed);
    struct call *calls[2 * NCOLLS];
    uint32_t ncalls = 0;
    for (size_t i = 0; i < 2 * NCOLLS; i++) {
        enum wh_coll coll = colls[i % NCOLLS];
        struct call_spec spec = {
            .coll = coll,
            .root = (uint32_t)(ref_random(&seed) % w.n),
            .count = wh_compose_is_blockwise(coll) && count > 10000 ? count / 8 : count,
            .dtype = dtypes[ref_random(&seed) % 3],
            .redop = (uint8_t)(ref_random(&seed) % (WH_REDOP_PREMUL_SUM + 1)),
            .in_place = i >= NCOLLS,
            .misaligned = (unsigned)(ref_random(&seed) % 2) * 8,
            .seed = ref_random(&seed),
        };
        if (fits(&w, coll)) {
            calls[ncalls++] = call_create(&spec, w.n);
        }
    }
    cr_assert_gt(ncalls, 4);
    world_play(&w, calls, ncalls);
    for (uint32_t i = 0; i < ncalls; i++) {
        call_destroy(calls[i]);
    }
    world_close(&w);
}

static void play_everywhere(size_t count)
{
    static const char *const algos[] = {NULL, "leader", "rails"};
    for (size_t s = 0; s < NSHAPES; s++) {
        for (size_t a = 0; a < 3; a++) {
            play_all(&shapes[s], algos[a], count, 1 + count + s * 100 + a * 10);
        }
    }
}

Test(hier, moves_nothing)
{
    play_everywhere(0);
}

Test(hier, does_a_few_elements)
{
    play_everywhere(1);
    play_everywhere(7);
    play_everywhere(1001);
}

Test(hier, does_many_pieces)
{
    play_everywhere(100003);
}

Test(hier, works_for_every_root)
{
    for (size_t s = 0; s < NSHAPES; s++) {
        struct world w;
        world_open(&w, &shapes[s], &(struct world_choices){.algo = s % 2 ? "leader" : "rails"}, s);
        for (uint32_t root = 0; root < w.n; root++) {
            struct call_spec spec = {.coll = WH_COLL_BROADCAST,
                                     .root = root,
                                     .count = 90001,
                                     .dtype = WHORL_INT64,
                                     .in_place = root % 2 == 0,
                                     .seed = root};
            world_do(&w, &spec);
            spec.coll = WH_COLL_REDUCE;
            spec.redop = WHORL_AVG;
            world_do(&w, &spec);
        }
        world_close(&w);
    }
}

/* The result is that of hosts in their order, each combined in the order of its ranks and rounded.
 * Of two hosts, as messages round at every step. */
Test(hier, combines_hosts_as_it_says)
{
    static const uint32_t groups[] = {0, 0, 0, 1, 1, 1};
    static const char *const algos[] = {"leader", "rails"};
    for (size_t a = 0; a < 2; a++) {
        struct world w;
        struct world_choices choices = {.algo = algos[a]};
        choices.rails[WH_COLL_ALL_REDUCE] = "oneshot";
        choices.rails[WH_COLL_REDUCE_SCATTER] = "direct";
        world_open(&w, &(struct world_shape){.nlocal = {3, 3}}, &choices, a);
        for (int dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
            for (uint8_t redop = 0; redop <= WH_REDOP_PREMUL_SUM; redop++) {
                struct call_spec spec = {.coll = WH_COLL_ALL_REDUCE,
                                         .count = 20011,
                                         .dtype = (whorl_dtype_t)dtype,
                                         .redop = redop,
                                         .groups = groups,
                                         .seed = redop};
                world_do(&w, &spec);
                spec.coll = WH_COLL_REDUCE_SCATTER;
                spec.count = 3001;
                spec.in_place = true;
                world_do(&w, &spec);
            }
        }
        world_close(&w);
    }
}
