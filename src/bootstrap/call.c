/* SPDX-License-Identifier: Apache-2.0 */
/* One call at a door. See call.h. */
#include "bootstrap/call.h"

#include "base/clock.h"
#include "bootstrap/rank.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void wh_call_begin(struct wh_call *call, const struct wh_boot *boot, uint32_t rank,
                   enum wh_frame_type greeting, const struct wh_come *come, uint64_t patience_ns)
{
    memset(call, 0, sizeof(*call));
    wh_conn_init(&call->conn);
    call->rank = rank;
    call->open = true;
    call->trust = &boot->trust;
    call->patience_ns = patience_ns;
    wh_come_encode(come, call->payload);
    call->greeting = (struct wh_frame){
        .type = greeting,
        .rank = boot->rank,
        .tag = boot->regroup.epoch,
        .payload_nbytes = sizeof(call->payload),
    };
    struct wh_addr addrs[WH_CONTACT_NADDRS];
    uint32_t naddrs = wh_contact_addrs(boot, rank, addrs);
    wh_dial_start(&call->dial, addrs, naddrs, patience_ns);
}

/* Did every address refuse? A rank listens from its join to its end, so there is no rank. */
static bool all_refused(const struct wh_dial *dial)
{
    for (uint32_t i = 0; i < dial->naddrs; i++) {
        const struct wh_dial_try *one = &dial->tries[i];
        if (i >= dial->nbegun || one->nfailed == 0 ||
            (one->error != ECONNREFUSED && one->why == NULL)) {
            return false;
        }
    }
    return true;
}

static enum wh_call_state call_dial(struct wh_call *call)
{
    int fd;
    struct wh_addr addr;
    switch (wh_dial_advance(&call->dial, &fd, &addr)) {
    case WHORL_OK:
        if (wh_conn_call(&call->conn, fd, &addr, WH_PURPOSE_EDGE, call->trust) != WHORL_OK) {
            wh_conn_close(&call->conn);
            return WH_CALL_SILENT;
        }
        return WH_CALL_BUSY;
    case WHORL_IN_PROGRESS:
        return all_refused(&call->dial) ? WH_CALL_GONE : WH_CALL_BUSY;
    default:
        return all_refused(&call->dial) ? WH_CALL_GONE : WH_CALL_SILENT;
    }
}

/* Who was reached is none of ours. */
static enum wh_call_state call_reject(struct wh_call *call, const char *why, bool for_good)
{
    wh_conn_close(&call->conn);
    wh_dial_reject(&call->dial, why, for_good);
    return all_refused(&call->dial) ? WH_CALL_GONE : WH_CALL_BUSY;
}

enum wh_call_state wh_call_advance(struct wh_call *call, struct wh_frame *frame_out)
{
    assert(call->open);

    if (call->conn.fd < 0) {
        enum wh_call_state state = call_dial(call);
        if (call->conn.fd < 0) {
            return state;
        }
    }
    whorl_result_t rc = wh_conn_advance(&call->conn);
    if (rc == WHORL_OK && call->conn.proved && !call->said) {
        call->said = true;
        call->greeting.payload = call->payload;
        rc = wh_conn_post(&call->conn, &call->greeting);
    }
    rc = rc != WHORL_OK ? rc : wh_conn_next(&call->conn, frame_out);
    if (rc == WHORL_OK) {
        /* Only what belongs here; anything else is a rank that makes no sense. */
        bool belongs = frame_out->type >= WH_FRAME_WAIT && frame_out->type <= WH_FRAME_OVER &&
                       frame_out->tag == call->greeting.tag;
        call->heard = true;
        return belongs ? WH_CALL_SAID : WH_CALL_LOST;
    }
    if (rc == WHORL_IN_PROGRESS && !call->conn.ended) {
        bool late = !call->heard && wh_now_ns() >= call->patience_ns;
        return late ? WH_CALL_SILENT : WH_CALL_BUSY;
    }
    if (call->said) {
        return WH_CALL_LOST;
    }
    bool stranger = rc == WHORL_E_TRUST || rc == WHORL_E_ARG || rc == WHORL_E_UNSUPPORTED;
    return call_reject(call, "it does not belong to the job", stranger);
}

uint32_t wh_call_pollfds(const struct wh_call *call, struct pollfd *pfds)
{
    if (call->conn.fd >= 0) {
        pfds[0] = (struct pollfd){.fd = call->conn.fd, .events = wh_conn_events(&call->conn)};
        return 1;
    }
    int fds[WH_DIAL_NADDRS_MAX];
    uint32_t nfds = wh_dial_fds(&call->dial, fds, WH_DIAL_NADDRS_MAX);
    for (uint32_t i = 0; i < nfds; i++) {
        pfds[i] = (struct pollfd){.fd = fds[i], .events = POLLOUT};
    }
    return nfds;
}

uint64_t wh_call_due_ns(const struct wh_call *call)
{
    if (call->conn.fd < 0) {
        return call->dial.next_ns;
    }
    return call->heard ? WH_NEVER : call->patience_ns;
}

void wh_call_end(struct wh_call *call)
{
    if (call->open) {
        wh_dial_fini(&call->dial);
        wh_conn_close(&call->conn);
        call->open = false;
    }
}
