/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP for the control connections: addresses, interfaces, and sockets that never block.
 *
 * Every socket made here is non-blocking, closed on exec, without Nagle's delay, and probes a
 * silent peer, so that a host that vanished is noticed within half a minute. Whoever has to wait,
 * polls.
 */
#ifndef WH_BASE_SOCK_H
#define WH_BASE_SOCK_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/** Where somebody listens. IPv4 is the IPv6 address ::ffff:a.b.c.d. */
struct wh_addr {
    uint8_t ip[16];
    uint16_t port;
};

enum wh_family { WH_FAMILY_ANY, WH_FAMILY_V4, WH_FAMILY_V6 };

/** Reads WHORL_SOCKET_FAMILY: empty, AF_INET or AF_INET6. False if text is none of them. */
bool wh_family_parse(const char *text, enum wh_family *family_out);

bool wh_addr_is_v4(const struct wh_addr *addr);
bool wh_addr_is_loopback(const struct wh_addr *addr);

/** Has it a meaning on one cable only: 169.254.0.0/16, fe80::/10? */
bool wh_addr_is_link_local(const struct wh_addr *addr);

/** False, *addr_out untouched, if sa is of no family that we speak. */
bool wh_addr_from_sockaddr(const struct sockaddr *sa, struct wh_addr *addr_out);

enum { WH_ADDR_TEXT_NBYTES = 64 };

/** Writes "10.0.0.1:80" or "[fe80::1]:80" and returns text. */
const char *wh_addr_print(const struct wh_addr *addr, char text[WH_ADDR_TEXT_NBYTES]);

/**
 * Does list allow interface name? The syntax of NCCL_SOCKET_IFNAME: a comma list of prefixes, after
 * "=" of exact names; "^" before it excludes. An empty list allows all.
 */
bool wh_ifname_allows(const char *list, const char *name);

/**
 * The addresses of this host at which others may find it, port 0, best first: those of ib*
 * interfaces, then of ordinary ones. Those of interfaces without a carrier or of containers and
 * virtual machines (docker*, virbr* ...) only if ifnames names them or there are no better ones,
 * link-local ones only if there are none of those either. Keeps room for loopback, which comes
 * last, so that ranks of one host find each other without any network.
 *
 * Errors    WHORL_E_CONFIG, reported with the interfaces there are, if ifnames allows none of them.
 */
WH_MUST_CHECK whorl_result_t wh_sock_own_addrs(const char *ifnames, enum wh_family family,
                                               struct wh_addr *addrs_out, uint32_t naddrs_max,
                                               uint32_t *naddrs_out);

struct ifaddrs;

/** The same from a list of interfaces; returns how many. naddrs_max is at least 2. */
uint32_t wh_sock_pick_addrs(const struct ifaddrs *list, const char *ifnames, enum wh_family family,
                            struct wh_addr *addrs_out, uint32_t naddrs_max);

/** The number of the interface over which IPv6's link-local addresses are sought: they do not say
 *  so themselves. 0: none. */
uint32_t wh_sock_link_scope(void);

/**
 * How many of this host's addresses, from the first on, are worth using together: those of one
 * family on interfaces of their own with the same speed, as far as the kernel knows it. At least 1:
 * what is shared with a slower network waits for it.
 */
uint32_t wh_sock_nalike(const struct wh_addr *addrs, uint32_t naddrs);

/**
 * Resolves "host:port", "1.2.3.4:port" or "[ipv6]:port". Blocking: asks the resolver.
 *
 * Errors    WHORL_E_ARG, reported: not such a text, or no such host.
 */
WH_MUST_CHECK whorl_result_t wh_sock_resolve(const char *text, enum wh_family family,
                                             struct wh_addr *addrs_out, uint32_t naddrs_max,
                                             uint32_t *naddrs_out);

/**
 * Listens on port of all interfaces; port 0 takes a free one. The caller closes *fd_out.
 *
 * Errors    WHORL_E_SYS, reported.
 */
WH_MUST_CHECK whorl_result_t wh_sock_listen(enum wh_family family, uint16_t port, int *fd_out,
                                            uint16_t *port_out);

/** The same on one address only; addr's own port is not looked at. */
WH_MUST_CHECK whorl_result_t wh_sock_listen_at(const struct wh_addr *addr, uint16_t port,
                                               int *fd_out, uint16_t *port_out);

/** Takes one connection that has come; -1 if there is none. The caller closes it. */
int wh_sock_accept(int listener, struct wh_addr *peer_out);

/** Starts connecting; poll for POLLOUT, then ask wh_sock_error(). The caller closes what it returns;
 *  -errno if it failed at once. */
int wh_sock_connect(const struct wh_addr *addr);

/** The address of this end of a connection; false if it has none. */
bool wh_sock_own_addr(int fd, struct wh_addr *addr_out);

/** Is a socket connected to itself? A port of this host that nobody listens on can be the very one
 *  that the kernel gives to whoever calls it. */
bool wh_sock_is_own_echo(int fd);

/** The errno that waits in a socket; 0: none, or connected. */
int wh_sock_error(int fd);

/** Sends what fits. Returns how many bytes, 0 if none fits now, or -errno. Never SIGPIPE. */
ssize_t wh_sock_send(int fd, const void *bytes, size_t nbytes);

/** Receives what is there. Returns how many bytes, 0 if none is there now, or -errno; -EPIPE when
 *  the peer has closed in good order. */
ssize_t wh_sock_recv(int fd, void *bytes, size_t nbytes);

#endif
