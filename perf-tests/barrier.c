/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barrier_perf: how long a barrier takes, once everybody is there. It moves no data, so there is
 * one row, with 0 bytes. Checked is that nobody goes on before the last has come, if all ranks are
 * on one host; #wrong counts those who do.
 */
#include "perf.h"

static void sizes(size_t nelems, int nranks, struct perf_sizes *out)
{
    (void)nelems;
    (void)nranks;
    *out = (struct perf_sizes){0};
}

static bool expect(const struct perf_place *place, int index, struct perf_part *out)
{
    (void)place;
    (void)index;
    (void)out;
    return false;
}

static whorl_result_t run(const struct perf_call *call)
{
    return whorl_barrier(call->comm, NULL);
}

static double bus_factor(int nranks)
{
    (void)nranks;
    return 1.0;
}

static const struct perf_coll barrier = {
    .title = "Barrier",
    .name = "barrier",
    .is_barrier = true,
    .sizes = sizes,
    .expect = expect,
    .run = run,
    .bus_factor = bus_factor,
};

int main(int argc, char **argv)
{
    return perf_main(&barrier, argc, argv);
}
