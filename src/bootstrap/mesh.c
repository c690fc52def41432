/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining: connect the edges. Every rank dials its outgoing edges and takes the incoming ones in
 * one poll loop, so no order of ranks can wait in a circle. On each new connection, after the
 * handshake, the caller says who it is and whom it means, and the other end says who it is: one
 * job's ranks share the secret, so only this tells a rank from another that is found at the same
 * address.
 */
#include "base/clock.h"
#include "base/dial.h"
#include "base/log.h"
#include "bootstrap/join.h"
#include "bootstrap/root.h"
#include "bootstrap/service.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CALLERS_MAX = 64,
    CALLER_MS = 30 * 1000,
    CROWDED_MS = 1000, /* the same while there is no room for another caller */
    SHAKE_MS = 30 * 1000,
    PAUSE_MS = 100, /* before accepting again when there are no descriptors */
};

/* An outgoing edge in the making: first the dial, then the connection that it gave. */
struct call {
    struct wh_dial dial;
    struct wh_conn conn;     /* open when somebody was reached */
    bool begun, done, asked; /* asked: EDGE was sent */
    uint64_t due_ns;         /* when to look again; of the handshake, when it must be over */
};

/* An incoming connection that has not said who it is. */
struct caller {
    struct wh_conn conn;
    uint64_t deadline_ns;
};

struct mesh {
    struct wh_boot *boot;
    int listener;
    uint64_t deadline_ns;
    struct call calls[WH_ROUNDS_MAX + 1]; /* the last one: to the left neighbour */
    bool told[WH_ROUNDS_MAX];             /* NEXT was sent to whom edge nrounds + k comes from */
    struct caller callers[CALLERS_MAX];
    uint32_t ncallers, nup;
    uint64_t accept_at_ns; /* not before: there were no descriptors */
};

static void mesh_break(struct mesh *mesh, const struct wh_boot_failure *failure)
{
    wh_log(WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP, "%s", failure->text);
    wh_service_lock();
    wh_rank_break(mesh->boot, failure, mesh->boot->rank, WH_NO_EDGE);
    wh_service_unlock();
}

/* Says who this rank is, and to which rank. */
static whorl_result_t introduce(struct mesh *mesh, struct wh_conn *conn, uint32_t to,
                                uint32_t round)
{
    uint8_t payload[WH_MEMBER_NBYTES];
    wh_member_encode(&mesh->boot->self, payload);
    const struct wh_frame frame = {
        .type = WH_FRAME_EDGE,
        .round = round,
        .tag = to,
        .payload = payload,
        .payload_nbytes = sizeof(payload),
    };
    return wh_conn_post(conn, &frame);
}

/* The connection becomes edge index; *conn is empty afterwards. */
static void edge_up(struct mesh *mesh, uint32_t index, struct wh_conn *conn,
                    const struct wh_member *peer)
{
    struct wh_edge *edge = &mesh->boot->edges[index];
    wh_service_lock();
    edge->conn = *conn;
    edge->peer = *peer;
    edge->known = true;
    edge->up = true;
    mesh->nup++;
    wh_conn_init(conn);
    /* More may have come behind the introduction; or a failure may have come before this edge. */
    if (mesh->boot->failed) {
        uint8_t payload[WH_FAILURE_NBYTES_MAX];
        const struct wh_frame frame = {
            .type = WH_FRAME_FAIL,
            .rank = mesh->boot->rank,
            .payload = payload,
            .payload_nbytes = (uint32_t)wh_failure_encode(&mesh->boot->failure, payload),
        };
        wh_rank_post(mesh->boot, index, &frame);
    }
    wh_rank_edge_ready(mesh->boot, index);
    wh_service_unlock();
}

/* ---- outgoing ------------------------------------------------------------------------------- */

/* Where to look for a peer: its loopback addresses are ours, unless it is on this host. */
static uint32_t dialled_addrs(const struct wh_boot *boot, const struct wh_member *peer,
                              struct wh_addr addrs_out[WH_NADDRS_MAX])
{
    bool here = strcmp(peer->host, boot->self.host) == 0;
    uint32_t naddrs = 0;
    for (uint32_t i = 0; i < peer->naddrs; i++) {
        if (here || !wh_addr_is_loopback(&peer->addrs[i])) {
            addrs_out[naddrs++] = peer->addrs[i];
        }
    }
    if (naddrs == 0) {
        memcpy(addrs_out, peer->addrs, sizeof(peer->addrs));
        naddrs = peer->naddrs;
    }
    return naddrs;
}

/* The edge that call k makes. */
static uint32_t call_edge(const struct mesh *mesh, uint32_t k)
{
    return k < mesh->boot->nrounds ? k : mesh->boot->nrounds;
}

static const struct wh_member *call_peer(const struct mesh *mesh, uint32_t k)
{
    return &mesh->boot->edges[call_edge(mesh, k)].peer;
}

/* Is there anything to do for call k? The edge to the right may be made by the neighbour there, and
 * who is further away is not known at once. */
static bool call_is_due(const struct mesh *mesh, uint32_t k)
{
    const struct wh_edge *edge = &mesh->boot->edges[call_edge(mesh, k)];
    return edge->known && !edge->up && !mesh->calls[k].done;
}

static void call_begin(struct mesh *mesh, uint32_t k)
{
    struct call *call = &mesh->calls[k];
    struct wh_addr addrs[WH_NADDRS_MAX];
    uint32_t naddrs = dialled_addrs(mesh->boot, call_peer(mesh, k), addrs);
    wh_dial_start(&call->dial, addrs, naddrs, mesh->deadline_ns);
    call->begun = true;
    call->due_ns = 0;
}

static void call_failed(struct mesh *mesh, uint32_t k)
{
    struct wh_boot_failure failure = {.rc = WHORL_E_PEER};
    char who[WH_MEMBER_TEXT_NBYTES], why[WH_DIAL_WHY_NBYTES];
    snprintf(failure.text, sizeof(failure.text),
             "rank %u cannot connect to %s: %s; has it ended, or is there a firewall?",
             mesh->boot->rank, wh_member_print(call_peer(mesh, k), who),
             wh_dial_why(&mesh->calls[k].dial, why));
    mesh_break(mesh, &failure);
}

/* Who was reached is not the peer, or cannot prove it. */
static void call_reject(struct mesh *mesh, uint32_t k, const char *why, bool for_good)
{
    struct call *call = &mesh->calls[k];
    wh_conn_close(&call->conn);
    wh_dial_reject(&call->dial, why, for_good);
    call->asked = false;
    call->due_ns = 0;
}

static void call_dial(struct mesh *mesh, uint32_t k)
{
    struct call *call = &mesh->calls[k];
    struct wh_addr addr;
    int fd;
    whorl_result_t rc = wh_dial_advance(&call->dial, &fd, &addr);
    call->due_ns = call->dial.next_ns;
    if (rc == WHORL_E_SYS) {
        call_failed(mesh, k);
    } else if (rc == WHORL_OK) {
        call->due_ns = wh_deadline_after_ms(SHAKE_MS);
        rc = wh_conn_call(&call->conn, fd, &addr, WH_PURPOSE_EDGE, &mesh->boot->trust);
        if (rc != WHORL_OK) {
            call_reject(mesh, k, wh_conn_why(&call->conn, rc), false);
        }
    }
    /* The deadline is the loop's business. */
}

/* Something came over the connection. */
static void call_talk(struct mesh *mesh, uint32_t k)
{
    struct call *call = &mesh->calls[k];
    const struct wh_member *peer = call_peer(mesh, k);
    whorl_result_t rc = wh_conn_advance(&call->conn);
    if (rc == WHORL_OK && call->conn.proved && !call->asked) {
        uint32_t round = k < mesh->boot->nrounds ? 0 : WH_EDGE_TO_LEFT;
        rc = introduce(mesh, &call->conn, peer->rank, round);
        call->asked = true;
    }

    struct wh_frame frame;
    struct wh_member answer;
    rc = rc != WHORL_OK ? rc : wh_conn_next(&call->conn, &frame);
    if (rc == WHORL_OK) {
        if (frame.type == WH_FRAME_EDGE &&
            wh_member_decode(frame.payload, frame.payload_nbytes, &answer) &&
            answer.rank == peer->rank && answer.nranks == peer->nranks) {
            char addr[WH_ADDR_TEXT_NBYTES];
            wh_log(WH_LOG_INFO, WH_SUBSYS_BOOTSTRAP, "rank %u (host %s) is reached at %s",
                   answer.rank, answer.host, wh_addr_print(&call->conn.peer, addr));
            call->done = true;
            edge_up(mesh, call_edge(mesh, k), &call->conn, &answer);
        } else {
            call_reject(mesh, k, "another rank answers there", true);
        }
    } else if (rc != WHORL_IN_PROGRESS || call->conn.ended) {
        bool stranger = rc == WHORL_E_TRUST || rc == WHORL_E_ARG || rc == WHORL_E_UNSUPPORTED ||
                        rc == WHORL_E_CONFIG;
        rc = rc == WHORL_IN_PROGRESS ? WHORL_OK : rc;
        call_reject(mesh, k,
                    call->conn.error != 0 ? "it closed the connection"
                                          : wh_conn_why(&call->conn, rc),
                    stranger);
    }
}

/* Goes on with what is due. Returns when to look again. */
static uint64_t calls_advance(struct mesh *mesh, uint64_t next_ns)
{
    for (uint32_t k = 0; k <= mesh->boot->nrounds && !mesh->boot->failed; k++) {
        struct call *call = &mesh->calls[k];
        if (!call_is_due(mesh, k)) {
            continue;
        }
        if (!call->begun) {
            call_begin(mesh, k);
        }
        if (call->due_ns <= wh_now_ns() && call->conn.fd >= 0) {
            call_reject(mesh, k, "it was connected, but did not answer like a rank", false);
        }
        if (call->due_ns <= wh_now_ns()) {
            call_dial(mesh, k);
        }
        next_ns = call->due_ns < next_ns ? call->due_ns : next_ns;
    }
    return next_ns;
}

/* ---- incoming ------------------------------------------------------------------------------- */

static void caller_remove(struct mesh *mesh, uint32_t i)
{
    wh_conn_close(&mesh->callers[i].conn);
    mesh->callers[i] = mesh->callers[--mesh->ncallers];
    wh_conn_init(&mesh->callers[mesh->ncallers].conn);
}

static void caller_drop(struct mesh *mesh, uint32_t i, const char *why)
{
    char addr[WH_ADDR_TEXT_NBYTES];
    wh_log(WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP, "dropped %s: %s",
           wh_addr_print(&mesh->callers[i].conn.peer, addr), why);
    caller_remove(mesh, i);
}

/* The edge on which member may come in; WH_NO_EDGE if it is none of ours, or is here already. */
static uint32_t edge_for(const struct wh_boot *boot, const struct wh_member *member, uint32_t round)
{
    if (member->nranks != boot->nranks || member->rank >= boot->nranks) {
        return WH_NO_EDGE;
    }
    uint32_t distance = (boot->rank + boot->nranks - member->rank) % boot->nranks;
    if (round == WH_EDGE_TO_LEFT) {
        bool right = boot->nranks > 2 && distance == boot->nranks - 1;
        return right && !boot->edges[0].known ? 0 : WH_NO_EDGE;
    }
    for (uint32_t k = 0; k < boot->nrounds; k++) {
        if (distance == 1u << k && !boot->edges[boot->nrounds + k].up) {
            return boot->nrounds + k;
        }
    }
    return WH_NO_EDGE;
}

static void caller_advance(struct mesh *mesh, uint32_t i)
{
    struct caller *caller = &mesh->callers[i];
    struct wh_frame frame;
    whorl_result_t rc = wh_conn_advance(&caller->conn);
    rc = rc != WHORL_OK ? rc : wh_conn_next(&caller->conn, &frame);
    if (rc == WHORL_IN_PROGRESS && !caller->conn.ended) {
        return;
    }
    if (rc != WHORL_OK) {
        caller_drop(mesh, i, wh_conn_why(&caller->conn, rc == WHORL_IN_PROGRESS ? WHORL_OK : rc));
        return;
    }

    struct wh_member member;
    uint32_t index = WH_NO_EDGE;
    if (frame.type == WH_FRAME_EDGE && frame.tag == mesh->boot->rank &&
        wh_member_decode(frame.payload, frame.payload_nbytes, &member)) {
        index = edge_for(mesh->boot, &member, frame.round);
    }
    if (index == WH_NO_EDGE) {
        /* A rank of this job that looked for another one at an address that both have. */
        caller_drop(mesh, i, "it is looking for another rank");
        return;
    }
    if (introduce(mesh, &caller->conn, member.rank, 0) == WHORL_OK) {
        edge_up(mesh, index, &caller->conn, &member);
    }
    caller_remove(mesh, i);
}

static void callers_accept(struct mesh *mesh)
{
    while (mesh->ncallers < CALLERS_MAX) {
        struct wh_addr peer;
        int fd = wh_sock_accept(mesh->listener, &peer);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                wh_log(
                    WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP,
                    "cannot take a connection of another rank: %s; raise the limit of open files "
                    "(ulimit -n)",
                    strerror(errno));
                mesh->accept_at_ns = wh_deadline_after_ms(PAUSE_MS);
            }
            return;
        }
        struct caller *caller = &mesh->callers[mesh->ncallers];
        caller->deadline_ns = wh_deadline_after_ms(CALLER_MS);
        if (wh_conn_answer(&caller->conn, fd, &peer, WH_PURPOSE_EDGE, &mesh->boot->trust) ==
            WHORL_OK) {
            mesh->ncallers++;
        } else {
            wh_conn_close(&caller->conn);
        }
    }
}

static uint64_t callers_expire(struct mesh *mesh, uint64_t next_ns)
{
    /* Silent strangers must not keep ranks out. */
    uint64_t less_ns =
        mesh->ncallers == CALLERS_MAX ? (uint64_t)(CALLER_MS - CROWDED_MS) * 1000000 : 0;
    for (uint32_t i = mesh->ncallers; i-- > 0;) {
        uint64_t due_ns = mesh->callers[i].deadline_ns - less_ns;
        if (due_ns <= wh_now_ns()) {
            caller_drop(mesh, i, "it did not prove in time that it belongs to the job");
        } else if (due_ns < next_ns) {
            next_ns = due_ns;
        }
    }
    return next_ns;
}

/* ---- the loop ------------------------------------------------------------------------------- */

enum {
    CALL_NFDS_MAX = WH_DIAL_NADDRS_MAX, /* of one call: those of its dial, or its connection */
    POLL_NFDS_MAX = 1 + (WH_ROUNDS_MAX + 1) * CALL_NFDS_MAX + WH_EDGES_MAX + CALLERS_MAX,
};

/* Writes what to poll for call k; returns how many. */
static uint32_t call_pollfds(const struct call *call, struct pollfd *pfds)
{
    if (call->conn.fd >= 0) {
        pfds[0] = (struct pollfd){.fd = call->conn.fd, .events = wh_conn_events(&call->conn)};
        return 1;
    }
    int fds[CALL_NFDS_MAX];
    uint32_t nfds = wh_dial_fds(&call->dial, fds, CALL_NFDS_MAX);
    for (uint32_t i = 0; i < nfds; i++) {
        pfds[i] = (struct pollfd){.fd = fds[i], .events = POLLOUT};
    }
    return nfds;
}

static void call_ready(struct mesh *mesh, uint32_t k)
{
    if (mesh->calls[k].conn.fd >= 0) {
        call_talk(mesh, k);
    } else {
        call_dial(mesh, k);
    }
}

static void edges_ready(struct mesh *mesh, const struct pollfd *edges)
{
    struct wh_boot *boot = mesh->boot;
    for (uint32_t i = 0; i < 2 * boot->nrounds; i++) {
        if (edges[i].revents != 0 && boot->edges[i].up) {
            wh_service_lock();
            wh_rank_edge_ready(boot, i);
            wh_service_unlock();
        }
    }
}

static void mesh_poll(struct mesh *mesh, uint64_t due_ns)
{
    struct wh_boot *boot = mesh->boot;
    struct pollfd pfds[POLL_NFDS_MAX];
    const uint32_t nrounds = boot->nrounds, ncallers = mesh->ncallers;
    struct pollfd *edges = pfds + 1, *callers = edges + 2 * nrounds, *end = callers + ncallers;

    bool paused = mesh->accept_at_ns > wh_now_ns();
    bool room = ncallers < CALLERS_MAX && !paused;
    due_ns = paused && mesh->accept_at_ns < due_ns ? mesh->accept_at_ns : due_ns;
    pfds[0] = (struct pollfd){.fd = room ? mesh->listener : -1, .events = POLLIN};
    for (uint32_t i = 0; i < 2 * nrounds; i++) {
        const struct wh_edge *edge = &boot->edges[i];
        edges[i] = (struct pollfd){.fd = edge->up ? edge->conn.fd : -1,
                                   .events = wh_conn_events(&edge->conn)};
    }
    for (uint32_t i = 0; i < ncallers; i++) {
        const struct wh_conn *conn = &mesh->callers[i].conn;
        callers[i] = (struct pollfd){.fd = conn->fd, .events = wh_conn_events(conn)};
    }
    const struct pollfd *begins[WH_ROUNDS_MAX + 2];
    for (uint32_t k = 0; k <= nrounds; k++) {
        begins[k] = end;
        end +=
            mesh->calls[k].begun && call_is_due(mesh, k) ? call_pollfds(&mesh->calls[k], end) : 0;
    }
    begins[nrounds + 1] = end;

    if (poll(pfds, (nfds_t)(end - pfds), wh_ms_until(due_ns, 60 * 1000)) <= 0) {
        return;
    }
    edges_ready(mesh, edges);
    for (uint32_t k = 0; k <= nrounds; k++) {
        bool ready = false;
        for (const struct pollfd *pfd = begins[k]; pfd < begins[k + 1]; pfd++) {
            ready = ready || pfd->revents != 0;
        }
        if (ready && !boot->failed) {
            call_ready(mesh, k);
        }
    }
    for (uint32_t i = ncallers; i-- > 0;) {
        if (callers[i].revents != 0) {
            caller_advance(mesh, i);
        }
    }
    if (pfds[0].revents != 0) {
        callers_accept(mesh);
    }
}

/* In a large job a rank knows only its neighbours at first. Who is connected to this one at some
 * distance is told who is at the same distance beyond: that is its peer at twice the distance. */
static void tell_next(struct mesh *mesh)
{
    struct wh_boot *boot = mesh->boot;
    for (uint32_t k = 0; k + 1 < boot->nrounds && boot->nranks > WH_ROOT_HELD_MAX; k++) {
        if (mesh->told[k] || !boot->edges[k].known || !boot->edges[boot->nrounds + k].up) {
            continue;
        }
        uint8_t payload[WH_MEMBER_NBYTES];
        wh_member_encode(&boot->edges[k].peer, payload);
        const struct wh_frame frame = {
            .type = WH_FRAME_NEXT,
            .round = k + 1,
            .payload = payload,
            .payload_nbytes = sizeof(payload),
        };
        wh_service_lock();
        wh_rank_post(boot, boot->nrounds + k, &frame);
        wh_service_unlock();
        mesh->told[k] = true;
    }
}

static bool edge_is_missing(const void *ctx, uint32_t rank)
{
    const struct wh_boot *boot = ctx;
    const struct wh_member member = {.rank = rank, .nranks = boot->nranks};
    return edge_for(boot, &member, 0) != WH_NO_EDGE;
}

static void mesh_time_out(struct mesh *mesh)
{
    struct wh_boot *boot = mesh->boot;
    struct wh_boot_failure failure = {.rc = WHORL_E_TIMEOUT};
    char ranks[512];
    wh_ranks_print(boot->nranks, edge_is_missing, boot, ranks, sizeof(ranks));
    int used = snprintf(
        failure.text, sizeof(failure.text),
        "the connections of rank %u (host %s, pid %u) were not up in time; these ranks did not "
        "connect to it: %s; is there a firewall?",
        boot->rank, boot->self.host, boot->self.pid, ranks[0] != '\0' ? ranks : "none");
    for (uint32_t k = 0; k < boot->nrounds; k++) {
        const struct call *call = &mesh->calls[k];
        char who[WH_MEMBER_TEXT_NBYTES], why[WH_DIAL_WHY_NBYTES];
        if (call->begun && call_is_due(mesh, k) && call->conn.fd < 0 && used < WH_TEXT_NBYTES_MAX) {
            used +=
                snprintf(failure.text + used, sizeof(failure.text) - (size_t)used,
                         "; it could not reach %s: %s", wh_member_print(&boot->edges[k].peer, who),
                         wh_dial_why(&call->dial, why));
        }
    }
    mesh_break(mesh, &failure);
}

whorl_result_t wh_join_mesh(struct wh_boot *boot, int listener, uint64_t deadline_ns)
{
    struct mesh *mesh = calloc(1, sizeof(*mesh));
    if (mesh == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory to join");
    }
    mesh->boot = boot;
    mesh->listener = listener;
    mesh->deadline_ns = deadline_ns;
    for (uint32_t i = 0; i <= WH_ROUNDS_MAX; i++) {
        wh_conn_init(&mesh->calls[i].conn);
    }
    for (uint32_t i = 0; i < CALLERS_MAX; i++) {
        wh_conn_init(&mesh->callers[i].conn);
    }

    while (mesh->nup < 2 * boot->nrounds && !boot->failed) {
        tell_next(mesh);
        uint64_t due_ns = callers_expire(mesh, calls_advance(mesh, deadline_ns));
        if (boot->failed) {
            break;
        }
        if (wh_now_ns() >= deadline_ns) {
            mesh_time_out(mesh);
            break;
        }
        mesh_poll(mesh, due_ns);
    }
    tell_next(mesh);

    for (uint32_t i = 0; i <= WH_ROUNDS_MAX; i++) {
        wh_dial_fini(&mesh->calls[i].dial);
        wh_conn_close(&mesh->calls[i].conn);
    }
    for (uint32_t i = 0; i < mesh->ncallers; i++) {
        wh_conn_close(&mesh->callers[i].conn);
    }
    free(mesh);
    if (!boot->failed) {
        return WHORL_OK;
    }
    wh_error_set(boot->failure.text);
    return boot->failure.rc;
}
