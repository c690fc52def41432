/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reductions of ranks in groups. Whichever way a call takes, groups combine first, in the order of
 * ranks, then what they have is combined in the order of groups; all ranks get the same bits.
 */
#include "world.h"

/* Groups that lie one behind the other, and groups that alternate. */
static void make_groups(uint32_t n, uint32_t ngroups, bool alternate, uint32_t *groups)
{
    for (uint32_t r = 0; r < n; r++) {
        groups[r] = alternate ? r % ngroups : r / (n / ngroups);
    }
}

static const struct {
    uint32_t n, ngroups;
} shapes[] = {{4, 2}, {6, 2}, {6, 3}, {8, 4}, {4, 4}, {9, 3}, {16, 4}, {2, 2}};

static void play(size_t shape, size_t count, uint8_t redop, uint64_t seed)
{
    struct world world;
    struct call *calls[3];
    uint32_t n = shapes[shape].n, groups[WORLD_RANKS_MAX];
    make_groups(n, shapes[shape].ngroups, seed % 2, groups);
    world_open_with(
        &world, n,
        &(struct world_options){.is_one_process = seed % 5 == 0, .groups = groups, .seed = seed});
    for (uint32_t i = 0; i < 3; i++) {
        static const enum wh_coll others[] = {WH_COLL_ALL_GATHER, WH_COLL_REDUCE,
                                              WH_COLL_REDUCE_SCATTER, WH_COLL_REDUCE_SCATTER_V};
        bool is_other = i == 1 && seed % 2;
        struct call_spec spec = {
            .coll = is_other ? others[seed / 2 % 4] : WH_COLL_ALL_REDUCE,
            .count = count + i,
            .dtype = seed % 3 == 0 ? WHORL_BFLOAT16 : WHORL_FLOAT32,
            .redop = redop,
            .memory = seed % 4 == 3   ? CALL_MIXED
                      : seed % 4 == 2 ? CALL_SHARED
                                      : CALL_PRIVATE,
            .in_place = seed % 2,
            .groups = groups,
            .seed = seed + i,
        };
        calls[i] = call_create(&spec, n);
    }
    world_play(&world, calls, 3);
    for (uint32_t i = 0; i < 3; i++) {
        call_destroy(calls[i]);
    }
    world_close(&world);
}

Test(levels, sums_in_groups_are_right_in_any_interleaving)
{
    static const size_t counts[] = {1, 14, 15, 100, 2048, 4097, 5000, 8192, 8193, 20011};
    static const uint8_t redops[] = {WHORL_SUM, WHORL_AVG,  WH_REDOP_PREMUL_SUM,
                                     WHORL_MAX, WHORL_PROD, WH_REDOP_USER};
    uint64_t seed = 0;
    for (size_t shape = 0; shape < ARRAY_LEN(shapes); shape++) {
        for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
            for (uint32_t k = 0; k < 3; k++) {
                play(shape, counts[i], redops[seed % ARRAY_LEN(redops)], seed);
                seed++;
            }
        }
    }
}

/* Shares of slices and parts of a few elements: many of them empty. */
Test(levels, slices_and_parts_may_be_empty)
{
    for (size_t count = 8193; count < 8300; count += 9) {
        struct world world;
        uint32_t groups[32];
        make_groups(32, 16, count % 2, groups);
        world_open_with(&world, 32, &(struct world_options){.groups = groups, .seed = count});
        struct call_spec spec = {.coll = WH_COLL_ALL_REDUCE,
                                 .count = count,
                                 .dtype = WHORL_INT8,
                                 .groups = groups,
                                 .seed = count};
        world_do(&world, &spec);
        world_close(&world);
    }
}
