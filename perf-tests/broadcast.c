/* SPDX-License-Identifier: Apache-2.0 */
/* broadcast_perf: every rank gets the root's input. */
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
    *out = (struct perf_part){.source = place->root, .nelems = place->sizes.recv_count};
    return true;
}

static whorl_result_t run(const struct perf_call *call)
{
    return whorl_broadcast(call->send, call->recv, call->count, call->dtype, call->root, call->comm,
                           NULL);
}

/* All bytes pass the root's port once, whatever the number of ranks. */
static double bus_factor(int nranks)
{
    (void)nranks;
    return 1.0;
}

static const struct perf_coll broadcast = {
    .title = "Broadcast",
    .name = "broadcast",
    .rooted = true,
    .in_place = PERF_IN_PLACE_CHECKED,
    .sizes = sizes,
    .expect = expect,
    .run = run,
    .bus_factor = bus_factor,
};

int main(int argc, char **argv)
{
    return perf_main(&broadcast, argc, argv);
}
