/* SPDX-License-Identifier: Apache-2.0 */
/* reduce_perf: the root gets the reduction of all inputs. Only the root's output is checked. */
#include "perf.h"

static void sizes(size_t nelems, int nranks, struct perf_sizes *out)
{
    (void)nranks;
    *out = (struct perf_sizes){.send_count = nelems, .recv_count = nelems, .api_count = nelems};
}

static bool expect(const struct perf_place *place, int index, struct perf_part *out)
{
    if (index > 0 || place->rank != place->root) {
        return false;
    }
    *out = (struct perf_part){.reduced = true, .nelems = place->sizes.recv_count};
    return true;
}

static whorl_result_t run(const struct perf_call *call)
{
    return whorl_reduce(call->send, call->recv, call->count, call->dtype, call->op, call->root,
                        call->comm, NULL);
}

/* All bytes pass the root's port once, whatever the number of ranks. */
static double bus_factor(int nranks)
{
    (void)nranks;
    return 1.0;
}

static const struct perf_coll reduce = {
    .title = "Reduce",
    .name = "reduce",
    .reduces = true,
    .rooted = true,
    .in_place = PERF_IN_PLACE_CHECKED,
    .sizes = sizes,
    .expect = expect,
    .run = run,
    .bus_factor = bus_factor,
};

int main(int argc, char **argv)
{
    return perf_main(&reduce, argc, argv);
}
