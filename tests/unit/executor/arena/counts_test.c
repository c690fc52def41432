/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of different sizes: with gaps, empty ones, and ranks that disagree. */
#include "world.h"

static const enum wh_coll colls[] = {WH_COLL_ALL_GATHER_V, WH_COLL_REDUCE_SCATTER_V,
                                     WH_COLL_ALL_TO_ALL_V, WH_COLL_GATHER_V, WH_COLL_SCATTER_V};

Test(counts, blocks_of_any_sizes_are_right)
{
    static const size_t counts[] = {0, 1, 14, 100, 1023, 1024, 2048, 2049, 5000, 20000};
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct world world;
        uint32_t n = 1 + (uint32_t)seed;
        world_open(&world, n, seed % 2, seed);
        for (size_t i = 0; i < ARRAY_LEN(counts) * ARRAY_LEN(colls); i++) {
            struct call_spec spec = {.coll = colls[i % ARRAY_LEN(colls)],
                                     .count = counts[i / ARRAY_LEN(colls)],
                                     .dtype = WHORL_FLOAT32,
                                     .root = (uint32_t)(i % n),
                                     .has_displs = (i + seed) % 2,
                                     .in_place = (i + seed) % 3 == 0,
                                     .redop = i % 4 == 0 ? WH_REDOP_PREMUL_SUM : WHORL_SUM,
                                     .seed = seed * 1000 + i};
            world_do(&world, &spec);
        }
        world_close(&world);
    }
}

/* ---- counts that do not agree ---- */

/* Two ranks of three make a call in which `rank` thinks that a block is larger. */
static void play_disagreement(enum wh_coll coll, size_t count, bool sender_is_wrong)
{
    struct world world;
    struct call_spec spec = {.coll = coll, .count = count, .dtype = WHORL_INT32, .seed = 4};
    struct call *call = call_create(&spec, 3);
    struct world_drive d = {.world = &world, .calls = &call, .ncalls = 1};
    size_t one[3] = {1, 1, 1}, changed[3] = {1, 1, 1}, room = 3 * count + 64;
    int32_t *memory = calloc(6 * room, sizeof(*memory));
    for (uint32_t r = 0; r < 3; r++) {
        struct wh_op *op = &call->ranks[r].op;
        one[r] = count;
        op->input = memory + 2 * r * room;
        op->output = memory + (2 * r + 1) * room;
        op->count = coll == WH_COLL_ALL_TO_ALL_V ? 0 : count;
    }
    memcpy(changed, one, sizeof(changed));
    changed[sender_is_wrong ? 0 : 2]--; /* what rank 2 sends to rank 0, or rank 0 gets from 2 */
    if (coll == WH_COLL_ALL_GATHER_V || coll == WH_COLL_REDUCE_SCATTER_V) {
        changed[1]++; /* the sum, which all ranks know, stays as it is */
    }
    for (uint32_t r = 0; r < 3; r++) {
        struct wh_op *op = &call->ranks[r].op;
        bool is_wrong = r == (sender_is_wrong ? 2 : 0);
        op->send_counts = op->send_counts == NULL       ? NULL
                          : is_wrong && sender_is_wrong ? changed
                                                        : one;
        op->recv_counts = op->recv_counts == NULL        ? NULL
                          : is_wrong && !sender_is_wrong ? changed
                                                         : one;
    }
    world_open(&world, 3, false, 7);
    cr_expect_eq(world_drive(&d), WHORL_E_MISMATCH, "%s", wh_coll_str(coll));
    const char *text = wh_error_get();
    cr_expect_not_null(strstr(text, wh_coll_str(coll)), "%s", text);
    cr_expect_not_null(strstr(text, sender_is_wrong ? "rank 2" : "rank 0"), "%s", text);
    world_close(&world);
    call_destroy(call);
    free(memory);
}

Test(counts, a_sender_and_a_receiver_that_disagree_are_named)
{
    static const size_t counts[] = {3, 5000};
    for (size_t i = 0; i < 2; i++) {
        play_disagreement(WH_COLL_ALL_TO_ALL_V, counts[i], true);
        play_disagreement(WH_COLL_ALL_TO_ALL_V, counts[i], false);
        play_disagreement(WH_COLL_GATHER_V, counts[i], false);
        play_disagreement(WH_COLL_ALL_GATHER_V, counts[i], false);
        play_disagreement(WH_COLL_REDUCE_SCATTER_V, counts[i], true);
    }
}

/* ---- damage ---- */

/* Rank 1's sizes are changed after it has entered; rank 0 finds out. */
static whorl_result_t with_sizes(enum wh_coll coll, size_t count, const uint64_t sizes[3])
{
    struct world world;
    struct call_spec spec = {.coll = coll, .count = count, .dtype = WHORL_INT8, .seed = 11};
    struct call *call = call_create(&spec, 3);
    struct world_drive d = {.world = &world, .calls = &call, .ncalls = 1};
    bool moved = false;
    world_open(&world, 3, false, 1);
    cr_assert_eq(world_step(&d, 1, &moved), WHORL_OK);
    cr_assert_eq(world_step(&d, 2, &moved), WHORL_OK);
    uint8_t *data = arena_slot(world.arenas[1], 1, 1)->data;
    for (uint32_t i = 0; i < 3; i++) {
        if (sizes[i] != 1) { /* 1: as it is */
            memcpy(data + 8 * i, &sizes[i], 8);
        }
    }
    whorl_result_t rc = WHORL_OK;
    for (uint32_t i = 0; i < 20 && rc == WHORL_OK && d.next[0] == 0; i++) {
        rc = world_step(&d, 0, &moved);
    }
    call_destroy(call);
    world_close(&world);
    return rc;
}

Test(counts, damaged_sizes_are_found_out)
{
    const uint64_t huge = UINT64_MAX;
    static const size_t counts[] = {20, 9000};
    for (size_t i = 0; i < 2; i++) {
        cr_expect_eq(with_sizes(WH_COLL_ALL_TO_ALL_V, counts[i], (uint64_t[]){huge, 1, 1}),
                     WHORL_E_MISMATCH);
        cr_expect_eq(with_sizes(WH_COLL_ALL_GATHER_V, counts[i], (uint64_t[]){huge - 7, 1, 1}),
                     WHORL_E_MISMATCH);
        /* Not for rank 0, but rank 0 computes with it. */
        cr_expect_eq(with_sizes(WH_COLL_ALL_TO_ALL_V, counts[i], (uint64_t[]){1, 1, huge}),
                     WHORL_E_PEER);
        cr_expect_eq(with_sizes(WH_COLL_ALL_TO_ALL_V, counts[i],
                                (uint64_t[]){1, huge / 2 + 1, huge / 2 + 1}),
                     WHORL_E_PEER);
    }
}
