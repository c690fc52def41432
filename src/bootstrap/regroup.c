/* SPDX-License-Identifier: Apache-2.0 */
/* The thread of a survivor: looks for whom to follow, or leads. See regroup.h for the rules. */
#include "bootstrap/regroup.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "bootstrap/call.h"
#include "bootstrap/rank.h"
#include "bootstrap/root.h"
#include "bootstrap/self.h"
#include "bootstrap/service.h"
#include "bootstrap/verdict.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 1000, /* for a sign of life */
    GRACE_MS = 100,     /* before a leader looks for those who have not come */
    PASS_MS = 300,      /* between looking for the same ones */
    NPROBES = 32,       /* looked for at a time */
    MARGIN_MS = 1000,   /* the verdict comes so long before the deadline, or ... */
    MARGIN_SHARE = 8,   /* ... this part of the time there is */
    POLL_MS_MAX = 1000,
    MOVE_PAUSE_MS = 5,
    STRIKES_MAX = 3, /* lost connections; silence is enough once */
};

/* What comes next. */
enum next { NEXT_DONE, NEXT_FAIL, NEXT_MOVE, NEXT_OTHER };

struct survivor {
    struct wh_boot *boot;
    uint64_t deadline_ns, margin_ns;
    uint64_t digest;
    uint8_t *strikes;  /* by rank: who has STRIKES_MAX is not asked again whether it leads */
    uint32_t target;   /* of NEXT_MOVE */
    bool *alive;       /* of NEXT_DONE */
    whorl_id_t *id;    /* of NEXT_DONE */
    whorl_result_t rc; /* of NEXT_FAIL, reported */
};

static enum next fail(struct survivor *me, whorl_result_t rc)
{
    me->rc = rc;
    return NEXT_FAIL;
}

static enum next move(struct survivor *me, uint32_t target)
{
    me->target = target;
    return NEXT_MOVE;
}

static void set_phase(struct survivor *me, enum wh_regroup_phase phase, uint32_t leader)
{
    struct wh_regroup *regroup = &me->boot->regroup;
    wh_service_lock();
    regroup->phase = phase;
    regroup->leader = leader;
    wh_door_announce(me->boot);
    wh_service_unlock();
    if (phase != WH_REGROUP_SEEKS) {
        wh_log(WH_LOG_INFO, WH_SUBSYS_BOOTSTRAP, "rank %u regroups: it %s rank %u", me->boot->rank,
               phase == WH_REGROUP_LEADS ? "leads, and is" : "follows", leader);
    }
}

static void mark_dead(struct survivor *me, uint32_t rank)
{
    wh_service_lock();
    if (me->boot->regroup.states[rank] == WH_SURVIVOR_UNKNOWN) {
        me->boot->regroup.states[rank] = WH_SURVIVOR_DEAD;
    }
    wh_service_unlock();
}

static struct wh_come come_to(const struct survivor *me, uint32_t rank)
{
    return (struct wh_come){
        .digest = me->digest,
        .left_ms = (uint32_t)wh_ms_until(me->deadline_ns, INT32_MAX),
        .to = rank,
    };
}

static uint64_t soonest(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

/* The end of RESULT: this rank has the verdict, and tells it to who asks later. */
static enum next take_verdict(struct survivor *me, const uint8_t *payload, size_t nbytes)
{
    struct wh_boot *boot = me->boot;
    whorl_result_t rc = wh_verdict_read(boot->trust.secret, boot->regroup.epoch, payload, nbytes,
                                        boot->nranks, me->alive, me->id);
    bool sane = rc != WHORL_E_ARG;
    wh_service_lock();
    for (uint32_t rank = 0; rank < boot->nranks && rc == WHORL_OK; rank++) {
        sane = sane && !(me->alive[rank] && boot->regroup.states[rank] == WH_SURVIVOR_EXCLUDED);
    }
    wh_service_unlock();
    sane = sane && (rc != WHORL_OK || me->alive[boot->rank]);
    if (!sane) {
        return fail(me, wh_fail(WHORL_E_PEER, WH_SUBSYS_BOOTSTRAP,
                                "the verdict of the survivors makes no sense"));
    }
    if (rc != WHORL_OK) {
        return fail(me, rc);
    }
    uint8_t *verdict = malloc(nbytes);
    if (verdict == NULL) {
        return fail(me, wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory to regroup"));
    }
    memcpy(verdict, payload, nbytes);
    wh_service_lock();
    boot->regroup.verdict = verdict;
    wh_service_unlock();
    return NEXT_DONE;
}

/* ---- what a called rank says ---------------------------------------------------------------- */

static enum next take_over(struct survivor *me, const struct wh_frame *frame)
{
    struct wh_boot_failure failure;
    wh_failure_decode(frame->payload, frame->payload_nbytes, &failure);
    return fail(me, wh_fail(failure.rc, WH_SUBSYS_BOOTSTRAP, "%s", failure.text));
}

/* Somebody says that rank leads. */
static enum next take_led(struct survivor *me, uint32_t rank)
{
    const struct wh_boot *boot = me->boot;
    if (rank >= boot->nranks || rank == boot->rank ||
        boot->regroup.states[rank] == WH_SURVIVOR_EXCLUDED) {
        return NEXT_OTHER;
    }
    return move(me, rank);
}

/* ---- following ------------------------------------------------------------------------------ */

static uint32_t lower_leader(struct survivor *me)
{
    wh_service_lock();
    uint32_t lower = me->boot->regroup.lower;
    me->boot->regroup.lower = WH_NOBODY;
    wh_service_unlock();
    return lower;
}

static void bell_read(const struct wh_boot *boot)
{
    uint64_t count;
    (void)!read(boot->regroup.bell, &count, sizeof(count));
}

/* Waits for the bell or for what one call waits for. */
static void call_wait(const struct survivor *me, const struct wh_call *call, uint64_t until_ns)
{
    struct pollfd pfds[1 + WH_DIAL_NADDRS_MAX];
    pfds[0] = (struct pollfd){.fd = me->boot->regroup.bell, .events = POLLIN};
    uint32_t npfds = 1 + wh_call_pollfds(call, pfds + 1);
    until_ns = soonest(until_ns, wh_call_due_ns(call));
    (void)poll(pfds, npfds, wh_ms_until(until_ns, POLL_MS_MAX));
    bell_read(me->boot);
}

/* One step of following: NEXT_OTHER with *go_on set means that there is nothing new. */
static enum next follow_step(struct survivor *me, struct wh_call *call, uint64_t *until_ns,
                             bool *go_on)
{
    struct wh_frame frame;
    *go_on = false;
    switch (wh_call_advance(call, &frame)) {
    case WH_CALL_BUSY:
        break;
    case WH_CALL_SILENT:
        me->strikes[call->rank] = STRIKES_MAX;
        return NEXT_OTHER;
    case WH_CALL_LOST:
        me->strikes[call->rank]++;
        return NEXT_OTHER;
    case WH_CALL_GONE:
        mark_dead(me, call->rank);
        return NEXT_OTHER;
    case WH_CALL_SAID:
        if (frame.type == WH_FRAME_HELD) {
            *until_ns = me->deadline_ns;
            set_phase(me, WH_REGROUP_FOLLOWS, call->rank);
            const struct wh_frame held = {.type = WH_FRAME_HELD, .tag = frame.tag};
            if (wh_conn_post(&call->conn, &held) != WHORL_OK) {
                return fail(me,
                            wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory to regroup"));
            }
        } else if (frame.type == WH_FRAME_LED) {
            enum next next = take_led(me, frame.rank);
            me->strikes[call->rank] = next == NEXT_OTHER ? STRIKES_MAX : 0;
            return next;
        } else if (frame.type == WH_FRAME_RESULT) {
            return take_verdict(me, frame.payload, frame.payload_nbytes);
        } else if (frame.type == WH_FRAME_OVER) {
            return take_over(me, &frame);
        } else {
            uint64_t now_ns = wh_now_ns();
            *until_ns = now_ns < me->deadline_ns ? now_ns + (me->deadline_ns - now_ns) / 2 : now_ns;
        }
        *go_on = true;
        return NEXT_OTHER;
    }

    uint32_t lower = lower_leader(me);
    if (lower != WH_NOBODY && lower != call->rank) {
        return move(me, lower);
    }
    if (wh_now_ns() >= *until_ns) {
        me->strikes[call->rank] = STRIKES_MAX;
        return NEXT_OTHER;
    }
    *go_on = true;
    call_wait(me, call, *until_ns);
    return NEXT_OTHER;
}

/* Asks rank whether it leads, and follows it if so. */
static enum next follow(struct survivor *me, uint32_t rank)
{
    struct wh_call call;
    struct wh_come come = come_to(me, rank);
    uint64_t patience_ns = soonest(wh_deadline_after_ms(PATIENCE_MS), me->deadline_ns);
    uint64_t until_ns = WH_NEVER;
    wh_call_begin(&call, me->boot, rank, WH_FRAME_COME, &come, patience_ns);
    bool go_on = true;
    enum next next = NEXT_OTHER;
    while (go_on) {
        next = follow_step(me, &call, &until_ns, &go_on);
        if (wh_now_ns() >= me->deadline_ns && next == NEXT_OTHER) {
            go_on = false;
        }
    }
    wh_call_end(&call);
    if (next == NEXT_OTHER || next == NEXT_MOVE) {
        set_phase(me, WH_REGROUP_SEEKS, WH_NOBODY);
    }
    return next;
}

/* ---- leading -------------------------------------------------------------------------------- */

struct leader {
    struct survivor *me;
    struct wh_call probes[NPROBES];
    uint32_t cursor;  /* the next rank to look for */
    uint64_t pass_ns; /* when the next pass over all ranks may begin */
};

static uint32_t count_unknown(struct survivor *me)
{
    uint32_t nunknown = 0;
    wh_service_lock();
    for (uint32_t rank = 0; rank < me->boot->nranks; rank++) {
        nunknown += me->boot->regroup.states[rank] == WH_SURVIVOR_UNKNOWN;
    }
    wh_service_unlock();
    return nunknown;
}

/* The next rank to look for; WH_NOBODY: none in this pass. */
static uint32_t next_unknown(struct leader *leader)
{
    struct wh_boot *boot = leader->me->boot;
    uint32_t rank = leader->cursor;
    wh_service_lock();
    while (rank < boot->nranks && boot->regroup.states[rank] != WH_SURVIVOR_UNKNOWN) {
        rank++;
    }
    wh_service_unlock();
    leader->cursor = rank + 1;
    return rank < boot->nranks ? rank : WH_NOBODY;
}

static void probes_begin(struct leader *leader)
{
    struct survivor *me = leader->me;
    uint64_t now_ns = wh_now_ns();
    bool idle = true;
    for (uint32_t i = 0; i < NPROBES; i++) {
        idle = idle && !leader->probes[i].open;
    }
    if (idle && leader->cursor >= me->boot->nranks && leader->pass_ns <= now_ns) {
        leader->cursor = 0;
        leader->pass_ns = now_ns + PASS_MS * 1000000ull;
    }
    for (uint32_t i = 0; i < NPROBES && leader->cursor < me->boot->nranks; i++) {
        uint32_t rank = leader->probes[i].open ? WH_NOBODY : next_unknown(leader);
        if (rank != WH_NOBODY) {
            struct wh_come come = come_to(me, rank);
            uint64_t patience_ns = soonest(wh_deadline_after_ms(PATIENCE_MS), me->deadline_ns);
            wh_call_begin(&leader->probes[i], me->boot, rank, WH_FRAME_SEEK, &come, patience_ns);
        }
    }
}

/* NEXT_OTHER: nothing that ends the leading. */
static enum next probe_advance(struct leader *leader, struct wh_call *probe)
{
    struct survivor *me = leader->me;
    struct wh_frame frame;
    enum next next = NEXT_OTHER;
    enum wh_call_state state = wh_call_advance(probe, &frame);
    if (state == WH_CALL_BUSY) {
        return NEXT_OTHER;
    }
    if (state == WH_CALL_GONE ||
        (state == WH_CALL_SAID && frame.type == WH_FRAME_LED && frame.rank == WH_NOBODY)) {
        mark_dead(me, probe->rank);
    } else if (state == WH_CALL_SAID && frame.type == WH_FRAME_LED) {
        next = frame.rank < me->boot->rank ? take_led(me, frame.rank) : NEXT_OTHER;
    } else if (state == WH_CALL_SAID && frame.type == WH_FRAME_RESULT) {
        next = take_verdict(me, frame.payload, frame.payload_nbytes);
    } else if (state == WH_CALL_SAID && frame.type == WH_FRAME_OVER) {
        next = take_over(me, &frame);
    }
    wh_call_end(probe);
    return next;
}

/* Waits for the bell, or for what the probes wait for. */
static void leader_wait(const struct leader *leader, uint64_t until_ns)
{
    struct pollfd pfds[1 + NPROBES * WH_DIAL_NADDRS_MAX];
    uint32_t npfds = 1;
    pfds[0] = (struct pollfd){.fd = leader->me->boot->regroup.bell, .events = POLLIN};
    bool idle = true;
    for (uint32_t i = 0; i < NPROBES; i++) {
        if (leader->probes[i].open) {
            idle = false;
            until_ns = soonest(until_ns, wh_call_due_ns(&leader->probes[i]));
            npfds += wh_call_pollfds(&leader->probes[i], pfds + npfds);
        }
    }
    until_ns = idle ? soonest(until_ns, leader->pass_ns) : until_ns;
    (void)poll(pfds, npfds, wh_ms_until(until_ns, POLL_MS_MAX));
    bell_read(leader->me->boot);
}

/* Until all have come or are dead, or it is time; or another one leads. */
static enum next gather(struct leader *leader)
{
    struct survivor *me = leader->me;
    struct wh_regroup *regroup = &me->boot->regroup;
    leader->pass_ns = wh_deadline_after_ms(GRACE_MS);
    leader->cursor = me->boot->nranks;
    while (count_unknown(me) > 0) {
        uint32_t lower = lower_leader(me);
        if (lower != WH_NOBODY) {
            return take_led(me, lower);
        }
        wh_service_lock();
        uint64_t close_ns = soonest(regroup->close_ns, me->deadline_ns);
        wh_service_unlock();
        close_ns = close_ns > me->margin_ns ? close_ns - me->margin_ns : 0;
        if (wh_now_ns() >= close_ns) {
            return NEXT_DONE;
        }
        probes_begin(leader);
        for (uint32_t i = 0; i < NPROBES; i++) {
            enum next next =
                leader->probes[i].open ? probe_advance(leader, &leader->probes[i]) : NEXT_OTHER;
            if (next != NEXT_OTHER) {
                return next == NEXT_DONE ? NEXT_OTHER : next; /* done by another's verdict */
            }
        }
        leader_wait(leader, close_ns);
    }
    return NEXT_DONE;
}

/* Makes the verdict over those who are held, and starts the new root. With the lock, so that nobody
 * comes between what the verdict says and what this rank says afterwards. */
static whorl_result_t judge(struct survivor *me, uint8_t *payload)
{
    struct wh_boot *boot = me->boot;
    struct wh_ticket ticket;
    int listener;
    whorl_result_t rc = wh_self_host(&boot->self, &ticket, &listener);
    if (rc != WHORL_OK) {
        return rc;
    }
    for (uint32_t rank = 0; rank < boot->nranks; rank++) {
        me->alive[rank] = boot->regroup.states[rank] == WH_SURVIVOR_HELD;
    }
    rc = wh_verdict_make(boot->trust.secret, boot->regroup.epoch, me->alive, boot->nranks, &ticket,
                         payload);
    if (rc == WHORL_OK) {
        wh_ticket_encode(&ticket, me->id);
        rc = wh_root_start(&ticket, listener);
    } else {
        close(listener);
    }
    wh_ticket_fini(&ticket);
    return rc;
}

static enum next pronounce(struct survivor *me)
{
    struct wh_boot *boot = me->boot;
    uint8_t *payload = malloc(wh_verdict_nbytes(boot->nranks));
    if (payload == NULL) {
        return fail(me, wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory to regroup"));
    }
    wh_service_lock();
    whorl_result_t rc = judge(me, payload);
    if (rc == WHORL_OK) {
        boot->regroup.verdict = payload;
        boot->regroup.phase = WH_REGROUP_OVER;
    }
    wh_service_unlock();
    if (rc != WHORL_OK) {
        free(payload);
        return fail(me, rc);
    }
    return NEXT_DONE;
}

static enum next lead(struct survivor *me)
{
    struct leader *leader = calloc(1, sizeof(*leader));
    if (leader == NULL) {
        return fail(me, wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory to regroup"));
    }
    leader->me = me;
    me->boot->regroup.close_ns = WH_NEVER;
    set_phase(me, WH_REGROUP_LEADS, me->boot->rank);
    enum next next = gather(leader);
    for (uint32_t i = 0; i < NPROBES; i++) {
        wh_call_end(&leader->probes[i]);
    }
    free(leader);
    if (next == NEXT_DONE && wh_now_ns() < me->deadline_ns) {
        return pronounce(me);
    }
    if (next == NEXT_DONE) {
        /* This process stood still: whoever followed it has given it up by now. */
        next = NEXT_OTHER;
    }
    if (next == NEXT_OTHER && me->boot->regroup.verdict != NULL) {
        return NEXT_DONE;
    }
    wh_service_lock();
    for (uint32_t rank = 0; rank < me->boot->nranks; rank++) {
        uint8_t *state = &me->boot->regroup.states[rank];
        bool held = *state == WH_SURVIVOR_HELD && rank != me->boot->rank;
        *state = held ? WH_SURVIVOR_UNKNOWN : *state;
    }
    wh_service_unlock();
    if (next == NEXT_MOVE) {
        set_phase(me, WH_REGROUP_FOLLOWS, me->target); /* followers are sent there too */
    } else {
        set_phase(me, WH_REGROUP_SEEKS, WH_NOBODY);
    }
    return next;
}

/* ---- the whole ------------------------------------------------------------------------------ */

/* The lowest rank that may lead this one; WH_NOBODY: none. */
static uint32_t candidate(struct survivor *me)
{
    const struct wh_boot *boot = me->boot;
    for (uint32_t rank = 0; rank < boot->rank; rank++) {
        if (boot->regroup.states[rank] == WH_SURVIVOR_UNKNOWN && me->strikes[rank] < STRIKES_MAX) {
            return rank;
        }
    }
    return WH_NOBODY;
}

static enum next run(struct survivor *me)
{
    uint32_t target = WH_NOBODY;
    for (;;) {
        target = target != WH_NOBODY ? target : candidate(me);
        enum next next = target != WH_NOBODY ? follow(me, target) : lead(me);
        if (next == NEXT_DONE || next == NEXT_FAIL) {
            return next;
        }
        if (wh_now_ns() >= me->deadline_ns) {
            return fail(me, wh_fail(WHORL_E_TIMEOUT, WH_SUBSYS_BOOTSTRAP,
                                    "rank %u waited in vain for the other survivors to regroup",
                                    me->boot->rank));
        }
        target = next == NEXT_MOVE ? me->target : WH_NOBODY;
        if (next == NEXT_MOVE) {
            (void)poll(NULL, 0, MOVE_PAUSE_MS);
        }
    }
}

/* Begins the next epoch, with the lock. */
static whorl_result_t begin(struct wh_boot *boot, const uint32_t *excluded, uint32_t nexcluded)
{
    struct wh_regroup *regroup = &boot->regroup;
    uint8_t *states = calloc(boot->nranks, 1);
    int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (states == NULL || bell < 0) {
        free(states);
        if (bell >= 0) {
            close(bell);
            return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory to regroup");
        }
        return wh_fail_sys(WH_SUBSYS_BOOTSTRAP, "cannot make an event to regroup with");
    }

    for (uint32_t i = 0; i < nexcluded; i++) {
        states[excluded[i]] = WH_SURVIVOR_EXCLUDED;
    }
    /* Over the set, so that order and repetitions play no part. */
    regroup->digest = wh_hash(WH_HASH_START, states, boot->nranks);
    states[boot->rank] =
        states[boot->rank] == WH_SURVIVOR_EXCLUDED ? WH_SURVIVOR_EXCLUDED : WH_SURVIVOR_HELD;
    free(regroup->states);
    free(regroup->verdict);
    regroup->states = states;
    regroup->verdict = NULL;
    regroup->bell = bell;
    regroup->epoch++;
    regroup->lower = WH_NOBODY;
    regroup->phase = WH_REGROUP_SEEKS;
    return WHORL_OK;
}

/* The epoch is over, whatever came of it. */
static void finish(struct wh_boot *boot)
{
    wh_service_lock();
    boot->regroup.phase = WH_REGROUP_OVER;
    close(boot->regroup.bell);
    boot->regroup.bell = -1;
    wh_door_announce(boot);
    wh_service_unlock();
}

whorl_result_t wh_boot_regroup(struct wh_boot *boot, const uint32_t *excluded, uint32_t nexcluded,
                               bool *alive_out, whorl_id_t *id_out, uint64_t deadline_ns)
{
    bool self_excluded = false;
    for (uint32_t i = 0; i < nexcluded; i++) {
        if (excluded[i] >= boot->nranks) {
            return wh_fail(WHORL_E_ARG, WH_SUBSYS_BOOTSTRAP,
                           "rank %u is to be excluded, but there are %u ranks", excluded[i],
                           boot->nranks);
        }
        self_excluded = self_excluded || excluded[i] == boot->rank;
    }

    wh_service_lock();
    whorl_result_t rc = begin(boot, excluded, nexcluded);
    wh_service_unlock();
    if (rc != WHORL_OK) {
        return rc;
    }
    uint64_t now_ns = wh_now_ns(), left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    struct survivor me = {
        .boot = boot,
        .deadline_ns = deadline_ns,
        .margin_ns = soonest(MARGIN_MS * 1000000ull, left_ns / MARGIN_SHARE),
        .digest = boot->regroup.digest,
        .strikes = calloc(boot->nranks, 1),
        .alive = alive_out,
        .id = id_out,
    };
    if (me.strikes == NULL) {
        (void)fail(&me, wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory to regroup"));
    } else if (self_excluded) {
        (void)fail(&me,
                   wh_fail(WHORL_E_PEER, WH_SUBSYS_BOOTSTRAP,
                           "the survivors regroup without rank %u: it is excluded", boot->rank));
    } else {
        (void)run(&me);
    }
    finish(boot);
    free(me.strikes);
    return me.rc;
}
