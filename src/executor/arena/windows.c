/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Own slots and views of the peers' slots.
 *
 * What a record says is checked against the file itself, because the process may have ended, its
 * number may belong to somebody else, and the descriptor may have been closed and used again. The
 * look goes through O_PATH, which has no effect on whatever is there: opening an unknown pipe or
 * device for real could have.
 */
#include "executor/arena/windows.h"

#include "base/log.h"
#include "base/shmem.h"
#include "device/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { HUGE_NBYTES = 2 << 20 }; /* what wh_shmem_map_aligned() aligns to */

enum own_state { OWN_FREE, OWN_NEW, OWN_CONFIRMED, OWN_REFUSED };

/* A slot of this rank. */
struct own {
    enum own_state state;
    uint64_t last_use; /* the larger, the later */
    struct wh_memory_place place;
};

/* A peer's slot as it is here. */
struct view {
    uint8_t *base; /* of the region; NULL: nothing */
    uint64_t nbytes;
    void *map; /* what to unmap; NULL if the region is this process's own */
    size_t map_nbytes;
};

struct wh_windows {
    uint32_t nlocal, local;
    uint64_t nuses;
    struct own own[WH_WINDOWS_MAX];
    struct view *views; /* WH_WINDOWS_MAX of each peer */
    bool *has_told;     /* of each peer: why it could not be mapped */
    size_t mapped_nbytes;
};

whorl_result_t wh_windows_create(uint32_t nlocal, uint32_t local, struct wh_windows **windows_out)
{
    assert(local < nlocal);
    struct wh_windows *windows = calloc(1, sizeof(*windows));
    if (windows == NULL) {
        goto fail;
    }
    windows->nlocal = nlocal;
    windows->local = local;
    windows->views = calloc((size_t)nlocal * WH_WINDOWS_MAX, sizeof(*windows->views));
    windows->has_told = calloc(nlocal, sizeof(*windows->has_told));
    if (windows->views == NULL || windows->has_told == NULL) {
        goto fail;
    }
    *windows_out = windows;
    return WHORL_OK;

fail:
    wh_windows_destroy(windows);
    return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "windows: no memory for %u ranks", nlocal);
}

static void drop_view(struct wh_windows *windows, struct view *view)
{
    if (view->map != NULL) {
        wh_shmem_unmap(view->map, view->map_nbytes);
        windows->mapped_nbytes -= view->map_nbytes;
    }
    *view = (struct view){.base = NULL};
}

void wh_windows_destroy(struct wh_windows *windows)
{
    if (windows == NULL) {
        return;
    }
    size_t nviews = windows->views != NULL ? (size_t)windows->nlocal * WH_WINDOWS_MAX : 0;
    for (size_t i = 0; i < nviews; i++) {
        drop_view(windows, &windows->views[i]);
    }
    free(windows->views);
    free(windows->has_told);
    free(windows);
}

size_t wh_windows_mapped_nbytes(const struct wh_windows *windows)
{
    return windows->mapped_nbytes;
}

/* ---- own slots ------------------------------------------------------------------------------ */

static bool is_alive(const struct own *own)
{
    struct wh_memory_place place;
    return own->state != OWN_FREE && wh_memory_find_id(own->place.id, &place);
}

/* The slot for a region that has none: one without a living region, else the one that was not used
 * for longest. */
static uint32_t choose_slot(const struct wh_windows *windows)
{
    uint32_t oldest = 0;
    for (uint32_t slot = 0; slot < WH_WINDOWS_MAX; slot++) {
        if (!is_alive(&windows->own[slot])) {
            return slot;
        }
        if (windows->own[slot].last_use < windows->own[oldest].last_use) {
            oldest = slot;
        }
    }
    return oldest;
}

/* The slot that has the region; WH_WINDOWS_MAX if none has. */
static uint32_t find_slot(const struct wh_windows *windows, uint64_t id)
{
    uint32_t slot = 0;
    while (slot < WH_WINDOWS_MAX && windows->own[slot].place.id != id) {
        slot++; /* a free slot has id 0, which no region has */
    }
    return slot;
}

bool wh_windows_own(struct wh_windows *windows, const void *ptr, size_t nbytes,
                    struct wh_window_ref *ref_out)
{
    struct wh_memory_place place;
    if (!wh_memory_find(ptr, nbytes, &place)) {
        return false;
    }
    uint32_t slot = find_slot(windows, place.id);
    if (slot == WH_WINDOWS_MAX) {
        slot = choose_slot(windows);
        windows->own[slot] = (struct own){.state = OWN_NEW, .place = place};
    }
    struct own *own = &windows->own[slot];
    if (own->state == OWN_REFUSED) {
        return false;
    }
    own->last_use = ++windows->nuses;
    *ref_out = (struct wh_window_ref){
        .offset = place.offset,
        .slot = slot,
        .is_new = own->state == OWN_NEW,
    };
    return true;
}

void wh_windows_record(const struct wh_windows *windows, uint32_t slot,
                       struct wh_window_record *record_out)
{
    assert(slot < WH_WINDOWS_MAX && windows->own[slot].state != OWN_FREE);
    const struct wh_memory_place *place = &windows->own[slot].place;
    *record_out = (struct wh_window_record){
        .id = place->id,
        .dev = place->dev,
        .ino = place->ino,
        .file_offset = place->file_offset,
        .nbytes = place->region_nbytes,
        .pid = (uint32_t)getpid(),
        .fd = place->fd,
        .slot = slot,
        .is_sealed = place->is_sealed,
    };
}

void wh_windows_confirm(struct wh_windows *windows, uint32_t slot)
{
    assert(slot < WH_WINDOWS_MAX && windows->own[slot].state != OWN_FREE);
    windows->own[slot].state = OWN_CONFIRMED;
}

void wh_windows_refused(struct wh_windows *windows, uint32_t slot)
{
    assert(slot < WH_WINDOWS_MAX && windows->own[slot].state != OWN_FREE);
    windows->own[slot].state = OWN_REFUSED;
}

/* ---- views of peers' slots ------------------------------------------------------------------ */

/* Opens the file of a record; -1 and why not. *st_out is what fstat() says of it. */
static int open_window(const struct wh_window_record *record, struct stat *st_out, const char **why)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%u/fd/%d", record->pid, record->fd);
    int look = open(path, O_PATH | O_CLOEXEC);
    if (look < 0) {
        *why = "its descriptor is out of reach (another user or pid namespace, or gone)";
        return -1;
    }
    if (fstat(look, st_out) != 0 || !S_ISREG(st_out->st_mode) || st_out->st_dev != record->dev ||
        st_out->st_ino != record->ino) {
        close(look);
        *why = "its descriptor is another file (another pid namespace, or gone)";
        return -1;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", look);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    close(look);
    if (fd < 0) {
        *why = "its file cannot be opened";
    }
    return fd;
}

/* NULL, or why this many bytes of the file cannot be relied on. */
static const char *check_size(const struct wh_window_record *record, int fd, const struct stat *st)
{
    if (record->nbytes == 0 || record->nbytes > SIZE_MAX / 2 ||
        record->file_offset > (uint64_t)st->st_size ||
        record->nbytes > (uint64_t)st->st_size - record->file_offset) {
        return "its file is shorter";
    }
    int seals = record->is_sealed ? fcntl(fd, F_GET_SEALS) : F_SEAL_SHRINK;
    return seals >= 0 && (seals & F_SEAL_SHRINK) != 0 ? NULL : "its file is not sealed";
}

/* Maps the opened file into an empty view; false if the kernel will not. */
static bool map_file(const struct wh_window_record *record, int fd, const struct stat *st,
                     struct view *view)
{
    struct statfs fs;
    bool has_huge_pages = fstatfs(fd, &fs) == 0 && fs.f_type == (__fsword_t)HUGETLBFS_MAGIC;
    uint64_t page_nbytes = has_huge_pages ? (uint64_t)st->st_blksize : HUGE_NBYTES;
    uint64_t before = record->file_offset % page_nbytes;
    size_t map_nbytes = (size_t)(before + record->nbytes);
    void *map;
    whorl_result_t rc;
    if (has_huge_pages) {
        /* Only the kernel knows where such pages may be, and they come and go whole. */
        map_nbytes = (size_t)((map_nbytes + page_nbytes - 1) / page_nbytes * page_nbytes);
        rc = wh_shmem_map(fd, record->file_offset - before, map_nbytes, &map);
    } else {
        rc = wh_shmem_map_aligned(fd, record->file_offset - before, map_nbytes, &map);
    }
    if (rc != WHORL_OK) {
        return false;
    }
    wh_shmem_advise_huge(map, map_nbytes);
    *view = (struct view){
        .base = (uint8_t *)map + before,
        .nbytes = record->nbytes,
        .map = map,
        .map_nbytes = map_nbytes,
    };
    return true;
}

/* The base of a region of this very process; NULL if it is none. */
static uint8_t *base_in_this_process(const struct wh_window_record *record)
{
    struct wh_memory_place place;
    if (record->pid != (uint32_t)getpid() || !wh_memory_find_id(record->id, &place) ||
        place.dev != record->dev || place.ino != record->ino ||
        place.file_offset != record->file_offset || place.region_nbytes != record->nbytes) {
        return NULL;
    }
    return place.base;
}

/* NULL, or why the record cannot be mapped into the empty view. */
static const char *fill_view(const struct wh_window_record *record, struct view *view)
{
    uint8_t *base = base_in_this_process(record);
    if (base != NULL) {
        *view = (struct view){.base = base, .nbytes = record->nbytes};
        return NULL;
    }
    struct stat st;
    const char *why = NULL;
    int fd = open_window(record, &st, &why);
    if (fd < 0) {
        return why;
    }
    why = check_size(record, fd, &st);
    if (why == NULL && !map_file(record, fd, &st, view)) {
        why = "no address space for it";
    }
    close(fd);
    return why;
}

bool wh_windows_map(struct wh_windows *windows, uint32_t peer, uint32_t slot,
                    const struct wh_window_record *record)
{
    assert(peer < windows->nlocal);
    struct wh_window_record copy = *record;
    /* The compiler must not read *record again where the copy is meant. */
    atomic_signal_fence(memory_order_seq_cst);

    const char *why = "its record makes no sense";
    if (slot < WH_WINDOWS_MAX) {
        struct view *view = &windows->views[(size_t)peer * WH_WINDOWS_MAX + slot];
        drop_view(windows, view);
        if (copy.slot == slot) {
            why = fill_view(&copy, view);
        }
        windows->mapped_nbytes += view->map_nbytes;
    }
    if (why != NULL && !windows->has_told[peer]) {
        windows->has_told[peer] = true;
        wh_log(WH_LOG_INFO, WH_SUBSYS_REG,
               "windows: memory of local rank %u (pid %u) is not mapped here, local rank %u: %s",
               peer, copy.pid, windows->local, why);
    }
    return why == NULL;
}

uint8_t *wh_windows_ptr(const struct wh_windows *windows, uint32_t peer, uint32_t slot,
                        uint64_t offset, size_t nbytes)
{
    assert(peer < windows->nlocal);
    if (slot >= WH_WINDOWS_MAX) {
        return NULL;
    }
    const struct view *view = &windows->views[(size_t)peer * WH_WINDOWS_MAX + slot];
    if (view->base == NULL || offset > view->nbytes || nbytes > view->nbytes - offset) {
        return NULL;
    }
    return view->base + offset;
}
