/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collectives of several hosts as compositions (schedule/compose.h): one row per way to put a
 * collective together, and the choice among them.
 *
 *   leader   one rank of each host speaks for it: two waits in the host and one way between hosts.
 *            For few bytes, and for hosts with different numbers of ranks.
 *   rails    every rank of a host brings its share to its own rail: all cores of a host move and
 *            combine what goes between hosts. For many bytes.
 *
 * A file hier_<collective>.c has the rows of one collective.
 */
#ifndef WH_ALGORITHMS_HIER_H
#define WH_ALGORITHMS_HIER_H

#include "algorithms/algo.h"
#include "schedule/compose.h"

struct wh_hier_algo {
    const char *name; /* what users write in WHORL_ALGO and see in logs */
    enum wh_coll coll;
    /* NULL: fits wherever there are several hosts, of which one has several ranks. */
    bool (*fits)(const struct wh_hosts *hosts);
    /* Not asked unless it fits. WHORL_E_NOMEM is reported. */
    whorl_result_t (*build)(const struct wh_compose_problem *problem,
                            struct wh_composition **composition_out);
    /* Nanoseconds that nbytes take (of the vector, or of all blocks of one rank); for comparing
     * rows, the same on all ranks and for all roots. `local` is the fabric inside hosts, `net`
     * that between them. */
    double (*cost_ns)(const struct wh_hosts *hosts, const struct wh_fabric *local,
                      const struct wh_fabric *net, size_t nbytes);
};

/** All rows, collective by collective. */
extern const struct wh_hier_algo *const wh_hier_algos[];
extern const size_t wh_nhier_algos;

/** What a row is chosen for. */
struct wh_hier_query {
    enum wh_coll coll;
    const struct wh_hosts *hosts;
    const struct wh_fabric *local, *net;
    size_t nbytes;      /* as in wh_hier_algo.cost_ns */
    uint64_t forbidden; /* a bit per row of wh_hier_algos that the user does not want */
};

/** The cheapest row that fits; NULL if none does: one host, or only hosts of one rank, or a
 *  collective or a shape that no row is for, or none is allowed. Ties go to the earlier row. */
const struct wh_hier_algo *wh_hier_select(const struct wh_hier_query *query);

/** Does the row work for these hosts? */
bool wh_hier_algo_fits(const struct wh_hier_algo *algo, const struct wh_hosts *hosts);

/** What a composition costs: the busiest rank's work. */
struct wh_hier_work {
    double nwaits;        /* in the host: one for all others */
    double local_nbytes;  /* written to, or read from, the host's memory */
    double local_reduced; /* bytes combined there */
    double nrails;        /* ranks of a host that talk to other hosts; 0: one */
    double nhops;         /* between hosts, as wh_work */
    double net_nbytes;
    double net_reduced;
};

/** The two parts run side by side, but for the first piece. Where ranks share cores, the hops of
 *  several rails take turns. */
double wh_hier_cost_ns(const struct wh_hosts *hosts, const struct wh_fabric *local,
                       const struct wh_fabric *net, const struct wh_hier_work *work);

/** Sets what an all_reduce of nbytes between nhosts adds to the work: by halving and doubling where
 *  bytes count, by doubling alone where hops do. */
void wh_hier_rail_all_reduce(const struct wh_fabric *net, uint32_t nhosts, double nbytes,
                             struct wh_hier_work *work);

/** ceil(log2(n)). */
double wh_hier_log2(uint32_t n);

#endif
