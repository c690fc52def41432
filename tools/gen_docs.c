/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the reference pages of docs/reference/ from the library's own tables. `make docs` runs it,
 * and a test fails when a page that is checked in differs from what this prints.
 */
#include "algorithms/algo.h"
#include "algorithms/hier.h"
#include "base/config.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int print_config(void)
{
    size_t nbytes = wh_config_print_docs(NULL, 0);
    char *text = malloc(nbytes + 1);
    if (text == NULL) {
        return 1;
    }
    wh_config_print_docs(text, nbytes + 1);
    printf("# Settings\n\nGenerated from `src/base/config.def` by `make docs`.\n\n%s", text);
    free(text);
    return 0;
}

static int print_results(void)
{
    printf("# Result codes\n\nGenerated from `include/whorl/result.def` by `make docs`. The whole "
           "story "
           "of a failure is `whorl_last_error()`.\n\n| name | value | meaning |\n|---|---|---|\n");
#define RESULT(name, value, text) printf("| `WHORL_%s` | %d | %s |\n", #name, value, text);
#include <whorl/result.def>
#undef RESULT
    return 0;
}

static int print_log(void)
{
    printf(
        "# Subsystems of the log\n\nGenerated from `src/base/subsys.def` by `make docs`; words for "
        "`WHORL_DEBUG_SUBSYS`.\n\n| name | about |\n|---|---|\n");
#define SUBSYS(name, bit, help) printf("| `%s` | %s |\n", #name, help);
#include "base/subsys.def"
#undef SUBSYS
    return 0;
}

static int print_algorithms(void)
{
    printf("# Algorithms\n\nGenerated from the registry of `src/algorithms/` by `make docs`. Names "
           "are what "
           "`WHORL_ALGO` takes. Messages and steps are those of one pass of the busiest of 8 "
           "ranks, the "
           "message that every schedule carries to its neighbour for checking calls included.\n\n"
           "| collective | name | lanes | steps | messages sent |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < wh_nalgos; i++) {
        uint32_t nlanes = 0, nsteps = 0, nsends = 0;
        for (uint32_t rank = 0; rank < 8; rank++) {
            struct wh_problem problem = {wh_algos[i]->coll, rank, 8, rank == 0 ? 1 : 0};
            struct wh_sched *sched;
            if (wh_algo_build(wh_algos[i], &problem, &sched) != WHORL_OK) {
                return 1;
            }
            uint32_t sends = 0;
            for (uint32_t s = 0; s < sched->nsteps; s++) {
                sends += (sched->steps[s].flags & WH_SEND) != 0;
            }
            nlanes = sched->nlanes > nlanes ? sched->nlanes : nlanes;
            nsteps = sched->nsteps > nsteps ? sched->nsteps : nsteps;
            nsends = sends > nsends ? sends : nsends;
            wh_sched_destroy(sched);
        }
        printf("| %s | `%s` | %u | %u | %u |\n", wh_coll_str(wh_algos[i]->coll), wh_algos[i]->name,
               nlanes, nsteps, nsends);
    }
    return 0;
}

/* What a composition does, phase by phase, on the busiest of the ranks of two hosts of four. */
static int print_composition(const struct wh_hier_algo *algo, const struct wh_hosts *hosts)
{
    static const char *const places[] = {
        [WH_PHASE_BEFORE] = "host", [WH_PHASE_ACROSS] = "rail", [WH_PHASE_AFTER] = "host"};
    /* Local rank 0 of the root's host has a part in everything. */
    const struct wh_compose_problem problem = {algo->coll, 0, 0, hosts};
    struct wh_composition *composition;
    if (algo->build(&problem, &composition) != WHORL_OK) {
        return 1;
    }
    printf("| %s | `%s` |", wh_coll_str(algo->coll), algo->name);
    for (uint32_t i = 0; i < composition->nphases; i++) {
        const struct wh_phase *phase = &composition->phases[i];
        printf("%s %s: %s", i > 0 ? ";" : "", places[phase->place], wh_coll_str(phase->coll));
    }
    printf(" |\n");
    wh_composition_destroy(composition);
    return 0;
}

static int print_compositions(void)
{
    static const uint64_t keys[] = {1, 1, 1, 1, 2, 2, 2, 2};
    struct wh_hosts *hosts;
    if (wh_hosts_create(keys, ARRAY_LEN(keys), &hosts) != WHORL_OK) {
        return 1;
    }
    printf("\n## Of several hosts\n\nHosts whose ranks share memory work together: the ranks of a "
           "host in shared memory (`arena`), and over a *rail*, one rank of each host, by one of "
           "the algorithms above. These names too are words for `WHORL_ALGO`. Phases are those of "
           "rank 0, which is the root, on two hosts of four ranks.\n\n"
           "| collective | name | phases |\n|---|---|---|\n");
    int failed = 0;
    for (size_t i = 0; i < wh_nhier_algos && failed == 0; i++) {
        failed = print_composition(wh_hier_algos[i], hosts);
    }
    wh_hosts_destroy(hosts);
    return failed;
}

static int print_algorithm_pages(void)
{
    int failed = print_algorithms();
    return failed != 0 ? failed : print_compositions();
}

static const struct {
    const char *name;
    int (*print)(void);
} pages[] = {
    {"config", print_config},
    {"results", print_results},
    {"log", print_log},
    {"algorithms", print_algorithm_pages},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < ARRAY_LEN(pages); i++) {
        if (strcmp(argv[1], pages[i].name) == 0) {
            return pages[i].print();
        }
    }
    fprintf(stderr, "usage: %s PAGE, where PAGE is one of:", argv[0]);
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        fprintf(stderr, " %s", pages[i].name);
    }
    fprintf(stderr, "\n");
    return 2;
}
