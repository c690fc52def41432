/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TCP transport: the wire that is always there. See tcp.h for how its parts fit.
 */
#include "tcp.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 32,
    TURNS_TO_LOOK = 8, /* calls of progress() without an own reason until epoll is asked */
    LINGER_NS = 2000000000,
    LINGER_POLL_MS = 10,
};

static whorl_result_t find_addresses(const struct wh_config *config, struct tcp_address *address)
{
    enum wh_family family;
    if (!wh_family_parse(config->socket_family, &family)) {
        return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV,
                       "WHORL_SOCKET_FAMILY=%s: not AF_INET or AF_INET6", config->socket_family);
    }
    whorl_result_t rc = wh_sock_own_addrs(config->socket_ifname, family, address->addrs,
                                          TCP_NADDRS_MAX, &address->naddrs);
    address->nalike = rc == WHORL_OK ? wh_sock_nalike(address->addrs, address->naddrs) : 0;
    return rc;
}

/* Do all ranks share a host? Then nobody else should find them. */
static bool is_one_host(const struct wh_wire_env *env)
{
    for (uint32_t r = 1; r < env->nranks; r++) {
        if (env->host_keys[r] != env->host_keys[0]) {
            return false;
        }
    }
    return true;
}

/* Leaves loopback alone, if there is one. */
static void keep_loopback(struct tcp_address *address)
{
    for (uint32_t i = 0; i < address->naddrs; i++) {
        if (wh_addr_is_loopback(&address->addrs[i])) {
            address->addrs[0] = address->addrs[i];
            address->naddrs = 1;
            address->nalike = 1;
            return;
        }
    }
}

static void tcp_close(struct wh_transport_wire *base);

static whorl_result_t start_listening(struct tcp_wire *wire, const struct wh_config *config)
{
    enum wh_family family;
    if (!wh_family_parse(config->socket_family, &family)) {
        family = WH_FAMILY_ANY;
    }
    const struct wh_addr *best = &wire->address.addrs[0];
    whorl_result_t rc = wh_addr_is_loopback(best)
                            ? wh_sock_listen_at(best, 0, &wire->listener, &wire->address.port)
                            : wh_sock_listen(family, 0, &wire->listener, &wire->address.port);
    if (rc != WHORL_OK) {
        return rc;
    }
    char text[WH_ADDR_TEXT_NBYTES];
    struct wh_addr at = *best;
    at.port = wire->address.port;
    wh_log(WH_LOG_INFO, WH_SUBSYS_INIT, "tcp: at %s and %u more addresses, %u networks together",
           wh_addr_print(&at, text), wire->address.naddrs - 1, wire->address.nalike);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &wire->listener_kind};
    wire->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (wire->epoll < 0 || epoll_ctl(wire->epoll, EPOLL_CTL_ADD, wire->listener, &event) != 0) {
        return wh_fail_sys(WH_SUBSYS_NET, "tcp: cannot wait for connections");
    }
    return WHORL_OK;
}

static whorl_result_t tcp_open(const struct wh_wire_env *env, struct wh_transport_wire **wire_out)
{
    const struct wh_config *config;
    whorl_result_t rc = wh_config_get(&config);
    if (rc != WHORL_OK) {
        return rc;
    }
    struct tcp_wire *wire = calloc(1, sizeof(*wire));
    if (wire == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "tcp: no memory for a wire");
    }
    wire->base.ops = &whorl_transport_tcp;
    wire->env = env;
    wire->listener = -1;
    wire->epoll = -1;
    wire->listener_kind = TCP_LISTENER;
    wire->memory_nbytes = sizeof(*wire);
    rc = find_addresses(config, &wire->address);
    if (rc == WHORL_OK && is_one_host(env)) {
        keep_loopback(&wire->address);
    }
    if (rc == WHORL_OK) {
        rc = start_listening(wire, config);
    }
    if (rc != WHORL_OK) {
        tcp_close(&wire->base);
        return rc;
    }
    wire->address.encrypts = config->encrypt;
    if (config->encrypt) {
        wh_log(WH_LOG_INFO, WH_SUBSYS_INIT, "tcp: encrypts with %s", wh_seal_library());
    }
    wire->is_zerocopy = config->zerocopy && !config->encrypt;
    wire->address.nconns =
        (uint8_t)(config->nsockets > 0 ? config->nsockets : wire->address.nalike);
    wire->address.slot_nbytes = (uint32_t)env->slot_nbytes;
    wire->address.nslots = env->nslots;
    wire->address.nchannels = env->nchannels;
    *wire_out = &wire->base;
    return WHORL_OK;
}

/* Sends what is left, for a while: peers may still wait for it. */
static void linger(struct tcp_wire *wire)
{
    uint64_t until_ns = wh_now_ns() + LINGER_NS;
    for (uint32_t i = 0; i < wire->npairs; i++) {
        struct tcp_pair *pair = wire->pairs[i];
        while (pair->send.pair != NULL && pair->nended == 0 && !pair->sends_no_more &&
               tcp_link_flush(&pair->send.base) == WHORL_IN_PROGRESS && wh_now_ns() < until_ns) {
            struct pollfd fds[TCP_CONNS_MAX];
            for (uint32_t c = 0; c < wire->nconns; c++) {
                fds[c] = (struct pollfd){.fd = pair->conns[c].fd, .events = POLLOUT};
            }
            (void)poll(fds, wire->nconns, LINGER_POLL_MS);
            (void)whorl_transport_tcp.progress(&wire->base);
        }
    }
}

static void tcp_close(struct wh_transport_wire *base)
{
    struct tcp_wire *wire = (struct tcp_wire *)base;
    if (!wire->env->gives_up) {
        linger(wire);
    }
    for (uint32_t i = 0; i < wire->npairs; i++) {
        tcp_pair_destroy(wire->pairs[i]);
    }
    free((void *)wire->pairs);
    tcp_callers_close(wire);
    if (wire->listener >= 0) {
        close(wire->listener);
    }
    if (wire->epoll >= 0) {
        close(wire->epoll);
    }
    free(wire);
}

static void tcp_address(struct wh_transport_wire *base, uint8_t out[WH_ADDRESS_NBYTES_MAX])
{
    tcp_address_encode(&((struct tcp_wire *)base)->address, out);
}

static whorl_result_t tcp_connect(struct wh_transport_wire *base, const uint8_t *addresses)
{
    struct tcp_wire *wire = (struct tcp_wire *)base;
    wire->addresses = addresses;
    wire->nconns = wire->address.nconns;
    for (uint32_t r = 0; r < wire->env->nranks; r++) {
        struct tcp_address address;
        if (tcp_address_decode(addresses + (size_t)r * WH_ADDRESS_NBYTES_MAX, &address) &&
            address.nconns < wire->nconns) {
            wire->nconns = address.nconns;
        }
    }
    return WHORL_OK;
}

static bool tcp_reaches(struct wh_transport_wire *base, uint32_t peer, const char **why_out)
{
    const struct tcp_wire *wire = (struct tcp_wire *)base;
    const struct tcp_address *own = &wire->address;
    struct tcp_address theirs;
    if (peer == wire->env->rank) {
        *why_out = "that is this rank";
        return false;
    }
    if (!tcp_address_decode(wire->addresses + (size_t)peer * WH_ADDRESS_NBYTES_MAX, &theirs)) {
        *why_out = "it has no TCP address";
        return false;
    }
    if (theirs.encrypts != own->encrypts) {
        *why_out = "WHORL_ENCRYPT is set on one of the two ranks only";
        return false;
    }
    if (theirs.slot_nbytes != own->slot_nbytes || theirs.nslots != own->nslots ||
        theirs.nchannels != own->nchannels) {
        *why_out = "its buffers differ (WHORL_BUFFSIZE, WHORL_SLOTS)";
        return false;
    }
    return true;
}

/* ---- progress ------------------------------------------------------------------------------- */

static whorl_result_t advance_dials(struct tcp_wire *wire)
{
    whorl_result_t rc = WHORL_OK;
    for (uint32_t i = 0; rc == WHORL_OK && i < wire->npairs; i++) {
        for (uint32_t c = 0; rc == WHORL_OK && c < wire->nconns; c++) {
            if (wire->pairs[i]->conns[c].state == TCP_DIALS) {
                rc = tcp_conn_advance(&wire->pairs[i]->conns[c]);
            }
        }
    }
    return rc;
}

static whorl_result_t send_blocked(struct tcp_wire *wire)
{
    whorl_result_t rc = WHORL_OK;
    for (uint32_t i = 0; rc == WHORL_OK && i < wire->npairs; i++) {
        bool is_blocked = false;
        for (uint32_t c = 0; c < wire->nconns; c++) {
            is_blocked |= wire->pairs[i]->conns[c].is_blocked;
        }
        rc = is_blocked ? tcp_pump_out(wire->pairs[i]) : WHORL_OK;
    }
    return rc;
}

static whorl_result_t handle_events(struct tcp_wire *wire)
{
    struct epoll_event events[EVENTS_MAX];
    bool has_callers = wire->ncallers > 0 && wh_now_ns() >= wire->callers_due_ns;
    whorl_result_t rc = WHORL_OK;
    int n = epoll_wait(wire->epoll, events, EVENTS_MAX, 0);
    for (int i = 0; i < n && rc == WHORL_OK; i++) {
        const enum tcp_kind *kind = events[i].data.ptr;
        if (*kind == TCP_LISTENER || *kind == TCP_CALLER) {
            has_callers = true;
            continue;
        }
        struct tcp_conn *conn = events[i].data.ptr;
        if (conn->state == TCP_UP && (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
            uint32_t told = events[i].events;
            if ((told & EPOLLERR) != 0 && tcp_pump_land(conn)) {
                told &= ~(uint32_t)EPOLLERR; /* if there is an error too, it is told again */
            }
            rc = tcp_pump_in(conn);
            tcp_conn_let_sleep(conn, told);
        }
    }
    return rc == WHORL_OK && has_callers ? tcp_accept(wire) : rc;
}

static whorl_result_t tcp_progress(struct wh_transport_wire *base)
{
    struct tcp_wire *wire = (struct tcp_wire *)base;
    whorl_result_t rc = WHORL_OK;
    if (wire->nblocked > 0) {
        rc = send_blocked(wire);
    }
    if (rc == WHORL_OK && wire->nbusy > 0) {
        rc = advance_dials(wire);
    }
    /* Whoever waits for a link reads it directly; this is for all that nobody looks at just now. */
    if (rc == WHORL_OK &&
        (wire->nblocked > 0 || wire->nbusy > 0 || ++wire->nturns % TURNS_TO_LOOK == 0)) {
        rc = handle_events(wire);
    }
    return rc;
}

static int tcp_wait_fd(struct wh_transport_wire *base)
{
    struct tcp_wire *wire = (struct tcp_wire *)base;
    if (wire->nbusy > 0) {
        return -1;
    }
    for (uint32_t i = 0; i < wire->npairs; i++) {
        for (uint32_t c = 0; c < wire->nconns; c++) {
            tcp_conn_watch(&wire->pairs[i]->conns[c]);
        }
    }
    wire->nturns = TURNS_TO_LOOK - 1; /* whoever was woken looks at once */
    return wire->epoll;
}

static uint64_t tcp_memory_nbytes(struct wh_transport_wire *base)
{
    return ((struct tcp_wire *)base)->memory_nbytes;
}

static uint64_t tcp_sent_nbytes(struct wh_transport_wire *base)
{
    return ((struct tcp_wire *)base)->sent_nbytes;
}

const struct whorl_transport_ops whorl_transport_tcp = {
    .struct_nbytes = sizeof(struct whorl_transport_ops),
    .name = "tcp",
    .flags = 0,
    .open = tcp_open,
    .close = tcp_close,
    .address = tcp_address,
    .connect = tcp_connect,
    .reaches = tcp_reaches,
    .link_open = tcp_link_open,
    .link_close = tcp_link_close,
    .acquire = tcp_link_acquire,
    .post = tcp_link_post,
    .poll = tcp_link_poll,
    .release = tcp_link_release,
    .memory_nbytes = tcp_memory_nbytes,
    .send_from = tcp_link_send_from,
    .recv_into = tcp_link_recv_into,
    .flush = tcp_link_flush,
    .progress = tcp_progress,
    .wait_fd = tcp_wait_fd,
    .sent_nbytes = tcp_sent_nbytes,
};
