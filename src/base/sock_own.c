/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of its addresses a host tells others. See sock.h.
 *
 * Every interface has a class. Without a setting a class is used only if no better one has an
 * address: the bridge of a container engine has the same address on every host, and a link-local
 * address says nothing about the interface behind which it is, so telling others of them beside
 * good ones would only make them knock at wrong doors.
 */
#define _GNU_SOURCE

#include "base/log.h"
#include "base/sock.h"

#include <assert.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IFNAMES_TEXT_NBYTES = 256 };

static bool family_has(enum wh_family family, const struct wh_addr *addr)
{
    return family == WH_FAMILY_ANY || (family == WH_FAMILY_V4) == wh_addr_is_v4(addr);
}

bool wh_ifname_allows(const char *list, const char *name)
{
    bool exclude = *list == '^';
    list += exclude;
    bool exact = *list == '=';
    list += exact;
    if (*list == '\0') {
        return true;
    }

    bool found = false;
    size_t name_nchars = strlen(name);
    while (*list != '\0') {
        size_t nchars = strcspn(list, ",");
        if (nchars > 0 && nchars <= name_nchars && strncmp(list, name, nchars) == 0 &&
            (!exact || nchars == name_nchars)) {
            found = true;
        }
        list += nchars;
        list += *list == ',';
    }
    return found != exclude;
}

/* Candidates with a lower class are tried first. */
enum if_class { IF_INFINIBAND, IF_ORDINARY, IF_SECOND_CHOICE, IF_LINK_LOCAL, IF_LOOPBACK };

/* Does a container engine or a virtual machine monitor call its interfaces so? */
static bool if_is_virtual(const char *name)
{
    static const char *const prefixes[] = {"docker", "virbr", "veth",      "cni",     "podman",
                                           "lxcbr",  "lxdbr", "cali",      "flannel", "cilium",
                                           "wg",     "tun",   "tailscale", "kube-",   "nodelocal"};
    enum { BRIDGE_NDIGITS = 12 };

    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    /* Docker's networks with a name of their own: "br-" and a number. Others call a bridge with a
     * real network behind it br-something. */
    size_t ndigits = strncmp(name, "br-", 3) == 0 ? strspn(name + 3, "0123456789abcdef") : 0;
    return ndigits == BRIDGE_NDIGITS && name[3 + ndigits] == '\0';
}

static enum if_class if_classify(const struct ifaddrs *entry, const struct wh_addr *addr)
{
    if ((entry->ifa_flags & IFF_LOOPBACK) != 0) {
        return IF_LOOPBACK;
    }
    if (wh_addr_is_link_local(addr)) {
        return IF_LINK_LOCAL;
    }
    if ((entry->ifa_flags & IFF_RUNNING) == 0 || if_is_virtual(entry->ifa_name)) {
        return IF_SECOND_CHOICE;
    }
    return strncmp(entry->ifa_name, "ib", 2) == 0 ? IF_INFINIBAND : IF_ORDINARY;
}

/* The list being made. */
struct own {
    const struct ifaddrs *list;
    const char *ifnames;
    struct wh_addr *addrs;
    uint32_t naddrs;
};

static void own_add(struct own *own, const struct wh_addr *addr)
{
    for (uint32_t i = 0; i < own->naddrs; i++) {
        if (memcmp(own->addrs[i].ip, addr->ip, sizeof(addr->ip)) == 0) {
            return;
        }
    }
    own->addrs[own->naddrs++] = *addr;
}

/* Adds the addresses of one class and one family, up to naddrs_max in all. Returns how many
 * addresses that class has. */
static uint32_t own_add_class(struct own *own, enum if_class class, enum wh_family family,
                              uint32_t naddrs_max)
{
    uint32_t nfound = 0;
    for (const struct ifaddrs *entry = own->list; entry != NULL; entry = entry->ifa_next) {
        struct wh_addr addr = {.port = 0};
        if (entry->ifa_addr == NULL || (entry->ifa_flags & IFF_UP) == 0 ||
            !wh_addr_from_sockaddr(entry->ifa_addr, &addr) || !family_has(family, &addr) ||
            !wh_ifname_allows(own->ifnames, entry->ifa_name) ||
            if_classify(entry, &addr) != class) {
            continue;
        }
        nfound++;
        addr.port = 0;
        if (own->naddrs < naddrs_max) {
            own_add(own, &addr);
        }
    }
    return nfound;
}

/* Both families, IPv4 first. */
static uint32_t own_add_both(struct own *own, enum if_class class, enum wh_family family,
                             uint32_t naddrs_max)
{
    uint32_t nfound = 0;
    if (family != WH_FAMILY_V6) {
        nfound += own_add_class(own, class, WH_FAMILY_V4, naddrs_max);
    }
    if (family != WH_FAMILY_V4) {
        nfound += own_add_class(own, class, WH_FAMILY_V6, naddrs_max);
    }
    return nfound;
}

uint32_t wh_sock_pick_addrs(const struct ifaddrs *list, const char *ifnames, enum wh_family family,
                            struct wh_addr *addrs_out, uint32_t naddrs_max)
{
    assert(naddrs_max >= 2);

    struct own own = {.list = list, .ifnames = ifnames, .addrs = addrs_out};
    const uint32_t nreal_max = naddrs_max - 1;
    const bool named = *ifnames != '\0' && *ifnames != '^';

    /* Many ib* interfaces must not keep out the network that connects everything. */
    bool ordinary = own_add_both(&own, IF_ORDINARY, family, 0) > 0;
    own_add_both(&own, IF_INFINIBAND, family, nreal_max - (ordinary && nreal_max > 1));
    own_add_both(&own, IF_ORDINARY, family, nreal_max);
    if (own.naddrs == 0 || named) {
        own_add_both(&own, IF_SECOND_CHOICE, family, nreal_max);
    }
    if (own.naddrs == 0) {
        own_add_both(&own, IF_LINK_LOCAL, family, nreal_max);
    }
    /* One is enough: both families reach the same processes. */
    own_add_both(&own, IF_LOOPBACK, family, own.naddrs + 1);
    return own.naddrs;
}

static bool if_has_ip(const struct ifaddrs *entry)
{
    return entry->ifa_addr != NULL &&
           (entry->ifa_addr->sa_family == AF_INET || entry->ifa_addr->sa_family == AF_INET6);
}

/* "eth0, lo": what the user could have named. */
static void if_print_names(const struct ifaddrs *list, char *text, size_t text_nbytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (const struct ifaddrs *entry = list; entry != NULL; entry = entry->ifa_next) {
        bool said = false;
        for (const struct ifaddrs *e = list; e != entry; e = e->ifa_next) {
            said = said || (if_has_ip(e) && strcmp(e->ifa_name, entry->ifa_name) == 0);
        }
        if (if_has_ip(entry) && !said && used < text_nbytes) {
            used += (size_t)snprintf(text + used, text_nbytes - used, "%s%s", used > 0 ? ", " : "",
                                     entry->ifa_name);
        }
    }
}

whorl_result_t wh_sock_own_addrs(const char *ifnames, enum wh_family family,
                                 struct wh_addr *addrs_out, uint32_t naddrs_max,
                                 uint32_t *naddrs_out)
{
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0) {
        return wh_fail_sys(WH_SUBSYS_BOOTSTRAP, "cannot list the network interfaces");
    }

    uint32_t naddrs = wh_sock_pick_addrs(list, ifnames, family, addrs_out, naddrs_max);
    char names[IFNAMES_TEXT_NBYTES];
    if_print_names(list, names, sizeof(names));
    freeifaddrs(list);
    if (naddrs == 0) {
        return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_BOOTSTRAP,
                       "no network interface is up that WHORL_SOCKET_IFNAME=%s and "
                       "WHORL_SOCKET_FAMILY allow; there are: %s",
                       ifnames, names);
    }
    *naddrs_out = naddrs;
    return WHORL_OK;
}

uint32_t wh_sock_link_scope(void)
{
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0) {
        return 0;
    }

    /* A cable before the inside of this host. */
    uint32_t scope = 0;
    bool is_virtual = true;
    for (const struct ifaddrs *entry = list; entry != NULL; entry = entry->ifa_next) {
        struct wh_addr addr;
        if (entry->ifa_addr != NULL && entry->ifa_addr->sa_family == AF_INET6 &&
            (entry->ifa_flags & IFF_UP) != 0 && (entry->ifa_flags & IFF_RUNNING) != 0 &&
            wh_addr_from_sockaddr(entry->ifa_addr, &addr) && wh_addr_is_link_local(&addr) &&
            (scope == 0 || (is_virtual && !if_is_virtual(entry->ifa_name)))) {
            scope = if_nametoindex(entry->ifa_name);
            is_virtual = if_is_virtual(entry->ifa_name);
        }
    }
    freeifaddrs(list);
    return scope;
}

/* Mbit/s of an interface; 0: not known, as for most virtual ones. By an ioctl, because /sys may be
 * that of another network namespace. */
static uint32_t if_speed(int sock, const char *name)
{
    struct ethtool_cmd settings = {.cmd = ETHTOOL_GSET};
    struct ifreq request = {.ifr_data = (char *)&settings};
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (ioctl(sock, SIOCETHTOOL, &request) != 0) {
        return 0;
    }
    /* Not ethtool_cmd_speed(): it shifts an int beyond its end where the speed is unknown. */
    uint32_t speed = (uint32_t)settings.speed_hi << 16 | settings.speed;
    return speed != (uint32_t)SPEED_UNKNOWN ? speed : 0;
}

/* The interface that has an address; NULL: none. */
static const char *if_of(const struct ifaddrs *list, const struct wh_addr *addr)
{
    for (const struct ifaddrs *entry = list; entry != NULL; entry = entry->ifa_next) {
        struct wh_addr own;
        if (entry->ifa_addr != NULL && wh_addr_from_sockaddr(entry->ifa_addr, &own) &&
            memcmp(own.ip, addr->ip, sizeof(own.ip)) == 0) {
            return entry->ifa_name;
        }
    }
    return NULL;
}

/* As wh_sock_nalike(), for the interfaces of this host. */
static uint32_t count_alike(const struct ifaddrs *list, int sock, const struct wh_addr *addrs,
                            uint32_t naddrs)
{
    const char *before = if_of(list, &addrs[0]);
    uint32_t speed = before != NULL ? if_speed(sock, before) : 0;
    uint32_t n = 1;
    while (n < naddrs && speed > 0 && wh_addr_is_v4(&addrs[n]) == wh_addr_is_v4(&addrs[0])) {
        const char *name = if_of(list, &addrs[n]);
        if (name == NULL || strcmp(name, before) == 0 || if_speed(sock, name) != speed) {
            break;
        }
        before = name;
        n++;
    }
    return n;
}

uint32_t wh_sock_nalike(const struct wh_addr *addrs, uint32_t naddrs)
{
    struct ifaddrs *list = NULL;
    if (naddrs < 2 || wh_addr_is_loopback(&addrs[0]) || getifaddrs(&list) != 0) {
        return 1;
    }
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint32_t n = sock >= 0 ? count_alike(list, sock, addrs, naddrs) : 1;
    if (sock >= 0) {
        close(sock);
    }
    freeifaddrs(list);
    return n;
}
