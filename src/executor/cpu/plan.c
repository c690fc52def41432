/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: a schedule with its links, its scratch and its cursors. */
#include "base/bits.h"
#include "base/log.h"
#include "executor/cpu/run.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static whorl_result_t plan_alloc_lanes(struct wh_plan *plan)
{
    const struct wh_sched *sched = plan->sched;
    plan->lanes = calloc(sched->nlanes > 0 ? sched->nlanes : 1, sizeof(*plan->lanes));
    if (plan->lanes == NULL) {
        return WHORL_E_NOMEM;
    }
    for (uint32_t i = 0; i < sched->nlanes; i++) {
        if (!sched->lanes[i].uses_scratch) {
            continue;
        }
        plan->lanes[i].scratch =
            aligned_alloc(WH_LINE_NBYTES,
                          wh_align_up((size_t)sched->nchunks * plan->chunk_nbytes, WH_LINE_NBYTES));
        if (plan->lanes[i].scratch == NULL) {
            return WHORL_E_NOMEM;
        }
    }
    return WHORL_OK;
}

static whorl_result_t plan_open_links(struct wh_plan *plan, struct wh_wire *wire)
{
    const struct wh_sched *sched = plan->sched;
    plan->links = calloc(sched->nlinks > 0 ? sched->nlinks : 1, sizeof(struct wh_link *));
    if (plan->links == NULL) {
        return WHORL_E_NOMEM;
    }
    for (uint32_t i = 0; i < sched->nlinks; i++) {
        const struct wh_sched_link *link = &sched->links[i];
        whorl_result_t rc =
            wh_wire_link(wire, wh_plan_peer(plan, i), link->channel, link->is_send,
                         &plan->links[i]);
        if (rc != WHORL_OK) {
            return rc;
        }
    }
    return WHORL_OK;
}

uint32_t wh_plan_rank(const struct wh_plan *plan, uint32_t rank)
{
    return plan->ranks != NULL ? plan->ranks[rank] : rank;
}

uint32_t wh_plan_peer(const struct wh_plan *plan, uint32_t link)
{
    return wh_plan_rank(plan, plan->sched->links[link].peer);
}

static whorl_result_t plan_copy_ranks(struct wh_plan *plan, const uint32_t *ranks)
{
    if (ranks == NULL) {
        return WHORL_OK;
    }
    plan->ranks = malloc(plan->sched->nranks * sizeof(*plan->ranks));
    if (plan->ranks == NULL) {
        return WHORL_E_NOMEM;
    }
    memcpy(plan->ranks, ranks, plan->sched->nranks * sizeof(*plan->ranks));
    return WHORL_OK;
}

whorl_result_t wh_plan_create(struct wh_sched *sched, struct wh_wire *wire, const uint32_t *ranks,
                              struct wh_plan **plan_out)
{
    const size_t slot_nbytes = wh_wire_slot_nbytes(wire);
    const uint32_t nslots = wh_wire_nslots(wire);
    assert(sched->nchunks_per_step > 0);
    assert(sched->nchunks > 0);

    whorl_result_t rc = WHORL_E_NOMEM;
    struct wh_plan *plan = calloc(1, sizeof(*plan));
    if (plan == NULL) {
        wh_sched_destroy(sched);
        return wh_fail(rc, WH_SUBSYS_ALLOC, "no memory for a plan");
    }
    plan->sched = sched;
    plan->kernels = wh_kernels_get();
    plan->nabreast = sched->goes_abreast && nslots >= 4 ? nslots / 2 : 1;
    /* Chunks start at vector boundaries; a slot that many ranks share still holds one element each.
     * */
    size_t share = slot_nbytes / sched->nchunks_per_step;
    plan->chunk_nbytes =
        share >= 64 ? share & ~(size_t)63 : share & ~(size_t)(WH_ELEM_NBYTES_MAX - 1);
    if (plan->chunk_nbytes == 0) {
        rc =
            wh_fail(WHORL_E_CONFIG, WH_SUBSYS_COLL,
                    "slots of %zu bytes are too small for %u chunks of %s: raise WHORL_BUFFSIZE or "
                    "lower WHORL_SLOTS",
                    slot_nbytes, sched->nchunks_per_step, sched->algo);
        goto undo_plan;
    }

    rc = plan_copy_ranks(plan, ranks);
    if (rc == WHORL_OK) {
        rc = plan_alloc_lanes(plan);
    }
    if (rc != WHORL_OK) {
        wh_fail(rc, WH_SUBSYS_ALLOC, "no memory for the scratch of %s %s (%u chunks of %zu bytes)",
                wh_coll_str(sched->coll), sched->algo, sched->nchunks, plan->chunk_nbytes);
        goto undo_plan;
    }
    rc = plan_open_links(plan, wire);
    if (rc != WHORL_OK) {
        goto undo_plan;
    }
    *plan_out = plan;
    return WHORL_OK;

undo_plan:
    wh_plan_destroy(plan);
    return rc;
}

void wh_plan_destroy(struct wh_plan *plan)
{
    if (plan == NULL) {
        return;
    }
    if (plan->lanes != NULL) {
        for (uint32_t i = 0; i < plan->sched->nlanes; i++) {
            free(plan->lanes[i].scratch);
        }
    }
    free(plan->lanes);
    free(plan->links);
    free(plan->ranks);
    free(plan->bounce);
    wh_sched_destroy(plan->sched);
    free(plan);
}

uint64_t wh_plan_memory_nbytes(const struct wh_plan *plan)
{
    uint64_t nbytes = sizeof(*plan) + (plan->bounce != NULL ? plan->chunk_nbytes : 0);
    for (uint32_t i = 0; i < plan->sched->nlanes; i++) {
        if (plan->lanes[i].scratch != NULL) {
            nbytes += (uint64_t)plan->sched->nchunks * plan->chunk_nbytes;
        }
    }
    nbytes += plan->sched->nsteps * sizeof(struct wh_step);
    nbytes += plan->sched->nlinks * (sizeof(struct wh_sched_link) + sizeof(struct wh_link *));
    nbytes += plan->ranks != NULL ? plan->sched->nranks * sizeof(*plan->ranks) : 0;
    return nbytes;
}
