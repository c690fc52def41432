/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine that the checker of compositions runs them on: buffers of symbolic cells.
 * compose_model.c has the machine and its verdict, compose_phase.c does one phase of one group.
 */
#ifndef WH_SCHEDULE_COMPOSE_MODEL_H
#define WH_SCHEDULE_COMPOSE_MODEL_H

#include "schedule/check_parts.h"
#include "schedule/check_rules.h"
#include "schedule/compose.h"

/** What a cell holds. */
struct wh_compose_value {
    struct wh_parts *parts; /* whose contributions; NULL: nothing was written yet */
    uint32_t key;           /* what of the user's data: the cell of a vector, or the block */
    bool scaled;
};

/** One rank. */
struct wh_compose_rank {
    const struct wh_composition *composition;
    uint32_t next; /* phase */
    struct wh_compose_value *cells[WH_NBUFS];
    struct wh_parts *heard; /* barrier only */
};

struct wh_compose_model {
    const struct wh_hosts *hosts;
    enum wh_coll coll;
    uint32_t root;
    bool in_place;
    uint32_t ncells[WH_NBUFS]; /* of each buffer */
    struct wh_compose_rank *ranks;
    struct wh_why *why;
};

WH_MUST_CHECK whorl_result_t wh_compose_model_create(struct wh_composition *const *compositions,
                                                     const struct wh_hosts *hosts, bool in_place,
                                                     struct wh_why *why,
                                                     struct wh_compose_model **model_out);

/** Takes NULL. */
void wh_compose_model_destroy(struct wh_compose_model *m);

/** Does rank have this buffer? */
bool wh_compose_model_has(const struct wh_compose_model *m, uint32_t rank, enum wh_buf buf);

/** Which cell of which buffer has the same memory as a cell of OUTPUT, or itself. */
void wh_compose_model_alias(const struct wh_compose_model *m, uint32_t rank, enum wh_buf *buf,
                            uint32_t *cell);

/** Is this what INPUT had at first? */
bool wh_compose_model_is_input(const struct wh_compose_model *m, uint32_t rank, uint32_t cell,
                               const struct wh_compose_value *value);

/** When all phases are done: do the outputs hold what was promised? */
WH_MUST_CHECK whorl_result_t wh_compose_model_verify(const struct wh_compose_model *m);

/** Does the next phase of all members of the group of `rank`, who are all there. */
WH_MUST_CHECK whorl_result_t wh_compose_model_phase(struct wh_compose_model *m, uint32_t rank);

#endif
