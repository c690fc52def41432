/* SPDX-License-Identifier: Apache-2.0 */
/* One call of a collective or a message, as plain values: what every executor is given. */
#ifndef WH_EXECUTOR_OP_H
#define WH_EXECUTOR_OP_H

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WH_ELEM_NBYTES_MAX = 8 };

struct wh_signature; /* executor/signature.h */

/** A reduction that is a function of the user's. */
struct wh_user_redop {
    whorl_redop_fn fn;
    void *ctx;
};

/**
 * The call.
 *
 * count counts elements of the vector (all_reduce, broadcast, reduce, send, recv) or of one block
 * (all_gather, reduce_scatter, all_to_all, gather, scatter). In the v-collectives it is the size of
 * the one block that this rank sends (all_gather_v, gather_v) or receives (reduce_scatter_v,
 * scatter_v), and 0 in all_to_all_v; the sizes of the blocks, by rank, are in the arrays:
 *
 *                     send_counts, send_displs     recv_counts, recv_displs
 *   all_gather_v      -                            every rank
 *   reduce_scatter_v  every rank                   -
 *   all_to_all_v      every rank                   every rank
 *   gather_v          -                            root
 *   scatter_v         root                         -
 *
 * NULL elsewhere, and everywhere in other collectives. Displacements count elements from the start
 * of the buffer; NULL displacements: blocks lie one behind the other, in the order of ranks. The
 * arrays belong to the caller and outlive the run.
 */
struct wh_op {
    const void *input; /* NULL where the rank has none */
    void *output;      /* NULL where the rank has none */
    size_t count;
    const size_t *send_counts, *send_displs;
    const size_t *recv_counts, *recv_displs;
    whorl_dtype_t dtype;
    uint8_t redop;                             /* as in wh_signature */
    uint8_t premul_scalar[WH_ELEM_NBYTES_MAX]; /* one element, with WH_REDOP_PREMUL_SUM */
    struct wh_user_redop user;                 /* with WH_REDOP_USER */
    uint64_t seq;
    /* Where a call is done in several parts, each with ranks of its own (executor/hier/): */
    uint32_t avg_nparts; /* with AVG: what the sum is divided by; 0: as many as there are ranks */
    const struct wh_signature *as; /* how ranks call this part when they compare their calls, and in
                                    * errors: the user's call, with a number for the part in
                                    * `algo`; NULL: as it is. Outlives the run. */
};

#endif
