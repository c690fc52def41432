/* SPDX-License-Identifier: Apache-2.0 */
/* The table of algorithms, made from the lines of CMakeLists.txt, and how a schedule is built. */
#include "algorithms/algo.h"
#include "base/log.h"

#include <assert.h>
#include <strings.h>

#define ALGO(name) extern const struct wh_algo wh_algo_##name;
#include "algorithms/algorithms.def"
#undef ALGO

const struct wh_algo *const wh_algos[] = {
#define ALGO(name) &wh_algo_##name,
#include "algorithms/algorithms.def"
#undef ALGO
};

const size_t wh_nalgos = ARRAY_LEN(wh_algos);

const struct wh_algo *wh_algo_find(enum wh_coll coll, const char *name)
{
    for (size_t i = 0; i < wh_nalgos; i++) {
        if (wh_algos[i]->coll == coll && strcasecmp(wh_algos[i]->name, name) == 0) {
            return wh_algos[i];
        }
    }
    return NULL;
}

/* One rank has nobody to talk to: the same few steps whatever the algorithm. */
static void build_alone(const struct wh_problem *problem, struct wh_builder *b)
{
    if (problem->coll == WH_COLL_BARRIER) {
        return;
    }
    wh_build_lane(b, 0);
    if (!wh_coll_reduces(problem->coll)) {
        wh_build_copy(b, WH_INPUT, WH_OUTPUT, 0, 1);
        return;
    }
    wh_build_step(b, &(struct wh_move){
                         .flags = WH_STORE | WH_FINISH,
                         .local = WH_INPUT,
                         .store = WH_OUTPUT,
                         .nchunks = 1,
                     });
}

whorl_result_t wh_algo_build(const struct wh_algo *algo, const struct wh_problem *problem,
                             struct wh_sched **sched_out)
{
    assert(algo->coll == problem->coll);
    assert(problem->rank < problem->nranks && problem->root < problem->nranks);

    if (algo->fits != NULL && !algo->fits(problem)) {
        return wh_fail(WHORL_E_UNSUPPORTED, WH_SUBSYS_TUNING,
                       "%s by %s does not work for rank %u of %u with root %u",
                       wh_coll_str(problem->coll), algo->name, problem->rank, problem->nranks,
                       problem->root);
    }

    const bool alone = problem->nranks == 1;
    struct wh_builder *b =
        wh_builder_create(problem, algo->name, alone ? 1 : algo->nchunks(problem));
    if (alone) {
        build_alone(problem, b);
    } else {
        algo->build(problem, b);
    }
    return wh_builder_seal(b, sched_out);
}
