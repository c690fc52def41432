/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the hier executor share: hier.c runs a call, front.c knows how each begins,
 * cut.c says where its pieces are, part.c makes the inner operations, cache.c keeps compositions,
 * choices and plans.
 */
#ifndef WH_EXECUTOR_HIER_INTERNAL_H
#define WH_EXECUTOR_HIER_INTERNAL_H

#include "executor/cpu/run.h"
#include "executor/hier/hier.h"

#include <pthread.h>

enum { HIER_NSCRATCHES = 2 }; /* pieces that are at work at the same time */

/** How a call's buffers are cut; the same on all ranks. */
struct hier_cut {
    bool is_blockwise;
    size_t elem_nbytes;
    size_t count;        /* of the vector, or of a block */
    size_t piece_nelems; /* of that, in every piece but the last */
    uint64_t npieces;    /* at least 1 */
    uint32_t ncells;     /* of a vector's piece */
};

/** One piece. */
struct hier_piece {
    size_t start;  /* in the vector, or in every block */
    size_t nelems; /* of the piece, or of each block of it */
    size_t cell_nelems;
};

/** An inner operation: of the arena, or of a rail. What executors are given lies here. */
struct hier_part {
    bool is_busy;
    enum wh_coll coll;
    struct wh_op op;
    struct wh_signature as;
    struct wh_plan *plan; /* rail only */
    bool finds_out;       /* the plan, see wh_hier_choices.finds_out */
    size_t *send_counts, *send_displs, *recv_counts, *recv_displs;
};

/** Where the arena, or the rail, is in the list of its inner operations. */
struct hier_cursor {
    uint64_t turn;  /* arena: which of before 0, before 1, after 0, before 2 ...; rail: piece */
    uint32_t phase; /* of the composition; those of other places are stepped over */
    uint32_t cell;  /* where a phase goes cell by cell */
};

/** Of the two halves of a call's front, see front.c. */
enum hier_front { HIER_FRONT_NONE, HIER_FRONT_DUE, HIER_FRONT_AT_WORK };

struct hier_run {
    bool is_busy;
    const char *algo; /* of the composition, or of what comes after the front */
    enum hier_front meeting, greeting;
    enum wh_coll coll;
    uint32_t root;
    const struct wh_op *op;
    struct wh_signature signature;
    const struct wh_composition *composition;
    struct hier_cut cut;
    struct hier_cursor host, rail;
    uint64_t nbefore; /* pieces whose first phases in the host are done */
    uint64_t nacross; /* pieces that are done on the rail */
};

/** Compositions and plans by what they are for; rows do not move. */
struct hier_composition_row {
    const void *chosen;
    enum wh_coll coll;
    uint32_t root;
    struct wh_composition *composition;
};

struct hier_plan_row {
    const void *chosen;
    enum wh_coll coll;
    uint32_t root;
    bool finds_out;
    struct wh_plan *plan;
};

/** What an operation of so many bytes of a rail took: mostly the next one is like it. */
struct hier_rail_memo {
    struct wh_plan *plan; /* NULL: empty */
    uint32_t root;
    size_t nbytes;
    bool finds_out;
};

/** How a call of so many bytes is put together, with `lock` of the table. */
struct hier_choice {
    bool is_set;
    enum wh_coll coll;
    uint32_t root;
    size_t nbytes;
    const void *chosen; /* NULL: not at all */
};

enum { HIER_NCHOICES = 64 };

struct hier_choices {
    pthread_mutex_t lock; /* whoever makes calls asks beside whoever is on turn */
    struct hier_choice rows[HIER_NCHOICES];
};

struct wh_hier {
    struct wh_hier_env env;
    uint32_t *rail_ranks; /* nhosts: the rail of this rank; NULL: it is on none */
    struct hier_run run;
    struct hier_part host_part, rail_part;
    struct hier_composition_row *compositions;
    size_t ncompositions, compositions_capacity;
    struct hier_plan_row *plans;
    size_t nplans, plans_capacity;
    struct hier_rail_memo rail_memos[WH_NCOLLS];
    struct hier_choices *choices;
    struct wh_plan *greeting; /* NULL until needed */
    uint8_t *scratch; /* HIER_NSCRATCHES, one behind the other */
    size_t scratch_nbytes, scratch_capacity; /* of one: in this call, and that there is room for */
};

/* ---- cut.c ---- */

/** Cuts count elements as the composition wants it. */
struct hier_cut hier_cut_make(const struct wh_composition *composition, size_t count,
                              size_t elem_nbytes);

struct hier_piece hier_cut_piece(const struct hier_cut *cut, uint64_t piece);

/** Where a cell begins in `buf`, in elements from where the piece's SCRATCH begins, or from where
 *  the user's buffer does. */
size_t hier_cell_displ(const struct hier_cut *cut, const struct hier_piece *piece, enum wh_buf buf,
                       uint32_t cell);

/** Elements of a range of cells that lie side by side. */
size_t hier_cells_nelems(const struct hier_cut *cut, const struct hier_piece *piece,
                         struct wh_cells cells);

/** Operations that a phase takes: one, or one per cell of its largest block where the cells of a
 *  block do not lie side by side. The same on all members. */
uint32_t hier_phase_nparts(const struct hier_cut *cut, const struct wh_phase *phase);

/** Bytes of SCRATCH for one piece. */
size_t hier_scratch_nbytes(const struct hier_cut *cut, const struct wh_composition *composition);

/* ---- front.c ---- */

/** Finds out what front the call at work needs. WHORL_E_NOMEM, and what links and choices report.
 */
WH_MUST_CHECK whorl_result_t hier_front_begin(struct wh_hier *hier);

/** As hier_part_make(), a barrier. */
void hier_front_make_meeting(const struct wh_hier *hier, struct hier_part *part);

/** As hier_part_make() and hier_set_plan(). */
WH_MUST_CHECK whorl_result_t hier_front_make_greeting(struct wh_hier *hier,
                                                      struct hier_part *part);

/* ---- part.c ---- */

/** Room for operations of up to nmembers ranks. WHORL_E_NOMEM is reported. */
WH_MUST_CHECK whorl_result_t hier_part_init(struct hier_part *part, uint32_t nmembers);
/** Works on zeros. */
void hier_part_fini(struct hier_part *part);

/** Fills in coll, op and as for the operation number `cell` of a phase. */
void hier_part_make(const struct wh_hier *hier, struct hier_part *part,
                    const struct wh_phase *phase, uint64_t piece, uint32_t cell);

/* ---- cache.c ---- */

/** How a call of so many bytes is put together, asked for once; NULL: not at all. Any thread. */
const void *hier_choose(const struct wh_hier *hier, enum wh_coll coll, uint32_t root,
                        size_t nbytes);

WH_MUST_CHECK whorl_result_t hier_get_composition(struct wh_hier *hier, const void *chosen,
                                                  enum wh_coll coll, uint32_t root,
                                                  const struct wh_composition **composition_out);

/** Finds or makes the plan of a rail for part, and puts it there. */
WH_MUST_CHECK whorl_result_t hier_set_plan(struct wh_hier *hier, const struct wh_phase *phase,
                                           struct hier_part *part);

WH_MUST_CHECK whorl_result_t hier_cache_init(struct wh_hier *hier);
/** Works on zeros. */
void hier_cache_fini(struct wh_hier *hier);
uint64_t hier_cache_memory_nbytes(const struct wh_hier *hier);

#endif
