/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU executor: runs one operation's schedule over links, without ever blocking.
 *
 * A plan is a schedule made ready on this rank: links looked up, scratch allocated, a cursor per
 * lane. It is made once and used by one operation at a time. A run is a plan at work: start it,
 * then advance it until it says WHORL_OK. One step moves one message; a lane that cannot go on
 * (nothing arrived, no room) is left, and the next lane gets its turn.
 *
 * Geometry. A step handles at most nchunks_per_step chunks, so a chunk has at most the bytes of a
 * slot divided by that, and a pass nchunks times as many. Passes are about equally large where that
 * leaves messages of 64 KiB; else the last one is shorter. The elements of the last pass are spread
 * over its chunks anew.
 *
 * Passes go side by side, nabreast of them, where the schedule says that it helps: a lane does a
 * step for each of them before it does the next step. So while one message of a step is on its way
 * the next one is being made or taken, and neither the wire nor the processor waits for the other.
 *
 * Why that is safe. The messages of a step for nabreast passes are the parts of one larger message,
 * and the schedule is known to end where a link holds one message of each step and lets go of it
 * when it is taken; or two, where it lets go only when the step is over, as here. So links that hold
 * twice nabreast parts are enough. Passes share nothing but links: they are different ranges of the
 * buffers, and there is no scratch.
 */
#ifndef WH_EXECUTOR_CPU_RUN_H
#define WH_EXECUTOR_CPU_RUN_H

#include "executor/op.h"
#include "executor/signature.h"
#include "numeric/reduce.h"
#include "schedule/sched.h"
#include "wire/wire.h"

/** Where one lane is. */
struct wh_lane_cursor {
    uint32_t step; /* next, within the lane */
    uint64_t pass;
    bool is_stored;   /* the step's chunks are done, what it sends is on its way */
    uint8_t *scratch; /* nchunks * chunk_nbytes, NULL if the lane needs none */
};

/** Made by wh_plan_create(); everything else is the executor's. */
struct wh_plan {
    struct wh_sched *sched;       /* owned */
    struct wh_link **links;       /* sched->nlinks; they belong to the wire */
    uint32_t *ranks;              /* sched->nranks: what the wire calls them; NULL: the same */
    struct wh_lane_cursor *lanes; /* sched->nlanes */
    size_t chunk_nbytes;          /* most bytes of a chunk */
    uint32_t nabreast;            /* passes that go side by side; at least 1 */
    uint8_t *bounce;              /* chunk_nbytes, for premultiplied inputs; NULL until needed */
    const struct wh_kernels *kernels;

    /* The operation at work. */
    struct wh_op op;
    struct wh_signature signature; /* as this rank sees the call */
    uint8_t encoded[WH_SIGNATURE_NBYTES];
    size_t elem_nbytes;
    size_t chunk_nelems;      /* of every pass but the last */
    size_t last_chunk_nelems; /* of the last */
    uint64_t npasses;
    uint32_t nlanes_running;
    uint32_t divisor; /* with AVG */
};

/**
 * Makes a plan; opens the links it needs.
 *
 * ranks     sched->nranks of them, copied: rank r of the schedule is rank ranks[r] of the wire, and
 *           of what people read. NULL: the same.
 * Memory    takes sched, also on failure. Given back with wh_plan_destroy() before the wire closes.
 * Blocking  never.
 */
WH_MUST_CHECK whorl_result_t wh_plan_create(struct wh_sched *sched, struct wh_wire *wire,
                                            const uint32_t *ranks, struct wh_plan **plan_out);

/** The wire's number of a rank of the schedule. */
uint32_t wh_plan_rank(const struct wh_plan *plan, uint32_t rank);

/** The wire's number of the rank at the other end of a link of the schedule. */
uint32_t wh_plan_peer(const struct wh_plan *plan, uint32_t link);

/** Takes NULL. */
void wh_plan_destroy(struct wh_plan *plan);

/** Bytes of memory that the plan holds, its links not counted. */
uint64_t wh_plan_memory_nbytes(const struct wh_plan *plan);

/** Puts op to work; the plan must be idle. Buffers must stay valid until the run is over.
 *  WHORL_E_NOMEM. */
WH_MUST_CHECK whorl_result_t wh_run_start(struct wh_plan *plan, const struct wh_op *op);

/**
 * Advances every lane as far as it goes. WHORL_OK: done, the plan is idle. WHORL_IN_PROGRESS: call
 * again; *moved_out is set if anything advanced. WHORL_E_MISMATCH (reported, both calls named) or
 * the transport's error: the plan and its links are of no more use.
 */
WH_MUST_CHECK whorl_result_t wh_run_advance(struct wh_plan *plan, bool *moved_out);

/** What the run waits for, for people: "algorithm ring; lane 0 step 3 of 6, pass 1 of 2 receives
 *  from rank 2". Counts from 1. Always terminated. */
void wh_run_describe(const struct wh_plan *plan, char *text, size_t text_nbytes);

#endif
