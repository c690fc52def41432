/* SPDX-License-Identifier: Apache-2.0 */
/* WHORL_ALGO: NCCL's examples mean here what they mean there, and what means nothing is refused. */
#include "algorithms/hier.h"
#include "base/log.h"
#include "tuner/select.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct wh_algo_mask parse(const char *text)
{
    struct wh_algo_mask mask = {0};
    cr_assert_eq(wh_algo_mask_parse(text, &mask), WHORL_OK, "%s: %s", text, wh_error_get());
    return mask;
}

static bool allows(struct wh_algo_mask mask, enum wh_coll coll, const char *name)
{
    for (size_t i = 0; i < wh_nalgos; i++) {
        if (wh_algos[i]->coll == coll && strcmp(wh_algos[i]->name, name) == 0) {
            return (mask.allowed >> i) & 1;
        }
    }
    cr_assert_fail("no %s %s", wh_coll_str(coll), name);
    return false;
}

/* How many algorithms of a collective are allowed. */
static int nallowed(struct wh_algo_mask mask, enum wh_coll coll)
{
    int n = 0;
    for (size_t i = 0; i < wh_nalgos; i++) {
        n += wh_algos[i]->coll == coll && ((mask.allowed >> i) & 1);
    }
    return n;
}

static int nall(enum wh_coll coll)
{
    return nallowed((struct wh_algo_mask){.allowed = UINT64_MAX}, coll);
}

static void expect_only(const char *text, enum wh_coll coll, const char *name)
{
    struct wh_algo_mask mask = parse(text);
    cr_expect(allows(mask, coll, name), "%s allows %s %s", text, wh_coll_str(coll), name);
    cr_expect_eq(nallowed(mask, coll), 1, "%s allows %d for %s", text, nallowed(mask, coll),
                 wh_coll_str(coll));
}

static void expect_all(const char *text, enum wh_coll coll)
{
    cr_expect_eq(nallowed(parse(text), coll), nall(coll), "%s for %s", text, wh_coll_str(coll));
}

Test(algo_mask, nothing_allows_everything)
{
    static const char *const texts[] = {"", ";", " ; ;", " "};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        for (int coll = 0; coll < WH_NCOLLS; coll++) {
            expect_all(texts[i], (enum wh_coll)coll);
        }
    }
}

Test(algo_mask, a_general_list_holds_for_every_function)
{
    expect_only("ring", WH_COLL_ALL_REDUCE, "ring");
    expect_only("ring", WH_COLL_ALL_GATHER, "ring");
    expect_only("ring", WH_COLL_REDUCE_SCATTER, "ring");
    expect_only("ring", WH_COLL_BROADCAST, "chain");
    expect_only("ring", WH_COLL_REDUCE, "chain");
}

Test(algo_mask, a_general_list_with_nothing_for_a_function_leaves_it_alone)
{
    expect_only("Tree", WH_COLL_BROADCAST, "tree");
    expect_only("Tree", WH_COLL_REDUCE, "tree");
    expect_all("Tree", WH_COLL_ALL_GATHER);
    expect_all("Tree", WH_COLL_BARRIER);
    expect_all("nvls", WH_COLL_ALL_REDUCE);
}

Test(algo_mask, a_hat_inverts_the_list)
{
    struct wh_algo_mask mask = parse("^tree");
    cr_expect_not(allows(mask, WH_COLL_BROADCAST, "tree"));
    cr_expect(allows(mask, WH_COLL_BROADCAST, "knomial"));
    cr_expect_eq(nallowed(mask, WH_COLL_BROADCAST), nall(WH_COLL_BROADCAST) - 1);

    mask = parse("^ring,tree");
    cr_expect_not(allows(mask, WH_COLL_ALL_REDUCE, "ring"));
    cr_expect_not(allows(mask, WH_COLL_REDUCE, "tree"));
    cr_expect_not(allows(mask, WH_COLL_REDUCE, "chain"));
    cr_expect_gt(nallowed(mask, WH_COLL_ALL_REDUCE), 0);
}

Test(algo_mask, a_list_for_a_function_overrides_the_general_one)
{
    struct wh_algo_mask mask = parse("ring;broadcast:tree,ring");
    cr_expect(allows(mask, WH_COLL_BROADCAST, "tree"));
    cr_expect(allows(mask, WH_COLL_BROADCAST, "chain"));
    cr_expect_eq(nallowed(mask, WH_COLL_BROADCAST), 2);
    expect_only("ring;broadcast:tree,ring", WH_COLL_ALL_REDUCE, "ring");
    expect_only("ring;broadcast:tree,ring", WH_COLL_REDUCE, "chain");
}

Test(algo_mask, nccls_examples_parse)
{
    static const char *const texts[] = {
        "ring",
        "^tree",
        "ring;allreduce:tree,ring",
        "allreduce:^nvls",
        "Tree",
        "RING,TREE",
        "allreduce:ring;allgather:pat",
        "^CollNetDirect,CollNetChain,NVLS,NVLSTree",
        "Broadcast:Ring;Reduce:Ring;AllGather:Ring;ReduceScatter:Ring;AllReduce:Ring",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct wh_algo_mask mask = parse(texts[i]);
        for (int coll = 0; coll < WH_NCOLLS; coll++) {
            bool any = nallowed(mask, (enum wh_coll)coll) > 0 ||
                       wh_algo_mask_has_arena(&mask, (enum wh_coll)coll);
            cr_expect(any, "%s for %s", texts[i], wh_coll_str((enum wh_coll)coll));
        }
    }
    expect_all("allreduce:^nvls", WH_COLL_ALL_REDUCE);
    expect_only("allgather:pat", WH_COLL_ALL_GATHER, "circulant");
    expect_only("ReduceScatter:PAT", WH_COLL_REDUCE_SCATTER, "circulant");
}

Test(algo_mask, case_underscores_and_blanks_do_not_matter)
{
    expect_only("ALLREDUCE:RING", WH_COLL_ALL_REDUCE, "ring");
    expect_only("all_reduce:ring", WH_COLL_ALL_REDUCE, "ring");
    expect_only(" all_reduce : ring ; ", WH_COLL_ALL_REDUCE, "ring");
    expect_only("reduce_scatter: ^direct, circulant", WH_COLL_REDUCE_SCATTER, "ring");
    expect_only("ring,", WH_COLL_ALL_GATHER, "ring");
    expect_only(",,ring", WH_COLL_ALL_GATHER, "ring");
}

Test(algo_mask, every_name_can_be_chosen_alone)
{
    static const struct {
        const char *name;
        enum wh_coll coll;
    } functions[] = {
        {"allreduce", WH_COLL_ALL_REDUCE},
        {"allgather", WH_COLL_ALL_GATHER},
        {"reducescatter", WH_COLL_REDUCE_SCATTER},
        {"broadcast", WH_COLL_BROADCAST},
        {"reduce", WH_COLL_REDUCE},
    };
    for (size_t f = 0; f < ARRAY_LEN(functions); f++) {
        for (size_t i = 0; i < wh_nalgos; i++) {
            if (wh_algos[i]->coll != functions[f].coll) {
                continue;
            }
            char text[64];
            snprintf(text, sizeof(text), "%s:%s", functions[f].name, wh_algos[i]->name);
            expect_only(text, functions[f].coll, wh_algos[i]->name);
        }
    }
}

Test(algo_mask, messages_and_barriers_cannot_be_taken_away)
{
    static const char *const texts[] = {"ring", "^p2p",  "^dissemination", "^ring",
                                        "p2p",  "arena", "^arena",         "arena,ring"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        expect_all(texts[i], WH_COLL_SEND);
        expect_all(texts[i], WH_COLL_RECV);
        struct wh_algo_mask mask = parse(texts[i]);
        cr_expect(wh_algo_mask_has_arena(&mask, WH_COLL_BARRIER) ||
                      nallowed(mask, WH_COLL_BARRIER) > 0,
                  "%s", texts[i]);
    }
}

/* ---- the arena ---- */

static bool has_arena(const char *text, enum wh_coll coll)
{
    struct wh_algo_mask mask = parse(text);
    return wh_algo_mask_has_arena(&mask, coll);
}

Test(algo_mask, the_arena_is_allowed_unless_somebody_says_otherwise)
{
    static const char *const texts[] = {"",           ";",     "arena",      "ARENA", "^ring",
                                        "^tree,ring", "^nvls", "arena,ring", "^p2p"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        for (int coll = 0; coll < WH_COLL_SEND; coll++) {
            cr_expect(has_arena(texts[i], (enum wh_coll)coll), "%s for %s", texts[i],
                      wh_coll_str((enum wh_coll)coll));
        }
    }
}

Test(algo_mask, arena_alone_leaves_no_schedule_and_a_hat_leaves_all)
{
    for (int coll = 0; coll < WH_COLL_SEND; coll++) {
        cr_expect_eq(nallowed(parse("arena"), (enum wh_coll)coll), coll == WH_COLL_BARRIER, "%s",
                     wh_coll_str((enum wh_coll)coll));
        cr_expect_not(has_arena("^arena", (enum wh_coll)coll), "%s",
                      wh_coll_str((enum wh_coll)coll));
        expect_all("^arena", (enum wh_coll)coll);
    }
    expect_only("arena,ring", WH_COLL_ALL_REDUCE, "ring");
}

Test(algo_mask, the_name_of_a_schedule_keeps_the_arena_off_where_there_is_such_a_schedule)
{
    for (int coll = 0; coll < WH_COLL_SEND; coll++) {
        cr_expect_eq(has_arena("ring", (enum wh_coll)coll), coll > WH_COLL_REDUCE, "%s",
                     wh_coll_str((enum wh_coll)coll));
    }
    cr_expect(has_arena("tree", WH_COLL_ALL_GATHER), "there is no tree for all_gather");
    cr_expect_not(has_arena("tree", WH_COLL_ALL_REDUCE));
    cr_expect_not(has_arena("dissemination", WH_COLL_BARRIER));
    cr_expect(has_arena("dissemination", WH_COLL_ALL_REDUCE));
}

Test(algo_mask, the_arena_can_be_chosen_for_one_function)
{
    cr_expect(has_arena("ring;allreduce:arena", WH_COLL_ALL_REDUCE));
    cr_expect_eq(nallowed(parse("ring;allreduce:arena"), WH_COLL_ALL_REDUCE), 0);
    cr_expect_not(has_arena("ring;allreduce:arena", WH_COLL_ALL_GATHER));
    cr_expect_not(has_arena("allreduce:^arena", WH_COLL_ALL_REDUCE));
    expect_all("allreduce:^arena", WH_COLL_ALL_REDUCE);
    cr_expect(has_arena("allreduce:^arena", WH_COLL_BROADCAST));
    cr_expect(has_arena("^arena;Broadcast:arena,tree", WH_COLL_BROADCAST));
    expect_only("^arena;Broadcast:arena,tree", WH_COLL_BROADCAST, "tree");
    cr_expect_not(has_arena("allreduce:ring", WH_COLL_ALL_REDUCE));
}

Test(algo_mask, functions_without_schedules_have_the_arena_or_messages)
{
    static const struct {
        const char *name;
        enum wh_coll coll;
    } rows[] = {{"AllToAll", WH_COLL_ALL_TO_ALL},
                {"all_to_all", WH_COLL_ALL_TO_ALL},
                {"gather", WH_COLL_GATHER},
                {"SCATTER", WH_COLL_SCATTER}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[64];
        snprintf(text, sizeof(text), "%s:arena", rows[i].name);
        cr_expect(has_arena(text, rows[i].coll), "%s", text);
        snprintf(text, sizeof(text), "%s:^arena", rows[i].name);
        cr_expect_not(has_arena(text, rows[i].coll), "%s", text);
        cr_expect(has_arena(text, WH_COLL_ALL_REDUCE), "%s", text);
        snprintf(text, sizeof(text), "%s:ring", rows[i].name);
        struct wh_algo_mask mask;
        cr_expect_eq(wh_algo_mask_parse(text, &mask), WHORL_E_CONFIG, "%s", text);
        cr_expect_not_null(strstr(wh_error_get(), "leaves no algorithm"), "%s", wh_error_get());
    }
}

Test(algo_mask, what_is_no_word_is_refused_with_the_words_that_are)
{
    static const struct {
        const char *text;
        const char *says;
    } rows[] = {
        {"rnig", "rnig is no algorithm; known are arena, leader, rails, ring"},
        {"ring;allreduce:rnig", "rnig is no algorithm"},
        {"ring tree", "ring tree is no algorithm"},
        {"^^ring", "^ring is no algorithm"},
        {"ring,^tree", "^tree is no algorithm"},
        {"alreduce:ring", "alreduce is no function; known are AllReduce"},
        {":ring", "is no function"},
        {"allreduceallreduceallreduceallreduceallreduce:ring", "is no function"},
        {"allreduce:", "leaves no algorithm for all_reduce"},
        {"allreduce:nvls", "leaves no algorithm for all_reduce"},
        {"allgather:pat;allgather:tree", "leaves no algorithm for all_gather"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wh_algo_mask mask = {.allowed = 12345};
        cr_expect_eq(wh_algo_mask_parse(rows[i].text, &mask), WHORL_E_CONFIG, "%s", rows[i].text);
        cr_expect_not_null(strstr(wh_error_get(), rows[i].says), "%s: %s", rows[i].text,
                           wh_error_get());
        cr_expect(mask.allowed == 12345 && mask.forbidden_hier == 0,
                  "%s: the mask is touched only on success", rows[i].text);
    }
}

/* ---- several hosts -------------------------------------------------------------------------- */

/* Which compositions of a collective are allowed: "leader rails", "leader", "rails", "". */
static const char *hier_of(const char *text, enum wh_coll coll)
{
    static char found[64];
    struct wh_algo_mask mask = parse(text);
    found[0] = '\0';
    for (size_t i = 0; i < wh_nhier_algos; i++) {
        if (wh_hier_algos[i]->coll == coll && ((mask.forbidden_hier >> i) & 1) == 0) {
            strcat(found, found[0] != '\0' ? " " : "");
            strcat(found, wh_hier_algos[i]->name);
        }
    }
    return found;
}

Test(algo_mask, compositions_are_allowed_unless_something_else_is_wanted)
{
    cr_expect_str_eq(hier_of("", WH_COLL_ALL_REDUCE), "leader rails");
    cr_expect_str_eq(hier_of("ring", WH_COLL_ALL_REDUCE), "");
    cr_expect_str_eq(hier_of("ring", WH_COLL_ALL_TO_ALL), "rails");
    cr_expect_str_eq(hier_of("^ring", WH_COLL_ALL_REDUCE), "leader rails");
    cr_expect_str_eq(hier_of("ring;reduce:tree", WH_COLL_REDUCE), "");
}

Test(algo_mask, a_composition_brings_the_arena_that_it_is_made_of)
{
    static const char *const names[] = {"leader", "rails", "LEADER", " Rails "};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *want = i % 2 == 0 ? "leader" : "rails";
        cr_expect_str_eq(hier_of(names[i], WH_COLL_REDUCE), want);
        cr_expect(has_arena(names[i], WH_COLL_REDUCE), "%s", names[i]);
        cr_expect_eq(nallowed(parse(names[i]), WH_COLL_REDUCE), 0, "%s", names[i]);
    }
    cr_expect_str_eq(hier_of("leader", WH_COLL_ALL_TO_ALL), "rails", "there is no leader for it");
    cr_expect_str_eq(hier_of("ring;broadcast:rails,tree", WH_COLL_BROADCAST), "rails");
    cr_expect_str_eq(hier_of("ring;broadcast:rails,tree", WH_COLL_ALL_REDUCE), "");
    cr_expect(allows(parse("broadcast:rails,tree"), WH_COLL_BROADCAST, "tree"));
    cr_expect(has_arena("leader", WH_COLL_GATHER), "nothing is said about it");
}

Test(algo_mask, the_arena_alone_is_put_together_in_any_way)
{
    cr_expect_str_eq(hier_of("arena", WH_COLL_ALL_REDUCE), "leader rails");
    cr_expect_str_eq(hier_of("arena,rails", WH_COLL_ALL_REDUCE), "rails");
    cr_expect_str_eq(hier_of("ring;allreduce:arena", WH_COLL_ALL_REDUCE), "leader rails");
    cr_expect_str_eq(hier_of("ring;allreduce:arena", WH_COLL_REDUCE), "");
}

Test(algo_mask, after_a_hat_compositions_stand_for_themselves)
{
    cr_expect_str_eq(hier_of("^rails", WH_COLL_ALL_REDUCE), "leader");
    cr_expect_str_eq(hier_of("^leader,rails", WH_COLL_ALL_REDUCE), "");
    cr_expect(has_arena("^leader,rails", WH_COLL_ALL_REDUCE));
    cr_expect_eq(nallowed(parse("^leader,rails"), WH_COLL_ALL_REDUCE), nall(WH_COLL_ALL_REDUCE));
    cr_expect_not(has_arena("^arena", WH_COLL_ALL_REDUCE));
    cr_expect_str_eq(hier_of("allreduce:^leader", WH_COLL_ALL_REDUCE), "rails");
    cr_expect_str_eq(hier_of("allreduce:^leader", WH_COLL_REDUCE), "leader rails");
}

Test(algo_mask, barriers_keep_what_they_have_over_links)
{
    cr_expect(allows(parse("leader"), WH_COLL_BARRIER, "dissemination"));
    cr_expect_str_eq(hier_of("leader", WH_COLL_BARRIER), "leader");
    cr_expect_str_eq(hier_of("dissemination", WH_COLL_BARRIER), "");
}
