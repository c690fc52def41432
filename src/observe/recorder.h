/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flight recorder: the last WH_RECORDS operations of one communicator.
 *
 * One thread writes at a time (whoever is on turn in the communicator; handing on the turn orders
 * writers), any number of threads read meanwhile, and nobody waits. A record is one line of memory
 * with a version in front. A writer who takes a line for a new operation first marks the version as
 * being written, then stores the rest, then the version of the running record; each of these stores
 * is a release. A reader acquires the version, then every word, then looks at the version again:
 * if a word is newer than the version that it saw first, the second look shows it, and it reads
 * again. Everything is atomic, so ThreadSanitizer agrees.
 *
 * Times are the writer's business: the smallest operations take less than a microsecond, of which
 * two looks at a precise clock would be a fifth.
 */
#ifndef WH_OBSERVE_RECORDER_H
#define WH_OBSERVE_RECORDER_H

#include "base/macros.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WH_RECORDS = 1024,
    WH_RECORD_STATE_MASK = 0xff,
    WH_RECORD_RESULT_SHIFT = 8,
    WH_RECORD_ID_SHIFT = 16,
};

/** An operation as it begins. */
struct wh_record_start {
    uint64_t seq; /* its number, as in errors */
    uint64_t count;
    uint64_t submitted_ns, started_ns; /* of the monotonic clock, or of the coarse one */
    const char *algo;                  /* static memory */
    uint32_t root;
    uint8_t coll, dtype, redop; /* the caller's numbers; the recorder does not interpret them */
};

enum wh_record_state { WH_RECORD_NONE, WH_RECORD_RUNNING, WH_RECORD_ENDED };

/** A record as it was read. */
struct wh_record {
    uint64_t id; /* 1 for the first operation of the communicator, 2 for the second ... */
    enum wh_record_state state;
    int32_t result;    /* with WH_RECORD_ENDED */
    uint64_t ended_ns; /* 0: running, or it ended at once and nobody looked at a clock */
    struct wh_record_start start;
};

struct wh_record_line {
    _Atomic uint64_t version; /* id, result and state; see wh_record_version() */
    _Atomic uint64_t seq, count, submitted_ns, started_ns, ended_ns;
    _Atomic uint64_t what; /* root, coll, dtype, redop */
    _Atomic(const char *) algo;
} __attribute__((aligned(64)));

struct wh_recorder {
    _Atomic uint64_t last_id; /* of the newest record; 0: none */
    struct wh_record_line lines[WH_RECORDS];
};

/** NULL: no memory. 64 KiB, touched as records are written. */
struct wh_recorder *wh_recorder_create(void);
/** Takes NULL. Nobody may read or write any more. */
void wh_recorder_destroy(struct wh_recorder *recorder);

/** What the version of a record is; result codes are small, so the low byte is enough. */
static inline uint64_t wh_record_version(uint64_t id, int32_t result,
                                         enum wh_record_state state)
{
    return id << WH_RECORD_ID_SHIFT | (uint64_t)(uint8_t)result << WH_RECORD_RESULT_SHIFT | state;
}

/* The two that are a part of every operation are here, so that they cost no calls. */

/** Begins a record; returns its id. Writer only. */
static inline uint64_t wh_recorder_begin(struct wh_recorder *recorder,
                                         const struct wh_record_start *start)
{
    uint64_t id = atomic_load_explicit(&recorder->last_id, memory_order_relaxed) + 1;
    struct wh_record_line *line = &recorder->lines[id % WH_RECORDS];
    uint64_t what = (uint64_t)start->root << 32 | (uint64_t)start->coll << 16 |
                    (uint64_t)start->dtype << 8 | start->redop;

    /* Releases: whoever sees one of these words sees that the version changed before it. */
    atomic_store_explicit(&line->version, wh_record_version(id, 0, WH_RECORD_NONE),
                          memory_order_relaxed);
    atomic_store_explicit(&line->seq, start->seq, memory_order_release);
    atomic_store_explicit(&line->count, start->count, memory_order_release);
    atomic_store_explicit(&line->submitted_ns, start->submitted_ns, memory_order_release);
    atomic_store_explicit(&line->started_ns, start->started_ns, memory_order_release);
    atomic_store_explicit(&line->ended_ns, 0, memory_order_release);
    atomic_store_explicit(&line->what, what, memory_order_release);
    atomic_store_explicit(&line->algo, start->algo, memory_order_release);
    atomic_store_explicit(&line->version, wh_record_version(id, 0, WH_RECORD_RUNNING),
                          memory_order_release);
    atomic_store_explicit(&recorder->last_id, id, memory_order_release);
    __builtin_prefetch(&recorder->lines[(id + 1) % WH_RECORDS], 1);
    return id;
}

/**
 * Ends a record; ended_ns is 0 for an operation so short that no clock was read. Writer only. Does
 * nothing if the line has been taken by a later operation meanwhile.
 */
static inline void wh_recorder_end(struct wh_recorder *recorder, uint64_t id, int32_t result,
                                   uint64_t ended_ns)
{
    struct wh_record_line *line = &recorder->lines[id % WH_RECORDS];
    if (atomic_load_explicit(&line->version, memory_order_relaxed) ==
        wh_record_version(id, 0, WH_RECORD_RUNNING)) {
        atomic_store_explicit(&line->ended_ns, ended_ns, memory_order_release);
        atomic_store_explicit(&line->version, wh_record_version(id, result, WH_RECORD_ENDED),
                              memory_order_release);
    }
}

/** Id of the newest record, 0 if there is none. Any thread. */
uint64_t wh_recorder_last(const struct wh_recorder *recorder);

/** Reads a record; false if it is not there (any more). Any thread; does not wait. */
bool wh_recorder_read(const struct wh_recorder *recorder, uint64_t id,
                      struct wh_record *record_out);

/** The oldest record that is running and still there; false if none is. Any thread. */
bool wh_recorder_running(const struct wh_recorder *recorder, struct wh_record *record_out);

#endif
