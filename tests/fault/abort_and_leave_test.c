/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that abort, and ranks that leave early: those who wait for them are told. */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CELL_CALLING };

static const char *const links_only[] = {"WHORL_ALGO=^arena", NULL};

static void *abort_soon(void *arg)
{
    struct rank *rank = arg;
    rank_wait_cell(rank, CELL_CALLING, rank->nranks - 1);
    for (int i = 0; i < 20; i++) {
        rank_nap(); /* let them sleep in their calls */
    }
    RANK_OK(rank, whorl_comm_abort(rank->comm));
    return NULL;
}

static pthread_t start_thread(struct rank *rank, void *(*body)(void *))
{
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, body, rank);
    RANK_CHECK(rank, rc == 0, "no thread: %s", strerror(rc));
    return thread;
}

/* Rank 0 waits in a call, and its other thread aborts; rank 1 never calls. */
static void wait_and_be_freed(struct rank *rank)
{
    const struct coll_case *c = rank->arg;
    pthread_t thread = 0;
    if (rank->rank == 1) {
        rank_meet(rank);
        whorl_result_t rc = rank_await_failure(rank);
        RANK_CHECK(rank, rc == WHORL_E_PEER, "%d: %s", rc, whorl_last_error(rank->comm));
        RANK_EXPECT(rank, WHORL_E_PEER, whorl_barrier(rank->comm, NULL));
        RANK_TEXT(rank, whorl_last_error(rank->comm), "rank 0");
        RANK_TEXT(rank, whorl_last_error(rank->comm), "abort");
        return;
    }
    struct case_run *run = case_begin(rank, rank->comm, c);
    if (rank->rank == 0) {
        thread = start_thread(rank, abort_soon);
    }
    atomic_fetch_add(rank_cell(rank, CELL_CALLING), 1);
    rank_at(rank, "waits in a call, to be freed");
    whorl_result_t rc = case_call(run, NULL);
    whorl_result_t want = rank->rank == 0 ? WHORL_E_ABORTED : WHORL_E_PEER;
    RANK_CHECK(rank, rc == want, "%d: %s", rc, whorl_last_error(NULL));
    RANK_TEXT(rank, whorl_last_error(rank->comm), "rank 0");
    RANK_TEXT(rank, whorl_last_error(rank->comm), "abort");
    RANK_EXPECT(rank, want, case_call(run, NULL));
    if (rank->rank == 0) {
        pthread_join(thread, NULL);
    }
    case_drop(run);
    rank_meet(rank);
}

Test(abort, frees_a_waiting_rank_and_tells_the_others_who_aborted)
{
    static const enum case_kind kinds[] = {CASE_ALL_REDUCE, CASE_ALL_GATHER, CASE_REDUCE_SCATTER,
                                           CASE_BARRIER,    CASE_ALL_TO_ALL, CASE_ALL_GATHER_V};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct coll_case c = {.kind = kinds[i], .count = 300000, .dtype = WHORL_INT32, .seed = 1};
        ranks_run(&(struct ranks_job){.nprocesses = 3, .run = wait_and_be_freed, .arg = &c});
        ranks_run(&(struct ranks_job){.nthreads = 3, .run = wait_and_be_freed, .arg = &c});
        ranks_run(&(struct ranks_job){
            .nprocesses = 3, .run = wait_and_be_freed, .arg = &c, .env = links_only});
    }
}

struct vanishing {
    struct coll_case c;
    int after_us; /* from the second call on, until rank 0 aborts */
};

static void *abort_in_the_middle(void *arg)
{
    struct rank *rank = arg;
    const struct vanishing *vanishing = rank->arg;
    rank_wait_cell(rank, CELL_CALLING, 2);
    usleep((useconds_t)vanishing->after_us);
    RANK_OK(rank, whorl_comm_abort(rank->comm));
    return NULL;
}

/* Calls until it fails, and then gives its buffers back to the system at once. */
static void give_buffers_back(struct rank *rank)
{
    const struct vanishing *vanishing = rank->arg;
    struct case_run *run = case_begin(rank, rank->comm, &vanishing->c);
    pthread_t thread = 0;
    if (rank->rank == 0) {
        thread = start_thread(rank, abort_in_the_middle);
    }
    whorl_result_t rc;
    do {
        atomic_fetch_add(rank_cell(rank, CELL_CALLING), rank->rank == 0);
        rc = case_call(run, NULL);
    } while (rc == WHORL_OK);
    case_drop(run);
    whorl_result_t want = rank->rank == 0 ? WHORL_E_ABORTED : WHORL_E_PEER;
    RANK_CHECK(rank, rc == want, "%d: %s", rc, whorl_last_error(rank->comm));
    RANK_TEXT(rank, whorl_last_error(rank->comm), "abort");
    if (rank->rank == 0) {
        pthread_join(thread, NULL);
    }
    rank_meet(rank);
}

/* Others may be at work on the buffers of a rank whose call fails: threads by their addresses,
 * processes through the kernel. They may then be gone in the middle of it. */
Test(abort, lets_buffers_go_as_soon_as_a_call_has_failed, .timeout = 120)
{
    static const enum case_kind kinds[] = {CASE_ALL_REDUCE, CASE_ALL_TO_ALL, CASE_REDUCE_SCATTER};
    for (int i = 0; i < 8 * 3; i++) {
        struct vanishing vanishing = {
            .c = {.kind = kinds[i % 3], .count = 2 << 20, .dtype = WHORL_FLOAT32, .seed = 1},
            .after_us = i / 3 * 700,
        };
        struct ranks_job job = {.nthreads = 3, .run = give_buffers_back, .arg = &vanishing};
        ranks_run(&job);
        job.nthreads = 0;
        job.nprocesses = 3;
        ranks_run(&job);
    }
}

/* Calls until it fails, and then uses its output for something else at once. */
static void use_output_again(struct rank *rank)
{
    const struct vanishing *vanishing = rank->arg;
    size_t count = vanishing->c.count, nbytes = count * sizeof(float);
    void *input = NULL, *output = NULL;
    pthread_t thread = 0;
    RANK_OK(rank, whorl_mem_alloc(nbytes, &input));
    RANK_OK(rank, whorl_mem_alloc(nbytes, &output));
    memset(input, 0, nbytes);
    if (rank->rank == 0) {
        thread = start_thread(rank, abort_in_the_middle);
    }
    whorl_result_t rc;
    do {
        atomic_fetch_add(rank_cell(rank, CELL_CALLING), rank->rank == 0);
        rc = whorl_all_reduce(input, output, count, WHORL_FLOAT32, WHORL_SUM, rank->comm, NULL);
    } while (rc == WHORL_OK);
    memset(output, 0x5e, nbytes);
    if (rank->rank == 0) {
        pthread_join(thread, NULL);
    }
    rank_meet(rank); /* nobody is in the call any more */
    for (size_t i = 0; i < nbytes; i++) {
        RANK_CHECK(rank, ((uint8_t *)output)[i] == 0x5e, "byte %zu was written later", i);
    }
    rank_meet(rank);
    RANK_OK(rank, whorl_mem_free(input));
    RANK_OK(rank, whorl_mem_free(output));
}

/* In memory that all ranks have mapped everyone writes to everyone's output. */
Test(abort, lets_outputs_be_used_again_as_soon_as_a_call_has_failed, .timeout = 120)
{
    for (int i = 0; i < 16; i++) {
        struct vanishing vanishing = {.c = {.count = 4 << 20}, .after_us = i * 500};
        ranks_run(&(struct ranks_job){.nprocesses = 3, .run = use_output_again, .arg = &vanishing});
    }
}

static void abort_when_alone(struct rank *rank)
{
    RANK_OK(rank, whorl_comm_abort(rank->comm));
    RANK_OK(rank, whorl_comm_abort(rank->comm)); /* again: nothing new */
    whorl_result_t error = WHORL_OK;
    RANK_OK(rank, whorl_comm_async_error(rank->comm, &error));
    RANK_CHECK(rank, error == WHORL_E_ABORTED, "%d", error);
    RANK_EXPECT(rank, WHORL_E_ABORTED, whorl_barrier(rank->comm, NULL));
    whorl_comm_t part = NULL;
    RANK_EXPECT(rank, WHORL_E_ABORTED, whorl_comm_split(rank->comm, 0, 0, NULL, &part));
    RANK_EXPECT(rank, WHORL_E_ABORTED, whorl_comm_finalize(rank->comm));
    RANK_OK(rank, whorl_comm_rank(rank->comm, &(int){0}));
}

Test(abort, of_a_single_rank_breaks_its_communicator)
{
    ranks_run(&(struct ranks_job){.run = abort_when_alone});
}

/* Every rank aborts at once: whoever was first, all get an error and can leave. */
static void abort_together(struct rank *rank)
{
    rank_meet(rank);
    RANK_OK(rank, whorl_comm_abort(rank->comm));
    whorl_result_t rc = whorl_barrier(rank->comm, NULL);
    RANK_CHECK(rank, rc == WHORL_E_ABORTED || rc == WHORL_E_PEER, "%d", rc);
}

Test(abort, may_come_from_all_ranks_at_once)
{
    ranks_run(&(struct ranks_job){.nprocesses = 4, .run = abort_together});
    ranks_run(&(struct ranks_job){.nthreads = 4, .run = abort_together});
}

/* Rank 1 destroys its communicator while the others wait for it. */
static void leave_early(struct rank *rank)
{
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    if (rank->rank == 1) {
        rank_wait_cell(rank, CELL_CALLING, rank->nranks - 1);
        RANK_OK(rank, whorl_comm_destroy(rank->comm));
        rank->comm = NULL;
        rank_meet(rank);
        return;
    }
    int32_t value = 1;
    atomic_fetch_add(rank_cell(rank, CELL_CALLING), 1);
    rank_at(rank, "waits for rank 1, which leaves");
    RANK_EXPECT(rank, WHORL_E_PEER,
                whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
    RANK_TEXT(rank, whorl_last_error(rank->comm), "rank 1");
    RANK_TEXT(rank, whorl_last_error(rank->comm), "left");
    rank_meet(rank);
}

Test(leaving, early_is_told_to_those_who_wait)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = leave_early});
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = leave_early, .env = links_only});
    ranks_run(&(struct ranks_job){.nthreads = 3, .run = leave_early});
}

/* A rank that leaves after its last call takes nothing from the others. */
static void leave_in_good_order(struct rank *rank)
{
    struct coll_case c = {
        .kind = CASE_BROADCAST, .count = 100000, .dtype = WHORL_INT32, .root = 0, .seed = 4};
    case_do(rank, rank->comm, &c);
    if (rank->rank == 0) {
        RANK_OK(rank, whorl_comm_destroy(rank->comm));
        rank->comm = NULL;
    }
}

Test(leaving, after_the_last_call_disturbs_nobody)
{
    for (int i = 0; i < 10; i++) {
        ranks_run(&(struct ranks_job){.nprocesses = 3, .run = leave_in_good_order});
    }
    ranks_run(&(struct ranks_job){.nthreads = 3, .run = leave_in_good_order});
}

/* A process that ends without destroying its communicator. */
static void end_without_destroy(struct rank *rank)
{
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    rank_meet(rank); /* rank 0 is through its barrier */
    if (rank->rank == 1) {
        rank->comm = NULL; /* the harness ends the process */
        return;
    }
    int32_t value = 1;
    RANK_EXPECT(rank, WHORL_E_PEER,
                whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
    RANK_TEXT(rank, whorl_last_error(rank->comm), "rank 1");
}

Test(leaving, by_ending_the_process_is_told_to_those_who_wait)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = end_without_destroy});
}
