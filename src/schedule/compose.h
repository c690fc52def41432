/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compositions: collectives of several hosts, put together from collectives of fewer ranks.
 *
 * Each host has an arena, in which its ranks work together. Between hosts there are *rails*: rail r
 * is the ranks with local index r, one of each host (a rank's local index counts the ranks of its
 * host that come before it). There are as many rails as the smallest host has ranks; ranks with a
 * higher local index are on no rail.
 *
 * A composition says what ONE rank does for ONE piece of the buffers, as a list of phases. A phase
 * is one collective of a group: first come phases of the host (WH_PHASE_BEFORE), then at most one
 * of the rail (WH_PHASE_ACROSS), then phases of the host again (WH_PHASE_AFTER). While one piece is
 * between hosts the hosts work on others, so the executor may run phases of different pieces at the
 * same time; those of one piece run one after the other.
 *
 * Cells. For all_reduce, broadcast and reduce the vector is cut into pieces and each piece into
 * ncells near-equal cells; a cell is at the same place in all buffers. For all_gather,
 * reduce_scatter and all_to_all a piece is a slice of every block, the same for all, and a cell is
 * that slice of one block: those buffers that have a block for every rank have nranks cells, in the
 * order of ranks, and all_gather's INPUT and reduce_scatter's OUTPUT have one. A barrier has none.
 *
 * What a phase reads and writes, in cells:
 *
 *   all_reduce, reduce, broadcast   src[0] -> dst[0], as many cells; of each in all members
 *   all_gather, gather              src[0], the own block -> dst[i], that of member i
 *   reduce_scatter, scatter         src[i], that for member i -> dst[0], the own block
 *   all_to_all                      src[i] -> dst[i]
 *   barrier                         nothing
 *
 * Cells of a block lie side by side; blocks may have different numbers of cells, also none. All
 * members of a group must agree about the phase: about everything but the own block's place, and
 * what only the root reads or writes.
 *
 * Buffers. INPUT is never written. It and OUTPUT may be the same memory (in place): for vectors
 * cell by cell; else the buffer of one cell is the other's cell number `rank`. SCRATCH has nscratch
 * cells and holds nothing at first. reduce has no OUTPUT but on the root, broadcast no INPUT.
 */
#ifndef WH_SCHEDULE_COMPOSE_H
#define WH_SCHEDULE_COMPOSE_H

#include "schedule/sched.h"

/** Which rank is on which host. */
struct wh_hosts {
    uint32_t nranks, nhosts; /* hosts are numbered in the order of their first ranks */
    uint32_t nrails;         /* ranks of the smallest host */
    uint32_t nlocal_max;     /* ranks of the largest host */
    bool is_even;            /* all hosts have as many ranks */
    bool is_contiguous;      /* the ranks of a host follow one another */
    uint32_t *host, *local;  /* of each rank: its host, its index there */
    uint32_t *first;         /* nhosts + 1: where a host's ranks begin in `ranks` */
    uint32_t *ranks;         /* host by host, in the order of ranks */
};

/** From nranks keys: ranks with the same key are on the same host. Given back with
 *  wh_hosts_destroy(). WHORL_E_NOMEM is reported. */
WH_MUST_CHECK whorl_result_t wh_hosts_create(const uint64_t *keys, uint32_t nranks,
                                             struct wh_hosts **hosts_out);
/** Takes NULL. */
void wh_hosts_destroy(struct wh_hosts *hosts);

static inline uint32_t wh_hosts_nlocal(const struct wh_hosts *hosts, uint32_t host)
{
    return hosts->first[host + 1] - hosts->first[host];
}

/** The rank with this local index on host; local < wh_hosts_nlocal(). */
static inline uint32_t wh_hosts_rank(const struct wh_hosts *hosts, uint32_t host, uint32_t local)
{
    return hosts->ranks[hosts->first[host] + local];
}

enum wh_phase_place { WH_PHASE_BEFORE, WH_PHASE_ACROSS, WH_PHASE_AFTER };

/** A range of cells. */
struct wh_cells {
    uint32_t first, n;
};

struct wh_phase {
    uint32_t id; /* phases of all ranks in their order; the same for all members of the group */
    enum wh_phase_place place;
    enum wh_coll coll;
    uint32_t root;    /* among the members; 0 where there is none */
    uint32_t nranks;  /* members of the group */
    uint32_t me;      /* this rank's place among them */
    enum wh_buf from, to;
    bool scales;      /* reads what this rank brings: where each rank multiplies (PREMUL_SUM) */
    bool finishes;    /* its results hold every rank's part: where AVG divides */
    uint32_t nsrc, ndst; /* 1, or nranks, or 0; see above */
    const struct wh_cells *src, *dst;
};

/** What one rank does; read-only. */
struct wh_composition {
    enum wh_coll coll;
    const char *algo; /* static text */
    uint32_t rank, nranks, root;
    uint32_t ncells;   /* of a vector's piece; else 1 */
    uint32_t nscratch; /* cells of SCRATCH */
    uint32_t nacross;  /* cells that a rail moves, of one rail: how large pieces may be */
    uint32_t nids;     /* phases of all ranks together */
    uint32_t nphases;
    struct wh_phase *phases; /* in the order of ids, and of places */
    struct wh_cells *cells;
};

/** What compositions are asked for. */
struct wh_compose_problem {
    enum wh_coll coll;
    uint32_t rank;
    uint32_t root; /* broadcast, reduce; else 0 */
    const struct wh_hosts *hosts;
};

/* ---- writing one ---- */

/** Collects phases. Running out of memory sticks and comes out of seal. */
struct wh_composer;

/** The block of a phase for a member of its group; `arg` is the phase's. For the one block of its
 *  own that a rank reads or writes member is its place in the group. */
typedef struct wh_cells (*wh_block_fn)(const struct wh_compose_problem *problem, uint32_t arg,
                                       uint32_t member);

/** What the piece is cut into. */
struct wh_compose_shape {
    const char *algo; /* static text */
    uint32_t ncells, nscratch, nacross;
};

/** As struct wh_phase; the group follows from place, and is of problem->rank. */
struct wh_compose_move {
    enum wh_phase_place place;
    enum wh_coll coll;
    uint32_t root;
    enum wh_buf from, to;
    wh_block_fn src, dst; /* not for barriers */
    uint32_t src_arg, dst_arg;
    bool scales, finishes;
    bool is_absent; /* this rank has no part in it: only counted */
};

/** Callers need not check for NULL: if memory runs out, all calls on the NULL do nothing, and seal
 *  reports it. */
struct wh_composer *wh_composer_create(const struct wh_compose_problem *problem,
                                       const struct wh_compose_shape *shape);

/** Appends a phase. All ranks must call it for the same phases, if need be with is_absent. A phase
 *  of a host with one rank is left out by itself. */
void wh_compose_add(struct wh_composer *c, const struct wh_compose_move *move);

/** Frees the composer, also on failure. *composition_out is given back with
 *  wh_composition_destroy(). WHORL_E_NOMEM is reported. */
WH_MUST_CHECK whorl_result_t wh_composer_seal(struct wh_composer *c,
                                              struct wh_composition **composition_out);

/** Takes NULL. */
void wh_composition_destroy(struct wh_composition *composition);

/** Ranks of the host of rank, or of its rail. */
uint32_t wh_phase_group_nranks(const struct wh_hosts *hosts, uint32_t rank,
                               enum wh_phase_place place);

/** A member of the host of rank, or of its rail, as a rank of all. */
uint32_t wh_phase_group_rank(const struct wh_hosts *hosts, uint32_t rank, enum wh_phase_place place,
                             uint32_t member);

/** Does the buffer have a block for each of the user's ranks? */
bool wh_compose_is_blockwise(enum wh_coll coll);

/** Writes the composition as text, a line per phase, always terminated; as snprintf(). */
size_t wh_composition_print(const struct wh_composition *composition, char *text,
                            size_t text_nbytes);

#endif
