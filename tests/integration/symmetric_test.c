/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that other ranks map: every collective with every mixture of private, allocated and
 * registered buffers, freed and made again between calls, in more regions than a communicator keeps
 * windows for, on several communicators.
 */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const size_t counts[] = {9, 5000, 70000, 400000};
enum { NCOUNTS = sizeof(counts) / sizeof(counts[0]) };

/* Buffers are allocated for each call and freed after it, so addresses, descriptors and windows
 * come and go; what one rank uses says nothing about the others. */
static void mix_memories(struct rank *rank)
{
    uint64_t own = 17 + (uint64_t)rank->rank;
    for (int i = 0; i < CASE_KINDS * NCOUNTS * 4; i++) {
        struct coll_case c = {
            .kind = (enum case_kind)(i % CASE_KINDS),
            .count = counts[i / CASE_KINDS % NCOUNTS],
            .dtype = i % 3 ? WHORL_FLOAT32 : WHORL_INT8,
            .op = i % (VALUES_PREMUL + 1),
            .root = i % rank->nranks,
            .in_place = i % 5 < 2,
            .send_memory = (enum case_memory)(ranks_random(&own) % CASE_MEMORIES),
            .recv_memory = (enum case_memory)(ranks_random(&own) % CASE_MEMORIES),
            .seed = 4,
        };
        case_do(rank, rank->comm, &c);
    }
}

static void run(int nprocesses, int nthreads, void (*what)(struct rank *))
{
    ranks_run(&(struct ranks_job){.nprocesses = nprocesses, .nthreads = nthreads, .run = what});
}

Test(symmetric, memories_may_be_mixed_with_others_in_processes)
{
    run(2, 1, mix_memories);
    run(3, 1, mix_memories);
}

Test(symmetric, memories_may_be_mixed_with_others_in_threads)
{
    run(1, 3, mix_memories);
}

Test(symmetric, memories_may_be_mixed_with_others_in_processes_of_threads)
{
    run(2, 2, mix_memories);
}

/* All ranks have the same kind of memory, so that every call goes without staging. */
static void use_one_memory(struct rank *rank)
{
    for (int i = 0; i < CASE_KINDS * NCOUNTS * 2; i++) {
        enum case_memory memory = i / (CASE_KINDS * NCOUNTS) ? CASE_SYMMETRIC : CASE_REGISTERED;
        struct coll_case c = {.kind = (enum case_kind)(i % CASE_KINDS),
                              .count = counts[i / CASE_KINDS % NCOUNTS],
                              .dtype = i % 2 ? WHORL_FLOAT32 : WHORL_BFLOAT16,
                              .op = i % WHORL_REDOP_COUNT,
                              .root = i % rank->nranks,
                              .in_place = i % 3 == 0,
                              .send_memory = memory,
                              .recv_memory = memory,
                              .send_offset = (unsigned)(i * 3 % 64),
                              .seed = 4};
        case_do(rank, rank->comm, &c);
    }
}

Test(symmetric, memories_serve_every_collective)
{
    run(3, 1, use_one_memory);
    run(1, 3, use_one_memory);
}

/* ---- more regions than windows -------------------------------------------------------------- */

enum { NREGIONS = 75, NELEMS = 20000 };

/* Region r of a rank holds r and its rank; calls go through the regions in an order of each rank's
 * own, so that windows are given to other regions at different times. */
static void use_many_regions(struct rank *rank)
{
    int32_t *regions[NREGIONS];
    for (int r = 0; r < NREGIONS; r++) {
        void *memory;
        RANK_OK(rank, whorl_mem_alloc(2 * NELEMS * sizeof(int32_t), &memory));
        regions[r] = memory;
    }
    uint64_t own = 5 + (uint64_t)rank->rank;
    for (int call = 0; call < 4 * NREGIONS; call++) {
        int in = (int)(ranks_random(&own) % NREGIONS), out = (int)(ranks_random(&own) % NREGIONS);
        int32_t *from = regions[in], *to = regions[out] + NELEMS;
        for (int i = 0; i < NELEMS; i++) {
            from[i] = call + i * (rank->rank + 1);
        }
        rank_at(rank, "is in call %d with regions %d and %d", call, in, out);
        RANK_OK(rank, whorl_all_reduce(from, to, NELEMS, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
        int n = rank->nranks;
        for (int i = 0; i < NELEMS; i++) {
            RANK_CHECK(rank, to[i] == n * call + i * (n * (n + 1) / 2),
                       "call %d with regions %d and %d: element %d is %d", call, in, out, i, to[i]);
        }
        if (ranks_random(&own) % 8 == 0) { /* a region goes, and another one comes at its place */
            void *memory;
            RANK_OK(rank, whorl_mem_free(regions[in]));
            RANK_OK(rank, whorl_mem_alloc(2 * NELEMS * sizeof(int32_t), &memory));
            regions[in] = memory;
        }
    }
    for (int r = 0; r < NREGIONS; r++) {
        RANK_OK(rank, whorl_mem_free(regions[r]));
    }
}

Test(symmetric, regions_may_be_more_than_there_are_windows)
{
    run(2, 1, use_many_regions);
    run(3, 1, use_many_regions);
    run(2, 2, use_many_regions);
}

/* ---- several communicators ------------------------------------------------------------------ */

/* Neither the end of a communicator nor that of a registration takes the memory from others. */
static void share_among_communicators(struct rank *rank)
{
    whorl_comm_t other = NULL;
    void *memory, *handle, *again;
    RANK_OK(rank, whorl_mem_alloc(NELEMS * sizeof(float), &memory));
    RANK_OK(rank, whorl_comm_split(rank->comm, 0, -rank->rank, NULL, &other));
    RANK_OK(rank, whorl_comm_register(other, memory, NELEMS * sizeof(float), &handle));
    RANK_OK(rank, whorl_comm_register(rank->comm, memory, NELEMS * sizeof(float), &again));
    float *a = memory;
    for (int i = 0; i < 6; i++) {
        whorl_comm_t comm = i % 2 == 0 && i < 4 ? other : rank->comm;
        for (int k = 0; k < NELEMS; k++) {
            a[k] = (float)(k % 100 + i);
        }
        RANK_OK(rank, whorl_all_reduce(a, a, NELEMS, WHORL_FLOAT32, WHORL_SUM, comm, NULL));
        for (int k = 0; k < NELEMS; k++) {
            RANK_CHECK(rank, a[k] == (float)((k % 100 + i) * rank->nranks), "round %d: a[%d] is %g",
                       i, k, (double)a[k]);
        }
        if (i == 1) {
            RANK_OK(rank, whorl_comm_deregister(other, handle));
        }
        if (i == 3) {
            RANK_OK(rank, whorl_comm_destroy(other));
        }
    }
    RANK_OK(rank, whorl_comm_deregister(rank->comm, again));
    RANK_OK(rank, whorl_mem_free(memory));
}

Test(symmetric, memory_may_serve_several_communicators)
{
    run(2, 1, share_among_communicators);
    run(1, 2, share_among_communicators);
}

/* ---- what is left --------------------------------------------------------------------------- */

/* Memory that others mapped is theirs only while the communicator lives. */
static void leave_nothing(struct rank *rank)
{
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    rank_meet(rank);
    int fds = rank_count_fds();
    for (int round = 0; round < 20; round++) {
        struct coll_case c = {.kind = CASE_ALL_REDUCE,
                              .count = 300000,
                              .dtype = WHORL_FLOAT32,
                              .send_memory = CASE_SYMMETRIC,
                              .recv_memory = CASE_SYMMETRIC,
                              .seed = 2};
        case_do(rank, rank->comm, &c);
    }
    rank_meet(rank);
    RANK_CHECK(rank, rank_count_fds() <= fds, "%d descriptors, %d before", rank_count_fds(), fds);
    /* The others' regions stay mapped until their windows are needed, in a few of them. */
    RANK_OK(rank, whorl_comm_destroy(rank->comm));
    rank->comm = NULL;
    rank_meet(rank);
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        RANK_CHECK(rank, strstr(line, "memfd:whorl") == NULL, "still mapped: %s", line);
    }
    RANK_CHECK(rank, maps != NULL, "no /proc/self/maps");
    fclose(maps);
}

Test(symmetric, memory_is_unmapped_with_the_communicator)
{
    run(3, 1, leave_nothing);
}
