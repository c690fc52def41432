/* SPDX-License-Identifier: Apache-2.0 */
/* Four ranks as threads of one process: each brings a block, all get all blocks. */
#include <whorl/whorl.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { NRANKS = 4 };

static void *rank_main(void *arg)
{
    whorl_comm_t comm = arg;
    int rank;
    int32_t mine[2], all[2 * NRANKS];
    whorl_result_t rc = whorl_comm_rank(comm, &rank);
    mine[0] = mine[1] = rank;
    if (rc == WHORL_OK) {
        rc = whorl_all_gather(mine, all, 2, WHORL_INT32, comm, NULL);
    }
    if (rc != WHORL_OK) {
        fprintf(stderr, "%s\n", whorl_last_error(comm));
        exit(1);
    }
    printf("rank %d has %d %d %d %d\n", rank, all[0], all[2], all[4], all[6]);
    return NULL;
}

int main(void)
{
    whorl_comm_t comms[NRANKS];
    if (whorl_comm_create_local(NRANKS, NULL, comms) != WHORL_OK) {
        fprintf(stderr, "%s\n", whorl_last_error(NULL));
        return 1;
    }
    pthread_t threads[NRANKS];
    for (int r = 0; r < NRANKS; r++) {
        pthread_create(&threads[r], NULL, rank_main, comms[r]);
    }
    for (int r = 0; r < NRANKS; r++) {
        pthread_join(threads[r], NULL);
        whorl_comm_destroy(comms[r]);
    }
    return 0;
}
