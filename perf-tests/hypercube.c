/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hypercube_perf: an all_gather made of messages. In phase k a rank swaps all that it has with the
 * rank whose number differs in bit k, so that it has twice as much after it; hence a power of two
 * of ranks. The size is that of the output.
 */
#include "perf.h"

#include <string.h>

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
    if (index >= place->nranks) {
        return false;
    }
    *out = (struct perf_part){.source = index, .nelems = place->sizes.send_count};
    return true;
}

/* One even with one rank, which has its part to copy. */
static int nphases(int nranks)
{
    int n = 1;
    while (1 << n < nranks) {
        n++;
    }
    return n;
}

static whorl_result_t run(const struct perf_call *call)
{
    size_t part_nbytes = call->count * whorl_dtype_nbytes(call->dtype);
    char *parts = call->recv;
    char *own = parts + (size_t)call->rank * part_nbytes;
    int nheld = 1 << call->phase; /* parts; the first is that of `first` */
    int first = call->rank & ~(nheld - 1);
    int peer = call->rank ^ nheld;

    if (call->phase == 0 && own != call->send && part_nbytes > 0) {
        memcpy(own, call->send, part_nbytes);
    }
    if (peer >= call->nranks) {
        return WHORL_OK;
    }

    whorl_result_t rc = whorl_group_start();
    if (rc != WHORL_OK) {
        return rc;
    }
    size_t count = call->count * (size_t)nheld;
    rc =
        whorl_send(parts + (size_t)first * part_nbytes, count, call->dtype, peer, call->comm, NULL);
    if (rc == WHORL_OK) {
        rc = whorl_recv(parts + (size_t)(first ^ nheld) * part_nbytes, count, call->dtype, peer,
                        call->comm, NULL);
    }
    whorl_result_t end_rc = whorl_group_end();
    return rc != WHORL_OK ? rc : end_rc;
}

/* What counts is what a rank receives: the output without its own part. */
static double alg_factor(int nranks)
{
    return (double)(nranks - 1) / nranks;
}

static double bus_factor(int nranks)
{
    (void)nranks;
    return 1.0;
}

static const struct perf_coll hypercube = {
    .title = "HyperCube",
    .name = "hypercube",
    .needs_pow2 = true,
    .in_place = PERF_IN_PLACE_CHECKED,
    .sizes = sizes,
    .expect = expect,
    .run = run,
    .bus_factor = bus_factor,
    .alg_factor = alg_factor,
    .nphases = nphases,
};

int main(int argc, char **argv)
{
    return perf_main(&hypercube, argc, argv);
}
