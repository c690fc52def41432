/* SPDX-License-Identifier: Apache-2.0 */
/* How long building and sealing one rank's schedule takes, for every algorithm and some rank
 * counts. */
#include "algorithms/algo.h"
#include "micro/micro.h"

#include <stdio.h>
#include <stdlib.h>

struct job {
    const struct wh_algo *algo;
    struct wh_problem problem;
};

static void run_build(void *ctx)
{
    const struct job *job = ctx;
    struct wh_sched *sched;
    if (wh_algo_build(job->algo, &job->problem, &sched) != WHORL_OK) {
        fprintf(stderr, "%s %s does not build for %u ranks\n", wh_coll_str(job->algo->coll),
                job->algo->name, job->problem.nranks);
        exit(1);
    }
    wh_sched_destroy(sched);
}

int main(int argc, char **argv)
{
    micro_args(argc, argv, "building one rank's schedule; the ratio is to 8 ranks");
    static const uint32_t nranks[] = {8, 64, 1024};
    micro_header();
    for (size_t i = 0; i < wh_nalgos; i++) {
        struct job jobs[ARRAY_LEN(nranks)];
        struct micro_case cases[ARRAY_LEN(nranks)];
        char names[ARRAY_LEN(nranks)][64];
        for (size_t n = 0; n < ARRAY_LEN(nranks); n++) {
            jobs[n] = (struct job){wh_algos[i], {wh_algos[i]->coll, nranks[n] / 2, nranks[n], 0}};
            snprintf(names[n], sizeof(names[n]), "%s %s, %u ranks", wh_coll_str(wh_algos[i]->coll),
                     wh_algos[i]->name, nranks[n]);
            cases[n] = (struct micro_case){names[n], run_build, &jobs[n], 0};
        }
        micro_compare(cases, ARRAY_LEN(nranks));
    }
    return 0;
}
