/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking every rank what it is doing, beside all else: when a job stands still or has failed.
 *
 * A request floods the job: who gets it for the first time remembers over which edge it came, has
 * it answered by the service thread, and passes it on over all its other edges. Answers go back over
 * the edge from which the request came. A rank that is stopped passes nothing on, so no answer is
 * sent its way; everyone who has another way to the asker is found over that.
 *
 * inv. 1  Requests of an asker have growing tags, and only a tag greater than the last one of that
 *         asker is passed on: however many ask at a time, a request crosses an edge at most twice.
 * inv. 2  What is queued for an edge because of requests stays below QUEUE_NBYTES_MAX: a peer that
 *         reads nothing costs no more.
 */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "bootstrap/rank.h"
#include "bootstrap/service.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert(WH_ANSWER_NBYTES == 4 + WH_STATUS_NBYTES, "an answer is the asker and a status");

enum {
    QUEUE_NBYTES_MAX = 64 * 1024 * 1024,
    NFLOODS = 3, /* in one wh_boot_ask(), if some do not answer: a rank can die with answers */
};

/* A wh_boot_ask() under way. */
struct wh_ask {
    struct wh_ask *next;
    uint64_t first_tag; /* of its floods */
    uint8_t *statuses;
    bool *answered;
    uint32_t nanswered;
};

/* Posts what may be lost. */
static void post(struct wh_boot *boot, uint32_t index, const struct wh_frame *frame)
{
    const struct wh_edge *edge = &boot->edges[index];
    if (edge->up && wh_conn_output_nbytes(&edge->conn) < QUEUE_NBYTES_MAX) {
        wh_rank_post(boot, index, frame);
    }
}

/* ---- requests ------------------------------------------------------------------------------- */

static bool remember_askers(struct wh_boot *boot)
{
    if (boot->asked == NULL) {
        boot->asked = calloc(boot->nranks, sizeof(*boot->asked));
    }
    return boot->asked != NULL;
}

/* A request is new: it is to be answered here and passed on. */
static void flood(struct wh_boot *boot, uint32_t asker, uint64_t tag, uint32_t from)
{
    struct wh_asked *asked = &boot->asked[asker];
    asked->tag = tag;
    asked->edge = from;
    asked->waits_tag = tag;
    if (!asked->waits) {
        asked->waits = true;
        asked->next = boot->first_waiting;
        boot->first_waiting = asker;
    }
    wh_service_wake();

    const struct wh_frame frame = {.type = WH_FRAME_ASK, .rank = asker, .tag = tag};
    for (uint32_t i = 0; i < 2 * boot->nrounds; i++) {
        if (i != from) {
            post(boot, i, &frame);
        }
    }
}

bool wh_ask_take(struct wh_boot *boot, uint32_t index, const struct wh_frame *frame)
{
    if (frame->rank >= boot->nranks || frame->tag == 0) {
        return false;
    }
    if (frame->rank == boot->rank) {
        return true; /* our own, back over another way */
    }
    if (!remember_askers(boot)) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP, "out of memory: rank %u gets no status",
               frame->rank);
        return true;
    }
    if (frame->tag > boot->asked[frame->rank].tag) {
        flood(boot, frame->rank, frame->tag, index);
    }
    return true;
}

/* ---- answers -------------------------------------------------------------------------------- */

static void deliver(struct wh_boot *boot, uint32_t rank, uint64_t tag, const uint8_t *status)
{
    for (struct wh_ask *ask = boot->asks; ask != NULL; ask = ask->next) {
        if (tag >= ask->first_tag && !ask->answered[rank]) {
            memcpy(ask->statuses + (size_t)rank * WH_STATUS_NBYTES, status, WH_STATUS_NBYTES);
            ask->answered[rank] = true;
            ask->nanswered++;
        }
    }
    pthread_cond_broadcast(&boot->changed);
}

bool wh_ask_take_status(struct wh_boot *boot, const struct wh_frame *frame)
{
    const uint8_t *bytes = frame->payload;
    uint32_t asker = wh_get_le32(bytes);
    if (frame->rank >= boot->nranks || asker >= boot->nranks || boot->asked == NULL ||
        frame->tag == 0 || frame->tag > boot->asked[asker].tag) {
        return false; /* nobody answers what this rank has not passed on */
    }
    if (asker == boot->rank) {
        deliver(boot, frame->rank, frame->tag, bytes + 4);
    } else {
        post(boot, boot->asked[asker].edge, frame);
    }
    return true;
}

void wh_ask_answer(struct wh_boot *boot, const uint8_t status[WH_STATUS_NBYTES])
{
    uint8_t payload[WH_ANSWER_NBYTES];
    memcpy(payload + 4, status, WH_STATUS_NBYTES);
    while (boot->first_waiting != WH_NOBODY) {
        uint32_t asker = boot->first_waiting;
        struct wh_asked *asked = &boot->asked[asker];
        boot->first_waiting = asked->next;
        asked->waits = false;
        if (asker == boot->rank) {
            deliver(boot, asker, asked->waits_tag, status);
            continue;
        }
        wh_put_le32(payload, asker);
        const struct wh_frame frame = {
            .type = WH_FRAME_STATUS,
            .rank = boot->rank,
            .tag = asked->waits_tag,
            .payload = payload,
            .payload_nbytes = sizeof(payload),
        };
        post(boot, asked->edge, &frame);
    }
}

/* ---- asking --------------------------------------------------------------------------------- */

whorl_result_t wh_boot_ask(struct wh_boot *boot, uint8_t *statuses, bool *answered,
                           uint64_t deadline_ns)
{
    memset(statuses, 0, (size_t)boot->nranks * WH_STATUS_NBYTES);
    memset(answered, 0, boot->nranks * sizeof(*answered));
    struct wh_ask ask = {.statuses = statuses, .answered = answered};
    uint64_t now_ns = wh_now_ns();
    uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;

    wh_service_lock();
    if (!remember_askers(boot)) {
        wh_service_unlock();
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory to ask for status");
    }
    ask.first_tag = boot->nasks + 1;
    ask.next = boot->asks;
    boot->asks = &ask;
    for (uint32_t i = 1; i <= NFLOODS && ask.nanswered < boot->nranks; i++) {
        uint64_t until_ns = i == NFLOODS ? deadline_ns : now_ns + left_ns / NFLOODS * i;
        flood(boot, boot->rank, ++boot->nasks, WH_NO_EDGE);
        while (ask.nanswered < boot->nranks && wh_service_wait(boot, until_ns)) {
        }
    }
    struct wh_ask **link = &boot->asks;
    while (*link != &ask) {
        link = &(*link)->next;
    }
    *link = ask.next;
    wh_service_unlock();
    return WHORL_OK;
}
