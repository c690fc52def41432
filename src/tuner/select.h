/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which algorithm: the cheapest by its own cost function among those that the user allows.
 *
 * Pure values in, value out, and every rank computes the same from the same arguments.
 */
#ifndef WH_TUNER_SELECT_H
#define WH_TUNER_SELECT_H

#include "algorithms/algo.h"

/** What the user allows, parsed from WHORL_ALGO. */
struct wh_algo_mask {
    uint64_t allowed; /* a bit per algorithm of wh_algos, and of the arena a bit per collective */
    uint64_t forbidden_hier; /* a bit per row of wh_hier_algos: those that are not allowed */
};

/**
 * Parses `[list;]function:list;...`; a list is comma separated names, ^ before it inverts it; case
 * does not matter. Functions: AllReduce, AllGather, ReduceScatter, Broadcast, Reduce, AllToAll,
 * Gather, Scatter (also with underscores). Names: arena, leader and rails, those of wh_algos and
 * NCCL's; a name that exists only in NCCL matches nothing. Ring means chain for broadcast and
 * reduce, PAT means circulant.
 *
 * leader and rails are ways to put arenas of several hosts together. So a list with one of them
 * allows the arena too, for communicators of one host, and a list with the arena but none of them
 * allows both; after ^ each stands for itself.
 *
 * A general list that leaves a function without any algorithm does not apply to that function, so
 * that settings like "Tree" keep meaning "tree where there is one".
 *
 * Errors    WHORL_E_CONFIG, reported with the word that is wrong and the words that are known; also
 *           if a list for a function leaves that function without any algorithm.
 */
WH_MUST_CHECK whorl_result_t wh_algo_mask_parse(const char *text, struct wh_algo_mask *mask_out);

/** May coll run in the arena, where there is one? */
bool wh_algo_mask_has_arena(const struct wh_algo_mask *mask, enum wh_coll coll);

/**
 * The cheapest allowed algorithm that fits; NULL if none does. nbytes as in wh_algo.cost_ns. Ties
 * go to the earlier row.
 */
const struct wh_algo *wh_tuner_select(const struct wh_problem *problem, size_t nbytes,
                                      const struct wh_fabric *fabric,
                                      const struct wh_algo_mask *mask);

/** The fabric of ranks that share one host's memory, up to ranks_per_core of them a core: figures
 *  measured with perf-tests/micro. */
struct wh_fabric wh_fabric_shared_memory(uint32_t ranks_per_core, size_t slot_nbytes);

/** The fabric of ranks on several hosts: round figures for TCP. For AllReduce of two hosts they change
 *  the algorithm within a factor of two of where the measured times cross. */
struct wh_fabric wh_fabric_network(uint32_t ranks_per_core, size_t slot_nbytes);

#endif
