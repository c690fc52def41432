/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One rank makes another call than the rest: every rank gets an error that shows both calls, in
 * that call or, where its own was complete, in the next one.
 */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct odd {
    const char *name;
    struct coll_case most; /* what all ranks but the last call */
    struct coll_case last;
    const char *most_part, *last_part; /* what shows the calls in the error */
};

#define REDUCE_F32(n)                                                            \
    {                                                                            \
        .kind = CASE_ALL_REDUCE, .count = (n), .dtype = WHORL_FLOAT32, .seed = 1 \
    }

static const struct odd odds[] = {
    {"count of all_reduce", REDUCE_F32(100), REDUCE_F32(101), "count 100", "count 101"},
    {"count of all_reduce, 1 MiB and 4 bytes", REDUCE_F32(262144), REDUCE_F32(1), "count 262144",
     "count 1,"},
    {"count zero", REDUCE_F32(0), REDUCE_F32(5), "count 0", "count 5"},
    {"datatype of all_reduce",
     REDUCE_F32(100),
     {.kind = CASE_ALL_REDUCE, .count = 100, .dtype = WHORL_INT32},
     "float32",
     "int32"},
    {"reduction of all_reduce",
     REDUCE_F32(100),
     {.kind = CASE_ALL_REDUCE, .count = 100, .dtype = WHORL_FLOAT32, .op = WHORL_MAX},
     "sum",
     "max"},
    {"premultiplied sum",
     REDUCE_F32(100),
     {.kind = CASE_ALL_REDUCE, .count = 100, .dtype = WHORL_FLOAT32, .op = VALUES_PREMUL},
     ", sum",
     "premulsum"},
    {"all_reduce and barrier", REDUCE_F32(100), {.kind = CASE_BARRIER}, "all_reduce(", "barrier("},
    {"barrier and all_reduce", {.kind = CASE_BARRIER}, REDUCE_F32(100), "barrier(", "all_reduce("},
    {"all_reduce and all_gather",
     REDUCE_F32(100),
     {.kind = CASE_ALL_GATHER, .count = 100, .dtype = WHORL_FLOAT32},
     "all_reduce(",
     "all_gather("},
    {"all_gather and reduce_scatter",
     {.kind = CASE_ALL_GATHER, .count = 100, .dtype = WHORL_FLOAT32},
     {.kind = CASE_REDUCE_SCATTER, .count = 100, .dtype = WHORL_FLOAT32},
     "all_gather(",
     "reduce_scatter("},
    {"all_reduce and broadcast",
     REDUCE_F32(100),
     {.kind = CASE_BROADCAST, .count = 100, .dtype = WHORL_FLOAT32},
     "all_reduce(",
     "broadcast("},
    {"reduce and all_reduce",
     {.kind = CASE_REDUCE, .count = 100, .dtype = WHORL_FLOAT32},
     REDUCE_F32(100),
     "reduce(",
     "all_reduce("},
    {"count of all_gather",
     {.kind = CASE_ALL_GATHER, .count = 100, .dtype = WHORL_INT8},
     {.kind = CASE_ALL_GATHER, .count = 200, .dtype = WHORL_INT8},
     "count 100",
     "count 200"},
    {"datatype of reduce_scatter",
     {.kind = CASE_REDUCE_SCATTER, .count = 100, .dtype = WHORL_FLOAT16},
     {.kind = CASE_REDUCE_SCATTER, .count = 100, .dtype = WHORL_BFLOAT16},
     "float16",
     "bfloat16"},
    {"count of broadcast",
     {.kind = CASE_BROADCAST, .count = 100, .dtype = WHORL_INT32},
     {.kind = CASE_BROADCAST, .count = 90, .dtype = WHORL_INT32},
     "count 100",
     "count 90"},
    {"root of broadcast",
     {.kind = CASE_BROADCAST, .count = 100, .dtype = WHORL_INT32, .root = 0},
     {.kind = CASE_BROADCAST, .count = 100, .dtype = WHORL_INT32, .root = 1},
     "root 0",
     "root 1"},
    {"root of reduce",
     {.kind = CASE_REDUCE, .count = 100, .dtype = WHORL_INT32, .root = 0},
     {.kind = CASE_REDUCE, .count = 100, .dtype = WHORL_INT32, .root = 1},
     "root 0",
     "root 1"},
    {"reduction of reduce",
     {.kind = CASE_REDUCE, .count = 100, .dtype = WHORL_INT32, .op = WHORL_MIN},
     {.kind = CASE_REDUCE, .count = 100, .dtype = WHORL_INT32, .op = WHORL_PROD},
     "min",
     "prod"},
};
enum { NODDS = sizeof(odds) / sizeof(odds[0]) };

static void call_something_else(struct rank *rank)
{
    const struct odd *odd = rank->arg;
    bool last = rank->rank == rank->nranks - 1;
    struct case_run *run = case_begin(rank, rank->comm, last ? &odd->last : &odd->most);
    rank_at(rank, "calls with another %s", odd->name);
    whorl_result_t rc = case_call(run, NULL);
    if (rc == WHORL_OK) {
        rank_at(rank, "calls barrier after another %s", odd->name);
        rc = whorl_barrier(rank->comm, NULL);
    }
    const char *text = whorl_last_error(rank->comm);
    RANK_CHECK(rank, rc == WHORL_E_MISMATCH, "%s: %d: %s", odd->name, rc, text);
    rank_at(rank, "reads about another %s", odd->name);
    RANK_TEXT(rank, text, odd->most_part);
    RANK_TEXT(rank, text, odd->last_part);
    char name[32];
    snprintf(name, sizeof(name), "rank %d", rank->nranks - 1);
    RANK_TEXT(rank, text, name);

    RANK_EXPECT(rank, WHORL_E_MISMATCH, whorl_barrier(rank->comm, NULL));
    rank_meet(rank);
    case_drop(run);
}

static void expect_mismatches(int nprocesses, int nthreads, const char *algo)
{
    const char *const env[] = {"WHORL_TIMEOUT=10s", algo, NULL};
    for (int i = 0; i < NODDS; i++) {
        cr_log_info("%s, %d processes of %d threads", odds[i].name, nprocesses, nthreads);
        ranks_run(&(struct ranks_job){.nprocesses = nprocesses,
                                      .nthreads = nthreads,
                                      .run = call_something_else,
                                      .arg = &odds[i],
                                      .env = env});
    }
}

Test(mismatch, of_two_processes_is_told_to_both)
{
    expect_mismatches(2, 1, NULL);
}

Test(mismatch, of_three_processes_is_told_to_all)
{
    expect_mismatches(3, 1, NULL);
}

Test(mismatch, of_four_threads_is_told_to_all)
{
    expect_mismatches(1, 4, NULL);
}

Test(mismatch, on_links_is_told_to_all)
{
    expect_mismatches(2, 1, "WHORL_ALGO=^arena");
    expect_mismatches(3, 1, "WHORL_ALGO=^arena");
    expect_mismatches(1, 4, "WHORL_ALGO=^arena");
}

/* One message of another size or type than the receiver expects. */
struct message {
    size_t send_count, recv_count;
    whorl_dtype_t send_dtype, recv_dtype;
};

static void send_something_else(struct rank *rank)
{
    const struct message *m = rank->arg;
    char memory[1024] = {0}, part[32];
    whorl_result_t rc = rank->rank == 0
                            ? whorl_send(memory, m->send_count, m->send_dtype, 1, rank->comm, NULL)
                            : whorl_recv(memory, m->recv_count, m->recv_dtype, 0, rank->comm, NULL);
    if (rank->rank == 0 && rc == WHORL_OK) {
        rc = whorl_barrier(rank->comm, NULL);
    }
    RANK_CHECK(rank, rc == WHORL_E_MISMATCH, "%d: %s", rc, whorl_last_error(NULL));
    const char *text = whorl_last_error(rank->comm);
    snprintf(part, sizeof(part), "count %zu, %s", m->send_count, whorl_dtype_str(m->send_dtype));
    RANK_TEXT(rank, text, part);
    snprintf(part, sizeof(part), "count %zu, %s", m->recv_count, whorl_dtype_str(m->recv_dtype));
    RANK_TEXT(rank, text, part);
    rank_meet(rank);
}

Test(mismatch, of_a_message_is_told_to_sender_and_receiver)
{
    static const struct message messages[] = {
        {10, 11, WHORL_INT32, WHORL_INT32},
        {10, 10, WHORL_INT32, WHORL_FLOAT32},
        {0, 10, WHORL_INT32, WHORL_INT32},
        {10, 0, WHORL_INT32, WHORL_INT32},
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        ranks_run(
            &(struct ranks_job){.nprocesses = 2, .run = send_something_else, .arg = &messages[i]});
        ranks_run(
            &(struct ranks_job){.nthreads = 2, .run = send_something_else, .arg = &messages[i]});
    }
}

/* A communicator that failed does not harm another one of the same ranks. */
static void use_the_other(struct rank *rank)
{
    whorl_comm_t other = NULL;
    RANK_OK(rank, whorl_comm_split(rank->comm, 0, 0, NULL, &other));
    int32_t value = 1;
    whorl_result_t rc = whorl_all_reduce(&value, &value, rank->rank == 0 ? 1 : 0, WHORL_INT32,
                                         WHORL_SUM, rank->comm, NULL);
    RANK_CHECK(rank, rc == WHORL_E_MISMATCH, "%d: %s", rc, whorl_last_error(NULL));
    struct coll_case c = REDUCE_F32(1000);
    case_do(rank, other, &c);
    RANK_OK(rank, whorl_comm_destroy(rank->comm));
    rank->comm = NULL;
    case_do(rank, other, &c);
    RANK_OK(rank, whorl_comm_destroy(other));
}

static void split_or_reduce(struct rank *rank)
{
    int32_t in = 1, out = 0;
    whorl_comm_t child = NULL;
    if (rank->rank == 0) {
        RANK_EXPECT(rank, WHORL_E_MISMATCH, whorl_comm_split(rank->comm, 0, 0, NULL, &child));
    } else {
        RANK_EXPECT(rank, WHORL_E_MISMATCH,
                    whorl_all_reduce(&in, &out, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
    }
    RANK_TEXT(rank, whorl_last_error(rank->comm), "comm_split()");
    RANK_TEXT(rank, whorl_last_error(rank->comm), "all_reduce(count 1, int32, sum)");
}

Test(mismatch, of_a_split_and_a_collective_is_told_to_all)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = split_or_reduce});
    ranks_run(&(struct ranks_job){.nthreads = 4, .run = split_or_reduce});
}

Test(mismatch, breaks_one_communicator_and_no_other)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = use_the_other});
    ranks_run(&(struct ranks_job){.nthreads = 2, .run = use_the_other});
}
