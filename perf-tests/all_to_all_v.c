/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alltoallv_perf: as alltoall_perf, with blocks of different sizes. The size is that of one rank's
 * input, all blocks together; the count is that of a mean block. There is no in place.
 *
 * The block from rank s to rank d has 1, 2 or 0 times `unit` elements, for d - s = 0, 1 or 2 modulo
 * 3, counting around all ranks. So each rank sends and receives every kind of block, also empty
 * ones; from 3 ranks on, what it sends to a rank and what comes from there differ; and yet all
 * ranks have the same to do, and the totals are the same everywhere.
 */
#include "perf.h"

/* Size, in units, of the block from rank s to rank d. */
static size_t weight(int s, int d, int nranks)
{
    int distance = (d - s + nranks) % nranks;
    return (size_t)((distance + 1) % 3);
}

/* Units that each rank sends, and that each receives. */
static size_t total_weight(int nranks)
{
    size_t total = 0;
    for (int d = 0; d < nranks; d++) {
        total += weight(0, d, nranks);
    }
    return total;
}

static void sizes(size_t nelems, int nranks, struct perf_sizes *out)
{
    size_t total = total_weight(nranks);
    size_t nsent = nelems / total * total;
    *out = (struct perf_sizes){
        .send_count = nsent,
        .recv_count = nsent,
        .api_count = nsent / (size_t)nranks,
    };
}

static size_t unit_of(const struct perf_place *place)
{
    return place->sizes.send_count / total_weight(place->nranks);
}

static void blocks(const struct perf_place *place, const struct perf_blocks *out)
{
    size_t unit = unit_of(place);
    size_t nsent = 0;
    size_t nreceived = 0;

    for (int peer = 0; peer < place->nranks; peer++) {
        out->send_displs[peer] = nsent;
        out->send_counts[peer] = unit * weight(place->rank, peer, place->nranks);
        nsent += out->send_counts[peer];
        out->recv_displs[peer] = nreceived;
        out->recv_counts[peer] = unit * weight(peer, place->rank, place->nranks);
        nreceived += out->recv_counts[peer];
    }
}

static bool expect(const struct perf_place *place, int index, struct perf_part *out)
{
    if (index >= place->nranks) {
        return false;
    }
    size_t unit = unit_of(place);
    *out = (struct perf_part){
        .source = index,
        .nelems = unit * weight(index, place->rank, place->nranks),
    };
    for (int d = 0; d < place->rank; d++) {
        out->first += unit * weight(index, d, place->nranks);
    }
    return true;
}

static whorl_result_t run(const struct perf_call *call)
{
    const struct perf_blocks *b = call->blocks;
    return whorl_all_to_all_v(call->send, b->send_counts, b->send_displs, call->recv,
                              b->recv_counts, b->recv_displs, call->dtype, call->comm, NULL);
}

/* A rank sends all of its input but the block that stays: (n-1) / n of it, or n / (n+1) where n is
 * 2 modulo 3. */
static double bus_factor(int nranks)
{
    double total = (double)total_weight(nranks);
    return (total - (double)weight(0, 0, nranks)) / total;
}

static const struct perf_coll all_to_all_v = {
    .title = "AlltoAllV",
    .name = "alltoallv",
    .in_place = PERF_IN_PLACE_NONE,
    .sizes = sizes,
    .expect = expect,
    .run = run,
    .bus_factor = bus_factor,
    .blocks = blocks,
};

int main(int argc, char **argv)
{
    return perf_main(&all_to_all_v, argc, argv);
}
