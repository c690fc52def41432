/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What launchers put into the environment: who this rank is and where the ranks meet.
 *
 * The ranks meet at rank 0. Its host is MASTER_ADDR; under srun the first node of the step; this
 * host if the launcher says that all ranks are on it. Its port is WHORL_PORT; the one after
 * MASTER_PORT, at which torch's own store listens; made of the job's number if the launcher gives
 * one, so that jobs which share a host seldom meet; or a fixed one.
 */
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "comm/comm.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    DEFAULT_PORT = 29555,
    /* Ports made of a job's number: below those that kernels hand out to clients. */
    JOB_PORT_FIRST = 12000,
    NJOB_PORTS = 16000,
    NAME_WAIT_MS = 30000,
    NAME_RETRY_MS = 250,
};

/* Variables of one launcher; the first whose rank and size are both set is believed. */
struct launcher {
    const char *name;
    const char *rank, *size;
    const char *local_size; /* as large as size: all ranks are on this host */
    const char *job, *step; /* tell jobs apart */
};

static const struct launcher launchers[] = {
    {"WHORL_RANK", "WHORL_RANK", "WHORL_NRANKS", NULL, NULL, NULL},
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID", NULL},
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE",
     "PMIX_NAMESPACE", NULL},
    {"MPICH", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS", "PMI_JOBID", NULL},
    {"MVAPICH", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE", NULL,
     NULL},
    {"Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", NULL, "SLURM_JOB_ID", "SLURM_STEP_ID"},
    {"Slurm", "SLURM_PROCID", "SLURM_NTASKS", NULL, "SLURM_JOB_ID", "SLURM_STEP_ID"},
};

static bool parse_u32(const char *text, uint32_t *value_out)
{
    uint64_t value;
    if (!wh_parse_count(text, &value) || value > INT32_MAX) {
        return false;
    }
    *value_out = (uint32_t)value;
    return true;
}

/* A variable that is set to nothing is as good as none. */
static const char *look(wh_launch_lookup_fn lookup, const char *name)
{
    const char *text = name != NULL ? lookup(name) : NULL;
    return text != NULL && text[0] != '\0' ? text : NULL;
}

/* Is name set to value? */
static bool is_count(wh_launch_lookup_fn lookup, const char *name, uint32_t value)
{
    const char *text = look(lookup, name);
    uint32_t count;
    return text != NULL && parse_u32(text, &count) && count == value;
}

static whorl_result_t read_place(wh_launch_lookup_fn lookup, const struct launcher *l,
                                 struct wh_launch *launch)
{
    const char *rank = lookup(l->rank), *size = lookup(l->size); /* are set */
    if (!parse_u32(rank, &launch->rank) || !parse_u32(size, &launch->nranks) ||
        launch->rank >= launch->nranks) {
        return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV,
                       "%s=%s and %s=%s make no sense: rank must be a number from 0 to size - 1",
                       l->rank, rank, l->size, size);
    }
    /* The script that sbatch starts has the variables of one task among many, and is the only one
     * to have them. */
    if (strcmp(l->rank, "SLURM_PROCID") == 0 && launch->nranks > 1 &&
        look(lookup, "SLURM_STEP_ID") == NULL && look(lookup, "SLURM_STEP_NODELIST") == NULL) {
        return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV,
                       "SLURM_PROCID=%s of SLURM_NTASKS=%s, but no SLURM_STEP_ID: this is a batch "
                       "script's own process; start the program in it with srun",
                       rank, size);
    }
    return WHORL_OK;
}

/* ---- Slurm's list of nodes ------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t count_digits(const char *text)
{
    size_t n = 0;
    while (is_digit(text[n])) {
        n++;
    }
    return n;
}

/* "3-7,9]": moves *cursor behind it and gives the digits of its first number; false if it is no
 * list of numbers and ranges. */
static bool read_numbers(const char **cursor, const char **first_out, size_t *first_nbytes_out)
{
    const char *c = *cursor;
    *first_out = c;
    *first_nbytes_out = count_digits(c);
    for (;;) {
        const char *low = c;
        size_t nlow = count_digits(low);
        c += nlow;
        if (nlow > 0 && *c == '-') {
            const char *high = c + 1;
            size_t nhigh = count_digits(high);
            bool ordered = nhigh > nlow || (nhigh == nlow && memcmp(low, high, nlow) <= 0);
            nlow = ordered ? nlow : 0;
            c = high + nhigh;
        }
        if (nlow == 0 || (*c != ',' && *c != ']')) {
            return false;
        }
        c++;
        if (c[-1] == ']') {
            *cursor = c;
            return true;
        }
    }
}

/* "rack[1-2]node[03-07,9]-ib": moves *cursor to the comma or the end behind it and writes its first
 * host, "rack1node03-ib"; false if it is none, or host is too small. */
static bool read_hosts(const char **cursor, char *host, size_t host_nbytes)
{
    size_t used = 0;
    const char *c = *cursor;
    while (*c != '\0' && *c != ',') {
        const char *from = c++;
        size_t nbytes = 1;
        if (*from == '[') {
            if (!read_numbers(&c, &from, &nbytes)) {
                return false;
            }
        } else if (*from == ']' || *from <= ' ') {
            return false;
        }
        if (used + nbytes >= host_nbytes) {
            return false;
        }
        memcpy(host + used, from, nbytes);
        used += nbytes;
    }
    host[used] = '\0';
    *cursor = c;
    return used > 0;
}

/* The first host of "n[1-3,07],other"; false if any part of the list is not one. */
static bool first_host(const char *list, char *host, size_t host_nbytes)
{
    char other[256];
    if (!read_hosts(&list, host, host_nbytes)) {
        return false;
    }
    while (*list == ',') {
        list++;
        if (!read_hosts(&list, other, sizeof(other))) {
            return false;
        }
    }
    return *list == '\0';
}

/* ---- where the ranks meet -------------------------------------------------------------------- */

/* Did srun start this rank itself (not something that srun started)? */
static bool is_task(wh_launch_lookup_fn lookup, const struct launcher *l,
                    const struct wh_launch *launch)
{
    bool by_pmi = strcmp(l->rank, "PMI_RANK") == 0 && look(lookup, l->local_size) == NULL;
    return strcmp(l->rank, "SLURM_PROCID") == 0 ||
           (by_pmi && is_count(lookup, "SLURM_STEP_NUM_TASKS", launch->nranks) &&
            is_count(lookup, "SLURM_PROCID", launch->rank));
}

/* The host of rank 0, as far as the environment tells; false if it does not. */
static bool root_host(wh_launch_lookup_fn lookup, const struct launcher *l,
                      const struct wh_launch *launch, char *host, size_t host_nbytes)
{
    const char *master = look(lookup, "MASTER_ADDR");
    if (master != NULL) {
        return snprintf(host, host_nbytes, "%s", master) < (int)host_nbytes;
    }
    snprintf(host, host_nbytes, "127.0.0.1");
    if (is_task(lookup, l, launch)) {
        if (is_count(lookup, "SLURM_STEP_NUM_NODES", 1)) {
            return true;
        }
        const char *nodes = look(lookup, "SLURM_STEP_NODELIST");
        nodes = nodes != NULL ? nodes : look(lookup, "SLURM_NODELIST");
        return nodes != NULL && first_host(nodes, host, host_nbytes);
    }
    const char *local =
        look(lookup, l->local_size) != NULL ? l->local_size : "PMI_LOCAL_SIZE"; /* PALS has it */
    bool by_hand = l->local_size == NULL || strcmp(l->rank, "RANK") == 0;
    return is_count(lookup, local, launch->nranks) ||
           (by_hand && look(lookup, l->local_size) == NULL);
}

/* Writes what the launcher calls this job ("17.0"), the same on all of its ranks; false, and
 * nothing in text, if it does not say. */
static bool job_name(wh_launch_lookup_fn lookup, const struct launcher *l, char *text,
                     size_t text_nbytes)
{
    const char *job = look(lookup, l->job), *step = look(lookup, l->step);
    snprintf(text, text_nbytes, "%.100s%s%.100s", job != NULL ? job : "", step != NULL ? "." : "",
             step != NULL ? step : "");
    return job != NULL;
}

/* A port for a job of this name; numbers that follow one another lie apart. */
static uint32_t job_port(const char *name)
{
    uint64_t hash = wh_hash(WH_HASH_START, name, strlen(name));
    return JOB_PORT_FIRST + (uint32_t)(hash % NJOB_PORTS);
}

static whorl_result_t root_port(wh_launch_lookup_fn lookup, const struct launcher *l,
                                const struct wh_config *config, uint32_t *port_out)
{
    char job[220];
    uint32_t port = (uint32_t)config->root_port;
    const char *text = look(lookup, "MASTER_PORT");
    if (port != 0) {
        *port_out = port;
        return WHORL_OK;
    }
    if (text == NULL) {
        *port_out = job_name(lookup, l, job, sizeof(job)) ? job_port(job) : DEFAULT_PORT;
        return WHORL_OK;
    }
    if (!parse_u32(text, &port) || port == 0 || port > 65534) {
        return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV,
                       "MASTER_PORT=%s is no port: use a number from 1 to 65534", text);
    }
    *port_out = port + 1;
    return WHORL_OK;
}

static whorl_result_t copy_setting(const char *name, const char *text, char *to, size_t to_nbytes)
{
    if (strlen(text) >= to_nbytes) {
        return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV, "%s is longer than %zu bytes", name,
                       to_nbytes - 1);
    }
    snprintf(to, to_nbytes, "%s", text);
    return WHORL_OK;
}

/* What tells the ranks of this job from others: WHORL_SECRET, or what is the same on all ranks. Not
 * the host: the ranks may have several names for it. */
static whorl_result_t read_secret(wh_launch_lookup_fn lookup, const struct launcher *l,
                                  const struct wh_config *config, struct wh_launch *launch)
{
    if (config->secret[0] != '\0') {
        return copy_setting("WHORL_SECRET", config->secret, launch->secret, sizeof(launch->secret));
    }
    char job[220];
    const char *port = strrchr(launch->root, ':');
    job_name(lookup, l, job, sizeof(job));
    snprintf(launch->secret, sizeof(launch->secret), "job %s of %u at port %s", job, launch->nranks,
             port != NULL ? port + 1 : "");
    return WHORL_OK;
}

static whorl_result_t read_root(wh_launch_lookup_fn lookup, const struct launcher *l,
                                const struct wh_config *config, struct wh_launch *launch)
{
    if (config->root[0] != '\0') {
        return copy_setting("WHORL_ROOT", config->root, launch->root, sizeof(launch->root));
    }
    char host[200];
    if (!root_host(lookup, l, launch, host, sizeof(host))) {
        return wh_fail(
            WHORL_E_CONFIG, WH_SUBSYS_ENV,
            "started by %s on several hosts, and its variables do not say where rank 0 "
            "is: set WHORL_ROOT=host:port or MASTER_ADDR=host to where rank 0 is, on every "
            "rank (mpirun -x or -genv), or make the communicator with "
            "whorl_comm_create_from_mpi()",
            l->name);
    }
    uint32_t port = 0;
    whorl_result_t rc = root_port(lookup, l, config, &port);
    if (rc == WHORL_OK) {
        bool is_ipv6 = strchr(host, ':') != NULL && host[0] != '[';
        snprintf(launch->root, sizeof(launch->root), is_ipv6 ? "[%s]:%u" : "%s:%u", host, port);
    }
    return rc;
}

/* Does an address that is not resolved yet stay on this host for sure? */
static bool is_loopback(const char *root)
{
    char host[sizeof("255.255.255.255")];
    struct in_addr addr;
    size_t nbytes = strcspn(root, ":");
    bool is_number = nbytes < sizeof(host);
    if (is_number) {
        memcpy(host, root, nbytes);
        host[nbytes] = '\0';
        is_number = inet_pton(AF_INET, host, &addr) == 1;
    }
    return (is_number && ntohl(addr.s_addr) >> 24 == IN_LOOPBACKNET) ||
           strncmp(root, "[::1]:", 6) == 0 || strncmp(root, "localhost:", 10) == 0;
}

/* Who meets beyond this host without a secret of its own: is told what that means, or that it
 * cannot be. */
static whorl_result_t check_secret(const struct wh_config *config, const struct wh_launch *launch)
{
    if (config->secret[0] != '\0' || is_loopback(launch->root)) {
        return WHORL_OK;
    }
    if (config->encrypt) {
        return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV,
                       "WHORL_ENCRYPT=1 protects against nobody while WHORL_SECRET is not set: set "
                       "it to the same random text on every rank, for instance what `openssl rand "
                       "-hex 16` prints (whorl-run does so by itself)");
    }
    if (launch->rank == 0) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_INIT,
               "WHORL_SECRET is not set: whoever reaches %s and guesses the job's name can "
               "disturb it; set it to the same random text on every rank",
               launch->root);
    }
    return WHORL_OK;
}

/* What the variables of l, which are set, say. */
static whorl_result_t read_all(wh_launch_lookup_fn lookup, const struct launcher *l,
                               const struct wh_config *config, struct wh_launch *launch)
{
    whorl_result_t rc = read_place(lookup, l, launch);
    if (rc == WHORL_OK) {
        rc = read_root(lookup, l, config, launch);
    }
    if (rc == WHORL_OK) {
        rc = read_secret(lookup, l, config, launch);
    }
    if (rc != WHORL_OK) {
        return rc;
    }
    wh_log(WH_LOG_INFO, WH_SUBSYS_INIT, "started by %s: rank %u of %u, root at %s", l->name,
           launch->rank, launch->nranks, launch->root);
    return check_secret(config, launch);
}

whorl_result_t wh_launch_read(wh_launch_lookup_fn lookup, const struct wh_config *config,
                              struct wh_launch *launch_out)
{
    for (size_t i = 0; i < ARRAY_LEN(launchers); i++) {
        const struct launcher *l = &launchers[i];
        if (look(lookup, l->rank) == NULL || look(lookup, l->size) == NULL) {
            continue;
        }
        struct wh_launch launch = {0};
        whorl_result_t rc = read_all(lookup, l, config, &launch);
        if (rc == WHORL_OK) {
            *launch_out = launch;
        }
        explicit_bzero(&launch, sizeof(launch));
        return rc;
    }
    return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV,
                   "no launcher's variables in the environment: set RANK and WORLD_SIZE (and "
                   "MASTER_ADDR, MASTER_PORT), or start with torchrun, mpirun or srun");
}

/* Does host resolve, or fail in a way that time does not heal? */
static bool is_known(const char *host)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int error = getaddrinfo(host, NULL, &hints, &list);
    if (error == 0) {
        freeaddrinfo(list);
    }
    return error != EAI_AGAIN && error != EAI_NONAME && error != EAI_NODATA;
}

void wh_launch_await_name(const struct wh_launch *launch, uint64_t timeout_ms)
{
    char host[sizeof(launch->root)];
    const char *colon = strrchr(launch->root, ':');
    if (colon == NULL || colon == launch->root || launch->root[0] == '[') {
        return;
    }
    snprintf(host, sizeof(host), "%.*s", (int)(colon - launch->root), launch->root);

    uint64_t wait_ms = timeout_ms < NAME_WAIT_MS ? timeout_ms : NAME_WAIT_MS;
    uint64_t give_up_ns = wh_now_ns() + wait_ms * 1000000u;
    bool is_told = false;
    while (!is_known(host) && wh_now_ns() < give_up_ns) {
        if (!is_told) {
            wh_log(WH_LOG_WARN, WH_SUBSYS_INIT,
                   "no address for \"%s\", where the ranks are to meet: asking again for %llu s, "
                   "as the names of pods appear late",
                   host, (unsigned long long)(wait_ms + 999) / 1000);
            is_told = true;
        }
        nanosleep(&(struct timespec){.tv_nsec = NAME_RETRY_MS * 1000000L}, NULL);
    }
}
