/* SPDX-License-Identifier: Apache-2.0 */
/* Runs compositions: whichever group is complete does its phase, until nobody is left. */
#include "schedule/compose_check.h"

#include "schedule/compose_model.h"

#include <assert.h>

/* The phase that rank comes to next; NULL: it is done. */
static const struct wh_phase *next_phase(const struct wh_compose_model *m, uint32_t rank)
{
    const struct wh_compose_rank *state = &m->ranks[rank];
    return state->next < state->composition->nphases ? &state->composition->phases[state->next]
                                                     : NULL;
}

/* The member of rank's group who is not there; nranks of all if the group is complete. */
static uint32_t find_missing(const struct wh_compose_model *m, uint32_t rank)
{
    const struct wh_phase *mine = next_phase(m, rank);
    for (uint32_t i = 0; i < mine->nranks; i++) {
        uint32_t other = wh_phase_group_rank(m->hosts, rank, mine->place, i);
        const struct wh_phase *theirs = next_phase(m, other);
        if (theirs == NULL || theirs->id != mine->id) {
            return other;
        }
    }
    return m->hosts->nranks;
}

static whorl_result_t report_wait(const struct wh_compose_model *m, uint32_t rank)
{
    const struct wh_phase *mine = next_phase(m, rank);
    uint32_t other = find_missing(m, rank);
    const struct wh_phase *theirs = next_phase(m, other);
    if (theirs == NULL) {
        return wh_why_fault(m->why, "rank %u waits in phase %u (%s) for rank %u, which is done",
                            rank, mine->id, wh_coll_str(mine->coll), other);
    }
    return wh_why_fault(m->why,
                        "rank %u waits in phase %u (%s) for rank %u, which is in phase %u (%s)",
                        rank, mine->id, wh_coll_str(mine->coll), other, theirs->id,
                        wh_coll_str(theirs->coll));
}

static whorl_result_t check_groups(const struct wh_compose_model *m)
{
    for (uint32_t r = 0; r < m->hosts->nranks; r++) {
        const struct wh_composition *k = m->ranks[r].composition;
        for (uint32_t i = 0; i < k->nphases; i++) {
            const struct wh_phase *p = &k->phases[i];
            if (p->nranks != wh_phase_group_nranks(m->hosts, r, p->place) ||
                p->root >= p->nranks || p->me >= p->nranks ||
                (i > 0 && (p->id <= k->phases[i - 1].id || p->place < k->phases[i - 1].place)) ||
                (p->place == WH_PHASE_ACROSS && m->hosts->local[r] >= m->hosts->nrails)) {
                return wh_why_fault(m->why, "rank %u phase %u: not of this group, or out of order",
                                    r, p->id);
            }
        }
    }
    return WHORL_OK;
}

static whorl_result_t run(struct wh_compose_model *m)
{
    uint32_t nleft = 1;
    for (bool moved = true; moved && nleft > 0;) {
        moved = false;
        nleft = 0;
        for (uint32_t r = 0; r < m->hosts->nranks; r++) {
            while (next_phase(m, r) != NULL && find_missing(m, r) == m->hosts->nranks) {
                whorl_result_t rc = wh_compose_model_phase(m, r);
                if (rc != WHORL_OK) {
                    return rc;
                }
                moved = true;
            }
            nleft += next_phase(m, r) != NULL;
        }
    }
    for (uint32_t r = 0; nleft > 0 && r < m->hosts->nranks; r++) {
        if (next_phase(m, r) != NULL) {
            return report_wait(m, r);
        }
    }
    return WHORL_OK;
}

whorl_result_t wh_compose_check(struct wh_composition *const *compositions,
                                const struct wh_hosts *hosts, bool in_place, char *why,
                                size_t why_nbytes)
{
    struct wh_why text = {why, why_nbytes};
    struct wh_compose_model *m;
    whorl_result_t rc = wh_compose_model_create(compositions, hosts, in_place, &text, &m);
    if (rc != WHORL_OK) {
        return rc;
    }
    rc = check_groups(m);
    if (rc == WHORL_OK) {
        rc = run(m);
    }
    if (rc == WHORL_OK) {
        rc = wh_compose_model_verify(m);
    }
    wh_compose_model_destroy(m);
    return rc;
}
