/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes texts about hosts and ranks: the variables of launchers, host:port, lists of interfaces,
 * address families. The first byte chooses. No name is looked up: getaddrinfo() is ours.
 *
 * Build with clang -fsanitize=fuzzer,address,undefined.
 */
#include "base/log.h"
#include "base/sock.h"
#include "comm/comm.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { NLINES_MAX = 24 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes);

static void check(bool good)
{
    if (!good) {
        abort();
    }
}

/* Knows every host: with two addresses, of which the second is of a family that nobody uses. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **list_out)
{
    static struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr.s6_addr = {0xfd}};
    static struct sockaddr unknown = {.sa_family = AF_UNIX};
    static struct addrinfo second = {
        .ai_family = AF_UNIX, .ai_addr = &unknown, .ai_addrlen = sizeof(unknown)};
    static struct addrinfo first = {.ai_family = AF_INET6,
                                    .ai_addr = (struct sockaddr *)&addr,
                                    .ai_addrlen = sizeof(addr),
                                    .ai_next = &second};
    check(node != NULL && hints != NULL);
    if (strlen(node) % 7 == 6) {
        return EAI_NONAME;
    }
    addr.sin6_port = htons((uint16_t)(service != NULL ? strtoul(service, NULL, 10) : 0));
    *list_out = &first;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    check(list != NULL);
}

/* ---- launchers ------------------------------------------------------------------------------- */

static char *lines[NLINES_MAX]; /* NAME=VALUE */
static size_t nlines;

static const char *lookup(const char *name)
{
    size_t nbytes = strlen(name);
    for (size_t i = 0; i < nlines; i++) {
        if (strncmp(lines[i], name, nbytes) == 0 && lines[i][nbytes] == '=') {
            return lines[i] + nbytes + 1;
        }
    }
    return NULL;
}

static const char *lookup_knob(const char *name, void *ctx)
{
    (void)ctx;
    return lookup(name);
}

/* Starts of lines by number, so that names need not be found by chance. */
static const char *const names[] = {
    "RANK=",
    "WORLD_SIZE=",
    "MASTER_ADDR=",
    "MASTER_PORT=",
    "PMI_RANK=",
    "PMI_SIZE=",
    "MPI_LOCALNRANKS=",
    "OMPI_COMM_WORLD_RANK=",
    "SLURM_PROCID=",
    "SLURM_NTASKS=",
    "SLURM_STEP_NODELIST=",
    "SLURM_NODELIST=",
    "SLURM_STEP_ID=",
    "SLURM_STEP_NUM_TASKS=",
    "OMPI_COMM_WORLD_SIZE=",
    "TORCHELASTIC_RUN_ID=",
    "WHORL_RANK=",
    "WHORL_NRANKS=",
    "WHORL_ROOT=",
    "WHORL_SECRET=",
    "SLURM_JOB_ID=",
    "WHORL_PORT=",
};

/* A line that begins with a byte below ' ' begins with a name instead. */
static void add_line(const char *text, size_t nbytes)
{
    bool by_number = nbytes > 0 && (unsigned char)text[0] < ' ';
    const char *name = by_number ? names[(unsigned char)text[0] % ARRAY_LEN(names)] : "";
    char *line = malloc(strlen(name) + nbytes + 1);
    if (line != NULL && nlines < NLINES_MAX) {
        size_t used = strlen(name);
        memcpy(line, name, used);
        memcpy(line + used, text + by_number, nbytes - by_number);
        line[used + nbytes - by_number] = '\0';
        lines[nlines++] = line;
    } else {
        free(line);
    }
}

static void fuzz_launch(const char *text)
{
    nlines = 0;
    while (*text != '\0' && nlines < NLINES_MAX) {
        size_t nbytes = strcspn(text, "\n");
        add_line(text, nbytes);
        text += nbytes + (text[nbytes] == '\n');
    }
    struct wh_config config;
    whorl_result_t rc = wh_config_init(&config, lookup_knob, NULL);
    if (rc == WHORL_OK) {
        struct wh_launch launch;
        rc = wh_launch_read(lookup, &config, &launch);
        check(rc == WHORL_OK || rc == WHORL_E_CONFIG);
        if (rc == WHORL_OK) {
            check(launch.rank < launch.nranks && launch.root[0] != '\0');
            check(memchr(launch.root, '\0', sizeof(launch.root)) != NULL);
            check(memchr(launch.secret, '\0', sizeof(launch.secret)) != NULL);
            wh_launch_await_name(&launch, 0);
        }
    }
    wh_config_fini(&config);
    for (size_t i = 0; i < nlines; i++) {
        free(lines[i]);
    }
}

/* ---- addresses ------------------------------------------------------------------------------- */

static void fuzz_address(const char *text)
{
    struct wh_addr addrs[4];
    uint32_t naddrs = 0;
    char printed[WH_ADDR_TEXT_NBYTES];
    whorl_result_t rc = wh_sock_resolve(text, WH_FAMILY_ANY, addrs, 4, &naddrs);
    check(rc == WHORL_E_ARG || (rc == WHORL_OK && naddrs == 1));
    if (rc == WHORL_OK) {
        check(strlen(wh_addr_print(&addrs[0], printed)) < sizeof(printed));
    }
}

static void fuzz_interfaces(const char *text)
{
    (void)wh_ifname_allows(text, "eth0");
    (void)wh_ifname_allows(text, "");
    const char *end = strchr(text, '\n');
    if (end != NULL) {
        (void)wh_ifname_allows(text, end + 1);
    }
    enum wh_family family;
    check(wh_family_parse(text, &family) ==
          (text[0] == '\0' || strcmp(text, "AF_INET") == 0 || strcmp(text, "AF_INET6") == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes)
{
    if (nbytes == 0) {
        return 0;
    }
    wh_log_configure("NONE", "", "");
    char *text = malloc(nbytes);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, bytes + 1, nbytes - 1);
    text[nbytes - 1] = '\0';
    switch (bytes[0] % 4) {
    case 0:
        fuzz_address(text);
        break;
    case 1:
        fuzz_interfaces(text);
        break;
    default:
        fuzz_launch(text);
        break;
    }
    free(text);
    return 0;
}
