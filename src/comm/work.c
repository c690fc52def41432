/* SPDX-License-Identifier: Apache-2.0 */
/* See work.h. */
#include "comm/work.h"

#include <assert.h>
#include <stdio.h>

/* Bytes that the cost functions count. */
static size_t call_nbytes(const struct wh_call *call)
{
    size_t nbytes = call->op.count * whorl_dtype_nbytes(call->op.dtype);
    bool blocks = call->coll == WH_COLL_ALL_GATHER || call->coll == WH_COLL_REDUCE_SCATTER;
    return blocks ? nbytes * call->comm->nranks : nbytes;
}

/* The next collective of comm has a number. */
static void number_collective(struct wh_call *call)
{
    call->op.seq = call->comm->next_seq++;
    wh_boot_set_nops(call->comm->boot, call->op.seq);
}

static bool fits_hier(const struct wh_call *call)
{
    return call->comm->hier != NULL && !wh_coll_is_p2p(call->coll) &&
           wh_hier_fits(call->comm->hier, call->coll, call->root, &call->op);
}

bool wh_work_is_whole(const struct wh_call *call)
{
    return wh_comm_uses_arena(call->comm, call->coll) || fits_hier(call);
}

void wh_work_start_in_arena(struct wh_work *work, struct wh_call *call)
{
    number_collective(call);
    wh_arena_start(call->comm->arena, call->coll, call->root, &call->op);
    *work = (struct wh_work){.way = WH_WORK_ARENA, .algo = "arena"};
}

static whorl_result_t start_hier(struct wh_work *work, struct wh_call *call)
{
    number_collective(call);
    whorl_result_t rc = wh_hier_start(call->comm->hier, call->coll, call->root, &call->op);
    if (rc == WHORL_OK) {
        *work = (struct wh_work){.way = WH_WORK_HIER, .algo = wh_hier_algo(call->comm->hier)};
    }
    return rc;
}

/* A rank's place in the order of hosts. */
static uint32_t place_of(const struct wh_hosts *hosts, uint32_t rank)
{
    return hosts->first[hosts->host[rank]] + hosts->local[rank];
}

/* In an order of its own the schedule's block p is that of rank order[p]. */
static void place_blocks(struct wh_plan_row *row, const uint32_t *order, struct wh_call *call)
{
    for (uint32_t p = 0; p < call->comm->nranks; p++) {
        row->displs[p] = order[p] * call->op.count;
    }
    if (call->coll == WH_COLL_ALL_GATHER) {
        call->op.recv_displs = row->displs;
    } else if (call->coll == WH_COLL_REDUCE_SCATTER) {
        call->op.send_displs = row->displs;
    }
}

static whorl_result_t start_on_links(struct wh_work *work, struct wh_call *call)
{
    struct whorl_comm *comm = call->comm;
    const struct wh_hosts *hosts = comm->hosts;
    /* Rings and trees go from host to host, however ranks are numbered. */
    bool has_order = !hosts->is_contiguous && !wh_coll_is_p2p(call->coll);
    const struct wh_plan_query query = {
        .problem = {call->coll, has_order ? place_of(hosts, comm->rank) : comm->rank, comm->nranks,
                    has_order && wh_coll_has_root(call->coll) ? place_of(hosts, call->root)
                                                              : call->root},
        .order = has_order ? hosts->ranks : NULL,
        .nbytes = call_nbytes(call),
        .fabric = &comm->fabric,
        .algos = &comm->algos,
        .wire = comm->wire,
    };
    struct wh_plan_row *row;
    whorl_result_t rc = wh_plans_get(&comm->plans, &query, &row);
    if (rc != WHORL_OK) {
        return rc;
    }
    if (row->busy) {
        return WHORL_IN_PROGRESS;
    }

    if (wh_coll_is_p2p(call->coll)) {
        call->op.seq = row->next_seq++;
    } else {
        number_collective(call);
    }
    if (has_order) {
        place_blocks(row, hosts->ranks, call);
    }
    bool has_front = comm->hier != NULL && !wh_coll_is_p2p(call->coll);
    rc = has_front ? wh_hier_start_front(comm->hier, call->coll, call->root, &call->op,
                                         row->algo->name)
                   : wh_run_start(row->plan, &call->op);
    if (rc == WHORL_OK) {
        row->busy = true;
        *work = (struct wh_work){.way = WH_WORK_LINKS,
                                 .row = row,
                                 .op = has_front ? &call->op : NULL,
                                 .algo = row->algo->name};
    }
    return rc;
}

/* Over links where hosts have arenas: others may have called what is put together of these, so all
 * compare their calls as such calls do, and then the schedule runs. */
static whorl_result_t advance_front(struct wh_work *work, struct whorl_comm *comm, bool *moved_out)
{
    whorl_result_t rc = wh_hier_advance(comm->hier, moved_out);
    wh_hier_wake(comm->hier);
    if (rc == WHORL_OK) {
        rc = wh_run_start(work->row->plan, work->op);
        work->op = NULL;
    }
    return rc;
}

whorl_result_t wh_work_start(struct wh_work *work, struct wh_call *call)
{
    if (wh_comm_uses_arena(call->comm, call->coll)) {
        wh_work_start_in_arena(work, call);
        return WHORL_OK;
    }
    return fits_hier(call) ? start_hier(work, call) : start_on_links(work, call);
}

whorl_result_t wh_work_advance(struct wh_work *work, struct whorl_comm *comm, bool *moved_out)
{
    whorl_result_t rc = WHORL_OK;
    switch (work->way) {
    case WH_WORK_ARENA:
        rc = wh_arena_advance(comm->arena, moved_out);
        wh_arena_wake(comm->arena);
        break;
    case WH_WORK_HIER:
        rc = wh_hier_advance(comm->hier, moved_out);
        wh_hier_wake(comm->hier);
        break;
    case WH_WORK_LINKS:
        rc = work->op != NULL ? advance_front(work, comm, moved_out) : WHORL_OK;
        if (rc == WHORL_OK) {
            rc = wh_run_advance(work->row->plan, moved_out);
        }
        break;
    case WH_WORK_NONE:
        assert(false);
    }
    return rc;
}

void wh_work_end(struct wh_work *work, struct whorl_comm *comm, whorl_result_t rc)
{
    if (work->way == WH_WORK_LINKS) {
        work->row->busy = false;
        if (work->op != NULL) {
            wh_hier_leave(comm->hier);
        }
    } else if (work->way == WH_WORK_ARENA && rc != WHORL_OK) {
        wh_arena_leave(comm->arena);
    } else if (work->way == WH_WORK_HIER && rc != WHORL_OK) {
        wh_hier_leave(comm->hier);
    }
    work->way = WH_WORK_NONE;
}

void wh_work_signature(const struct wh_work *work, const struct whorl_comm *comm,
                       struct wh_signature *sig_out)
{
    if (work->way == WH_WORK_ARENA) {
        wh_arena_signature(comm->arena, sig_out);
    } else if (work->way == WH_WORK_HIER || work->op != NULL) {
        wh_hier_signature(comm->hier, sig_out);
    } else {
        *sig_out = work->row->plan->signature;
    }
}

void wh_work_describe(const struct wh_work *work, const struct whorl_comm *comm, char *text,
                      size_t text_nbytes)
{
    if (work->way == WH_WORK_ARENA) {
        wh_arena_describe(comm->arena, text, text_nbytes);
    } else if (work->way == WH_WORK_HIER || work->op != NULL) {
        wh_hier_describe(comm->hier, text, text_nbytes);
    } else if (work->way == WH_WORK_LINKS) {
        wh_run_describe(work->row->plan, text, text_nbytes);
    } else {
        snprintf(text, text_nbytes, "not started");
    }
}
