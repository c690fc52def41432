/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that one look at the schedules decides. The builder enforces most of them as well; here
 * they are checked on the sealed result, whoever made it, so that the model can trust every index.
 */
#include "schedule/check_rules.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { NO_LANE = UINT32_MAX };

whorl_result_t wh_why_fault(struct wh_why *why, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why->text, why->text_nbytes, format, args);
    va_end(args);
    return WHORL_E_INTERNAL;
}

whorl_result_t wh_why_nomem(struct wh_why *why)
{
    snprintf(why->text, why->text_nbytes, "out of memory");
    return WHORL_E_NOMEM;
}

/* ---- one step -------------------------------------------------------------------------------- */

static bool reads_local(const struct wh_step *step)
{
    return step->nchunks > 0 && (!(step->flags & WH_RECV) || (step->flags & WH_REDUCE));
}

static const char *data_fault(const struct wh_sched *sched, const struct wh_step *step)
{
    const uint32_t flags = step->flags;

    if (sched->coll == WH_COLL_BARRIER) {
        return "a barrier moves no data";
    }
    if (!(flags & (WH_STORE | WH_SEND))) {
        return "the value goes nowhere";
    }
    if ((flags & (WH_REDUCE | WH_FINISH)) && !wh_coll_reduces(sched->coll)) {
        return "REDUCE or FINISH in a collective that does not reduce";
    }
    if ((flags & (WH_RECV | WH_REDUCE | WH_STORE)) == WH_REDUCE) {
        return "REDUCE without RECV needs STORE";
    }
    if (reads_local(step) && step->local >= WH_NBUFS) {
        return "unknown local buffer";
    }
    if ((flags & WH_STORE) && step->store != WH_OUTPUT && step->store != WH_SCRATCH) {
        return "STORE goes to OUTPUT or SCRATCH";
    }
    return NULL;
}

static bool is_link(const struct wh_sched *sched, uint16_t link, bool is_send)
{
    return link < sched->nlinks && sched->links[link].is_send == is_send;
}

/* Which rule a step breaks; NULL: none. */
static const char *step_fault(const struct wh_sched *sched, const struct wh_lane *lane,
                              const struct wh_step *step)
{
    const uint32_t flags = step->flags;

    if (flags & ~(uint32_t)(WH_RECV | WH_REDUCE | WH_STORE | WH_SEND | WH_FINISH)) {
        return "unknown flags";
    }
    if (step->chunk >= sched->nchunks || step->nchunks > sched->nchunks) {
        return "chunks that the pass does not have";
    }
    if ((flags & WH_RECV) ? !is_link(sched, step->recv_link, false)
                          : step->recv_link != WH_NO_LINK) {
        return "recv_link is no link to receive from";
    }
    if ((flags & WH_SEND) ? !is_link(sched, step->send_link, true)
                          : step->send_link != WH_NO_LINK) {
        return "send_link is no link to send on";
    }
    if ((flags & (WH_RECV | WH_SEND)) && step->nchunks > sched->nchunks_per_step) {
        return "a message of more chunks than nchunks_per_step";
    }
    if (step->nchunks == 0) {
        return flags == 0 || (flags & ~(uint32_t)(WH_RECV | WH_SEND))
                   ? "without data there is only RECV and SEND"
                   : NULL;
    }
    if (lane->uses_scratch && sched->goes_abreast) {
        return "SCRATCH, which passes that go side by side would share";
    }
    if (!lane->uses_scratch && ((reads_local(step) && step->local == WH_SCRATCH) ||
                                ((flags & WH_STORE) && step->store == WH_SCRATCH))) {
        return "SCRATCH in a lane that says it uses none";
    }
    return data_fault(sched, step);
}

/* ---- links ----------------------------------------------------------------------------------- */

/* Notes that a step of lane `l` uses `link`; owners[link] is the lane that does, or NO_LANE. */
static whorl_result_t own_link(const struct wh_sched *sched, uint32_t l, uint32_t s, uint16_t link,
                               uint32_t *owners, struct wh_why *why)
{
    const struct wh_sched_link *at = &sched->links[link];

    if (at->channel != sched->lanes[l].channel) {
        return wh_why_fault(why,
                            "rank %u lane %u step %u: the lane is on channel %u, its link on "
                            "%u",
                            sched->rank, l, s, sched->lanes[l].channel, at->channel);
    }
    if (owners[link] != NO_LANE && owners[link] != l) {
        return wh_why_fault(
            why, "rank %u lane %u step %u: the link %s rank %u on channel %u belongs to lane %u",
            sched->rank, l, s, at->is_send ? "to" : "from", at->peer, at->channel, owners[link]);
    }
    owners[link] = l;
    return WHORL_OK;
}

static whorl_result_t check_lane(const struct wh_sched *sched, uint32_t l, uint32_t *owners,
                                 struct wh_why *why)
{
    const struct wh_lane *lane = &sched->lanes[l];
    whorl_result_t rc = WHORL_OK;

    if (lane->first_step > sched->nsteps || lane->nsteps > sched->nsteps - lane->first_step) {
        return wh_why_fault(why, "rank %u lane %u: steps that the schedule does not have",
                            sched->rank, l);
    }
    if (lane->nentry > lane->nsteps) {
        return wh_why_fault(why, "rank %u lane %u: more entry steps than steps", sched->rank, l);
    }

    for (uint32_t s = 0; s < lane->nsteps && rc == WHORL_OK; s++) {
        const struct wh_step *step = &sched->steps[lane->first_step + s];
        const char *fault = s < lane->nentry && step->nchunks > 0 ? "an entry step with data"
                                                                  : step_fault(sched, lane, step);
        if (fault != NULL) {
            return wh_why_fault(why, "rank %u lane %u step %u: %s", sched->rank, l, s, fault);
        }
        if (step->flags & WH_RECV) {
            rc = own_link(sched, l, s, step->recv_link, owners, why);
        }
        if ((step->flags & WH_SEND) && rc == WHORL_OK) {
            rc = own_link(sched, l, s, step->send_link, owners, why);
        }
    }
    return rc;
}

static whorl_result_t check_links(const struct wh_sched *sched, const uint32_t *owners,
                                  struct wh_why *why)
{
    for (uint32_t i = 0; i < sched->nlinks; i++) {
        const struct wh_sched_link *link = &sched->links[i];
        if (link->peer >= sched->nranks || link->peer == sched->rank) {
            return wh_why_fault(why, "rank %u link %u: peer %u is no other rank", sched->rank, i,
                                link->peer);
        }
        if (wh_coll_is_p2p(sched->coll) ? link->channel != WH_CHANNEL_P2P
                                        : link->channel >= WH_CHANNELS_MAX) {
            return wh_why_fault(why, "rank %u link %u: a %s has no channel %u", sched->rank, i,
                                wh_coll_str(sched->coll), link->channel);
        }
        if (owners[i] == NO_LANE) {
            return wh_why_fault(why, "rank %u link %u: no step uses it", sched->rank, i);
        }
    }
    return WHORL_OK;
}

/* ---- one schedule, all schedules ------------------------------------------------------------- */

static bool has_link(const struct wh_sched *sched, uint32_t peer, bool is_send)
{
    for (uint32_t i = 0; i < sched->nlinks; i++) {
        const struct wh_sched_link *link = &sched->links[i];
        if (link->peer == peer && link->channel == 0 && link->is_send == is_send) {
            return true;
        }
    }
    return false;
}

static whorl_result_t check_entry(const struct wh_sched *sched, struct wh_why *why)
{
    const uint32_t n = sched->nranks;
    const uint32_t right = (sched->rank + 1) % n;
    const uint32_t left = (sched->rank + n - 1) % n;

    if (n == 1 || wh_coll_is_p2p(sched->coll)) {
        return WHORL_OK;
    }
    if (!has_link(sched, right, true)) {
        return wh_why_fault(why, "rank %u: entry: sends nothing to rank %u on channel 0",
                            sched->rank, right);
    }
    if (!has_link(sched, left, false)) {
        return wh_why_fault(why, "rank %u: entry: receives nothing from rank %u on channel 0",
                            sched->rank, left);
    }
    return WHORL_OK;
}

static whorl_result_t check_sched(const struct wh_sched *sched, struct wh_why *why)
{
    uint32_t *owners = malloc(((size_t)sched->nlinks + 1) * sizeof(*owners));
    if (owners == NULL) {
        return wh_why_nomem(why);
    }
    for (uint32_t i = 0; i < sched->nlinks; i++) {
        owners[i] = NO_LANE;
    }

    whorl_result_t rc = WHORL_OK;
    for (uint32_t l = 0; l < sched->nlanes && rc == WHORL_OK; l++) {
        rc = check_lane(sched, l, owners, why);
    }
    if (rc == WHORL_OK) {
        rc = check_links(sched, owners, why);
    }
    if (rc == WHORL_OK) {
        rc = check_entry(sched, why);
    }
    free(owners);
    return rc;
}

/* A send is checked together with its recv, as two ranks. */
static bool colls_agree(const struct wh_sched *a, const struct wh_sched *b)
{
    if (wh_coll_is_p2p(a->coll)) {
        return a == b || (wh_coll_is_p2p(b->coll) && a->coll != b->coll && a->nranks == 2 &&
                          a->root == b->rank && b->root == a->rank);
    }
    return a->coll == b->coll && a->root == b->root;
}

static whorl_result_t check_agreement(struct wh_sched *const *scheds, uint32_t nranks,
                                      struct wh_why *why)
{
    const struct wh_sched *first = scheds[0];

    for (uint32_t r = 0; r < nranks; r++) {
        const struct wh_sched *sched = scheds[r];
        if (sched->rank != r || sched->nranks != nranks || sched->root >= nranks) {
            return wh_why_fault(why, "rank %u: the schedule is rank %u's of %u, root %u", r,
                                sched->rank, sched->nranks, sched->root);
        }
        if ((unsigned)sched->coll >= WH_NCOLLS || sched->nchunks == 0) {
            return wh_why_fault(why, "rank %u: no collective, or no chunk", r);
        }
        if (!colls_agree(first, sched)) {
            return wh_why_fault(why, "rank %u: %s with root %u, but rank 0 has %s with root %u", r,
                                wh_coll_str(sched->coll), sched->root, wh_coll_str(first->coll),
                                first->root);
        }
        if (sched->nchunks != first->nchunks) {
            return wh_why_fault(why, "rank %u: %u chunks in a pass, but rank 0 has %u", r,
                                sched->nchunks, first->nchunks);
        }
        if (sched->nchunks_per_step != first->nchunks_per_step) {
            return wh_why_fault(why,
                                "rank %u: messages of up to %u chunks, but rank 0 has up to %u "
                                "(wh_build_widest() makes them agree)",
                                r, sched->nchunks_per_step, first->nchunks_per_step);
        }
        if (sched->goes_abreast != first->goes_abreast) {
            return wh_why_fault(why, "rank %u: passes go side by side, or not, unlike rank 0's", r);
        }
        if ((sched->coll == WH_COLL_ALL_GATHER || sched->coll == WH_COLL_REDUCE_SCATTER) &&
            sched->nchunks != nranks) {
            return wh_why_fault(why, "rank %u: %u chunks for the blocks of %u ranks", r,
                                sched->nchunks, nranks);
        }
        if (sched->coll == WH_COLL_ALL_TO_ALL && sched->nchunks != (uint64_t)nranks * nranks) {
            return wh_why_fault(why, "rank %u: %u chunks for the pairs of %u ranks", r,
                                sched->nchunks, nranks);
        }
    }
    return WHORL_OK;
}

whorl_result_t wh_check_rules(struct wh_sched *const *scheds, uint32_t nranks, struct wh_why *why)
{
    assert(nranks > 0);

    whorl_result_t rc = check_agreement(scheds, nranks, why);
    for (uint32_t r = 0; r < nranks && rc == WHORL_OK; r++) {
        rc = check_sched(scheds[r], why);
    }
    return rc;
}
