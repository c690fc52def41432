/* SPDX-License-Identifier: Apache-2.0 */
/* Awkward buffers: overlapping ones are refused and nothing is harmed; odd addresses serve. */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define REFUSED(rank, call)                                         \
    do {                                                            \
        RANK_EXPECT(rank, WHORL_E_ARG, call);                       \
        RANK_TEXT(rank, whorl_last_error((rank)->comm), "overlap"); \
    } while (0)

enum { COUNT = 50000, NELEMS = 6 * COUNT };

/* Overlaps that are not the in-place form, at a size that would go through staging. The other ranks
 * make no call: whoever is refused has told nobody. */
static void overlap_vectors(struct rank *rank, float *a)
{
    whorl_comm_t comm = rank->comm;
    int me = rank->rank;
    REFUSED(rank, whorl_all_reduce(a, a + 1, COUNT, WHORL_FLOAT32, WHORL_SUM, comm, NULL));
    REFUSED(rank, whorl_all_reduce(a + COUNT - 1, a, COUNT, WHORL_FLOAT32, WHORL_SUM, comm, NULL));
    REFUSED(rank, whorl_all_reduce((char *)a + 1, a, COUNT, WHORL_FLOAT32, WHORL_SUM, comm, NULL));
    REFUSED(rank, whorl_reduce(a, a + 1, COUNT, WHORL_FLOAT32, WHORL_SUM, me, comm, NULL));
    REFUSED(rank, whorl_broadcast(a, a + 1, COUNT, WHORL_FLOAT32, me, comm, NULL));
}

static void overlap_blocks(struct rank *rank, float *a)
{
    whorl_comm_t comm = rank->comm;
    int me = rank->rank, other = 1 - me;
    const size_t counts[] = {COUNT, COUNT}, crossing[] = {0, COUNT - 1};
    float *of_other = a + other * COUNT, *behind = a + 2 * COUNT;
    REFUSED(rank, whorl_all_gather(of_other, a, COUNT, WHORL_FLOAT32, comm, NULL));
    REFUSED(rank, whorl_all_gather(a + 1, a, COUNT, WHORL_FLOAT32, comm, NULL));
    REFUSED(rank, whorl_reduce_scatter(a, of_other, COUNT, WHORL_FLOAT32, WHORL_SUM, comm, NULL));
    REFUSED(rank, whorl_all_to_all(a, a, COUNT, WHORL_FLOAT32, comm, NULL));
    REFUSED(rank, whorl_all_to_all(a, behind - 1, COUNT, WHORL_FLOAT32, comm, NULL));
    REFUSED(rank, whorl_gather(of_other, a, COUNT, WHORL_FLOAT32, me, comm, NULL));
    REFUSED(rank, whorl_scatter(a, of_other, COUNT, WHORL_FLOAT32, me, comm, NULL));
    REFUSED(rank, whorl_all_gather_v(of_other, COUNT, a, counts, NULL, WHORL_FLOAT32, comm, NULL));
    REFUSED(rank, whorl_reduce_scatter_v(a, counts, NULL, of_other, COUNT, WHORL_FLOAT32, WHORL_SUM,
                                         comm, NULL));
    REFUSED(rank, whorl_all_to_all_v(a, counts, NULL, behind - 1, counts, NULL, WHORL_FLOAT32, comm,
                                     NULL));
    REFUSED(rank, whorl_all_to_all_v(a, counts, NULL, behind, counts, crossing, WHORL_FLOAT32, comm,
                                     NULL)); /* blocks that are received */
    REFUSED(rank, whorl_gather_v(of_other, COUNT, a, counts, NULL, WHORL_FLOAT32, me, comm, NULL));
    REFUSED(rank, whorl_scatter_v(a, counts, NULL, of_other, COUNT, WHORL_FLOAT32, me, comm, NULL));
}

static void overlap(struct rank *rank)
{
    static float private_memory[2][NELEMS];
    void *memory = private_memory[rank->thread];
    const bool *symmetric = rank->arg;
    if (*symmetric) {
        RANK_OK(rank, whorl_mem_alloc(sizeof(private_memory[0]), &memory));
    }
    float *a = memory;
    for (int i = 0; i < NELEMS; i++) {
        a[i] = (float)i;
    }
    overlap_vectors(rank, a);
    overlap_blocks(rank, a);
    for (int i = 0; i < NELEMS; i++) {
        RANK_CHECK(rank, a[i] == (float)i, "a refused call wrote element %d", i);
    }
    whorl_result_t error = WHORL_OK;
    RANK_OK(rank, whorl_comm_async_error(rank->comm, &error));
    RANK_CHECK(rank, error == WHORL_OK, "the communicator broke: %s", whorl_last_error(rank->comm));
    for (int kind = 0; kind < CASE_KINDS; kind++) {
        struct coll_case c = {
            .kind = (enum case_kind)kind, .count = 20000, .dtype = WHORL_FLOAT32, .seed = 1};
        case_do(rank, rank->comm, &c);
    }
    if (*symmetric) {
        RANK_OK(rank, whorl_mem_free(memory));
    }
}

Test(buffers, that_overlap_are_refused_and_the_communicator_still_works)
{
    static const char *const links_only[] = {"WHORL_ALGO=^arena", NULL};
    for (int symmetric = 0; symmetric < 2; symmetric++) {
        bool arg = symmetric != 0;
        ranks_run(&(struct ranks_job){.nprocesses = 2, .run = overlap, .arg = &arg});
        ranks_run(&(struct ranks_job){.nthreads = 2, .run = overlap, .arg = &arg});
        ranks_run(
            &(struct ranks_job){.nprocesses = 2, .run = overlap, .arg = &arg, .env = links_only});
    }
}

/* ---- odd addresses -------------------------------------------------------------------------- */

/* No buffer is aligned to more than a byte, and all ranks have other addresses. */
static void use_odd_addresses(struct rank *rank)
{
    static const size_t nbytes[] = {48, 3000, 40000, 250000};
    for (int i = 0; i < CASE_KINDS * WHORL_DTYPE_COUNT; i++) {
        whorl_dtype_t dtype = (whorl_dtype_t)(i % WHORL_DTYPE_COUNT);
        int turn = i / WHORL_DTYPE_COUNT;
        for (int size = 0; size < 4; size++) {
            struct coll_case c = {
                .kind = (enum case_kind)turn,
                .count = nbytes[size] / whorl_dtype_nbytes(dtype),
                .dtype = dtype,
                .op = (i + size) % (VALUES_PREMUL + 1),
                .root = (i + size) % rank->nranks,
                .in_place = (i / 2 + size) % 3 == 0,
                .send_offset = (unsigned)(1 + 2 * ((rank->rank + i) % 32)),
                .recv_offset = (unsigned)(1 + 2 * ((rank->rank + size + 5) % 32)),
                .send_memory = (i + size) % 5 == 0 ? CASE_SYMMETRIC : CASE_PRIVATE,
                .recv_memory = (i + size) % 5 == 0 ? CASE_SYMMETRIC : CASE_PRIVATE,
                .seed = 9,
            };
            case_do(rank, rank->comm, &c);
        }
    }
}

Test(buffers, of_processes_may_be_at_odd_addresses)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = use_odd_addresses});
}

Test(buffers, of_threads_may_be_at_odd_addresses)
{
    ranks_run(&(struct ranks_job){.nthreads = 3, .run = use_odd_addresses});
}

Test(buffers, may_be_at_odd_addresses_on_links)
{
    static const char *const links_only[] = {"WHORL_ALGO=^arena", NULL};
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = use_odd_addresses, .env = links_only});
}
