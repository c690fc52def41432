/* SPDX-License-Identifier: Apache-2.0 */
/* The choice: the cheapest that is allowed and fits, and the same one on every rank. */
#include "tuner/select.h"

#include <criterion/criterion.h>

static const struct wh_algo_mask everything = {.allowed = UINT64_MAX};

static const struct wh_fabric fabrics[] = {
    {.message_ns = 300,
     .byte_ns = 0.2,
     .reduce_byte_ns = 0.1,
     .slot_nbytes = 131072,
     .ranks_per_core = 1},
    {.message_ns = 300,
     .byte_ns = 0.2,
     .reduce_byte_ns = 0.1,
     .slot_nbytes = 512,
     .ranks_per_core = 9},
    {.message_ns = 1, .byte_ns = 10, .reduce_byte_ns = 0, .slot_nbytes = 4096, .ranks_per_core = 1},
    {.message_ns = 0, .byte_ns = 0, .reduce_byte_ns = 0, .slot_nbytes = 4096, .ranks_per_core = 1},
};

static const size_t sizes[] = {
    0, 1, 4, 1000, 4096, 65536, 1000000, (size_t)1 << 30, (size_t)1 << 40};

/* all_to_all and what comes behind it have no schedules. */
static bool has_schedules(enum wh_coll coll)
{
    return coll < WH_COLL_ALL_TO_ALL || wh_coll_is_p2p(coll);
}

static bool fits(const struct wh_algo *algo, const struct wh_problem *problem)
{
    return algo->coll == problem->coll && (algo->fits == NULL || algo->fits(problem));
}

Test(select, nothing_allowed_that_fits_is_cheaper)
{
    for (int coll = 0; coll < WH_NCOLLS; coll++) {
        for (uint32_t n = 1; n <= 33; n++) {
            struct wh_problem problem = {(enum wh_coll)coll, 0, n, n / 2};
            if ((wh_coll_is_p2p(problem.coll) && n == 1) || !has_schedules(problem.coll)) {
                continue;
            }
            for (size_t i = 0; i < ARRAY_LEN(fabrics) * ARRAY_LEN(sizes); i++) {
                const struct wh_fabric *fabric = &fabrics[i % ARRAY_LEN(fabrics)];
                size_t nbytes = sizes[i / ARRAY_LEN(fabrics)];
                const struct wh_algo *best = wh_tuner_select(&problem, nbytes, fabric, &everything);
                cr_assert_not_null(best, "%s of %u ranks", wh_coll_str(problem.coll), n);
                cr_assert(fits(best, &problem));
                double best_ns = best->cost_ns(&problem, fabric, nbytes);
                cr_assert(best_ns >= 0 && best_ns < 1e30, "%s %f", best->name, best_ns);
                for (size_t a = 0; a < wh_nalgos; a++) {
                    if (fits(wh_algos[a], &problem)) {
                        cr_assert_geq(wh_algos[a]->cost_ns(&problem, fabric, nbytes), best_ns);
                    }
                }
            }
        }
    }
}

Test(select, every_rank_comes_to_the_same_choice)
{
    for (int coll = 0; coll < WH_COLL_SEND; coll++) {
        for (uint32_t n = 1; n <= 20; n++) {
            for (size_t i = 0; i < ARRAY_LEN(fabrics) * ARRAY_LEN(sizes); i++) {
                const struct wh_fabric *fabric = &fabrics[i % ARRAY_LEN(fabrics)];
                size_t nbytes = sizes[i / ARRAY_LEN(fabrics)];
                struct wh_problem problem = {(enum wh_coll)coll, 0, n, n - 1};
                const struct wh_algo *first =
                    wh_tuner_select(&problem, nbytes, fabric, &everything);
                for (problem.rank = 1; problem.rank < n; problem.rank++) {
                    cr_assert_eq(wh_tuner_select(&problem, nbytes, fabric, &everything), first,
                                 "%s, rank %u of %u, %zu bytes", wh_coll_str(problem.coll),
                                 problem.rank, n, nbytes);
                }
            }
        }
    }
}

Test(select, only_what_is_allowed_is_chosen)
{
    struct wh_problem problem = {WH_COLL_ALL_REDUCE, 0, 8, 0};
    for (size_t a = 0; a < wh_nalgos; a++) {
        struct wh_algo_mask one = {.allowed = UINT64_C(1) << a};
        const struct wh_algo *got = wh_tuner_select(&problem, 4096, &fabrics[0], &one);
        cr_expect_eq(got, fits(wh_algos[a], &problem) ? wh_algos[a] : NULL, "%s",
                     wh_algos[a]->name);
    }
    struct wh_algo_mask none = {0};
    cr_expect_null(wh_tuner_select(&problem, 4096, &fabrics[0], &none));
}

Test(select, collectives_without_schedules_get_none)
{
    for (int coll = WH_COLL_ALL_TO_ALL; coll < WH_COLL_SEND; coll++) {
        struct wh_problem problem = {(enum wh_coll)coll, 0, 8, 1};
        cr_expect_null(wh_tuner_select(&problem, 4096, &fabrics[0], &everything), "%s",
                       wh_coll_str(problem.coll));
    }
}

Test(select, of_equal_costs_the_earlier_row_wins)
{
    /* Nothing costs anything here. */
    for (int coll = 0; coll < WH_NCOLLS; coll++) {
        struct wh_problem problem = {(enum wh_coll)coll, 0, 8, 1};
        if (!has_schedules(problem.coll)) {
            continue;
        }
        size_t a = 0;
        while (a < wh_nalgos && !fits(wh_algos[a], &problem)) {
            a++;
        }
        cr_assert_lt(a, wh_nalgos);
        cr_expect_eq(wh_tuner_select(&problem, 1000, &fabrics[3], &everything), wh_algos[a], "%s",
                     wh_coll_str(problem.coll));
    }
}

Test(select, small_and_large_vectors_take_different_ways)
{
    struct wh_problem problem = {WH_COLL_ALL_REDUCE, 0, 8, 0};
    const struct wh_algo *small = wh_tuner_select(&problem, 8, &fabrics[0], &everything);
    const struct wh_algo *large =
        wh_tuner_select(&problem, (size_t)1 << 28, &fabrics[0], &everything);
    cr_expect_neq(small, large);
}

Test(select, what_fills_a_network_for_long_goes_round_in_a_ring)
{
    struct wh_problem problem = {WH_COLL_ALL_REDUCE, 0, 4, 0};
    struct wh_fabric network = wh_fabric_network(1, 128 << 10);
    const struct wh_algo *small = wh_tuner_select(&problem, 64 << 10, &network, &everything);
    const struct wh_algo *large = wh_tuner_select(&problem, 64 << 20, &network, &everything);
    cr_expect_str_neq(small->name, "ring");
    cr_expect_str_eq(large->name, "ring");
}

Test(select, a_fabric_is_as_crowded_as_it_is_told)
{
    struct wh_fabric fabric = wh_fabric_shared_memory(3, 1000);
    cr_expect_eq(fabric.ranks_per_core, 3);
    cr_expect_eq(fabric.slot_nbytes, 1000);
    cr_expect(fabric.message_ns > 0 && fabric.byte_ns > 0 && fabric.reduce_byte_ns > 0);
}

Test(select, the_registry_fits_into_a_mask)
{
    cr_expect_leq(wh_nalgos, 64);
}
