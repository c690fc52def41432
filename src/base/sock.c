/* SPDX-License-Identifier: Apache-2.0 */
/* TCP sockets, addresses and the list of interfaces. See sock.h. */
#define _GNU_SOURCE

#include "base/sock.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A silent peer is probed after KEEP_IDLE_S, then every KEEP_GAP_S, and lost after KEEP_PROBES. */
enum { KEEP_IDLE_S = 10, KEEP_GAP_S = 5, KEEP_PROBES = 3 };
enum { HOST_TEXT_NBYTES = 256 };

static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};

/* ---- addresses ------------------------------------------------------------------------------ */

bool wh_family_parse(const char *text, enum wh_family *family_out)
{
    static const struct {
        const char *text;
        enum wh_family family;
    } rows[] = {{"", WH_FAMILY_ANY}, {"AF_INET", WH_FAMILY_V4}, {"AF_INET6", WH_FAMILY_V6}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].text, text) == 0) {
            *family_out = rows[i].family;
            return true;
        }
    }
    return false;
}

bool wh_addr_is_v4(const struct wh_addr *addr)
{
    return memcmp(addr->ip, v4_prefix, sizeof(v4_prefix)) == 0;
}

bool wh_addr_is_loopback(const struct wh_addr *addr)
{
    static const uint8_t v6_loopback[16] = {[15] = 1};

    return wh_addr_is_v4(addr) ? addr->ip[12] == 127
                               : memcmp(addr->ip, v6_loopback, sizeof(v6_loopback)) == 0;
}

const char *wh_addr_print(const struct wh_addr *addr, char text[WH_ADDR_TEXT_NBYTES])
{
    char ip[INET6_ADDRSTRLEN];
    bool v4 = wh_addr_is_v4(addr);

    const char *ok = v4 ? inet_ntop(AF_INET, addr->ip + 12, ip, sizeof(ip))
                        : inet_ntop(AF_INET6, addr->ip, ip, sizeof(ip));
    snprintf(text, WH_ADDR_TEXT_NBYTES, v4 ? "%s:%u" : "[%s]:%u", ok == NULL ? "?" : ip,
             addr->port);
    return text;
}

bool wh_addr_is_link_local(const struct wh_addr *addr)
{
    return wh_addr_is_v4(addr) ? addr->ip[12] == 169 && addr->ip[13] == 254
                               : addr->ip[0] == 0xfe && (addr->ip[1] & 0xc0) == 0x80;
}

bool wh_addr_from_sockaddr(const struct sockaddr *sa, struct wh_addr *addr_out)
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        memcpy(addr_out->ip, v4_prefix, sizeof(v4_prefix));
        memcpy(addr_out->ip + 12, &in.sin_addr, 4);
        addr_out->port = ntohs(in.sin_port);
        return true;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        memcpy(addr_out->ip, &in6.sin6_addr, 16);
        addr_out->port = ntohs(in6.sin6_port);
        return true;
    }
    return false;
}

static socklen_t addr_to_sockaddr(const struct wh_addr *addr, struct sockaddr_storage *sa_out)
{
    memset(sa_out, 0, sizeof(*sa_out));
    if (wh_addr_is_v4(addr)) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
        memcpy(&in.sin_addr, addr->ip + 12, 4);
        memcpy(sa_out, &in, sizeof(in));
        return sizeof(in);
    }
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port)};
    memcpy(&in6.sin6_addr, addr->ip, 16);
    in6.sin6_scope_id = wh_addr_is_link_local(addr) ? wh_sock_link_scope() : 0;
    memcpy(sa_out, &in6, sizeof(in6));
    return sizeof(in6);
}

/* ---- names ---------------------------------------------------------------------------------- */

/* Cuts "host:port" or "[host]:port" in two. False if it is neither. */
static bool split_host_port(const char *text, char host_out[HOST_TEXT_NBYTES],
                            const char **port_out)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || colon[1] == '\0') {
        return false;
    }

    const char *begin = text, *end = colon;
    if (*begin == '[') {
        begin++;
        end--;
        if (end <= begin || *end != ']') {
            return false;
        }
    } else if (memchr(begin, ':', (size_t)(end - begin)) != NULL) {
        return false; /* IPv6 without brackets: which colon is the port's? */
    }

    size_t nchars = (size_t)(end - begin);
    if (nchars >= HOST_TEXT_NBYTES || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strlen(colon + 1) > 5 || atoi(colon + 1) < 1 || atoi(colon + 1) > UINT16_MAX) {
        return false;
    }
    memcpy(host_out, begin, nchars);
    host_out[nchars] = '\0';
    *port_out = colon + 1;
    return true;
}

whorl_result_t wh_sock_resolve(const char *text, enum wh_family family, struct wh_addr *addrs_out,
                               uint32_t naddrs_max, uint32_t *naddrs_out)
{
    char host[HOST_TEXT_NBYTES];
    const char *port;
    if (!split_host_port(text, host, &port)) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_BOOTSTRAP,
                       "\"%s\" is no address: host:port, 1.2.3.4:port or [ipv6]:port is", text);
    }

    const struct addrinfo hints = {
        .ai_family = family == WH_FAMILY_ANY  ? AF_UNSPEC
                     : family == WH_FAMILY_V4 ? AF_INET
                                              : AF_INET6,
        .ai_socktype = SOCK_STREAM,
    };
    struct addrinfo *list;
    int error = getaddrinfo(host, port, &hints, &list);
    if (error != 0) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_BOOTSTRAP, "cannot resolve host \"%s\": %s", host,
                       gai_strerror(error));
    }

    uint32_t naddrs = 0;
    for (const struct addrinfo *entry = list; entry != NULL; entry = entry->ai_next) {
        if (naddrs < naddrs_max && wh_addr_from_sockaddr(entry->ai_addr, &addrs_out[naddrs])) {
            naddrs++;
        }
    }
    freeaddrinfo(list);
    if (naddrs == 0) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_BOOTSTRAP, "host \"%s\" has no address", host);
    }
    *naddrs_out = naddrs;
    return WHORL_OK;
}

/* ---- sockets -------------------------------------------------------------------------------- */

/* Options that only make things better: where one is missing, the connection works without. */
static void tune(int fd)
{
    const struct {
        int level, name, value;
    } rows[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEP_GAP_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEP_PROBES},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, (KEEP_IDLE_S + KEEP_GAP_S * KEEP_PROBES) * 1000},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        (void)setsockopt(fd, rows[i].level, rows[i].name, &rows[i].value, sizeof(rows[i].value));
    }
}

/* Every address of a family. */
static const struct wh_addr any_v4 = {.ip = {[10] = 0xff, [11] = 0xff}};
static const struct wh_addr any_v6;

/* A listening socket at an address of one family, or -1 with errno. */
static int listen_on(int domain, bool only_v6, struct wh_addr at, uint16_t port)
{
    int fd = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }

    const int on = 1, v6only = only_v6;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (domain == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
    }
    at.port = port;
    struct sockaddr_storage sa;
    socklen_t sa_nbytes = addr_to_sockaddr(&at, &sa);

    if (bind(fd, (struct sockaddr *)&sa, sa_nbytes) != 0 || listen(fd, SOMAXCONN) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Checks what listen_on() returned and tells the port. */
static whorl_result_t listening(int fd, uint16_t port, int *fd_out, uint16_t *port_out)
{
    if (fd < 0) {
        return errno == EADDRINUSE
                   ? wh_fail(WHORL_E_SYS, WH_SUBSYS_BOOTSTRAP,
                             "port %u of this host is in use: end the process that listens there, "
                             "or choose another port",
                             port)
                   : wh_fail_sys(WH_SUBSYS_BOOTSTRAP, "cannot listen on port %u", port);
    }

    struct sockaddr_storage sa;
    socklen_t sa_nbytes = sizeof(sa);
    struct wh_addr addr;
    if (getsockname(fd, (struct sockaddr *)&sa, &sa_nbytes) != 0 ||
        !wh_addr_from_sockaddr((struct sockaddr *)&sa, &addr)) {
        whorl_result_t rc = wh_fail_sys(WH_SUBSYS_BOOTSTRAP, "cannot tell the port of a socket");
        close(fd);
        return rc;
    }
    *fd_out = fd;
    *port_out = addr.port;
    return WHORL_OK;
}

whorl_result_t wh_sock_listen(enum wh_family family, uint16_t port, int *fd_out, uint16_t *port_out)
{
    int fd = -1;
    if (family != WH_FAMILY_V4) {
        fd = listen_on(AF_INET6, family == WH_FAMILY_V6, any_v6, port);
    }
    /* A kernel without IPv6, or with it switched off. */
    if (fd < 0 && family != WH_FAMILY_V6 && (family == WH_FAMILY_V4 || errno != EADDRINUSE)) {
        fd = listen_on(AF_INET, false, any_v4, port);
    }
    return listening(fd, port, fd_out, port_out);
}

whorl_result_t wh_sock_listen_at(const struct wh_addr *addr, uint16_t port, int *fd_out,
                                 uint16_t *port_out)
{
    struct sockaddr_storage sa;
    addr_to_sockaddr(addr, &sa);
    return listening(listen_on(sa.ss_family, true, *addr, port), port, fd_out, port_out);
}

int wh_sock_accept(int listener, struct wh_addr *peer_out)
{
    struct sockaddr_storage sa;
    socklen_t sa_nbytes = sizeof(sa);
    int fd = accept4(listener, (struct sockaddr *)&sa, &sa_nbytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return -1;
    }

    if (!wh_addr_from_sockaddr((struct sockaddr *)&sa, peer_out)) {
        close(fd);
        return -1;
    }
    tune(fd);
    return fd;
}

int wh_sock_connect(const struct wh_addr *addr)
{
    struct sockaddr_storage sa;
    socklen_t sa_nbytes = addr_to_sockaddr(addr, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }

    tune(fd);
    /* Once closed, it must not keep a listener from its port, which is one of those that anyone
     * gets. */
    int reuse = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
    if (connect(fd, (struct sockaddr *)&sa, sa_nbytes) != 0 && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

bool wh_sock_own_addr(int fd, struct wh_addr *addr_out)
{
    struct sockaddr_storage own = {0};
    socklen_t own_nbytes = sizeof(own);
    return getsockname(fd, (struct sockaddr *)&own, &own_nbytes) == 0 &&
           wh_addr_from_sockaddr((struct sockaddr *)&own, addr_out);
}

bool wh_sock_is_own_echo(int fd)
{
    struct sockaddr_storage peer = {0};
    socklen_t peer_nbytes = sizeof(peer);
    struct wh_addr a, b;
    return wh_sock_own_addr(fd, &a) &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_nbytes) == 0 &&
           wh_addr_from_sockaddr((struct sockaddr *)&peer, &b) && a.port == b.port &&
           memcmp(a.ip, b.ip, sizeof(a.ip)) == 0;
}

int wh_sock_error(int fd)
{
    int error = 0;
    socklen_t nbytes = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &nbytes) != 0 ? errno : error;
}

ssize_t wh_sock_send(int fd, const void *bytes, size_t nbytes)
{
    ssize_t sent;
    do {
        sent = send(fd, bytes, nbytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        return sent;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
}

ssize_t wh_sock_recv(int fd, void *bytes, size_t nbytes)
{
    assert(nbytes > 0);

    ssize_t got;
    do {
        got = recv(fd, bytes, nbytes, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got == 0) {
        return -EPIPE;
    }
    if (got > 0) {
        return got;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
}
