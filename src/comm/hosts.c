/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the ranks of one host, and the hosts, work together: the host's arena, and over several hosts
 * the compositions that join arenas by rails. What is chosen here follows from what every rank
 * knows of every other, so all come to the same.
 */
#include "algorithms/hier.h"
#include "algorithms/hier_prompt.h"
#include "base/log.h"
#include "comm/comm.h"
#include "topology/groups.h"

#include <stdlib.h>

/* ---- the arena ------------------------------------------------------------------------------ */

static uint32_t nlocal_of(const struct whorl_comm *comm)
{
    return wh_hosts_nlocal(comm->hosts, comm->hosts->host[comm->rank]);
}

/* This host's ranks, in order. */
static const uint32_t *locals_of(const struct whorl_comm *comm)
{
    return comm->hosts->ranks + comm->hosts->first[comm->hosts->host[comm->rank]];
}

/* Are all ranks of this host threads of this process? */
static bool is_one_process(const struct whorl_comm *comm)
{
    for (uint32_t i = 0; i < nlocal_of(comm); i++) {
        if (comm->members[locals_of(comm)[i]].process_key !=
            comm->members[comm->rank].process_key) {
            return false;
        }
    }
    return true;
}

/* How the ranks of this host divide into groups. The caller frees *groups_out, which is NULL if
 * they do not. */
static whorl_result_t divide(const struct whorl_comm *comm, uint32_t **groups_out)
{
    static const char *const level_names[] = {
        [WH_TOPOLOGY_LLC] = "last-level cache", [WH_TOPOLOGY_NUMA] = "NUMA node"};
    uint32_t n = nlocal_of(comm);
    *groups_out = NULL;
    if (n < WH_GROUPED_RANKS_MIN) {
        return WHORL_OK;
    }
    uint32_t *groups = calloc(n, sizeof(*groups));
    struct wh_topology_place *places = calloc(n, sizeof(*places));
    if (groups == NULL || places == NULL) {
        free(places);
        free(groups);
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for %u places", n);
    }
    for (uint32_t i = 0; i < n; i++) {
        places[i] = comm->members[locals_of(comm)[i]].place;
    }
    struct wh_topology_division d = wh_topology_divide(places, n, WH_ARENA_NGROUPS_MAX, groups);
    free(places);
    if (d.ngroups > 1) {
        wh_log(WH_LOG_INFO, WH_SUBSYS_INIT,
               "all_reduce of large buffers in two levels: %u groups of %u ranks, a %s each",
               d.ngroups, n / d.ngroups, level_names[d.level]);
        *groups_out = groups;
        return WHORL_OK;
    }
    wh_log(WH_LOG_INFO, WH_SUBSYS_INIT,
           "all ranks are one group; by last-level cache: %s; by NUMA node: %s",
           d.why[WH_TOPOLOGY_LLC], d.why[WH_TOPOLOGY_NUMA]);
    free(groups);
    return WHORL_OK;
}

/* The arena of this host's ranks, if they share memory. */
static whorl_result_t open_arena(struct whorl_comm *comm)
{
    struct wh_arena_env env = {
        .chunk_nbytes = comm->chunk_nbytes,
        .llc_nbytes = wh_cache_nbytes(),
        .direct_nbytes = comm->direct_nbytes,
        .cma_nbytes = comm->cma_nbytes,
        .is_one_process = is_one_process(comm),
        .names = locals_of(comm),
    };
    if (comm->arena_colls == 0 || (comm->hosts->nhosts > 1 && nlocal_of(comm) == 1)) {
        return WHORL_OK;
    }
    whorl_result_t rc = wh_wire_region(comm->wire, &env.region);
    if (rc == WHORL_E_UNSUPPORTED) {
        return WHORL_OK;
    }
    uint32_t *groups = NULL;
    if (rc == WHORL_OK) {
        rc = divide(comm, &groups);
    }
    if (rc == WHORL_OK) {
        env.groups = groups;
        rc = wh_arena_create(&env, &comm->arena);
    }
    free(groups);
    return rc;
}

/* ---- several hosts -------------------------------------------------------------------------- */

/* A composition, unless the best schedule over links is as good. */
static const void *choose(void *ctx, const struct wh_compose_problem *problem, size_t nbytes)
{
    const struct whorl_comm *comm = ctx;
    if ((comm->arena_colls >> problem->coll & 1) == 0) {
        return NULL;
    }
    const struct wh_hier_algo *hier =
        wh_hier_select(&(struct wh_hier_query){.coll = problem->coll,
                                               .hosts = problem->hosts,
                                               .local = &comm->local_fabric,
                                               .net = &comm->fabric,
                                               .nbytes = nbytes,
                                               .forbidden = comm->algos.forbidden_hier});
    const struct wh_problem flat_problem = {problem->coll, problem->rank, comm->nranks,
                                            problem->root};
    const struct wh_algo *flat =
        wh_tuner_select(&flat_problem, nbytes, &comm->fabric, &comm->algos);
    if (hier == NULL || flat == NULL) {
        return hier;
    }
    double hier_ns = hier->cost_ns(problem->hosts, &comm->local_fabric, &comm->fabric, nbytes);
    return hier_ns <= flat->cost_ns(&flat_problem, &comm->fabric, nbytes) ? hier : NULL;
}

static whorl_result_t compose(void *ctx, const void *chosen,
                              const struct wh_compose_problem *problem,
                              struct wh_composition **composition_out)
{
    (void)ctx;
    const struct wh_hier_algo *algo = chosen;
    return algo->build(problem, composition_out);
}

static const void *choose_rail(void *ctx, const struct wh_problem *problem, size_t nbytes)
{
    const struct whorl_comm *comm = ctx;
    if (problem->coll == WH_COLL_ALL_TO_ALL) {
        return &wh_algo_alltoall_pairwise; /* the one that there is, and for rails only */
    }
    const struct wh_algo *algo = wh_tuner_select(problem, nbytes, &comm->fabric, &comm->algos);
    if (algo == NULL) { /* WHORL_ALGO may leave out what only rails use */
        const struct wh_algo_mask all = {.allowed = UINT64_MAX};
        algo = wh_tuner_select(problem, nbytes, &comm->fabric, &all);
    }
    return algo;
}

static whorl_result_t build_rail(void *ctx, const void *chosen, const struct wh_problem *problem,
                                 struct wh_sched **sched_out)
{
    (void)ctx;
    return wh_algo_build(chosen, problem, sched_out);
}

static whorl_result_t finds_out(void *ctx, const void *chosen, const struct wh_problem *problem,
                                bool *finds_out_out)
{
    (void)ctx;
    return wh_algo_finds_out(chosen, problem, finds_out_out);
}

static const struct wh_hier_choices choices = {choose, compose, choose_rail, build_rail, finds_out};

/* Hosts work together only if each of them has an arena, or one rank. */
static whorl_result_t have_all_arenas(struct whorl_comm *comm, uint64_t deadline_ns, bool *out)
{
    uint8_t *flags = calloc(comm->nranks, 1);
    if (flags == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for %u ranks", comm->nranks);
    }
    flags[comm->rank] = comm->arena != NULL || nlocal_of(comm) == 1;
    whorl_result_t rc = wh_boot_allgather(comm->boot, flags, 1, deadline_ns);
    *out = rc == WHORL_OK;
    for (uint32_t r = 0; r < comm->nranks; r++) {
        *out &= flags[r] != 0;
    }
    free(flags);
    return rc;
}

static whorl_result_t open_hier(struct whorl_comm *comm, uint64_t deadline_ns)
{
    const struct wh_hosts *hosts = comm->hosts;
    bool is_possible = false;
    whorl_result_t rc = have_all_arenas(comm, deadline_ns, &is_possible);
    if (rc != WHORL_OK || !is_possible) {
        wh_arena_destroy(comm->arena);
        comm->arena = NULL;
        return rc;
    }
    const struct wh_hier_env env = {
        .rank = comm->rank,
        .hosts = hosts,
        .arena = comm->arena,
        .wire = comm->wire,
        .choices = &choices,
        .ctx = comm,
    };
    wh_log(WH_LOG_INFO, WH_SUBSYS_INIT, "%u hosts of up to %u ranks, joined by %u rails",
           hosts->nhosts, hosts->nlocal_max, hosts->nrails);
    return wh_hier_create(&env, &comm->hier);
}

whorl_result_t wh_comm_open_hosts(struct whorl_comm *comm, uint64_t deadline_ns)
{
    uint64_t *keys = calloc(comm->nranks, sizeof(*keys));
    if (keys == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for %u ranks", comm->nranks);
    }
    for (uint32_t r = 0; r < comm->nranks; r++) {
        keys[r] = comm->members[r].host_key;
    }
    whorl_result_t rc = wh_hosts_create(keys, comm->nranks, &comm->hosts);
    free(keys);
    if (rc == WHORL_OK) {
        rc = open_arena(comm);
    }
    bool has_levels = rc == WHORL_OK && comm->hosts->nhosts > 1 && comm->hosts->nlocal_max > 1;
    if (has_levels && comm->arena_colls != 0) {
        rc = open_hier(comm, deadline_ns);
    }
    return rc;
}

void wh_comm_close_hosts(struct whorl_comm *comm)
{
    wh_hier_destroy(comm->hier);
    wh_arena_destroy(comm->arena);
    wh_hosts_destroy(comm->hosts);
}
