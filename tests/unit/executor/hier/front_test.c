/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that call different things find out, whatever these are and wherever they are. */
#include "world.h"

#include "executor/cpu/run.h"

#include <criterion/criterion.h>

/* One rank's call: over links after its front, or as a composition. */
struct caller {
    const struct call_rank *call;
    struct world_choices choices;
    const struct wh_algo *flat; /* NULL: a composition */
    struct wh_plan *plan;
    bool is_started, in_front, is_done;
};

static void open_world(struct world *w, const struct world_shape *shape, uint64_t seed)
{
    world_open(w, shape, &(struct world_choices){.algo = NULL}, seed);
}

/* ---- driving -------------------------------------------------------------------------------- */

static void start(struct world *w, struct caller *c, uint32_t rank)
{
    struct wh_hier *hier = w->hiers[rank];
    hier->env.ctx = &c->choices;
    if (c->flat == NULL) {
        cr_assert_eq(wh_hier_start(hier, c->call->coll, c->call->root, &c->call->op), WHORL_OK);
    } else {
        const struct wh_problem problem = {c->call->coll, rank, w->n, c->call->root};
        struct wh_sched *sched;
        cr_assert_eq(wh_algo_build(c->flat, &problem, &sched), WHORL_OK);
        cr_assert_eq(wh_plan_create(sched, w->wires[rank], NULL, &c->plan), WHORL_OK);
        cr_assert_eq(wh_hier_start_front(hier, c->call->coll, c->call->root, &c->call->op,
                                         c->flat->name),
                     WHORL_OK);
        c->in_front = true;
    }
    c->is_started = true;
}

static whorl_result_t advance(struct world *w, struct caller *c, uint32_t rank, bool *moved_out)
{
    if (!c->is_started) {
        start(w, c, rank);
        *moved_out = true;
    }
    if (c->plan != NULL && !c->in_front) {
        return wh_run_advance(c->plan, moved_out);
    }
    whorl_result_t rc = wh_hier_advance(w->hiers[rank], moved_out);
    wh_hier_wake(w->hiers[rank]);
    if (rc == WHORL_OK && c->in_front) {
        c->in_front = false;
        cr_assert_eq(wh_run_start(c->plan, &c->call->op), WHORL_OK);
        *moved_out = true;
        return WHORL_IN_PROGRESS;
    }
    return rc;
}

/* WHORL_OK: all ranks are done; WHORL_IN_PROGRESS: nobody can go on; or the first failure. */
static whorl_result_t drive(struct world *w, struct caller *callers)
{
    uint32_t nleft = w->n, idle = 0, sweep = 0;
    while (nleft > 0 && idle <= 8 * w->n) {
        bool is_sweep = idle > 4 * w->n;
        uint32_t r = is_sweep ? sweep++ % w->n : (uint32_t)(ref_random(&w->random) % w->n);
        bool moved = false;
        if (!callers[r].is_done) {
            whorl_result_t rc = advance(w, &callers[r], r, &moved);
            if (rc == WHORL_OK) {
                callers[r].is_done = true;
                moved = true;
                nleft--;
            } else if (rc != WHORL_IN_PROGRESS) {
                return rc;
            }
        }
        idle = moved ? 0 : idle + 1;
    }
    return nleft == 0 ? WHORL_OK : WHORL_IN_PROGRESS;
}

static void end(struct world *w, struct caller *callers)
{
    for (uint32_t r = 0; r < w->n; r++) {
        wh_plan_destroy(callers[r].plan);
        callers[r].plan = NULL;
    }
}

/* ---- what may be called --------------------------------------------------------------------- */

struct item {
    const char *way; /* "leader", "rails", or the name of a schedule over links */
    struct call_spec spec;
};

#define ITEM(WAY, COLL, ROOT, COUNT)                                                               \
    {WAY, {.coll = WH_COLL_##COLL, .root = (ROOT), .count = (COUNT), .dtype = WHORL_INT32}}

/* No two are the same call. Few bytes and many; roots on all places of a host, and on others. */
static const struct item menu[] = {
    ITEM("leader", ALL_REDUCE, 0, 5),
    ITEM("rails", ALL_REDUCE, 0, 6),
    ITEM("leader", ALL_REDUCE, 0, 6000),
    ITEM("rails", ALL_REDUCE, 0, 60000),
    ITEM("ring", ALL_REDUCE, 0, 7),
    ITEM("tree", ALL_REDUCE, 0, 6001),
    {"leader", {.coll = WH_COLL_ALL_REDUCE, .count = 5, .dtype = WHORL_FLOAT32}},
    {"leader", {.coll = WH_COLL_ALL_REDUCE, .count = 5, .dtype = WHORL_INT32, .redop = WHORL_MAX}},
    ITEM("leader", BROADCAST, 0, 5),
    ITEM("leader", BROADCAST, 1, 5),
    ITEM("leader", BROADCAST, 2, 5),
    ITEM("leader", BROADCAST, 3, 5),
    ITEM("rails", BROADCAST, 1, 6000),
    ITEM("rails", BROADCAST, 2, 60000),
    ITEM("chain", BROADCAST, 1, 6001),
    ITEM("chain", BROADCAST, 3, 6001),
    ITEM("knomial", BROADCAST, 2, 8),
    ITEM("leader", REDUCE, 0, 5),
    ITEM("leader", REDUCE, 1, 5),
    ITEM("leader", REDUCE, 2, 5),
    ITEM("leader", REDUCE, 3, 6000),
    ITEM("rails", REDUCE, 1, 6000),
    ITEM("rails", REDUCE, 3, 60000),
    ITEM("chain", REDUCE, 1, 7),
    ITEM("tree", REDUCE, 2, 7),
    ITEM("leader", ALL_GATHER, 0, 5),
    ITEM("rails", ALL_GATHER, 0, 6000),
    ITEM("ring", ALL_GATHER, 0, 6),
    ITEM("leader", REDUCE_SCATTER, 0, 5),
    ITEM("rails", REDUCE_SCATTER, 0, 6000),
    ITEM("direct", REDUCE_SCATTER, 0, 6),
    ITEM("rails", ALL_TO_ALL, 0, 5),
    ITEM("leader", BARRIER, 0, 0),
};
enum { NITEMS = sizeof(menu) / sizeof(menu[0]) };

static bool is_composed(const struct item *item)
{
    return strcmp(item->way, "leader") == 0 || strcmp(item->way, "rails") == 0;
}

/* Does the call exist in this world? A composition that does not fit is replaced by the other. */
static bool exists(struct world *w, const struct item *item)
{
    const struct wh_op op = {.count = 1, .dtype = WHORL_INT32, .redop = WHORL_SUM};
    return item->spec.root < w->n &&
           (!is_composed(item) || wh_hier_fits(w->hiers[0], item->spec.coll, 0, &op));
}

static struct caller caller_of(const struct item *item, const struct call *call, uint32_t rank)
{
    struct caller c = {.call = &call->ranks[rank], .choices = {.algo = item->way}};
    c.choices.local = wh_fabric_shared_memory(1, 4096);
    c.choices.net = c.choices.local;
    c.choices.net.message_ns *= 50;
    if (!is_composed(item)) {
        c.flat = wh_algo_find(item->spec.coll, item->way);
        cr_assert_not_null(c.flat, "%s %s", wh_coll_str(item->spec.coll), item->way);
    }
    return c;
}

static void signature_text(const struct call_rank *call, char *text, size_t text_nbytes)
{
    const struct wh_signature sig = {.count = call->op.count,
                                     .root = call->root,
                                     .coll = (uint8_t)call->coll,
                                     .dtype = (uint8_t)call->op.dtype,
                                     .redop = call->op.redop};
    wh_signature_print(&sig, text, text_nbytes);
}

/* ---- what must come out --------------------------------------------------------------------- */

/* Is one of these ranks named with its call? */
static bool names(const char *error, const struct world *w, uint64_t ranks,
                  const struct call_rank *call)
{
    char what[128], want[192];
    signature_text(call, what, sizeof(what));
    for (uint32_t r = 0; r < w->n; r++) {
        snprintf(want, sizeof(want), "rank %u called %s as operation 7", r, what);
        if ((ranks >> r & 1) != 0 && strstr(error, want) != NULL) {
            return true;
        }
    }
    return false;
}

static void expect_mismatch(const struct world_shape *shape, const struct item *some,
                            const struct item *other, struct call *const *calls, uint64_t others,
                            uint64_t seed)
{
    struct world w;
    open_world(&w, shape, seed);
    const uint64_t all = (UINT64_C(1) << w.n) - 1;
    if (exists(&w, some) && exists(&w, other)) {
        struct caller callers[WORLD_RANKS_MAX];
        for (uint32_t r = 0; r < w.n; r++) {
            bool is_other = (others >> r & 1) != 0;
            callers[r] = caller_of(is_other ? other : some, calls[is_other], r);
        }
        whorl_result_t rc = drive(&w, callers);
        char text[8192], first[128], second[128];
        signature_text(&calls[0]->ranks[0], first, sizeof(first));
        signature_text(&calls[1]->ranks[0], second, sizeof(second));
        world_print(&w, text, sizeof(text));
        cr_assert_eq(rc, WHORL_E_MISMATCH, "%s by %s, and %s by %s on ranks %llx: %d %s%s", first,
                     some->way, second, other->way, (unsigned long long)others, rc,
                     rc == WHORL_OK ? "" : wh_error_get(), text);
        cr_assert(names(wh_error_get(), &w, all & ~others, &calls[0]->ranks[0]) &&
                      names(wh_error_get(), &w, others, &calls[1]->ranks[0]),
                  "%s and %s on ranks %llx: %s", first, second, (unsigned long long)others,
                  wh_error_get());
        end(&w, callers);
    }
    world_close(&w);
}

static uint32_t count_ranks(const struct world_shape *shape)
{
    uint32_t n = 0;
    for (uint32_t h = 0; shape->nlocal[h] > 0; h++) {
        n += shape->nlocal[h];
    }
    return n;
}

/* Every two calls of the menu: one rank that calls the other one, a host that does, any ranks. */
static void try_pairs(const struct world_shape *shape)
{
    uint64_t seed = 1;
    const uint32_t n = count_ranks(shape);
    const uint64_t all = (UINT64_C(1) << n) - 1, first_host = (UINT64_C(1) << shape->nlocal[0]) - 1;
    struct call *calls[NITEMS] = {NULL};
    for (uint32_t i = 0; i < NITEMS; i++) {
        if (menu[i].spec.root < n) {
            calls[i] = call_create(&menu[i].spec, n);
        }
        for (uint32_t r = 0; r < n && calls[i] != NULL; r++) {
            calls[i]->ranks[r].op.seq = 7;
        }
    }
    for (uint32_t i = 0; i < NITEMS; i++) {
        for (uint32_t j = 0; j < i; j++) {
            struct call *const pair[] = {calls[i], calls[j]};
            const uint64_t odd = UINT64_C(1) << (ref_random(&seed) % n);
            const uint64_t any = ref_random(&seed) & all;
            const uint64_t sets[] = {odd, all & ~odd, first_host,
                                     any != 0 && any != all ? any : odd};
            for (size_t k = 0; k < 4 && pair[0] != NULL && pair[1] != NULL; k++) {
                expect_mismatch(shape, &menu[i], &menu[j], pair, sets[k], ref_random(&seed));
            }
        }
    }
    for (uint32_t i = 0; i < NITEMS; i++) {
        if (calls[i] != NULL) {
            call_destroy(calls[i]);
        }
    }
}

Test(hier_front, all_pairs_of_calls_are_told_apart_on_two_hosts_of_two)
{
    try_pairs(&(struct world_shape){.nlocal = {2, 2}});
}

Test(hier_front, all_pairs_of_calls_are_told_apart_on_three_and_one)
{
    try_pairs(&(struct world_shape){.nlocal = {3, 1}});
}

Test(hier_front, all_pairs_of_calls_are_told_apart_on_one_and_two)
{
    try_pairs(&(struct world_shape){.nlocal = {1, 2}});
}

Test(hier_front, all_pairs_of_calls_are_told_apart_on_three_hosts)
{
    try_pairs(&(struct world_shape){.nlocal = {2, 1, 3}});
}

Test(hier_front, all_pairs_of_calls_are_told_apart_on_five_hosts)
{
    try_pairs(&(struct world_shape){.nlocal = {2, 2, 2, 2, 2}});
}

/* ---- no false alarm ------------------------------------------------------------------------- */

/* All calls of the menu one after the other, in any order: what a front leaves behind does not
 * disturb the next call, and every byte is right. */
static void play_menu(const struct world_shape *shape, uint64_t seed)
{
    struct world w;
    open_world(&w, shape, seed);
    struct wh_plan *plans[3 * NITEMS * WORLD_RANKS_MAX];
    struct caller callers[WORLD_RANKS_MAX]; /* choices are asked for between calls too */
    size_t nplans = 0;
    for (uint32_t i = 0; i < 3 * NITEMS; i++) {
        const struct item *item = &menu[ref_random(&seed) % NITEMS];
        /* Floats depend on the order of combining. */
        if (!exists(&w, item) || item->spec.dtype == WHORL_FLOAT32) {
            continue;
        }
        struct call *call = call_create(&item->spec, w.n);
        for (uint32_t r = 0; r < w.n; r++) {
            call->ranks[r].op.seq = i + 1;
            callers[r] = caller_of(item, call, r);
        }
        whorl_result_t rc = drive(&w, callers);
        cr_assert_eq(rc, WHORL_OK, "%s by %s: %d %s", wh_coll_str(item->spec.coll), item->way, rc,
                     wh_error_get());
        call_check(call);
        call_destroy(call);
        /* Their links may still hold what the slowest has to read. */
        for (uint32_t r = 0; r < w.n; r++) {
            plans[nplans] = callers[r].plan;
            nplans += callers[r].plan != NULL;
        }
    }
    for (size_t i = 0; i < nplans; i++) {
        wh_plan_destroy(plans[i]);
    }
    world_close(&w);
}

Test(hier_front, is_no_false_alarm)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        play_menu(&(struct world_shape){.nlocal = {2, 2}}, seed);
        play_menu(&(struct world_shape){.nlocal = {3, 1}}, seed);
        play_menu(&(struct world_shape){.nlocal = {2, 2, 2}}, seed);
        play_menu(&(struct world_shape){.nlocal = {2, 1, 1, 3}}, seed);
    }
}

/* ---- what it costs -------------------------------------------------------------------------- */

/* Which fronts rank 0 of two hosts of two finds to be needed. */
static void expect_front(const char *way, enum wh_coll coll, uint32_t root, bool meets, bool greets)
{
    struct world w;
    open_world(&w, &(struct world_shape){.nlocal = {2, 2}}, 1);
    struct call *call = call_create(
        &(struct call_spec){.coll = coll, .root = root, .count = 5, .dtype = WHORL_INT32}, w.n);
    const struct item item = {way, call->spec};
    struct caller c = caller_of(&item, call, 0);
    start(&w, &c, 0);
    const struct hier_run *run = &w.hiers[0]->run;
    cr_expect_eq(run->meeting != HIER_FRONT_NONE, meets, "%s %s", wh_coll_str(coll), way);
    cr_expect_eq(run->greeting != HIER_FRONT_NONE, greets, "%s %s", wh_coll_str(coll), way);
    wh_plan_destroy(c.plan);
    call_destroy(call);
    world_close(&w);
}

Test(hier_front, is_left_out_where_the_call_begins_with_it)
{
    expect_front("rails", WH_COLL_ALL_REDUCE, 0, false, false);
    expect_front("rails", WH_COLL_REDUCE_SCATTER, 0, false, false);
    expect_front("rails", WH_COLL_ALL_TO_ALL, 0, false, false);
    expect_front("leader", WH_COLL_BARRIER, 0, false, false);
    expect_front("leader", WH_COLL_ALL_REDUCE, 0, true, false); /* begins with a reduce */
    expect_front("leader", WH_COLL_BROADCAST, 0, true, false);
    expect_front("leader", WH_COLL_BROADCAST, 1, true, true); /* on the other rail */
    expect_front("leader", WH_COLL_REDUCE, 3, true, true);
    expect_front("rails", WH_COLL_ALL_GATHER, 0, true, false); /* the rail comes first */
    expect_front("ring", WH_COLL_ALL_REDUCE, 0, true, true);   /* over links */
}

/* ---- what people read ----------------------------------------------------------------------- */

static void expect_where(const struct world *w, uint32_t rank, const char *want)
{
    char text[512];
    wh_hier_describe(w->hiers[rank], text, sizeof(text));
    cr_expect_str_eq(text, want);
}

Test(hier_front, tells_who_waits_for_whom)
{
    struct world w;
    open_world(&w, &(struct world_shape){.nlocal = {2, 2}}, 1);
    const struct item item = ITEM("ring", ALL_REDUCE, 0, 5);
    struct call *call = call_create(&item.spec, w.n);
    struct caller callers[4];
    for (uint32_t r = 0; r < 4; r++) {
        callers[r] = caller_of(&item, call, r);
    }
    for (int round = 0; round < 20; round++) {
        bool moved;
        cr_assert_eq(advance(&w, &callers[0], 0, &moved), WHORL_IN_PROGRESS);
        cr_assert_eq(advance(&w, &callers[3], 3, &moved), WHORL_IN_PROGRESS);
    }
    expect_where(&w, 0,
                 "algorithm ring; greeting of the hosts: algorithm greeting; lane 0 step 2 of 2, "
                 "pass 1 of 1 receives from rank 2; meeting in the host: waits for rank 1, which "
                 "has not made this call");
    expect_where(&w, 3,
                 "algorithm ring; meeting in the host: waits for rank 2, which has not made this "
                 "call");
    cr_expect_str_eq(wh_hier_algo(w.hiers[0]), "ring");
    for (uint32_t r = 0; r < 4; r++) {
        wh_hier_leave(w.hiers[r]);
        wh_plan_destroy(callers[r].plan);
    }
    call_destroy(call);
    world_close(&w);
}
