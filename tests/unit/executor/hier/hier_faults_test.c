/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that call different things, and ranks that are late. */
#include "world.h"

#include <criterion/criterion.h>

static const struct world_shape two_by_two = {.nlocal = {2, 2}};

/* Rank `odd` makes another call than all others; somebody must say so, and name both. */
static void expect_mismatch(const char *algo, uint32_t odd, const struct call_spec *usual,
                            const struct call_spec *other, const char *usual_text,
                            const char *other_text)
{
    struct world w;
    world_open(&w, &two_by_two, &(struct world_choices){.algo = algo}, odd);
    struct call *call = call_create(usual, w.n), *odd_call = call_create(other, w.n);
    for (uint32_t r = 0; r < w.n; r++) {
        call->ranks[r].op.seq = 7;
        odd_call->ranks[r].op.seq = 7;
    }
    struct call_rank mine = call->ranks[odd];
    call->ranks[odd] = odd_call->ranks[odd];
    uint32_t who;
    cr_expect_eq(world_drive(&w, &call, 1, &who), WHORL_E_MISMATCH);
    cr_expect_not_null(strstr(wh_error_get(), usual_text), "%s", wh_error_get());
    cr_expect_not_null(strstr(wh_error_get(), other_text), "%s", wh_error_get());
    cr_expect_not_null(strstr(wh_error_get(), "as operation 7"), "%s", wh_error_get());
    call->ranks[odd] = mine;
    call_destroy(odd_call);
    call_destroy(call);
    world_close(&w);
}

Test(hier_faults, other_calls_are_named_as_the_user_made_them)
{
    const struct call_spec sum = {.coll = WH_COLL_ALL_REDUCE, .count = 5000, .dtype = WHORL_INT32};
    struct call_spec max = sum, longer = sum, elsewhere = sum;
    max.redop = WHORL_MAX;
    longer.count = 5001;
    elsewhere.coll = WH_COLL_BROADCAST;
    elsewhere.root = 2;
    for (uint32_t odd = 0; odd < 4; odd++) {
        const char *algo = odd % 2 == 0 ? "rails" : "leader";
        expect_mismatch(algo, odd, &sum, &max, "all_reduce(count 5000, int32, sum)",
                        "all_reduce(count 5000, int32, max)");
        expect_mismatch(algo, odd, &sum, &longer, "all_reduce(count 5000, int32, sum)",
                        "all_reduce(count 5001, int32, sum)");
        expect_mismatch(algo, odd, &sum, &elsewhere, "all_reduce(count 5000, int32, sum)",
                        "broadcast(count 5000, int32, root 2)");
    }
}

/* Hosts whose ranks agree among themselves find out on the rail. */
Test(hier_faults, hosts_that_differ_find_out_between_each_other)
{
    struct world w;
    world_open(&w, &two_by_two, &(struct world_choices){.algo = "rails"}, 3);
    const struct call_spec some = {.coll = WH_COLL_ALL_REDUCE, .count = 100, .dtype = WHORL_INT32};
    struct call_spec more = some;
    more.count = 101;
    struct call *call = call_create(&some, w.n), *other = call_create(&more, w.n);
    struct call_rank mine[2] = {call->ranks[2], call->ranks[3]};
    call->ranks[2] = other->ranks[2];
    call->ranks[3] = other->ranks[3];
    uint32_t who;
    cr_expect_eq(world_drive(&w, &call, 1, &who), WHORL_E_MISMATCH);
    cr_expect_not_null(strstr(wh_error_get(), "called all_reduce(count 101, int32, sum)"), "%s",
                       wh_error_get());
    call->ranks[2] = mine[0];
    call->ranks[3] = mine[1];
    call_destroy(other);
    call_destroy(call);
    world_close(&w);
}

/* All ranks but one go on as far as they can. */
static void drive_without(struct world *w, const struct call *call, uint32_t late)
{
    for (uint32_t r = 0; r < w->n; r++) {
        if (r != late) {
            cr_assert_eq(wh_hier_start(w->hiers[r], call->ranks[r].coll, call->ranks[r].root,
                                       &call->ranks[r].op),
                         WHORL_OK);
        }
    }
    for (int round = 0; round < 100; round++) {
        for (uint32_t r = 0; r < w->n; r++) {
            bool moved = false;
            if (r != late) {
                cr_assert_eq(wh_hier_advance(w->hiers[r], &moved), WHORL_IN_PROGRESS);
            }
        }
    }
}

static void expect_where(const struct world *w, uint32_t rank, const char *want)
{
    char text[512];
    wh_hier_describe(w->hiers[rank], text, sizeof(text));
    cr_expect_str_eq(text, want);
}

Test(hier_faults, who_waits_for_whom_is_told)
{
    struct world_choices choices = {.algo = "leader"};
    choices.rails[WH_COLL_ALL_REDUCE] = "ring";
    struct world w;
    world_open(&w, &two_by_two, &choices, 1);
    expect_where(&w, 0, "nothing is going on");
    const struct call_spec spec = {.coll = WH_COLL_ALL_REDUCE, .count = 10, .dtype = WHORL_INT32};
    struct call *call = call_create(&spec, w.n);
    drive_without(&w, call, 3);
    expect_where(&w, 2,
                 "algorithm leader; piece 1 of 1, phase 1 of 3 (reduce in the host): waits for "
                 "rank 3, which has not made this call");
    expect_where(&w, 0,
                 "algorithm leader; piece 1 of 1, phase 2 of 3 (all_reduce between hosts): "
                 "algorithm ring; lane 0 step 2 of 3, pass 1 of 1 receives from rank 2 sends to "
                 "rank 2");
    expect_where(&w, 1,
                 "algorithm leader; piece 1 of 1, phase 3 of 3 (broadcast in the host): waits for "
                 "rank 0");
    struct wh_signature sig;
    wh_hier_signature(w.hiers[1], &sig);
    cr_expect_eq(sig.coll, WH_COLL_ALL_REDUCE);
    cr_expect_eq(sig.count, 10);
    for (uint32_t r = 0; r < 3; r++) {
        wh_hier_leave(w.hiers[r]); /* in the arena or not */
    }
    call_destroy(call);
    world_close(&w);
}

Test(hier_faults, what_has_no_composition_goes_another_way)
{
    struct world w;
    world_open(&w, &two_by_two, &(struct world_choices){.algo = NULL}, 1);
    struct wh_op op = {.count = 10, .dtype = WHORL_INT32, .redop = WHORL_SUM};
    cr_expect(wh_hier_fits(w.hiers[0], WH_COLL_ALL_REDUCE, 0, &op));
    cr_expect_not(wh_hier_fits(w.hiers[0], WH_COLL_GATHER, 0, &op));
    cr_expect_not(wh_hier_fits(w.hiers[0], WH_COLL_ALL_GATHER_V, 0, &op));
    cr_expect_not(wh_hier_fits(w.hiers[0], WH_COLL_SEND, 1, &op));
    op.redop = WH_REDOP_USER;
    cr_expect_not(wh_hier_fits(w.hiers[0], WH_COLL_ALL_REDUCE, 0, &op));
    world_close(&w);
}
