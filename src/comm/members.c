/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/members.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/random.h"
#include "base/shmem.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static_assert(WH_COMM_MEMBER_NBYTES == 64 + WH_HOST_NAME_NBYTES, "layout of a member");

/* Tells processes apart, also across pid namespaces; a child of fork is another process. */
static whorl_result_t process_key(uint64_t *key_out)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static uint64_t key;
    static pid_t owner;

    whorl_result_t rc = WHORL_OK;
    pthread_mutex_lock(&lock);
    if (owner != getpid()) {
        rc = wh_random(&key, sizeof(key));
        owner = rc == WHORL_OK ? getpid() : 0;
    }
    *key_out = key;
    pthread_mutex_unlock(&lock);
    return rc;
}

whorl_result_t wh_comm_member_self(struct wh_comm_member *member_out)
{
    *member_out = (struct wh_comm_member){
        .host_key = wh_shmem_host_key(),
        .pid = (uint32_t)getpid(),
        .ncpus = wh_usable_cpus(),
    };
    /* Containers of a machine that are hosts of their own still share its cores. */
    const uint64_t cores[] = {wh_shmem_machine_key(), wh_usable_cpus_key()};
    member_out->cpus_key = wh_hash(WH_HASH_START, cores, sizeof(cores));
    snprintf(member_out->host, sizeof(member_out->host), "%s", wh_host_name());
    return process_key(&member_out->process_key);
}

whorl_result_t wh_comm_member_place(const struct wh_config *config,
                                    struct wh_topology_place *place_out)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct wh_topology_place place;
    static pid_t owner;

    whorl_result_t rc = WHORL_OK;
    pthread_mutex_lock(&lock);
    if (owner != getpid()) {
        struct wh_topology_source source = {.file = config->topo_file, .cpus = config->topo_cpus};
        rc = wh_topology_find_place(&source, &place);
        owner = rc == WHORL_OK ? getpid() : 0;
    }
    *place_out = place;
    pthread_mutex_unlock(&lock);
    return rc;
}

void wh_comm_member_encode(const struct wh_comm_member *member, uint8_t out[WH_COMM_MEMBER_NBYTES])
{
    wh_put_le64(out + 0, member->host_key);
    wh_put_le64(out + 8, member->process_key);
    wh_put_le32(out + 16, member->pid);
    wh_put_le32(out + 20, member->ncpus);
    wh_put_le64(out + 24, member->cpus_key);
    wh_put_le64(out + 32, member->arena_colls);
    wh_put_le64(out + 40, member->place.keys[WH_TOPOLOGY_LLC]);
    wh_put_le64(out + 48, member->place.keys[WH_TOPOLOGY_NUMA]);
    wh_put_le64(out + 56, member->arena_key);
    memcpy(out + 64, member->host, WH_HOST_NAME_NBYTES);
}

void wh_comm_member_decode(const uint8_t in[WH_COMM_MEMBER_NBYTES], struct wh_comm_member *member)
{
    member->host_key = wh_get_le64(in + 0);
    member->process_key = wh_get_le64(in + 8);
    member->pid = wh_get_le32(in + 16);
    member->ncpus = wh_get_le32(in + 20);
    member->cpus_key = wh_get_le64(in + 24);
    member->arena_colls = wh_get_le64(in + 32);
    member->place.keys[WH_TOPOLOGY_LLC] = wh_get_le64(in + 40);
    member->place.keys[WH_TOPOLOGY_NUMA] = wh_get_le64(in + 48);
    member->arena_key = wh_get_le64(in + 56);
    memcpy(member->host, in + 64, WH_HOST_NAME_NBYTES);
    member->host[WH_HOST_NAME_NBYTES - 1] = '\0';
    for (char *c = member->host; *c != '\0'; c++) {
        if (!isgraph((unsigned char)*c)) {
            *c = '?';
        }
    }
}
