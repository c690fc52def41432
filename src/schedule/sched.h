/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The language of algorithms.
 *
 * A schedule says what ONE rank does in ONE pass over the buffer. It is a few lanes of steps; a
 * lane runs in order, lanes wait for one another only through links. The executor repeats the pass
 * until the buffer is done, so a schedule's size depends on the number of ranks and never on bytes.
 *
 * Chunks. A pass is cut into nchunks chunks. For all_gather and reduce_scatter nchunks == nranks
 * and chunk c is (a slice of) rank c's block; for all_to_all nchunks == nranks * nranks and chunk
 * s * nranks + d is what rank s has for rank d; for all others the pass is one contiguous range of
 * the vector, cut into near-equal chunks (some may be empty). A step handles the range
 * [chunk, chunk + nchunks) modulo sched->nchunks, as one message.
 *
 * A step computes a value v for its range of chunks:
 *   RECV            v = the message that arrives on recv_link
 *   no RECV         v = the local chunk
 *   RECV REDUCE     v = message op local chunk
 *   REDUCE alone    v = store chunk op local chunk   (always with STORE)
 *   FINISH          v = the last touch of a reduction (AVG divides here); v holds every rank's part
 *   STORE           store chunk = v
 *   SEND            v leaves on send_link
 * where "local chunk" is the range in buffer `local`, "store chunk" the range in buffer `store`. A
 * value that is neither stored nor sent is a mistake. REDUCE and FINISH appear only in collectives
 * that reduce.
 *
 * Buffers. INPUT is read only. It and OUTPUT may be the same memory (in place), so once a chunk of
 * OUTPUT was stored the same chunk of INPUT may be gone; only in collectives that do not reduce may
 * it still be read after the very same chunk was copied from INPUT to OUTPUT, as that moves nothing
 * then. SCRATCH belongs to the lane, keeps a pass's worth of chunks, and starts every pass with no
 * defined content. Ranks that have no output (reduce, not root) or no input (broadcast, not root)
 * must not touch it; all_gather's INPUT and reduce_scatter's OUTPUT have the rank's own chunk
 * only, and all_to_all's have what is from it and what is for it.
 *
 * Links. A link is one direction of a connection to `peer` on `channel`: a bounded FIFO of
 * messages. Each (peer, channel, direction) is used by one lane only. Sender and receiver name the
 * same range of chunks for the same message. SEND waits while the FIFO is full, RECV while it is
 * empty; the checker proves that nothing waits for ever with a FIFO of one message. A step that
 * receives and sends takes its message off the FIFO first, and then waits for room to send; an
 * executor that leaves the message where it is meanwhile needs FIFOs of at least two.
 *
 * Entry. In every sealed schedule of a collective of n > 1 ranks each rank sends at least one
 * message to (rank+1)%n on channel 0 and receives one from (rank-1)%n on channel 0. Messages carry
 * the signature of the call, so a rank that made another call is found out whatever the algorithms
 * are. wh_builder_seal() adds messages without data where the algorithm's own traffic does not do
 * it: in a lane of their own where the algorithm does not use these links; in front of the lanes
 * that do, where ranks would wait for others first: in collectives with a root (of more than two
 * ranks: two meet anyway), and where the algorithm says so by wh_build_entry(). Such steps are done
 * in the first pass only. algorithms/hier_prompt.h says which schedules need none.
 */
#ifndef WH_SCHEDULE_SCHED_H
#define WH_SCHEDULE_SCHED_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What the user asked for. */
enum wh_coll {
    WH_COLL_ALL_REDUCE,
    WH_COLL_ALL_GATHER,
    WH_COLL_REDUCE_SCATTER,
    WH_COLL_BROADCAST,
    WH_COLL_REDUCE,
    WH_COLL_BARRIER,
    WH_COLL_ALL_TO_ALL,
    WH_COLL_GATHER,
    WH_COLL_SCATTER,
    WH_COLL_ALL_GATHER_V, /* from here on blocks of different sizes */
    WH_COLL_REDUCE_SCATTER_V,
    WH_COLL_ALL_TO_ALL_V,
    WH_COLL_GATHER_V,
    WH_COLL_SCATTER_V,
    WH_COLL_SEND, /* one message to `root` (the peer) */
    WH_COLL_RECV, /* one message from `root` (the peer) */
    WH_NCOLLS
};

/** "all_reduce", "all_gather", ... Static memory. */
const char *wh_coll_str(enum wh_coll coll);

/** Does it combine elements? */
bool wh_coll_reduces(enum wh_coll coll);

/** Is it one message between two ranks, and no collective? */
bool wh_coll_is_p2p(enum wh_coll coll);

/** Does one rank play a part of its own? Messages have a peer in that place. */
bool wh_coll_has_root(enum wh_coll coll);

/** Do blocks have different sizes, rank by rank? */
bool wh_coll_is_v(enum wh_coll coll);

enum wh_step_flags {
    WH_RECV = 1,
    WH_REDUCE = 2,
    WH_STORE = 4,
    WH_SEND = 8,
    WH_FINISH = 16,
};

enum wh_buf { WH_INPUT, WH_OUTPUT, WH_SCRATCH, WH_NBUFS };

enum {
    WH_CHANNELS_MAX = 4, /* channels that collectives may use: 0..3 */
    WH_CHANNEL_P2P = 4,  /* send and recv */
    WH_NCHANNELS = 5,
    WH_NO_LINK = 0xffff,
};

struct wh_step {
    uint8_t flags;
    uint8_t local;      /* enum wh_buf */
    uint8_t store;      /* enum wh_buf */
    uint8_t reserved;   /* 0 */
    uint16_t recv_link; /* index into sched->links, WH_NO_LINK without RECV */
    uint16_t send_link; /* the same for SEND */
    uint32_t chunk;     /* first chunk; < sched->nchunks */
    uint32_t nchunks;   /* 0: a message without data */
};

struct wh_lane {
    uint32_t first_step; /* into sched->steps */
    uint32_t nsteps;
    uint32_t nentry; /* the first so many steps are added by sealing, for the first pass only */
    uint32_t channel;
    bool uses_scratch;
};

/** One direction of a connection, as this rank sees it. */
struct wh_sched_link {
    uint32_t peer;
    uint8_t channel;
    bool is_send; /* else it receives */
};

/** Sealed: read-only, shared by all operations that use it. */
struct wh_sched {
    enum wh_coll coll;
    const char *algo; /* static text, for logs and errors */
    uint32_t rank, nranks, root;
    uint32_t nchunks;          /* chunks of one pass */
    uint32_t nchunks_per_step; /* chunks of the largest message of ANY rank: what one slot must
                                * hold; the same on all ranks; at least 1 */
    bool goes_abreast;         /* see wh_build_abreast() */
    uint32_t nlanes, nsteps, nlinks;
    struct wh_lane *lanes;
    struct wh_step *steps;
    struct wh_sched_link *links;
};

/** What build functions are asked for. */
struct wh_problem {
    enum wh_coll coll;
    uint32_t rank, nranks;
    uint32_t root; /* broadcast, reduce: the root; send, recv: the peer; else 0 */
};

/* ---- builder ---- */

/** Collects steps. Errors (out of memory, a step that breaks a rule) stick and come out of seal. */
struct wh_builder;

/** `algo` is static text. Callers need not check for NULL: if memory runs out, all calls on the
 *  NULL do nothing, and seal reports it. */
struct wh_builder *wh_builder_create(const struct wh_problem *problem, const char *algo,
                                     uint32_t nchunks);

/**
 * Starts the next lane; its steps use `channel` (< WH_CHANNELS_MAX; WH_CHANNEL_P2P in send and
 * recv, and only there). A lane that gets no step is left out.
 */
void wh_build_lane(struct wh_builder *b, uint32_t channel);

/** One step, by name: peers instead of links. */
struct wh_move {
    uint32_t flags;    /* enum wh_step_flags */
    uint32_t from, to; /* peers; read only with RECV / SEND */
    enum wh_buf local; /* read without RECV, or with REDUCE */
    enum wh_buf store; /* written with STORE; with REDUCE alone also read */
    uint32_t chunk;    /* taken modulo nchunks of the schedule */
    uint32_t nchunks;  /* 0: a message without data; only RECV and SEND count then */
};

/** Appends a step to the current lane. */
void wh_build_step(struct wh_builder *b, const struct wh_move *move);

/**
 * Says that messages of this collective hold up to nchunks chunks, on whichever rank. How much one
 * pass covers follows from it, so all ranks must come to the same number. Needed only where the
 * largest message differs from rank to rank; the steps of this rank count without being told.
 */
void wh_build_widest(struct wh_builder *b, uint32_t nchunks);

/**
 * Says that some ranks wait for others before they send to the next rank or receive from the one
 * before; they might wait for ever, were it not for the entry messages. All ranks must say so, or
 * none. Not needed where every rank sends to all others before it waits.
 */
void wh_build_entry(struct wh_builder *b);

/**
 * Says that passes had better go side by side: within a pass every rank waits for others again and
 * again, and nothing of it is on its way meanwhile, as in a ring. Not needed where later passes
 * follow in the wake of the first (chains, trees) or where all messages of a pass leave at once.
 * All ranks must say so, or none. Lanes with scratch cannot: their passes share it.
 */
void wh_build_abreast(struct wh_builder *b);

/* The moves that algorithms are made of; each is one wh_build_step(). */
void wh_build_send(struct wh_builder *b, uint32_t to, enum wh_buf local, uint32_t chunk,
                   uint32_t nchunks);
void wh_build_recv(struct wh_builder *b, uint32_t from, enum wh_buf store, uint32_t chunk,
                   uint32_t nchunks);
/** store chunk = local chunk. No step if both are the same buffer; where INPUT and OUTPUT are the
 *  same memory, the executor moves nothing. */
void wh_build_copy(struct wh_builder *b, enum wh_buf local, enum wh_buf store, uint32_t chunk,
                   uint32_t nchunks);

/**
 * Freezes what was built and frees the builder, also on failure.
 *
 * Memory    *sched_out is given back with wh_sched_destroy().
 * Errors    WHORL_E_NOMEM; WHORL_E_INTERNAL if a step broke a rule of this file (logged).
 */
WH_MUST_CHECK whorl_result_t wh_builder_seal(struct wh_builder *b, struct wh_sched **sched_out);

/** Takes NULL. */
void wh_sched_destroy(struct wh_sched *sched);

/** Writes the schedule as text, a line per step, for people and golden files; always terminated.
 *  Returns the number of bytes that the whole text needs, as snprintf does. */
size_t wh_sched_print(const struct wh_sched *sched, char *text, size_t text_nbytes);

#endif
