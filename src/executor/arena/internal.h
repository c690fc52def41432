/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the arena executor share: the layout of the region and the operation at work.
 *
 * A rank's part of the region, written by that rank only:
 *
 *     staging    room for two chunks, or more smaller ones
 *     head       how far it is, its last calls, and ARENA_NSLOTS slots
 *
 * Calls are numbered (seq). Call q uses slot q % ARENA_NSLOTS: its tag is seq and a hash of this
 * call and all before it, so that whoever sees another rank enter also sees whether they agree. A
 * rank enters call q only when all ranks have entered q - ARENA_NSLOTS + 1, and so have left what
 * was in the slot before.
 *
 * In longer operations ranks tell how far they are by `progress`, which counts steps since the
 * communicator began and never goes back. All ranks count the same steps.
 */
#ifndef WH_EXECUTOR_ARENA_INTERNAL_H
#define WH_EXECUTOR_ARENA_INTERNAL_H

#include "executor/arena/arena.h"
#include "executor/arena/windows.h"
#include "numeric/reduce.h"

#include <stdatomic.h>

enum {
    ARENA_NSLOTS = 4,
    ARENA_NCHUNKS = 2,            /* of the largest size, in staging; a power of two */
    ARENA_NCALLS = 16,            /* how many of its last calls a rank can tell */
    ARENA_INLINE_NBYTES = 56,     /* fits beside the tag */
    ARENA_SMALL_NBYTES = 8 << 10, /* most that every rank brings in its slot */
    ARENA_DATA_NBYTES = 64 << 10, /* least room of a slot behind its first line */
};

struct arena_call {
    uint64_t tag;
    struct wh_signature signature;
};

struct arena_slot {
    _Atomic uint64_t tag;
    uint8_t inside[ARENA_INLINE_NBYTES]; /* data, or a record */
    uint8_t data[];
};
_Static_assert(sizeof(struct arena_slot) == 64, "one line");

struct arena_head {
    _Atomic uint64_t progress WH_LINE_ALIGNED;
    _Atomic uint32_t has_left WH_LINE_ALIGNED; /* 1: its buffers may change, see wh_arena_leave() */
    _Atomic uint32_t cpu;                      /* plus 1: where it last waited long; 0: nowhere */
    _Atomic uint32_t mapped WH_LINE_ALIGNED;   /* 1: the windows of this step could be mapped */
    _Atomic uint32_t at_work WH_LINE_ALIGNED;  /* 1: on buffers of other ranks */
    struct arena_call calls[ARENA_NCALLS] WH_LINE_ALIGNED;
    uint8_t slots[] WH_LINE_ALIGNED;
};

/* How others get at what they need of a rank's buffers. */
enum arena_reach { ARENA_STAGED, ARENA_MAPPED, ARENA_CMA };

/* What a rank says about its buffers when it enters a long operation. */
struct arena_record {
    uint8_t reach; /* enum arena_reach; all but staged need no staging */
    uint8_t new_send, new_recv;
    uint8_t tries_cma;
    uint32_t send_slot, recv_slot;
    uint64_t send, recv; /* offset in a window, or a pointer */
};
_Static_assert(sizeof(struct arena_record) <= ARENA_INLINE_NBYTES, "a record fits the line");

/* Who sends and who receives in a collective. */
struct arena_pattern {
    bool per_dest;  /* a block for every receiver; else the same for all */
    bool from_root; /* only the root sends */
    bool to_root;   /* only the root receives */
    bool reduces;
};

/* One block as it goes through staging, part by part. */
struct arena_block {
    size_t nbytes;
    size_t part_nbytes; /* in each chunk */
    size_t staged;      /* where its part is in the sender's chunk */
    size_t user;        /* where it is in the user's buffer */
};

enum arena_stage {
    ARENA_IDLE,
    ARENA_ENTER, /* until everyone has left what the slot and the staging held before */
    ARENA_MEET,  /* until the others have entered */
    ARENA_MAP,   /* until everyone has tried to map new windows */
    ARENA_FILL,  /* until everyone has staged its first chunk */
    ARENA_BODY,
};

enum arena_cma { ARENA_CMA_UNTRIED, ARENA_CMA_WORKS, ARENA_CMA_REFUSED };

enum arena_way { ARENA_SMALL, ARENA_TWOSHOT, ARENA_LEVELS, ARENA_EXCHANGE, ARENA_DIRECT };

/* Where a rank is when ranks are in groups. */
struct arena_seat {
    uint32_t group, place; /* the ranks of a group have places 0, 1, ... in the order of ranks */
};

struct arena_run {
    enum wh_coll coll;
    struct arena_pattern pattern;
    enum arena_way way;
    enum arena_stage stage;
    uint32_t root;
    const struct wh_op *op;
    size_t elem_nbytes;
    size_t block_nbytes;    /* of collectives whose blocks are all alike */
    uint32_t nmet;          /* peers seen in the wait that is going on */
    bool is_streaming;      /* results are too large for caches to be of use */
    bool is_staged;         /* this rank's first chunk is in staging */
    bool waits_reduced;     /* two-shot: the second of a chunk's two waits */
    uint32_t phase;         /* levels: what comes next of a chunk's four */
    enum arena_reach reach; /* what this rank's record said */
    struct wh_window_ref send_window, recv_window;

    uint64_t chunk, nchunks;
    size_t staged_first, staged_stride; /* where chunks are in staging */
    size_t chunk_nelems;                /* two-shot: of every chunk but the last */
};

struct wh_arena {
    /* Set by create. */
    struct wh_region region;
    uint32_t me, n;
    size_t chunk_nbytes, slot_stride, staging_nbytes;
    size_t llc_nbytes;    /* of the last-level cache */
    size_t direct_nbytes; /* least vector that two ranks read where it is: see open.c */
    size_t cma_nbytes;    /* least vector for cross-memory attach; SIZE_MAX: never */
    bool is_one_process;
    const struct wh_kernels *kernels;
    uint32_t ngroups, nplaces; /* n is their product; one group: there are none to speak of */
    uint32_t *names;           /* of each rank, for people */
    struct arena_seat *seats;  /* of each rank */
    uint32_t *ranks;           /* group by group */

    /* Where the communicator is; the same on all ranks, but for all_entered. */
    uint32_t seq;         /* of the call at work, or the last */
    uint64_t hash;        /* of all calls so far */
    uint32_t all_entered; /* all ranks are known to have entered this call */
    uint64_t steps;       /* counted before the operation at work */
    size_t staged_end;    /* where the last chunk that was staged ends: arena_staged_at() */
    bool must_drain;      /* ranks may still be at work on the last long operation */
    bool is_ring_due;     /* something was published, and nobody woken yet */
    bool has_staged;      /* for wh_arena_memory_nbytes() */

    struct arena_run run;
    struct wh_windows *windows;
    enum arena_cma cma; /* the same on all ranks */
    uint64_t cma_value; /* for others to read */
    int32_t *cma_pids;

    /* Room for n of each. */
    struct arena_block *in, *out;
    const void **srcs;
    void **dsts;
    const void **level_srcs; /* of one level: combine.c and levels.c */
    void **level_dsts;
};

/* ---- places in the region ---- */

/* Where a chunk of the operation at work is in a staging without end, and in one rank's, round
 * after round: see arena_stage_plan(). */
static inline size_t arena_staged_at(const struct wh_arena *a, uint64_t chunk)
{
    return a->run.staged_first + (size_t)chunk * a->run.staged_stride;
}

static inline uint8_t *arena_staging(const struct wh_arena *a, uint32_t rank, uint64_t chunk)
{
    size_t at = arena_staged_at(a, chunk) & (ARENA_NCHUNKS * a->chunk_nbytes - 1);
    return a->region.base + rank * a->region.nbytes + at;
}

static inline bool arena_is_odd_round(const struct wh_arena *a, uint64_t chunk)
{
    return (arena_staged_at(a, chunk) / (ARENA_NCHUNKS * a->chunk_nbytes) & 1) != 0;
}

static inline struct arena_head *arena_head(const struct wh_arena *a, uint32_t rank)
{
    return (struct arena_head *)(void *)(a->region.base + rank * a->region.nbytes +
                                         a->staging_nbytes);
}

static inline struct arena_slot *arena_slot(const struct wh_arena *a, uint32_t rank, uint32_t seq)
{
    return (struct arena_slot *)(void *)(arena_head(a, rank)->slots +
                                         seq % ARENA_NSLOTS * a->slot_stride);
}

static inline uint32_t arena_rank_at(const struct wh_arena *a, uint32_t group, uint32_t place)
{
    return a->ranks[group * a->nplaces + place];
}

/* ---- what a collective does ---- */

static inline bool arena_sends(const struct wh_arena *a, uint32_t rank)
{
    return !a->run.pattern.from_root || rank == a->run.root;
}

static inline bool arena_receives(const struct wh_arena *a, uint32_t rank)
{
    return !a->run.pattern.to_root || rank == a->run.root;
}

/* Bytes of all blocks that one rank that sends brings. */
static inline size_t arena_brought_nbytes(const struct wh_arena *a)
{
    return a->run.block_nbytes * (a->run.pattern.per_dest ? a->n : 1);
}

static inline bool arena_is_rooted(const struct wh_arena *a)
{
    return a->run.pattern.from_root || a->run.pattern.to_root;
}

/* ---- enter.c ---- */

/* Everyone: a wait for all other ranks. */
enum { ARENA_ALL = 0xffffffff };

/* Has everyone left what this call's slot held? Until then WHORL_IN_PROGRESS. */
whorl_result_t arena_may_enter(struct wh_arena *a);

/* Tells everyone that this rank has come to the call; its slot and its staging are filled. */
void arena_enter(struct wh_arena *a);

/* Have the others (ARENA_ALL, or one rank) entered? WHORL_E_MISMATCH if with another call. */
whorl_result_t arena_meet(struct wh_arena *a, uint32_t whom);

/* Tells everyone that this rank has done `step` steps of the operation. */
void arena_publish(struct wh_arena *a, uint64_t step);

/* Have the others (ARENA_ALL, or one rank) done `step` steps? */
whorl_result_t arena_await(struct wh_arena *a, uint64_t step, uint32_t whom);

/*
 * Chooses where the operation's chunks of at most nbytes go: one behind the other, round and round
 * through all staging, so that a chunk is written over lines that the others have read long ago:
 * those that are still in their first-level cache are twice as dear to take back. Chunks take
 * powers of two, at multiples of their size, so the next chunk never meets the one before, whatever
 * operation that belonged to; and two are all that are in use at a time.
 */
void arena_stage_plan(struct wh_arena *a, size_t nbytes);

/* After the last chunk. */
void arena_stage_end(struct wh_arena *a);

/* Ends the operation, which had nsteps steps. Not for small ones. */
void arena_finish(struct wh_arena *a, uint64_t nsteps);

/* ---- small.c, open.c, twoshot.c, levels.c, exchange.c, direct.c: the stages of each way ---- */

whorl_result_t arena_advance_small(struct wh_arena *a, bool *moved_out);

/* From entering to the first chunk, then one of the bodies. */
whorl_result_t arena_advance_long(struct wh_arena *a, bool *moved_out);

void arena_twoshot_plan(struct wh_arena *a);
void arena_twoshot_fill(struct wh_arena *a, uint64_t chunk);
whorl_result_t arena_twoshot_body(struct wh_arena *a, bool *moved_out);

/* Who is in which group: a->seats and the like. groups as in wh_arena_env. */
whorl_result_t arena_levels_init(struct wh_arena *a, const uint32_t *groups);
void arena_levels_fini(struct wh_arena *a);

/* Planned as two-shot. */
void arena_levels_fill(struct wh_arena *a, uint64_t chunk);
whorl_result_t arena_levels_body(struct wh_arena *a, bool *moved_out);

void arena_exchange_plan(struct wh_arena *a);
void arena_exchange_fill(struct wh_arena *a, uint64_t chunk);
whorl_result_t arena_exchange_body(struct wh_arena *a, bool *moved_out);

whorl_result_t arena_direct_body(struct wh_arena *a, bool *moved_out);

/* Has somebody left who takes part in the operation at work? It said so before it touched its
 * buffers; the communicator's failure is on its way. */
bool arena_has_anyone_left(const struct wh_arena *a);

/* Cuts blocks into parts once counts.c has listed them. */
whorl_result_t arena_exchange_plan_v(struct wh_arena *a, size_t most_nbytes);

/* What rank has said about its buffers. */
void arena_read_record(const struct wh_arena *a, uint32_t rank, struct arena_record *out);

/* ---- counts.c: blocks of different sizes ---- */

/* Lists this rank's blocks in a->out, and writes their sizes, and the data if it fits, to its
 * slot. */
void arena_counts_tell(struct wh_arena *a);

/* Reads what everyone told, lists in a->in what comes, and either takes it from the slots, which
 * ends the operation, or plans an exchange. WHORL_E_MISMATCH if a block is not as large as its
 * receiver thinks. */
whorl_result_t arena_counts_read(struct wh_arena *a);

/* Where rank's part for this rank is in its chunks. */
size_t arena_counts_staged(const struct wh_arena *a, uint32_t rank, uint64_t nchunks);

/* Reports that rank's sizes make no sense. */
whorl_result_t arena_counts_damaged(const struct wh_arena *a, uint32_t rank);

/* ---- cma.c ---- */

/* Would this rank read (and let others read) large blocks by cross-memory attach? All ranks come to
 * the same answer. */
bool arena_cma_wanted(const struct wh_arena *a);

/* If it has not been tried yet: writes what others need to try into the slot. */
bool arena_cma_tell(struct wh_arena *a);

/* Can this rank read everyone else's memory? */
bool arena_cma_try(struct wh_arena *a);

/* Copies from rank's memory. WHORL_IN_PROGRESS: it cannot, because somebody has left. WHORL_E_PEER,
 * WHORL_E_SYS. */
whorl_result_t arena_cma_read(struct wh_arena *a, uint32_t rank, uint64_t address, void *to,
                              size_t nbytes);

/* ---- combine.c ---- */

/* Where results go: only to this rank's staging, which is in its caches, or also to the user's
 * memory, which large results do not leave there. */
enum arena_dst { ARENA_TO_STAGING, ARENA_TO_USER };

/* dsts[0..ndsts) = the reduction of a->srcs (all ranks') over nelems elements: in the order of
 * ranks, or if ranks are in groups first over each group and then over the groups. */
void arena_combine(struct wh_arena *a, void *const *dsts, size_t ndsts, size_t nelems,
                   enum arena_dst where);

/* One level of that: fills in nothing but the kernel. Not for functions of the user's. */
void arena_combine_level(const struct wh_arena *a, const struct wh_combine *job);

/* What the last level divides by. */
uint32_t arena_divisor(const struct wh_arena *a);

/* Copies elements on their way into the arena: multiplied if the reduction says so. */
void arena_bring(const struct wh_arena *a, void *dst, const void *src, size_t nbytes);

/* Are so many bytes, which each rank reads and writes, too many for caches to be of use? */
bool arena_fills_caches(const struct wh_arena *a, size_t in_nbytes, size_t out_nbytes);

/* Copies to where the user wants it; nothing to do where it is there already or has no bytes. */
void arena_copy(const struct wh_arena *a, void *dst, const void *src, size_t nbytes);

struct arena_piece {
    void *dst;
    const void *src;
    size_t nbytes;
};

/* Two of these, of another rank's lines and of the own ones, which hide in the first one's waits. */
void arena_copy_pair(const struct wh_arena *a, const struct arena_piece *theirs,
                     const struct arena_piece *own);

#endif
