/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alltoall_perf: block d of rank s becomes block s of rank d. The size is that of one rank's input,
 * all blocks together. There is no in place.
 */
#include "perf.h"

static void sizes(size_t nelems, int nranks, struct perf_sizes *out)
{
    size_t part = nelems / (size_t)nranks;
    *out = (struct perf_sizes){
        .send_count = part * (size_t)nranks,
        .recv_count = part * (size_t)nranks,
        .api_count = part,
    };
}

static bool expect(const struct perf_place *place, int index, struct perf_part *out)
{
    if (index >= place->nranks) {
        return false;
    }
    size_t part = place->sizes.api_count;
    *out = (struct perf_part){
        .source = index,
        .first = (uint64_t)place->rank * part,
        .nelems = part,
    };
    return true;
}

static whorl_result_t run(const struct perf_call *call)
{
    return whorl_all_to_all(call->send, call->recv, call->count, call->dtype, call->comm, NULL);
}

/* A rank sends all of its input but the block that stays. */
static double bus_factor(int nranks)
{
    return (double)(nranks - 1) / nranks;
}

static const struct perf_coll all_to_all = {
    .title = "AlltoAll",
    .name = "alltoall",
    .in_place = PERF_IN_PLACE_NONE,
    .sizes = sizes,
    .expect = expect,
    .run = run,
    .bus_factor = bus_factor,
};

int main(int argc, char **argv)
{
    return perf_main(&all_to_all, argc, argv);
}
