/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine that the checker runs schedules on: buffers whose chunks are sets of ranks, and links
 * that are bounded queues. Who moves when is the caller's choice. check_model.c makes the machine
 * and judges what it ends with, check_step.c moves it.
 */
#ifndef WH_SCHEDULE_CHECK_MODEL_H
#define WH_SCHEDULE_CHECK_MODEL_H

#include "base/macros.h"
#include "schedule/check.h"
#include "schedule/check_parts.h"
#include "schedule/check_rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wh_model_message {
    struct wh_model_message *next;
    uint32_t lane, step, pass; /* of the sender, who numbers its lanes from 0 */
    uint32_t chunk, nchunks;
    struct wh_parts *heard;    /* barrier only */
    struct wh_parts *values[]; /* nchunks */
};

struct wh_model_fifo {
    struct wh_model_message *head, *tail;
    uint32_t nmessages;
    uint32_t from, to;
    uint8_t channel;
};

struct wh_model_lane {
    const struct wh_sched *sched;
    uint32_t index;                /* into sched->lanes */
    uint32_t step, pass;           /* done when pass == npasses */
    struct wh_model_message *held; /* what the step has received while it waits to send */
    struct wh_parts **scratch;     /* nchunks; NULL before the first store of a pass */
    struct wh_parts *heard;        /* barrier only */
};

/* What a rank makes of one pass. */
struct wh_model_outcome {
    struct wh_parts **output; /* nchunks; NULL before the first store */
    struct wh_parts *heard;   /* barrier only; NULL before the first lane is done */
};

struct wh_model {
    struct wh_sched *const *scheds;
    const struct wh_check_options *options;
    struct wh_why *why;
    uint32_t nranks, nlanes, nfifos;

    struct wh_parts **inputs;          /* nranks: {rank} */
    struct wh_model_lane *lanes;       /* nlanes: those of all ranks, rank by rank */
    struct wh_model_outcome *outcomes; /* nranks * npasses */
    struct wh_model_fifo *fifos;       /* nfifos */
    size_t *first_links;               /* nranks: where a rank's links begin in link_fifos */
    uint32_t *link_fifos;              /* for every link of every rank: its fifo */
};

/**
 * A model of schedules that wh_check_rules() found in order, before the first step.
 *
 * Memory    scheds, options and why must outlive the model; wh_model_destroy() gives it back.
 * Errors    WHORL_E_INTERNAL if a link has only one end; WHORL_E_NOMEM.
 */
WH_MUST_CHECK whorl_result_t wh_model_create(struct wh_sched *const *scheds, uint32_t nranks,
                                             const struct wh_check_options *options,
                                             struct wh_why *why, struct wh_model **model_out);

/** Takes NULL. */
void wh_model_destroy(struct wh_model *m);

/** Has the lane gone through all passes? */
bool wh_model_is_done(const struct wh_model *m, const struct wh_model_lane *lane);

/**
 * Lets a lane that is not done take its next step, or as much of it as it can without waiting.
 *
 * *moved_out is false if nothing happened. Errors: WHORL_E_INTERNAL if the step does what it must
 * not; WHORL_E_NOMEM. After an error only wh_model_destroy() is useful.
 */
WH_MUST_CHECK whorl_result_t wh_model_step(struct wh_model *m, struct wh_model_lane *lane,
                                           bool *moved_out);

/** "rank 0 lane 0 step 1: waits for ..." for a lane that cannot move. As snprintf(). */
int wh_model_print_wait(const struct wh_model *m, const struct wh_model_lane *lane, char *text,
                        size_t text_nbytes);

/** When all lanes are done: are the links empty, and do the outputs hold what was promised? */
WH_MUST_CHECK whorl_result_t wh_model_verify(const struct wh_model *m);

/* ---- between check_model.c and check_step.c ---- */

/** Puts a lane before the first step of lane->pass; a lane without steps is done. */
void wh_model_start_pass(const struct wh_model *m, struct wh_model_lane *lane);

/** Does the rank have this chunk of OUTPUT? */
bool wh_model_has_output(const struct wh_sched *sched, uint32_t chunk);

/** Gives back the sets of a buffer, and the buffer. Takes NULL. */
void wh_model_put_cells(struct wh_parts **cells, uint32_t nchunks);

/** Takes NULL. */
void wh_model_message_destroy(struct wh_model_message *message);

#endif
