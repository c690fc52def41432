/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who answers at a rank's listener after the join: the service thread, for survivors that regroup.
 * A guest proves that it belongs to the job, says who it is, and gets the answer that the rank's
 * phase implies, now and whenever that changes. See regroup.h for the rules.
 */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "bootstrap/rank.h"
#include "bootstrap/service.h"
#include "bootstrap/verdict.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STRANGERS_MAX = 64,
    STRANGER_MS = 10 * 1000,
    CROWDED_MS = 1000,
    SHUT_MS = 100, /* how long the door stays shut when there is no room */
};

/* ---- contacts and words --------------------------------------------------------------------- */

void wh_contact_encode(const struct wh_boot *boot, uint8_t out[WH_CONTACT_NBYTES])
{
    struct wh_addr best = {.port = 0};
    for (uint32_t i = 0; i < 2 * boot->nrounds; i++) {
        struct wh_addr addr;
        const struct wh_edge *edge = &boot->edges[i];
        /* The address at which another rank found this one, or from which this one found it. */
        if (edge->up && wh_sock_own_addr(edge->conn.fd, &addr) &&
            (best.port == 0 || wh_addr_is_loopback(&best))) {
            best = addr;
        }
    }
    memset(out, 0, WH_CONTACT_NBYTES);
    wh_put_le16(out, boot->self.port);
    memcpy(out + 2, best.ip, 16);
    for (uint32_t i = 0; i < boot->self.naddrs; i++) {
        if (memcmp(boot->self.addrs[i].ip, best.ip, 16) != 0) {
            memcpy(out + 2 + 16, boot->self.addrs[i].ip, 16);
            break;
        }
    }
}

uint32_t wh_contact_addrs(const struct wh_boot *boot, uint32_t rank,
                          struct wh_addr addrs_out[WH_CONTACT_NADDRS])
{
    static const uint8_t none[16];
    const uint8_t *contact = boot->contacts + (size_t)rank * WH_CONTACT_NBYTES;
    uint32_t naddrs = 0;
    for (uint32_t i = 0; i < WH_CONTACT_NADDRS; i++) {
        if (memcmp(contact + 2 + 16 * i, none, 16) != 0) {
            memcpy(addrs_out[naddrs].ip, contact + 2 + 16 * i, 16);
            addrs_out[naddrs++].port = wh_get_le16(contact);
        }
    }
    return naddrs;
}

void wh_come_encode(const struct wh_come *come, uint8_t out[WH_COME_NBYTES])
{
    wh_put_le64(out, come->digest);
    wh_put_le32(out + 8, come->left_ms);
    wh_put_le32(out + 12, come->to);
}

void wh_come_decode(const uint8_t in[WH_COME_NBYTES], struct wh_come *come_out)
{
    come_out->digest = wh_get_le64(in);
    come_out->left_ms = wh_get_le32(in + 8);
    come_out->to = wh_get_le32(in + 12);
}

/* ---- guests --------------------------------------------------------------------------------- */

static void ring(const struct wh_boot *boot)
{
    const uint64_t one = 1;
    if (boot->regroup.bell >= 0 && write(boot->regroup.bell, &one, sizeof(one)) < 0) {
        assert(errno == EAGAIN);
    }
}

static void guest_remove(struct wh_boot *boot, uint32_t slot)
{
    struct wh_guest *guest = boot->guests[slot];
    boot->guests[slot] = NULL;
    boot->nstrangers -= guest->rank == WH_NOBODY;
    if (guest->held && boot->regroup.phase == WH_REGROUP_LEADS) {
        /* Perhaps dead: the leader will look. */
        boot->regroup.states[guest->rank] = WH_SURVIVOR_UNKNOWN;
        ring(boot);
    }
    wh_service_unwatch_fd(boot, guest->conn.fd);
    wh_conn_close(&guest->conn);
    free(guest);
}

/* A free slot; WH_NOBODY: no memory. */
static uint32_t guests_slot(struct wh_boot *boot)
{
    for (uint32_t i = 0; i < boot->nguest_slots; i++) {
        if (boot->guests[i] == NULL) {
            return i;
        }
    }
    uint32_t nslots = 2 * boot->nguest_slots + 8;
    struct wh_guest **guests = realloc(boot->guests, nslots * sizeof(struct wh_guest *));
    if (guests == NULL) {
        return WH_NOBODY;
    }
    for (uint32_t i = boot->nguest_slots; i < nslots; i++) {
        guests[i] = NULL;
    }
    uint32_t slot = boot->nguest_slots;
    boot->guests = guests;
    boot->nguest_slots = nslots;
    return slot;
}

static void guest_add(struct wh_boot *boot, int fd, const struct wh_addr *peer)
{
    uint32_t slot = guests_slot(boot);
    struct wh_guest *guest = slot != WH_NOBODY ? calloc(1, sizeof(*guest)) : NULL;
    if (guest == NULL) {
        close(fd);
        return;
    }
    guest->rank = WH_NOBODY;
    guest->deadline_ns = wh_deadline_after_ms(STRANGER_MS);
    boot->guests[slot] = guest;
    boot->nstrangers++;
    if (wh_conn_answer(&guest->conn, fd, peer, WH_PURPOSE_EDGE, &boot->trust) != WHORL_OK) {
        guest_remove(boot, slot);
        return;
    }
    wh_service_watch_guest(boot, slot);
}

static void door_shut(struct wh_boot *boot)
{
    wh_service_watch_door(boot, false);
    boot->recheck_at_ns = wh_deadline_after_ms(SHUT_MS);
    wh_service_wake();
}

void wh_door_knock(struct wh_boot *boot)
{
    while (boot->nstrangers < STRANGERS_MAX) {
        struct wh_addr peer;
        int fd = wh_sock_accept(boot->listener, &peer);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                wh_log(
                    WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP,
                    "cannot take a connection of another rank: %s; raise the limit of open files "
                    "(ulimit -n)",
                    strerror(errno));
                door_shut(boot);
            }
            return;
        }
        guest_add(boot, fd, &peer);
        if (boot->recheck_at_ns == 0) {
            boot->recheck_at_ns = wh_deadline_after_ms(CROWDED_MS);
            wh_service_wake();
        }
    }
    door_shut(boot);
}

uint64_t wh_door_recheck(struct wh_boot *boot)
{
    uint64_t now_ns = wh_now_ns(), next_ns = WH_NEVER;
    bool crowded = boot->nstrangers >= STRANGERS_MAX;
    uint64_t less_ns = crowded ? (uint64_t)(STRANGER_MS - CROWDED_MS) * 1000000 : 0;
    for (uint32_t i = 0; i < boot->nguest_slots; i++) {
        const struct wh_guest *guest = boot->guests[i];
        if (guest == NULL || guest->rank != WH_NOBODY) {
            continue;
        }
        if (guest->deadline_ns - less_ns <= now_ns) {
            guest_remove(boot, i);
        } else if (guest->deadline_ns - less_ns < next_ns) {
            next_ns = guest->deadline_ns - less_ns;
        }
    }
    if (boot->nstrangers < STRANGERS_MAX) {
        wh_service_watch_door(boot, true);
    }
    return next_ns;
}

void wh_door_close(struct wh_boot *boot)
{
    for (uint32_t i = 0; i < boot->nguest_slots; i++) {
        if (boot->guests[i] != NULL) {
            guest_remove(boot, i);
        }
    }
    free(boot->guests);
    boot->guests = NULL;
    boot->nguest_slots = 0;
    if (boot->listener >= 0) {
        close(boot->listener);
        boot->listener = -1;
    }
}

/* ---- answers -------------------------------------------------------------------------------- */

static void post(struct wh_boot *boot, uint32_t slot, const struct wh_frame *frame)
{
    struct wh_guest *guest = boot->guests[slot];
    if (wh_conn_post(&guest->conn, frame) != WHORL_OK) {
        guest->conn.deaf = true;
    }
    wh_service_watch_guest(boot, slot);
}

static void say(struct wh_boot *boot, uint32_t slot, enum wh_frame_type type, uint32_t rank)
{
    const struct wh_frame frame = {.type = type, .rank = rank, .tag = boot->guests[slot]->epoch};
    post(boot, slot, &frame);
}

static void say_wait(struct wh_boot *boot, uint32_t slot)
{
    if (!boot->guests[slot]->told_to_wait) {
        boot->guests[slot]->told_to_wait = true;
        say(boot, slot, WH_FRAME_WAIT, boot->rank);
    }
}

static void say_over(struct wh_boot *boot, uint32_t slot, whorl_result_t rc, const char *text)
{
    struct wh_boot_failure failure = {.rc = rc};
    uint8_t payload[WH_FAILURE_NBYTES_MAX];
    snprintf(failure.text, sizeof(failure.text), "%s", text);
    const struct wh_frame frame = {
        .type = WH_FRAME_OVER,
        .rank = boot->rank,
        .tag = boot->guests[slot]->epoch,
        .payload = payload,
        .payload_nbytes = (uint32_t)wh_failure_encode(&failure, payload),
    };
    post(boot, slot, &frame);
}

/* This rank's regroup has ended. */
static void answer_after(struct wh_boot *boot, uint32_t slot)
{
    const struct wh_guest *guest = boot->guests[slot];
    const struct wh_regroup *regroup = &boot->regroup;
    if (guest->epoch < regroup->epoch || regroup->verdict == NULL) {
        say(boot, slot, WH_FRAME_LED, WH_NOBODY);
    } else if (wh_verdict_has(regroup->verdict, guest->rank)) {
        const struct wh_frame frame = {
            .type = WH_FRAME_RESULT,
            .rank = boot->rank,
            .tag = guest->epoch,
            .payload = regroup->verdict,
            .payload_nbytes = (uint32_t)wh_verdict_nbytes(boot->nranks),
        };
        post(boot, slot, &frame);
    } else {
        char text[160];
        snprintf(text, sizeof(text),
                 "the survivors have regrouped without rank %u: it was excluded, or did not come "
                 "in time and was taken for dead",
                 guest->rank);
        say_over(boot, slot, WHORL_E_PEER, text);
    }
}

/* Somebody wants to follow, or looks for this rank, while it leads. */
static void answer_as_leader(struct wh_boot *boot, uint32_t slot)
{
    struct wh_guest *guest = boot->guests[slot];
    struct wh_regroup *regroup = &boot->regroup;
    if (!guest->seeks) {
        if (!guest->offered) {
            guest->offered = true;
            say(boot, slot, WH_FRAME_HELD, boot->rank);
        }
    } else if (guest->rank > boot->rank) {
        say(boot, slot, WH_FRAME_LED, boot->rank);
    } else {
        regroup->lower = guest->rank;
        say_wait(boot, slot);
    }
    ring(boot);
}

/* What follows for a guest who has said who it is. */
static void answer(struct wh_boot *boot, uint32_t slot)
{
    const struct wh_guest *guest = boot->guests[slot];
    struct wh_regroup *regroup = &boot->regroup;
    char text[160];
    if (regroup->phase == WH_REGROUP_IDLE || guest->epoch > regroup->epoch) {
        say_wait(boot, slot);
    } else if (guest->epoch < regroup->epoch || regroup->phase == WH_REGROUP_OVER) {
        answer_after(boot, slot);
    } else if (regroup->states[guest->rank] == WH_SURVIVOR_EXCLUDED) {
        snprintf(text, sizeof(text), "the survivors regroup without rank %u: it is excluded",
                 guest->rank);
        say_over(boot, slot, WHORL_E_PEER, text);
    } else if (guest->digest != regroup->digest) {
        snprintf(text, sizeof(text), "rank %u and rank %u exclude different ranks", boot->rank,
                 guest->rank);
        say_over(boot, slot, WHORL_E_MISMATCH, text);
    } else if (regroup->phase == WH_REGROUP_LEADS) {
        answer_as_leader(boot, slot);
    } else if (regroup->phase == WH_REGROUP_FOLLOWS) {
        say(boot, slot, WH_FRAME_LED, regroup->leader);
    } else {
        if (guest->seeks && guest->rank < boot->rank) {
            regroup->lower = guest->rank;
            ring(boot);
        }
        say_wait(boot, slot);
    }
}

void wh_door_announce(struct wh_boot *boot)
{
    for (uint32_t i = 0; i < boot->nguest_slots; i++) {
        if (boot->guests[i] != NULL && boot->guests[i]->rank != WH_NOBODY) {
            bool leads = boot->regroup.phase == WH_REGROUP_LEADS;
            boot->guests[i]->held = boot->guests[i]->held && leads;
            boot->guests[i]->offered = boot->guests[i]->offered && leads;
            answer(boot, i);
        }
    }
}

/* A guest takes the offer to follow this rank: it still lives, and follows nobody else. */
static void guest_holds(struct wh_boot *boot, struct wh_guest *guest)
{
    struct wh_regroup *regroup = &boot->regroup;
    if (regroup->phase != WH_REGROUP_LEADS || !guest->offered) {
        return; /* it will hear where to go */
    }
    guest->held = true;
    regroup->states[guest->rank] = WH_SURVIVOR_HELD;
    regroup->close_ns =
        guest->deadline_ns < regroup->close_ns ? guest->deadline_ns : regroup->close_ns;
    ring(boot);
}

/* False if a rank of this job would not say that. */
static bool guest_says(struct wh_boot *boot, uint32_t slot, const struct wh_frame *frame)
{
    struct wh_guest *guest = boot->guests[slot];
    if (frame->type == WH_FRAME_HELD && guest->rank != WH_NOBODY && frame->tag == guest->epoch) {
        guest_holds(boot, guest);
        return true;
    }
    if ((frame->type != WH_FRAME_COME && frame->type != WH_FRAME_SEEK) || frame->tag == 0 ||
        guest->rank != WH_NOBODY || frame->rank >= boot->nranks || frame->rank == boot->rank) {
        return false;
    }
    struct wh_come come;
    wh_come_decode(frame->payload, &come);
    if (come.to != boot->rank) {
        return false;
    }
    guest->rank = frame->rank;
    guest->epoch = frame->tag;
    guest->digest = come.digest;
    guest->deadline_ns = wh_deadline_after_ms(come.left_ms);
    guest->seeks = frame->type == WH_FRAME_SEEK;
    boot->nstrangers--;
    answer(boot, slot);
    return true;
}

void wh_door_guest_ready(struct wh_boot *boot, uint32_t slot)
{
    struct wh_guest *guest = slot < boot->nguest_slots ? boot->guests[slot] : NULL;
    if (guest == NULL) {
        return;
    }
    struct wh_frame frame;
    whorl_result_t rc = wh_conn_advance(&guest->conn);
    rc = rc != WHORL_OK ? rc : wh_conn_next(&guest->conn, &frame);
    while (rc == WHORL_OK) {
        rc = guest_says(boot, slot, &frame) ? wh_conn_next(&guest->conn, &frame) : WHORL_E_ARG;
    }
    if (rc != WHORL_IN_PROGRESS || guest->conn.ended) {
        guest_remove(boot, slot);
    } else {
        wh_service_watch_guest(boot, slot);
    }
}
