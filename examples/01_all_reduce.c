/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sum of every rank's number, on every rank. Start it once per rank, by any launcher:
 *
 *     RANK=0 WORLD_SIZE=2 ./01_all_reduce & RANK=1 WORLD_SIZE=2 ./01_all_reduce
 */
#include <whorl/whorl.h>

#include <stdio.h>
#include <stdlib.h>

static void check(whorl_result_t rc, whorl_comm_t comm)
{
    if (rc != WHORL_OK) {
        fprintf(stderr, "%s: %s\n", whorl_result_str(rc), whorl_last_error(comm));
        exit(1);
    }
}

int main(void)
{
    whorl_comm_t comm;
    int rank, nranks;
    check(whorl_comm_create_from_env(NULL, &comm), NULL);
    check(whorl_comm_rank(comm, &rank), comm);
    check(whorl_comm_size(comm, &nranks), comm);

    float mine = (float)(rank + 1), sum = 0;
    check(whorl_all_reduce(&mine, &sum, 1, WHORL_FLOAT32, WHORL_SUM, comm, NULL), comm);
    printf("rank %d of %d: the sum is %g\n", rank, nranks, (double)sum);

    check(whorl_comm_finalize(comm), comm);
    check(whorl_comm_destroy(comm), NULL);
    return 0;
}
