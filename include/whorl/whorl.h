/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Whorl: collective communication between the ranks of a job.
 *
 * A *communicator* is a set of ranks that agreed to talk. Every rank of a communicator calls the
 * same collectives in the same order with arguments that agree; a rank that does not is told so,
 * and so are all others, with both sides named.
 *
 * Rules that hold for every function, unless its comment says otherwise:
 *
 * Results   Functions return a whorl_result_t. Zero is success, negative is failure. The whole
 *           story of the last failure (rank, peer, host, errno, what to do) is whorl_last_error().
 *           Out-parameters come last and are written only on success.
 * Threads   Different communicators are independent. On one communicator one call at a time, but
 *           whorl_comm_abort(), whorl_comm_async_error(), whorl_comm_rank() and whorl_comm_size()
 *           may come from any thread at any time, also while another call waits.
 * Processes A child made by fork() must not use communicators of its parent; it can make its own.
 * Waiting   Every wait ends: by success, by a deadline or by an abort. (WHORL_TIMEOUT=0 takes the
 *           deadlines of operations away.)
 * Memory    Buffers stay the caller's. They must stay valid until the call has returned, or, with a
 *           stream, until the stream has passed the call.
 * Units     count is in elements, never in bytes. A count of 0 is allowed and moves nothing.
 * Failure   Wrong arguments (WHORL_E_ARG) leave the communicator working. After any other error of
 *           a collective the communicator is broken: every later call returns that error, and only
 *           whorl_comm_abort() and whorl_comm_destroy() are useful.
 */
#ifndef WHORL_WHORL_H
#define WHORL_WHORL_H

#include <whorl/version.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WHORL_API __attribute__((visibility("default")))

/** What a call came to; the names are WHORL_OK, WHORL_E_ARG and so on, listed in result.def. */
typedef enum whorl_result {
#define RESULT(name, value, text) WHORL_##name = (value),
#include <whorl/result.def>
#undef RESULT
} whorl_result_t;

/** Type of one element: WHORL_INT8, WHORL_FLOAT32 and so on, listed in dtype.def. */
typedef enum whorl_dtype {
#define DTYPE(name, value, nbytes, text) WHORL_##name = (value),
#include <whorl/dtype.def>
#undef DTYPE
    WHORL_DTYPE_COUNT
} whorl_dtype_t;

/**
 * How elements are combined: WHORL_SUM, WHORL_PROD, WHORL_MAX, WHORL_MIN, WHORL_AVG, or a handle
 * made by whorl_redop_create_premul_sum().
 *
 * 8-bit and 16-bit floats are combined in float32 and rounded to nearest even after every
 * combination. MIN and MAX propagate NaN: if any rank has a NaN, the result is a NaN. AVG is the
 * sum divided by the number of ranks; the sum is formed in dtype first and must fit in it; on
 * integers the quotient is truncated towards zero. Integer sums and products wrap.
 */
typedef int32_t whorl_redop_t;
enum {
#define REDOP(name, value, text) WHORL_##name = (value),
#include <whorl/redop.def>
#undef REDOP
    WHORL_REDOP_COUNT
};

/** A communicator as one rank sees it. */
typedef struct whorl_comm *whorl_comm_t;

/** An in-order queue of operations that runs beside the caller. NULL: the call itself waits. */
typedef struct whorl_stream *whorl_stream_t;

enum { WHORL_ID_NBYTES = 128 };

/**
 * Names a job to be: where its ranks meet, and the secret by which they know each other. Opaque;
 * copy it to every rank by any private means. Whoever has it can join the job.
 */
typedef struct whorl_id {
    uint8_t bytes[WHORL_ID_NBYTES];
} whorl_id_t;

/**
 * Options of a communicator. Set struct_nbytes to sizeof(whorl_options_t) (WHORL_OPTIONS_INIT does)
 * so that the struct can grow. A field that is zero takes its value from the configuration.
 */
typedef struct whorl_options {
    size_t struct_nbytes;
    uint32_t init_timeout_ms; /**< creation fails after this; WHORL_INIT_TIMEOUT when 0 */
    uint32_t timeout_ms;      /**< an operation fails after this; WHORL_TIMEOUT when 0 */
    const char *name;         /**< shown in logs and errors; copied; may be NULL */
} whorl_options_t;
#define WHORL_OPTIONS_INIT                  \
    {                                       \
        sizeof(whorl_options_t), 0, 0, NULL \
    }

/* ---- results, versions ---------------------------------------------------------------------- */

/** The version of the library that is loaded, as WHORL_VERSION_CODE of its header. Never fails. */
WHORL_API int whorl_version(void);

/** A few words for a result code. Never NULL; static memory. */
WHORL_API const char *whorl_result_str(whorl_result_t rc);

/**
 * The whole story of the last failure of comm, or, with NULL, of the calling thread.
 *
 * Memory    The text is valid until the calling thread calls whorl_last_error() again. Never NULL;
 *           "no error" when nothing has failed.
 * Threads   Any.
 */
WHORL_API const char *whorl_last_error(whorl_comm_t comm);

/** Bytes of one element of dtype; 0 if dtype is none. */
WHORL_API size_t whorl_dtype_nbytes(whorl_dtype_t dtype);

/** Name of dtype ("float32"); "unknown" if it is none. Static memory. */
WHORL_API const char *whorl_dtype_str(whorl_dtype_t dtype);

/** Name of a predefined reduction ("sum"); "premulsum" for a handle, "unknown" for others. */
WHORL_API const char *whorl_redop_str(whorl_redop_t op);

/* ---- communicators -------------------------------------------------------------------------- */

/**
 * Makes the id of a new communicator and starts listening for its ranks in this process.
 *
 * The process must live until every rank has joined. One rank calls this and sends the id to all.
 * The id names the addresses that WHORL_SOCKET_IFNAME allows, or the one of WHORL_ROOT.
 *
 * Errors    WHORL_E_ARG if id_out is NULL, WHORL_E_SYS if no socket could be opened.
 */
WHORL_API whorl_result_t whorl_id_create(whorl_id_t *id_out);

/**
 * Joins the communicator that id names, as rank of nranks. Every rank calls it once; inside a group
 * several ranks may be made by one thread, and comm_out is then written by whorl_group_end().
 *
 * Memory    options may be NULL. The communicator is given back with whorl_comm_destroy().
 * Blocking  Until all ranks have joined, at most init_timeout_ms and some seconds for connecting.
 * Errors    WHORL_E_ARG      nranks < 1, rank outside 0..nranks-1, a NULL, a malformed id
 *           WHORL_E_TIMEOUT  some ranks never came; whorl_last_error() lists them
 *           WHORL_E_TRUST    the root could not prove that it knows the job's secret
 *           WHORL_E_MISMATCH ranks disagree about nranks, or two claim the same rank
 *           WHORL_E_CONFIG   a WHORL_* variable does not parse
 */
WHORL_API whorl_result_t whorl_comm_create(int nranks, int rank, const whorl_id_t *id,
                                           const whorl_options_t *options, whorl_comm_t *comm_out);

/**
 * Joins the communicator of all processes that a launcher started, as its environment says.
 *
 * Reads, first match wins: WHORL_RANK and WHORL_NRANKS; torchrun's RANK and WORLD_SIZE; Open MPI's;
 * MPICH's and other PMI's; Slurm's. The ranks meet at WHORL_ROOT (host:port), else at
 * MASTER_ADDR:MASTER_PORT, else where the launcher's own variables say. The job's secret is
 * WHORL_SECRET; without it the job is told apart from others, but not protected from strangers.
 *
 * Otherwise as whorl_comm_create().
 */
WHORL_API whorl_result_t whorl_comm_create_from_env(const whorl_options_t *options,
                                                    whorl_comm_t *comm_out);

/**
 * Makes all nranks ranks of a communicator in this process: comms_out[r] is rank r. Each is meant
 * for a thread of its own, or for calls inside groups.
 *
 * Memory    comms_out has room for nranks; each is given back with whorl_comm_destroy().
 */
WHORL_API whorl_result_t whorl_comm_create_local(int nranks, const whorl_options_t *options,
                                                 whorl_comm_t *comms_out);

/** The colour of a rank that wants no part in a split. */
#define WHORL_SPLIT_NOCOLOR (-1)

/**
 * Splits comm: ranks with the same color get a communicator together, ordered by (key, old rank).
 * A collective call. With WHORL_SPLIT_NOCOLOR *new_comm_out becomes NULL. Inside a group several
 * ranks may be split by one thread, and new_comm_out is then written by whorl_group_end().
 *
 * Errors    WHORL_E_ARG if color is negative and not WHORL_SPLIT_NOCOLOR.
 */
WHORL_API whorl_result_t whorl_comm_split(whorl_comm_t comm, int color, int key,
                                          const whorl_options_t *options,
                                          whorl_comm_t *new_comm_out);

/**
 * Waits until everything queued on comm has run and every rank has come here, so that
 * whorl_comm_destroy() finds nothing in flight. A collective call; optional.
 */
WHORL_API whorl_result_t whorl_comm_finalize(whorl_comm_t comm);

/**
 * Leaves comm and frees it. Operations still queued on streams run first. Not collective. Takes
 * NULL.
 */
WHORL_API whorl_result_t whorl_comm_destroy(whorl_comm_t comm);

/**
 * Breaks comm on every rank: calls that wait return soon, here with WHORL_E_ABORTED and elsewhere
 * with WHORL_E_PEER. Does not free comm; whorl_comm_destroy() does.
 *
 * Threads   Any, also while another thread waits in a call on comm.
 */
WHORL_API whorl_result_t whorl_comm_abort(whorl_comm_t comm);

/** WHORL_OK while comm works, else the error that broke it. Any thread; does not wait. */
WHORL_API whorl_result_t whorl_comm_async_error(whorl_comm_t comm, whorl_result_t *error_out);

/** This rank's number in comm. Any thread. */
WHORL_API whorl_result_t whorl_comm_rank(whorl_comm_t comm, int *rank_out);

/** The number of ranks in comm. Any thread. */
WHORL_API whorl_result_t whorl_comm_size(whorl_comm_t comm, int *nranks_out);

/* ---- streams -------------------------------------------------------------------------------- */

/** Makes a host stream: a queue with a thread that runs its operations in order. */
WHORL_API whorl_result_t whorl_stream_create(whorl_stream_t *stream_out);

/** WHORL_OK if everything queued has run, WHORL_IN_PROGRESS if not, else the first error since the
 *  last whorl_stream_synchronize(). */
WHORL_API whorl_result_t whorl_stream_query(whorl_stream_t stream);

/** Waits until everything queued has run; returns and clears the first error among it. */
WHORL_API whorl_result_t whorl_stream_synchronize(whorl_stream_t stream);

/** Waits for the queue, stops the thread and frees stream. Takes NULL. */
WHORL_API whorl_result_t whorl_stream_destroy(whorl_stream_t stream);

/* ---- groups --------------------------------------------------------------------------------- */

/**
 * Opens a group: calls of this thread until the matching whorl_group_end() are collected, and start
 * together. Needed when one thread drives several ranks, and for sends and receives that depend on
 * one another. Groups nest; the outermost end starts the work. If the calls have several streams,
 * the group is one piece of work in all of them: it starts when all have come to it, and all wait
 * for its end.
 */
WHORL_API whorl_result_t whorl_group_start(void);

/**
 * Closes a group. At the outermost level runs what was collected; calls without a stream are
 * complete when it returns. Returns the first error; nothing runs if a collected call was invalid.
 *
 * Errors    WHORL_E_USAGE if no group is open.
 */
WHORL_API whorl_result_t whorl_group_end(void);

/* ---- collectives ---------------------------------------------------------------------------- */
/*
 * sendbuf == recvbuf means in place. For all_gather in place means
 * sendbuf == recvbuf + rank * sendcount elements, for reduce_scatter
 * recvbuf == sendbuf + rank * recvcount elements. Other overlaps are errors.
 *
 * Common errors: WHORL_E_ARG (NULL communicator; NULL buffer while count > 0; unknown dtype or op;
 * root out of range; overlap; count * size too large), WHORL_E_MISMATCH (ranks made different
 * calls), WHORL_E_PEER (a rank died or aborted), WHORL_E_TIMEOUT, WHORL_E_ABORTED.
 */

/** recvbuf of every rank gets op over the sendbufs of all ranks; count elements each. */
WHORL_API whorl_result_t whorl_all_reduce(const void *sendbuf, void *recvbuf, size_t count,
                                          whorl_dtype_t dtype, whorl_redop_t op, whorl_comm_t comm,
                                          whorl_stream_t stream);

/** recvbuf of every rank gets the sendbufs (sendcount elements) of all ranks, in rank order. */
WHORL_API whorl_result_t whorl_all_gather(const void *sendbuf, void *recvbuf, size_t sendcount,
                                          whorl_dtype_t dtype, whorl_comm_t comm,
                                          whorl_stream_t stream);

/** sendbuf holds nranks blocks of recvcount elements; rank r's recvbuf gets op over block r of all
 *  ranks. */
WHORL_API whorl_result_t whorl_reduce_scatter(const void *sendbuf, void *recvbuf, size_t recvcount,
                                              whorl_dtype_t dtype, whorl_redop_t op,
                                              whorl_comm_t comm, whorl_stream_t stream);

/** recvbuf of every rank gets root's sendbuf. sendbuf is read on root only and may be NULL
 *  elsewhere. */
WHORL_API whorl_result_t whorl_broadcast(const void *sendbuf, void *recvbuf, size_t count,
                                         whorl_dtype_t dtype, int root, whorl_comm_t comm,
                                         whorl_stream_t stream);

/** root's recvbuf gets op over the sendbufs of all ranks. recvbuf is written on root only and may
 *  be NULL elsewhere. */
WHORL_API whorl_result_t whorl_reduce(const void *sendbuf, void *recvbuf, size_t count,
                                      whorl_dtype_t dtype, whorl_redop_t op, int root,
                                      whorl_comm_t comm, whorl_stream_t stream);

/**
 * Sends count elements to peer, which must receive as many of the same dtype. Messages between two
 * ranks arrive in order. May return before the peer has received. A rank may send to itself inside
 * a group that also receives.
 */
WHORL_API whorl_result_t whorl_send(const void *sendbuf, size_t count, whorl_dtype_t dtype,
                                    int peer, whorl_comm_t comm, whorl_stream_t stream);

/** Receives count elements from peer. See whorl_send(). */
WHORL_API whorl_result_t whorl_recv(void *recvbuf, size_t count, whorl_dtype_t dtype, int peer,
                                    whorl_comm_t comm, whorl_stream_t stream);

/** Returns when every rank of comm has called it. */
WHORL_API whorl_result_t whorl_barrier(whorl_comm_t comm, whorl_stream_t stream);

/* ---- reductions of one's own ---------------------------------------------------------------- */

/**
 * Makes a reduction that multiplies this rank's input by *scalar and sums the products. Each rank
 * may bring another scalar.
 *
 * Memory    *scalar is one element of dtype, read before the call returns. The handle is given back
 *           with whorl_redop_destroy(), or with the communicator.
 * Errors    WHORL_E_NOMEM when 64 handles of comm exist.
 */
WHORL_API whorl_result_t whorl_redop_create_premul_sum(const void *scalar, whorl_dtype_t dtype,
                                                       whorl_comm_t comm, whorl_redop_t *op_out);

/** Gives back a handle. Operations already queued with it are not affected. */
WHORL_API whorl_result_t whorl_redop_destroy(whorl_redop_t op, whorl_comm_t comm);

#ifdef __cplusplus
}
#endif

#endif
