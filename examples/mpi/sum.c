/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sum of every rank's number, in a program that MPI starts:
 *
 *     mpirun -np 4 ./mpi_sum
 */
#include <whorl/mpi.h>

#include <stdio.h>

static void check(whorl_result_t rc, const char *story)
{
    if (rc != WHORL_OK) {
        fprintf(stderr, "%s: %s\n", whorl_result_str(rc), story);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    whorl_comm_t comm;
    check(whorl_comm_create_from_mpi(MPI_COMM_WORLD, NULL, &comm), whorl_mpi_last_error());

    int rank, nranks;
    check(whorl_comm_rank(comm, &rank), whorl_last_error(comm));
    check(whorl_comm_size(comm, &nranks), whorl_last_error(comm));
    float mine = (float)(rank + 1), sum = 0;
    check(whorl_all_reduce(&mine, &sum, 1, WHORL_FLOAT32, WHORL_SUM, comm, NULL),
          whorl_last_error(comm));
    printf("rank %d of %d: the sum is %g\n", rank, nranks, (double)sum);

    check(whorl_comm_destroy(comm), whorl_last_error(NULL));
    MPI_Finalize();
    return 0;
}
