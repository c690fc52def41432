/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses a host tells others: from made-up lists of interfaces, and of this machine. */
#include "base/log.h"
#include "base/macros.h"
#include "base/sock.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

Test(sock_own, interface_lists_follow_nccls_syntax)
{
    static const struct {
        const char *list, *name;
        bool allowed;
    } rows[] = {
        {"", "eth0", true},         {"eth", "eth0", true},        {"eth", "eth", true},
        {"eth0", "eth", false},     {"eth", "veth1", false},      {"ib,eth", "eth1", true},
        {"ib,eth", "lo", false},    {"=eth0", "eth0", true},      {"=eth0", "eth01", false},
        {"=eth0,ib1", "ib1", true}, {"=eth0,ib1", "ib10", false}, {"^docker", "docker0", false},
        {"^docker", "eth0", true},  {"^docker,lo", "lo", false},  {"^=eth0", "eth0", false},
        {"^=eth0", "eth01", true},  {",", "eth0", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(wh_ifname_allows(rows[i].list, rows[i].name), rows[i].allowed, "\"%s\" %s",
                     rows[i].list, rows[i].name);
    }
}

Test(sock_own, own_addresses_end_with_loopback)
{
    struct wh_addr addrs[4];
    uint32_t naddrs;
    cr_assert_eq(wh_sock_own_addrs("", WH_FAMILY_ANY, addrs, 4, &naddrs), WHORL_OK);
    cr_assert(wh_addr_is_loopback(&addrs[naddrs - 1]));
    for (uint32_t i = 0; i + 1 < naddrs; i++) {
        cr_assert_not(wh_addr_is_loopback(&addrs[i]));
    }
}

Test(sock_own, only_allowed_interfaces_count)
{
    struct wh_addr addrs[4];
    uint32_t naddrs;
    cr_assert_eq(wh_sock_own_addrs("=lo", WH_FAMILY_V4, addrs, 4, &naddrs), WHORL_OK);
    cr_assert_eq(naddrs, 1);
    cr_assert(wh_addr_is_v4(&addrs[0]));
    cr_assert_eq(wh_sock_own_addrs("nosuch", WH_FAMILY_ANY, addrs, 4, &naddrs), WHORL_E_CONFIG);
    cr_assert_not_null(strstr(wh_error_get(), "nosuch"));
    cr_assert_not_null(strstr(wh_error_get(), "lo"));
}

/* An interface of a made-up host. */
struct made {
    const char *name, *ip;
    unsigned flags;
};

enum { MADE_MAX = 16, UP = IFF_UP | IFF_RUNNING, NO_CARRIER = IFF_UP, LOOP = UP | IFF_LOOPBACK };

/* What such a host would tell, as "10.0.0.1 127.0.0.1". */
static const char *pick(const struct made *made, const char *ifnames, enum wh_family family,
                        uint32_t naddrs_max, char text[512])
{
    struct ifaddrs list[MADE_MAX];
    struct sockaddr_storage addrs[MADE_MAX];
    uint32_t n = 0;
    memset(list, 0, sizeof(list));
    memset(addrs, 0, sizeof(addrs));
    for (; made[n].name != NULL; n++) {
        struct sockaddr_in in = {.sin_family = AF_INET};
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
        if (made[n].ip != NULL && inet_pton(AF_INET, made[n].ip, &in.sin_addr) == 1) {
            memcpy(&addrs[n], &in, sizeof(in));
        } else if (made[n].ip != NULL) {
            cr_assert_eq(inet_pton(AF_INET6, made[n].ip, &in6.sin6_addr), 1);
            memcpy(&addrs[n], &in6, sizeof(in6));
        }
        list[n].ifa_name = (char *)(uintptr_t)made[n].name;
        list[n].ifa_flags = made[n].flags;
        list[n].ifa_addr = made[n].ip != NULL ? (struct sockaddr *)&addrs[n] : NULL;
        list[n].ifa_next = made[n + 1].name != NULL ? &list[n + 1] : NULL;
    }

    struct wh_addr picked[MADE_MAX];
    uint32_t npicked = wh_sock_pick_addrs(list, ifnames, family, picked, naddrs_max);
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < npicked; i++) {
        char ip[INET6_ADDRSTRLEN];
        bool v4 = wh_addr_is_v4(&picked[i]);
        cr_assert_eq(picked[i].port, 0);
        inet_ntop(v4 ? AF_INET : AF_INET6, picked[i].ip + (v4 ? 12 : 0), ip, sizeof(ip));
        used += (size_t)snprintf(text + used, 512 - used, "%s%s", i > 0 ? " " : "", ip);
    }
    return text;
}

static const struct made usual[] = {
    {"lo", NULL, LOOP},       {"lo", "127.0.0.1", LOOP}, {"docker0", "172.17.0.1", UP},
    {"eth0", "10.0.0.1", UP}, {"eth0", "fd00::1", UP},   {"eth0", "fe80::1", UP},
    {"eth1", "10.1.0.1", UP}, {"eth2", "10.2.0.1", 0},   {"eth3", "10.3.0.1", NO_CARRIER},
    {"ib0", "10.9.0.1", UP},  {"lo", "::1", LOOP},       {NULL, NULL, 0},
};

Test(sock_own, all_that_works_is_told_best_first)
{
    char text[512];
    cr_assert_str_eq(pick(usual, "", WH_FAMILY_ANY, 8, text),
                     "10.9.0.1 10.0.0.1 10.1.0.1 fd00::1 127.0.0.1");
}

Test(sock_own, a_setting_chooses_among_them)
{
    static const struct {
        const char *ifnames;
        enum wh_family family;
        const char *picked;
    } rows[] = {
        {"", WH_FAMILY_V4, "10.9.0.1 10.0.0.1 10.1.0.1 127.0.0.1"},
        {"", WH_FAMILY_V6, "fd00::1 ::1"},
        {"eth", WH_FAMILY_ANY, "10.0.0.1 10.1.0.1 fd00::1 10.3.0.1"},
        {"=eth1", WH_FAMILY_ANY, "10.1.0.1"},
        {"^ib", WH_FAMILY_V4, "10.0.0.1 10.1.0.1 127.0.0.1"},
        {"^=eth0,ib0", WH_FAMILY_V4, "10.1.0.1 127.0.0.1"},
        {"^eth,ib", WH_FAMILY_V4, "172.17.0.1 127.0.0.1"},
        {"docker0,eth0", WH_FAMILY_V4, "10.0.0.1 172.17.0.1"},
        {"lo", WH_FAMILY_ANY, "127.0.0.1"},
        {"eth2", WH_FAMILY_ANY, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[512];
        pick(usual, rows[i].ifnames, rows[i].family, 8, text);
        cr_assert_str_eq(text, rows[i].picked, "\"%s\": %s", rows[i].ifnames, text);
    }
}

Test(sock_own, the_second_choice_is_told_only_without_a_first)
{
    static const struct made no_cable[] = {
        {"lo", "127.0.0.1", LOOP},       {"eth0", "10.3.0.1", NO_CARRIER},
        {"virbr0", "192.168.122.1", UP}, {"br-0123456789ab", "172.18.0.1", UP},
        {"eth1", "169.254.7.7", UP},     {NULL, NULL, 0},
    };
    static const struct made link_local[] = {
        {"eth1", "169.254.7.7", UP}, {"lo", "127.0.0.1", LOOP}, {NULL, NULL, 0}};
    static const struct made bridge[] = {
        {"docker0", "172.17.0.1", UP}, {"br-ex", "10.0.0.1", UP}, {NULL, NULL, 0}};
    static const struct made nothing[] = {{"lo", "127.0.0.1", LOOP}, {NULL, NULL, 0}};
    char text[512];
    cr_assert_str_eq(pick(no_cable, "", WH_FAMILY_ANY, 8, text),
                     "10.3.0.1 192.168.122.1 172.18.0.1 127.0.0.1");
    cr_assert_str_eq(pick(link_local, "", WH_FAMILY_ANY, 8, text), "169.254.7.7 127.0.0.1");
    cr_assert_str_eq(pick(bridge, "", WH_FAMILY_ANY, 8, text), "10.0.0.1");
    cr_assert_str_eq(pick(nothing, "", WH_FAMILY_ANY, 8, text), "127.0.0.1");
}

Test(sock_own, many_interfaces_leave_room_for_the_ordinary_network_and_loopback)
{
    static const struct made many[] = {
        {"ib0", "10.9.0.1", UP}, {"ib1", "10.9.1.1", UP},   {"ib2", "10.9.2.1", UP},
        {"ib3", "10.9.3.1", UP}, {"ib4", "10.9.4.1", UP},   {"eth0", "10.0.0.1", UP},
        {"ib5", "10.9.5.1", UP}, {"lo", "127.0.0.1", LOOP}, {NULL, NULL, 0},
    };
    char text[512];
    cr_assert_str_eq(pick(many, "", WH_FAMILY_ANY, 5, text),
                     "10.9.0.1 10.9.1.1 10.9.2.1 10.0.0.1 127.0.0.1");
    cr_assert_str_eq(pick(many, "ib", WH_FAMILY_ANY, 5, text),
                     "10.9.0.1 10.9.1.1 10.9.2.1 10.9.3.1");
    cr_assert_str_eq(pick(many, "", WH_FAMILY_ANY, 2, text), "10.9.0.1 127.0.0.1");
}

Test(sock_own, an_address_is_told_once)
{
    static const struct made twice[] = {
        {"eth0", "10.0.0.1", UP}, {"eth0:1", "10.0.0.1", UP}, {NULL, NULL, 0}};
    char text[512];
    cr_assert_str_eq(pick(twice, "", WH_FAMILY_ANY, 5, text), "10.0.0.1");
}

Test(sock_own, link_local_addresses_are_recognized)
{
    static const struct {
        uint8_t ip[16];
        bool link_local;
    } rows[] = {
        {{[10] = 0xff, [11] = 0xff, [12] = 169, [13] = 254, [15] = 1}, true},
        {{[10] = 0xff, [11] = 0xff, [12] = 169, [13] = 253, [15] = 1}, false},
        {{0xfe, 0x80, [15] = 1}, true},
        {{0xfe, 0xbf, [15] = 1}, true},
        {{0xfe, 0xc0, [15] = 1}, false},
        {{0xfd, 0x00, [15] = 1}, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wh_addr addr = {.port = 1};
        memcpy(addr.ip, rows[i].ip, 16);
        cr_assert_eq(wh_addr_is_link_local(&addr), rows[i].link_local, "row %zu", i);
    }
}

/* Connects to an address of this machine's own, if it has one of that kind. */
Test(sock_own, a_link_local_address_can_be_dialled)
{
    struct ifaddrs *list;
    cr_assert_eq(getifaddrs(&list), 0);
    unsigned scope = wh_sock_link_scope();
    bool found = false;
    struct wh_addr addr = {.port = 0};
    for (const struct ifaddrs *entry = list; entry != NULL && !found; entry = entry->ifa_next) {
        found = entry->ifa_addr != NULL && entry->ifa_addr->sa_family == AF_INET6 && scope != 0 &&
                if_nametoindex(entry->ifa_name) == scope &&
                wh_addr_from_sockaddr(entry->ifa_addr, &addr) && wh_addr_is_link_local(&addr);
    }
    freeifaddrs(list);
    cr_assert_eq(found, scope != 0);
    if (!found) {
        cr_skip_test("no interface has an IPv6 link-local address");
    }
    int listener;
    cr_assert_eq(wh_sock_listen_at(&addr, 0, &listener, &addr.port), WHORL_OK);
    int fd = wh_sock_connect(&addr);
    cr_assert_geq(fd, 0, "%s", strerror(-fd));
    close(fd);
    close(listener);
}
