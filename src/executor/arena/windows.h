/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the ranks of a host reach each other's shared memory.
 *
 * A rank that wants to use a region (device/memory.h) of its own in a collective puts it into one
 * of its WH_WINDOWS_MAX slots and publishes a record of it; the others map what the record says.
 * From then on {slot, offset} names the bytes everywhere. When the slots are full, a new region
 * takes the slot of one that is gone, else of the one that was not used for longest, and the others
 * map that slot again. So a call that uses a few regions never loses one of them to another.
 *
 * No sockets: a record says which descriptor of which process has the file open, and peers go
 * through /proc. That needs the same user and the same pid namespace; where it does not work, the
 * region is refused and the private path is taken. Process and descriptor numbers can be used
 * again, so device and inode decide.
 *
 * Nothing in here waits, or talks to a peer: who publishes records and collects answers does. One
 * thread at a time.
 */
#ifndef WH_EXECUTOR_ARENA_WINDOWS_H
#define WH_EXECUTOR_ARENA_WINDOWS_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WH_WINDOWS_MAX = 32 }; /* slots of one rank in one communicator */

/** What peers need to map a slot. Plain numbers, in memory that all ranks write. */
struct wh_window_record {
    uint64_t id; /* of the region, in its process */
    uint64_t dev, ino;
    uint64_t file_offset; /* of the region's first byte */
    uint64_t nbytes;
    uint32_t pid;
    int32_t fd;
    uint32_t slot;
    uint32_t is_sealed; /* 1: the owner says that the file cannot become shorter */
};
_Static_assert(sizeof(struct wh_window_record) <= 64, "a record shares its line with others");

/** Where bytes of this rank are. */
struct wh_window_ref {
    uint64_t offset; /* in the region of the slot, in bytes */
    uint32_t slot;
    bool is_new; /* peers must map the slot first */
};

struct wh_windows;

/** For rank `local` of the nlocal ranks of a host. */
WH_MUST_CHECK whorl_result_t wh_windows_create(uint32_t nlocal, uint32_t local,
                                               struct wh_windows **windows_out);

/** Unmaps what is mapped. Takes NULL. */
void wh_windows_destroy(struct wh_windows *windows);

/**
 * Is [ptr, ptr + nbytes) inside a region that peers can have? Puts the region into a slot if it is
 * in none. ref_out->is_new until wh_windows_confirm() or wh_windows_refused(). False also for a
 * region that was refused, as long as it has its slot.
 */
bool wh_windows_own(struct wh_windows *windows, const void *ptr, size_t nbytes,
                    struct wh_window_ref *ref_out);

/** What to publish of a slot that wh_windows_own() returned. */
void wh_windows_record(const struct wh_windows *windows, uint32_t slot,
                       struct wh_window_record *record_out);

/** All peers have mapped the slot. */
void wh_windows_confirm(struct wh_windows *windows, uint32_t slot);

/** Some peer has not: its region is used by nobody. */
void wh_windows_refused(struct wh_windows *windows, uint32_t slot);

/**
 * Maps what rank `peer` published of a slot, in place of what was mapped there. A region of this
 * very process is not mapped a second time.
 *
 * record may lie in memory that the peer can change; it is copied before it is believed. A file
 * that is not sealed can be made shorter by its owner later, and whoever touches what is gone then
 * gets SIGBUS.
 *
 * Returns   false if it cannot be had, and then nothing is mapped there; the first time for a peer
 *           an INFO line says why
 */
bool wh_windows_map(struct wh_windows *windows, uint32_t peer, uint32_t slot,
                    const struct wh_window_record *record);

/** The address here of a peer's bytes; NULL if they are not all inside what is mapped. */
uint8_t *wh_windows_ptr(const struct wh_windows *windows, uint32_t peer, uint32_t slot,
                        uint64_t offset, size_t nbytes);

/** Bytes of address space that peers' memory takes here. */
size_t wh_windows_mapped_nbytes(const struct wh_windows *windows);

#endif
