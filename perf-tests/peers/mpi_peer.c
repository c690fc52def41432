/* SPDX-License-Identifier: Apache-2.0 */
/* Any MPI, for compare.py; compiled with the mpicc of each. usage: mpirun -n N mpi_peer BOARD */
#include "peer.h"

#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int my_rank;

static int run(const struct peer_call *call, char *text, size_t text_nbytes)
{
    const int count = (int)call->count;
    const MPI_Comm world = MPI_COMM_WORLD;
    int rc = MPI_ERR_OTHER;
    switch (call->coll) {
    case PEER_ALL_REDUCE:
        rc = MPI_Allreduce(call->in, call->out, count, MPI_FLOAT, MPI_SUM, world);
        break;
    case PEER_ALL_GATHER:
        rc = MPI_Allgather(call->in, count, MPI_FLOAT, call->out, count, MPI_FLOAT, world);
        break;
    case PEER_REDUCE_SCATTER:
        rc = MPI_Reduce_scatter_block(call->in, call->out, count, MPI_FLOAT, MPI_SUM, world);
        break;
    case PEER_BROADCAST: {
        void *buffer = my_rank == call->root ? (void *)(uintptr_t)call->in : call->out;
        rc = MPI_Bcast(buffer, count, MPI_FLOAT, call->root, world);
        break;
    }
    case PEER_ALL_TO_ALL:
        rc = MPI_Alltoall(call->in, count, MPI_FLOAT, call->out, count, MPI_FLOAT, world);
        break;
    default:
        break;
    }
    if (rc != MPI_SUCCESS) {
        snprintf(text, text_nbytes, "MPI error %d", rc);
    }
    return rc;
}

int main(int argc, char **argv)
{
    int nranks, length;
    char version[MPI_MAX_LIBRARY_VERSION_STRING];
    struct peer_library library = {.caps = peer_caps(PEER_FLOAT32), .run = run};

    MPI_Init(&argc, &argv);
    struct board *board = argc == 2 ? peer_attach(argv[1]) : NULL;
    if (board == NULL) {
        MPI_Abort(MPI_COMM_WORLD, 2);
        return 2;
    }
    MPI_Comm_rank(MPI_COMM_WORLD, &my_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &nranks);
    MPI_Get_library_version(version, &length);
    version[strcspn(version, ",\n")] = '\0';
    for (char *c = version; *c != '\0'; c++) {
        *c = *c == '\t' ? ' ' : *c;
    }
    snprintf(library.version, sizeof(library.version), "%.120s", version);
    if (peer_serve(&library, my_rank, nranks, board) != 0) {
        MPI_Abort(MPI_COMM_WORLD, 1);
        return 1;
    }
    MPI_Finalize();
    return 0;
}
