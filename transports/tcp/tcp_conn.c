/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a connection begins and how it ends.
 *
 * The lower rank of a pair dials, when it opens its first link of the pair; the other one waits to
 * be called. Both prove that they know the communicator's secret, and in the same handshake say who
 * they are: an address like 172.17.0.1 is found on many hosts. Where another rank, or a stranger,
 * answers, the next address is tried.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "tcp.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SHAKE_MS = 20000,
    CALLERS_MAX = 256,
    ACCEPTS_MAX = 64, /* at a time: those that were taken before get a turn */
    /* Whose end is known at once should not hide why it came about: the control connections tell
     * that, a little later. */
    GRACE_NS = 1500000000,
    NOTSENT_NBYTES = 512 << 10,
    CALLERS_DUE_NS = 1000000000, /* when callers that say nothing are looked at again */
    PATIENCE_MS = 120000, /* data that the peer's host does not acknowledge */
};

static const uint32_t nobody = UINT32_MAX;

/* ---- the handshake -------------------------------------------------------------------------- */

static whorl_result_t shake_begin(struct tcp_shake *shake, const struct tcp_wire *wire, int fd,
                                  const struct tcp_intro *intro, bool is_caller)
{
    uint8_t nonce[WH_NONCE_NBYTES];
    struct wh_shake_terms terms = {.encrypts = wire->address.encrypts};
    memset(shake, 0, sizeof(*shake));
    shake->fd = fd;
    shake->is_caller = is_caller;
    shake->deadline_ns = wh_deadline_after_ms(SHAKE_MS);
    whorl_result_t rc = wh_random(nonce, sizeof(nonce));
    if (rc == WHORL_OK) {
        rc = wh_random(terms.private_key, sizeof(terms.private_key));
    }
    if (rc != WHORL_OK) {
        return rc;
    }
    tcp_intro_encode(intro, terms.data);
    if (is_caller) {
        wh_shake_call(&shake->shake, wire->env->secret, WH_PURPOSE_DATA, nonce, shake->out);
        rc = wh_shake_set_terms(&shake->shake, &terms, shake->out);
        shake->out_end = WH_HELLO_NBYTES;
    } else {
        wh_shake_answer(&shake->shake, wire->env->secret, WH_PURPOSE_DATA, nonce);
        rc = wh_shake_set_terms(&shake->shake, &terms, NULL);
    }
    explicit_bzero(terms.private_key, sizeof(terms.private_key));
    return rc == WHORL_OK ? rc : wh_fail(rc, WH_SUBSYS_NET, "tcp: no memory for a handshake");
}

static void shake_fini(struct tcp_shake *shake)
{
    wh_shake_fini(&shake->shake);
    if (shake->fd >= 0) {
        close(shake->fd);
        shake->fd = -1;
    }
}

/*
 * Goes on. WHORL_OK: both have proved themselves and nothing is left to be sent. What fails is not
 * reported; *why_out (static text) says what it was.
 */
static whorl_result_t shake_advance(struct tcp_shake *shake, const char **why_out)
{
    for (;;) {
        if (shake->out_begin < shake->out_end) {
            ssize_t n = wh_sock_send(shake->fd, shake->out + shake->out_begin,
                                     shake->out_end - shake->out_begin);
            if (n < 0) {
                *why_out = "the connection ended during the handshake";
                return WHORL_E_PEER;
            }
            shake->out_begin += (size_t)n;
            if (n == 0) {
                return WHORL_IN_PROGRESS;
            }
            continue;
        }
        size_t expected = wh_shake_expects(&shake->shake);
        if (expected == 0) {
            return WHORL_OK;
        }
        ssize_t n =
            wh_sock_recv(shake->fd, shake->in + shake->in_nbytes, expected - shake->in_nbytes);
        if (n < 0) {
            *why_out = "who answered there ended the handshake";
            return WHORL_E_PEER;
        }
        shake->in_nbytes += (size_t)n;
        if (shake->in_nbytes < expected) {
            if (wh_shake_glance(&shake->shake, shake->in, shake->in_nbytes) != WHORL_IN_PROGRESS) {
                *why_out = "who is there does not speak this protocol";
                return WHORL_E_ARG;
            }
            *why_out = "no handshake came";
            return wh_now_ns() > shake->deadline_ns ? WHORL_E_TIMEOUT : WHORL_IN_PROGRESS;
        }
        shake->in_nbytes = 0;
        shake->out_begin = 0;
        whorl_result_t rc = wh_shake_take(&shake->shake, shake->in, shake->out, &shake->out_end);
        if (rc == WHORL_OK || rc == WHORL_IN_PROGRESS) {
            continue;
        }
        /* What is left to say may help the other end to report it. */
        (void)wh_sock_send(shake->fd, shake->out, shake->out_end);
        *why_out = rc == WHORL_E_TRUST    ? "who is there does not know this communicator's secret"
                   : rc == WHORL_E_CONFIG ? "WHORL_ENCRYPT is set on one of the two ranks only"
                   : rc == WHORL_E_UNSUPPORTED ? "who is there has another version of the library"
                                               : "who is there does not speak this protocol";
        return rc;
    }
}

/* ---- pairs ---------------------------------------------------------------------------------- */

struct tcp_pair *tcp_pair_get(struct tcp_wire *wire, uint32_t peer, uint32_t channel)
{
    for (uint32_t i = 0; i < wire->npairs; i++) {
        if (wire->pairs[i]->peer == peer && wire->pairs[i]->channel == channel) {
            return wire->pairs[i];
        }
    }
    if (wire->npairs == wire->pairs_capacity) {
        uint32_t capacity = wire->pairs_capacity > 0 ? 2 * wire->pairs_capacity : 8;
        struct tcp_pair **grown =
            realloc((void *)wire->pairs, capacity * sizeof(struct tcp_pair *));
        if (grown == NULL) {
            return NULL;
        }
        wire->pairs = grown;
        wire->pairs_capacity = capacity;
    }
    struct tcp_pair *pair = calloc(1, sizeof(*pair) + wire->nconns * sizeof(struct tcp_conn));
    if (pair == NULL) {
        return NULL;
    }
    pair->wire = wire;
    pair->peer = peer;
    pair->channel = channel;
    for (uint32_t i = 0; i < wire->nconns; i++) {
        pair->conns[i] = (struct tcp_conn){.kind = TCP_CONN, .pair = pair, .index = i, .fd = -1};
    }
    wire->memory_nbytes += sizeof(*pair) + wire->nconns * sizeof(struct tcp_conn);
    wire->pairs[wire->npairs++] = pair;
    return pair;
}

static void conn_stop_dialling(struct tcp_conn *conn)
{
    if (conn->dial != NULL) {
        wh_dial_fini(conn->dial);
        free(conn->dial);
        conn->dial = NULL;
        conn->pair->wire->nbusy--;
    }
    if (conn->shake != NULL) {
        shake_fini(conn->shake);
        free(conn->shake);
        conn->shake = NULL;
    }
}

static void conn_fini(struct tcp_conn *conn)
{
    conn_stop_dialling(conn);
    if (conn->fd >= 0) {
        /* What has come and was not wanted would make the kernel reset the connection, and the
         * peer could lose what is on its way to it. */
        uint8_t unwanted[4096];
        shutdown(conn->fd, SHUT_WR);
        while (wh_sock_recv(conn->fd, unwanted, sizeof(unwanted)) > 0) {
        }
        close(conn->fd);
    }
    wh_seal_destroy(conn->seal);
    wh_seal_destroy(conn->unseal);
    free(conn->flights);
    free(conn->out.record);
    free(conn->in.record);
    free(conn->in.spill);
}

void tcp_pair_destroy(struct tcp_pair *pair)
{
    for (uint32_t i = 0; i < pair->wire->nconns; i++) {
        conn_fini(&pair->conns[i]);
    }
    tcp_link_fini(&pair->send);
    tcp_link_fini(&pair->recv);
    free(pair);
}

/* ---- begin ---------------------------------------------------------------------------------- */

static void tune(int fd)
{
    const int notsent = NOTSENT_NBYTES, patience = PATIENCE_MS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &notsent, sizeof(notsent));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof(patience));
}

/* Records of a sealed connection are written over as soon as the kernel has taken them. */
static whorl_result_t try_zerocopy(struct tcp_conn *conn)
{
    struct tcp_wire *wire = conn->pair->wire;
    if (!wire->is_zerocopy || conn->seal != NULL) {
        return WHORL_OK;
    }
    tcp_zerocopy_start(&conn->zerocopy, conn->fd);
    if (conn->zerocopy.state == TCP_ZEROCOPY_OFF) {
        return WHORL_OK;
    }
    const size_t n = (size_t)wire->env->nslots * wire->nconns;
    conn->flights = calloc(n, sizeof(*conn->flights));
    if (conn->flights == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "tcp: no memory for a connection");
    }
    wire->memory_nbytes += n * sizeof(*conn->flights);
    return WHORL_OK;
}

/* A handshake is over: the connection carries messages from now on. Takes the shake's descriptor.
 */
static whorl_result_t conn_up(struct tcp_conn *conn, struct tcp_shake *shake,
                              const struct wh_addr *peer)
{
    struct tcp_wire *wire = conn->pair->wire;
    whorl_result_t rc = WHORL_OK;
    if (wire->address.encrypts) {
        rc = wh_shake_seals(&shake->shake, &conn->seal, &conn->unseal);
    }
    if (rc != WHORL_OK) {
        return rc;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    if (epoll_ctl(wire->epoll, EPOLL_CTL_ADD, shake->fd, &event) != 0) {
        return wh_fail_sys(WH_SUBSYS_NET, "tcp: cannot watch a connection");
    }
    conn->events = EPOLLIN;
    conn->fd = shake->fd;
    shake->fd = -1;
    conn->peer = *peer;
    conn->state = TCP_UP;
    tune(conn->fd);
    rc = try_zerocopy(conn);
    if (rc != WHORL_OK) {
        return rc;
    }
    char text[WH_ADDR_TEXT_NBYTES];
    wh_log(WH_LOG_INFO, WH_SUBSYS_NET, "tcp: connected with rank %u at %s, channel %u%s",
           conn->pair->peer, wh_addr_print(peer, text), conn->pair->channel,
           wire->address.encrypts ? ", encrypted" : "");
    return tcp_pump_out(conn->pair);
}

whorl_result_t tcp_pair_dial(struct tcp_pair *pair)
{
    struct tcp_wire *wire = pair->wire;
    if (wire->env->rank > pair->peer) {
        return WHORL_OK;
    }
    struct tcp_address address;
    bool is_known =
        tcp_address_decode(wire->addresses + (size_t)pair->peer * WH_ADDRESS_NBYTES_MAX, &address);
    assert(is_known);
    if (wire->env->host_keys[pair->peer] != wire->env->host_keys[wire->env->rank]) {
        tcp_address_drop_loopback(&address);
    }
    for (uint32_t i = 0; is_known && i < wire->nconns; i++) {
        struct tcp_conn *conn = &pair->conns[i];
        if (conn->state != TCP_IDLE) {
            continue;
        }
        conn->dial = calloc(1, sizeof(*conn->dial));
        if (conn->dial == NULL) {
            return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "tcp: no memory to dial");
        }
        /* Each connection of the pair begins with another address: several networks are used
         * together. */
        struct wh_addr addrs[TCP_NADDRS_MAX];
        for (uint32_t a = 0; a < address.naddrs; a++) {
            addrs[a] = address.addrs[(a + i % address.nalike) % address.naddrs];
        }
        wh_dial_start(conn->dial, addrs, address.naddrs, WH_NEVER);
        conn->state = TCP_DIALS;
        wire->nbusy++;
    }
    return WHORL_OK;
}

/* No address is left to be tried; text says what became of them. */
static whorl_result_t cannot_dial(struct tcp_conn *conn, whorl_result_t rc, const char *text)
{
    rc = wh_fail(rc == WHORL_E_TIMEOUT || rc == WHORL_E_SYS ? WHORL_E_PEER : rc, WH_SUBSYS_NET,
                 "tcp: rank %u cannot connect to rank %u: %s%s", conn->pair->wire->env->rank,
                 conn->pair->peer, text,
                 rc == WHORL_E_CONFIG
                     ? ""
                     : ": is there a firewall, or should WHORL_SOCKET_IFNAME choose "
                       "another network?");
    conn_stop_dialling(conn);
    conn->error = EHOSTUNREACH;
    conn->state = TCP_ENDED;
    conn->ended_ns = wh_now_ns();
    conn->pair->nended++;
    return rc;
}

/*
 * The handshake with who answered failed with rc: not the peer, or not one of us: the other
 * addresses are tried. Or nothing came, or the connection ended; that may be a peer who is not yet
 * in a call, or has too many callers: it is asked again.
 */
static whorl_result_t not_the_peer(struct tcp_conn *conn, const char *why, whorl_result_t rc)
{
    shake_fini(conn->shake);
    free(conn->shake);
    conn->shake = NULL;
    if (rc == WHORL_E_CONFIG) {
        return cannot_dial(conn, rc, why);
    }
    struct wh_dial_try *silent =
        rc == WHORL_E_TIMEOUT ? &conn->dial->tries[conn->dial->winner] : NULL;
    wh_dial_reject(conn->dial, why, rc != WHORL_E_TIMEOUT && rc != WHORL_E_PEER);
    if (silent != NULL) {
        silent->nfailed = 1; /* however often: how late a rank may be is the operation's affair */
    }
    return WHORL_OK;
}

static whorl_result_t begin_shake(struct tcp_conn *conn, int fd)
{
    const struct tcp_pair *pair = conn->pair;
    const struct tcp_intro intro = {
        .from = pair->wire->env->rank,
        .to = pair->peer,
        .channel = pair->channel,
        .index = conn->index,
    };
    conn->shake = calloc(1, sizeof(*conn->shake));
    if (conn->shake == NULL) {
        close(fd);
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "tcp: no memory for a handshake");
    }
    return shake_begin(conn->shake, pair->wire, fd, &intro, true);
}

whorl_result_t tcp_conn_advance(struct tcp_conn *conn)
{
    if (conn->shake == NULL) {
        int fd;
        char text[WH_DIAL_WHY_NBYTES];
        whorl_result_t rc = wh_dial_advance(conn->dial, &fd, &conn->peer);
        if (rc == WHORL_IN_PROGRESS) {
            return WHORL_OK;
        }
        if (rc != WHORL_OK) {
            return cannot_dial(conn, rc, wh_dial_why(conn->dial, text));
        }
        rc = begin_shake(conn, fd);
        if (rc != WHORL_OK) {
            return rc;
        }
    }
    const char *why = "";
    whorl_result_t rc = shake_advance(conn->shake, &why);
    if (rc == WHORL_IN_PROGRESS) {
        return WHORL_OK;
    }
    if (rc != WHORL_OK) {
        return not_the_peer(conn, why, rc);
    }
    struct tcp_intro theirs;
    if (!tcp_intro_decode(wh_shake_peer_data(&conn->shake->shake), &theirs) ||
        theirs.from != conn->pair->peer) {
        return not_the_peer(conn, "another rank answers there", WHORL_E_ARG);
    }
    rc = conn_up(conn, conn->shake, &conn->peer);
    conn_stop_dialling(conn);
    return rc;
}

/* ---- those who call ------------------------------------------------------------------------- */

static void caller_close(struct tcp_wire *wire, struct tcp_caller **at)
{
    struct tcp_caller *caller = *at;
    *at = caller->next;
    (void)epoll_ctl(wire->epoll, EPOLL_CTL_DEL, caller->shake.fd, NULL);
    shake_fini(&caller->shake);
    free(caller);
    wire->ncallers--;
}

void tcp_callers_close(struct tcp_wire *wire)
{
    while (wire->callers != NULL) {
        caller_close(wire, &wire->callers);
    }
}

/* A caller has said who it is: its connection becomes that of its pair. */
static whorl_result_t admit(struct tcp_wire *wire, struct tcp_caller *caller)
{
    const struct wh_wire_env *env = wire->env;
    struct tcp_intro intro;
    if (!tcp_intro_decode(wh_shake_peer_data(&caller->shake.shake), &intro) ||
        intro.to != env->rank || intro.from >= env->rank || intro.channel >= env->nchannels ||
        intro.index >= wire->nconns) {
        wh_log(WH_LOG_INFO, WH_SUBSYS_NET, "tcp: a call for somebody else was refused");
        return WHORL_OK;
    }
    struct tcp_pair *pair = tcp_pair_get(wire, intro.from, intro.channel);
    if (pair == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "tcp: no memory for a link to rank %u",
                       intro.from);
    }
    struct tcp_conn *conn = &pair->conns[intro.index];
    if (conn->state != TCP_IDLE) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_NET, "tcp: rank %u called twice for one connection",
               intro.from);
        return WHORL_OK;
    }
    return conn_up(conn, &caller->shake, &caller->peer);
}

static whorl_result_t take_call(struct tcp_wire *wire, int fd, const struct wh_addr *peer)
{
    const struct tcp_intro intro = {.from = wire->env->rank, .to = nobody};
    struct tcp_caller *caller = calloc(1, sizeof(*caller));
    if (caller == NULL) {
        close(fd);
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "tcp: no memory for a caller");
    }
    caller->kind = TCP_CALLER;
    caller->wire = wire;
    caller->peer = *peer;
    caller->next = wire->callers;
    wire->callers = caller;
    wire->ncallers++;
    whorl_result_t rc = shake_begin(&caller->shake, wire, fd, &intro, false);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = caller};
    if (rc == WHORL_OK && epoll_ctl(wire->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        return wh_fail_sys(WH_SUBSYS_NET, "tcp: cannot watch a connection");
    }
    return rc;
}

/* Too many have called, and most of them will never say anything: the one who called first, long
 * ago for a rank that knows what to say, makes room. A rank would call again. */
static void drop_oldest(struct tcp_wire *wire)
{
    struct tcp_caller **at = &wire->callers;
    while ((*at)->next != NULL) {
        at = &(*at)->next;
    }
    caller_close(wire, at);
}

whorl_result_t tcp_accept(struct tcp_wire *wire)
{
    whorl_result_t rc = WHORL_OK;
    for (uint32_t i = 0; rc == WHORL_OK && i < ACCEPTS_MAX; i++) {
        struct wh_addr peer;
        int fd = wh_sock_accept(wire->listener, &peer);
        if (fd < 0) {
            break;
        }
        if (wire->ncallers == CALLERS_MAX) {
            drop_oldest(wire);
        }
        rc = take_call(wire, fd, &peer);
    }
    wire->callers_due_ns = wh_now_ns() + CALLERS_DUE_NS;
    struct tcp_caller **at = &wire->callers;
    while (rc == WHORL_OK && *at != NULL) {
        struct tcp_caller *caller = *at;
        const char *why = "";
        whorl_result_t shaken = shake_advance(&caller->shake, &why);
        if (shaken == WHORL_IN_PROGRESS) {
            at = &caller->next;
            continue;
        }
        if (shaken == WHORL_OK) {
            (void)epoll_ctl(wire->epoll, EPOLL_CTL_DEL, caller->shake.fd, NULL);
            rc = admit(wire, caller);
        } else {
            char text[WH_ADDR_TEXT_NBYTES];
            wh_log(WH_LOG_WARN, WH_SUBSYS_NET, "tcp: a connection from %s was refused: %s",
                   wh_addr_print(&caller->peer, text), why);
        }
        caller_close(wire, at);
    }
    return rc;
}

/* ---- the end -------------------------------------------------------------------------------- */

void tcp_conn_end(struct tcp_conn *conn, int error)
{
    if (conn->state == TCP_ENDED) {
        return;
    }
    conn->state = TCP_ENDED;
    conn->error = error;
    conn->ended_ns = wh_now_ns();
    conn->pair->nended++;
    (void)epoll_ctl(conn->pair->wire->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
}

/* Of the connections that ended, the one that tells most. */
static const struct tcp_conn *first_broken(const struct tcp_pair *pair)
{
    const struct tcp_conn *found = NULL;
    for (uint32_t i = 0; i < pair->wire->nconns; i++) {
        const struct tcp_conn *conn = &pair->conns[i];
        if (conn->state == TCP_ENDED && (found == NULL || (conn->is_broken && !found->is_broken))) {
            found = conn;
        }
    }
    return found;
}

whorl_result_t tcp_pair_check(struct tcp_pair *pair)
{
    if (pair->nended == 0) {
        return WHORL_IN_PROGRESS;
    }
    const struct tcp_conn *conn = first_broken(pair);
    if (!conn->is_broken && wh_now_ns() - conn->ended_ns < GRACE_NS) {
        return WHORL_IN_PROGRESS;
    }
    tcp_pump_give_up(pair);
    pair->receives_no_more = true;
    char text[WH_ADDR_TEXT_NBYTES];
    wh_addr_print(&conn->peer, text);
    if (conn->is_broken && conn->error == EBADMSG) {
        return wh_fail(WHORL_E_TRUST, WH_SUBSYS_NET,
                       "tcp: what came from rank %u (%s) was altered, repeated or left out on the "
                       "way",
                       pair->peer, text);
    }
    if (conn->is_broken) {
        return wh_fail(WHORL_E_PEER, WH_SUBSYS_NET, "tcp: rank %u (%s) sent what no rank sends",
                       pair->peer, text);
    }
    return wh_fail(WHORL_E_PEER, WH_SUBSYS_NET, "tcp: the connection with rank %u (%s) ended: %s",
                   pair->peer, text,
                   conn->error == 0 ? "the other end closed it" : strerror(conn->error));
}

void tcp_conn_watch(struct tcp_conn *conn)
{
    if (conn->state != TCP_UP) {
        return;
    }
    bool wants_in = conn->pair->recv.pair != NULL && !tcp_conn_is_stalled(conn);
    uint32_t events = (wants_in ? EPOLLIN : 0) | (conn->is_blocked ? EPOLLOUT : 0);
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (events != conn->events &&
        epoll_ctl(conn->pair->wire->epoll, EPOLL_CTL_MOD, conn->fd, &event) == 0) {
        conn->events = events;
    }
}

void tcp_conn_let_sleep(struct tcp_conn *conn, uint32_t events)
{
    /* epoll tells of these for ever, asked or not. Whoever makes room reads, and finds the end. */
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && tcp_conn_is_stalled(conn)) {
        (void)epoll_ctl(conn->pair->wire->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
    }
}
