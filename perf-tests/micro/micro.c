/* SPDX-License-Identifier: Apache-2.0 */
#include "micro/micro.h"

#include "common/stats.h"
#include "common/timing.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASES_MAX = 8, SAMPLES_MAX = 1000, SAMPLE_NS = 500000 };

static size_t nsamples = 31;

void micro_args(int argc, char **argv, const char *what)
{
    for (int i = 1; i < argc; i++) {
        bool help = strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0;
        if (!help && strcmp(argv[i], "-n") == 0 && i + 1 < argc) {
            nsamples = strtoul(argv[++i], NULL, 10);
            if (nsamples >= 1 && nsamples <= SAMPLES_MAX) {
                continue;
            }
        }
        fprintf(help ? stdout : stderr,
                "%s: %s\nusage: %s [-n samples per case, 1 to %d, default 31]\n", argv[0], what,
                argv[0], SAMPLES_MAX);
        exit(help ? 0 : 2);
    }
}

void micro_header(void)
{
    printf("# median of %zu samples, cases of a block in turns; ratio: to the first of its block\n",
           nsamples);
    printf("%-40s %12s %9s %8s\n", "# case", "ns", "GB/s", "ratio");
}

static uint64_t time_units(const struct micro_case *c, size_t nunits)
{
    uint64_t start = perf_now_ns();
    for (size_t i = 0; i < nunits; i++) {
        c->run(c->ctx);
    }
    return perf_now_ns() - start;
}

/* How many units make a sample that the clock can see; also warms up. */
static size_t units_for(const struct micro_case *c)
{
    size_t nunits = 1;
    while (time_units(c, nunits) < SAMPLE_NS && nunits < (SIZE_MAX >> 1)) {
        nunits *= 2;
    }
    return nunits;
}

void micro_compare(const struct micro_case *cases, size_t ncases)
{
    static double ns[CASES_MAX][SAMPLES_MAX], ratios[CASES_MAX][SAMPLES_MAX];
    size_t nunits[CASES_MAX];
    ncases = ncases < CASES_MAX ? ncases : CASES_MAX;
    for (size_t c = 0; c < ncases; c++) {
        nunits[c] = units_for(&cases[c]);
    }
    for (size_t s = 0; s < nsamples; s++) {
        for (size_t c = 0; c < ncases; c++) {
            ns[c][s] = (double)time_units(&cases[c], nunits[c]) / (double)nunits[c];
            ratios[c][s] = ns[c][s] / ns[0][s];
        }
    }
    for (size_t c = 0; c < ncases; c++) {
        struct perf_stats time, ratio;
        perf_stats_compute(ns[c], nsamples, &time);
        perf_stats_compute(ratios[c], nsamples, &ratio);
        char rate[32] = "-";
        if (cases[c].nbytes > 0) {
            snprintf(rate, sizeof(rate), "%.2f", (double)cases[c].nbytes / time.p50);
        }
        printf("%-40s %12.1f %9s %8.2f\n", cases[c].name, time.p50, rate, ratio.p50);
    }
    printf("\n");
}
