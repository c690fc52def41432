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
 *           whorl_comm_abort(), whorl_comm_async_error(), whorl_comm_dump(), whorl_comm_rank() and
 *           whorl_comm_size() may come from any thread at any time, also while another call waits.
 * Processes A child made by fork() must not use communicators of its parent; it can make its own.
 * Waiting   Every wait ends: by success, by a deadline or by an abort. (WHORL_TIMEOUT=0 takes the
 *           deadlines of operations away.)
 * Memory    Buffers stay the caller's. They must stay valid until the call has returned, or, with a
 *           stream, until the stream has passed the call.
 * Units     count is in elements, never in bytes. A count of 0 is allowed and moves nothing.
 * Failure   Wrong arguments (WHORL_E_ARG) leave the communicator working. After any other error of
 *           a collective the communicator is broken: every later call returns that error, and only
 *           whorl_comm_shrink(), whorl_comm_dump() and whorl_comm_destroy() are useful: failure.h.
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
 * made by whorl_redop_create_premul_sum() or whorl_redop_create_user().
 *
 * 8-bit and 16-bit floats are combined in float32 and rounded to nearest even: once, after the last
 * rank, where ranks share the memory of one machine, or twice where they are many and combined in
 * groups; after every combination where the values go over links, as between hosts. MIN and MAX
 * propagate NaN: if any rank has a NaN, the result is a NaN. A NaN that is computed is always the
 * positive quiet one.
 *
 * AVG is the sum divided by the number of ranks. Small floats are divided before the last rounding,
 * so that the whole sum need not fit in dtype, only what was rounded on the way to it. Of integers
 * the sum is formed in dtype and must fit in it, and the quotient is truncated towards zero. Integer
 * sums and products wrap.
 */
typedef int32_t whorl_redop_t;
enum {
#define REDOP(name, value, text) WHORL_##name = (value),
#include <whorl/redop.def>
#undef REDOP
    WHORL_REDOP_COUNT
};

/**
 * A reduction of one's own: inout[i] = inout[i] op in[i] for count elements of dtype, where inout
 * holds what lower ranks brought and in what a higher rank brings.
 *
 * Called from whatever thread runs the collective, on several ranks at once and on parts of the
 * vector in any order. Neither pointer need be aligned for dtype. Must not call the library.
 */
typedef void (*whorl_redop_fn)(const void *in, void *inout, size_t count, whorl_dtype_t dtype,
                               void *ctx);

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

/** Name of a predefined reduction ("sum"); "premulsum" or "user" for what may be a handle, "unknown"
 *  for others. */
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
 *           WHORL_E_CONFIG   a WHORL_* variable does not parse, or allows no network interface
 *           WHORL_E_PEER     a rank has died, or cannot be reached at any of its addresses
 *           WHORL_E_UNSUPPORTED  no transport reaches a rank, or WHORL_ENCRYPT or WHORL_BUFFSIZE
 *                            differ between hosts
 *           and what another rank broke the communicator with while this one still created it
 */
WHORL_API whorl_result_t whorl_comm_create(int nranks, int rank, const whorl_id_t *id,
                                           const whorl_options_t *options, whorl_comm_t *comm_out);

/**
 * Joins the communicator of all processes that a launcher started, as its environment says.
 *
 * Reads, first match wins: WHORL_RANK and WHORL_NRANKS; torchrun's RANK and WORLD_SIZE; Open MPI's;
 * MPICH's and other PMI's; MVAPICH's; Slurm's. The ranks meet at WHORL_ROOT (host:port). Without it
 * the host is MASTER_ADDR, else what the launcher's own variables say; the port is WHORL_PORT, else
 * the one after MASTER_PORT (where torch's own store listens), else one made of the job's number.
 * The job's secret is WHORL_SECRET; without it the job is told apart from others, but not protected
 * from strangers. docs/launchers.md has the table.
 *
 * Otherwise as whorl_comm_create(), and WHORL_E_CONFIG if no launcher's variables are there, or they
 * make no sense, or do not tell where ranks on several hosts meet.
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

/** This rank's number in comm. Any thread. */
WHORL_API whorl_result_t whorl_comm_rank(whorl_comm_t comm, int *rank_out);

/** The number of ranks in comm. Any thread. */
WHORL_API whorl_result_t whorl_comm_size(whorl_comm_t comm, int *nranks_out);

/** Bytes of memory that comm has taken on this rank so far, at most: staging, links, plans. Not while
 *  a call on comm is going on. */
WHORL_API whorl_result_t whorl_comm_memory(whorl_comm_t comm, uint64_t *nbytes_out);

/** Bytes that this rank has sent over networks for comm so far, heads included; what stays on the
 *  host does not count. Not while a call on comm is going on. */
WHORL_API whorl_result_t whorl_comm_sent(whorl_comm_t comm, uint64_t *nbytes_out);

/* ---- streams -------------------------------------------------------------------------------- */
/*
 * Operations on one stream run in the order in which they were queued, and calls on one
 * communicator in the order in which they were made, whatever their streams. Two calls that share
 * neither a stream nor a communicator may be made in any order, on each rank in another. A stream
 * belongs to one rank.
 *
 * An operation on a stream gives its own error to nobody: it is kept until somebody asks, by
 * whorl_stream_synchronize() or by a callback. Operations behind it run nevertheless; those on a
 * communicator that is broken return its error at once.
 */

/** A place in a stream's queue, for which others can wait. */
typedef struct whorl_event *whorl_event_t;

/** What runs when a stream comes to it; see whorl_stream_callback(). */
typedef void (*whorl_callback_fn)(whorl_result_t rc, void *ctx);

/**
 * Makes a host stream: a queue with a thread that runs its operations in order. A thread without
 * work looks for some for a moment, then sleeps.
 *
 * Errors    WHORL_E_ARG, WHORL_E_NOMEM, WHORL_E_SYS (no thread), WHORL_E_CONFIG.
 */
WHORL_API whorl_result_t whorl_stream_create(whorl_stream_t *stream_out);

/** WHORL_OK if everything queued has run, WHORL_IN_PROGRESS if not, else the first error since the
 *  last whorl_stream_synchronize(). */
WHORL_API whorl_result_t whorl_stream_query(whorl_stream_t stream);

/**
 * Waits until everything queued so far has run; returns and clears the first error since the last
 * whorl_stream_synchronize().
 *
 * Errors    WHORL_E_USAGE in a callback of this stream, which would wait for itself.
 */
WHORL_API whorl_result_t whorl_stream_synchronize(whorl_stream_t stream);

/**
 * Waits for the queue, stops the thread and frees stream. Takes NULL. Errors that nobody has asked
 * for are lost.
 *
 * Errors    WHORL_E_USAGE in a callback of this stream, and inside a group.
 */
WHORL_API whorl_result_t whorl_stream_destroy(whorl_stream_t stream);

/**
 * Calls fn(rc, ctx) in stream's thread once everything queued before has run; what is queued after
 * it waits until fn has returned.
 *
 * rc is the first error of what was queued since the callback before this one, so with a callback
 * behind every operation each gets the result of its own. whorl_last_error(NULL) has its story
 * there. Callbacks and whorl_stream_synchronize() do not take errors from each other: both tell.
 *
 * fn may queue work, record events and wait for other streams, but must not wait for its own:
 * not for a place behind itself, and not by destroying or finalizing a communicator with calls left
 * on this stream.
 *
 * Errors    WHORL_E_ARG if stream or fn is NULL, WHORL_E_NOMEM, WHORL_E_USAGE inside a group; then
 *           fn is not called.
 */
WHORL_API whorl_result_t whorl_stream_callback(whorl_stream_t stream, whorl_callback_fn fn,
                                               void *ctx);

/** Makes an event. Until it is recorded nobody waits for it. */
WHORL_API whorl_result_t whorl_event_create(whorl_event_t *event_out);

/** Frees event at once; waits that began or were queued are not affected. Takes NULL. */
WHORL_API whorl_result_t whorl_event_destroy(whorl_event_t event);

/**
 * Moves event to the end of stream's queue: it is reached when everything queued before has run.
 * Waits for where it was before are not affected, and it may be recorded again at any time, in any
 * stream. Does not wait, and costs stream nothing. When stream is destroyed the event is reached.
 *
 * Errors    WHORL_E_USAGE inside a group, whose calls are queued at its end.
 */
WHORL_API whorl_result_t whorl_event_record(whorl_event_t event, whorl_stream_t stream);

/**
 * Makes what is queued on stream from now on wait for where event is now; the caller does not wait.
 * An error as of whorl_event_query() becomes one of stream too; what waited runs nevertheless.
 *
 * Errors    WHORL_E_ARG, WHORL_E_NOMEM, WHORL_E_USAGE inside a group.
 */
WHORL_API whorl_result_t whorl_stream_wait_event(whorl_stream_t stream, whorl_event_t event);

/** WHORL_IN_PROGRESS if event is not reached, WHORL_OK if it is, else the first error before it
 *  that no whorl_stream_synchronize() has taken. Any thread. */
WHORL_API whorl_result_t whorl_event_query(whorl_event_t event);

/**
 * Waits until event is reached; then as whorl_event_query(), any thread. Ends when the work before
 * the event ends, as the deadlines of its operations say.
 *
 * Errors    WHORL_E_USAGE in a callback that runs before event in the same stream.
 */
WHORL_API whorl_result_t whorl_event_synchronize(whorl_event_t event);

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
 * sendbuf == recvbuf means in place, for all_reduce, broadcast and reduce. Where one side has a
 * block for every rank, in place means that the other side is this rank's block of it:
 * sendbuf == recvbuf + rank * sendcount elements for all_gather, and for gather on root;
 * recvbuf == sendbuf + rank * recvcount elements for reduce_scatter, and for scatter on root; with
 * blocks of different sizes, the start of this rank's block. all_to_all and all_to_all_v have no in
 * place. Other overlaps of what is read with what is written are errors.
 *
 * Common errors: WHORL_E_ARG (NULL communicator; NULL buffer while count > 0; unknown dtype or op;
 * root out of range; overlap; count * size too large), WHORL_E_MISMATCH (ranks made different
 * calls), WHORL_E_PEER (a rank died, aborted or cannot be reached any more), WHORL_E_TIMEOUT,
 * WHORL_E_ABORTED, WHORL_E_TRUST (with WHORL_ENCRYPT: data was changed on its way).
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

/** sendbuf and recvbuf hold nranks blocks of count elements each: block r of sendbuf goes to rank r,
 *  where it becomes the block of recvbuf that belongs to the sender. */
WHORL_API whorl_result_t whorl_all_to_all(const void *sendbuf, void *recvbuf, size_t count,
                                          whorl_dtype_t dtype, whorl_comm_t comm,
                                          whorl_stream_t stream);

/** root's recvbuf gets the sendbufs (sendcount elements) of all ranks, in rank order. recvbuf is
 *  written on root only and may be NULL elsewhere. */
WHORL_API whorl_result_t whorl_gather(const void *sendbuf, void *recvbuf, size_t sendcount,
                                      whorl_dtype_t dtype, int root, whorl_comm_t comm,
                                      whorl_stream_t stream);

/** root's sendbuf holds nranks blocks of recvcount elements; rank r's recvbuf gets block r. sendbuf
 *  is read on root only and may be NULL elsewhere. */
WHORL_API whorl_result_t whorl_scatter(const void *sendbuf, void *recvbuf, size_t recvcount,
                                       whorl_dtype_t dtype, int root, whorl_comm_t comm,
                                       whorl_stream_t stream);

/*
 * Blocks of different sizes: the functions that end in _v. Their arrays have nranks entries each:
 * block r of a buffer has counts[r] elements and starts displs[r] elements after the buffer's
 * start. displs may be NULL: the blocks then lie one behind the other, in rank order. The arrays
 * are read before the call returns, also inside a group and with a stream.
 *
 * Blocks that are sent may overlap (not in reduce_scatter_v in place); blocks that are received
 * must not, nor may anything from the first element of all blocks that are read to their last be
 * written, unless it is in place. Of the blocks of one buffer only those that follow one another in
 * rank order, blocks of 0 elements aside, are compared: other overlaps are not found out, and it is
 * undefined which block's elements stay.
 *
 * More errors: WHORL_E_ARG (NULL counts; a block's end or the sum of counts too large; this rank's
 * own block has one size in sendcount or sendcounts and another in recvcount or recvcounts),
 * WHORL_E_MISMATCH (a sender and its receiver disagree about the size of a block).
 */

/**
 * recvbuf of every rank gets the sendbufs of all ranks, rank r's as block r. recvcounts is the same
 * on all ranks, and sendcount == recvcounts[rank]; displacements are each rank's own.
 */
WHORL_API whorl_result_t whorl_all_gather_v(const void *sendbuf, size_t sendcount, void *recvbuf,
                                            const size_t *recvcounts, const size_t *recvdispls,
                                            whorl_dtype_t dtype, whorl_comm_t comm,
                                            whorl_stream_t stream);

/**
 * rank r's recvbuf gets op over block r of the sendbufs of all ranks. sendcounts is the same on all
 * ranks, and recvcount == sendcounts[rank]; displacements are each rank's own.
 */
WHORL_API whorl_result_t whorl_reduce_scatter_v(const void *sendbuf, const size_t *sendcounts,
                                                const size_t *senddispls, void *recvbuf,
                                                size_t recvcount, whorl_dtype_t dtype,
                                                whorl_redop_t op, whorl_comm_t comm,
                                                whorl_stream_t stream);

/** Block r of sendbuf goes to rank r, where it becomes the block of recvbuf that belongs to the
 *  sender; sendcounts[r] here == recvcounts[this rank] there. */
WHORL_API whorl_result_t whorl_all_to_all_v(const void *sendbuf, const size_t *sendcounts,
                                            const size_t *senddispls, void *recvbuf,
                                            const size_t *recvcounts, const size_t *recvdispls,
                                            whorl_dtype_t dtype, whorl_comm_t comm,
                                            whorl_stream_t stream);

/** root's recvbuf gets the sendbufs of all ranks, rank r's as block r; sendcount there ==
 *  recvcounts[r] here. recvbuf and the arrays are used on root only and may be NULL elsewhere. */
WHORL_API whorl_result_t whorl_gather_v(const void *sendbuf, size_t sendcount, void *recvbuf,
                                        const size_t *recvcounts, const size_t *recvdispls,
                                        whorl_dtype_t dtype, int root, whorl_comm_t comm,
                                        whorl_stream_t stream);

/** rank r's recvbuf gets block r of root's sendbuf; recvcount there == sendcounts[r] on root.
 *  sendbuf and the arrays are used on root only and may be NULL elsewhere. */
WHORL_API whorl_result_t whorl_scatter_v(const void *sendbuf, const size_t *sendcounts,
                                         const size_t *senddispls, void *recvbuf, size_t recvcount,
                                         whorl_dtype_t dtype, int root, whorl_comm_t comm,
                                         whorl_stream_t stream);

/**
 * Sends count elements to peer, which must receive as many of the same dtype. Messages between two
 * ranks arrive in order. May return before the peer has received. A rank may send to itself inside
 * a group that also receives.
 *
 * Where not all ranks share memory, gather, scatter, the calls that end in _v and often all_to_all
 * are made of messages too. Two ranks that have such calls and messages in flight at the same time
 * must make them in the same order, else they get WHORL_E_MISMATCH.
 */
WHORL_API whorl_result_t whorl_send(const void *sendbuf, size_t count, whorl_dtype_t dtype,
                                    int peer, whorl_comm_t comm, whorl_stream_t stream);

/** Receives count elements from peer. See whorl_send(). */
WHORL_API whorl_result_t whorl_recv(void *recvbuf, size_t count, whorl_dtype_t dtype, int peer,
                                    whorl_comm_t comm, whorl_stream_t stream);

/** Returns when every rank of comm has called it. */
WHORL_API whorl_result_t whorl_barrier(whorl_comm_t comm, whorl_stream_t stream);

/* ---- memory --------------------------------------------------------------------------------- */
/*
 * Any memory can be sent from and received into. Large collectives are faster, though, on memory
 * that the ranks of a host can map from each other, because nothing is copied on the way: memory of
 * whorl_mem_alloc(), or shared memory of the program's own, named with whorl_comm_register(). What
 * goes between hosts is as fast from any memory.
 */

/** Defined where whorl_mem_alloc() exists. */
#define WHORL_HAS_MEM_ALLOC 1

/**
 * Allocates nbytes of zeroed memory that ranks of this host can reach without copies. For a few
 * large buffers that live long: each holds a file descriptor and starts at a 2 MiB boundary.
 *
 * Memory    Given back with whorl_mem_free(). Pages are taken when they are first touched, near the
 *           CPU that touches them; huge ones where the system allows. nbytes 0: *ptr_out is NULL.
 *           A child made by fork() sees the pages of its parent, not copies; it must not use them.
 * Threads   Any. Needs no communicator, and serves them all.
 * Errors    WHORL_E_ARG    ptr_out is NULL
 *           WHORL_E_NOMEM  more than this machine has
 *           WHORL_E_SYS    no file descriptor left, or a limit on file sizes (ulimit -f)
 */
WHORL_API whorl_result_t whorl_mem_alloc(size_t nbytes, void **ptr_out);

/**
 * Gives back memory of whorl_mem_alloc(); no operation may still use it. Takes NULL. Any thread.
 *
 * Errors    WHORL_E_ARG if ptr did not come from whorl_mem_alloc() in this process, or is free.
 */
WHORL_API whorl_result_t whorl_mem_free(void *ptr);

/**
 * Says that comm will often be called with buffers in [buf, buf + nbytes), so that they can be made
 * fast. Local: the other ranks need not call it. Memory that cannot be made fast is no error; it
 * gets a handle too, and works as before.
 *
 * What can be made fast is memory that is shared already, readable and writable: one mapping
 * (MAP_SHARED) of a memfd, of a file of /dev/shm or hugetlbfs, whose file is still open or still
 * has its name. Memory of whorl_mem_alloc() needs no registration.
 *
 * Memory    Must stay mapped, its file neither replaced nor made shorter, until deregistered: ranks
 *           that read beyond the end of a file get SIGBUS. The handle is given back with
 *           whorl_comm_deregister(), or with comm. The same range again gives the same handle,
 *           counted.
 * Blocking  Never waits for a peer.
 * Errors    WHORL_E_ARG    comm or handle_out is NULL; buf is NULL while nbytes > 0
 *           WHORL_E_NOMEM
 */
WHORL_API whorl_result_t whorl_comm_register(whorl_comm_t comm, void *buf, size_t nbytes,
                                             void **handle_out);

/**
 * Takes back one registration; no operation may still use the memory. Takes NULL as handle.
 *
 * Errors    WHORL_E_ARG if handle is none of comm's.
 */
WHORL_API whorl_result_t whorl_comm_deregister(whorl_comm_t comm, void *handle);

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

/**
 * Makes a reduction of fn, for every dtype; fn is told which. All ranks must bring functions that do
 * the same; that is not checked.
 *
 * fn must be associative. It need not be commutative, and no flag says whether it is: elements are
 * always combined in rank order, lower ranks on the left.
 *
 * Memory    ctx is passed to fn as it is; what it points to must live until the last operation with
 *           the handle is over. The handle is given back with whorl_redop_destroy(), or with the
 *           communicator.
 * Errors    WHORL_E_NOMEM when 64 handles of comm exist. Collectives that use the handle return
 *           WHORL_E_UNSUPPORTED if not all ranks of comm are on one host and share memory; that
 *           leaves the communicator working.
 */
WHORL_API whorl_result_t whorl_redop_create_user(whorl_redop_fn fn, void *ctx, whorl_comm_t comm,
                                                 whorl_redop_t *op_out);

/** Gives back a handle. Operations already queued with it are not affected. */
WHORL_API whorl_result_t whorl_redop_destroy(whorl_redop_t op, whorl_comm_t comm);

#ifdef __cplusplus
}
#endif

#include <whorl/failure.h>

#endif
