/* SPDX-License-Identifier: Apache-2.0 */
/* Communicators come and go: nothing is left of them, and many ranks can join at once. */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* What this process has open. */
struct footprint {
    int nfds, nthreads, nmaps;
    long private_kib;
};

static struct footprint footprint_now(void)
{
    return (struct footprint){.nfds = rank_count_fds(),
                              .nthreads = rank_count_threads(),
                              .nmaps = rank_count_maps(),
                              .private_kib = rank_smaps_kib("Private_Dirty")};
}

/* The allocator may keep a few arenas and pages; a thousand communicators would need far more. */
static void expect_no_growth(struct rank *rank, const struct footprint *before)
{
    struct footprint now = footprint_now();
    for (int i = 0; i < 5000 && now.nthreads > before->nthreads; i++) {
        rank_nap(); /* the kernel lists a thread for a moment after it was joined */
        now = footprint_now();
    }
    fprintf(stderr,
            "descriptors %d -> %d, threads %d -> %d, mappings %d -> %d, private %ld -> %ld KiB\n",
            before->nfds, now.nfds, before->nthreads, now.nthreads, before->nmaps, now.nmaps,
            before->private_kib, now.private_kib);
    RANK_CHECK(rank, now.nfds <= before->nfds, "descriptors: %d, then %d", before->nfds, now.nfds);
    RANK_CHECK(rank, now.nthreads <= before->nthreads, "threads: %d, then %d", before->nthreads,
               now.nthreads);
    if (!RANKS_SLOW_BUILD) { /* a sanitizer has books of its own */
        RANK_CHECK(rank, now.nmaps <= before->nmaps + 16, "mappings: %d, then %d", before->nmaps,
                   now.nmaps);
        RANK_CHECK(rank, now.private_kib <= before->private_kib + 2048,
                   "private memory: %ld KiB, then %ld", before->private_kib, now.private_kib);
    }
}

enum { NWARM = 20, NTIMES = RANKS_SLOW_BUILD ? 100 : 1000 };

/* Ids of one communicator after the other: cells hold the number of the newest, then its bytes. */
static whorl_id_t next_id(struct rank *rank, int i)
{
    whorl_id_t id;
    if (rank->rank == 0) {
        RANK_OK(rank, whorl_id_create(&id));
        for (int b = 0; b < WHORL_ID_NBYTES; b++) {
            atomic_store(rank_cell(rank, 8 + b), id.bytes[b]);
        }
        atomic_store(rank_cell(rank, 0), i + 1);
    }
    rank_wait_cell(rank, 0, i + 1);
    for (int b = 0; b < WHORL_ID_NBYTES; b++) {
        id.bytes[b] = (uint8_t)atomic_load(rank_cell(rank, 8 + b));
    }
    return id;
}

static void come_and_go(struct rank *rank, int i)
{
    int32_t one = 1, sum = 0;
    whorl_comm_t comm = NULL;
    whorl_id_t id = next_id(rank, i);
    rank_at(rank, "is in communicator %d", i);
    RANK_OK(rank, whorl_comm_create(rank->nranks, rank->rank, &id, NULL, &comm));
    RANK_OK(rank, whorl_all_reduce(&one, &sum, 1, WHORL_INT32, WHORL_SUM, comm, NULL));
    RANK_CHECK(rank, sum == rank->nranks, "%d", sum);
    RANK_OK(rank, whorl_comm_destroy(comm));
    rank_meet(rank);
}

static void come_and_go_often(struct rank *rank)
{
    struct footprint before = {0};
    for (int i = 0; i < NWARM + NTIMES; i++) {
        if (i == NWARM) {
            before = footprint_now();
            rank_meet(rank);
        }
        come_and_go(rank, i);
    }
    if (rank->thread == 0) {
        rank_nap();
        expect_no_growth(rank, &before);
    }
    rank_meet(rank);
}

Test(lifecycle, of_a_thousand_communicators_of_two_threads_leaves_nothing)
{
    ranks_run(&(struct ranks_job){.nthreads = 2, .run = come_and_go_often, .no_comm = true});
}

Test(lifecycle, of_a_thousand_communicators_of_two_processes_leaves_nothing)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = come_and_go_often, .no_comm = true});
}

static void be_alone_often(struct rank *rank)
{
    struct footprint before = {0};
    for (int i = 0; i < NWARM + NTIMES; i++) {
        if (i == NWARM) {
            before = footprint_now();
        }
        whorl_comm_t comm = NULL;
        RANK_OK(rank, whorl_comm_create_local(1, NULL, &comm));
        RANK_OK(rank, whorl_barrier(comm, NULL));
        RANK_OK(rank, whorl_comm_destroy(comm));
    }
    expect_no_growth(rank, &before);
}

Test(lifecycle, of_a_thousand_communicators_of_one_rank_leaves_nothing)
{
    ranks_run(&(struct ranks_job){.run = be_alone_often, .no_comm = true});
}

static void split_often(struct rank *rank)
{
    struct footprint before = {0};
    for (int i = 0; i < NWARM + NTIMES / 4; i++) {
        if (i == NWARM) {
            before = footprint_now();
        }
        whorl_comm_t part = NULL;
        RANK_OK(rank, whorl_comm_split(rank->comm, 0, 0, NULL, &part));
        RANK_OK(rank, whorl_barrier(part, NULL));
        RANK_OK(rank, whorl_comm_destroy(part));
    }
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    expect_no_growth(rank, &before);
    rank_meet(rank);
}

Test(lifecycle, of_many_splits_leaves_nothing)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = split_often});
}

static void stream_often(struct rank *rank)
{
    struct footprint before = {0};
    for (int i = 0; i < NWARM + NTIMES; i++) {
        if (i == NWARM) {
            before = footprint_now();
        }
        whorl_stream_t stream = NULL;
        whorl_redop_t op;
        float factor = 1;
        RANK_OK(rank, whorl_stream_create(&stream));
        RANK_OK(rank, whorl_redop_create_premul_sum(&factor, WHORL_FLOAT32, rank->comm, &op));
        RANK_OK(rank, whorl_all_reduce(&factor, &factor, 1, WHORL_FLOAT32, op, rank->comm, stream));
        RANK_OK(rank, whorl_redop_destroy(op, rank->comm));
        RANK_OK(rank, whorl_stream_destroy(stream));
    }
    expect_no_growth(rank, &before);
}

Test(lifecycle, of_a_thousand_streams_and_reductions_leaves_nothing)
{
    ranks_run(&(struct ranks_job){.run = stream_often});
}

static void join_a_crowd(struct rank *rank)
{
    for (int i = 0; i < 2; i++) {
        struct coll_case c = {.kind = i == 0 ? CASE_ALL_REDUCE : CASE_BARRIER,
                              .count = 1000,
                              .dtype = WHORL_FLOAT32,
                              .op = WHORL_SUM,
                              .seed = 9};
        case_do(rank, rank->comm, &c);
    }
}

Test(lifecycle, of_64_ranks_in_threads)
{
    ranks_run(&(struct ranks_job){.nthreads = 64, .run = join_a_crowd});
}

Test(lifecycle, of_64_ranks_in_processes)
{
    ranks_run(&(struct ranks_job){.nprocesses = 64, .run = join_a_crowd});
}

Test(lifecycle, of_64_ranks_in_16_processes_of_4_threads)
{
    ranks_run(&(struct ranks_job){.nprocesses = 16, .nthreads = 4, .run = join_a_crowd});
}

static void create_local(struct rank *rank)
{
    whorl_comm_t comms[16];
    RANK_OK(rank, whorl_comm_create_local(16, NULL, comms));
    for (int r = 0; r < 16; r++) {
        int got = -1, n = -1;
        RANK_OK(rank, whorl_comm_rank(comms[r], &got));
        RANK_OK(rank, whorl_comm_size(comms[r], &n));
        RANK_CHECK(rank, got == r && n == 16, "rank %d of %d", got, n);
    }
    for (int r = 15; r >= 0; r--) {
        RANK_OK(rank, whorl_comm_destroy(comms[r]));
    }
}

Test(lifecycle, of_local_ranks_begins_and_ends_in_one_thread)
{
    ranks_run(&(struct ranks_job){.run = create_local, .no_comm = true});
}

static void take_null(struct rank *rank)
{
    RANK_OK(rank, whorl_comm_destroy(NULL));
    RANK_OK(rank, whorl_stream_destroy(NULL));
}

Test(lifecycle, ends_of_null_are_allowed)
{
    ranks_run(&(struct ranks_job){.run = take_null, .no_comm = true});
}
