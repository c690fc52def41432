/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row per algorithm: a pure function that writes a schedule, and what it would cost.
 *
 * Sealing may add a lane of messages without data to what an algorithm builds (the entry rule of
 * schedule/sched.h), so a schedule can have one lane more than its file shows.
 *
 * A file of this folder holds one algorithm and its row, named wh_algo_<file name>. A line in
 * CMakeLists.txt adds it to the registry.
 */
#ifndef WH_ALGORITHMS_ALGO_H
#define WH_ALGORITHMS_ALGO_H

#include "schedule/sched.h"

/** What moving and combining bytes costs here, as plain numbers. */
struct wh_fabric {
    double message_ns;       /* one message between two ranks, without its bytes */
    double byte_ns;          /* one byte through a link: written by one side, read by other */
    double reduce_byte_ns;   /* one byte combined */
    double turn_byte_ns;     /* one byte more, where a rank's connections carry data by turns */
    double slot_nbytes;      /* largest message */
    uint32_t ranks_per_core; /* at least 1; with more, ranks take turns */
};

struct wh_algo {
    const char *name; /* what users write in WHORL_ALGO and see in logs */
    enum wh_coll coll;
    /* NULL: fits every problem of its collective. */
    bool (*fits)(const struct wh_problem *problem);
    /* Writes the schedule of problem->rank into b. Not asked for nranks == 1: wh_algo_build() has
     * one schedule for that, whatever the algorithm. */
    void (*build)(const struct wh_problem *problem, struct wh_builder *b);
    /* Chunks of one pass. */
    uint32_t (*nchunks)(const struct wh_problem *problem);
    /* Nanoseconds that nbytes (of the vector; of all blocks for all_gather and reduce_scatter)
     * take. For comparing algorithms; the same on all ranks and for all roots. See cost.h. */
    double (*cost_ns)(const struct wh_problem *problem, const struct wh_fabric *fabric,
                      size_t nbytes);
};

/** All algorithms, in the order of CMakeLists.txt. */
extern const struct wh_algo *const wh_algos[];
extern const size_t wh_nalgos;

/** all_to_all over a rail; not in the registry, see there. */
extern const struct wh_algo wh_algo_alltoall_pairwise;

/** The algorithm of that name (case does not matter), or NULL. */
const struct wh_algo *wh_algo_find(enum wh_coll coll, const char *name);

/**
 * Builds and seals one rank's schedule.
 *
 * Memory    *sched_out is given back with wh_sched_destroy().
 * Errors    as wh_builder_seal(); WHORL_E_UNSUPPORTED if the algorithm does not fit the problem.
 */
WH_MUST_CHECK whorl_result_t wh_algo_build(const struct wh_algo *algo,
                                           const struct wh_problem *problem,
                                           struct wh_sched **sched_out);

#endif
