/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/sock.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

Test(sock, families_are_read)
{
    enum wh_family family = WH_FAMILY_V6;
    cr_assert(wh_family_parse("", &family));
    cr_assert_eq(family, WH_FAMILY_ANY);
    cr_assert(wh_family_parse("AF_INET", &family));
    cr_assert_eq(family, WH_FAMILY_V4);
    cr_assert(wh_family_parse("AF_INET6", &family));
    cr_assert_eq(family, WH_FAMILY_V6);
    cr_assert_not(wh_family_parse("inet", &family));
    cr_assert_eq(family, WH_FAMILY_V6);
}

Test(sock, numeric_addresses_resolve)
{
    static const struct {
        const char *text, *printed;
    } rows[] = {
        {"127.0.0.1:80", "127.0.0.1:80"},
        {"10.1.2.3:65535", "10.1.2.3:65535"},
        {"[::1]:4711", "[::1]:4711"},
        {"[2001:db8::5]:1", "[2001:db8::5]:1"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wh_addr addr;
        uint32_t naddrs;
        char text[WH_ADDR_TEXT_NBYTES];
        cr_assert_eq(wh_sock_resolve(rows[i].text, WH_FAMILY_ANY, &addr, 1, &naddrs), WHORL_OK);
        cr_assert_eq(naddrs, 1);
        cr_assert_str_eq(wh_addr_print(&addr, text), rows[i].printed);
    }
}

Test(sock, texts_that_are_no_address_are_quoted_back)
{
    static const char *const texts[] = {"",           "host",        "host:",  ":80",     "::1:80",
                                        "[::1]80",    "[::1:80",     "host:0", "host:x",  "host:-1",
                                        "host:65536", "host:123456", "[]:80",  "host:8 0"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct wh_addr addr;
        uint32_t naddrs;
        cr_assert_eq(wh_sock_resolve(texts[i], WH_FAMILY_ANY, &addr, 1, &naddrs), WHORL_E_ARG,
                     "\"%s\"", texts[i]);
        cr_assert_not_null(strstr(wh_error_get(), texts[i]), "%s", wh_error_get());
    }
}

Test(sock, a_host_that_does_not_exist_is_named)
{
    struct wh_addr addr;
    uint32_t naddrs;
    cr_assert_eq(wh_sock_resolve("no-such-host.invalid:80", WH_FAMILY_ANY, &addr, 1, &naddrs),
                 WHORL_E_ARG);
    cr_assert_not_null(strstr(wh_error_get(), "no-such-host.invalid"), "%s", wh_error_get());
}

/* A connected pair over loopback. */
static void connect_pair(int fds_out[2])
{
    int listener;
    uint16_t port;
    cr_assert_eq(wh_sock_listen(WH_FAMILY_ANY, 0, &listener, &port), WHORL_OK);
    cr_assert_neq(port, 0);
    struct wh_addr addr = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, .port = port};
    struct wh_addr peer;
    fds_out[0] = wh_sock_connect(&addr);
    cr_assert_geq(fds_out[0], 0);
    struct pollfd pfd = {.fd = listener, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    fds_out[1] = wh_sock_accept(listener, &peer);
    cr_assert_geq(fds_out[1], 0);
    cr_assert(wh_addr_is_loopback(&peer));
    cr_assert_eq(wh_sock_accept(listener, &peer), -1);
    pfd = (struct pollfd){.fd = fds_out[0], .events = POLLOUT};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    cr_assert_eq(wh_sock_error(fds_out[0]), 0);
    close(listener);
}

Test(sock, bytes_go_through_and_the_end_is_seen)
{
    int fds[2];
    char bytes[8];
    connect_pair(fds);
    cr_assert_eq(wh_sock_recv(fds[1], bytes, sizeof(bytes)), 0);
    cr_assert_eq(wh_sock_send(fds[0], "whorl", 5), 5);
    struct pollfd pfd = {.fd = fds[1], .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    cr_assert_eq(wh_sock_recv(fds[1], bytes, sizeof(bytes)), 5);
    close(fds[0]);
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    cr_assert_eq(wh_sock_recv(fds[1], bytes, sizeof(bytes)), -EPIPE);
    close(fds[1]);
}

Test(sock, a_full_socket_takes_nothing_and_does_not_wait)
{
    static const char bytes[65536];
    int fds[2];
    connect_pair(fds);
    while (wh_sock_send(fds[0], bytes, sizeof(bytes)) > 0) {
    }
    cr_assert_eq(wh_sock_send(fds[0], bytes, sizeof(bytes)), 0);
    close(fds[1]);
    struct pollfd pfd = {.fd = fds[0], .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    /* No SIGPIPE: the test would end here. */
    cr_assert_lt(wh_sock_send(fds[0], bytes, sizeof(bytes)), 0);
    cr_assert_lt(wh_sock_send(fds[0], bytes, sizeof(bytes)), 0);
    close(fds[0]);
}

Test(sock, a_port_nobody_listens_on_refuses)
{
    int listener;
    uint16_t port;
    cr_assert_eq(wh_sock_listen(WH_FAMILY_V4, 0, &listener, &port), WHORL_OK);
    close(listener);
    struct wh_addr addr = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, .port = port};
    int fd = wh_sock_connect(&addr);
    if (fd < 0) {
        cr_assert_eq(fd, -ECONNREFUSED);
        return;
    }
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    cr_assert_eq(wh_sock_error(fd), ECONNREFUSED);
    close(fd);
}

Test(sock, a_socket_connected_to_itself_is_recognized)
{
    int fds[2], fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t sa_nbytes = sizeof(sa);
    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &sa_nbytes), 0);
    cr_assert_not(wh_sock_is_own_echo(fd));
    cr_assert_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    cr_assert(wh_sock_is_own_echo(fd));
    close(fd);
    connect_pair(fds);
    cr_assert_not(wh_sock_is_own_echo(fds[0]));
    cr_assert_not(wh_sock_is_own_echo(fds[1]));
    close(fds[0]);
    close(fds[1]);
}
