/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MPI_Allreduce timed as all_reduce_perf times: float sums out of place, a barrier, then iterations
 * back to back, the mean over the ranks. Prints "bytes microseconds" a line. For compare.py.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

static double time_size(const float *in, float *out, int count, int niters)
{
    MPI_Allreduce(in, out, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    MPI_Barrier(MPI_COMM_WORLD);
    double start = MPI_Wtime();
    for (int i = 0; i < niters; i++) {
        MPI_Allreduce(in, out, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    }
    double mine = (MPI_Wtime() - start) / niters, sum = 0;
    MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    int nranks;
    MPI_Comm_size(MPI_COMM_WORLD, &nranks);
    return sum / nranks * 1e6;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    if (argc != 5) {
        fprintf(stderr, "usage: mpirun -np N %s MIN_BYTES MAX_BYTES FACTOR ITERATIONS\n", argv[0]);
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    size_t least = strtoul(argv[1], NULL, 10), most = strtoul(argv[2], NULL, 10);
    size_t factor = strtoul(argv[3], NULL, 10);
    int niters = atoi(argv[4]), rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);

    float *in = malloc(most), *out = malloc(most);
    if (in == NULL || out == NULL || least < sizeof(float) || factor < 2 || niters < 1) {
        MPI_Abort(MPI_COMM_WORLD, 1);
        return 1;
    }
    for (size_t i = 0; i < most / sizeof(float); i++) {
        in[i] = (float)(i % 7);
        out[i] = 0;
    }
    /* A sweep first that does not count, so that nobody pays for what is set up on first use. */
    for (size_t nbytes = least; nbytes <= most; nbytes *= factor) {
        (void)time_size(in, out, (int)(nbytes / sizeof(float)), niters);
    }
    for (size_t nbytes = least; nbytes <= most; nbytes *= factor) {
        double us = time_size(in, out, (int)(nbytes / sizeof(float)), niters);
        if (rank == 0) {
            printf("%zu %.3f\n", nbytes, us);
        }
    }
    free(in);
    free(out);
    MPI_Finalize();
    return 0;
}
