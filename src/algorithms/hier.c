/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of compositions, and which one a call takes. */
#include "algorithms/hier.h"

extern const struct wh_hier_algo wh_hier_allreduce_leader, wh_hier_allreduce_rails;
extern const struct wh_hier_algo wh_hier_allgather_leader, wh_hier_allgather_rails;
extern const struct wh_hier_algo wh_hier_reduce_scatter_leader, wh_hier_reduce_scatter_rails;
extern const struct wh_hier_algo wh_hier_broadcast_leader, wh_hier_broadcast_rails;
extern const struct wh_hier_algo wh_hier_reduce_leader, wh_hier_reduce_rails;
extern const struct wh_hier_algo wh_hier_alltoall_rails;
extern const struct wh_hier_algo wh_hier_barrier_leader;

const struct wh_hier_algo *const wh_hier_algos[] = {
    &wh_hier_allreduce_leader, &wh_hier_allreduce_rails,       &wh_hier_allgather_leader,
    &wh_hier_allgather_rails,  &wh_hier_reduce_scatter_leader, &wh_hier_reduce_scatter_rails,
    &wh_hier_broadcast_leader, &wh_hier_broadcast_rails,       &wh_hier_reduce_leader,
    &wh_hier_reduce_rails,     &wh_hier_alltoall_rails,        &wh_hier_barrier_leader,
};
const size_t wh_nhier_algos = ARRAY_LEN(wh_hier_algos);
_Static_assert(ARRAY_LEN(wh_hier_algos) <= 64, "a bit per row, see wh_hier_query");

bool wh_hier_algo_fits(const struct wh_hier_algo *algo, const struct wh_hosts *hosts)
{
    return hosts->nhosts > 1 && hosts->nlocal_max > 1 && (algo->fits == NULL || algo->fits(hosts));
}

const struct wh_hier_algo *wh_hier_select(const struct wh_hier_query *query)
{
    const struct wh_hier_algo *best = NULL;
    double best_ns = 0;
    for (size_t i = 0; i < wh_nhier_algos; i++) {
        const struct wh_hier_algo *algo = wh_hier_algos[i];
        if (algo->coll != query->coll || (query->forbidden >> i & 1) != 0 ||
            !wh_hier_algo_fits(algo, query->hosts)) {
            continue;
        }
        double ns = algo->cost_ns(query->hosts, query->local, query->net, query->nbytes);
        if (best == NULL || ns < best_ns) {
            best = algo;
            best_ns = ns;
        }
    }
    return best;
}

double wh_hier_log2(uint32_t n)
{
    double log = 0;
    for (uint64_t reach = 1; reach < n; reach *= 2) {
        log++;
    }
    return log;
}

void wh_hier_rail_all_reduce(const struct wh_fabric *net, uint32_t nhosts, double nbytes,
                             struct wh_hier_work *work)
{
    const double log = wh_hier_log2(nhosts), share = ((double)nhosts - 1) / (double)nhosts * nbytes;
    const double extra_nbytes = log * nbytes - 2 * share, extra_reduced = log * nbytes - share;
    bool is_small =
        extra_nbytes * net->byte_ns + extra_reduced * net->reduce_byte_ns < log * net->message_ns;
    work->nhops = is_small ? log : 2 * log;
    work->net_nbytes = is_small ? log * nbytes : 2 * share;
    work->net_reduced = is_small ? log * nbytes : share;
}

double wh_hier_cost_ns(const struct wh_hosts *hosts, const struct wh_fabric *local,
                       const struct wh_fabric *net, const struct wh_hier_work *work)
{
    /* How much of the shorter part nothing hides: that of the first piece and of the last. */
    const double exposed = 0.25;
    double turns = work->nrails * (double)net->ranks_per_core / (double)hosts->nlocal_max;
    double waits_ns = work->nwaits * (double)local->ranks_per_core * local->message_ns +
                      work->nhops * (turns > 1 ? turns : 1) * net->message_ns;
    double local_ns =
        work->local_nbytes * local->byte_ns + work->local_reduced * local->reduce_byte_ns;
    double net_ns = work->net_nbytes * net->byte_ns + work->net_reduced * net->reduce_byte_ns;
    double more_ns = local_ns > net_ns ? local_ns : net_ns;
    double less_ns = local_ns > net_ns ? net_ns : local_ns;
    return waits_ns + more_ns + exposed * less_ns;
}
