/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/members.h"

#include "base/bytes.h"
#include "base/log.h"
#include "base/random.h"
#include "base/shmem.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static_assert(WH_COMM_MEMBER_NBYTES == 32 + WH_HOST_NAME_NBYTES, "layout of a member");

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
        .cpus_key = wh_usable_cpus_key(),
    };
    snprintf(member_out->host, sizeof(member_out->host), "%s", wh_host_name());
    return process_key(&member_out->process_key);
}

void wh_comm_member_encode(const struct wh_comm_member *member, uint8_t out[WH_COMM_MEMBER_NBYTES])
{
    wh_put_le64(out + 0, member->host_key);
    wh_put_le64(out + 8, member->process_key);
    wh_put_le32(out + 16, member->pid);
    wh_put_le32(out + 20, member->ncpus);
    wh_put_le64(out + 24, member->cpus_key);
    memcpy(out + 32, member->host, WH_HOST_NAME_NBYTES);
}

void wh_comm_member_decode(const uint8_t in[WH_COMM_MEMBER_NBYTES], struct wh_comm_member *member)
{
    member->host_key = wh_get_le64(in + 0);
    member->process_key = wh_get_le64(in + 8);
    member->pid = wh_get_le32(in + 16);
    member->ncpus = wh_get_le32(in + 20);
    member->cpus_key = wh_get_le64(in + 24);
    memcpy(member->host, in + 32, WH_HOST_NAME_NBYTES);
    member->host[WH_HOST_NAME_NBYTES - 1] = '\0';
    for (char *c = member->host; *c != '\0'; c++) {
        if (!isgraph((unsigned char)*c)) {
            *c = '?';
        }
    }
}
