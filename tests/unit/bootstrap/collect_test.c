/* SPDX-License-Identifier: Apache-2.0 */
#include "crew.h"

#include <unistd.h>

TestSuite(collect, .timeout = 120);

/* What rank brings to all-gather number turn: byte i. */
static uint8_t byte_of(uint32_t rank, uint32_t turn, size_t i)
{
    return (uint8_t)(rank * 31 + turn * 7 + i);
}

static void gather_and_check(struct mate *mate, size_t nbytes, uint32_t turn)
{
    uint8_t *blocks = calloc(mate->nranks, nbytes + 1);
    for (size_t i = 0; i < nbytes; i++) {
        blocks[mate->rank * nbytes + i] = byte_of(mate->rank, turn, i);
    }
    whorl_result_t rc = wh_boot_allgather(mate->boot, blocks, nbytes, crew_soon());
    cr_expect_eq(rc, WHORL_OK, "%s", wh_error_get());
    uint32_t nwrong = 0;
    for (uint32_t rank = 0; rank < mate->nranks; rank++) {
        for (size_t i = 0; i < nbytes; i++) {
            nwrong += blocks[rank * nbytes + i] != byte_of(rank, turn, i);
        }
    }
    cr_expect_eq(nwrong, 0, "rank %u of %u, %zu bytes: %u wrong", mate->rank, mate->nranks, nbytes,
                 nwrong);
    free(blocks);
}

static void gather_sizes(struct mate *mate)
{
    static const size_t sizes[] = {8, 1, 0, 4096, 33};
    for (uint32_t turn = 0; turn < ARRAY_LEN(sizes); turn++) {
        gather_and_check(mate, sizes[turn], turn);
    }
}

Test(collect, every_rank_gets_every_block_for_any_number_of_ranks)
{
    for (uint32_t nranks = 1; nranks <= 17; nranks++) {
        crew_sail(nranks, gather_sizes);
    }
}

static void gather_largest(struct mate *mate)
{
    gather_and_check(mate, WH_BLOCK_NBYTES_MAX, 1);
    gather_and_check(mate, WH_BLOCK_NBYTES_MAX, 2);
}

Test(collect, the_largest_blocks_arrive)
{
    crew_sail(9, gather_largest);
}

static void gather_often(struct mate *mate)
{
    for (uint32_t turn = 0; turn < 100; turn++) {
        /* Uneven ranks, so that some are ahead of others. */
        if (mate->rank == turn % mate->nranks) {
            usleep(200);
        }
        gather_and_check(mate, 16, turn);
    }
}

Test(collect, many_in_a_row_do_not_mix)
{
    crew_sail(5, gather_often);
}

static _Atomic uint32_t narrived;

static void arrive_late(struct mate *mate)
{
    for (uint32_t turn = 1; turn <= 20; turn++) {
        if (mate->rank == turn % mate->nranks) {
            usleep(3000);
        }
        atomic_fetch_add(&narrived, 1);
        cr_expect_eq(wh_boot_barrier(mate->boot, crew_soon()), WHORL_OK, "%s", wh_error_get());
        cr_expect_geq(atomic_load(&narrived), turn * mate->nranks);
    }
}

Test(collect, nobody_passes_a_barrier_before_all_have_come)
{
    crew_sail(7, arrive_late);
}

static void one_stays_away(struct mate *mate)
{
    if (mate->rank != 2) {
        uint8_t blocks[4 * 8] = {0};
        whorl_result_t rc = wh_boot_allgather(mate->boot, blocks, 8, wh_deadline_after_ms(300));
        cr_expect_eq(rc, WHORL_E_TIMEOUT);
        cr_expect_not_null(strstr(wh_error_get(), "waited in vain for rank "), "%s",
                           wh_error_get());
    }
    pthread_barrier_wait(&mate->crew->all);
}

Test(collect, who_waits_in_vain_is_told_for_whom)
{
    crew_sail(4, one_stays_away);
}

static void sizes_differ(struct mate *mate)
{
    uint8_t blocks[2 * 16] = {0};
    whorl_result_t rc =
        wh_boot_allgather(mate->boot, blocks, mate->rank == 0 ? 8 : 16, crew_soon());
    cr_expect_eq(rc, WHORL_E_MISMATCH);
    pthread_barrier_wait(&mate->crew->all);
}

Test(collect, different_sizes_are_an_error)
{
    crew_sail(2, sizes_differ);
}

static void one_leaves(struct mate *mate)
{
    /* A rank whose join ends because the job has failed meanwhile may look dead to its peers. */
    pthread_barrier_wait(&mate->crew->all);
    if (mate->rank == 1) {
        return;
    }
    cr_expect_eq(wh_boot_barrier(mate->boot, crew_soon()), WHORL_E_PEER);
    cr_expect_not_null(strstr(wh_error_get(), "rank 1 (host "), "%s", wh_error_get());
    cr_expect_not_null(strstr(wh_error_get(), "left the communicator"), "%s", wh_error_get());
}

Test(collect, a_collective_with_a_rank_that_has_left_fails_and_names_it)
{
    struct crew *crew = crew_create(9, one_leaves);
    crew_start(crew);
    crew_wait(crew);
    crew_destroy(crew);
}
