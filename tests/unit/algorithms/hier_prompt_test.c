/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/hier_prompt.h"

#include <criterion/criterion.h>
#include <string.h>

static bool finds_out(const struct wh_algo *algo, uint32_t n, uint32_t root)
{
    bool out = false;
    const struct wh_problem problem = {algo->coll, 0, n, root};
    cr_assert_eq(wh_algo_finds_out(algo, &problem, &out), WHORL_OK);
    return out;
}

static bool named(enum wh_coll coll, const char *name, uint32_t n, uint32_t root)
{
    const struct wh_algo *algo = wh_algo_find(coll, name);
    cr_assert_not_null(algo, "%s", name);
    return finds_out(algo, n, root);
}

Test(hier_prompt, two_ranks_have_nobody_else_to_wait_for)
{
    for (size_t i = 0; i < wh_nalgos; i++) {
        enum wh_coll coll = wh_algos[i]->coll;
        for (uint32_t root = 0; root < 2 && !wh_coll_is_p2p(coll); root++) {
            cr_expect(finds_out(wh_algos[i], 2, wh_coll_has_root(coll) ? root : 0), "%s %s",
                      wh_coll_str(coll), wh_algos[i]->name);
        }
    }
    cr_expect(finds_out(&wh_algo_alltoall_pairwise, 2, 0));
}

Test(hier_prompt, rings_begin_with_their_neighbours)
{
    for (uint32_t n = 2; n <= WH_PROMPT_RANKS_MAX; n++) {
        cr_expect(named(WH_COLL_ALL_REDUCE, "ring", n, 0), "%u", n);
        cr_expect(named(WH_COLL_ALL_GATHER, "ring", n, 0), "%u", n);
        cr_expect(named(WH_COLL_REDUCE_SCATTER, "ring", n, 0), "%u", n);
        cr_expect(named(WH_COLL_BARRIER, "dissemination", n, 0), "%u", n);
    }
    cr_expect(named(WH_COLL_ALL_REDUCE, "doubling", 4, 0));
}

/* Without messages in front they would wait for others first. */
Test(hier_prompt, chains_and_trees_begin_with_their_neighbours)
{
    for (uint32_t n = 3; n <= WH_PROMPT_RANKS_MAX; n++) {
        cr_expect(named(WH_COLL_BROADCAST, "chain", n, 1), "%u", n);
        cr_expect(named(WH_COLL_REDUCE, "chain", n, 0), "%u", n);
        cr_expect(named(WH_COLL_ALL_REDUCE, "tree", n, 0), "%u", n);
        cr_expect(named(WH_COLL_ALL_REDUCE, "doubling", n, 0), "%u", n);
    }
}

Test(hier_prompt, nobody_looks_at_very_many_ranks)
{
    cr_expect_not(named(WH_COLL_ALL_GATHER, "ring", WH_PROMPT_RANKS_MAX + 1, 0));
}

/*
 * What one rank does while nothing arrives, every FIFO having room for one message: which links it
 * has sent on, and from which it waits for a message.
 */
struct alone {
    bool sent[256], awaits[256];
};

static void run_alone(const struct wh_sched *sched, struct alone *a)
{
    memset(a, 0, sizeof(*a));
    cr_assert_leq(sched->nlinks, 256);
    for (uint32_t i = 0; i < sched->nlanes; i++) {
        for (uint32_t s = 0; s < sched->lanes[i].nsteps; s++) {
            const struct wh_step *step = &sched->steps[sched->lanes[i].first_step + s];
            if (step->flags & WH_RECV) {
                a->awaits[step->recv_link] = true;
                break;
            }
            if ((step->flags & WH_SEND) && a->sent[step->send_link]) {
                break; /* full */
            }
            if (step->flags & WH_SEND) {
                a->sent[step->send_link] = true;
            }
        }
    }
}

/* Whatever is said to be prompt sends to the next rank and waits for the one before while nothing
 * else happens. */
static void check_alone(const struct wh_sched *sched, const char *name)
{
    struct alone a;
    run_alone(sched, &a);
    uint32_t n = sched->nranks, ngood = 0;
    for (uint32_t i = 0; i < sched->nlinks; i++) {
        const struct wh_sched_link *link = &sched->links[i];
        uint32_t peer = (sched->rank + (link->is_send ? 1 : n - 1)) % n;
        if (link->channel == 0 && link->peer == peer) {
            ngood += link->is_send ? a.sent[i] : a.awaits[i];
        }
    }
    cr_expect_eq(ngood, 2, "%s %s of %u ranks, rank %u, root %u", wh_coll_str(sched->coll), name, n,
                 sched->rank, sched->root);
}

/* Does the rank send to every other one before it waits for anything? */
static bool sends_to_all(const struct wh_sched *sched)
{
    struct alone a;
    uint32_t nreached = 0;
    run_alone(sched, &a);
    for (uint32_t i = 0; i < sched->nlinks; i++) {
        nreached += sched->links[i].is_send && a.sent[i];
    }
    return nreached == sched->nranks - 1;
}

/* Ranks that made different calls are compared: see src/schedule/sched.h, "Entry". */
Test(hier_prompt, every_schedule_is_prompt_or_tells_everyone_first)
{
    for (size_t i = 0; i < wh_nalgos; i++) {
        enum wh_coll coll = wh_algos[i]->coll;
        for (uint32_t n = 2; n <= WH_PROMPT_RANKS_MAX && !wh_coll_is_p2p(coll); n++) {
            for (uint32_t root = 0; root < (wh_coll_has_root(coll) ? n : 1); root++) {
                for (uint32_t r = 0; !finds_out(wh_algos[i], n, root) && r < n; r++) {
                    const struct wh_problem problem = {coll, r, n, root};
                    struct wh_sched *sched;
                    cr_assert_eq(wh_algo_build(wh_algos[i], &problem, &sched), WHORL_OK);
                    cr_expect(sends_to_all(sched), "%s %s of %u ranks, rank %u, root %u",
                              wh_coll_str(coll), wh_algos[i]->name, n, r, root);
                    wh_sched_destroy(sched);
                }
            }
        }
    }
}

/* Are the schedules of all ranks prompt? Else they climb. */
static bool is_prompt(const struct wh_algo *algo, uint32_t n, uint32_t root)
{
    bool all = true;
    for (uint32_t r = 0; r < n && all; r++) {
        const struct wh_problem problem = {algo->coll, r, n, root};
        struct wh_sched *sched;
        cr_assert_eq(wh_algo_build(algo, &problem, &sched), WHORL_OK);
        all = wh_sched_is_prompt(sched);
        wh_sched_destroy(sched);
    }
    return all;
}

Test(hier_prompt, what_is_prompt_needs_nobody)
{
    uint32_t nfound = 0;
    for (size_t i = 0; i < wh_nalgos; i++) {
        enum wh_coll coll = wh_algos[i]->coll;
        for (uint32_t n = 2; n <= WH_PROMPT_RANKS_MAX && !wh_coll_is_p2p(coll); n++) {
            for (uint32_t root = 0; root < (wh_coll_has_root(coll) ? n : 1); root++) {
                for (uint32_t r = 0; is_prompt(wh_algos[i], n, root) && r < n; r++) {
                    const struct wh_problem problem = {coll, r, n, root};
                    struct wh_sched *sched;
                    cr_assert_eq(wh_algo_build(wh_algos[i], &problem, &sched), WHORL_OK);
                    check_alone(sched, wh_algos[i]->name);
                    wh_sched_destroy(sched);
                    nfound++;
                }
            }
        }
    }
    cr_expect_gt(nfound, 100);
}
