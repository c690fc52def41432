/* SPDX-License-Identifier: Apache-2.0 */
/* Groups: one thread that drives several ranks, several communicators, messages in both directions.
 * */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { NLOCAL = 4 };

/* The same case on every rank of comms, started by this thread as one group. */
static void do_grouped(struct rank *rank, whorl_comm_t comms[NLOCAL], const struct coll_case *c)
{
    struct case_run *runs[NLOCAL];
    char text[224];
    case_print(c, text, sizeof(text));
    rank_at(rank, "is in a group of %d times %s", NLOCAL, text);
    for (int r = 0; r < NLOCAL; r++) {
        runs[r] = case_begin(rank, comms[r], c);
    }
    RANK_OK(rank, whorl_group_start());
    for (int r = 0; r < NLOCAL; r++) {
        RANK_OK(rank, case_call(runs[r], NULL));
    }
    RANK_OK(rank, whorl_group_end());
    for (int r = 0; r < NLOCAL; r++) {
        case_end(runs[r]);
    }
}

static struct coll_case some_case(int kind, int i)
{
    static const size_t counts[] = {1, 0, 1000, 100000, 400001};
    return (struct coll_case){
        .kind = (enum case_kind)kind,
        .count = counts[i % 5],
        .dtype = i % 2 == 0 ? WHORL_FLOAT32 : WHORL_INT64,
        .op = i % (VALUES_PREMUL + 1),
        .root = 1,
        .in_place = i % 3 == 0,
        .seed = (uint64_t)(100 * kind + i),
    };
}

static void do_all_kinds_grouped(struct rank *rank, whorl_comm_t comms[NLOCAL])
{
    for (int i = 0; i < 10; i++) {
        for (int kind = 0; kind < CASE_KINDS; kind++) {
            struct coll_case c = some_case(kind, i);
            do_grouped(rank, comms, &c);
        }
    }
}

static void drive_local_ranks(struct rank *rank)
{
    whorl_comm_t comms[NLOCAL];
    RANK_OK(rank, whorl_comm_create_local(NLOCAL, NULL, comms));
    do_all_kinds_grouped(rank, comms);
    for (int r = 0; r < NLOCAL; r++) {
        RANK_OK(rank, whorl_comm_destroy(comms[r]));
    }
}

Test(groups, let_one_thread_drive_four_ranks)
{
    ranks_run(&(struct ranks_job){.run = drive_local_ranks, .no_comm = true});
}

static void create_in_group(struct rank *rank)
{
    whorl_comm_t comms[NLOCAL] = {NULL};
    whorl_id_t id = rank_job_id(rank);
    RANK_OK(rank, whorl_group_start());
    for (int r = 0; r < NLOCAL; r++) {
        RANK_OK(rank, whorl_comm_create(NLOCAL, r, &id, NULL, &comms[r]));
        RANK_CHECK(rank, comms[r] == NULL, "written before the group has ended");
    }
    RANK_OK(rank, whorl_group_end());
    struct coll_case c = some_case(CASE_ALL_REDUCE, 3);
    do_grouped(rank, comms, &c);
    for (int r = 0; r < NLOCAL; r++) {
        RANK_OK(rank, whorl_comm_destroy(comms[r]));
    }
}

Test(groups, create_the_ranks_that_one_thread_drives)
{
    ranks_run(&(struct ranks_job){.run = create_in_group, .no_comm = true});
}

/* Two processes with one thread for two ranks each. */
static void drive_two_of_four(struct rank *rank)
{
    whorl_comm_t comms[2] = {NULL};
    whorl_id_t id = rank_job_id(rank);
    RANK_OK(rank, whorl_group_start());
    for (int i = 0; i < 2; i++) {
        RANK_OK(rank, whorl_comm_create(4, 2 * rank->rank + i, &id, NULL, &comms[i]));
    }
    RANK_OK(rank, whorl_group_end());
    for (int kind = 0; kind < CASE_KINDS; kind++) {
        struct coll_case c = some_case(kind, 3);
        struct case_run *runs[2];
        RANK_OK(rank, whorl_group_start());
        for (int i = 0; i < 2; i++) {
            runs[i] = case_begin(rank, comms[i], &c);
            RANK_OK(rank, case_call(runs[i], NULL));
        }
        RANK_OK(rank, whorl_group_end());
        case_end(runs[0]);
        case_end(runs[1]);
    }
    RANK_OK(rank, whorl_comm_destroy(comms[0]));
    RANK_OK(rank, whorl_comm_destroy(comms[1]));
}

Test(groups, let_threads_of_two_processes_drive_two_ranks_each)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = drive_two_of_four, .no_comm = true});
}

/* Calls on two communicators, whose ranks are in opposite order, in one group. */
static void use_two_comms(struct rank *rank)
{
    whorl_comm_t turned;
    RANK_OK(rank, whorl_comm_split(rank->comm, 0, -rank->rank, NULL, &turned));
    for (int i = 0; i < 20; i++) {
        struct coll_case a = some_case(i % CASE_KINDS, 4), b = some_case((i + 2) % CASE_KINDS, 3);
        struct case_run *run_a = case_begin(rank, rank->comm, &a);
        struct case_run *run_b = case_begin(rank, turned, &b);
        RANK_OK(rank, whorl_group_start());
        RANK_OK(rank, case_call((i + rank->rank) % 2 == 0 ? run_a : run_b, NULL));
        RANK_OK(rank, case_call((i + rank->rank) % 2 == 0 ? run_b : run_a, NULL));
        RANK_OK(rank, whorl_group_end());
        case_end(run_a);
        case_end(run_b);
    }
    RANK_OK(rank, whorl_comm_destroy(turned));
}

Test(groups, run_calls_of_two_communicators_side_by_side_in_any_order)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = use_two_comms});
    ranks_run(&(struct ranks_job){.nthreads = 3, .run = use_two_comms});
}

static void run_many_in_order(struct rank *rank)
{
    enum { NCALLS = 40 };
    int32_t value = 1;
    RANK_OK(rank, whorl_group_start());
    for (int i = 0; i < NCALLS; i++) {
        RANK_OK(rank,
                whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
    }
    RANK_CHECK(rank, value == 1, "a call ran before the group ended");
    RANK_OK(rank, whorl_group_end());
    uint32_t want = 1;
    for (int i = 0; i < NCALLS; i++) {
        want *= (uint32_t)rank->nranks;
    }
    RANK_CHECK(rank, (uint32_t)value == want, "%d is not %u", value, want);
}

Test(groups, run_collectives_of_one_communicator_in_the_order_of_their_calls)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = run_many_in_order});
}

static void nest(struct rank *rank)
{
    int32_t value = 1;
    RANK_OK(rank, whorl_group_start());
    RANK_OK(rank, whorl_group_start());
    RANK_OK(rank, whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
    RANK_OK(rank, whorl_group_end());
    RANK_CHECK(rank, value == 1, "the inner end started the work");
    RANK_OK(rank, whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
    RANK_OK(rank, whorl_group_end());
    RANK_CHECK(rank, value == rank->nranks * rank->nranks, "%d", value);
    RANK_EXPECT(rank, WHORL_E_USAGE, whorl_group_end());
    RANK_OK(rank, whorl_group_start());
    RANK_OK(rank, whorl_group_end());
}

Test(groups, nest_and_only_the_outermost_end_starts_the_work)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = nest});
}

/* Messages larger than a link holds, both ways round a ring at once. */
static void exchange_round_a_ring(struct rank *rank)
{
    enum { COUNT = 500000 };
    int n = rank->nranks, me = rank->rank;
    int right = (me + 1) % n, left = (me + n - 1) % n;
    int32_t *to_right = malloc(4 * COUNT * sizeof(int32_t));
    RANK_CHECK(rank, to_right != NULL, "no memory");
    int32_t *to_left = to_right + COUNT, *from_right = to_left + COUNT;
    int32_t *from_left = from_right + COUNT;
    for (int i = 0; i < COUNT; i++) {
        to_right[i] = me * COUNT + i;
        to_left[i] = -(me * COUNT + i);
    }
    rank_at(rank, "exchanges messages with both neighbours");
    for (int round = 0; round < 3; round++) {
        memset(from_right, 0, 2 * COUNT * sizeof(int32_t));
        RANK_OK(rank, whorl_group_start());
        RANK_OK(rank, whorl_send(to_right, COUNT, WHORL_INT32, right, rank->comm, NULL));
        RANK_OK(rank, whorl_send(to_left, COUNT, WHORL_INT32, left, rank->comm, NULL));
        RANK_OK(rank, whorl_recv(from_left, COUNT, WHORL_INT32, left, rank->comm, NULL));
        RANK_OK(rank, whorl_recv(from_right, COUNT, WHORL_INT32, right, rank->comm, NULL));
        RANK_OK(rank, whorl_group_end());
        for (int i = 0; i < COUNT; i++) {
            RANK_CHECK(rank, from_left[i] == left * COUNT + i, "from left %d: %d", i, from_left[i]);
            RANK_CHECK(rank, from_right[i] == -(right * COUNT + i), "from right %d: %d", i,
                       from_right[i]);
        }
    }
    free(to_right);
}

Test(groups, exchange_large_messages_with_both_neighbours)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = exchange_round_a_ring});
    ranks_run(&(struct ranks_job){.nthreads = 4, .run = exchange_round_a_ring});
}

Test(groups, exchange_large_messages_where_both_neighbours_are_one_rank)
{
    /* The first message to the right is the first that arrives from the left: order is kept. */
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = exchange_round_a_ring});
}

static void keep_message_order(struct rank *rank)
{
    int peer = 1 - rank->rank;
    int64_t got[8] = {0};
    for (int64_t i = 0; i < 8; i++) {
        if (rank->rank == 0) {
            RANK_OK(rank, whorl_send(&i, 1, WHORL_INT64, peer, rank->comm, NULL));
        } else {
            RANK_OK(rank, whorl_recv(&got[i], 1, WHORL_INT64, peer, rank->comm, NULL));
            RANK_CHECK(rank, got[i] == i, "message %d is %d", (int)i, (int)got[i]);
        }
    }
    RANK_OK(rank, whorl_group_start());
    for (int64_t i = 0; i < 8; i++) {
        if (rank->rank == 1) {
            got[i] = 100 + i;
            RANK_OK(rank, whorl_send(&got[i], 1, WHORL_INT64, peer, rank->comm, NULL));
        } else {
            RANK_OK(rank, whorl_recv(&got[i], 1, WHORL_INT64, peer, rank->comm, NULL));
        }
    }
    RANK_OK(rank, whorl_group_end());
    for (int64_t i = 0; i < 8; i++) {
        RANK_CHECK(rank, got[i] == 100 + i, "grouped message %d is %d", (int)i, (int)got[i]);
    }
}

Test(groups, keep_the_order_of_messages_between_two_ranks)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = keep_message_order});
    ranks_run(&(struct ranks_job){.nthreads = 2, .run = keep_message_order});
}

static void talk_to_oneself(struct rank *rank)
{
    int64_t from[2] = {5 + rank->rank, 7}, to[2] = {0};
    RANK_OK(rank, whorl_group_start());
    RANK_OK(rank, whorl_recv(to, 2, WHORL_INT64, rank->rank, rank->comm, NULL));
    RANK_OK(rank, whorl_send(from, 2, WHORL_INT64, rank->rank, rank->comm, NULL));
    RANK_OK(rank, whorl_group_end());
    RANK_CHECK(rank, to[0] == 5 + rank->rank && to[1] == 7, "wrong message");
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
}

Test(groups, carry_a_message_of_a_rank_to_itself)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = talk_to_oneself});
    ranks_run(&(struct ranks_job){.run = talk_to_oneself});
}

static void spoil(struct rank *rank)
{
    int32_t value = 1;
    RANK_OK(rank, whorl_group_start());
    RANK_OK(rank, whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
    RANK_EXPECT(rank, WHORL_E_ARG,
                whorl_broadcast(&value, &value, 1, WHORL_INT32, 99, rank->comm, NULL));
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_group_end());
    RANK_CHECK(rank, value == 1, "a call ran although another was invalid");
    RANK_OK(rank, whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
    RANK_CHECK(rank, value == rank->nranks, "%d", value);
}

Test(groups, with_an_invalid_call_run_nothing_and_leave_the_communicator_working)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = spoil});
}

/* One thread splits the four ranks that it drives. */
static void split_in_group(struct rank *rank)
{
    whorl_comm_t comms[NLOCAL], parts[NLOCAL] = {NULL};
    RANK_OK(rank, whorl_comm_create_local(NLOCAL, NULL, comms));
    RANK_OK(rank, whorl_group_start());
    for (int r = 0; r < NLOCAL; r++) {
        RANK_OK(rank, whorl_comm_split(comms[r], 0, -r, NULL, &parts[r]));
    }
    RANK_OK(rank, whorl_group_end());
    for (int r = 0; r < NLOCAL; r++) {
        int got = -1;
        RANK_OK(rank, whorl_comm_rank(parts[r], &got));
        RANK_CHECK(rank, got == NLOCAL - 1 - r, "rank %d became %d", r, got);
    }
    do_all_kinds_grouped(rank, parts);
    RANK_OK(rank, whorl_group_start());
    for (int r = 0; r < NLOCAL; r++) {
        RANK_OK(rank, whorl_comm_finalize(parts[r]));
    }
    RANK_OK(rank, whorl_group_end());
    for (int r = 0; r < NLOCAL; r++) {
        RANK_OK(rank, whorl_comm_destroy(parts[r]));
        RANK_OK(rank, whorl_comm_destroy(comms[r]));
    }
}

Test(groups, split_and_finalize_the_ranks_that_one_thread_drives)
{
    ranks_run(&(struct ranks_job){.run = split_in_group, .no_comm = true});
}

static void destroy_in_group(struct rank *rank)
{
    RANK_OK(rank, whorl_group_start());
    RANK_EXPECT(rank, WHORL_E_USAGE, whorl_comm_destroy(rank->comm));
    RANK_TEXT(rank, whorl_last_error(NULL), "group");
    RANK_EXPECT(rank, WHORL_E_USAGE, whorl_group_end());
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
}

Test(groups, refuse_to_destroy_a_communicator)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = destroy_in_group});
}
