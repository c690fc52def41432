/* SPDX-License-Identifier: Apache-2.0 */
/* See recorder.h for how a line can be read while it is written. */
#include "observe/recorder.h"

#include <stdlib.h>

enum { READS_MOST = 64 };
_Static_assert((WH_RECORDS & (WH_RECORDS - 1)) == 0, "a power of two");
_Static_assert(sizeof(struct wh_record_line) == 64, "one line of memory");

struct wh_recorder *wh_recorder_create(void)
{
    struct wh_recorder *recorder = aligned_alloc(64, sizeof(*recorder));
    if (recorder == NULL) {
        return NULL;
    }
    atomic_init(&recorder->last_id, 0);
    for (uint32_t i = 0; i < WH_RECORDS; i++) {
        atomic_init(&recorder->lines[i].version, 0);
    }
    return recorder;
}

void wh_recorder_destroy(struct wh_recorder *recorder)
{
    free(recorder);
}

uint64_t wh_recorder_last(const struct wh_recorder *recorder)
{
    return atomic_load_explicit(&recorder->last_id, memory_order_acquire);
}

static void read_words(const struct wh_record_line *line, struct wh_record *record)
{
    uint64_t what = atomic_load_explicit(&line->what, memory_order_acquire);
    record->start = (struct wh_record_start){
        .seq = atomic_load_explicit(&line->seq, memory_order_acquire),
        .count = atomic_load_explicit(&line->count, memory_order_acquire),
        .submitted_ns = atomic_load_explicit(&line->submitted_ns, memory_order_acquire),
        .started_ns = atomic_load_explicit(&line->started_ns, memory_order_acquire),
        .algo = atomic_load_explicit(&line->algo, memory_order_acquire),
        .root = (uint32_t)(what >> 32),
        .coll = (uint8_t)(what >> 16),
        .dtype = (uint8_t)(what >> 8),
        .redop = (uint8_t)what,
    };
    record->ended_ns = atomic_load_explicit(&line->ended_ns, memory_order_acquire);
}

bool wh_recorder_read(const struct wh_recorder *recorder, uint64_t id,
                      struct wh_record *record_out)
{
    const struct wh_record_line *line = &recorder->lines[id % WH_RECORDS];
    /* A writer that changes the line between the two looks ends this operation, or takes the line
     * for another one; so a few tries are enough, and a reader never waits for a writer. */
    for (int i = 0; i < READS_MOST; i++) {
        uint64_t version = atomic_load_explicit(&line->version, memory_order_acquire);
        enum wh_record_state state = (enum wh_record_state)(version & WH_RECORD_STATE_MASK);
        if (id == 0 || version >> WH_RECORD_ID_SHIFT != id || state == WH_RECORD_NONE) {
            return false;
        }
        struct wh_record record = {.id = id, .state = state};
        record.result = (int8_t)(uint8_t)(version >> WH_RECORD_RESULT_SHIFT);
        read_words(line, &record);
        if (atomic_load_explicit(&line->version, memory_order_relaxed) == version) {
            record.ended_ns = state == WH_RECORD_ENDED ? record.ended_ns : 0;
            *record_out = record;
            return true;
        }
    }
    return false;
}

bool wh_recorder_running(const struct wh_recorder *recorder, struct wh_record *record_out)
{
    uint64_t last = wh_recorder_last(recorder);
    for (uint64_t id = last > WH_RECORDS ? last - WH_RECORDS + 1 : 1; id <= last; id++) {
        struct wh_record record;
        if (wh_recorder_read(recorder, id, &record) && record.state == WH_RECORD_RUNNING) {
            *record_out = record;
            return true;
        }
    }
    return false;
}
