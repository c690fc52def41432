/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sendrecv_perf: every rank sends to the next and receives from the one before, in a ring.
 *
 * In place sends and receives the same buffer at once. It is timed as nccl-tests does, but what
 * arrives is not defined, so #wrong is N/A there.
 */
#include "perf.h"

static void sizes(size_t nelems, int nranks, struct perf_sizes *out)
{
    (void)nranks;
    *out = (struct perf_sizes){.send_count = nelems, .recv_count = nelems, .api_count = nelems};
}

static bool expect(const struct perf_place *place, int index, struct perf_part *out)
{
    if (index > 0) {
        return false;
    }
    *out = (struct perf_part){
        .source = (place->rank + place->nranks - 1) % place->nranks,
        .nelems = place->sizes.recv_count,
    };
    return true;
}

static whorl_result_t run(const struct perf_call *call)
{
    int next = (call->rank + 1) % call->nranks;
    int previous = (call->rank + call->nranks - 1) % call->nranks;

    whorl_result_t rc = whorl_group_start();
    if (rc != WHORL_OK) {
        return rc;
    }
    rc = whorl_send(call->send, call->count, call->dtype, next, call->comm, NULL);
    if (rc == WHORL_OK) {
        rc = whorl_recv(call->recv, call->count, call->dtype, previous, call->comm, NULL);
    }
    whorl_result_t end_rc = whorl_group_end();
    return rc != WHORL_OK ? rc : end_rc;
}

static double bus_factor(int nranks)
{
    (void)nranks;
    return 1.0;
}

static const struct perf_coll send_recv = {
    .title = "SendRecv",
    .name = "sendrecv",
    .in_place = PERF_IN_PLACE_UNDEFINED,
    .sizes = sizes,
    .expect = expect,
    .run = run,
    .bus_factor = bus_factor,
};

int main(int argc, char **argv)
{
    return perf_main(&send_recv, argc, argv);
}
