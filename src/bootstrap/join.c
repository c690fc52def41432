/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining: ask the root. Its addresses are tried one after the other, again and again until the
 * deadline, because rank 0 may start later than this rank. Who answers but cannot prove that it
 * knows the secret ends the search, unless another address still may do better.
 */
#include "bootstrap/join.h"

#include "base/clock.h"
#include "base/log.h"
#include "bootstrap/self.h"
#include "bootstrap/service.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    CONNECT_MS = 1000,      /* for one address in the first round; doubles each round ... */
    CONNECT_MS_MAX = 8000,  /* ... up to this */
    SHAKE_MS = 10 * 1000,   /* for the handshake once connected */
    ANSWER_GRACE_MS = 3000, /* how much longer than the root a rank waits */
    MESH_MS_MIN = 10 * 1000,
    PAUSE_MS = 50,      /* between rounds; doubles ... */
    PAUSE_MS_MAX = 500, /* ... up to this */
    ROUNDS_TO_TRUST = 3,
    WHY_NBYTES = 160,
};

/* The search for the root. */
struct search {
    const struct wh_ticket *ticket;
    uint64_t begin_ns, deadline_ns;
    uint32_t round;
    whorl_result_t rcs[WH_NADDRS_MAX];
    char whys[WH_NADDRS_MAX][WHY_NBYTES];
    bool said_files; /* that there are too few descriptors */
};

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

/* Waits for one connection. WHORL_E_TIMEOUT, or what wh_conn_advance() says. */
static whorl_result_t conn_wait(struct wh_conn *conn, uint64_t deadline_ns)
{
    struct pollfd pfd = {.fd = conn->fd, .events = wh_conn_events(conn)};
    int nready = poll(&pfd, 1, wh_ms_until(deadline_ns, 60 * 1000));
    if (nready > 0) {
        return wh_conn_advance(conn);
    }
    return wh_now_ns() >= deadline_ns ? WHORL_E_TIMEOUT : WHORL_OK;
}

/* One try at one address. */
static whorl_result_t try_address(struct search *search, uint32_t i, struct wh_conn *conn)
{
    uint64_t limit_ms = (uint64_t)CONNECT_MS << (search->round < 3 ? search->round : 3);
    uint64_t connect_ns = earlier(wh_deadline_after_ms(limit_ms), search->deadline_ns);
    uint64_t shake_ns = earlier(wh_deadline_after_ms(limit_ms + SHAKE_MS), search->deadline_ns);
    whorl_result_t rc =
        wh_conn_call(conn, &search->ticket->addrs[i], WH_PURPOSE_JOIN, search->ticket->secret);
    while (rc == WHORL_OK && !conn->proved && !conn->ended) {
        rc = conn_wait(conn, conn->connecting ? connect_ns : shake_ns);
    }
    if (rc == WHORL_OK && conn->proved) {
        return WHORL_OK;
    }

    if (rc == WHORL_OK) {
        rc = WHORL_E_SYS;
    }
    if ((conn->error == EMFILE || conn->error == ENFILE) && !search->said_files) {
        /* Later tries may fail for another reason, which would hide the cause. */
        wh_log(WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP,
               "no socket to reach the root with: %s; raise the limit of open files (ulimit -n)",
               strerror(conn->error));
        search->said_files = true;
    }
    search->rcs[i] = rc;
    snprintf(search->whys[i], WHY_NBYTES, "%s",
             rc != WHORL_E_TIMEOUT ? wh_conn_why(conn, rc)
             : conn->connecting    ? "nothing answers"
                                   : "it was connected, but did not answer like a root");
    if (rc == WHORL_E_UNSUPPORTED) {
        snprintf(search->whys[i], WHY_NBYTES, "it speaks version %u of the protocol, not %d",
                 conn->shake.peer_version, WH_PROTOCOL_VERSION);
    }
    wh_conn_close(conn);
    return rc;
}

/* Is there an answer that no further round will change? */
static bool search_is_hopeless(const struct search *search)
{
    bool stranger = false, silent = false;
    for (uint32_t i = 0; i < search->ticket->naddrs; i++) {
        whorl_result_t rc = search->rcs[i];
        stranger =
            stranger || rc == WHORL_E_TRUST || rc == WHORL_E_UNSUPPORTED || rc == WHORL_E_ARG;
        silent = silent || rc == WHORL_E_TIMEOUT;
    }
    return stranger && (!silent || search->round + 1 >= ROUNDS_TO_TRUST);
}

static whorl_result_t search_fail(const struct search *search)
{
    char text[1024], addr[WH_ADDR_TEXT_NBYTES];
    size_t used = 0;
    for (uint32_t i = 0; i < search->ticket->naddrs; i++) {
        const struct wh_addr *at = &search->ticket->addrs[i];
        if (search->rcs[i] == WHORL_E_TRUST) {
            return wh_fail(WHORL_E_TRUST, WH_SUBSYS_BOOTSTRAP,
                           "the root at %s does not know this job's secret, or this is another job",
                           wh_addr_print(at, addr));
        }
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s (%s)", i > 0 ? ", " : "",
                                 wh_addr_print(at, addr), search->whys[i]);
        assert(used < sizeof(text));
    }
    for (uint32_t i = 0; i < search->ticket->naddrs; i++) {
        if (search->rcs[i] == WHORL_E_UNSUPPORTED || search->rcs[i] == WHORL_E_ARG) {
            return wh_fail(WHORL_E_TRUST, WH_SUBSYS_BOOTSTRAP, "no root of this job at %s", text);
        }
    }
    return wh_fail(WHORL_E_TIMEOUT, WH_SUBSYS_BOOTSTRAP,
                   "no root at %s after %" PRIu64 " s: is rank 0 running?", text,
                   (wh_now_ns() - search->begin_ns + 500000000u) / 1000000000u);
}

/* Connects to the root and proves; conn is then the caller's. Errors are reported. */
static whorl_result_t find_root(const struct wh_ticket *ticket, uint64_t deadline_ns,
                                struct wh_conn *conn)
{
    struct search search = {
        .ticket = ticket,
        .begin_ns = wh_now_ns(),
        .deadline_ns = deadline_ns,
    };
    static_assert(WH_NADDRS_MAX * (WHY_NBYTES + WH_ADDR_TEXT_NBYTES + 8) < 2 * 1024, "fits");
    int pause_ms = PAUSE_MS;
    for (;;) {
        for (uint32_t i = 0; i < ticket->naddrs; i++) {
            if (try_address(&search, i, conn) == WHORL_OK) {
                return WHORL_OK;
            }
        }
        if (search_is_hopeless(&search) || wh_now_ns() >= deadline_ns) {
            return search_fail(&search);
        }
        (void)poll(NULL, 0, wh_ms_until(deadline_ns, pause_ms));
        pause_ms = 2 * pause_ms < PAUSE_MS_MAX ? 2 * pause_ms : PAUSE_MS_MAX;
        search.round++;
    }
}

/* Reads whom to connect to. */
static bool take_welcome(struct wh_boot *boot, const struct wh_frame *frame)
{
    if (frame->payload_nbytes != boot->nrounds * WH_MEMBER_NBYTES) {
        return false;
    }
    for (uint32_t k = 0; k < boot->nrounds; k++) {
        const uint8_t *bytes = (const uint8_t *)frame->payload + k * WH_MEMBER_NBYTES;
        struct wh_member *peer = &boot->edges[k].peer;
        if (!wh_member_decode(bytes, WH_MEMBER_NBYTES, peer) || peer->nranks != boot->nranks ||
            peer->rank != (boot->rank + (1u << k)) % boot->nranks || peer->naddrs == 0) {
            return false;
        }
    }
    return true;
}

static whorl_result_t take_answer(struct wh_boot *boot, const struct wh_frame *frame,
                                  const char *root)
{
    if (frame->type == WH_FRAME_WELCOME && take_welcome(boot, frame)) {
        return WHORL_OK;
    }
    if (frame->type == WH_FRAME_REFUSE) {
        struct wh_failure failure;
        wh_failure_decode(frame->payload, frame->payload_nbytes, &failure);
        return wh_fail(failure.rc, WH_SUBSYS_BOOTSTRAP, "%s", failure.text);
    }
    return wh_fail(WHORL_E_INTERNAL, WH_SUBSYS_BOOTSTRAP,
                   "the answer of the root at %s makes no sense", root);
}

whorl_result_t wh_join_root(struct wh_boot *boot, const struct wh_ticket *ticket,
                            uint64_t deadline_ns)
{
    struct wh_conn conn;
    whorl_result_t rc = find_root(ticket, deadline_ns, &conn);
    if (rc != WHORL_OK) {
        return rc;
    }

    char root[WH_ADDR_TEXT_NBYTES];
    wh_addr_print(&conn.peer, root);
    uint8_t payload[WH_MEMBER_NBYTES];
    wh_member_encode(&boot->self, payload);
    const struct wh_frame join = {
        .type = WH_FRAME_JOIN,
        .payload = payload,
        .payload_nbytes = sizeof(payload),
    };
    struct wh_frame answer;
    uint64_t answer_ns = deadline_ns + ANSWER_GRACE_MS * 1000000ull;
    rc = wh_conn_post(&conn, &join);
    rc = rc != WHORL_OK ? rc : wh_conn_next(&conn, &answer);
    while (rc == WHORL_IN_PROGRESS && !conn.ended) {
        rc = conn_wait(&conn, answer_ns);
        rc = rc != WHORL_OK ? rc : wh_conn_next(&conn, &answer);
    }

    if (rc == WHORL_OK) {
        rc = take_answer(boot, &answer, root);
    } else if (rc == WHORL_E_TIMEOUT) {
        rc = wh_fail(rc, WH_SUBSYS_BOOTSTRAP, "the root at %s did not answer in time", root);
    } else if (rc == WHORL_IN_PROGRESS) {
        rc = wh_fail(WHORL_E_PEER, WH_SUBSYS_BOOTSTRAP,
                     "the root at %s ended before all ranks had joined: did the process that made "
                     "the id end?",
                     root);
    } else {
        rc = wh_fail(rc, WH_SUBSYS_BOOTSTRAP, "no answer from the root at %s", root);
    }
    wh_conn_close(&conn);
    return rc;
}

/* ---- the whole join ------------------------------------------------------------------------- */

static whorl_result_t describe_self(struct wh_boot *boot, uint64_t timeout_ms)
{
    struct wh_member *self = &boot->self;
    self->rank = boot->rank;
    self->nranks = boot->nranks;
    self->pid = (uint32_t)boot->pid;
    self->timeout_ms = timeout_ms < UINT32_MAX ? (uint32_t)timeout_ms : UINT32_MAX;
    snprintf(self->host, sizeof(self->host), "%s", wh_host_name());
    return wh_self_addrs(self->addrs, &self->naddrs);
}

/* Everything after the arguments have been checked; fills boot. */
static whorl_result_t join(struct wh_boot *boot, const struct wh_ticket *ticket,
                           uint64_t timeout_ms)
{
    uint64_t deadline_ns = wh_deadline_after_ms(timeout_ms);
    enum wh_family family;
    int listener;
    whorl_result_t rc = wh_self_family(&family);
    if (rc == WHORL_OK) {
        rc = describe_self(boot, timeout_ms);
    }
    const struct wh_addr *loopback = wh_ticket_loopback(ticket);
    if (rc == WHORL_OK && loopback != NULL) {
        boot->self.addrs[0] = *loopback;
        boot->self.naddrs = 1;
        rc = wh_sock_listen_at(loopback, 0, &listener, &boot->self.port);
    } else if (rc == WHORL_OK) {
        rc = wh_sock_listen(family, 0, &listener, &boot->self.port);
    }
    if (rc != WHORL_OK) {
        return rc;
    }

    rc = wh_join_root(boot, ticket, deadline_ns);
    if (rc == WHORL_OK) {
        uint64_t least_ns = wh_deadline_after_ms(MESH_MS_MIN);
        rc = wh_join_mesh(boot, ticket, listener, least_ns > deadline_ns ? least_ns : deadline_ns);
    }
    close(listener);
    return rc == WHORL_OK ? wh_service_add(boot) : rc;
}

whorl_result_t wh_boot_join(const struct wh_boot_join_args *args, struct wh_boot **boot_out)
{
    if (args->nranks < 1 || args->nranks > WH_NRANKS_MAX || args->rank >= args->nranks) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_BOOTSTRAP,
                       "rank %u of %u ranks: there are 1 to %d ranks, numbered from 0", args->rank,
                       args->nranks, WH_NRANKS_MAX);
    }
    struct wh_ticket ticket;
    if (!wh_ticket_decode(args->id, &ticket)) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_BOOTSTRAP, "this is no id, or it was mangled");
    }

    struct wh_boot *boot = wh_rank_create(args);
    whorl_result_t rc;
    if (boot == NULL) {
        rc = wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory to join");
    } else {
        rc = join(boot, &ticket, args->timeout_ms);
    }
    wh_ticket_fini(&ticket);
    if (rc == WHORL_OK) {
        *boot_out = boot;
    } else if (boot != NULL) {
        wh_rank_destroy(boot);
    }
    return rc;
}
