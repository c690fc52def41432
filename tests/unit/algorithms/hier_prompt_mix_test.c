/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks that made different calls: some run one schedule, the others another one, until nothing
 * moves any more. Somewhere a message must have come to a rank that runs the other one: messages
 * carry the call they belong to, so both calls are known then.
 */
#include "algorithms/hier_prompt.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { RANKS_MAX = 8, CHANNELS_MAX = 4, LANES_MAX = 16, ROOM = 2 /* least WHORL_SLOTS */ };

struct mix {
    uint32_t n;
    uint32_t who; /* a bit per rank: which of the two schedules */
    struct wh_sched *scheds[2][RANKS_MAX];
    uint32_t at[RANKS_MAX][LANES_MAX];                    /* steps done */
    uint32_t nqueued[RANKS_MAX][RANKS_MAX][CHANNELS_MAX]; /* from, to, channel */
    bool is_found_out;
};

static void build(const struct wh_algo *algo, uint32_t n, uint32_t root,
                  struct wh_sched *scheds[RANKS_MAX])
{
    for (uint32_t r = 0; r < n; r++) {
        const struct wh_problem problem = {algo->coll, r, n, root};
        cr_assert_eq(wh_algo_build(algo, &problem, &scheds[r]), WHORL_OK);
        cr_assert_leq(scheds[r]->nlanes, LANES_MAX);
    }
}

static uint32_t *queue(struct mix *m, uint32_t from, uint32_t to, uint32_t channel)
{
    cr_assert_lt(channel, CHANNELS_MAX);
    return &m->nqueued[from][to][channel];
}

/* Does the next step of a lane if it can be done. */
static bool advance(struct mix *m, uint32_t rank, uint32_t lane)
{
    const struct wh_sched *sched = m->scheds[m->who >> rank & 1][rank];
    if (lane >= sched->nlanes || m->at[rank][lane] == sched->lanes[lane].nsteps) {
        return false;
    }
    const struct wh_step *step = &sched->steps[sched->lanes[lane].first_step + m->at[rank][lane]];
    uint32_t *in = NULL, *out = NULL, from = rank;
    if (step->flags & WH_RECV) {
        from = sched->links[step->recv_link].peer;
        in = queue(m, from, rank, sched->links[step->recv_link].channel);
    }
    if (step->flags & WH_SEND) {
        out = queue(m, rank, sched->links[step->send_link].peer,
                    sched->links[step->send_link].channel);
    }
    if ((in != NULL && *in == 0) || (out != NULL && *out == ROOM)) {
        return false;
    }
    m->is_found_out |= (m->who >> from & 1) != (m->who >> rank & 1);
    if (in != NULL) {
        --*in;
    }
    if (out != NULL) {
        ++*out;
    }
    m->at[rank][lane]++;
    return true;
}

static bool is_found_out(struct mix *m, uint32_t who)
{
    m->who = who;
    m->is_found_out = false;
    memset(m->at, 0, sizeof(m->at));
    memset(m->nqueued, 0, sizeof(m->nqueued));
    bool moves = true;
    while (moves && !m->is_found_out) {
        moves = false;
        for (uint32_t i = 0; i < m->n * LANES_MAX; i++) {
            moves |= advance(m, i / LANES_MAX, i % LANES_MAX);
        }
    }
    return m->is_found_out;
}

/* All mixtures of two schedules; how many. */
static uint32_t check(const struct wh_algo *one, const struct wh_algo *other, uint32_t n,
                      uint32_t root)
{
    struct mix *m = calloc(1, sizeof(*m));
    cr_assert_not_null(m);
    m->n = n;
    build(one, n, wh_coll_has_root(one->coll) ? root : 0, m->scheds[0]);
    build(other, n, wh_coll_has_root(other->coll) ? n - 1 : 0, m->scheds[1]);
    for (uint32_t who = 1; who + 1 < 1u << n; who++) {
        cr_assert(is_found_out(m, who), "%s %s and, on ranks %#x of %u, %s %s",
                  wh_coll_str(one->coll), one->name, who, n, wh_coll_str(other->coll), other->name);
    }
    for (uint32_t i = 0; i < 2 * n; i++) {
        wh_sched_destroy(m->scheds[i / n][i % n]);
    }
    free(m);
    return (1u << n) - 2;
}

Test(hier_prompt_mix, whoever_calls_something_else_is_found_out)
{
    uint32_t nmixtures = 0;
    for (size_t i = 0; i < wh_nalgos; i++) {
        for (size_t k = 0; k < wh_nalgos; k++) {
            if (wh_coll_is_p2p(wh_algos[i]->coll) || wh_coll_is_p2p(wh_algos[k]->coll)) {
                continue;
            }
            for (uint32_t n = 2; n <= RANKS_MAX; n++) {
                for (uint32_t root = 0; root < n; root += n / 2) {
                    nmixtures += check(wh_algos[i], wh_algos[k], n, root);
                }
            }
        }
    }
    cr_expect_gt(nmixtures, 100000);
}

/* The test itself: ranks that wait for the last one, and it for them, are not found out. */
Test(hier_prompt_mix, who_waits_in_silence_is_not)
{
    static struct wh_sched_link links[2][1] = {{{.peer = 1}}, {{.peer = 0}}};
    static struct wh_step step = {.flags = WH_RECV};
    static struct wh_lane lane = {.nsteps = 1};
    struct wh_sched scheds[2] = {{.nranks = 2, .links = links[0], .nlinks = 1},
                                 {.nranks = 2, .links = links[1], .nlinks = 1}};
    struct mix m = {.n = 2};
    for (uint32_t r = 0; r < 2; r++) {
        scheds[r].steps = &step;
        scheds[r].lanes = &lane;
        scheds[r].nlanes = 1;
        m.scheds[0][r] = m.scheds[1][r] = &scheds[r];
    }
    cr_expect_not(is_found_out(&m, 1));
}
