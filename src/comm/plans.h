/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plans of one communicator: made on first use, kept until it ends.
 *
 * A schedule does not depend on the number of bytes, so there is at most one plan per algorithm and
 * root. Which one a call of so many bytes takes is remembered in a small table in front.
 */
#ifndef WH_COMM_PLANS_H
#define WH_COMM_PLANS_H

#include "executor/cpu/run.h"
#include "tuner/select.h"

struct wh_plan_row {
    const struct wh_algo *algo;
    uint32_t root;
    uint64_t next_seq; /* send and recv: number of the next message */
    bool busy;         /* a call is running it */
    size_t *displs; /* of blocks, where the schedule's order is not that of ranks; else NULL */
    struct wh_plan *plan;
};

enum { WH_PLAN_CHOICES = 64 };

struct wh_plan_choice {
    enum wh_coll coll;
    uint32_t root;
    size_t nbytes;
    struct wh_plan_row *row; /* NULL: empty */
};

struct wh_plans {
    struct wh_plan_row **rows; /* pointers: rows do not move */
    size_t nrows, capacity;
    struct wh_plan_choice choices[WH_PLAN_CHOICES];
};

struct wh_plan_query {
    struct wh_problem problem; /* its ranks are places in `order`, if there is one */
    const uint32_t *order;     /* of ranks; NULL: as they are numbered */
    size_t nbytes;
    const struct wh_fabric *fabric;
    const struct wh_algo_mask *algos;
    struct wh_wire *wire;
};

/** The row for a call; made if need be. WHORL_E_UNSUPPORTED if no algorithm is allowed that fits.
 * */
WH_MUST_CHECK whorl_result_t wh_plans_get(struct wh_plans *plans, const struct wh_plan_query *query,
                                          struct wh_plan_row **row_out);

/** Bytes of memory that all plans hold. */
uint64_t wh_plans_memory_nbytes(const struct wh_plans *plans);

/** Frees all plans; before the wire closes. */
void wh_plans_fini(struct wh_plans *plans);

#endif
