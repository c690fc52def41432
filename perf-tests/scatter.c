/* SPDX-License-Identifier: Apache-2.0 */
/* scatter_perf: rank r gets block r of the root's input. The size is that of the input. */
#include "perf.h"

static void sizes(size_t nelems, int nranks, struct perf_sizes *out)
{
    size_t part = nelems / (size_t)nranks;
    *out = (struct perf_sizes){
        .send_count = part * (size_t)nranks,
        .recv_count = part,
        .api_count = part,
        .recv_inplace_step = part,
    };
}

static bool expect(const struct perf_place *place, int index, struct perf_part *out)
{
    if (index > 0) {
        return false;
    }
    *out = (struct perf_part){
        .source = place->root,
        .first = (uint64_t)place->rank * place->sizes.recv_count,
        .nelems = place->sizes.recv_count,
    };
    return true;
}

static whorl_result_t run(const struct perf_call *call)
{
    return whorl_scatter(call->send, call->recv, call->count, call->dtype, call->root, call->comm,
                         NULL);
}

/* The root sends all of the input but its own block. */
static double bus_factor(int nranks)
{
    return (double)(nranks - 1) / nranks;
}

static const struct perf_coll scatter = {
    .title = "Scatter",
    .name = "scatter",
    .rooted = true,
    .in_place = PERF_IN_PLACE_CHECKED,
    .sizes = sizes,
    .expect = expect,
    .run = run,
    .bus_factor = bus_factor,
};

int main(int argc, char **argv)
{
    return perf_main(&scatter, argc, argv);
}
