/* SPDX-License-Identifier: Apache-2.0 */
#include "common/buffers.h"

#include "common/failure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

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

static int map_one(size_t nbytes, char **out)
{
    void *base = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        return perf_fail("no memory for a buffer of %zu bytes: %s", nbytes, strerror(errno));
    }
    *out = base;
    return PERF_OK;
}

int perf_buffers_create(struct perf_team *team)
{
    size_t nbytes = team->max_nbytes + (size_t)team->args->unalign * ELEM_NBYTES_MAX + 1;

    for (int i = 0; i < team->nranks; i++) {
        struct perf_rank *rank = &team->ranks[i];
        rank->buffer_nbytes = nbytes;
        for (int k = 0; k < 2; k++) {
            int status = map_one(nbytes, &rank->mapped[k]);
            if (status != PERF_OK) {
                return status;
            }
            memset(rank->mapped[k], 0, nbytes); /* page faults belong to nobody's time */
        }
    }
    return PERF_OK;
}

void perf_buffers_destroy(struct perf_team *team)
{
    for (int i = 0; i < team->nranks; i++) {
        for (int k = 0; k < 2; k++) {
            if (team->ranks[i].mapped[k] != NULL) {
                munmap(team->ranks[i].mapped[k], team->ranks[i].buffer_nbytes);
                team->ranks[i].mapped[k] = NULL;
            }
        }
    }
}
