/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of records: what is read is whole, also while it is written. */
#include "observe/recorder.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

/* A record all of whose words follow from its number. */
static struct wh_record_start start_of(uint64_t n)
{
    static const char *const names[] = {"ring", "tree", "arena"};
    return (struct wh_record_start){
        .seq = 3 * n,
        .count = n * n,
        .submitted_ns = n + 1000,
        .started_ns = n + 2000,
        .algo = names[n % 3],
        .root = (uint32_t)n,
        .coll = (uint8_t)(n + 1),
        .dtype = (uint8_t)(n + 2),
        .redop = (uint8_t)(n + 3),
    };
}

static void expect_start(const struct wh_record *record)
{
    struct wh_record_start want = start_of(record->id);
    cr_assert_eq(record->start.seq, want.seq);
    cr_assert_eq(record->start.count, want.count);
    cr_assert_eq(record->start.submitted_ns, want.submitted_ns);
    cr_assert_eq(record->start.started_ns, want.started_ns);
    cr_assert_eq(record->start.algo, want.algo);
    cr_assert_eq(record->start.root, want.root);
    cr_assert_eq(record->start.coll, want.coll);
    cr_assert_eq(record->start.dtype, want.dtype);
    cr_assert_eq(record->start.redop, want.redop);
}

static uint64_t begin(struct wh_recorder *recorder)
{
    struct wh_record_start start = start_of(wh_recorder_last(recorder) + 1);
    return wh_recorder_begin(recorder, &start);
}

Test(recorder, a_new_one_is_empty)
{
    struct wh_recorder *recorder = wh_recorder_create();
    struct wh_record record;
    cr_expect_eq(wh_recorder_last(recorder), 0);
    cr_expect(!wh_recorder_read(recorder, 0, &record));
    cr_expect(!wh_recorder_read(recorder, 1, &record));
    cr_expect(!wh_recorder_running(recorder, &record));
    wh_recorder_destroy(recorder);
    wh_recorder_destroy(NULL);
}

Test(recorder, an_operation_runs_and_then_has_ended)
{
    struct wh_recorder *recorder = wh_recorder_create();
    struct wh_record record;
    uint64_t id = begin(recorder);
    cr_expect_eq(id, 1);
    cr_expect_eq(wh_recorder_last(recorder), 1);
    cr_assert(wh_recorder_read(recorder, id, &record));
    cr_expect_eq(record.state, WH_RECORD_RUNNING);
    cr_expect_eq(record.ended_ns, 0);
    expect_start(&record);

    wh_recorder_end(recorder, id, -14, 77);
    cr_assert(wh_recorder_read(recorder, id, &record));
    cr_expect_eq(record.state, WH_RECORD_ENDED);
    cr_expect_eq(record.result, -14);
    cr_expect_eq(record.ended_ns, 77);
    expect_start(&record);

    wh_recorder_end(recorder, id, 0, 99); /* again: nothing new */
    cr_assert(wh_recorder_read(recorder, id, &record));
    cr_expect_eq(record.result, -14);
    wh_recorder_destroy(recorder);
}

Test(recorder, keeps_the_last_ones_only)
{
    struct wh_recorder *recorder = wh_recorder_create();
    struct wh_record record;
    uint64_t first = begin(recorder);
    for (int i = 0; i < WH_RECORDS - 1; i++) {
        wh_recorder_end(recorder, begin(recorder), 0, 0);
    }
    cr_expect(wh_recorder_read(recorder, first, &record));
    uint64_t newest = begin(recorder); /* in the line of the first */
    cr_expect_eq(newest, first + WH_RECORDS);
    cr_expect(!wh_recorder_read(recorder, first, &record));
    cr_expect(wh_recorder_read(recorder, first + 1, &record));
    cr_expect(!wh_recorder_read(recorder, newest + 1, &record));

    wh_recorder_end(recorder, first, -1, 5); /* too late: the line is another operation's */
    cr_assert(wh_recorder_read(recorder, newest, &record));
    cr_expect_eq(record.state, WH_RECORD_RUNNING);
    expect_start(&record);
    wh_recorder_destroy(recorder);
}

Test(recorder, finds_the_oldest_that_runs)
{
    struct wh_recorder *recorder = wh_recorder_create();
    struct wh_record record;
    uint64_t a = begin(recorder), b = begin(recorder), c = begin(recorder);
    cr_assert(wh_recorder_running(recorder, &record));
    cr_expect_eq(record.id, a);
    wh_recorder_end(recorder, a, 0, 1);
    wh_recorder_end(recorder, c, 0, 1);
    cr_assert(wh_recorder_running(recorder, &record));
    cr_expect_eq(record.id, b);
    wh_recorder_end(recorder, b, 0, 1);
    cr_expect(!wh_recorder_running(recorder, &record));
    wh_recorder_destroy(recorder);
}

/* ---- while it is written -------------------------------------------------------------------- */

enum { NWRITES = 200000, NREADERS = 2 };

struct world {
    struct wh_recorder *recorder;
    _Atomic bool done;
    _Atomic uint64_t nread;
};

static void *read_on(void *arg)
{
    struct world *w = arg;
    uint64_t nread = 0;
    while (!atomic_load(&w->done)) {
        uint64_t last = wh_recorder_last(w->recorder);
        uint64_t ids[] = {last, last > 0 ? last - 1 : 0,
                          last > WH_RECORDS ? last - WH_RECORDS + 1 : 1};
        for (size_t i = 0; i < 3; i++) {
            struct wh_record record;
            if (wh_recorder_read(w->recorder, ids[i], &record)) {
                cr_assert_eq(record.id, ids[i]);
                expect_start(&record);
                uint64_t ended = record.state == WH_RECORD_ENDED ? record.id + 5 : 0;
                cr_assert_eq(record.ended_ns, ended);
                nread++;
            }
        }
    }
    atomic_fetch_add(&w->nread, nread);
    return NULL;
}

Test(recorder, can_be_read_while_it_is_written, .timeout = 120)
{
    struct world w = {.recorder = wh_recorder_create()};
    pthread_t threads[NREADERS];
    begin(w.recorder);
    for (int i = 0; i < NREADERS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, read_on, &w), 0);
    }
    for (int i = 0; i < NWRITES; i++) {
        uint64_t id = begin(w.recorder);
        wh_recorder_end(w.recorder, id, 0, id + 5);
    }
    atomic_store(&w.done, true);
    for (int i = 0; i < NREADERS; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_log_info("%llu records read meanwhile", (unsigned long long)w.nread);
    wh_recorder_destroy(w.recorder);
}
