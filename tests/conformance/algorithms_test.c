/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every algorithm of the registry against the checker: every rank count up to 64 with every root,
 * and a sample up to 1024.
 *
 * An algorithm that does not fit a problem says so with fits(); none of the collectives' does so
 * far. Send and recv are checked as a pair, by their unit tests.
 */
#include "base/macros.h"
#include "harness/sched_suite.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

/* Under a sanitizer, or not optimised, everything takes many times as long. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
enum { NRANKS_MAX = 17 };
static const uint32_t sample[] = {64};
#else
enum { NRANKS_MAX = 64 };
static const uint32_t sample[] = {65, 96, 100, 127, 128, 129, 255, 257, 512, 1000, 1024};
#endif

enum {
    NALGOS_MAX = 256,
    NRANKS_ONE_CHECK = 257, /* from here on one check each; they take seconds */
};

static struct criterion_test_params every_algo(void)
{
    static size_t indices[NALGOS_MAX];
    cr_assert_leq(wh_nalgos, (size_t)NALGOS_MAX);

    size_t nindices = 0;
    for (size_t i = 0; i < wh_nalgos; i++) {
        if (!wh_coll_is_p2p(wh_algos[i]->coll)) {
            indices[nindices++] = i;
        }
    }
    return cr_make_param_array(size_t, indices, nindices);
}

static void check_all(const struct wh_algo *algo, uint32_t nranks, uint32_t root,
                      const struct wh_check_options *options, size_t noptions)
{
    struct sched_suite *suite = sched_suite_create(algo, nranks, root);
    for (size_t i = 0; i < noptions; i++) {
        sched_suite_check(suite, &options[i]);
    }
    sched_suite_destroy(suite);
}

/* The first, the last, and one in between. */
static void check_some_roots(const struct wh_algo *algo, uint32_t nranks,
                             const struct wh_check_options *options, size_t noptions)
{
    check_all(algo, nranks, 0, options, noptions);
    if (sched_suite_has_root(algo->coll) && nranks > 1) {
        check_all(algo, nranks, nranks - 1, options, noptions);
    }
    if (sched_suite_has_root(algo->coll) && nranks > 2) {
        check_all(algo, nranks, nranks / 3, options, noptions);
    }
}

ParameterizedTestParameters(algorithms, every_rank_count_and_root_holds)
{
    return every_algo();
}

ParameterizedTest(size_t *index, algorithms, every_rank_count_and_root_holds)
{
    static const struct wh_check_options options[] = {
        {.fifo_slots = 1, .npasses = 1, .in_place = false},
        {.fifo_slots = 1, .npasses = 1, .in_place = true},
    };
    const struct wh_algo *algo = wh_algos[*index];

    for (uint32_t nranks = 1; nranks <= NRANKS_MAX; nranks++) {
        const uint32_t nroots = sched_suite_has_root(algo->coll) ? nranks : 1;
        for (uint32_t root = 0; root < nroots; root++) {
            check_all(algo, nranks, root, options, ARRAY_LEN(options));
        }
    }
}

ParameterizedTestParameters(algorithms, passes_links_and_orders_do_not_matter)
{
    return every_algo();
}

ParameterizedTest(size_t *index, algorithms, passes_links_and_orders_do_not_matter)
{
    /* Full links keep lanes in step; with roomy ones a lane can overtake another of its rank. */
    static const struct wh_check_options options[] = {
        {.fifo_slots = 1, .npasses = 2, .in_place = true, .order_seed = 0},
        {.fifo_slots = 1, .npasses = 2, .in_place = false, .order_seed = 1},
        {.fifo_slots = 2, .npasses = 2, .in_place = false, .order_seed = 0},
        {.fifo_slots = 2, .npasses = 2, .in_place = true, .order_seed = 2},
        {.fifo_slots = 16, .npasses = 3, .in_place = true, .order_seed = 3},
        {.fifo_slots = 16, .npasses = 2, .in_place = true, .order_seed = 4},
        {.fifo_slots = 16, .npasses = 2, .in_place = false, .order_seed = 5},
    };

    for (uint32_t nranks = 1; nranks <= NRANKS_MAX; nranks++) {
        check_some_roots(wh_algos[*index], nranks, options, ARRAY_LEN(options));
    }
}

ParameterizedTestParameters(algorithms, large_rank_counts_hold)
{
    return every_algo();
}

ParameterizedTest(size_t *index, algorithms, large_rank_counts_hold)
{
    static const struct wh_check_options options[] = {
        {.fifo_slots = 1, .npasses = 1, .in_place = true},
        {.fifo_slots = 1, .npasses = 2, .in_place = false, .order_seed = 1},
    };

    for (size_t i = 0; i < ARRAY_LEN(sample); i++) {
        const bool is_huge = sample[i] >= NRANKS_ONE_CHECK;
        check_some_roots(wh_algos[*index], sample[i], options, is_huge ? 1 : ARRAY_LEN(options));
    }
}
