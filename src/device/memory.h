/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host memory that other processes can map: which ranges of this process's addresses are parts of a
 * file, of which, and where in it.
 *
 * Such a range is a *region*. Regions come from wh_memory_alloc(), or from memory of the user that
 * is shared already and was registered. There is one registry per process, for all communicators.
 * A child made by fork() starts with an empty one.
 */
#ifndef WH_DEVICE_MEMORY_H
#define WH_DEVICE_MEMORY_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Where a range of memory is. The descriptor stays the registry's, open as long as the region
 *  lives; a number that is used later must be checked with dev and ino. */
struct wh_memory_place {
    uint64_t id;            /* of the region; never 0, never used again in this process */
    uint8_t *base;          /* of the region */
    uint64_t region_nbytes; /* from base */
    uint64_t offset;        /* of the range in the region, in bytes */
    uint64_t dev, ino;      /* of the file, as fstat() tells them */
    uint64_t file_offset;   /* of base in the file, in bytes; not always that of a page */
    int fd;                 /* readable and writable */
    bool is_sealed;         /* the file cannot become shorter */
};

/** See whorl_mem_alloc(). Any thread. */
WH_MUST_CHECK whorl_result_t wh_memory_alloc(size_t nbytes, void **ptr_out);

/** See whorl_mem_free(). Any thread. */
WH_MUST_CHECK whorl_result_t wh_memory_free(void *ptr);

/** Is [ptr, ptr + nbytes) inside one region? Any thread; cheap, because large collectives ask. */
bool wh_memory_find(const void *ptr, size_t nbytes, struct wh_memory_place *place_out);

/** Does the region still exist? The place is that of its base. Any thread; walks all regions. */
bool wh_memory_find_id(uint64_t id, struct wh_memory_place *place_out);

/** What one communicator has registered. All zero is an empty list; one thread at a time. */
struct wh_memory_list {
    struct wh_memory_handle *first;
};

/**
 * Registers [buf, buf + nbytes): a region if it is shared memory, else a handle without one. See
 * whorl_comm_register(). Reads /proc/self; never waits.
 *
 * Errors    WHORL_E_NOMEM for the handle; that it becomes no region is none
 */
WH_MUST_CHECK whorl_result_t wh_memory_register(struct wh_memory_list *list, void *buf,
                                                size_t nbytes, void **handle_out);

/** Takes back one registration; false if handle is not in list. handle is compared, not followed,
 *  until it is found. */
bool wh_memory_deregister(struct wh_memory_list *list, const void *handle);

/** Takes back all registrations of list. */
void wh_memory_list_fini(struct wh_memory_list *list);

#endif
