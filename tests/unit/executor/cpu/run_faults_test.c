/* SPDX-License-Identifier: Apache-2.0 */
/* Runs that cannot succeed: ranks that disagree, messages out of place, links that fail. */
#include "base/log.h"
#include "trial.h"

static void expect_text(const char *part)
{
    cr_expect_not_null(strstr(wh_error_get(), part), "\"%s\" has no \"%s\"", wh_error_get(), part);
}

/* ---- ranks that made different calls --------------------------------------------------------- */

struct call {
    enum wh_coll coll;
    const char *algo;
    uint32_t root;
    size_t count;
    whorl_dtype_t dtype;
    uint8_t redop;
    uint64_t seq;
    const char *text;
};

static const struct call base_call = {
    WH_COLL_ALL_REDUCE, "ring", 0, 6, WHORL_INT32, WHORL_SUM, 3, "all_reduce(count 6, int32, sum)"};

/* Rank 2 of three makes another call than the others. Whoever finds out, both calls are named. */
static void expect_mismatch(const struct call *usual, const struct call *other)
{
    static uint8_t in[3][256], out[3][256];
    struct world world = world_open(3, 2, 512, NULL);
    struct wh_plan *plans[3];
    for (uint32_t r = 0; r < 3; r++) {
        const struct call *call = r == 2 ? other : usual;
        plans[r] = world_plan(&world, r, wh_algo_find(call->coll, call->algo), call->root);
        struct wh_op op = {.input = in[r],
                           .output = out[r],
                           .count = call->count,
                           .dtype = call->dtype,
                           .redop = call->redop,
                           .seq = call->seq};
        cr_assert_eq(wh_run_start(plans[r], &op), WHORL_OK);
    }
    uint32_t who = 0;
    cr_expect_eq(world_drive(&world, plans, &who), WHORL_E_MISMATCH);
    char mine[160], theirs[160];
    const struct call *first = who == 2 ? other : usual, *second = who == 2 ? usual : other;
    snprintf(mine, sizeof(mine), "rank %u called %s as operation %u,", who, first->text,
             (unsigned)first->seq);
    snprintf(theirs, sizeof(theirs), "called %s as operation %u", second->text,
             (unsigned)second->seq);
    expect_text(mine);
    expect_text(theirs);
    for (uint32_t r = 0; r < 3; r++) {
        wh_plan_destroy(plans[r]);
    }
    world_close(&world);
}

Test(run_faults, a_rank_with_another_call_is_found_out_and_both_are_named)
{
    struct call other = base_call;
    other.count = 7;
    other.text = "all_reduce(count 7, int32, sum)";
    expect_mismatch(&base_call, &other);

    other = base_call;
    other.dtype = WHORL_FLOAT32;
    other.text = "all_reduce(count 6, float32, sum)";
    expect_mismatch(&base_call, &other);

    other = base_call;
    other.redop = WHORL_MAX;
    other.text = "all_reduce(count 6, int32, max)";
    expect_mismatch(&base_call, &other);

    other = base_call;
    other.seq = 4;
    expect_mismatch(&base_call, &other);

    other = base_call;
    other.redop = WH_REDOP_PREMUL_SUM;
    other.text = "all_reduce(count 6, int32, premulsum)";
    expect_mismatch(&base_call, &other);
}

Test(run_faults, a_rank_in_another_collective_is_found_out_whatever_the_algorithms)
{
    static const struct call others[] = {
        {WH_COLL_BARRIER, "dissemination", 0, 0, WHORL_UINT8, WH_REDOP_NONE, 3, "barrier()"},
        {WH_COLL_ALL_GATHER, "ring", 0, 6, WHORL_INT32, WH_REDOP_NONE, 3,
         "all_gather(count 6, int32)"},
        {WH_COLL_REDUCE_SCATTER, "direct", 0, 6, WHORL_INT32, WHORL_SUM, 3,
         "reduce_scatter(count 6, int32, sum)"},
        {WH_COLL_BROADCAST, "chain", 1, 6, WHORL_INT32, WH_REDOP_NONE, 3,
         "broadcast(count 6, int32, root 1)"},
        {WH_COLL_BROADCAST, "tree", 2, 6, WHORL_INT32, WH_REDOP_NONE, 3,
         "broadcast(count 6, int32, root 2)"},
        {WH_COLL_REDUCE, "knomial", 2, 6, WHORL_INT32, WHORL_SUM, 3,
         "reduce(count 6, int32, sum, root 2)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        expect_mismatch(&base_call, &others[i]);
        for (size_t j = 0; j < i; j++) {
            expect_mismatch(&others[i], &others[j]);
        }
    }
}

Test(run_faults, a_receiver_of_another_size_calls_it_a_receive)
{
    struct world world = world_open(2, 2, 512, NULL);
    struct wh_plan *plans[2];
    int32_t in[2] = {1, 2}, out[2];
    world_plans(&world, wh_algo_find(WH_COLL_SEND, "p2p"), 0, plans);
    struct wh_op send = {
        .input = in, .count = 2, .dtype = WHORL_INT32, .redop = WH_REDOP_NONE, .seq = 1};
    struct wh_op recv = {
        .output = out, .count = 1, .dtype = WHORL_INT32, .redop = WH_REDOP_NONE, .seq = 1};
    cr_assert_eq(wh_run_start(plans[0], &send), WHORL_OK);
    cr_assert_eq(wh_run_start(plans[1], &recv), WHORL_OK);
    uint32_t who = 9;
    cr_expect_eq(world_drive(&world, plans, &who), WHORL_E_MISMATCH);
    cr_expect_eq(who, 1);
    expect_text("rank 1 called recv(count 1, int32) as operation 1");
    expect_text("rank 0 called send(count 2, int32) as operation 1");
    wh_plan_destroy(plans[0]);
    wh_plan_destroy(plans[1]);
    world_close(&world);
}

/* ---- messages that do not belong ------------------------------------------------------------- */

/* Rank 1 receives 300 int32 in passes of 512 bytes; the test plays rank 0. */
struct forged {
    struct world world;
    struct wh_plan *plan;
    struct wh_link *link;
    int32_t out[300];
};

static void forged_open(struct forged *f)
{
    f->world = world_open(2, 4, 512, NULL);
    f->plan = world_plan(&f->world, 1, wh_algo_find(WH_COLL_RECV, "p2p"), 0);
    cr_assert_eq(wh_wire_link(f->world.wires[0], 1, WH_CHANNEL_P2P, true, &f->link), WHORL_OK);
    struct wh_op op = {
        .output = f->out, .count = 300, .dtype = WHORL_INT32, .redop = WH_REDOP_NONE, .seq = 1};
    cr_assert_eq(wh_run_start(f->plan, &op), WHORL_OK);
}

static void forged_close(struct forged *f)
{
    wh_plan_destroy(f->plan);
    world_close(&f->world);
}

static whorl_result_t forged_post(struct forged *f, const struct wh_msg_place *place, size_t nbytes)
{
    struct wh_slot slot;
    bool moved = false;
    cr_assert_eq(f->link->ops->acquire(f->link, &slot), WHORL_OK);
    wh_msg_head_encode(f->plan->encoded, place, slot.head);
    memset(slot.data, 1, nbytes);
    cr_assert_eq(f->link->ops->post(f->link, nbytes), WHORL_OK);
    return wh_run_advance(f->plan, &moved);
}

Test(run_faults, the_message_that_belongs_is_taken)
{
    struct forged f;
    forged_open(&f);
    cr_expect_eq(forged_post(&f, &(struct wh_msg_place){0, 0, 1}, 512), WHORL_IN_PROGRESS);
    cr_expect_eq(forged_post(&f, &(struct wh_msg_place){1, 0, 1}, 512), WHORL_IN_PROGRESS);
    cr_expect_eq(forged_post(&f, &(struct wh_msg_place){2, 0, 1}, 176), WHORL_OK);
    cr_expect_eq(f.out[299], 0x01010101);
    forged_close(&f);
}

Test(run_faults, a_message_of_the_wrong_place_or_size_is_a_mismatch)
{
    static const struct {
        struct wh_msg_place place;
        size_t nbytes;
    } rows[] = {
        {{1, 0, 1}, 512},
        {{0, 1, 1}, 512},
        {{0, 0, 2}, 512},
        {{0, 0, 0}, 512},
        {{0, 0, 1}, 508},
        {{0, 0, 1}, 0},
        {{UINT32_MAX, UINT32_MAX, UINT32_MAX}, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct forged f;
        forged_open(&f);
        cr_expect_eq(forged_post(&f, &rows[i].place, rows[i].nbytes), WHORL_E_MISMATCH, "row %zu",
                     i);
        expect_text("rank 1 in recv(count 300, int32), algorithm p2p");
        expect_text("a message of rank 0 that does not belong there");
        expect_text("WHORL_BUFFSIZE");
        forged_close(&f);
    }
}

Test(run_faults, a_head_of_any_bytes_is_a_mismatch_and_no_crash)
{
    for (uint64_t i = 0; i < 200; i++) {
        struct forged f;
        struct wh_slot slot;
        bool moved = false;
        forged_open(&f);
        cr_assert_eq(f.link->ops->acquire(f.link, &slot), WHORL_OK);
        for (size_t b = 0; b < WH_SLOT_HEAD_NBYTES; b++) {
            ((uint8_t *)slot.head)[b] = (uint8_t)mix(i * 64 + b);
        }
        cr_assert_eq(f.link->ops->post(f.link, (size_t)(mix(i) % 513)), WHORL_OK);
        cr_expect_eq(wh_run_advance(f.plan, &moved), WHORL_E_MISMATCH);
        forged_close(&f);
    }
}

/* Ranks with different settings make the same call. */
Test(run_faults, ranks_with_different_slots_are_told_to_compare_settings)
{
    struct world world = world_open(2, 2, 512, NULL);
    static int32_t in[400], out[400];
    const struct wh_algo *send_row = wh_algo_find(WH_COLL_SEND, "p2p");
    struct wh_plan *plans[2] = {world_plan(&world, 0, send_row, 1)};
    plans[1] = world_plan(&world, 1, wh_algo_find(WH_COLL_RECV, "p2p"), 0);
    plans[1]->chunk_nbytes = 256; /* as if its slots were half as large */
    struct wh_op op = {.input = in,
                       .output = out,
                       .count = 400,
                       .dtype = WHORL_INT32,
                       .redop = WH_REDOP_NONE,
                       .seq = 1};
    cr_assert_eq(wh_run_start(plans[0], &op), WHORL_OK);
    cr_assert_eq(wh_run_start(plans[1], &op), WHORL_OK);
    uint32_t who = 0;
    cr_expect_eq(world_drive(&world, plans, &who), WHORL_E_MISMATCH);
    expect_text("do the ranks have the same settings");
    wh_plan_destroy(plans[0]);
    wh_plan_destroy(plans[1]);
    world_close(&world);
}

/* ---- links that fail ------------------------------------------------------------------------- */

/* An all_reduce of four ranks, 36 messages each, with faults on rank 2: what came of it, and whose
 * result that is. */
static whorl_result_t run_with(struct loop_faults faults, uint32_t *who_out)
{
    static int32_t in[4][3000], out[4][3000];
    faults.is_one_rank = true;
    faults.rank = 2;
    struct world world = world_open(4, 2, 512, &faults);
    struct wh_plan *plans[4];
    world_plans(&world, wh_algo_find(WH_COLL_ALL_REDUCE, "ring"), 0, plans);
    for (uint32_t r = 0; r < 4; r++) {
        struct wh_op op = {.input = in[r],
                           .output = out[r],
                           .count = 3000,
                           .dtype = WHORL_INT32,
                           .redop = WHORL_SUM,
                           .seq = 1};
        cr_assert_eq(wh_run_start(plans[r], &op), WHORL_OK);
    }
    whorl_result_t rc = world_drive(&world, plans, who_out);
    for (uint32_t r = 0; r < 4; r++) {
        wh_plan_destroy(plans[r]);
    }
    world_close(&world);
    return rc;
}

Test(run_faults, what_a_link_says_comes_out_as_it_is)
{
    static const uint64_t when[] = {1, 2, 17, 36};
    for (size_t i = 0; i < ARRAY_LEN(when); i++) {
        uint32_t who = 9;
        struct loop_faults faults = {.fail_acquire = when[i], .failure = WHORL_E_PEER};
        cr_expect_eq(run_with(faults, &who), WHORL_E_PEER);
        cr_expect_eq(who, 2);
        faults = (struct loop_faults){.fail_post = when[i], .failure = WHORL_E_SYS};
        cr_expect_eq(run_with(faults, &who), WHORL_E_SYS);
        cr_expect_eq(who, 2);
        faults = (struct loop_faults){.fail_poll = when[i], .failure = WHORL_E_NOMEM};
        cr_expect_eq(run_with(faults, &who), WHORL_E_NOMEM);
        cr_expect_eq(who, 2);
        expect_text("poll");
    }
}

Test(run_faults, a_lost_message_ends_in_no_result_that_is_wrong)
{
    for (uint64_t lost = 1; lost <= 36; lost += 7) {
        uint32_t who = 0;
        whorl_result_t rc = run_with((struct loop_faults){.drop_post = lost}, &who);
        cr_expect(rc == WHORL_IN_PROGRESS || rc == WHORL_E_MISMATCH, "message %u: %d",
                  (unsigned)lost, rc);
    }
}

/* ---- what people read ------------------------------------------------------------------------ */

Test(run_faults, description_says_what_each_lane_waits_for)
{
    struct world world = world_open(3, 2, 512, NULL);
    struct wh_plan *plan = world_plan(&world, 1, wh_algo_find(WH_COLL_RECV, "p2p"), 2);
    int32_t out[300];
    struct wh_op op = {
        .output = out, .count = 300, .dtype = WHORL_INT32, .redop = WH_REDOP_NONE, .seq = 1};
    bool moved = false;
    char text[256];
    cr_assert_eq(wh_run_start(plan, &op), WHORL_OK);
    cr_expect_eq(wh_run_advance(plan, &moved), WHORL_IN_PROGRESS);
    wh_run_describe(plan, text, sizeof(text));
    cr_expect_str_eq(text, "algorithm p2p; lane 0 step 1 of 1, pass 1 of 3 receives from rank 2");
    wh_plan_destroy(plan);

    plan = world_plan(&world, 1, wh_algo_find(WH_COLL_ALL_REDUCE, "ring"), 0);
    op.input = out;
    op.redop = WHORL_SUM;
    cr_assert_eq(wh_run_start(plan, &op), WHORL_OK);
    cr_expect_eq(wh_run_advance(plan, &moved), WHORL_IN_PROGRESS);
    wh_run_describe(plan, text, sizeof(text));
    cr_expect_str_eq(text, "algorithm ring; lane 0 step 2 of 5, pass 1 of 1 receives from rank 0 "
                           "sends to rank 2");
    wh_plan_destroy(plan);
    world_close(&world);
}

Test(run_faults, description_fits_any_room)
{
    struct world world = world_open(9, 2, 512, NULL);
    for (size_t a = 0; a < wh_nalgos; a++) {
        struct wh_problem problem = {wh_algos[a]->coll, 4, 9, 1};
        if (wh_coll_is_p2p(problem.coll) ||
            (wh_algos[a]->fits != NULL && !wh_algos[a]->fits(&problem))) {
            continue;
        }
        struct wh_plan *plan = world_plan(&world, 4, wh_algos[a], 1);
        struct wh_op op = {.dtype = WHORL_INT8, .redop = WHORL_SUM, .seq = 1};
        cr_assert_eq(wh_run_start(plan, &op), WHORL_OK);
        for (size_t room = 1; room < 300; room++) {
            char text[300];
            memset(text, 'x', sizeof(text));
            wh_run_describe(plan, text, room);
            cr_expect_lt(strnlen(text, sizeof(text)), room);
        }
        wh_plan_destroy(plan);
    }
    world_close(&world);
}
