/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/sched_suite.h"

#include <criterion/criterion.h>
#include <stdlib.h>

bool sched_suite_has_root(enum wh_coll coll)
{
    return coll == WH_COLL_BROADCAST || coll == WH_COLL_REDUCE;
}

static struct wh_problem problem_of(const struct wh_algo *algo, uint32_t nranks, uint32_t root,
                                    uint32_t rank)
{
    struct wh_problem problem = {.coll = algo->coll, .rank = rank, .nranks = nranks, .root = root};
    if (wh_coll_is_p2p(algo->coll)) {
        problem.coll = rank == 0 ? WH_COLL_SEND : WH_COLL_RECV;
        problem.root = 1 - rank;
    }
    return problem;
}

struct sched_suite *sched_suite_create(const struct wh_algo *algo, uint32_t nranks, uint32_t root)
{
    struct sched_suite *suite = calloc(1, sizeof(*suite));
    cr_assert_not_null(suite);
    *suite = (struct sched_suite){.algo = algo, .nranks = nranks, .root = root};
    suite->scheds = calloc(nranks, sizeof(struct wh_sched *));
    cr_assert_not_null(suite->scheds);

    for (uint32_t rank = 0; rank < nranks; rank++) {
        const struct wh_problem problem = problem_of(algo, nranks, root, rank);
        const struct wh_algo *its_algo =
            problem.coll == algo->coll ? algo : wh_algo_find(problem.coll, algo->name);
        cr_assert_not_null(its_algo);
        whorl_result_t rc = wh_algo_build(its_algo, &problem, &suite->scheds[rank]);
        cr_assert_eq(rc, WHORL_OK, "%s by %s, %u ranks, root %u: rank %u has no schedule",
                     wh_coll_str(algo->coll), algo->name, nranks, root, rank);
    }
    return suite;
}

void sched_suite_destroy(struct sched_suite *suite)
{
    for (uint32_t rank = 0; rank < suite->nranks; rank++) {
        wh_sched_destroy(suite->scheds[rank]);
    }
    free(suite->scheds);
    free(suite);
}

void sched_suite_check(const struct sched_suite *suite, const struct wh_check_options *options)
{
    const struct wh_sched *first = suite->scheds[0];
    for (uint32_t rank = 1; rank < suite->nranks; rank++) {
        const struct wh_sched *sched = suite->scheds[rank];
        cr_assert(
            sched->nchunks == first->nchunks && sched->nchunks_per_step == first->nchunks_per_step,
            "%s by %s, %u ranks, root %u: rank %u cuts a pass into %u, %u a message; rank 0 "
            "into %u, %u",
            wh_coll_str(suite->algo->coll), suite->algo->name, suite->nranks, suite->root, rank,
            sched->nchunks, sched->nchunks_per_step, first->nchunks, first->nchunks_per_step);
    }

    char why[256] = "";
    whorl_result_t rc = wh_check(suite->scheds, suite->nranks, options, why, sizeof(why));
    cr_assert_eq(rc, WHORL_OK,
                 "%s by %s, %u ranks, root %u, fifo %u, %u passes, %s place, order %u: %s",
                 wh_coll_str(suite->algo->coll), suite->algo->name, suite->nranks, suite->root,
                 options->fifo_slots, options->npasses, options->in_place ? "in" : "out of",
                 options->order_seed, why);
}

void sched_suite_check_small(const struct sched_suite *suite)
{
    for (uint32_t i = 0; i < 4; i++) {
        const struct wh_check_options options = {
            .fifo_slots = 1, .npasses = 2, .in_place = i % 2 != 0, .order_seed = i / 2};
        sched_suite_check(suite, &options);
    }
}

void sched_suite_check_up_to(const struct wh_algo *algo, uint32_t nranks_max)
{
    for (uint32_t nranks = 1; nranks <= nranks_max; nranks++) {
        const uint32_t nroots = sched_suite_has_root(algo->coll) ? nranks : 1;
        for (uint32_t root = 0; root < nroots; root++) {
            struct sched_suite *suite = sched_suite_create(algo, nranks, root);
            sched_suite_check_small(suite);
            sched_suite_destroy(suite);
        }
    }
}

struct sched_suite_sent sched_suite_sent_by(const struct sched_suite *suite, uint32_t rank)
{
    const struct wh_sched *sched = suite->scheds[rank];
    struct sched_suite_sent sent = {0};
    for (uint32_t i = 0; i < sched->nsteps; i++) {
        const struct wh_step *step = &sched->steps[i];
        if ((step->flags & WH_SEND) && step->nchunks == 0) {
            sent.nsignals++;
        } else if (step->flags & WH_SEND) {
            sent.nmessages++;
            sent.nchunks += step->nchunks;
        }
    }
    return sent;
}

const struct wh_step *sched_suite_nth_send(const struct sched_suite *suite, uint32_t rank,
                                           uint32_t i)
{
    const struct wh_sched *sched = suite->scheds[rank];
    uint32_t nsends = 0;
    for (uint32_t s = 0; s < sched->nsteps; s++) {
        const struct wh_step *step = &sched->steps[s];
        if ((step->flags & WH_SEND) && step->nchunks > 0 && nsends++ == i) {
            return step;
        }
    }
    cr_assert(false, "rank %u sends %u messages, not %u", rank, nsends, i + 1);
    return NULL;
}

uint32_t sched_suite_receiver(const struct sched_suite *suite, uint32_t rank,
                              const struct wh_step *step)
{
    cr_assert(step->flags & WH_SEND);
    return suite->scheds[rank]->links[step->send_link].peer;
}

double sched_suite_cost_ns(const struct wh_algo *algo, uint32_t nranks, size_t nbytes)
{
    const struct wh_fabric fabric = {
        .message_ns = 1000,
        .byte_ns = 1,
        .reduce_byte_ns = 0.5,
        .slot_nbytes = 100,
        .ranks_per_core = 1,
    };
    const struct wh_problem problem = {.coll = algo->coll, .nranks = nranks};
    return algo->cost_ns(&problem, &fabric, nbytes);
}
