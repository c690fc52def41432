/* SPDX-License-Identifier: Apache-2.0 */
/* See hier_prompt.h. */
#include "algorithms/hier_prompt.h"

/* The schedule's link to or from peer on channel 0. */
static uint16_t find_link(const struct wh_sched *sched, uint32_t peer, bool is_send)
{
    for (uint32_t i = 0; i < sched->nlinks; i++) {
        const struct wh_sched_link *link = &sched->links[i];
        if (link->peer == peer && link->channel == 0 && link->is_send == is_send) {
            return (uint16_t)i;
        }
    }
    return WH_NO_LINK;
}

/*
 * Does the first message on a link come before everything for which its lane could wait for others:
 * before every message that is received, and after one that is sent at most, which has room in any
 * FIFO?
 */
static bool comes_first(const struct wh_sched *sched, uint16_t link, bool is_send)
{
    for (uint32_t i = 0; i < sched->nlanes; i++) {
        uint32_t nsent = 0;
        const struct wh_step *step = &sched->steps[sched->lanes[i].first_step];
        for (uint32_t s = 0; s < sched->lanes[i].nsteps && nsent <= 1; s++, step++) {
            bool receives = (step->flags & WH_RECV) != 0, sends = (step->flags & WH_SEND) != 0;
            if (is_send && sends && !receives && step->send_link == link) {
                return true;
            }
            if (!is_send && receives && step->recv_link == link) {
                return true;
            }
            if (receives) {
                break;
            }
            nsent += sends;
        }
    }
    return false;
}

bool wh_sched_is_prompt(const struct wh_sched *sched)
{
    const uint32_t n = sched->nranks;
    uint16_t to = find_link(sched, (sched->rank + 1) % n, true);
    uint16_t from = find_link(sched, (sched->rank + n - 1) % n, false);
    return to != WH_NO_LINK && from != WH_NO_LINK && comes_first(sched, to, true) &&
           comes_first(sched, from, false);
}

whorl_result_t wh_algo_is_prompt(const struct wh_algo *algo, const struct wh_problem *problem,
                                 bool *is_prompt_out)
{
    bool is_prompt = problem->nranks <= WH_PROMPT_RANKS_MAX;
    for (uint32_t r = 0; r < problem->nranks && is_prompt; r++) {
        struct wh_problem theirs = *problem;
        theirs.rank = r;
        struct wh_sched *sched;
        whorl_result_t rc = wh_algo_build(algo, &theirs, &sched);
        if (rc != WHORL_OK) {
            return rc;
        }
        is_prompt = wh_sched_is_prompt(sched);
        wh_sched_destroy(sched);
    }
    *is_prompt_out = is_prompt;
    return WHORL_OK;
}
