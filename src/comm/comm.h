/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Communicators: who is in one, what it has to do, and how it ends.
 *
 * Turns. Calls on a communicator run in the order in which they were made, also when some wait in
 * streams: each batch of calls draws a ticket, and only the batch whose ticket is on turn touches
 * the plans and the wire. Handing on the turn is the release that the next batch acquires.
 *
 * Failure. The first failure wins, wherever it is noticed (this rank's runner, the service thread
 * of bootstrap, an abort from another thread): it is stored once, sets the stop word, wakes who
 * sleeps, and is passed on to all ranks. From then on every call returns it.
 */
#ifndef WH_COMM_COMM_H
#define WH_COMM_COMM_H

#include "base/config.h"
#include "base/wait.h"
#include "bootstrap/boot.h"
#include "comm/plans.h"
#include "comm/roster.h"
#include "device/memory.h"
#include "device/stream.h"
#include "executor/arena/arena.h"
#include "executor/cpu/run.h"
#include "executor/hier/hier.h"
#include "topology/place.h"
#include "tuner/select.h"
#include "wire/wire.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    WH_COMM_NAME_NBYTES = 64,
    WH_HOST_NAME_NBYTES = 64,
    WH_FAILURE_NBYTES = 2048,
    WH_REDOPS_MAX = 64,
    WH_REDOP_FIRST_HANDLE = 16, /* handles are this and up, so that they are no predefined op */
    WH_REDOP_FIRST_USER = WH_REDOP_FIRST_HANDLE + WH_REDOPS_MAX, /* those of users' functions */
};

/** What every rank knows of every other. */
struct wh_comm_member {
    uint64_t host_key;
    uint64_t process_key;
    uint32_t pid;
    uint32_t ncpus;
    uint64_t cpus_key;    /* equal: these ranks share their cores */
    uint64_t arena_colls; /* a bit per collective that its settings let run in the arena */
    uint64_t arena_key;   /* equal: its settings of the arena are the same */
    struct wh_topology_place place;
    char host[WH_HOST_NAME_NBYTES];
};

/** The first thing that went wrong. */
struct wh_failure {
    _Atomic int32_t stop; /* 0, or the result code; set with release after text */
    pthread_mutex_t lock; /* for text, written once */
    char text[WH_FAILURE_NBYTES];
};

/** A reduction made by the user: a premultiplied sum, or a function. */
struct wh_redop_slot {
    bool used;
    whorl_dtype_t dtype; /* of the scalar */
    uint8_t scalar[WH_ELEM_NBYTES_MAX];
    struct wh_user_redop user; /* fn is NULL for a premultiplied sum */
};

struct whorl_comm {
    /* Set by create, read-only after: any thread. */
    uint32_t rank, nranks;
    char name[WH_COMM_NAME_NBYTES];
    uint64_t timeout_ms; /* of an operation; 0: none */
    uint64_t init_timeout_ms;
    struct wh_comm_member *members; /* nranks */
    struct wh_patience patience;
    struct wh_fabric fabric;       /* among all ranks */
    struct wh_fabric local_fabric; /* among those of a host */
    struct wh_algo_mask algos;
    uint64_t arena_colls; /* a bit per collective that runs in the arena: the same on all ranks */
    uint64_t arena_key;   /* of this rank's settings */
    size_t slot_nbytes, chunk_nbytes, direct_nbytes, cma_nbytes;
    struct wh_boot *boot;   /* NULL until joined */
    struct wh_watch *watch; /* see watch.h */

    /* Any thread. */
    struct wh_failure failure;
    pthread_mutex_t text_lock; /* for last_text and nqueued */
    char last_text[WH_FAILURE_NBYTES];
    _Atomic uint64_t now_serving; /* ticket on turn */
    _Atomic uint32_t nspins;      /* polls that pay at present; at most those of patience */
    uint32_t nqueued;             /* batches in streams that still touch comm; with text_lock */
    _Atomic(struct wh_doorbell *) bell; /* the wire's; set once, wakes this rank's waits */
    pthread_mutex_t dump_lock;          /* for is_dumped; held while the file is written */
    bool is_dumped;                     /* its failure */
    struct wh_roster_node roster_node;  /* the roster's */

    /* The caller's thread (one call at a time). */
    uint64_t next_ticket;
    struct wh_redop_slot redops[WH_REDOPS_MAX];
    struct wh_memory_list memory; /* registered by the user */

    /* Whoever is on turn. */
    struct wh_wire *wire;
    struct wh_hosts *hosts;
    struct wh_arena *arena; /* of this host's ranks; NULL: none */
    struct wh_hier *hier;   /* NULL: one host, or hosts without arenas; else it alone has the arena */
    struct wh_plans plans;
    uint64_t next_seq;    /* of collectives; the first is 1 */
    uint32_t nlong_waits; /* that were not over after so many polls */
};

/** One call of the API, checked and ready to run. */
struct wh_call {
    struct whorl_comm *comm;
    enum wh_coll coll;
    uint32_t root;   /* or the peer */
    struct wh_op op; /* seq is filled in when it runs */
    struct whorl_stream *stream;
    size_t *counts_copy; /* memory of op's arrays, see counts.h; NULL: they are the caller's */
};

/** Does coll run in the arena here? All ranks come to the same answer. */
static inline bool wh_comm_uses_arena(const struct whorl_comm *comm, enum wh_coll coll)
{
    return comm->arena != NULL && comm->hier == NULL && (comm->arena_colls >> coll & 1) != 0;
}

/* ---- comm_create.c ---- */

/** What whorl_options_t asks for, as values that outlive the caller's. */
struct wh_comm_options {
    uint64_t init_timeout_ms, timeout_ms; /* 0: as configured */
    char name[WH_COMM_NAME_NBYTES];
};

struct wh_comm_args {
    uint32_t nranks, rank;
    whorl_id_t id;
    struct wh_comm_options options;
};

/** See whorl_comm_create(); arguments are checked. */
WH_MUST_CHECK whorl_result_t wh_comm_create(const struct wh_comm_args *args,
                                            struct whorl_comm **comm_out);

enum wh_comm_origin { WH_COMM_CREATED, WH_COMM_OF_SPLIT, WH_COMM_OF_SHRINK };

/** A communicator to be made: from nothing, or out of another one. */
struct wh_comm_job {
    enum wh_comm_origin origin;
    struct wh_comm_args args;  /* a split and a shrink use its options only */
    struct whorl_comm *parent; /* not with WH_COMM_CREATED */
    int color, key;            /* of a split */
    const int *excluded;       /* of a shrink: ranks of parent; the caller's */
    size_t nexcluded;
};

/** Does one job; errors as what it does. */
WH_MUST_CHECK whorl_result_t wh_comm_do_job(const struct wh_comm_job *job,
                                            struct whorl_comm **comm_out);

/** Does all jobs, each in a thread of its own, because they wait for one another. On failure no new
 *  communicator is left. */
WH_MUST_CHECK whorl_result_t wh_comm_run_jobs(const struct wh_comm_job *jobs, size_t njobs,
                                              struct whorl_comm **comms_out);

/** Bytes of memory that this rank's side of comm has taken for communication so far, at most. By
 *  whoever is on turn. */
uint64_t wh_comm_memory_nbytes(const struct whorl_comm *comm);

/** Waits for queued operations, leaves, frees. Takes NULL. */
void wh_comm_destroy(struct whorl_comm *comm);

/* ---- hosts.c ---- */

enum { WH_GROUPED_RANKS_MIN = 4 }; /* ranks of a host that may divide into two groups of two */

/** After the wire: how ranks of one host, and hosts, work together. Collective. */
WH_MUST_CHECK whorl_result_t wh_comm_open_hosts(struct whorl_comm *comm, uint64_t deadline_ns);

/** Before the wire closes. */
void wh_comm_close_hosts(struct whorl_comm *comm);

/* ---- comm_split.c ---- */

/** See whorl_comm_split(). */
WH_MUST_CHECK whorl_result_t wh_comm_split(struct whorl_comm *comm, int color, int key,
                                           const struct wh_comm_options *options,
                                           struct whorl_comm **new_comm_out);

/* ---- comm_shrink.c ---- */

/** See whorl_comm_shrink(); excluded are ranks of comm, in any order, nexcluded of them. */
WH_MUST_CHECK whorl_result_t wh_comm_shrink(struct whorl_comm *comm, const int *excluded,
                                            size_t nexcluded,
                                            const struct wh_comm_options *options,
                                            struct whorl_comm **new_comm_out);

/* ---- failure.c ---- */

/** Records a failure of this rank and tells all others. `text` is completed with who is talking.
 *  Returns the result code of the first failure, which may be an earlier one. */
whorl_result_t wh_comm_fail(struct whorl_comm *comm, whorl_result_t rc, const char *text);

/** The same for what another rank reported; not passed on. ctx is the communicator. */
void wh_comm_on_remote_failure(void *ctx, whorl_result_t rc, const char *text);

/** WHORL_OK, or the failure that broke comm, with its text as the thread's last error. */
whorl_result_t wh_comm_failure(struct whorl_comm *comm);

/** Breaks comm on every rank; see whorl_comm_abort(). */
void wh_comm_abort(struct whorl_comm *comm);

/** Wakes whoever waits on comm. */
void wh_comm_ring(struct whorl_comm *comm);

/** Waits until everything submitted on comm has run; soon if comm has failed. */
void wh_comm_drain(struct whorl_comm *comm);

/** Remembers the thread's last error as comm's; once comm has failed, its flight record is on disk
 *  when this returns, if the settings want that. */
void wh_comm_keep_error(struct whorl_comm *comm);

/* ---- submit.c, batch.c ---- */

/**
 * Runs calls, of one or several communicators, together: collectives of one communicator in order,
 * everything else side by side. If any has a stream, all of their streams come together for it and
 * go on after it. Returns when the calls without a stream are complete; without any, at once.
 *
 * Returns the first error, if it waited.
 */
WH_MUST_CHECK whorl_result_t wh_submit(struct wh_call *calls, size_t ncalls);

/* ---- launch.c ---- */

/** What a launcher's environment says. */
struct wh_launch {
    uint32_t nranks, rank;
    char root[256];   /* host:port */
    char secret[512]; /* not a secret unless WHORL_SECRET was set */
};

/** Looks a variable up; NULL: not set. */
typedef const char *(*wh_launch_lookup_fn)(const char *name);

/** Reads the launcher's variables. WHORL_E_CONFIG, reported: none found, or one that makes no
 * sense. */
WH_MUST_CHECK whorl_result_t wh_launch_read(wh_launch_lookup_fn lookup,
                                            const struct wh_config *config,
                                            struct wh_launch *launch_out);

/** Waits until the host name in launch->root has an address, at most timeout_ms and 30 s: the names
 *  of pods and services appear some seconds after their pods have started. What is wrong with the
 *  name is left to be said by whoever resolves it. Blocking, asks the resolver. */
void wh_launch_await_name(const struct wh_launch *launch, uint64_t timeout_ms);

#endif
