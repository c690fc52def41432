/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schedules of all ranks of one collective, to be checked and counted.
 *
 * Failures are Criterion assertions: they name the algorithm, the rank count, the root and what the
 * checker says.
 */
#ifndef WH_TESTS_HARNESS_SCHED_SUITE_H
#define WH_TESTS_HARNESS_SCHED_SUITE_H

#include "algorithms/algo.h"
#include "schedule/check.h"

/** One collective. For WH_COLL_SEND and WH_COLL_RECV: rank 0 sends, rank 1 receives. */
struct sched_suite {
    const struct wh_algo *algo;
    uint32_t nranks, root;
    struct wh_sched **scheds; /* nranks */
};

/** What one rank sends in one pass. */
struct sched_suite_sent {
    uint32_t nmessages; /* with data */
    uint32_t nchunks;   /* in these */
    uint32_t nsignals;  /* messages without data */
};

/** Builds the schedules. Given back with sched_suite_destroy(). */
struct sched_suite *sched_suite_create(const struct wh_algo *algo, uint32_t nranks, uint32_t root);
void sched_suite_destroy(struct sched_suite *suite);

/** The checker finds no fault, and all ranks cut passes alike. */
void sched_suite_check(const struct sched_suite *suite, const struct wh_check_options *options);

/** The same with the smallest links, two passes and two orders, in place and not. */
void sched_suite_check_small(const struct sched_suite *suite);

/** sched_suite_check_small() for every rank count from 1 to nranks_max and every root. */
void sched_suite_check_up_to(const struct wh_algo *algo, uint32_t nranks_max);

struct sched_suite_sent sched_suite_sent_by(const struct sched_suite *suite, uint32_t rank);

/** The i-th step of rank that sends data, in the order of lanes; fails if there are not so many. */
const struct wh_step *sched_suite_nth_send(const struct sched_suite *suite, uint32_t rank,
                                           uint32_t i);

/** Whom a step sends to. */
uint32_t sched_suite_receiver(const struct sched_suite *suite, uint32_t rank,
                              const struct wh_step *step);

/** Does the collective have a root? */
bool sched_suite_has_root(enum wh_coll coll);

/** The algorithm's cost for nbytes on an idle fabric whose message, byte and reduced byte cost
 *  1000, 1 and 0.5 ns, with slots of 100 bytes; as rank 0 sees it. */
double sched_suite_cost_ns(const struct wh_algo *algo, uint32_t nranks, size_t nbytes);

#endif
