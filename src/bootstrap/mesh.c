/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining: connect the edges. Every rank dials its outgoing edges and takes the incoming ones in
 * one poll loop, so no order of ranks can wait in a circle. On each new connection, after the
 * handshake, the caller says who it is and whom it means, and the other end says who it is: one
 * job's ranks share the secret, so only this tells a rank from another that is found at the same
 * address.
 */
#include "base/clock.h"
#include "base/log.h"
#include "bootstrap/join.h"
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
    CONNECT_MS = 1000, /* for one address; doubles each pass */
    SHAKE_MS = 30 * 1000,
    PASSES_MAX = 5, /* over the addresses of a peer */
    PAUSE_MS = 100, /* between passes */
    WHY_NBYTES = 160,
};

/* An outgoing edge in the making. */
struct dial {
    struct wh_conn conn; /* open while a try is under way */
    bool done, asked;    /* asked: EDGE was sent */
    uint32_t addr, pass;
    uint64_t deadline_ns; /* of the try, or of the pause before it */
    uint64_t shake_ns;
    char why[WHY_NBYTES];
};

/* An incoming connection that has not said who it is. */
struct caller {
    struct wh_conn conn;
    uint64_t deadline_ns;
};

struct mesh {
    struct wh_boot *boot;
    const uint8_t *secret;
    int listener;
    uint64_t deadline_ns;
    struct dial dials[WH_ROUNDS_MAX];
    struct caller callers[CALLERS_MAX];
    uint32_t ncallers, nup;
    uint64_t accept_at_ns; /* not before: there were no descriptors */
};

static void mesh_break(struct mesh *mesh, const struct wh_failure *failure)
{
    wh_log(WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP, "%s", failure->text);
    wh_service_lock();
    wh_rank_break(mesh->boot, failure, mesh->boot->rank, WH_NO_EDGE);
    wh_service_unlock();
}

/* Says who this rank is, and to which rank. */
static whorl_result_t introduce(struct mesh *mesh, struct wh_conn *conn, uint32_t to)
{
    uint8_t payload[WH_MEMBER_NBYTES];
    wh_member_encode(&mesh->boot->self, payload);
    const struct wh_frame frame = {
        .type = WH_FRAME_EDGE,
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

/* A try is over: next address, next pass, or the end. */
static void dial_failed(struct mesh *mesh, uint32_t k, const char *why)
{
    struct dial *dial = &mesh->dials[k];
    const struct wh_member *peer = &mesh->boot->edges[k].peer;
    snprintf(dial->why, sizeof(dial->why), "%s", why);
    wh_conn_close(&dial->conn);
    dial->asked = false;
    dial->deadline_ns = 0;
    dial->addr++;
    if (dial->addr < peer->naddrs) {
        return;
    }
    dial->addr = 0;
    dial->pass++;
    dial->deadline_ns = wh_deadline_after_ms(PAUSE_MS);
    if (dial->pass < PASSES_MAX) {
        return;
    }

    struct wh_failure failure = {.rc = WHORL_E_PEER};
    char who[WH_MEMBER_TEXT_NBYTES], addr[WH_ADDR_TEXT_NBYTES];
    snprintf(failure.text, sizeof(failure.text),
             "rank %u cannot connect to %s, which listens at %s among %u addresses (%s): has it "
             "ended, or is there a firewall?",
             mesh->boot->rank, wh_member_print(peer, who), wh_addr_print(&peer->addrs[0], addr),
             peer->naddrs, dial->why);
    mesh_break(mesh, &failure);
}

static void dial_start(struct mesh *mesh, uint32_t k)
{
    struct dial *dial = &mesh->dials[k];
    const struct wh_member *peer = &mesh->boot->edges[k].peer;
    dial->deadline_ns = wh_deadline_after_ms((uint64_t)CONNECT_MS << dial->pass);
    dial->shake_ns = wh_deadline_after_ms(SHAKE_MS);
    whorl_result_t rc =
        wh_conn_call(&dial->conn, &peer->addrs[dial->addr], WH_PURPOSE_EDGE, mesh->secret);
    if (rc != WHORL_OK) {
        dial_failed(mesh, k, wh_conn_why(&dial->conn, rc));
    }
}

static void dial_advance(struct mesh *mesh, uint32_t k)
{
    struct dial *dial = &mesh->dials[k];
    const struct wh_member *peer = &mesh->boot->edges[k].peer;
    whorl_result_t rc = wh_conn_advance(&dial->conn);
    if (rc == WHORL_OK && dial->conn.proved && !dial->asked) {
        rc = introduce(mesh, &dial->conn, peer->rank);
        dial->asked = true;
    }

    struct wh_frame frame;
    struct wh_member answer;
    rc = rc != WHORL_OK ? rc : wh_conn_next(&dial->conn, &frame);
    if (rc == WHORL_OK) {
        if (frame.type == WH_FRAME_EDGE &&
            wh_member_decode(frame.payload, frame.payload_nbytes, &answer) &&
            answer.rank == peer->rank && answer.nranks == peer->nranks) {
            dial->done = true;
            edge_up(mesh, k, &dial->conn, &answer);
        } else {
            dial_failed(mesh, k, "another rank answers there");
        }
    } else if (rc != WHORL_IN_PROGRESS || dial->conn.ended) {
        dial_failed(mesh, k, wh_conn_why(&dial->conn, rc == WHORL_IN_PROGRESS ? WHORL_OK : rc));
    }
}

/* Starts what is to be started, gives up what is too slow. Returns when to look again. */
static uint64_t dials_expire(struct mesh *mesh, uint64_t next_ns)
{
    for (uint32_t k = 0; k < mesh->boot->nrounds && !mesh->boot->failed; k++) {
        struct dial *dial = &mesh->dials[k];
        if (dial->done) {
            continue;
        }
        bool open = dial->conn.fd >= 0;
        uint64_t due_ns = open && !dial->conn.connecting ? dial->shake_ns : dial->deadline_ns;
        if (due_ns <= wh_now_ns()) {
            if (open) {
                dial_failed(mesh, k, "nothing answers");
            } else {
                dial_start(mesh, k);
            }
            due_ns = dial->deadline_ns;
        }
        next_ns = due_ns < next_ns ? due_ns : next_ns;
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
static uint32_t edge_for(const struct wh_boot *boot, const struct wh_member *member)
{
    if (member->nranks != boot->nranks || member->rank >= boot->nranks) {
        return WH_NO_EDGE;
    }
    uint32_t distance = (boot->rank + boot->nranks - member->rank) % boot->nranks;
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
        index = edge_for(mesh->boot, &member);
    }
    if (index == WH_NO_EDGE) {
        /* A rank of this job that looked for another one at an address that both have. */
        caller_drop(mesh, i, "it is looking for another rank");
        return;
    }
    if (introduce(mesh, &caller->conn, member.rank) == WHORL_OK) {
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
                wh_log(WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP,
                       "cannot take a connection of another rank: %s; raise the limit of open files "
                       "(ulimit -n)",
                       strerror(errno));
                mesh->accept_at_ns = wh_deadline_after_ms(PAUSE_MS);
            }
            return;
        }
        struct caller *caller = &mesh->callers[mesh->ncallers];
        caller->deadline_ns = wh_deadline_after_ms(CALLER_MS);
        if (wh_conn_answer(&caller->conn, fd, &peer, WH_PURPOSE_EDGE, mesh->secret) == WHORL_OK) {
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

static void mesh_poll(struct mesh *mesh, uint64_t due_ns)
{
    struct wh_boot *boot = mesh->boot;
    struct pollfd pfds[1 + WH_ROUNDS_MAX + WH_EDGES_MAX + CALLERS_MAX];
    const uint32_t nrounds = boot->nrounds, ncallers = mesh->ncallers;
    struct pollfd *dials = pfds + 1, *edges = dials + nrounds, *callers = edges + 2 * nrounds;

    bool paused = mesh->accept_at_ns > wh_now_ns();
    bool room = ncallers < CALLERS_MAX && !paused;
    due_ns = paused && mesh->accept_at_ns < due_ns ? mesh->accept_at_ns : due_ns;
    pfds[0] = (struct pollfd){.fd = room ? mesh->listener : -1, .events = POLLIN};
    for (uint32_t k = 0; k < nrounds; k++) {
        const struct wh_conn *conn = &mesh->dials[k].conn;
        dials[k] = (struct pollfd){.fd = conn->fd, .events = wh_conn_events(conn)};
    }
    for (uint32_t i = 0; i < 2 * nrounds; i++) {
        const struct wh_edge *edge = &boot->edges[i];
        edges[i] = (struct pollfd){.fd = edge->up ? edge->conn.fd : -1,
                                   .events = wh_conn_events(&edge->conn)};
    }
    for (uint32_t i = 0; i < ncallers; i++) {
        const struct wh_conn *conn = &mesh->callers[i].conn;
        callers[i] = (struct pollfd){.fd = conn->fd, .events = wh_conn_events(conn)};
    }

    nfds_t nfds = 1 + 3 * nrounds + ncallers;
    if (poll(pfds, nfds, wh_ms_until(due_ns, 60 * 1000)) <= 0) {
        return;
    }
    for (uint32_t i = 0; i < 2 * nrounds; i++) {
        if (edges[i].revents != 0 && boot->edges[i].up) {
            wh_service_lock();
            wh_rank_edge_ready(boot, i);
            wh_service_unlock();
        }
    }
    for (uint32_t k = 0; k < nrounds; k++) {
        if (dials[k].revents != 0 && !boot->failed) {
            dial_advance(mesh, k);
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

static bool edge_is_missing(const void *ctx, uint32_t rank)
{
    const struct wh_boot *boot = ctx;
    const struct wh_member member = {.rank = rank, .nranks = boot->nranks};
    return edge_for(boot, &member) != WH_NO_EDGE;
}

static void mesh_time_out(struct mesh *mesh)
{
    struct wh_boot *boot = mesh->boot;
    struct wh_failure failure = {.rc = WHORL_E_TIMEOUT};
    char ranks[512];
    wh_ranks_print(boot->nranks, edge_is_missing, boot, ranks, sizeof(ranks));
    snprintf(failure.text, sizeof(failure.text),
             "all ranks joined, but the connections of rank %u (host %s, pid %u) were not up in "
             "time; these ranks did not connect to it: %s; is there a firewall?",
             boot->rank, boot->self.host, boot->self.pid, ranks[0] != '\0' ? ranks : "none");
    mesh_break(mesh, &failure);
}

whorl_result_t wh_join_mesh(struct wh_boot *boot, const struct wh_ticket *ticket, int listener,
                            uint64_t deadline_ns)
{
    struct mesh *mesh = calloc(1, sizeof(*mesh));
    if (mesh == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory to join");
    }
    mesh->boot = boot;
    mesh->secret = ticket->secret;
    mesh->listener = listener;
    mesh->deadline_ns = deadline_ns;
    for (uint32_t i = 0; i < WH_ROUNDS_MAX; i++) {
        wh_conn_init(&mesh->dials[i].conn);
    }
    for (uint32_t i = 0; i < CALLERS_MAX; i++) {
        wh_conn_init(&mesh->callers[i].conn);
    }

    while (mesh->nup < 2 * boot->nrounds && !boot->failed) {
        uint64_t due_ns = callers_expire(mesh, dials_expire(mesh, deadline_ns));
        if (boot->failed) {
            break;
        }
        if (wh_now_ns() >= deadline_ns) {
            mesh_time_out(mesh);
            break;
        }
        mesh_poll(mesh, due_ns);
    }

    for (uint32_t i = 0; i < WH_ROUNDS_MAX; i++) {
        wh_conn_close(&mesh->dials[i].conn);
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
