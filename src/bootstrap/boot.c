/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank does after it has joined: report a failure, count its operations, leave. */
#include "bootstrap/boot.h"

#include "base/clock.h"
#include "base/log.h"
#include "bootstrap/rank.h"
#include "bootstrap/service.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long wh_boot_leave() tries to send its last words to peers whose buffers are full. */
enum { LAST_WORDS_MS = 1000 };

void wh_boot_fail(struct wh_boot *boot, whorl_result_t rc, const char *text)
{
    struct wh_boot_failure failure = {.rc = rc < 0 ? rc : WHORL_E_INTERNAL};
    snprintf(failure.text, sizeof(failure.text), "%s", text);
    wh_service_lock();
    boot->told = true;
    wh_rank_break(boot, &failure, boot->rank, WH_NO_EDGE);
    wh_service_unlock();
}

void wh_boot_set_nops(struct wh_boot *boot, uint64_t nops)
{
    atomic_store_explicit(&boot->nops, nops, memory_order_relaxed);
    if (atomic_load_explicit(&boot->someone_left, memory_order_relaxed)) {
        wh_service_lock();
        wh_rank_check_left(boot);
        wh_service_unlock();
    }
}

/* Sends what is still queued, for a short time. The service does not know boot any more. */
static void flush(struct wh_boot *boot)
{
    uint64_t deadline_ns = wh_deadline_after_ms(LAST_WORDS_MS);
    for (;;) {
        struct pollfd pfds[WH_EDGES_MAX];
        nfds_t npfds = 0;
        for (uint32_t i = 0; i < 2 * boot->nrounds; i++) {
            struct wh_edge *edge = &boot->edges[i];
            /* Also reads what came last: a socket that is closed with unread bytes is reset, and
             * the reset could overtake the farewell. */
            if (edge->up && (wh_conn_advance(&edge->conn) != WHORL_OK || edge->conn.ended)) {
                edge->up = false;
            }
            if (edge->up && wh_conn_has_output(&edge->conn)) {
                pfds[npfds++] = (struct pollfd){.fd = edge->conn.fd, .events = POLLOUT};
            }
        }
        if (npfds == 0 || wh_now_ns() >= deadline_ns) {
            return;
        }
        (void)poll(pfds, npfds, wh_ms_until(deadline_ns, LAST_WORDS_MS));
    }
}

void wh_boot_leave(struct wh_boot *boot)
{
    if (boot == NULL) {
        return;
    }

    /* In a forked child the edges are closed and the service knows nobody. */
    if (boot->pid == getpid()) {
        wh_service_remove(boot);
        wh_service_lock();
        const struct wh_frame frame = {
            .type = WH_FRAME_BYE,
            .tag = atomic_load_explicit(&boot->nops, memory_order_relaxed),
        };
        for (uint32_t i = 0; i < 2 * boot->nrounds; i++) {
            wh_rank_post(boot, i, &frame);
        }
        wh_service_unlock();
        flush(boot);
    }
    wh_rank_destroy(boot);
}
