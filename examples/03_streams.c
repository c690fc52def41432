/* SPDX-License-Identifier: Apache-2.0 */
/* One thread drives two ranks: a group starts both sides, a stream runs them beside the caller. */
#include <whorl/whorl.h>

#include <stdio.h>
#include <stdlib.h>

static void check(whorl_result_t rc)
{
    if (rc != WHORL_OK) {
        fprintf(stderr, "%s: %s\n", whorl_result_str(rc), whorl_last_error(NULL));
        exit(1);
    }
}

int main(void)
{
    enum { NELEMS = 1 << 20 };
    static double data[2][NELEMS];
    whorl_comm_t comms[2];
    whorl_stream_t stream;
    check(whorl_comm_create_local(2, NULL, comms));
    check(whorl_stream_create(&stream));
    for (int i = 0; i < NELEMS; i++) {
        data[0][i] = i;
        data[1][i] = 1;
    }

    check(whorl_group_start());
    for (int r = 0; r < 2; r++) {
        check(
            whorl_all_reduce(data[r], data[r], NELEMS, WHORL_FLOAT64, WHORL_SUM, comms[r], stream));
    }
    check(whorl_group_end());
    printf("queued; this thread is free\n");
    check(whorl_stream_synchronize(stream));
    printf("the last sum is %.0f on rank 0 and %.0f on rank 1\n", data[0][NELEMS - 1],
           data[1][NELEMS - 1]);

    check(whorl_stream_destroy(stream));
    for (int r = 0; r < 2; r++) {
        check(whorl_comm_destroy(comms[r]));
    }
    return 0;
}
