/* SPDX-License-Identifier: Apache-2.0 */
/* Where ranks go, and where they meet. */
#include "whorl_run.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* Below the ports that kernels hand out to clients, so that nobody takes ours meanwhile. */
    PORT_FIRST = 12000,
    NPORTS = 16000,
    NPORT_TRIES = 100,
};

static bool is_here(const char *name)
{
    char here[256] = "";
    gethostname(here, sizeof(here) - 1);
    size_t nshort = strcspn(here, ".");
    return strcmp(name, "localhost") == 0 || strcmp(name, "127.0.0.1") == 0 ||
           strcmp(name, "::1") == 0 || strcmp(name, here) == 0 ||
           (strlen(name) == nshort && strncmp(name, here, nshort) == 0);
}

/* Adds a host, or slots to one that is there already. */
static void add_host(struct run_args *args, const char *name, int nslots)
{
    for (int i = 0; i < args->nhosts; i++) {
        struct run_host *host = &args->hosts[i];
        if (strcmp(host->name, name) == 0) {
            host->nslots = (host->nslots > 0 ? host->nslots : 1) + (nslots > 0 ? nslots : 1);
            return;
        }
    }
    args->hosts = run_grow(args->hosts, (size_t)(args->nhosts + 1) * sizeof(*args->hosts));
    args->hosts[args->nhosts++] = (struct run_host){
        .name = run_text("%s", name),
        .nslots = nslots,
        .is_here = is_here(name),
    };
}

/* One "host", "host:4", "[ipv6]" or "[ipv6]:4", which it takes apart. */
static bool parse_host(char *item, struct run_args *args)
{
    char *name = item, *slots = NULL;
    if (item[0] == '[') {
        char *end = strchr(item, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return false;
        }
        name = item + 1;
        slots = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
    } else if (strchr(item, ':') != NULL) {
        slots = strchr(item, ':') + 1;
        slots[-1] = '\0';
    }
    int nslots = 0;
    if (slots != NULL) {
        char *end;
        long value = strtol(slots, &end, 10);
        if (!isdigit((unsigned char)slots[0]) || *end != '\0' || value < 1 ||
            value > RUN_NRANKS_MAX) {
            return false;
        }
        nslots = (int)value;
    }
    /* A name that begins with - would be an option of ssh. */
    if (name[0] == '\0' || name[0] == '-' || strpbrk(name, " \t'\"\\$`;&|<>()/") != NULL) {
        return false;
    }
    add_host(args, name, nslots);
    return true;
}

bool run_hosts_parse(const char *list, struct run_args *args)
{
    char *copy = run_text("%s", list);
    bool ok = true;
    for (char *item = copy; ok && item != NULL;) {
        char *comma = strchr(item, ',');
        if (comma != NULL) {
            *comma = '\0';
        }
        ok = parse_host(item, args);
        item = comma != NULL ? comma + 1 : NULL;
    }
    if (!ok) {
        run_say("-H %s is no list of hosts: host,host or host:4,host:4 is (and [ipv6]:4)", list);
    }
    free(copy);
    return ok;
}

bool run_hosts_place(struct run_args *args)
{
    int nslots = 0, ngiven = 0;
    for (int i = 0; i < args->nhosts; i++) {
        nslots += args->hosts[i].nslots > 0 ? args->hosts[i].nslots : 1;
        ngiven += args->hosts[i].nslots > 0;
    }
    if (args->nranks == 0) {
        args->nranks = nslots;
    }
    if (ngiven > 0 && nslots < args->nranks) {
        run_say("-n %d, but the hosts of -H have %d slots together", args->nranks, nslots);
        return false;
    }

    int first = 0;
    for (int i = 0; i < args->nhosts; i++) {
        struct run_host *host = &args->hosts[i];
        int left = args->nranks - first;
        int share = args->nranks / args->nhosts + (i < args->nranks % args->nhosts);
        int room = host->nslots > 0 ? host->nslots : 1;
        host->first_rank = first;
        host->nranks = ngiven == 0 ? share : room < left ? room : left;
        first += host->nranks;
    }
    return true;
}

/* ---- where they meet ------------------------------------------------------------------------- */

/* A port that nobody listens at here now. Elsewhere it is a guess. */
static int find_port(void)
{
    uint16_t port = PORT_FIRST;
    for (int i = 0; i < NPORT_TRIES; i++) {
        uint16_t random;
        if (getrandom(&random, sizeof(random), 0) != sizeof(random)) {
            random = (uint16_t)(getpid() + i * 7919);
        }
        port = (uint16_t)(PORT_FIRST + random % NPORTS);
        struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
        int fd6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int fd4 = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int off = 0; /* IPv4 too: in use there is in use */
        bool is_free =
            fd6 >= 0
                ? setsockopt(fd6, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0 &&
                      bind(fd6, (struct sockaddr *)&any6, sizeof(any6)) == 0
                : bind(fd4, (struct sockaddr *)&any4, sizeof(any4)) == 0;
        close(fd6);
        close(fd4);
        if (is_free) {
            break;
        }
    }
    return port;
}

/* The address of this host from which `name` is reached; nothing is sent. False: not known. */
static bool address_towards(const char *name, char *text, socklen_t text_nbytes)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *list;
    if (getaddrinfo(name, "9", &hints, &list) != 0) {
        return false;
    }
    bool found = false;
    for (struct addrinfo *entry = list; entry != NULL && !found; entry = entry->ai_next) {
        struct sockaddr_storage own;
        socklen_t own_nbytes = sizeof(own);
        int fd = socket(entry->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        found = fd >= 0 && connect(fd, entry->ai_addr, entry->ai_addrlen) == 0 &&
                getsockname(fd, (struct sockaddr *)&own, &own_nbytes) == 0 &&
                getnameinfo((struct sockaddr *)&own, own_nbytes, text, text_nbytes, NULL, 0,
                            NI_NUMERICHOST) == 0;
        close(fd);
    }
    freeaddrinfo(list);
    return found;
}

char *run_hosts_root(const struct run_args *args)
{
    const struct run_host *first = &args->hosts[0], *other = NULL;
    for (int i = 0; i < args->nhosts; i++) {
        if (!args->hosts[i].is_here && args->hosts[i].nranks > 0 && other == NULL) {
            other = &args->hosts[i];
        }
    }
    char host[256];
    if (other == NULL) {
        snprintf(host, sizeof(host), "127.0.0.1");
    } else if (!first->is_here) {
        snprintf(host, sizeof(host), "%s", first->name);
    } else if (!address_towards(other->name, host, sizeof(host))) {
        gethostname(host, sizeof(host) - 1);
        host[sizeof(host) - 1] = '\0';
    }
    bool is_ipv6 = strchr(host, ':') != NULL;
    return run_text(is_ipv6 ? "[%s]:%d" : "%s:%d", host, find_port());
}
