/* SPDX-License-Identifier: Apache-2.0 */
#include "schedule/sched.h"
#include "world.h"

Test(sched, names_of_collectives_are_those_of_the_api)
{
    cr_expect_str_eq(wh_coll_str(WH_COLL_ALL_REDUCE), "all_reduce");
    cr_expect_str_eq(wh_coll_str(WH_COLL_ALL_GATHER), "all_gather");
    cr_expect_str_eq(wh_coll_str(WH_COLL_REDUCE_SCATTER), "reduce_scatter");
    cr_expect_str_eq(wh_coll_str(WH_COLL_BROADCAST), "broadcast");
    cr_expect_str_eq(wh_coll_str(WH_COLL_REDUCE), "reduce");
    cr_expect_str_eq(wh_coll_str(WH_COLL_BARRIER), "barrier");
    cr_expect_str_eq(wh_coll_str(WH_COLL_ALL_TO_ALL), "all_to_all");
    cr_expect_str_eq(wh_coll_str(WH_COLL_GATHER), "gather");
    cr_expect_str_eq(wh_coll_str(WH_COLL_SCATTER), "scatter");
    cr_expect_str_eq(wh_coll_str(WH_COLL_ALL_GATHER_V), "all_gather_v");
    cr_expect_str_eq(wh_coll_str(WH_COLL_REDUCE_SCATTER_V), "reduce_scatter_v");
    cr_expect_str_eq(wh_coll_str(WH_COLL_ALL_TO_ALL_V), "all_to_all_v");
    cr_expect_str_eq(wh_coll_str(WH_COLL_GATHER_V), "gather_v");
    cr_expect_str_eq(wh_coll_str(WH_COLL_SCATTER_V), "scatter_v");
    cr_expect_str_eq(wh_coll_str(WH_COLL_SEND), "send");
    cr_expect_str_eq(wh_coll_str(WH_COLL_RECV), "recv");
    cr_expect_str_eq(wh_coll_str(WH_NCOLLS), "unknown");
}

/* Is coll one of the list, which ends with WH_NCOLLS? */
static bool is_one_of(enum wh_coll coll, const enum wh_coll *list)
{
    while (*list != WH_NCOLLS && *list != coll) {
        list++;
    }
    return *list == coll;
}

Test(sched, collectives_reduce_have_roots_and_sizes_as_in_the_api)
{
    static const enum wh_coll reduce[] = {WH_COLL_ALL_REDUCE, WH_COLL_REDUCE_SCATTER,
                                          WH_COLL_REDUCE, WH_COLL_REDUCE_SCATTER_V, WH_NCOLLS};
    static const enum wh_coll have_root[] = {WH_COLL_BROADCAST, WH_COLL_REDUCE,   WH_COLL_GATHER,
                                             WH_COLL_SCATTER,   WH_COLL_GATHER_V, WH_COLL_SCATTER_V,
                                             WH_COLL_SEND,      WH_COLL_RECV,     WH_NCOLLS};
    static const enum wh_coll are_v[] = {WH_COLL_ALL_GATHER_V, WH_COLL_REDUCE_SCATTER_V,
                                         WH_COLL_ALL_TO_ALL_V, WH_COLL_GATHER_V,
                                         WH_COLL_SCATTER_V,    WH_NCOLLS};
    static const enum wh_coll messages[] = {WH_COLL_SEND, WH_COLL_RECV, WH_NCOLLS};
    for (int c = 0; c < WH_NCOLLS; c++) {
        enum wh_coll coll = (enum wh_coll)c;
        const char *name = wh_coll_str(coll);
        cr_expect_eq(wh_coll_reduces(coll), is_one_of(coll, reduce), "%s", name);
        cr_expect_eq(wh_coll_has_root(coll), is_one_of(coll, have_root), "%s", name);
        cr_expect_eq(wh_coll_is_v(coll), is_one_of(coll, are_v), "%s", name);
        cr_expect_eq(wh_coll_is_p2p(coll), is_one_of(coll, messages), "%s", name);
    }
}

Test(sched, destroy_takes_null)
{
    wh_sched_destroy(NULL);
}

static void expect_text(const struct wh_sched *sched, const char *golden)
{
    char text[1024];
    size_t nbytes = wh_sched_print(sched, text, sizeof(text));

    cr_expect_str_eq(text, golden, "got:\n%s\nwant:\n%s", text, golden);
    cr_expect_eq(nbytes, strlen(golden));
}

Test(sched, prints_a_ring)
{
    struct world world = world_create_ring(3);

    expect_text(world.scheds[1], "all_reduce test: rank 1 of 3, 3 chunks, at most 1 in a message\n"
                                 "lane 0 on channel 0\n"
                                 "  0  chunk 1: input -> send 2\n"
                                 "  1  chunk 0: recv 0 + input -> send 2\n"
                                 "  2  chunk 2: recv 0 + input, finish -> output, send 2\n"
                                 "  3  chunk 1: recv 0 -> output, send 2\n"
                                 "  4  chunk 0: recv 0 -> output\n");
    world_destroy(&world);
}

/* Every form that a line can have and the ring has not. */
static void build_motley(const struct wh_problem *p, struct wh_builder *b)
{
    const uint32_t peer = 1 - p->rank;

    wh_build_lane(b, 1);
    wh_build_copy(b, WH_INPUT, WH_SCRATCH, 3, 4);
    wh_build_step(b, &(struct wh_move){.flags = WH_REDUCE | WH_STORE,
                                       .local = WH_SCRATCH,
                                       .store = WH_OUTPUT,
                                       .chunk = 2,
                                       .nchunks = 1});
    wh_build_send(b, peer, WH_SCRATCH, 3, 2);
    wh_build_step(b, &(struct wh_move){.flags = WH_RECV | WH_SEND, .from = peer, .to = peer});
}

Test(sched, prints_scratch_roots_and_messages_without_data)
{
    struct world world = world_create(
        (struct wh_problem){.coll = WH_COLL_REDUCE, .nranks = 2, .root = 1}, 4, build_motley);

    expect_text(world.scheds[0],
                "reduce test: rank 0 of 2, root 1, 4 chunks, at most 2 in a message\n"
                "lane 0 on channel 1, with scratch\n"
                "  0  chunks 3+4: input -> scratch\n"
                "  1  chunk 2: output + scratch -> output\n"
                "  2  chunks 3+2: scratch -> send 1\n"
                "  3  no data: recv 1, send 1\n"
                "lane 1 on channel 0\n"
                "  0  no data: send 1\n"
                "  1  no data: recv 1\n");
    world_destroy(&world);
}

static void build_message(const struct wh_problem *p, struct wh_builder *b)
{
    wh_build_lane(b, WH_CHANNEL_P2P);
    wh_build_send(b, p->root, WH_INPUT, 0, 1);
}

Test(sched, prints_the_peer_of_a_send)
{
    struct wh_problem problem = {.coll = WH_COLL_SEND, .nranks = 5, .rank = 3, .root = 4};
    struct wh_builder *b = wh_builder_create(&problem, "direct", 1);
    struct wh_sched *sched = NULL;

    build_message(&problem, b);
    cr_assert_eq(wh_builder_seal(b, &sched), WHORL_OK);
    expect_text(sched, "send direct: rank 3 of 5, peer 4, 1 chunk, at most 1 in a message\n"
                       "lane 0 on channel 4\n"
                       "  0  chunk 0: input -> send 4\n");
    wh_sched_destroy(sched);
}

Test(sched, print_cuts_at_any_size_and_still_says_what_it_needs)
{
    struct world world = world_create_ring(3);
    char whole[1024];
    char part[1024];
    const size_t need = wh_sched_print(world.scheds[0], whole, sizeof(whole));

    cr_assert_lt(need, sizeof(whole));
    cr_expect_eq(wh_sched_print(world.scheds[0], NULL, 0), need);
    for (size_t room = 1; room <= need + 1; room++) {
        memset(part, '#', sizeof(part));
        cr_assert_eq(wh_sched_print(world.scheds[0], part, room), need);
        cr_assert_eq(strlen(part), room - 1);
        cr_assert_eq(memcmp(part, whole, room - 1), 0);
        cr_assert_eq(part[room], '#', "wrote past %zu bytes", room);
    }
    world_destroy(&world);
}
