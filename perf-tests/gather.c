/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gather_perf: the root gets all inputs, in rank order. The size is that of its output. Only the
 * root's output is checked.
 */
#include "perf.h"

static void sizes(size_t nelems, int nranks, struct perf_sizes *out)
{
    size_t part = nelems / (size_t)nranks;
    *out = (struct perf_sizes){
        .send_count = part,
        .recv_count = part * (size_t)nranks,
        .api_count = part,
        .send_inplace_step = part,
    };
}

static bool expect(const struct perf_place *place, int index, struct perf_part *out)
{
    if (index >= place->nranks || place->rank != place->root) {
        return false;
    }
    *out = (struct perf_part){.source = index, .nelems = place->sizes.send_count};
    return true;
}

static whorl_result_t run(const struct perf_call *call)
{
    return whorl_gather(call->send, call->recv, call->count, call->dtype, call->root, call->comm,
                        NULL);
}

/* The root receives all of the output but its own part. */
static double bus_factor(int nranks)
{
    return (double)(nranks - 1) / nranks;
}

static const struct perf_coll gather = {
    .title = "Gather",
    .name = "gather",
    .rooted = true,
    .in_place = PERF_IN_PLACE_CHECKED,
    .sizes = sizes,
    .expect = expect,
    .run = run,
    .bus_factor = bus_factor,
};

int main(int argc, char **argv)
{
    return perf_main(&gather, argc, argv);
}
