/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker's conduct: rules first, then a run of the model, then the verdict.
 *
 * What a network of bounded queues computes does not depend on who moves when, as long as lanes
 * meet in links only. But lanes of a rank share OUTPUT (and in place INPUT). Shuffled orders bring
 * out what depends on that: in every sweep the lanes come in another order, and each either sleeps,
 * takes a step, or goes as far as it can.
 */
#include "schedule/check.h"

#include "schedule/check_model.h"
#include "schedule/check_rules.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { WAITS_SHOWN = 4 };

/* The lanes that still have steps, in the order in which they take turns. */
struct turns {
    struct wh_model_lane **lanes;
    uint32_t nlanes;
    uint32_t random; /* state of the generator; 0: round robin */
};

/* Marsaglia's xorshift; state is not 0. */
static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void shuffle(struct turns *turns)
{
    for (uint32_t i = turns->nlanes; i > 1; i--) {
        uint32_t j = next_random(&turns->random) % i;
        struct wh_model_lane *lane = turns->lanes[i - 1];
        turns->lanes[i - 1] = turns->lanes[j];
        turns->lanes[j] = lane;
    }
}

/* How many steps a lane may take in this sweep. */
static uint32_t draw_nsteps(struct turns *turns)
{
    if (turns->random == 0) {
        return 1;
    }
    switch (next_random(&turns->random) >> 30) {
    case 0:
        return 0;
    case 1:
        return UINT32_MAX;
    default:
        return 1;
    }
}

/* Up to nsteps_max steps of one lane; sets *moved if there was any. */
static whorl_result_t run_lane(struct wh_model *m, struct wh_model_lane *lane, uint32_t nsteps_max,
                               bool *moved)
{
    for (uint32_t i = 0; i < nsteps_max && !wh_model_is_done(m, lane); i++) {
        bool stepped;
        whorl_result_t rc = wh_model_step(m, lane, &stepped);
        if (rc != WHORL_OK) {
            return rc;
        }
        if (!stepped) {
            break;
        }
        *moved = true;
    }
    return WHORL_OK;
}

/* A turn for every lane, and forgets those that are done. `all`: no lane sleeps. */
static whorl_result_t sweep(struct wh_model *m, struct turns *turns, bool all, bool *moved_out)
{
    uint32_t nleft = 0;
    bool moved = false;

    if (turns->random != 0) {
        shuffle(turns);
    }
    for (uint32_t i = 0; i < turns->nlanes; i++) {
        struct wh_model_lane *lane = turns->lanes[i];
        whorl_result_t rc = run_lane(m, lane, all ? 1 : draw_nsteps(turns), &moved);
        if (rc != WHORL_OK) {
            return rc;
        }
        if (!wh_model_is_done(m, lane)) {
            turns->lanes[nleft++] = lane;
        }
    }
    turns->nlanes = nleft;
    *moved_out = moved;
    return WHORL_OK;
}

/* Nobody can move: names the first few who wait. */
static whorl_result_t report_deadlock(const struct wh_model *m, struct wh_why *why)
{
    char text[WAITS_SHOWN * 128] = "";
    size_t used = 0;
    uint32_t nwaiting = 0;

    /* m->lanes rather than turns->lanes, so that the report does not depend on the order. */
    for (uint32_t l = 0; l < m->nlanes; l++) {
        if (wh_model_is_done(m, &m->lanes[l])) {
            continue;
        }
        if (nwaiting < WAITS_SHOWN) {
            used +=
                (size_t)snprintf(text + used, sizeof(text) - used, "%s", nwaiting > 0 ? "; " : "");
            used += (size_t)wh_model_print_wait(m, &m->lanes[l], text + used, sizeof(text) - used);
            assert(used < sizeof(text));
        }
        nwaiting++;
    }
    if (nwaiting > WAITS_SHOWN) {
        return wh_why_fault(why, "deadlock: %s; and %u more", text, nwaiting - WAITS_SHOWN);
    }
    return wh_why_fault(why, "deadlock: %s", text);
}

static whorl_result_t run(struct wh_model *m, struct turns *turns, struct wh_why *why)
{
    bool stuck = false; /* the last sweep moved nothing */

    while (turns->nlanes > 0) {
        bool moved = false;
        whorl_result_t rc = sweep(m, turns, stuck, &moved);
        if (rc != WHORL_OK) {
            return rc;
        }
        /* In a shuffled order they may all have slept; only a sweep of all is proof. */
        if (!moved && (stuck || turns->random == 0) && turns->nlanes > 0) {
            return report_deadlock(m, why);
        }
        stuck = !moved;
    }
    return WHORL_OK;
}

static whorl_result_t run_and_verify(struct wh_model *m, struct wh_why *why)
{
    /* Spread out, or small seeds would begin alike; an odd factor keeps 0, and only 0, at 0. */
    struct turns turns = {.random = m->options->order_seed * UINT32_C(2654435769)};

    turns.lanes = calloc((size_t)m->nlanes + 1, sizeof(*turns.lanes));
    if (turns.lanes == NULL) {
        return wh_why_nomem(why);
    }
    for (uint32_t l = 0; l < m->nlanes; l++) {
        if (!wh_model_is_done(m, &m->lanes[l])) {
            turns.lanes[turns.nlanes++] = &m->lanes[l];
        }
    }

    whorl_result_t rc = run(m, &turns, why);
    free(turns.lanes);
    return rc == WHORL_OK ? wh_model_verify(m) : rc;
}

whorl_result_t wh_check(struct wh_sched *const *scheds, uint32_t nranks,
                        const struct wh_check_options *options, char *why, size_t why_nbytes)
{
    assert(nranks > 0);
    assert(options->fifo_slots > 0);
    assert(options->npasses > 0);

    struct wh_why text = {.text = why, .text_nbytes = why_nbytes};
    whorl_result_t rc = wh_check_rules(scheds, nranks, &text);
    if (rc != WHORL_OK) {
        return rc;
    }

    struct wh_model *model = NULL;
    rc = wh_model_create(scheds, nranks, options, &text, &model);
    if (rc == WHORL_OK) {
        rc = run_and_verify(model, &text);
    }
    wh_model_destroy(model);
    return rc;
}
