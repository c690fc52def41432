/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank does with the frames of its edges, and how a failure spreads. See rank.h. */
#include "bootstrap/rank.h"

#include "base/bits.h"
#include "base/clock.h"
#include "base/log.h"
#include "bootstrap/service.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECHECK_NS = 10 * 1000 * 1000 };

/* ---- life ----------------------------------------------------------------------------------- */

struct wh_boot *wh_rank_create(const struct wh_boot_join_args *args)
{
    struct wh_boot *boot = calloc(1, sizeof(*boot));
    if (boot == NULL) {
        return NULL;
    }

    boot->rank = args->rank;
    boot->nranks = args->nranks;
    boot->nrounds = wh_log2_ceil(args->nranks);
    boot->on_failure = args->on_failure;
    boot->on_status = args->on_status;
    boot->first_waiting = WH_NOBODY;
    boot->listener = -1;
    boot->regroup.bell = -1;
    boot->regroup.lower = WH_NOBODY;
    boot->ctx = args->ctx;
    boot->pid = getpid();
    boot->inbox_end = &boot->inbox;
    for (uint32_t i = 0; i < WH_EDGES_MAX; i++) {
        wh_conn_init(&boot->edges[i].conn);
    }

    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&boot->changed, &attr);
    pthread_condattr_destroy(&attr);
    return boot;
}

void wh_rank_destroy(struct wh_boot *boot)
{
    for (uint32_t i = 0; i < WH_EDGES_MAX; i++) {
        wh_conn_close(&boot->edges[i].conn);
    }
    for (struct wh_letter *letter = boot->inbox, *next; letter != NULL; letter = next) {
        next = letter->next;
        free(letter);
    }
    wh_door_close(boot);
    pthread_cond_destroy(&boot->changed);
    OPENSSL_cleanse(&boot->trust, sizeof(boot->trust));
    free(boot->asked);
    free(boot->contacts);
    free(boot->regroup.states);
    free(boot->regroup.verdict);
    free(boot);
}

const char *wh_member_print(const struct wh_member *member, char text[WH_MEMBER_TEXT_NBYTES])
{
    snprintf(text, WH_MEMBER_TEXT_NBYTES, "rank %u (host %s, pid %u)", member->rank, member->host,
             member->pid);
    return text;
}

/* ---- failures ------------------------------------------------------------------------------- */

void wh_rank_post(struct wh_boot *boot, uint32_t index, const struct wh_frame *frame)
{
    struct wh_edge *edge = &boot->edges[index];
    if (!edge->up || edge->left) {
        return;
    }
    if (wh_conn_post(&edge->conn, frame) != WHORL_OK) {
        /* A frame is lost, so the peer would wait for ever: let it see the end instead. */
        wh_log(WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP, "out of memory for a message to rank %u",
               edge->peer.rank);
        edge->conn.deaf = true;
        return;
    }
    wh_service_arm(boot, index);
}

void wh_rank_break(struct wh_boot *boot, const struct wh_boot_failure *failure, uint32_t origin,
                   uint32_t skip)
{
    if (boot->failed) {
        return;
    }

    boot->failed = true;
    boot->failure = *failure;
    uint8_t payload[WH_FAILURE_NBYTES_MAX];
    const struct wh_frame frame = {
        .type = WH_FRAME_FAIL,
        .rank = origin,
        .payload = payload,
        .payload_nbytes = (uint32_t)wh_failure_encode(failure, payload),
    };
    for (uint32_t i = 0; i < 2 * boot->nrounds; i++) {
        if (i != skip) {
            wh_rank_post(boot, i, &frame);
        }
    }
    pthread_cond_broadcast(&boot->changed);
    wh_service_wake();
}

/* A failure that this rank is the first to see. */
static void break_here(struct wh_boot *boot, const struct wh_boot_failure *failure)
{
    if (!boot->failed) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP, "%s", failure->text);
    }
    wh_rank_break(boot, failure, boot->rank, WH_NO_EDGE);
}

void wh_rank_check_left(struct wh_boot *boot)
{
    uint64_t nops = atomic_load_explicit(&boot->nops, memory_order_relaxed);
    for (uint32_t i = 0; i < 2 * boot->nrounds && !boot->failed; i++) {
        const struct wh_edge *edge = &boot->edges[i];
        if (!edge->left || nops <= edge->left_nops) {
            continue;
        }
        struct wh_boot_failure failure = {.rc = WHORL_E_PEER};
        char who[WH_MEMBER_TEXT_NBYTES];
        snprintf(failure.text, sizeof(failure.text),
                 "%s left the communicator after %" PRIu64 " operations; rank %u is in operation "
                 "%" PRIu64,
                 wh_member_print(&edge->peer, who), edge->left_nops, boot->rank, nops);
        break_here(boot, &failure);
    }
}

/* ---- frames --------------------------------------------------------------------------------- */

static bool take_block(struct wh_boot *boot, uint32_t index, const struct wh_frame *frame)
{
    /* A peer can be one collective ahead: to end it, it needs this rank in it. */
    if (frame->round >= boot->nrounds || index != boot->nrounds + frame->round ||
        frame->rank >= boot->nranks || frame->tag > boot->ncollectives + 1) {
        return false;
    }
    if (frame->tag < boot->ncollectives) {
        return true; /* late, of a collective that this rank has given up */
    }

    struct wh_letter *letter = malloc(sizeof(*letter) + frame->payload_nbytes);
    if (letter == NULL) {
        return false;
    }
    letter->next = NULL;
    letter->tag = frame->tag;
    letter->round = frame->round;
    letter->rank = frame->rank;
    letter->nbytes = frame->payload_nbytes;
    memcpy(letter->bytes, frame->payload, frame->payload_nbytes);
    *boot->inbox_end = letter;
    boot->inbox_end = &letter->next;
    pthread_cond_broadcast(&boot->changed);
    return true;
}

/* The peer of edge k tells who its own peer k is: that of this rank's edge k + 1. */
static bool take_next(struct wh_boot *boot, uint32_t index, const struct wh_frame *frame)
{
    struct wh_member member;
    const uint32_t k = frame->round;
    if (k < 1 || k >= boot->nrounds || index != k - 1 || boot->edges[k].known ||
        !wh_member_decode(frame->payload, frame->payload_nbytes, &member) ||
        member.nranks != boot->nranks || member.rank != (boot->rank + (1u << k)) % boot->nranks ||
        member.naddrs == 0) {
        return false;
    }
    boot->edges[k].peer = member;
    boot->edges[k].known = true;
    return true;
}

static void take_fail(struct wh_boot *boot, uint32_t index, const struct wh_frame *frame)
{
    struct wh_boot_failure failure;
    wh_failure_decode(frame->payload, frame->payload_nbytes, &failure);
    if (!boot->failed) {
        wh_log(WH_LOG_INFO, WH_SUBSYS_BOOTSTRAP, "rank %u passed on a failure of rank %u: %s",
               boot->edges[index].peer.rank, frame->rank, failure.text);
    }
    wh_rank_break(boot, &failure, frame->rank, index);
}

static void take_bye(struct wh_boot *boot, uint32_t index, const struct wh_frame *frame)
{
    boot->edges[index].left = true;
    boot->edges[index].left_nops = frame->tag;
    atomic_store_explicit(&boot->someone_left, true, memory_order_relaxed);
    boot->recheck_at_ns = wh_now_ns() + RECHECK_NS;
    wh_service_wake();
    wh_rank_check_left(boot);
    pthread_cond_broadcast(&boot->changed);
}

/* False if a rank of this job would not send that here. */
static bool take(struct wh_boot *boot, uint32_t index, const struct wh_frame *frame)
{
    if (boot->edges[index].left) {
        return false;
    }
    switch (frame->type) {
    case WH_FRAME_BLOCK:
        return take_block(boot, index, frame);
    case WH_FRAME_NEXT:
        return take_next(boot, index, frame);
    case WH_FRAME_FAIL:
        take_fail(boot, index, frame);
        return true;
    case WH_FRAME_BYE:
        take_bye(boot, index, frame);
        return true;
    case WH_FRAME_ASK:
        return wh_ask_take(boot, index, frame);
    case WH_FRAME_STATUS:
        return wh_ask_take_status(boot, frame);
    default:
        return false;
    }
}

/* The connection of an edge has ended, or, with rc an error, what came over it makes no sense. */
static void edge_lost(struct wh_boot *boot, struct wh_edge *edge, whorl_result_t rc)
{
    if (!edge->left && !boot->failed) {
        struct wh_boot_failure failure = {.rc = WHORL_E_PEER};
        char who[WH_MEMBER_TEXT_NBYTES];
        wh_member_print(&edge->peer, who);
        int error = edge->conn.error;
        if (rc == WHORL_E_TRUST) {
            failure.rc = rc;
            snprintf(failure.text, sizeof(failure.text),
                     "what %s sent was changed on the way: somebody is between the two", who);
        } else if (rc < 0) {
            snprintf(failure.text, sizeof(failure.text), "%s sent what is not this protocol", who);
        } else if (error == 0 || error == ECONNRESET) {
            snprintf(failure.text, sizeof(failure.text),
                     "%s died or was killed: its connection closed", who);
        } else {
            snprintf(failure.text, sizeof(failure.text), "lost the connection to %s: %s", who,
                     strerror(error));
        }
        break_here(boot, &failure);
    }
    wh_service_unwatch(edge);
    wh_conn_close(&edge->conn);
    edge->up = false;
    pthread_cond_broadcast(&boot->changed);
}

void wh_rank_edge_ready(struct wh_boot *boot, uint32_t index)
{
    struct wh_edge *edge = &boot->edges[index];
    assert(edge->up);

    struct wh_frame frame;
    whorl_result_t rc = wh_conn_advance(&edge->conn);
    rc = rc != WHORL_OK ? rc : wh_conn_next(&edge->conn, &frame);
    while (rc == WHORL_OK) {
        rc = take(boot, index, &frame) ? wh_conn_next(&edge->conn, &frame) : WHORL_E_ARG;
    }

    if (rc != WHORL_IN_PROGRESS || edge->conn.ended) {
        edge_lost(boot, edge, rc);
    } else {
        wh_service_arm(boot, index);
    }
}
