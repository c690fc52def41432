/* SPDX-License-Identifier: Apache-2.0 */
/* One call at work, driven step by step: of all ranks from one thread, or of hosts in processes. */
#include "comm/work.h"

#include "base/log.h"
#include "executor/signature.h"
#include "harness/hosts.h"
#include "local.h"

#include <stdlib.h>

enum { NRANKS = 2 };

/* An all_reduce of one int32 of every rank of a communicator. */
struct sums {
    int32_t in[NRANKS], out[NRANKS];
    struct wh_call calls[NRANKS];
    struct wh_work works[NRANKS];
};

static struct wh_call sum_of(whorl_comm_t comm, const int32_t *in, int32_t *out)
{
    return (struct wh_call){
        .comm = comm,
        .coll = WH_COLL_ALL_REDUCE,
        .op = {.input = in, .output = out, .count = 1, .dtype = WHORL_INT32, .redop = WHORL_SUM},
    };
}

static void start_sums(struct local *l, struct sums *s)
{
    *s = (struct sums){.in = {3, 4}};
    for (int r = 0; r < NRANKS; r++) {
        s->calls[r] = sum_of(l->ranks[r], &s->in[r], &s->out[r]);
        cr_assert_eq(wh_work_start(&s->works[r], &s->calls[r]), WHORL_OK, "%s", wh_error_get());
    }
}

static void finish_sums(struct local *l, struct sums *s)
{
    bool is_done[NRANKS] = {false};
    for (int round = 0; round < 1000000 && !(is_done[0] && is_done[1]); round++) {
        for (int r = 0; r < NRANKS; r++) {
            bool moved = false;
            whorl_result_t rc = is_done[r] ? WHORL_OK
                                           : wh_work_advance(&s->works[r], l->ranks[r], &moved);
            cr_assert(rc == WHORL_OK || rc == WHORL_IN_PROGRESS, "%s", wh_error_get());
            if (rc == WHORL_OK && !is_done[r]) {
                is_done[r] = true;
                wh_work_end(&s->works[r], l->ranks[r], rc);
            }
        }
    }
    for (int r = 0; r < NRANKS; r++) {
        cr_expect(is_done[r] && s->out[r] == 7, "rank %d: %d", r, s->out[r]);
        cr_expect_eq(s->works[r].way, WH_WORK_NONE);
    }
}

static void expect_text(const struct wh_work *work, const struct whorl_comm *comm, const char *want)
{
    char text[512];
    wh_work_describe(work, comm, text, sizeof(text));
    cr_expect_not_null(strstr(text, want), "\"%s\" has no \"%s\"", text, want);
}

static void expect_sum(const struct wh_work *work, const struct whorl_comm *comm, uint64_t seq)
{
    struct wh_signature sig;
    char text[128];
    wh_work_signature(work, comm, &sig);
    wh_signature_print(&sig, text, sizeof(text));
    cr_expect_str_eq(text, "all_reduce(count 1, int32, sum)");
    cr_expect_eq(sig.seq, seq);
}

Test(work, ranks_that_share_a_host_take_the_arena, .timeout = 60)
{
    struct local l = local_open(NRANKS, 0);
    struct sums s;
    uint64_t first = l.ranks[0]->next_seq;
    start_sums(&l, &s);
    cr_expect_eq(s.works[0].way, WH_WORK_ARENA);
    cr_expect_str_eq(s.works[0].algo, "arena");
    cr_expect_eq(l.ranks[0]->next_seq, first + 1);
    expect_sum(&s.works[0], l.ranks[0], first);
    finish_sums(&l, &s);
    expect_text(&s.works[0], l.ranks[0], "not started");
    local_close(&l);
}

Test(work, without_an_arena_a_schedule_runs_over_links, .timeout = 60)
{
    setenv("WHORL_ALGO", "^arena;allreduce:ring", 1);
    struct local l = local_open(NRANKS, 0);
    struct sums s;
    uint64_t first = l.ranks[0]->next_seq;
    start_sums(&l, &s);
    cr_expect_eq(s.works[0].way, WH_WORK_LINKS);
    cr_expect_str_eq(s.works[0].algo, "ring");
    cr_expect_null(s.works[0].op, "there are no hosts that could differ");
    cr_expect(s.works[0].row->busy);
    expect_sum(&s.works[0], l.ranks[0], first);
    expect_text(&s.works[0], l.ranks[0], "algorithm ring");
    finish_sums(&l, &s);
    cr_expect_not(s.works[0].row->busy);
    start_sums(&l, &s);
    expect_sum(&s.works[1], l.ranks[1], first + 1);
    finish_sums(&l, &s);
    local_close(&l);
}

static struct wh_call message_of(whorl_comm_t comm, enum wh_coll coll, uint32_t peer,
                                 int32_t *value)
{
    return (struct wh_call){
        .comm = comm,
        .coll = coll,
        .root = peer,
        .op = {.input = value, .output = value, .count = 1, .dtype = WHORL_INT32,
               .redop = WH_REDOP_NONE},
    };
}

/* Advances a send and its receive until both are over. */
static void exchange(struct wh_work *send, struct wh_work *recv, const struct local *l)
{
    whorl_result_t sent = WHORL_IN_PROGRESS, received = WHORL_IN_PROGRESS;
    for (int round = 0; round < 1000000 && (sent != WHORL_OK || received != WHORL_OK); round++) {
        bool moved = false;
        sent = sent == WHORL_OK ? sent : wh_work_advance(send, l->ranks[0], &moved);
        received = received == WHORL_OK ? received : wh_work_advance(recv, l->ranks[1], &moved);
    }
    cr_assert(sent == WHORL_OK && received == WHORL_OK, "%d %d", sent, received);
    wh_work_end(send, l->ranks[0], WHORL_OK);
    wh_work_end(recv, l->ranks[1], WHORL_OK);
}

/* Messages are numbered by pair, collectives by communicator; two messages to the same rank come
 * one after the other. */
Test(work, a_second_message_to_the_same_rank_waits, .timeout = 60)
{
    struct local l = local_open(NRANKS, 0);
    int32_t values[2] = {5, 6}, got[2] = {0};
    const uint64_t next = l.ranks[0]->next_seq;
    struct wh_call sends[2], recvs[2];
    struct wh_work to[2] = {{.way = WH_WORK_NONE}}, from[2] = {{.way = WH_WORK_NONE}};
    for (int i = 0; i < 2; i++) {
        sends[i] = message_of(l.ranks[0], WH_COLL_SEND, 1, &values[i]);
        recvs[i] = message_of(l.ranks[1], WH_COLL_RECV, 0, &got[i]);
    }
    cr_assert_eq(wh_work_start(&to[0], &sends[0]), WHORL_OK);
    cr_expect_eq(wh_work_start(&to[1], &sends[1]), WHORL_IN_PROGRESS);
    cr_expect_eq(to[1].way, WH_WORK_NONE);
    cr_assert_eq(wh_work_start(&from[0], &recvs[0]), WHORL_OK);
    exchange(&to[0], &from[0], &l);
    cr_assert_eq(wh_work_start(&to[1], &sends[1]), WHORL_OK);
    cr_assert_eq(wh_work_start(&from[1], &recvs[1]), WHORL_OK);
    exchange(&to[1], &from[1], &l);
    cr_expect(got[0] == 5 && got[1] == 6, "%d %d", got[0], got[1]);
    cr_expect_eq(sends[1].op.seq, sends[0].op.seq + 1);
    cr_expect_eq(l.ranks[0]->next_seq, next);
    local_close(&l);
}

static void expect_whole(enum wh_coll coll, bool want)
{
    const int32_t in = 1;
    struct local l = local_open(NRANKS, 0);
    struct wh_call call = sum_of(l.ranks[0], &in, NULL);
    call.coll = coll;
    call.op.redop = WH_REDOP_NONE;
    cr_expect_eq(wh_work_is_whole(&call), want, "%s", wh_coll_str(coll));
    local_close(&l);
}

Test(work, the_arena_does_every_collective_in_one_piece, .timeout = 60)
{
    expect_whole(WH_COLL_ALL_TO_ALL, true);
    expect_whole(WH_COLL_SCATTER_V, true);
}

Test(work, without_an_arena_calls_may_have_to_be_taken_apart, .timeout = 60)
{
    setenv("WHORL_ALGO", "^arena", 1);
    expect_whole(WH_COLL_ALL_TO_ALL, false);
}

/* ---- several hosts -------------------------------------------------------------------------- */

struct steps {
    const char *algo;
    enum wh_work_way way;
    bool has_front; /* ranks compare their calls before the schedule runs */
};

/* Drives an all_reduce by hand, without the batch that does it otherwise. */
static void do_by_hand(struct rank *rank)
{
    const struct steps *want = rank->arg;
    struct whorl_comm *comm = rank->comm;
    int32_t in = rank->rank + 1, out = 0;
    struct wh_call call = sum_of(comm, &in, &out);
    struct wh_work work = {.way = WH_WORK_NONE};
    char text[512];
    struct wh_signature sig;
    RANK_OK(rank, wh_work_start(&work, &call));
    RANK_CHECK(rank, work.way == want->way, "way %d", work.way);
    RANK_CHECK(rank, strcmp(work.algo, want->algo) == 0, "algorithm %s", work.algo);
    RANK_CHECK(rank, (work.op != NULL) == want->has_front, "front %p", (const void *)work.op);
    wh_work_describe(&work, comm, text, sizeof(text));
    RANK_TEXT(rank, text, want->algo);
    wh_work_signature(&work, comm, &sig);
    RANK_CHECK(rank, sig.seq == call.op.seq && sig.count == 1, "signature");
    whorl_result_t rc = WHORL_IN_PROGRESS;
    int64_t end_ms = rank_now_ms() + 60000;
    while (rc == WHORL_IN_PROGRESS && rank_now_ms() < end_ms) {
        bool moved = false;
        rc = wh_work_advance(&work, comm, &moved);
        if (rc == WHORL_IN_PROGRESS && !moved) {
            whorl_result_t wired = wh_wire_progress(comm->wire);
            RANK_CHECK(rank, wired == WHORL_OK || wired == WHORL_IN_PROGRESS, "%d", wired);
        }
    }
    RANK_OK(rank, rc);
    RANK_CHECK(rank, work.op == NULL, "the front is over");
    wh_work_end(&work, comm, rc);
    RANK_CHECK(rank, out == rank->nranks * (rank->nranks + 1) / 2, "%d", out);
    rank_meet(rank);
}

static void by_hand(const char *algo, const struct steps *want)
{
    const char *const env[] = {algo, NULL};
    struct hosts *hosts = hosts_create(2, NULL);
    hosts_run(&(struct hosts_job){.job = {.run = do_by_hand, .arg = want, .env = env},
                                  .hosts = hosts,
                                  .nprocesses = {2, 2}});
    hosts_destroy(hosts);
}

Test(work, hosts_are_put_together)
{
    by_hand("WHORL_ALGO=rails", &(struct steps){"rails", WH_WORK_HIER, false});
}

Test(work, what_goes_over_links_between_hosts_has_a_front)
{
    by_hand("WHORL_ALGO=allreduce:ring", &(struct steps){"ring", WH_WORK_LINKS, true});
    by_hand("WHORL_ALGO=^arena;allreduce:ring", &(struct steps){"ring", WH_WORK_LINKS, false});
}
