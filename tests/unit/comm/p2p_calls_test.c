/* SPDX-License-Identifier: Apache-2.0 */
/* Collectives as messages: the messages of all ranks fit together and carry the right blocks. */
#include "base/log.h"
#include "comm/p2p_calls.h"

#include <criterion/criterion.h>
#include <string.h>

enum { N_MAX = 5, ROOM = 64, CALLS_MAX = 1 + 2 * N_MAX };

/* All ranks of a communicator, with what each was told to do. */
struct world {
    uint32_t n;
    struct whorl_comm comms[N_MAX];
    struct wh_call wholes[N_MAX];
    struct wh_call calls[N_MAX][CALLS_MAX];
    bool done[N_MAX][CALLS_MAX];
    size_t ncalls[N_MAX];
    int16_t in[N_MAX][ROOM], out[N_MAX][ROOM];
};

static struct world w;

static void open_world(uint32_t n, enum wh_coll coll, uint32_t root)
{
    memset(&w, 0, sizeof(w));
    w.n = n;
    for (uint32_t r = 0; r < n; r++) {
        for (int i = 0; i < ROOM; i++) {
            w.in[r][i] = (int16_t)(100 * (r + 1) + (uint32_t)i);
            w.out[r][i] = -1;
        }
        w.comms[r].rank = r;
        w.comms[r].nranks = n;
        w.wholes[r] = (struct wh_call){
            .comm = &w.comms[r],
            .coll = coll,
            .root = root,
            .op = {.input = w.in[r],
                   .output = w.out[r],
                   .dtype = WHORL_FLOAT16, /* any of two bytes */
                   .redop = wh_coll_reduces(coll) ? WHORL_MAX : WH_REDOP_NONE},
            .stream = (struct whorl_stream *)(uintptr_t)(64 + r),
        };
    }
}

static void expand(void)
{
    for (uint32_t r = 0; r < w.n; r++) {
        size_t most = wh_p2p_expand_most(&w.wholes[r]);
        cr_assert_leq(most, CALLS_MAX);
        cr_assert_eq(wh_p2p_expand(&w.wholes[r], w.calls[r], &w.ncalls[r]), WHORL_OK);
        cr_assert_leq(w.ncalls[r], most);
        for (size_t i = 0; i < w.ncalls[r]; i++) {
            cr_assert_eq(w.calls[r][i].comm, &w.comms[r]);
            cr_expect_eq(w.calls[r][i].stream, w.wholes[r].stream);
            cr_expect_eq(w.calls[r][i].op.dtype, WHORL_FLOAT16);
            cr_expect_null(w.calls[r][i].op.send_counts);
            cr_expect_null(w.calls[r][i].op.recv_displs);
            cr_expect_null(w.calls[r][i].counts_copy);
        }
    }
}

/* Every rank starts with the barrier that says what was called. */
static void expect_barriers(enum wh_coll coll, uint32_t root)
{
    for (uint32_t r = 0; r < w.n; r++) {
        const struct wh_call *first = &w.calls[r][0];
        cr_expect_eq(first->coll, WH_COLL_BARRIER);
        cr_expect_eq(first->root, root);
        cr_expect_eq(first->op.count, 0);
        cr_expect_eq(first->op.redop, WH_REDOP_PART_OF + coll);
        w.done[r][0] = true;
    }
}

/* The first call of `rank` with `peer` that is not done; NULL: none. */
static struct wh_call *take_call(uint32_t rank, enum wh_coll coll, uint32_t peer)
{
    for (size_t i = 0; i < w.ncalls[rank]; i++) {
        struct wh_call *call = &w.calls[rank][i];
        if (!w.done[rank][i] && call->coll == coll && call->root == peer) {
            w.done[rank][i] = true;
            return call;
        }
    }
    return NULL;
}

/* Carries every message; all must have two ends. Returns how many there were. */
static size_t deliver(void)
{
    size_t nmessages = 0;
    for (uint32_t from = 0; from < w.n; from++) {
        for (uint32_t to = 0; to < w.n; to++) {
            struct wh_call *send, *recv;
            while ((send = take_call(from, WH_COLL_SEND, to)) != NULL) {
                recv = take_call(to, WH_COLL_RECV, from);
                cr_assert_not_null(recv, "nobody receives what %u sends to %u", from, to);
                cr_assert_eq(send->op.count, recv->op.count);
                cr_expect_eq(send->op.redop, WH_REDOP_PART_OF + w.wholes[from].coll);
                cr_expect_eq(recv->op.redop, send->op.redop);
                if (send->op.count > 0) {
                    memmove(recv->op.output, send->op.input, 2 * send->op.count);
                }
                nmessages++;
            }
        }
    }
    for (uint32_t r = 0; r < w.n; r++) {
        for (size_t i = 0; i < w.ncalls[r]; i++) {
            cr_expect(w.done[r][i], "rank %u waits for call %zu", r, i);
        }
    }
    return nmessages;
}

/* count elements from out[rank][at] on are those from in[from][at_from] on. */
static void expect_block(uint32_t rank, size_t at, uint32_t from, size_t at_from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(w.out[rank][at + i], w.in[from][at_from + i], "rank %u, element %zu: %d", rank,
                     at + i, w.out[rank][at + i]);
    }
}

static size_t count_written(uint32_t rank)
{
    size_t n = 0;
    for (size_t i = 0; i < ROOM; i++) {
        n += w.out[rank][i] != -1;
    }
    return n;
}

Test(p2p_calls, all_to_all_moves_every_block)
{
    for (uint32_t n = 1; n <= N_MAX; n++) {
        open_world(n, WH_COLL_ALL_TO_ALL, 0);
        for (uint32_t r = 0; r < n; r++) {
            w.wholes[r].op.count = 3;
        }
        expand();
        expect_barriers(WH_COLL_ALL_TO_ALL, 0);
        cr_expect_eq(deliver(), n * n);
        for (uint32_t r = 0; r < n; r++) {
            for (uint32_t s = 0; s < n; s++) {
                expect_block(r, 3 * s, s, 3 * r, 3);
            }
            cr_expect_eq(count_written(r), 3 * n);
        }
    }
}

Test(p2p_calls, no_two_senders_meet_at_one_receiver)
{
    open_world(N_MAX, WH_COLL_ALL_TO_ALL, 0);
    expand();
    for (size_t i = 0; i < 2 * N_MAX; i++) {
        bool met[N_MAX] = {false};
        for (uint32_t r = 0; r < N_MAX; r++) {
            const struct wh_call *call = &w.calls[r][1 + i];
            uint32_t k = (uint32_t)(i / 2 + 1);
            bool sends = i % 2 == 0;
            cr_expect_eq(call->coll, sends ? WH_COLL_SEND : WH_COLL_RECV);
            cr_expect_eq(call->root, (sends ? r + k : r + N_MAX - k) % N_MAX);
            cr_expect_not(met[call->root]);
            met[call->root] = true;
        }
    }
}

Test(p2p_calls, gather_and_scatter_talk_to_root)
{
    for (uint32_t n = 1; n <= N_MAX; n++) {
        uint32_t root = n / 2;
        open_world(n, WH_COLL_GATHER, root);
        for (uint32_t r = 0; r < n; r++) {
            w.wholes[r].op.count = 2;
            w.wholes[r].op.output = r == root ? w.out[r] : NULL;
        }
        expand();
        expect_barriers(WH_COLL_GATHER, root);
        cr_expect_eq(deliver(), n);
        for (uint32_t r = 0; r < n; r++) {
            expect_block(root, 2 * r, r, 0, 2);
        }
        cr_expect_eq(count_written(root), 2 * n);

        open_world(n, WH_COLL_SCATTER, root);
        for (uint32_t r = 0; r < n; r++) {
            w.wholes[r].op.count = 2;
            w.wholes[r].op.input = r == root ? w.in[r] : NULL;
        }
        expand();
        expect_barriers(WH_COLL_SCATTER, root);
        cr_expect_eq(deliver(), n);
        for (uint32_t r = 0; r < n; r++) {
            expect_block(r, 0, root, 2 * r, 2);
            cr_expect_eq(count_written(r), 2);
        }
    }
}

Test(p2p_calls, root_begins_with_the_rank_after_it)
{
    open_world(4, WH_COLL_GATHER, 2);
    expand();
    static const uint32_t order[] = {3, 0, 1, 2, 2};
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        cr_expect_eq(w.calls[2][1 + i].root, order[i]);
    }
    cr_expect_eq(w.calls[2][4].coll, WH_COLL_SEND);
    cr_expect_eq(w.calls[2][5].coll, WH_COLL_RECV);
}

Test(p2p_calls, blocks_of_different_sizes_lie_behind_one_another)
{
    static const size_t counts[] = {4, 0, 1, 5}, starts[] = {0, 4, 4, 5};
    open_world(4, WH_COLL_ALL_GATHER_V, 0);
    for (uint32_t r = 0; r < 4; r++) {
        w.wholes[r].op.count = counts[r];
        w.wholes[r].op.recv_counts = counts;
    }
    expand();
    expect_barriers(WH_COLL_ALL_GATHER_V, 0);
    cr_expect_eq(deliver(), 16, "blocks without elements are sent too");
    for (uint32_t r = 0; r < 4; r++) {
        for (uint32_t s = 0; s < 4; s++) {
            expect_block(r, starts[s], s, 0, counts[s]);
        }
        cr_expect_eq(count_written(r), 10);
    }
}

Test(p2p_calls, blocks_lie_where_displacements_say)
{
    static const size_t counts[3][3] = {{1, 2, 3}, {0, 4, 1}, {5, 0, 2}};
    static const size_t from_displs[3] = {20, 10, 0}, to_displs[3] = {30, 7, 50};
    size_t to_counts[3][3];
    open_world(3, WH_COLL_ALL_TO_ALL_V, 0);
    for (uint32_t r = 0; r < 3; r++) {
        for (uint32_t s = 0; s < 3; s++) {
            to_counts[r][s] = counts[s][r];
        }
        w.wholes[r].op.send_counts = counts[r];
        w.wholes[r].op.send_displs = from_displs;
        w.wholes[r].op.recv_counts = to_counts[r];
        w.wholes[r].op.recv_displs = to_displs;
    }
    expand();
    expect_barriers(WH_COLL_ALL_TO_ALL_V, 0);
    cr_expect_eq(deliver(), 9);
    for (uint32_t r = 0; r < 3; r++) {
        for (uint32_t s = 0; s < 3; s++) {
            expect_block(r, to_displs[s], s, from_displs[r], counts[s][r]);
        }
        cr_expect_eq(count_written(r), to_counts[r][0] + to_counts[r][1] + to_counts[r][2]);
    }
}

Test(p2p_calls, gather_v_and_scatter_v_use_the_arrays_of_root)
{
    static const size_t counts[] = {2, 3, 1}, displs[] = {9, 0, 6};
    open_world(3, WH_COLL_GATHER_V, 0);
    for (uint32_t r = 0; r < 3; r++) {
        w.wholes[r].op.count = counts[r];
    }
    w.wholes[0].op.recv_counts = counts;
    w.wholes[0].op.recv_displs = displs;
    expand();
    cr_expect_eq(w.ncalls[1], 2);
    expect_barriers(WH_COLL_GATHER_V, 0);
    cr_expect_eq(deliver(), 3);
    for (uint32_t r = 0; r < 3; r++) {
        expect_block(0, displs[r], r, 0, counts[r]);
    }
    cr_expect_eq(count_written(0), 6);

    open_world(3, WH_COLL_SCATTER_V, 1);
    for (uint32_t r = 0; r < 3; r++) {
        w.wholes[r].op.count = counts[r];
    }
    w.wholes[1].op.send_counts = counts;
    expand();
    expect_barriers(WH_COLL_SCATTER_V, 1);
    cr_expect_eq(deliver(), 3);
    expect_block(0, 0, 1, 0, 2);
    expect_block(1, 0, 1, 2, 3);
    expect_block(2, 0, 1, 5, 1);
    cr_expect_eq(count_written(2), 1);
}

Test(p2p_calls, reduce_scatter_v_is_a_reduce_for_every_block)
{
    static const size_t counts[] = {2, 0, 3}, displs[] = {4, 99, 0};
    for (int placed = 0; placed < 2; placed++) {
        open_world(3, WH_COLL_REDUCE_SCATTER_V, 0);
        struct wh_call *whole = &w.wholes[2];
        whole->op.count = 3;
        whole->op.send_counts = counts;
        whole->op.send_displs = placed ? displs : NULL;
        whole->op.redop = WH_REDOP_PREMUL_SUM;
        whole->op.premul_scalar[1] = 7;
        struct wh_call calls[CALLS_MAX];
        size_t n;
        cr_assert_eq(wh_p2p_expand(whole, calls, &n), WHORL_OK);
        cr_assert_eq(n, 4);
        cr_expect_eq(calls[0].coll, WH_COLL_BARRIER);
        for (uint32_t root = 0; root < 3; root++) {
            const struct wh_call *call = &calls[1 + root];
            cr_expect_eq(call->coll, WH_COLL_REDUCE);
            cr_expect_eq(call->root, root);
            cr_expect_eq(call->op.count, counts[root]);
            cr_expect_eq(call->op.redop, WH_REDOP_PREMUL_SUM);
            cr_expect_eq(call->op.premul_scalar[1], 7);
            cr_expect_eq(call->op.output, root == 2 ? w.out[2] : NULL);
            cr_expect_null(call->op.send_counts);
            cr_expect_null(call->op.send_displs);
        }
        cr_expect_eq(calls[1].op.input, w.in[2] + (placed ? 4 : 0));
        cr_expect_eq(calls[3].op.input, w.in[2] + (placed ? 0 : 2));
    }
}

Test(p2p_calls, what_has_a_schedule_stays_itself)
{
    static const enum wh_coll colls[] = {
        WH_COLL_ALL_REDUCE, WH_COLL_ALL_GATHER, WH_COLL_REDUCE_SCATTER, WH_COLL_BROADCAST,
        WH_COLL_REDUCE,     WH_COLL_BARRIER,    WH_COLL_SEND,           WH_COLL_RECV,
    };
    for (size_t i = 0; i < ARRAY_LEN(colls); i++) {
        open_world(3, colls[i], 1);
        struct wh_call call;
        size_t n;
        cr_assert_eq(wh_p2p_expand_most(&w.wholes[2]), 1);
        cr_assert_eq(wh_p2p_expand(&w.wholes[2], &call, &n), WHORL_OK);
        cr_expect_eq(n, 1);
        cr_expect_eq(memcmp(&call, &w.wholes[2], sizeof(call)), 0);
    }
}

Test(p2p_calls, functions_of_the_users_are_refused_but_by_one_rank_alone)
{
    static const enum wh_coll colls[] = {WH_COLL_ALL_REDUCE, WH_COLL_REDUCE, WH_COLL_REDUCE_SCATTER,
                                         WH_COLL_REDUCE_SCATTER_V};
    static const size_t counts[] = {1, 1};
    for (size_t i = 0; i < ARRAY_LEN(colls); i++) {
        for (uint32_t n = 1; n <= 2; n++) {
            open_world(n, colls[i], 0);
            w.wholes[0].op.send_counts = counts;
            w.wholes[0].op.redop = WH_REDOP_USER;
            struct wh_call calls[CALLS_MAX];
            size_t ncalls = 77;
            whorl_result_t rc = wh_p2p_expand(&w.wholes[0], calls, &ncalls);
            if (n == 1) {
                cr_expect_eq(rc, WHORL_OK);
                continue;
            }
            cr_expect_eq(rc, WHORL_E_UNSUPPORTED);
            cr_expect_eq(ncalls, 77);
            cr_expect_not_null(strstr(wh_error_get(), "whorl_redop_create_user"));
            cr_expect_not_null(strstr(wh_error_get(), wh_coll_str(colls[i])));
        }
    }
}
