/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/compose_suite.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { NRANKS_MAX = 256 };

struct wh_hosts *compose_suite_hosts(const char *letters)
{
    uint64_t keys[NRANKS_MAX];
    uint32_t nranks = (uint32_t)strlen(letters);
    cr_assert_leq(nranks, NRANKS_MAX);
    for (uint32_t r = 0; r < nranks; r++) {
        keys[r] = (uint8_t)letters[r];
    }
    struct wh_hosts *hosts;
    cr_assert_eq(wh_hosts_create(keys, nranks, &hosts), WHORL_OK);
    return hosts;
}

const struct wh_hier_algo *compose_suite_algo(enum wh_coll coll, const char *name)
{
    for (size_t i = 0; i < wh_nhier_algos; i++) {
        if (wh_hier_algos[i]->coll == coll && strcmp(wh_hier_algos[i]->name, name) == 0) {
            return wh_hier_algos[i];
        }
    }
    cr_assert_fail("no row %s for %s", name, wh_coll_str(coll));
    return NULL;
}

struct compose_suite *compose_suite_create(const struct wh_hier_algo *algo, const char *letters,
                                           uint32_t root)
{
    struct compose_suite *suite = calloc(1, sizeof(*suite));
    cr_assert_not_null(suite);
    suite->hosts = compose_suite_hosts(letters);
    suite->compositions = calloc(suite->hosts->nranks, sizeof(struct wh_composition *));
    cr_assert_not_null(suite->compositions);
    for (uint32_t r = 0; r < suite->hosts->nranks; r++) {
        const struct wh_compose_problem problem = {algo->coll, r, root, suite->hosts};
        cr_assert_eq(algo->build(&problem, &suite->compositions[r]), WHORL_OK);
    }
    return suite;
}

void compose_suite_destroy(struct compose_suite *suite)
{
    for (uint32_t r = 0; r < suite->hosts->nranks; r++) {
        wh_composition_destroy(suite->compositions[r]);
    }
    wh_hosts_destroy(suite->hosts);
    free(suite->compositions);
    free(suite);
}

struct wh_phase *compose_suite_phase(const struct compose_suite *suite, uint32_t rank, uint32_t i)
{
    cr_assert_lt(i, suite->compositions[rank]->nphases);
    return &suite->compositions[rank]->phases[i];
}

struct wh_cells *compose_suite_src(const struct compose_suite *suite, uint32_t rank, uint32_t i)
{
    const struct wh_composition *k = suite->compositions[rank];
    return &k->cells[compose_suite_phase(suite, rank, i)->src - k->cells];
}

struct wh_cells *compose_suite_dst(const struct compose_suite *suite, uint32_t rank, uint32_t i)
{
    const struct wh_composition *k = suite->compositions[rank];
    return &k->cells[compose_suite_phase(suite, rank, i)->dst - k->cells];
}

void compose_suite_expect(struct compose_suite *suite, bool in_place, const char *fault)
{
    char why[256] = "";
    whorl_result_t rc =
        wh_compose_check(suite->compositions, suite->hosts, in_place, why, sizeof(why));
    cr_expect_eq(rc, fault != NULL ? WHORL_E_INTERNAL : WHORL_OK);
    cr_expect_str_eq(why, fault != NULL ? fault : "");
    compose_suite_destroy(suite);
}

/* Every row, in place and not, with every root up to 64 ranks and a few of more. */
static void check_rows(enum wh_coll coll, const struct wh_hosts *hosts, size_t *nchecked)
{
    struct wh_composition *compositions[512];
    uint32_t nroots = wh_coll_has_root(coll) ? hosts->nranks : 1;
    uint32_t stride = hosts->nranks > 64 ? 61 : 1;
    for (size_t i = 0; i < wh_nhier_algos; i++) {
        const struct wh_hier_algo *algo = wh_hier_algos[i];
        if (algo->coll != coll || !wh_hier_algo_fits(algo, hosts)) {
            continue;
        }
        for (uint32_t root = 0; root < nroots; root += stride) {
            for (uint32_t r = 0; r < hosts->nranks; r++) {
                const struct wh_compose_problem problem = {coll, r, root, hosts};
                cr_assert_eq(algo->build(&problem, &compositions[r]), WHORL_OK);
            }
            for (int in_place = 0; in_place < 2; in_place++) {
                char why[256] = "";
                cr_assert_eq(
                    wh_compose_check(compositions, hosts, in_place == 1, why, sizeof(why)),
                    WHORL_OK, "%s by %s, %u ranks of %u hosts, root %u, %s place: %s",
                    wh_coll_str(coll), algo->name, hosts->nranks, hosts->nhosts, root,
                    in_place ? "in" : "out of", why);
            }
            for (uint32_t r = 0; r < hosts->nranks; r++) {
                wh_composition_destroy(compositions[r]);
            }
            ++*nchecked;
        }
    }
}

static void check_keys(enum wh_coll coll, const uint64_t *keys, uint32_t nranks, size_t *nchecked)
{
    struct wh_hosts *hosts;
    cr_assert_eq(wh_hosts_create(keys, nranks, &hosts), WHORL_OK);
    check_rows(coll, hosts, nchecked);
    wh_hosts_destroy(hosts);
}

static void check_even(enum wh_coll coll, uint32_t nhosts, uint32_t nlocal, size_t *nchecked)
{
    uint64_t keys[512];
    for (uint32_t r = 0; r < nhosts * nlocal; r++) {
        keys[r] = r / nlocal;
    }
    check_keys(coll, keys, nhosts * nlocal, nchecked);
    for (uint32_t r = 0; r < nhosts * nlocal; r++) {
        keys[r] = r % nhosts;
    }
    check_keys(coll, keys, nhosts * nlocal, nchecked);
}

/* Hosts of 1 to 4 ranks: number i in base 4 says how many. */
static void check_uneven(enum wh_coll coll, uint32_t i, size_t *nchecked)
{
    uint64_t keys[64];
    uint32_t nranks = 0;
    for (uint64_t host = 1; i > 0; host++, i /= 4) {
        for (uint32_t l = 0; l <= i % 4; l++) {
            keys[nranks++] = host;
        }
    }
    check_keys(coll, keys, nranks, nchecked);
    for (uint32_t r = 1; r < nranks; r += 2) { /* the first and the last change places, ... */
        uint64_t key = keys[r];
        keys[r] = keys[nranks - r];
        keys[nranks - r] = key;
    }
    check_keys(coll, keys, nranks, nchecked);
}

void compose_suite_check_all(enum wh_coll coll)
{
    size_t nchecked = 0;
    for (uint32_t nhosts = 1; nhosts <= 8; nhosts++) {
        for (uint32_t nlocal = 1; nlocal <= 8; nlocal++) {
            check_even(coll, nhosts, nlocal, &nchecked);
        }
    }
    for (uint32_t i = 4; i < 1024; i += 7) {
        check_uneven(coll, i, &nchecked);
    }
    check_even(coll, 64, 1, &nchecked);
    check_even(coll, 64, 4, &nchecked);
    cr_assert_gt(nchecked, 30);
}
