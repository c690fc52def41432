/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines: a rank that never calls, and a rank that never joins. */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <string.h>

static void wait_for_one_who_never_calls(struct rank *rank)
{
    const struct coll_case *c = rank->arg;
    if (rank->rank == 1) {
        rank_meet(rank);
        whorl_result_t rc = rank_await_failure(rank);
        RANK_CHECK(rank, rc == WHORL_E_TIMEOUT || rc == WHORL_E_PEER, "%d", rc);
        RANK_EXPECT(rank, rc, whorl_barrier(rank->comm, NULL));
        RANK_TEXT(rank, whorl_last_error(rank->comm), "did not finish");
        return;
    }
    struct case_run *run = case_begin(rank, rank->comm, c);
    rank_at(rank, "waits for a deadline");
    RANK_EXPECT(rank, WHORL_E_TIMEOUT, case_call(run, NULL));
    const char *text = whorl_last_error(rank->comm);
    RANK_TEXT(rank, text, "WHORL_TIMEOUT");
    RANK_TEXT(rank, text, case_kind_str(c->kind));
    RANK_TEXT(rank, text, "rank 1");
    case_drop(run);
    rank_meet(rank);
}

static void expect_timeouts(const char *algo, int nkinds)
{
    const char *const env[] = {"WHORL_TIMEOUT=300ms", algo, NULL};
    for (int kind = 0; kind < nkinds; kind++) {
        if (kind == CASE_SENDRECV) {
            continue;
        }
        struct coll_case c = {.kind = (enum case_kind)kind,
                              .count = 1000000, /* more than links hold: senders wait too */
                              .dtype = WHORL_FLOAT32,
                              .seed = 1};
        ranks_run(&(struct ranks_job){
            .nprocesses = 2, .run = wait_for_one_who_never_calls, .arg = &c, .env = env});
        ranks_run(&(struct ranks_job){
            .nthreads = 2, .run = wait_for_one_who_never_calls, .arg = &c, .env = env});
    }
}

Test(timeout, of_an_operation_names_it_and_the_rank_that_it_waits_for)
{
    expect_timeouts(NULL, CASE_KINDS);
}

Test(timeout, on_links_names_the_operation_and_the_rank_that_it_waits_for)
{
    expect_timeouts("WHORL_ALGO=^arena", CASE_KINDS);
}

static void wait_for_a_message(struct rank *rank)
{
    char byte;
    if (rank->rank == 0) {
        RANK_EXPECT(rank, WHORL_E_TIMEOUT, whorl_recv(&byte, 1, WHORL_INT8, 1, rank->comm, NULL));
        RANK_TEXT(rank, whorl_last_error(rank->comm), "recv");
        RANK_TEXT(rank, whorl_last_error(rank->comm), "rank 1");
    }
    rank_meet(rank);
}

Test(timeout, of_a_receive_names_the_sender)
{
    static const char *const env[] = {"WHORL_TIMEOUT=200ms", NULL};
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = wait_for_a_message, .env = env});
}

/* The option of the communicator wins over the environment; here there is none. */
Test(timeout, may_be_an_option_of_the_communicator)
{
    ranks_run(&(struct ranks_job){
        .nprocesses = 2, .run = wait_for_a_message, .options = {.timeout_ms = 200}});
}

static void time_out_in_a_stream(struct rank *rank)
{
    int32_t value = 1;
    if (rank->rank == 0) {
        whorl_stream_t stream;
        RANK_OK(rank, whorl_stream_create(&stream));
        for (int i = 0; i < 3; i++) {
            RANK_OK(rank, whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm,
                                           stream));
        }
        RANK_EXPECT(rank, WHORL_E_TIMEOUT, whorl_stream_synchronize(stream));
        RANK_OK(rank, whorl_stream_destroy(stream));
    }
    rank_meet(rank);
}

Test(timeout, ends_calls_in_streams)
{
    static const char *const env[] = {"WHORL_TIMEOUT=200ms", NULL};
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = time_out_in_a_stream, .env = env});
}

/* Ranks of a job of 6 of which 2 and 5 never come. */
static void join_without_some(struct rank *rank)
{
    whorl_id_t id = rank_job_id(rank);
    if (rank->rank == 2 || rank->rank == 5) {
        rank_meet(rank); /* rank 0 lives until the others are through */
        return;
    }
    rank_at(rank, "joins a job that is never complete");
    RANK_EXPECT(rank, WHORL_E_TIMEOUT,
                whorl_comm_create(rank->nranks, rank->rank, &id, NULL, &rank->comm));
    RANK_CHECK(rank, rank->comm == NULL, "written on failure");
    RANK_TEXT(rank, whorl_last_error(NULL), "4 of 6 ranks joined; missing: 2, 5");
    rank_meet(rank);
}

Test(timeout, of_a_join_lists_the_ranks_that_are_missing)
{
    static const char *const env[] = {"WHORL_INIT_TIMEOUT=2s", NULL};
    ranks_run(&(struct ranks_job){
        .nprocesses = 6, .run = join_without_some, .env = env, .no_comm = true});
    ranks_run(
        &(struct ranks_job){.nthreads = 6, .run = join_without_some, .env = env, .no_comm = true});
}

/* The root's process ended before all had joined. */
static void join_without_root(struct rank *rank)
{
    whorl_id_t id = rank_job_id(rank);
    rank_meet(rank);
    if (rank->rank == 0) {
        return; /* the process ends, and the root with it */
    }
    whorl_result_t rc = whorl_comm_create(rank->nranks, rank->rank, &id, NULL, &rank->comm);
    RANK_CHECK(rank, rc < 0 && rank->comm == NULL, "%d", rc);
    RANK_TEXT(rank, whorl_last_error(NULL), "root");
}

Test(timeout, of_a_join_whose_root_is_gone_says_so)
{
    static const char *const env[] = {"WHORL_INIT_TIMEOUT=2s", NULL};
    ranks_run(&(struct ranks_job){
        .nprocesses = 3, .run = join_without_root, .env = env, .no_comm = true});
}

/* Two ranks claim one place; or they disagree about how many there are. */
static void join_in_disagreement(struct rank *rank)
{
    const int *nranks_of_1 = rank->arg;
    whorl_id_t id = rank_job_id(rank);
    int nranks = rank->rank == 1 ? *nranks_of_1 : 2;
    int place = rank->rank == 1 && *nranks_of_1 == 2 ? 0 : rank->rank;
    whorl_result_t rc = whorl_comm_create(nranks, place, &id, NULL, &rank->comm);
    RANK_CHECK(rank, rc == WHORL_E_MISMATCH || rc == WHORL_E_TIMEOUT, "%d: %s", rc,
               whorl_last_error(NULL));
    atomic_fetch_add(rank_cell(rank, 0), rc == WHORL_E_MISMATCH);
    rank_meet(rank);
    RANK_CHECK(rank, atomic_load(rank_cell(rank, 0)) > 0, "nobody was told of the disagreement");
}

Test(timeout, is_not_needed_where_ranks_disagree_about_the_job)
{
    static const char *const env[] = {"WHORL_INIT_TIMEOUT=3s", NULL};
    static const int twice_rank_0 = 2, another_size = 3;
    ranks_run(&(struct ranks_job){.nprocesses = 2,
                                  .run = join_in_disagreement,
                                  .arg = &twice_rank_0,
                                  .env = env,
                                  .no_comm = true});
    ranks_run(&(struct ranks_job){.nprocesses = 2,
                                  .run = join_in_disagreement,
                                  .arg = &another_size,
                                  .env = env,
                                  .no_comm = true});
}
