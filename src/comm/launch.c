/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What launchers put into the environment: who this rank is and where the ranks meet.
 *
 * The ranks meet at rank 0. torchrun's own store listens at MASTER_PORT when its agent hosts it
 * (TORCHELASTIC_USE_AGENT_STORE), so the port after it is used then. Launchers that say nothing
 * about an address but do say that all ranks are on this host meet on loopback.
 */
#include "base/log.h"
#include "comm/comm.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { DEFAULT_PORT = 29555 };

/* Variables of one launcher; the first whose rank and size are both set is believed. */
struct launcher {
    const char *name;
    const char *rank, *size;
    const char *local_size; /* as large as size: all ranks are on this host */
    const char *job;        /* tells jobs apart */
};

static const struct launcher launchers[] = {
    {"WHORL_RANK", "WHORL_RANK", "WHORL_NRANKS", NULL, NULL},
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID"},
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE",
     "PMIX_NAMESPACE"},
    {"MPICH or another PMI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS", "PMI_JOBID"},
    {"MVAPICH", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE", NULL},
    {"Slurm", "SLURM_PROCID", "SLURM_NTASKS", NULL, "SLURM_JOB_ID"},
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
    return WHORL_OK;
}

/* "rack[1-2]node[03-07,9]-ib,other" -> "rack1node03-ib"; false if the list is not one. */
static bool first_host(const char *list, char *host, size_t host_nbytes)
{
    size_t used = 0;
    for (const char *c = list; *c != '\0' && *c != ','; c++) {
        size_t nbytes = 1;
        const char *from = c;
        if (*c == '[') {
            from = c + 1;
            nbytes = strcspn(from, "-,]");
            c = strchr(from, ']');
            if (nbytes == 0 || c == NULL) {
                return false;
            }
        }
        if (used + nbytes >= host_nbytes) {
            return false;
        }
        memcpy(host + used, from, nbytes);
        used += nbytes;
    }
    host[used] = '\0';
    return used > 0;
}

/* A variable that is set to nothing is as good as none. */
static const char *look(wh_launch_lookup_fn lookup, const char *name)
{
    const char *text = lookup(name);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

/* The host of rank 0, as far as the environment tells; false if it does not. */
static bool root_host(wh_launch_lookup_fn lookup, const struct launcher *l,
                      const struct wh_launch *launch, char *host, size_t host_nbytes)
{
    const char *master = look(lookup, "MASTER_ADDR");
    if (master != NULL) {
        return snprintf(host, host_nbytes, "%s", master) < (int)host_nbytes;
    }
    const char *nodes = look(lookup, "SLURM_STEP_NODELIST");
    nodes = nodes != NULL ? nodes : look(lookup, "SLURM_NODELIST");
    if (nodes != NULL && strcmp(l->name, "Slurm") == 0) {
        return first_host(nodes, host, host_nbytes);
    }
    const char *local = l->local_size != NULL ? look(lookup, l->local_size) : NULL;
    uint32_t nlocal;
    bool all_here = local == NULL || (parse_u32(local, &nlocal) && nlocal == launch->nranks);
    snprintf(host, host_nbytes, "127.0.0.1");
    return all_here;
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

/* What tells the ranks of this job from others: WHORL_SECRET, or what is the same on all ranks. */
static whorl_result_t read_secret(wh_launch_lookup_fn lookup, const struct launcher *l,
                                  const struct wh_config *config, struct wh_launch *launch)
{
    if (config->secret[0] != '\0') {
        return copy_setting("WHORL_SECRET", config->secret, launch->secret, sizeof(launch->secret));
    }
    const char *job = l->job != NULL ? look(lookup, l->job) : NULL;
    snprintf(launch->secret, sizeof(launch->secret), "job %.100s of %u at %s",
             job != NULL ? job : "", launch->nranks, launch->root);
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
        return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV,
                       "started by %s on several hosts, but nothing says where rank 0 is: set "
                       "MASTER_ADDR (and MASTER_PORT), or WHORL_ROOT=host:port",
                       l->name);
    }
    uint32_t port = DEFAULT_PORT;
    const char *text = look(lookup, "MASTER_PORT");
    if (text != NULL && (!parse_u32(text, &port) || port == 0 || port > 65534)) {
        return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV,
                       "MASTER_PORT=%s is no port: use a number from 1 to 65534", text);
    }
    const char *agent = look(lookup, "TORCHELASTIC_USE_AGENT_STORE");
    if (text != NULL && agent != NULL && strcasecmp(agent, "true") == 0) {
        port++;
    }
    bool is_ipv6 = strchr(host, ':') != NULL && host[0] != '[';
    snprintf(launch->root, sizeof(launch->root), is_ipv6 ? "[%s]:%u" : "%s:%u", host, port);
    return WHORL_OK;
}

/* Does an address that is not resolved yet stay on this host for sure? */
static bool is_loopback(const char *root)
{
    return strncmp(root, "127.", 4) == 0 || strncmp(root, "[::1]", 5) == 0 ||
           strncmp(root, "localhost:", 10) == 0;
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
        whorl_result_t rc = read_place(lookup, l, &launch);
        if (rc == WHORL_OK) {
            rc = read_root(lookup, l, config, &launch);
        }
        if (rc == WHORL_OK) {
            rc = read_secret(lookup, l, config, &launch);
        }
        if (rc != WHORL_OK) {
            return rc;
        }
        wh_log(WH_LOG_INFO, WH_SUBSYS_INIT, "started by %s: rank %u of %u, root at %s", l->name,
               launch.rank, launch.nranks, launch.root);
        if (config->secret[0] == '\0' && launch.rank == 0 && !is_loopback(launch.root)) {
            wh_log(WH_LOG_WARN, WH_SUBSYS_INIT,
                   "WHORL_SECRET is not set: whoever reaches %s and guesses the job's name can "
                   "disturb "
                   "it; set it to the same random text on every rank",
                   launch.root);
        }
        *launch_out = launch;
        return WHORL_OK;
    }
    return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV,
                   "no launcher's variables in the environment: set RANK and WORLD_SIZE (and "
                   "MASTER_ADDR, MASTER_PORT), or start with torchrun, mpirun or srun");
}
