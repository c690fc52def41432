/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining: ask the root. Its addresses are dialled again and again until the deadline, because rank
 * 0 may start later than this rank. Who answers but cannot prove that it knows the secret is not
 * asked again, and ends the search when no other address is left.
 */
#include "bootstrap/join.h"

#include "base/clock.h"
#include "base/dial.h"
#include "base/log.h"
#include "bootstrap/root.h"
#include "bootstrap/self.h"
#include "bootstrap/service.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SHAKE_MS = 10 * 1000,   /* for the handshake once connected */
    ANSWER_GRACE_MS = 3000, /* how much longer than the root a rank waits */
    MESH_MS_MIN = 10 * 1000,
    WHY_PAUSE_MS = 200,
    AGAIN_PAUSE_MS = 50,
    STAGGER_FROM = 4096, /* from so many ranks on they do not come all at once, but one every ... */
    STAGGER_NS = 100 * 1000,
    STAGGER_SEALED_NS = 400 * 1000, /* of ranks that encrypt, for whom the root has to work more */
    POLL_MS_MAX = 60 * 1000,
};

/* The search for the root. */
struct search {
    const struct wh_ticket *ticket;
    const struct wh_trust *trust;
    uint64_t begin_ns, deadline_ns;
    struct wh_dial dial;
    whorl_result_t stranger; /* what kind of stranger answered somewhere; WHORL_OK: none */
    struct wh_addr stranger_addr;
    uint16_t stranger_version;
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
    int nready = poll(&pfd, 1, wh_ms_until(deadline_ns, POLL_MS_MAX));
    if (nready > 0) {
        return wh_conn_advance(conn);
    }
    return wh_now_ns() >= deadline_ns ? WHORL_E_TIMEOUT : WHORL_OK;
}

/* Connects to any of the addresses; as wh_dial_advance(), but not WHORL_IN_PROGRESS. */
static whorl_result_t dial_wait(struct wh_dial *dial, int *fd_out, struct wh_addr *addr_out)
{
    whorl_result_t rc;
    while ((rc = wh_dial_advance(dial, fd_out, addr_out)) == WHORL_IN_PROGRESS) {
        int fds[WH_DIAL_NADDRS_MAX];
        struct pollfd pfds[WH_DIAL_NADDRS_MAX];
        uint32_t nfds = wh_dial_fds(dial, fds, WH_DIAL_NADDRS_MAX);
        for (uint32_t i = 0; i < nfds; i++) {
            pfds[i] = (struct pollfd){.fd = fds[i], .events = POLLOUT};
        }
        (void)poll(pfds, nfds, wh_ms_until(dial->next_ns, POLL_MS_MAX));
    }
    return rc;
}

/* Later tries may fail for another reason, which would hide the cause. */
static void search_say_files(struct search *search)
{
    for (uint32_t i = 0; i < search->dial.naddrs && !search->said_files; i++) {
        int error = search->dial.tries[i].error;
        if (error == EMFILE || error == ENFILE) {
            wh_log(
                WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP,
                "no socket to reach the root with: %s; raise the limit of open files (ulimit -n)",
                strerror(error));
            search->said_files = true;
        }
    }
}

/* The handshake with whoever was reached at addr. False: it is not the root, or not now. */
static bool search_prove(struct search *search, int fd, const struct wh_addr *addr,
                         struct wh_conn *conn)
{
    uint64_t shake_ns = earlier(wh_deadline_after_ms(SHAKE_MS), search->deadline_ns);
    whorl_result_t rc = wh_conn_call(conn, fd, addr, WH_PURPOSE_JOIN, search->trust);
    while (rc == WHORL_OK && !conn->proved && !conn->ended) {
        rc = conn_wait(conn, shake_ns);
    }
    if (rc == WHORL_OK && conn->proved) {
        return true;
    }

    bool stranger = rc == WHORL_E_TRUST || rc == WHORL_E_UNSUPPORTED || rc == WHORL_E_ARG ||
                    rc == WHORL_E_CONFIG;
    if (stranger && search->stranger != WHORL_E_TRUST) {
        search->stranger = rc;
        search->stranger_addr = *addr;
        search->stranger_version = conn->shake.peer_version;
    }
    const char *why = rc == WHORL_E_TIMEOUT ? "it was connected, but did not answer like a root"
                      : conn->error != 0    ? "it closed the connection"
                                            : wh_conn_why(conn, rc);
    wh_conn_close(conn);
    wh_dial_reject(&search->dial, why, stranger);
    return false;
}

static whorl_result_t search_fail(const struct search *search)
{
    char why[WH_DIAL_WHY_NBYTES], addr[WH_ADDR_TEXT_NBYTES];
    wh_dial_why(&search->dial, why);
    wh_addr_print(&search->stranger_addr, addr);
    switch (search->stranger) {
    case WHORL_E_TRUST:
        return wh_fail(WHORL_E_TRUST, WH_SUBSYS_BOOTSTRAP,
                       "the root at %s does not know this job's secret, or this is another job",
                       addr);
    case WHORL_E_UNSUPPORTED:
        return wh_fail(WHORL_E_TRUST, WH_SUBSYS_BOOTSTRAP,
                       "no root of this job at %s: it speaks version %u of the protocol, not %d",
                       addr, search->stranger_version, WH_PROTOCOL_VERSION);
    case WHORL_E_ARG:
        return wh_fail(WHORL_E_TRUST, WH_SUBSYS_BOOTSTRAP, "no root of this job at %s", why);
    case WHORL_E_CONFIG:
        return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_BOOTSTRAP,
                       "WHORL_ENCRYPT=%d here, but not at the root at %s: set it on all ranks, or "
                       "on none",
                       search->trust->encrypts, addr);
    default:
        break;
    }
    return wh_fail(WHORL_E_TIMEOUT, WH_SUBSYS_BOOTSTRAP,
                   "no root at %s; tried for %" PRIu64 " s: is rank 0 running?", why,
                   (wh_now_ns() - search->begin_ns + 500000000u) / 1000000000u);
}

/* Connects to the root and proves; conn is then the caller's. Errors are reported. */
static whorl_result_t find_root(const struct wh_ticket *ticket, const struct wh_trust *trust,
                                uint64_t deadline_ns, struct wh_conn *conn)
{
    struct search search = {
        .ticket = ticket,
        .trust = trust,
        .begin_ns = wh_now_ns(),
        .deadline_ns = deadline_ns,
    };
    whorl_result_t rc = WHORL_OK;
    while (rc != WHORL_E_TIMEOUT && search.stranger == WHORL_OK) {
        wh_dial_fini(&search.dial);
        wh_dial_start(&search.dial, ticket->addrs, ticket->naddrs, deadline_ns);
        int fd;
        struct wh_addr addr;
        while ((rc = dial_wait(&search.dial, &fd, &addr)) == WHORL_OK) {
            if (search_prove(&search, fd, &addr, conn)) {
                wh_dial_fini(&search.dial);
                return WHORL_OK;
            }
        }
        search_say_files(&search);
    }
    rc = search_fail(&search);
    wh_dial_fini(&search.dial);
    return rc;
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
        boot->edges[k].known = true;
    }
    return true;
}

/* Reads one neighbour, at distance ranks to the right, that the root has seated. */
static bool take_neighbour(struct wh_boot *boot, uint32_t edge, uint32_t distance,
                           const uint8_t *bytes)
{
    struct wh_member *peer = &boot->edges[edge].peer;
    if (!wh_member_decode(bytes, WH_MEMBER_NBYTES, peer) || peer->nranks != boot->nranks ||
        peer->rank != (boot->rank + distance) % boot->nranks || peer->naddrs == 0) {
        return false;
    }
    boot->edges[edge].known = true;
    return true;
}

/* Reads which neighbours are there already. */
static bool take_seated(struct wh_boot *boot, const struct wh_frame *frame)
{
    const uint8_t *bytes = frame->payload;
    bool right = (frame->round & WH_SEATED_RIGHT) != 0, left = (frame->round & WH_SEATED_LEFT) != 0;
    if (boot->nranks <= WH_ROOT_HELD_MAX ||
        frame->payload_nbytes != ((uint32_t)right + left) * WH_MEMBER_NBYTES) {
        return false;
    }
    return (!right || take_neighbour(boot, 0, 1, bytes)) &&
           (!left || take_neighbour(boot, boot->nrounds, boot->nranks - 1,
                                    bytes + (right ? WH_MEMBER_NBYTES : 0)));
}

static whorl_result_t take_answer(struct wh_boot *boot, const struct wh_frame *frame,
                                  const char *root)
{
    if ((frame->type == WH_FRAME_WELCOME && take_welcome(boot, frame)) ||
        (frame->type == WH_FRAME_SEATED && take_seated(boot, frame))) {
        return WHORL_OK;
    }
    if (frame->type == WH_FRAME_REFUSE) {
        struct wh_boot_failure failure;
        wh_failure_decode(frame->payload, frame->payload_nbytes, &failure);
        return wh_fail(failure.rc, WH_SUBSYS_BOOTSTRAP, "%s", failure.text);
    }
    return wh_fail(WHORL_E_INTERNAL, WH_SUBSYS_BOOTSTRAP,
                   "the answer of the root at %s makes no sense", root);
}

/* Asks once. WHORL_IN_PROGRESS: the root had no room to listen, so ask again. */
static whorl_result_t ask_root(struct wh_boot *boot, const struct wh_ticket *ticket,
                               uint64_t deadline_ns)
{
    struct wh_conn conn;
    whorl_result_t rc = find_root(ticket, &boot->trust, deadline_ns, &conn);
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
    } else if (rc == WHORL_IN_PROGRESS && boot->nranks > WH_ROOT_HELD_MAX &&
               wh_now_ns() < deadline_ns) {
        /* In a crowd the root drops who is slow, and it answers everyone at once: whether it has
         * ended is seen when it is dialled. */
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

whorl_result_t wh_join_root(struct wh_boot *boot, const struct wh_ticket *ticket,
                            uint64_t deadline_ns)
{
    whorl_result_t rc;
    while ((rc = ask_root(boot, ticket, deadline_ns)) == WHORL_IN_PROGRESS) {
        (void)poll(NULL, 0, AGAIN_PAUSE_MS);
    }
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

/* A rank of a large job has waited in vain for its neighbours: the root knows who is missing. */
static whorl_result_t ask_why(struct wh_boot *boot, const struct wh_ticket *ticket)
{
    uint64_t deadline_ns = wh_deadline_after_ms(ANSWER_GRACE_MS);
    while (wh_now_ns() < deadline_ns) {
        whorl_result_t rc = wh_join_root(boot, ticket, deadline_ns);
        if (rc == WHORL_E_TIMEOUT && strstr(wh_error_get(), "missing: ") == NULL) {
            break; /* it is the root that is missing */
        }
        if (rc != WHORL_OK) {
            return rc;
        }
        /* It still waits for others, who have more time. */
        (void)poll(NULL, 0, WHY_PAUSE_MS);
    }
    wh_error_set(boot->failure.text);
    return WHORL_E_TIMEOUT;
}

/* Tells every rank where every other can be found should the mesh break. Who ends this knows that all
 * connections of all ranks are up. */
static whorl_result_t exchange_contacts(struct wh_boot *boot, uint64_t deadline_ns)
{
    if (boot->nranks == 1) {
        return WHORL_OK;
    }
    boot->contacts = calloc(boot->nranks, WH_CONTACT_NBYTES);
    if (boot->contacts == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory to join");
    }
    wh_service_lock();
    wh_contact_encode(boot, boot->contacts + (size_t)boot->rank * WH_CONTACT_NBYTES);
    wh_service_unlock();
    return wh_boot_allgather(boot, boot->contacts, WH_CONTACT_NBYTES, deadline_ns);
}

/* Everything after the arguments have been checked; fills boot. */
static whorl_result_t join(struct wh_boot *boot, const struct wh_ticket *ticket,
                           uint64_t timeout_ms)
{
    uint64_t deadline_ns = wh_deadline_after_ms(timeout_ms);
    whorl_result_t rc = describe_self(boot, timeout_ms);
    const struct wh_addr *loopback = wh_ticket_loopback(ticket);
    if (rc == WHORL_OK && loopback != NULL) {
        boot->self.addrs[0] = *loopback;
        boot->self.naddrs = 1;
    }
    if (rc == WHORL_OK) {
        rc = wh_self_listen(loopback, 0, &boot->listener, &boot->self.port);
    }
    if (rc == WHORL_OK) {
        rc = wh_self_trust(ticket, &boot->trust);
    }
    if (rc != WHORL_OK) {
        return rc;
    }

    if (boot->nranks >= STAGGER_FROM) {
        uint64_t each_ns = boot->trust.encrypts ? STAGGER_SEALED_NS : STAGGER_NS;
        uint64_t begin_ns = wh_now_ns() + (uint64_t)boot->rank * each_ns;
        (void)poll(NULL, 0, wh_ms_until(earlier(begin_ns, deadline_ns), POLL_MS_MAX));
    }
    rc = wh_join_root(boot, ticket, deadline_ns);
    if (rc != WHORL_OK) {
        return rc;
    }
    uint64_t least_ns = wh_deadline_after_ms(MESH_MS_MIN);
    least_ns = least_ns > deadline_ns ? least_ns : deadline_ns;
    bool large = boot->nranks > WH_ROOT_HELD_MAX;
    rc = wh_join_mesh(boot, boot->listener, large ? deadline_ns : least_ns);
    if (rc == WHORL_E_TIMEOUT && large) {
        rc = ask_why(boot, ticket);
    }
    rc = rc == WHORL_OK ? wh_service_add(boot) : rc;
    if (rc != WHORL_OK) {
        return rc;
    }
    rc = exchange_contacts(boot, least_ns);
    if (rc != WHORL_OK) {
        wh_service_remove(boot);
        return rc;
    }
    wh_service_lock();
    boot->joined = true;
    wh_service_wake();
    wh_service_unlock();
    return WHORL_OK;
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
