/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena executor: collectives of ranks that share one host's memory.
 *
 * Every rank has a part of a region that all have mapped: it writes its own part and reads those of
 * the others. A rank that has come to a call says so there (it *enters*), and what it brings lies
 * beside that word or behind it, so the smallest calls move one cache line per rank and wait once.
 *
 *   small      what a rank brings fits its slot: enter, wait, read what the others brought
 *   two-shot   all_reduce and reduce of more than two ranks: by chunks through staging memory that stays in cache; of each
 *              chunk every rank combines one slice of all inputs, then reads the other slices
 *   levels     all_reduce where ranks are in groups that share a cache or a NUMA node: as two-shot,
 *              first inside the groups and then among them
 *   exchange   everything else: by chunks through staging memory; receivers read their parts
 *   direct     no staging: buffers that all ranks can address (ranks are threads of one process, or
 *              the buffers are in shared memory, see windows.h)
 *
 * Reductions always combine in the order of ranks, so all ranks get the same bits, whichever of
 * these ways a call takes. Where ranks are in groups, each group combines in the order of ranks,
 * its result is rounded to the dtype, and these combine in the order of groups: one rounding per
 * level, and again the same in every way. Functions of the user's see the order of ranks in any
 * case. See docs/decisions/0008 for why it works without locks, 0009 for groups.
 *
 * Not thread safe: one operation at a time, by whoever is on turn in the communicator.
 */
#ifndef WH_EXECUTOR_ARENA_ARENA_H
#define WH_EXECUTOR_ARENA_ARENA_H

#include "executor/op.h"
#include "executor/signature.h"
#include "wire/transport.h"

struct wh_arena;

enum { WH_ARENA_NGROUPS_MAX = 64 };

struct wh_arena_env {
    struct wh_region region; /* of at least wh_arena_region_nbytes() a rank */
    size_t chunk_nbytes;     /* as given to wh_arena_region_nbytes() */
    size_t llc_nbytes;       /* last-level cache that ranks share */
    size_t direct_nbytes;    /* least vector that is read where it is, see open.c; 0: any */
    size_t cma_nbytes;       /* least vector for cross-memory attach, see cma.c; 0: never */
    bool is_one_process;     /* all ranks are threads of one process */
    /* The group of each rank, region.nlocal of them, copied: numbers from 0 to at most
     * WH_ARENA_NGROUPS_MAX - 1, each as often as the others. The same on all ranks. NULL: one. */
    const uint32_t *groups;
    /* What people call each rank: its number in the communicator; region.nlocal of them, copied;
     * NULL: as the arena does. */
    const uint32_t *names;
};

/** Bytes of the region that each rank needs, for nranks ranks and chunks of chunk_nbytes. Pages are
 *  touched when they are first used. */
size_t wh_arena_region_nbytes(uint32_t nranks, size_t chunk_nbytes);

/**
 * Makes this rank's end; the region is all zero.
 *
 * Memory    env->region stays the wire's and outlives the arena. Given back with
 *           wh_arena_destroy().
 */
WH_MUST_CHECK whorl_result_t wh_arena_create(const struct wh_arena_env *env,
                                             struct wh_arena **arena_out);
/** Takes NULL. */
void wh_arena_destroy(struct wh_arena *arena);

/** Puts a collective (no message) to work; the arena must be idle. op and what it points to must
 *  stay valid until the operation is over. */
void wh_arena_start(struct wh_arena *arena, enum wh_coll coll, uint32_t root,
                    const struct wh_op *op);

/**
 * Goes on as far as possible. WHORL_OK: done, the arena is idle. WHORL_IN_PROGRESS: call again;
 * *moved_out is set if anything advanced. WHORL_E_MISMATCH (reported, both calls named) and
 * WHORL_E_PEER (a peer wrote what no rank writes): the arena is of no more use.
 */
WH_MUST_CHECK whorl_result_t wh_arena_advance(struct wh_arena *arena, bool *moved_out);

/** Wakes ranks that sleep until this one has done what it did since the last time. Whoever advances
 *  calls it before it does anything but advance again at once. */
void wh_arena_wake(struct wh_arena *arena);

/**
 * Tells the others that this rank gives up the operation at work, because the communicator has
 * failed, and returns when none of them touches its buffers any more: the caller may do to them
 * what it likes, free them too. Whoever has worked on them must not take the result for good: it
 * waits until it hears of the failure too.
 */
void wh_arena_leave(struct wh_arena *arena);

/**
 * Moves this thread to another core if a lower rank has this one. For ranks that wait and should
 * have cores of their own: two that hand a core to each other so often look busy and warm to the
 * kernel, which then leaves them together for long.
 */
void wh_arena_spread(struct wh_arena *arena);

/** The operation at work, or the last one. */
void wh_arena_signature(const struct wh_arena *arena, struct wh_signature *sig_out);

/** What the operation at work waits for, for people. Always terminated. */
void wh_arena_describe(const struct wh_arena *arena, char *text, size_t text_nbytes);

/** Bytes of shared and private memory that this rank has taken so far, at most. */
uint64_t wh_arena_memory_nbytes(const struct wh_arena *arena);

#endif
