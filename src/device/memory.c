/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of regions, where regions come from, and what communicators registered.
 *
 * The registry is an array sorted by address. Ranges may overlap, because users register what they
 * like, so an entry also knows how far any entry up to it reaches: the search for the last entry
 * that begins at or before an address walks back from there only while something reaches far
 * enough. Readers share a lock, and do not even take it while there are no regions.
 *
 * A user may unmap registered memory without telling. We cannot see that, except when something
 * else is registered at the same addresses: then the older region is dropped, and its handle is one
 * without a region from then on.
 */
#include "device/memory.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/shmem.h"
#include "device/memory_file.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

struct region {
    struct wh_memory_place place; /* offset 0; read-only once it is listed */
    bool is_allocated;            /* by wh_memory_alloc() */
    bool is_listed;               /* else it is dead, and its descriptor closed */
    uint32_t nholders;            /* handles; of allocated memory its user counts as one */
};

struct entry {
    uintptr_t begin, end;
    uintptr_t reach; /* the largest end of this entry and all before it */
    struct region *region;
};

struct wh_memory_handle {
    struct wh_memory_handle *next;
    const void *buf;
    size_t nbytes;
    uint32_t nregistered;
    struct region *region; /* NULL: none */
};

/* Holding lock, but that nentries may be read without: 0 means that there is nothing to find. */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct entry *entries;
static _Atomic size_t nentries;
static size_t entries_capacity;
static uint64_t last_id;

/* ---- the registry --------------------------------------------------------------------------- */

static void before_fork(void)
{
    pthread_rwlock_wrlock(&lock);
}

static void after_fork_in_parent(void)
{
    pthread_rwlock_unlock(&lock);
}

/* The child's descriptors are copies; it forgets what it inherited, so that no collective of its
 * own can take memory that it shares with its parent for its own. */
static void after_fork_in_child(void)
{
    for (size_t i = 0; i < nentries; i++) {
        entries[i].region->is_listed = false;
        close(entries[i].region->place.fd);
    }
    nentries = 0;
    /* Not unlocked: the owner of the lock is a thread of the parent. */
    pthread_rwlock_init(&lock, NULL);
}

static void watch_forks(void)
{
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* Not listed yet. NULL: no memory. Not holding lock, which fork() takes inside its own. */
static struct region *create_region(const struct wh_memory_place *place)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    struct region *region = calloc(1, sizeof(*region));
    if (region != NULL) {
        region->place = *place;
    }
    return region;
}

/* How many entries begin at or before address. Holding lock. */
static size_t count_begun(uintptr_t address)
{
    size_t low = 0, high = nentries;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entries[middle].begin <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The region that has all of [begin, end), or NULL. Holding lock. */
static struct region *find_around(uintptr_t begin, uintptr_t end)
{
    for (size_t i = count_begun(begin); i > 0 && entries[i - 1].reach >= end; i--) {
        if (entries[i - 1].end >= end) {
            return entries[i - 1].region;
        }
    }
    return NULL;
}

/* Holding lock for writing. */
static void renew_reach(size_t first)
{
    uintptr_t reach = first > 0 ? entries[first - 1].reach : 0;
    for (size_t i = first; i < nentries; i++) {
        reach = entries[i].end > reach ? entries[i].end : reach;
        entries[i].reach = reach;
    }
}

/* Makes room for one more entry. Holding lock for writing. */
static bool grow_entries(void)
{
    if (nentries < entries_capacity) {
        return true;
    }
    size_t capacity = entries_capacity > 0 ? 2 * entries_capacity : 16;
    struct entry *grown = realloc(entries, capacity * sizeof(*grown));
    if (grown == NULL) {
        return false;
    }
    entries = grown;
    entries_capacity = capacity;
    return true;
}

/* Gives region an id and makes it known. Holding lock for writing, with room for it. */
static void list_region(struct region *region)
{
    assert(nentries < entries_capacity);
    uintptr_t begin = (uintptr_t)region->place.base;
    size_t at = count_begun(begin);
    memmove(entries + at + 1, entries + at, (nentries - at) * sizeof(*entries));
    entries[at] = (struct entry){
        .begin = begin,
        .end = begin + (uintptr_t)region->place.region_nbytes,
        .region = region,
    };
    nentries++;
    renew_reach(at);
    region->place.id = ++last_id;
    region->is_listed = true;
}

/* Makes the region of entry `at` unknown, so that it is dead. Holding lock for writing. */
static void unlist_entry(size_t at)
{
    struct region *region = entries[at].region;
    region->is_listed = false;
    close(region->place.fd);
    memmove(entries + at, entries + at + 1, (nentries - at - 1) * sizeof(*entries));
    nentries--;
    renew_reach(at);
}

/* Holding lock for writing. */
static void unlist_region(const struct region *region)
{
    size_t at = 0;
    while (entries[at].region != region) {
        at++;
        assert(at < nentries);
    }
    unlist_entry(at);
}

/* Do both say the same about the addresses that they share? */
static bool is_consistent(const struct wh_memory_place *a, const struct wh_memory_place *b)
{
    return a->dev == b->dev && a->ino == b->ino &&
           a->file_offset - (uintptr_t)a->base == b->file_offset - (uintptr_t)b->base;
}

/* Drops regions whose memory has been replaced by that of place. Holding lock for writing. */
static void drop_replaced(const struct wh_memory_place *place)
{
    uintptr_t begin = (uintptr_t)place->base;
    uintptr_t end = begin + (uintptr_t)place->region_nbytes;
    for (size_t i = nentries; i > 0; i--) {
        const struct entry *entry = &entries[i - 1];
        if (entry->begin < end && entry->end > begin && !entry->region->is_allocated &&
            !is_consistent(&entry->region->place, place)) {
            unlist_entry(i - 1);
        }
    }
}

bool wh_memory_find(const void *ptr, size_t nbytes, struct wh_memory_place *place_out)
{
    uintptr_t begin = (uintptr_t)ptr;
    if (atomic_load_explicit(&nentries, memory_order_relaxed) == 0 ||
        nbytes > UINTPTR_MAX - begin) {
        return false;
    }
    pthread_rwlock_rdlock(&lock);
    const struct region *region = find_around(begin, begin + nbytes);
    if (region != NULL) {
        *place_out = region->place;
        place_out->offset = begin - (uintptr_t)region->place.base;
    }
    pthread_rwlock_unlock(&lock);
    return region != NULL;
}

bool wh_memory_find_id(uint64_t id, struct wh_memory_place *place_out)
{
    const struct region *found = NULL;
    pthread_rwlock_rdlock(&lock);
    for (size_t i = 0; i < nentries && found == NULL; i++) {
        found = entries[i].region->place.id == id ? entries[i].region : NULL;
    }
    if (found != NULL) {
        *place_out = found->place;
    }
    pthread_rwlock_unlock(&lock);
    return found != NULL;
}

/* ---- memory of ours ------------------------------------------------------------------------- */

/* Shared memory is promised without limit, and whoever touches more than there is gets killed. */
static bool is_beyond_machine(size_t nbytes)
{
    struct sysinfo info;
    return nbytes > SIZE_MAX / 2 ||
           (sysinfo(&info) == 0 &&
            nbytes / info.mem_unit > (size_t)info.totalram + (size_t)info.totalswap);
}

/* Lists the region of new memory; on failure nothing of it is left but the memory. */
static whorl_result_t list_allocated(const struct wh_memory_place *place)
{
    struct region *region = create_region(place);
    if (region == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "memory: no memory for a region");
    }
    region->is_allocated = true;
    region->nholders = 1;

    pthread_rwlock_wrlock(&lock);
    bool has_room = grow_entries();
    if (has_room) {
        drop_replaced(&region->place);
        list_region(region);
    }
    pthread_rwlock_unlock(&lock);
    if (!has_room) {
        free(region);
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "memory: no memory for a region");
    }
    return WHORL_OK;
}

whorl_result_t wh_memory_alloc(size_t nbytes, void **ptr_out)
{
    if (nbytes == 0) {
        *ptr_out = NULL;
        return WHORL_OK;
    }
    if (is_beyond_machine(nbytes)) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC,
                       "memory: %zu bytes are more than this machine has", nbytes);
    }
    nbytes = wh_align_up(nbytes, (size_t)sysconf(_SC_PAGESIZE));

    int fd;
    whorl_result_t rc = wh_shmem_create("whorl-memory", nbytes, &fd);
    if (rc != WHORL_OK) {
        return rc;
    }
    void *ptr;
    rc = wh_shmem_map_aligned(fd, 0, nbytes, &ptr);
    if (rc != WHORL_OK) {
        goto undo_create;
    }
    wh_shmem_advise_huge(ptr, nbytes);
    struct stat st;
    if (fstat(fd, &st) != 0) {
        rc = wh_fail_sys(WH_SUBSYS_ALLOC, "memory: fstat");
        goto undo_map;
    }
    rc = list_allocated(&(struct wh_memory_place){
        .base = ptr,
        .region_nbytes = nbytes,
        .dev = st.st_dev,
        .ino = st.st_ino,
        .fd = fd,
        .is_sealed = true,
    });
    if (rc != WHORL_OK) {
        goto undo_map;
    }
    *ptr_out = ptr;
    return WHORL_OK;

undo_map:
    wh_shmem_unmap(ptr, nbytes);
undo_create:
    close(fd);
    return rc;
}

whorl_result_t wh_memory_free(void *ptr)
{
    if (ptr == NULL) {
        return WHORL_OK;
    }
    pthread_rwlock_wrlock(&lock);
    size_t at = count_begun((uintptr_t)ptr);
    while (at > 0 && entries[at - 1].begin == (uintptr_t)ptr &&
           !entries[at - 1].region->is_allocated) {
        at--;
    }
    struct region *region = NULL;
    if (at > 0 && entries[at - 1].begin == (uintptr_t)ptr) {
        region = entries[at - 1].region;
        unlist_entry(at - 1);
    }
    pthread_rwlock_unlock(&lock);
    if (region == NULL) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_ALLOC,
                       "memory: %p was not allocated by whorl_mem_alloc, or is free", ptr);
    }
    /* Peers may have it mapped for long; they shall not keep its pages. */
    (void)madvise(ptr, (size_t)region->place.region_nbytes, MADV_REMOVE);
    wh_shmem_unmap(ptr, (size_t)region->place.region_nbytes);
    free(region);
    return WHORL_OK;
}

/* ---- memory of the user --------------------------------------------------------------------- */

/* The region with exactly this place, or NULL. Holding lock. */
static struct region *find_same(const struct wh_memory_place *place)
{
    for (size_t i = count_begun((uintptr_t)place->base);
         i > 0 && entries[i - 1].begin == (uintptr_t)place->base; i--) {
        struct region *region = entries[i - 1].region;
        if (region->place.region_nbytes == place->region_nbytes && !region->is_allocated &&
            is_consistent(&region->place, place)) {
            return region;
        }
    }
    return NULL;
}

/* A region for an opened place, held once more; place->fd becomes its, or is closed. NULL: no
 * memory. */
static struct region *hold_region(const struct wh_memory_place *place)
{
    struct region *fresh = create_region(place);
    pthread_rwlock_wrlock(&lock);
    struct region *region = find_same(place);
    if (region == NULL && fresh != NULL && grow_entries()) {
        drop_replaced(place);
        list_region(fresh);
        region = fresh;
        fresh = NULL;
    } else {
        close(place->fd);
    }
    if (region != NULL) {
        region->nholders++;
    }
    pthread_rwlock_unlock(&lock);
    free(fresh);
    return region;
}

static void put_region(struct region *region)
{
    pthread_rwlock_wrlock(&lock);
    bool is_last = --region->nholders == 0;
    if (is_last && region->is_listed) {
        unlist_region(region);
    }
    pthread_rwlock_unlock(&lock);
    if (is_last) {
        free(region);
    }
}

/* The region of a new registration, or NULL. */
static struct region *region_of(void *buf, size_t nbytes)
{
    struct wh_memory_place place = {.base = buf, .region_nbytes = nbytes};
    if (nbytes == 0 || nbytes > UINTPTR_MAX - (uintptr_t)buf) {
        return NULL;
    }
    pthread_rwlock_rdlock(&lock);
    const struct region *around = find_around((uintptr_t)buf, (uintptr_t)buf + nbytes);
    bool is_ours = around != NULL && around->is_allocated;
    pthread_rwlock_unlock(&lock);
    if (is_ours) {
        return NULL; /* known, and for as long as it is allocated */
    }
    const char *why = wh_memory_file_open(&place);
    struct region *region = why == NULL ? hold_region(&place) : NULL;
    wh_log(WH_LOG_INFO, WH_SUBSYS_REG, "memory: %zu bytes at %p %s%s", nbytes, buf,
           region != NULL ? "registered" : "are used by copies: ",
           region != NULL ? "" : (why != NULL ? why : "no memory for a region"));
    return region;
}

whorl_result_t wh_memory_register(struct wh_memory_list *list, void *buf, size_t nbytes,
                                  void **handle_out)
{
    struct wh_memory_handle *handle = list->first;
    while (handle != NULL && (handle->buf != buf || handle->nbytes != nbytes)) {
        handle = handle->next;
    }
    if (handle == NULL) {
        handle = calloc(1, sizeof(*handle));
        if (handle == NULL) {
            return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_REG, "memory: no memory for a registration");
        }
        handle->buf = buf;
        handle->nbytes = nbytes;
        handle->region = region_of(buf, nbytes);
        handle->next = list->first;
        list->first = handle;
    }
    handle->nregistered++;
    *handle_out = handle;
    return WHORL_OK;
}

static void destroy_handle(struct wh_memory_handle *handle)
{
    if (handle->region != NULL) {
        put_region(handle->region);
    }
    free(handle);
}

bool wh_memory_deregister(struct wh_memory_list *list, const void *handle)
{
    struct wh_memory_handle **at = &list->first;
    while (*at != NULL && *at != handle) {
        at = &(*at)->next;
    }
    struct wh_memory_handle *found = *at;
    if (found != NULL && --found->nregistered == 0) {
        *at = found->next;
        destroy_handle(found);
    }
    return found != NULL;
}

void wh_memory_list_fini(struct wh_memory_list *list)
{
    while (list->first != NULL) {
        struct wh_memory_handle *handle = list->first;
        list->first = handle->next;
        destroy_handle(handle);
    }
}
