/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a communicator comes to be: join, tell each other who we are, connect, and only then believe
 * that it works: the last step is a barrier, so that either all ranks have a communicator or none.
 */
#include "base/bits.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "bootstrap/ticket.h"
#include "comm/comm.h"
#include "comm/dump.h"
#include "comm/members.h"
#include "comm/watch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOT_NBYTES_MIN = 512,
    SLOT_NBYTES_MAX = 1 << 28,
    LINKS_NBYTES = 6 << 20, /* most that a rank's links to all others of its host take */
    NET_SPIN_SHARE = 4,
    CONNECT_MS_MIN = 10000, /* for what comes after the join, however late the last rank joined */
};

static whorl_result_t configure(struct whorl_comm *comm, const struct wh_comm_args *args,
                                const struct wh_config *config)
{
    const struct wh_comm_options *options = &args->options;
    comm->rank = args->rank;
    comm->nranks = args->nranks;
    memcpy(comm->name, options->name, sizeof(comm->name));
    comm->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : config->timeout_ms;
    comm->init_timeout_ms =
        options->init_timeout_ms != 0 ? options->init_timeout_ms : config->init_timeout_ms;

    uint64_t slot_nbytes = config->buffer_nbytes / config->nslots & ~UINT64_C(63);
    if (slot_nbytes < SLOT_NBYTES_MIN || slot_nbytes > SLOT_NBYTES_MAX) {
        return wh_fail(
            WHORL_E_CONFIG, WH_SUBSYS_ENV,
            "WHORL_BUFFSIZE of %llu bytes makes %llu slots (WHORL_SLOTS) of %llu bytes each; "
            "a slot must have %d to %d bytes",
            (unsigned long long)config->buffer_nbytes, (unsigned long long)config->nslots,
            (unsigned long long)slot_nbytes, SLOT_NBYTES_MIN, SLOT_NBYTES_MAX);
    }
    comm->slot_nbytes = (size_t)slot_nbytes;
    comm->direct_nbytes = (size_t)config->direct_nbytes;
    comm->cma_nbytes = (size_t)config->cma_nbytes;
    const uint64_t arena_settings[] = {config->chunk_nbytes, config->direct_nbytes,
                                       config->cma_nbytes};
    comm->arena_key = wh_hash(WH_HASH_START, arena_settings, sizeof(arena_settings));
    comm->next_seq = 1;
    whorl_result_t rc = wh_kernels_check();
    return rc == WHORL_OK ? wh_algo_mask_parse(config->algo, &comm->algos) : rc;
}

/* The collectives that this rank's settings let run in the arena. */
static uint64_t allowed_arena_colls(const struct whorl_comm *comm)
{
    uint64_t colls = 0;
    for (int coll = 0; coll < WH_NCOLLS; coll++) {
        bool allowed = !wh_coll_is_p2p((enum wh_coll)coll) &&
                       wh_algo_mask_has_arena(&comm->algos, (enum wh_coll)coll);
        colls |= (uint64_t)allowed << coll;
    }
    return colls;
}

static whorl_result_t exchange_members(struct whorl_comm *comm, uint64_t deadline_ns)
{
    uint8_t *blocks = calloc(comm->nranks, WH_COMM_MEMBER_NBYTES);
    if (blocks == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for %u members", comm->nranks);
    }
    comm->members[comm->rank].arena_colls = allowed_arena_colls(comm);
    comm->members[comm->rank].arena_key = comm->arena_key;
    wh_comm_member_encode(&comm->members[comm->rank],
                          blocks + (size_t)comm->rank * WH_COMM_MEMBER_NBYTES);
    whorl_result_t rc = wh_boot_allgather(comm->boot, blocks, WH_COMM_MEMBER_NBYTES, deadline_ns);
    for (uint32_t r = 0; rc == WHORL_OK && r < comm->nranks; r++) {
        wh_comm_member_decode(blocks + (size_t)r * WH_COMM_MEMBER_NBYTES, &comm->members[r]);
    }
    free(blocks);
    return rc;
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* The first of n sorted keys that is not less than key. */
static uint32_t lower_bound(const uint64_t *keys, uint32_t n, uint64_t key)
{
    uint32_t begin = 0, end = n;
    while (begin < end) {
        uint32_t middle = begin + (end - begin) / 2;
        if (keys[middle] < key) {
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    return begin;
}

/* How often key is among n sorted ones. */
static uint32_t count_equal(const uint64_t *keys, uint32_t n, uint64_t key)
{
    uint32_t end = key == UINT64_MAX ? n : lower_bound(keys, n, key + 1);
    return end - lower_bound(keys, n, key);
}

/* Messages between all ranks of a host take a link for each pair: with many ranks smaller ones, so
 * that what a rank stages stays within bounds. */
static size_t slot_for(uint32_t nlocal, size_t wanted_nbytes, uint64_t nslots)
{
    size_t share = (size_t)(LINKS_NBYTES / nlocal / nslots) & ~(size_t)63;
    return wh_min_size(wanted_nbytes, wh_max_size(share, SLOT_NBYTES_MIN));
}

/* A power of two. Where ranks take turns on a core every chunk costs switches, so there are fewer. */
static size_t chunk_for(uint32_t ranks_per_core, uint64_t wanted_nbytes)
{
    size_t nbytes = 4096;
    while (nbytes < wanted_nbytes) {
        nbytes *= 2;
    }
    return ranks_per_core > 1 ? 4 * nbytes : nbytes;
}

/* How crowded the job is, wherever it is most: ranks that share a core, and ranks of a host. */
struct crowd {
    uint32_t ranks_per_core, nlocal;
    uint32_t nsharers; /* ranks that share the cores of this one */
};

static whorl_result_t measure_crowd(const struct whorl_comm *comm, struct crowd *crowd_out)
{
    const uint32_t n = comm->nranks;
    uint64_t *hosts = calloc(2 * (size_t)n, sizeof(*hosts)), *cpus = hosts + n;
    if (hosts == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for %u ranks", n);
    }
    for (uint32_t r = 0; r < n; r++) {
        hosts[r] = comm->members[r].host_key;
        cpus[r] = comm->members[r].cpus_key;
    }
    qsort(hosts, n, sizeof(*hosts), compare_keys);
    qsort(cpus, n, sizeof(*cpus), compare_keys);
    struct crowd crowd = {1, 1, count_equal(cpus, n, comm->members[comm->rank].cpus_key)};
    for (uint32_t r = 0; r < n; r++) {
        const struct wh_comm_member *member = &comm->members[r];
        uint32_t nsharers = count_equal(cpus, n, member->cpus_key);
        uint32_t here = (uint32_t)wh_div_up(nsharers, member->ncpus > 0 ? member->ncpus : 1);
        uint32_t nlocal = count_equal(hosts, n, member->host_key);
        crowd.ranks_per_core = here > crowd.ranks_per_core ? here : crowd.ranks_per_core;
        crowd.nlocal = nlocal > crowd.nlocal ? nlocal : crowd.nlocal;
    }
    free(hosts);
    *crowd_out = crowd;
    return WHORL_OK;
}

/* The collectives that the settings of all ranks let run in arenas. */
static uint64_t common_arena_colls(const struct whorl_comm *comm)
{
    uint64_t colls = UINT64_MAX;
    for (uint32_t r = 0; r < comm->nranks; r++) {
        const struct wh_comm_member *member = &comm->members[r];
        colls &= member->arena_colls;
        if (member->arena_key != comm->members[0].arena_key && colls != 0) {
            wh_log(
                WH_LOG_WARN, WH_SUBSYS_INIT,
                "ranks 0 and %u have different WHORL_CHUNK, WHORL_DIRECT or WHORL_CMA: collectives "
                "go over links, which is slower",
                r);
            colls = 0;
        }
    }
    return colls;
}

/* What every rank must compute alike comes from what all ranks said. */
static whorl_result_t set_policy(struct whorl_comm *comm, const struct wh_config *config)
{
    struct crowd crowd = {0};
    whorl_result_t rc = measure_crowd(comm, &crowd);
    if (rc != WHORL_OK) {
        return rc;
    }
    bool is_one_host = crowd.nlocal == comm->nranks;
    comm->arena_colls = common_arena_colls(comm);
    comm->slot_nbytes = slot_for(crowd.nlocal, comm->slot_nbytes, config->nslots);
    comm->local_fabric = wh_fabric_shared_memory(crowd.ranks_per_core, comm->slot_nbytes);
    comm->fabric = is_one_host ? comm->local_fabric
                               : wh_fabric_network(crowd.ranks_per_core, comm->slot_nbytes);
    comm->chunk_nbytes = chunk_for(crowd.ranks_per_core, config->chunk_nbytes);
    /* To ask a socket takes a system call, the time of a dozen looks at shared memory. Where ranks
     * share cores it keeps those from running that would send: four hosts on two cores take a sixth
     * less for 8 B without. */
    comm->patience = wh_patience_for(crowd.nsharers, config->spin, config->nyields);
    if (!is_one_host) {
        bool is_crowded = crowd.nsharers > wh_usable_cpus();
        comm->patience.nspins = is_crowded ? 0 : comm->patience.nspins / NET_SPIN_SHARE;
    }
    comm->nspins = comm->patience.nspins;
    return WHORL_OK;
}

static whorl_result_t open_wire(struct whorl_comm *comm, const whorl_id_t *id,
                                const struct wh_config *config)
{
    uint64_t *keys = malloc(2 * comm->nranks * sizeof(*keys));
    if (keys == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for %u ranks", comm->nranks);
    }
    for (uint32_t r = 0; r < comm->nranks; r++) {
        keys[r] = comm->members[r].host_key;
        keys[comm->nranks + r] = comm->members[r].process_key;
    }
    struct wh_wire_env env = {
        .rank = comm->rank,
        .nranks = comm->nranks,
        .host_keys = keys,
        .process_keys = keys + comm->nranks,
        .nchannels = WH_NCHANNELS,
        .nslots = (uint32_t)config->nslots,
        .slot_nbytes = comm->slot_nbytes,
        .region_nbytes = wh_arena_region_nbytes(comm->nranks, comm->chunk_nbytes),
    };
    struct wh_ticket ticket;
    bool is_id = wh_ticket_decode(id, &ticket);
    assert(is_id && sizeof(env.secret) == sizeof(ticket.secret));
    memcpy(env.secret, is_id ? ticket.secret : env.secret, sizeof(env.secret));
    wh_ticket_fini(&ticket);
    whorl_result_t rc = wh_wire_create(&env, config, &comm->wire);
    explicit_bzero(env.secret, sizeof(env.secret));
    free(keys);
    return rc;
}

static whorl_result_t connect_wire(struct whorl_comm *comm, uint64_t deadline_ns)
{
    size_t address_nbytes = wh_wire_address_nbytes();
    uint8_t *addresses = calloc(comm->nranks, address_nbytes);
    if (addresses == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for %u addresses", comm->nranks);
    }
    wh_wire_address(comm->wire, addresses + comm->rank * address_nbytes);
    whorl_result_t rc = wh_boot_allgather(comm->boot, addresses, address_nbytes, deadline_ns);
    if (rc == WHORL_OK) {
        rc = wh_wire_connect(comm->wire, addresses, &comm->failure.stop, deadline_ns);
    }
    free(addresses);
    return rc;
}

static whorl_result_t join(struct whorl_comm *comm, const whorl_id_t *id)
{
    struct wh_boot_join_args args = {
        .id = id,
        .nranks = comm->nranks,
        .rank = comm->rank,
        .timeout_ms = comm->init_timeout_ms,
        .on_failure = wh_comm_on_remote_failure,
        .on_status = wh_watch_on_status,
        .ctx = comm,
    };
    return wh_boot_join(&args, &comm->boot);
}

static struct whorl_comm *comm_alloc(uint32_t nranks)
{
    struct whorl_comm *comm = calloc(1, sizeof(*comm));
    if (comm == NULL) {
        return NULL;
    }
    comm->members = calloc(nranks, sizeof(*comm->members));
    if (comm->members == NULL) {
        free(comm);
        return NULL;
    }
    pthread_mutex_init(&comm->failure.lock, NULL);
    pthread_mutex_init(&comm->text_lock, NULL);
    pthread_mutex_init(&comm->dump_lock, NULL);
    return comm;
}

static void comm_free(struct whorl_comm *comm)
{
    /* Boot first: its thread calls back into comm, and rings the bell that lives in the wire. */
    wh_watch_stop(comm);
    wh_boot_leave(comm->boot);
    wh_watch_destroy(comm);
    wh_plans_fini(&comm->plans);
    wh_comm_close_hosts(comm);
    if (comm->wire != NULL && atomic_load(&comm->failure.stop) != 0) {
        wh_wire_give_up(comm->wire);
    }
    wh_wire_destroy(comm->wire);
    wh_memory_list_fini(&comm->memory);
    pthread_mutex_destroy(&comm->dump_lock);
    pthread_mutex_destroy(&comm->text_lock);
    pthread_mutex_destroy(&comm->failure.lock);
    free(comm->members);
    free(comm);
}

/* Everything between having memory for a communicator and having a communicator. */
static whorl_result_t bring_up(struct whorl_comm *comm, const struct wh_comm_args *args)
{
    const struct wh_config *config;
    whorl_result_t rc = wh_config_get(&config);
    if (rc == WHORL_OK) {
        rc = configure(comm, args, config);
    }
    if (rc == WHORL_OK) {
        rc = wh_watch_create(comm, config->stall_report_ms);
    }
    if (rc == WHORL_OK) {
        rc = wh_comm_member_self(&comm->members[comm->rank]);
    }
    if (rc == WHORL_OK && comm->nranks >= WH_GROUPED_RANKS_MIN) {
        rc = wh_comm_member_place(config, &comm->members[comm->rank].place);
    }
    uint64_t deadline_ns = wh_deadline_after_ms(comm->init_timeout_ms);
    if (rc == WHORL_OK) {
        rc = join(comm, &args->id);
    }
    if (rc != WHORL_OK) {
        return rc;
    }

    uint64_t least_ns = wh_deadline_after_ms(CONNECT_MS_MIN);
    deadline_ns = deadline_ns > least_ns ? deadline_ns : least_ns;
    rc = exchange_members(comm, deadline_ns);
    if (rc == WHORL_OK) {
        rc = set_policy(comm, config);
    }
    if (rc == WHORL_OK) {
        rc = open_wire(comm, &args->id, config);
    }
    if (rc == WHORL_OK) {
        rc = connect_wire(comm, deadline_ns);
    }
    if (rc == WHORL_OK) {
        rc = wh_comm_open_hosts(comm, deadline_ns);
    }
    if (rc == WHORL_OK) {
        atomic_store_explicit(&comm->bell, wh_wire_bell(comm->wire), memory_order_release);
        rc = wh_boot_barrier(comm->boot, deadline_ns);
    }
    if (rc != WHORL_OK) {
        /* The others are waiting in one of these steps: tell them. */
        rc = wh_comm_fail(comm, rc, wh_error_get());
    }
    return rc;
}

whorl_result_t wh_comm_create(const struct wh_comm_args *args, struct whorl_comm **comm_out)
{
    assert(args->rank < args->nranks);

    int rank_before = wh_log_set_rank((int)args->rank);
    struct whorl_comm *comm = comm_alloc(args->nranks);
    if (comm == NULL) {
        wh_log_set_rank(rank_before);
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a communicator");
    }
    whorl_result_t rc = bring_up(comm, args);
    if (rc == WHORL_OK) {
        wh_log(WH_LOG_INFO, WH_SUBSYS_INIT,
               "communicator%s%s ready: rank %u of %u, %u usable cores",
               comm->name[0] != '\0' ? " " : "", comm->name, comm->rank, comm->nranks,
               comm->members[comm->rank].ncpus);
        wh_roster_add(comm, &comm->roster_node);
        *comm_out = comm;
    } else {
        comm_free(comm);
    }
    wh_log_set_rank(rank_before);
    return rc;
}

uint64_t wh_comm_memory_nbytes(const struct whorl_comm *comm)
{
    uint64_t nbytes = wh_wire_memory_nbytes(comm->wire) + wh_plans_memory_nbytes(&comm->plans);
    nbytes += comm->arena != NULL ? wh_arena_memory_nbytes(comm->arena) : 0;
    return nbytes + (comm->hier != NULL ? wh_hier_memory_nbytes(comm->hier) : 0);
}

void wh_comm_destroy(struct whorl_comm *comm)
{
    if (comm == NULL) {
        return;
    }
    int rank_before = wh_log_set_rank((int)comm->rank);
    wh_comm_drain(comm);
    wh_dump_on_failure(comm);
    wh_roster_remove(comm);
    uint64_t memory_nbytes = wh_comm_memory_nbytes(comm);
    wh_log(WH_LOG_INFO, WH_SUBSYS_DESTROY,
           "communicator%s%s ends after %llu collectives; arena, links and plans had up to "
           "%llu KiB",
           comm->name[0] != '\0' ? " " : "", comm->name, (unsigned long long)comm->next_seq - 1,
           (unsigned long long)memory_nbytes / 1024);
    comm_free(comm);
    wh_log_set_rank(rank_before);
}
