/* SPDX-License-Identifier: Apache-2.0 */
#include "common/buffers.h"

#include "common/failure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ELEM_NBYTES_MAX = 8 };

/* A single number from a file; false if there is none ("max" in a control group's files). */
static bool read_number(const char *path, unsigned long long *out)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    bool is_read = fscanf(file, "%llu", out) == 1;
    fclose(file);
    return is_read;
}

static size_t available_nbytes(void)
{
    char line[128];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    if (file == NULL) {
        return SIZE_MAX;
    }
    while (kib == 0 && fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "MemAvailable: %llu kB", &kib);
    }
    fclose(file);
    return kib == 0 ? SIZE_MAX : (size_t)kib * 1024;
}

size_t perf_memory_nbytes(void)
{
    size_t nbytes = available_nbytes();
    unsigned long long limit = 0;
    unsigned long long used = 0;

    if (read_number("/sys/fs/cgroup/memory.max", &limit) &&
        read_number("/sys/fs/cgroup/memory.current", &used) && limit > used &&
        limit - used < nbytes) {
        nbytes = (size_t)(limit - used);
    }
    return nbytes;
}

static int map_private(size_t nbytes, char **out)
{
    void *base = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        return perf_fail("no memory for a buffer of %zu bytes: %s", nbytes, strerror(errno));
    }
    *out = base;
    return PERF_OK;
}

/* Shared memory of a program's own; its file stays open while it is registered. */
static int map_registered(struct perf_rank *rank, int which)
{
    size_t nbytes = rank->buffer_nbytes;
    void *handle;
    void *base = MAP_FAILED;
    int fd = memfd_create("perf", MFD_CLOEXEC);
    if (fd >= 0 && ftruncate(fd, (off_t)nbytes) == 0) {
        base = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (base == MAP_FAILED) {
        int status = perf_fail("no shared memory for %zu bytes: %s", nbytes, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return status;
    }

    rank->mapped[which] = base;
    rank->memfds[which] = fd;
    whorl_result_t rc = whorl_comm_register(rank->comm, base, nbytes, &handle);
    return rc == WHORL_OK
               ? PERF_OK
               : perf_fail_whorl("whorl_comm_register", rc, rank->comm, rank->world_rank);
}

static int map_one(enum perf_memory memory, struct perf_rank *rank, int which)
{
    if (memory == PERF_MEMORY_REGISTERED) {
        return map_registered(rank, which);
    }
    if (memory == PERF_MEMORY_PRIVATE) {
        return map_private(rank->buffer_nbytes, &rank->mapped[which]);
    }

    void *base = NULL;
    whorl_result_t rc = whorl_mem_alloc(rank->buffer_nbytes, &base);
    rank->mapped[which] = base;
    return rc == WHORL_OK ? PERF_OK
                          : perf_fail_whorl("whorl_mem_alloc", rc, NULL, rank->world_rank);
}

static void unmap_one(enum perf_memory memory, struct perf_rank *rank, int which)
{
    if (memory == PERF_MEMORY_SYMMETRIC) {
        whorl_mem_free(rank->mapped[which]);
    } else {
        munmap(rank->mapped[which], rank->buffer_nbytes);
    }
    if (memory == PERF_MEMORY_REGISTERED) {
        close(rank->memfds[which]);
    }
}

static int create_blocks(struct perf_rank *rank)
{
    size_t n = (size_t)rank->nranks;
    size_t *numbers = calloc(4 * n, sizeof(*numbers));
    if (numbers == NULL) {
        return perf_fail("no memory for the blocks of %d ranks", rank->nranks);
    }
    rank->blocks = (struct perf_blocks){
        .send_counts = numbers,
        .send_displs = numbers + n,
        .recv_counts = numbers + 2 * n,
        .recv_displs = numbers + 3 * n,
    };
    return PERF_OK;
}

int perf_buffers_create(struct perf_team *team)
{
    size_t nbytes = team->max_nbytes + (size_t)team->args->unalign * ELEM_NBYTES_MAX + 1;
    enum perf_memory memory = (enum perf_memory)team->args->local_register;

    for (int i = 0; i < team->nranks; i++) {
        struct perf_rank *rank = &team->ranks[i];
        int status = team->coll->blocks != NULL ? create_blocks(rank) : PERF_OK;
        rank->buffer_nbytes = nbytes;
        for (int k = 0; k < 2 && status == PERF_OK; k++) {
            status = map_one(memory, rank, k);
            if (status == PERF_OK) {
                memset(rank->mapped[k], 0, nbytes); /* page faults belong to nobody's time */
            }
        }
        if (status != PERF_OK) {
            return status;
        }
    }
    return PERF_OK;
}

void perf_buffers_destroy(struct perf_team *team)
{
    for (int i = 0; i < team->nranks; i++) {
        struct perf_rank *rank = &team->ranks[i];
        for (int k = 0; k < 2; k++) {
            if (rank->mapped[k] != NULL) {
                unmap_one((enum perf_memory)team->args->local_register, rank, k);
                rank->mapped[k] = NULL;
            }
        }
        free(rank->blocks.send_counts);
        rank->blocks = (struct perf_blocks){0};
    }
}
