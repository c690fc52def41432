/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shrinking: the ranks that are left of a communicator, broken or not, agree who they are and make
 * a new one.
 *
 * The agreement is bootstrap's, over control connections that survive the communicator's failure.
 * The new communicator shares nothing with the old one: it has an id and a secret of its own, and
 * its connections are new, so what is still under way in the old one cannot reach it.
 */
#include "base/clock.h"
#include "base/log.h"
#include "comm/comm.h"
#include "comm/report.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* This rank's place among those that are left. */
static void find_place(const struct whorl_comm *comm, const bool *alive, struct wh_comm_args *args)
{
    for (uint32_t r = 0; r < comm->nranks; r++) {
        args->nranks += alive[r];
        args->rank += alive[r] && r < comm->rank;
    }
}

/* What the caller left open is as in the communicator that shrinks. */
static struct wh_comm_options options_for(const struct whorl_comm *comm,
                                          const struct wh_comm_options *wanted)
{
    struct wh_comm_options options = *wanted;
    if (options.init_timeout_ms == 0) {
        options.init_timeout_ms = comm->init_timeout_ms;
    }
    if (options.timeout_ms == 0) {
        options.timeout_ms = comm->timeout_ms;
    }
    return options;
}

static void log_place(const struct whorl_comm *comm, bool *alive, const struct wh_comm_args *args)
{
    char left_out[256];
    for (uint32_t r = 0; r < comm->nranks; r++) {
        alive[r] = !alive[r];
    }
    uint32_t n = wh_report_print_ranks(alive, comm->nranks, left_out, sizeof(left_out));
    wh_log(WH_LOG_INFO, WH_SUBSYS_INIT,
           "communicator%s%s of %u ranks shrinks to %u; left out: %s; rank %u becomes %u",
           comm->name[0] != '\0' ? " " : "", comm->name, comm->nranks, args->nranks,
           n > 0 ? left_out : "nobody", comm->rank, args->rank);
}

static whorl_result_t shrink(struct whorl_comm *comm, const uint32_t *excluded, uint32_t nexcluded,
                             bool *alive, struct wh_comm_args *args)
{
    whorl_result_t rc = wh_boot_regroup(comm->boot, excluded, nexcluded, alive, &args->id,
                                        wh_deadline_after_ms(args->options.init_timeout_ms));
    if (rc == WHORL_OK) {
        assert(alive[comm->rank]);
        find_place(comm, alive, args);
        log_place(comm, alive, args);
    }
    return rc;
}

whorl_result_t wh_comm_shrink(struct whorl_comm *comm, const int *excluded, size_t nexcluded,
                              const struct wh_comm_options *options,
                              struct whorl_comm **new_comm_out)
{
    int rank_before = wh_log_set_rank((int)comm->rank);
    wh_comm_drain(comm);
    struct wh_comm_args args = {.options = options_for(comm, options)};
    uint32_t *ranks = calloc(nexcluded > 0 ? nexcluded : 1, sizeof(*ranks));
    bool *alive = calloc(comm->nranks, sizeof(*alive));
    whorl_result_t rc;
    if (ranks == NULL || alive == NULL) {
        rc = wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory to shrink %u ranks", comm->nranks);
    } else {
        for (size_t i = 0; i < nexcluded; i++) {
            ranks[i] = (uint32_t)excluded[i];
        }
        rc = shrink(comm, ranks, (uint32_t)nexcluded, alive, &args);
    }
    free(alive);
    free(ranks);
    if (rc == WHORL_OK) {
        rc = wh_comm_create(&args, new_comm_out);
    }
    explicit_bzero(&args.id, sizeof(args.id));
    wh_log_set_rank(rank_before);
    return rc;
}
