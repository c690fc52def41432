/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks as threads send one another blocks of different sizes: rank r sends r + s + 1 elements to
 * rank s. */
#include <whorl/whorl.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { NRANKS = 3, BLOCK_MAX = 2 * NRANKS };

static whorl_comm_t comms[NRANKS];

static void *run_rank(void *arg)
{
    int rank = (int)(size_t)arg;
    int32_t send[NRANKS * BLOCK_MAX], recv[NRANKS * BLOCK_MAX];
    size_t counts[NRANKS]; /* as many to every rank as from it */
    size_t displs[NRANKS]; /* where a block starts in send; in recv they have no gaps */
    size_t nrecv = 0;
    for (int peer = 0; peer < NRANKS; peer++) {
        counts[peer] = (size_t)(rank + peer + 1);
        displs[peer] = (size_t)peer * BLOCK_MAX;
        nrecv += counts[peer];
        for (size_t i = 0; i < counts[peer]; i++) {
            send[displs[peer] + i] = rank;
        }
    }

    whorl_result_t rc = whorl_all_to_all_v(send, counts, displs, recv, counts, NULL, WHORL_INT32,
                                           comms[rank], NULL);
    if (rc != WHORL_OK) {
        fprintf(stderr, "rank %d: %s: %s\n", rank, whorl_result_str(rc),
                whorl_last_error(comms[rank]));
        exit(1);
    }
    char line[128];
    int used = snprintf(line, sizeof(line), "rank %d has", rank);
    for (size_t i = 0; i < nrecv; i++) {
        used += snprintf(line + used, sizeof(line) - (size_t)used, " %d", (int)recv[i]);
    }
    printf("%s\n", line);
    return NULL;
}

int main(void)
{
    if (whorl_comm_create_local(NRANKS, NULL, comms) != WHORL_OK) {
        fprintf(stderr, "%s\n", whorl_last_error(NULL));
        return 1;
    }
    pthread_t threads[NRANKS];
    for (size_t r = 0; r < NRANKS; r++) {
        pthread_create(&threads[r], NULL, run_rank, (void *)r);
    }
    for (int r = 0; r < NRANKS; r++) {
        pthread_join(threads[r], NULL);
        whorl_comm_destroy(comms[r]);
    }
    return 0;
}
