/* SPDX-License-Identifier: Apache-2.0 */
/* all_reduce_perf: every rank gets the reduction of all inputs. */
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
    *out = (struct perf_part){.reduced = true, .nelems = place->sizes.recv_count};
    return true;
}

static whorl_result_t run(const struct perf_call *call)
{
    return whorl_all_reduce(call->send, call->recv, call->count, call->dtype, call->op, call->comm,
                            NULL);
}

/* Each of the n parts must leave n-1 ranks to be reduced and come back to n-1 ranks; the n ranks
 * share that work, and each has one port: 2 (n-1) / n of the buffer per port. */
static double bus_factor(int nranks)
{
    return 2.0 * (nranks - 1) / nranks;
}

static const struct perf_coll all_reduce = {
    .title = "AllReduce",
    .name = "all_reduce",
    .reduces = true,
    .in_place = PERF_IN_PLACE_CHECKED,
    .sizes = sizes,
    .expect = expect,
    .run = run,
    .bus_factor = bus_factor,
};

int main(int argc, char **argv)
{
    return perf_main(&all_reduce, argc, argv);
}
