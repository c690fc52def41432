/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What launch_mpi_test.sh runs under each mpirun, with 4 processes: communicators of all, of some
 * and of one; mistakes of one process, which must reach all.
 */
#include <whorl/mpi.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int world_rank, nfailed;

static void expect(int ok, const char *what)
{
    if (!ok) {
        printf("rank %d: %s; %s\n", world_rank, what, whorl_mpi_last_error());
        nfailed++;
    }
}

/* A communicator of mpi_comm has its ranks and can add up. */
static void check_comm(MPI_Comm mpi_comm, const char *what)
{
    int rank, nranks, whorl_rank = -1, whorl_nranks = -1;
    whorl_comm_t comm = NULL;
    MPI_Comm_rank(mpi_comm, &rank);
    MPI_Comm_size(mpi_comm, &nranks);
    expect(whorl_comm_create_from_mpi(mpi_comm, NULL, &comm) == WHORL_OK, what);
    if (comm == NULL) {
        return;
    }
    expect(strcmp(whorl_mpi_last_error(), "no error") == 0, "success leaves no story");
    whorl_comm_rank(comm, &whorl_rank);
    whorl_comm_size(comm, &whorl_nranks);
    expect(whorl_rank == rank && whorl_nranks == nranks, what);
    int64_t mine = world_rank + 1, sum = 0, want = 0;
    MPI_Allreduce(&mine, &want, 1, MPI_INT64_T, MPI_SUM, mpi_comm);
    whorl_result_t rc = whorl_all_reduce(&mine, &sum, 1, WHORL_INT64, WHORL_SUM, comm, NULL);
    expect(rc == WHORL_OK && sum == want, what);
    expect(whorl_comm_destroy(comm) == WHORL_OK, what);
}

/* One process brings no place for the result. */
static void check_null(int culprit)
{
    char who[16];
    whorl_comm_t comm = NULL;
    whorl_result_t rc =
        whorl_comm_create_from_mpi(MPI_COMM_WORLD, NULL, world_rank == culprit ? NULL : &comm);
    snprintf(who, sizeof(who), "rank %d:", culprit);
    expect(rc == WHORL_E_ARG && comm == NULL, "a NULL of one rank is an error of all");
    expect(strstr(whorl_mpi_last_error(), who) != NULL, "the story names the rank");
    expect(strstr(whorl_mpi_last_error(), "comm_out is NULL") != NULL, "the story says what");
}

static void check_inter(void)
{
    MPI_Comm half, inter;
    whorl_comm_t comm = NULL;
    MPI_Comm_split(MPI_COMM_WORLD, world_rank % 2, 0, &half);
    MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, 1 - world_rank % 2, 1, &inter);
    expect(whorl_comm_create_from_mpi(inter, NULL, &comm) == WHORL_E_ARG && comm == NULL,
           "an intercommunicator is refused");
    expect(whorl_comm_create_from_mpi(MPI_COMM_NULL, NULL, &comm) == WHORL_E_ARG,
           "MPI_COMM_NULL is refused");
    MPI_Comm_free(&inter);
    MPI_Comm_free(&half);
}

/* Started with a setting on rank 0 that does not parse. */
static void check_root(void)
{
    whorl_comm_t comm = NULL;
    whorl_result_t rc = whorl_comm_create_from_mpi(MPI_COMM_WORLD, NULL, &comm);
    expect(rc == WHORL_E_CONFIG && comm == NULL, "rank 0's error is everyone's");
    expect(strstr(whorl_mpi_last_error(), "rank 0:") != NULL, "the story names rank 0");
    expect(strstr(whorl_mpi_last_error(), "WHORL_BUFFSIZE") != NULL, "the story is rank 0's");
}

int main(int argc, char **argv)
{
    whorl_comm_t comm = NULL;
    expect(whorl_comm_create_from_mpi(MPI_COMM_WORLD, NULL, &comm) == WHORL_E_USAGE,
           "before MPI_Init");
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    if (argc > 1 && strcmp(argv[1], "root") == 0) {
        check_root();
    } else {
        MPI_Comm part;
        check_comm(MPI_COMM_WORLD, "all ranks");
        MPI_Comm_split(MPI_COMM_WORLD, world_rank / 3, -world_rank, &part);
        check_comm(part, "a part, in another order");
        MPI_Comm_free(&part);
        check_comm(MPI_COMM_SELF, "one rank");
        check_null(0);
        check_null(3);
        check_inter();
        check_comm(MPI_COMM_WORLD, "all ranks, after errors");
    }
    MPI_Finalize();
    expect(whorl_comm_create_from_mpi(MPI_COMM_WORLD, NULL, &comm) == WHORL_E_USAGE,
           "after MPI_Finalize");
    if (nfailed == 0) {
        printf("rank %d ok\n", world_rank);
    }
    return nfailed == 0 ? 0 : 1;
}
