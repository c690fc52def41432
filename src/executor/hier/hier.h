/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executor of compositions (schedule/compose.h): collectives of several hosts.
 *
 * It has the arena of this host and rails to the others. A call's buffers are cut into pieces, and
 * of two pieces one may be between hosts while the host works on the other: the arena does one
 * operation at a time, and so do the rails, but both run side by side. In which order each does its
 * operations follows from the call alone, so it is the same on all ranks and nobody waits in a
 * circle:
 *
 *     arena   before 0   before 1   after 0   before 2   after 1   ...
 *     rail               across 0   across 1             across 2  ...
 *
 * Each operation carries the user's call as its signature, and every call has a front (front.c) in
 * which all ranks compare theirs, whatever they called: also those calls that take another way.
 *
 * Not thread safe: one operation at a time, by whoever is on turn in the communicator.
 */
#ifndef WH_EXECUTOR_HIER_HIER_H
#define WH_EXECUTOR_HIER_HIER_H

#include "executor/arena/arena.h"
#include "executor/op.h"
#include "executor/signature.h"
#include "schedule/compose.h"
#include "wire/wire.h"

struct wh_hier;

/**
 * Who chooses: the communicator, as executors know no algorithms. All functions must come to the
 * same answer on all ranks (`rank` in a problem aside). What chooses return is compared and handed
 * back, and must stay valid as long as the hier.
 */
struct wh_hier_choices {
    /* How a call of nbytes (of the vector, or of all blocks of one rank) is put together; NULL: not
     * at all, it takes another way. */
    const void *(*choose)(void *ctx, const struct wh_compose_problem *problem, size_t nbytes);
    whorl_result_t (*compose)(void *ctx, const void *chosen,
                              const struct wh_compose_problem *problem,
                              struct wh_composition **composition_out);
    /* The algorithm of a rail (all_reduce, all_gather, reduce_scatter, broadcast, reduce,
     * all_to_all or barrier of one rank of each host) for nbytes, counted as by wh_algo.cost_ns;
     * never NULL. That of all_to_all is wh_algo_alltoall_pairwise, which is not in the registry. */
    const void *(*choose_rail)(void *ctx, const struct wh_problem *problem, size_t nbytes);
    whorl_result_t (*build_rail)(void *ctx, const void *chosen, const struct wh_problem *problem,
                                 struct wh_sched **sched_out);
    /* Do ranks of a rail with these schedules find out by themselves if others called something
     * else, on channel 0, whatever these run (algorithms/hier_prompt.h)? Then they are a greeting
     * too. NULL: none do. WHORL_E_NOMEM is reported. */
    whorl_result_t (*finds_out)(void *ctx, const void *chosen, const struct wh_problem *problem,
                                bool *finds_out_out);
};

struct wh_hier_env {
    uint32_t rank;
    const struct wh_hosts *hosts; /* of all ranks of the communicator; outlives the hier */
    struct wh_arena *arena; /* of the ranks of this host, in the order of ranks; may be NULL where
                             * the host has one rank; outlives the hier, which alone uses it */
    struct wh_wire *wire;   /* outlives the hier */
    const struct wh_hier_choices *choices; /* outlives the hier */
    void *ctx;                             /* for choices */
};

/** Given back with wh_hier_destroy(), before arena and wire. */
WH_MUST_CHECK whorl_result_t wh_hier_create(const struct wh_hier_env *env,
                                            struct wh_hier **hier_out);
/** Takes NULL. */
void wh_hier_destroy(struct wh_hier *hier);

/** Does this call have a composition? The same on all ranks that make the same call. If not, it
 *  must go another way. User's reductions, v-collectives and messages never have one. Any thread
 *  may ask; answers are remembered. */
bool wh_hier_fits(const struct wh_hier *hier, enum wh_coll coll, uint32_t root,
                  const struct wh_op *op);

/** Puts a call that fits to work; the hier must be idle. op and what it points to must stay valid
 *  until the operation is over. WHORL_E_NOMEM, and what links and choices report. */
WH_MUST_CHECK whorl_result_t wh_hier_start(struct wh_hier *hier, enum wh_coll coll, uint32_t root,
                                           const struct wh_op *op);

/**
 * Puts nothing but the front of a call to work, for one that goes over links then: every collective
 * must have a front, so that ranks compare it with whatever the others called. algo is what people
 * read of it; static text. The rest as wh_hier_start().
 */
WH_MUST_CHECK whorl_result_t wh_hier_start_front(struct wh_hier *hier, enum wh_coll coll,
                                                 uint32_t root, const struct wh_op *op,
                                                 const char *algo);

/** Goes on as far as possible; as wh_arena_advance() and wh_run_advance(). After an error the hier,
 *  its arena and its links are of no more use. */
WH_MUST_CHECK whorl_result_t wh_hier_advance(struct wh_hier *hier, bool *moved_out);

/** As wh_arena_wake(): whoever advances calls it before it does anything but advance again. */
void wh_hier_wake(struct wh_hier *hier);

/** As wh_arena_leave(): this rank gives up the operation at work. */
void wh_hier_leave(struct wh_hier *hier);

/** How the operation at work, or the last one, is put together: "leader", "rails". */
const char *wh_hier_algo(const struct wh_hier *hier);

/** The operation at work, or the last one, as the user called it. */
void wh_hier_signature(const struct wh_hier *hier, struct wh_signature *sig_out);

/** What the operation at work waits for, for people: "algorithm rails; piece 2 of 4, phase 1 of 3
 *  (reduce_scatter in the host) waits for ...". Always terminated. */
void wh_hier_describe(const struct wh_hier *hier, char *text, size_t text_nbytes);

/** Bytes of memory that this rank has taken so far, at most; without arena and wire. */
uint64_t wh_hier_memory_nbytes(const struct wh_hier *hier);

#endif
