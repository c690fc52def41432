/* SPDX-License-Identifier: Apache-2.0 */
/* See hier_prompt.h. */
#include "algorithms/hier_prompt.h"

#include "algorithms/shape_cube.h"

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

static bool is_neighbour(const struct wh_sched *sched, const struct wh_cube *cube, uint16_t link,
                         uint32_t dim)
{
    return sched->links[link].channel == 0 &&
           sched->links[link].peer == wh_cube_neighbour(cube, dim);
}

static bool lane_climbs(const struct wh_sched *sched, const struct wh_cube *cube,
                        const struct wh_lane *lane)
{
    uint32_t nsent = 0, nreceived = 0; /* dimensions */
    const struct wh_step *step = &sched->steps[lane->first_step];
    for (uint32_t s = 0; s < lane->nsteps && nreceived < cube->ndims; s++, step++) {
        if (step->flags & WH_RECV) {
            if (nreceived == nsent || !is_neighbour(sched, cube, step->recv_link, nreceived)) {
                return false;
            }
            nreceived++;
        }
        if ((step->flags & WH_SEND) && nreceived < cube->ndims) {
            if (nsent > nreceived || !is_neighbour(sched, cube, step->send_link, nsent)) {
                return false;
            }
            nsent++;
        }
    }
    return nreceived == cube->ndims;
}

bool wh_sched_climbs(const struct wh_sched *sched)
{
    const struct wh_cube cube = wh_cube_of(sched->nranks, sched->rank);
    bool climbs = false;
    for (uint32_t i = 0; !wh_cube_folds(sched->nranks) && i < sched->nlanes; i++) {
        climbs = climbs || lane_climbs(sched, &cube, &sched->lanes[i]);
    }
    return climbs;
}

whorl_result_t wh_algo_finds_out(const struct wh_algo *algo, const struct wh_problem *problem,
                                 bool *finds_out_out)
{
    bool is_prompt = problem->nranks <= WH_PROMPT_RANKS_MAX, climbs = is_prompt;
    for (uint32_t r = 0; r < problem->nranks && (is_prompt || climbs); r++) {
        struct wh_problem theirs = *problem;
        theirs.rank = r;
        struct wh_sched *sched;
        whorl_result_t rc = wh_algo_build(algo, &theirs, &sched);
        if (rc != WHORL_OK) {
            return rc;
        }
        is_prompt = is_prompt && wh_sched_is_prompt(sched);
        climbs = climbs && wh_sched_climbs(sched);
        wh_sched_destroy(sched);
    }
    *finds_out_out = is_prompt || climbs;
    return WHORL_OK;
}
