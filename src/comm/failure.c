/* SPDX-License-Identifier: Apache-2.0 */
/* The end of communicators: by a failure, which is told to all ranks, or when all is done. */
#include "base/clock.h"
#include "base/log.h"
#include "comm/comm.h"
#include "comm/dump.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void wh_comm_ring(struct whorl_comm *comm)
{
    struct wh_doorbell *bell = atomic_load_explicit(&comm->bell, memory_order_acquire);
    if (bell != NULL) {
        wh_doorbell_ring(bell);
    }
}

/* Stores the first failure; false if there was one already. */
static bool record(struct whorl_comm *comm, whorl_result_t rc, const char *text)
{
    pthread_mutex_lock(&comm->failure.lock);
    bool first = atomic_load_explicit(&comm->failure.stop, memory_order_relaxed) == 0;
    if (first) {
        snprintf(comm->failure.text, sizeof(comm->failure.text), "%s", text);
        atomic_store_explicit(&comm->failure.stop, (int32_t)rc, memory_order_release);
    }
    pthread_mutex_unlock(&comm->failure.lock);
    if (first) {
        wh_comm_ring(comm);
        wh_roster_wake();
    }
    return first;
}

whorl_result_t wh_comm_fail(struct whorl_comm *comm, whorl_result_t rc, const char *text)
{
    char whole[WH_FAILURE_NBYTES];
    snprintf(whole, sizeof(whole), "%s [reported by rank %u, host %s, pid %u%s%s]", text,
             comm->rank, comm->members[comm->rank].host, comm->members[comm->rank].pid,
             comm->name[0] != '\0' ? ", communicator " : "", comm->name);
    if (record(comm, rc, whole) && comm->boot != NULL) {
        wh_boot_fail(comm->boot, rc, whole);
    }
    return wh_comm_failure(comm);
}

void wh_comm_on_remote_failure(void *ctx, whorl_result_t rc, const char *text)
{
    struct whorl_comm *comm = ctx;
    int before = wh_log_set_rank((int)comm->rank);
    if (record(comm, rc, text)) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_COLL, "communicator failed: %s", text);
    }
    wh_log_set_rank(before);
}

whorl_result_t wh_comm_failure(struct whorl_comm *comm)
{
    int32_t stop = atomic_load_explicit(&comm->failure.stop, memory_order_acquire);
    if (stop != 0) {
        wh_error_set(comm->failure.text);
    }
    return (whorl_result_t)stop;
}

void wh_comm_abort(struct whorl_comm *comm)
{
    const struct wh_comm_member *me = &comm->members[comm->rank];
    char text[256];
    snprintf(text, sizeof(text), "rank %u (host %s, pid %u) aborted the communicator", comm->rank,
             me->host, me->pid);
    if (record(comm, WHORL_E_ABORTED, text)) {
        wh_log(WH_LOG_INFO, WH_SUBSYS_COLL, "%s", text);
        wh_boot_fail(comm->boot, WHORL_E_PEER, text);
    }
}

void wh_comm_keep_error(struct whorl_comm *comm)
{
    pthread_mutex_lock(&comm->text_lock);
    snprintf(comm->last_text, sizeof(comm->last_text), "%s", wh_error_get());
    pthread_mutex_unlock(&comm->text_lock);
    wh_dump_on_failure(comm);
}

static whorl_result_t poll_drained(void *ctx, bool *moved_out)
{
    struct whorl_comm *comm = ctx;
    (void)moved_out;
    pthread_mutex_lock(&comm->text_lock);
    uint32_t nqueued = comm->nqueued;
    pthread_mutex_unlock(&comm->text_lock);
    return nqueued == 0 ? WHORL_OK : WHORL_IN_PROGRESS;
}

void wh_comm_drain(struct whorl_comm *comm)
{
    /* No deadline of its own: every call that is queued has one, or the user wants none. */
    struct wh_doorbell *bell = atomic_load_explicit(&comm->bell, memory_order_relaxed);
    struct wh_wait wait = {
        .patience = comm->patience,
        .poll = poll_drained,
        .ctx = comm,
        .bells = &bell,
        .nbells = bell != NULL ? 1 : 0,
        .deadline_ns = WH_NEVER,
    };
    whorl_result_t rc = wh_wait(&wait);
    assert(rc == WHORL_OK);
    (void)rc;
}
