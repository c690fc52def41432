/* SPDX-License-Identifier: Apache-2.0 */
/* Every rule about arguments of the public API, once. Each failure says which argument and why. */
#ifndef WH_API_ARGCHECK_H
#define WH_API_ARGCHECK_H

#include "comm/comm.h"

/** Sizes and places of blocks, an entry per rank. */
struct wh_coll_blocks {
    const size_t *sendcounts, *senddispls;
    const size_t *recvcounts, *recvdispls;
};

/** What a collective was called with. */
struct wh_coll_args {
    const char *call; /* "whorl_all_reduce" */
    enum wh_coll coll;
    const void *sendbuf;
    void *recvbuf;
    size_t count;                        /* as in struct wh_op */
    const struct wh_coll_blocks *blocks; /* NULL: coll has no blocks of different sizes */
    whorl_dtype_t dtype;
    whorl_redop_t redop; /* read only if coll reduces */
    int root;            /* root or peer; read only if coll has one */
    whorl_comm_t comm;
    whorl_stream_t stream;
};

/** Checks args and makes a call of them, which borrows the arrays. WHORL_E_ARG. */
WH_MUST_CHECK whorl_result_t wh_check_coll(const struct wh_coll_args *args,
                                           struct wh_call *call_out);

/** Checks what all communicators are created with; *out is complete but for the id. */
WH_MUST_CHECK whorl_result_t wh_check_create(const char *call, int nranks, int rank,
                                             const whorl_options_t *options,
                                             struct wh_comm_args *out);

/** Takes over the options that the caller's version of the struct has; NULL: defaults. */
WH_MUST_CHECK whorl_result_t wh_check_options(const char *call, const whorl_options_t *options,
                                              struct wh_comm_options *out);

/** The reduction that a handle of comm means; NULL if op is none. */
struct wh_redop_slot *wh_redop_slot(whorl_comm_t comm, whorl_redop_t op);

/** Fails if pointer is NULL: "whorl_comm_rank: rank_out is NULL". */
WH_MUST_CHECK whorl_result_t wh_check_pointer(const char *call, const char *what,
                                              const void *pointer);

#endif
