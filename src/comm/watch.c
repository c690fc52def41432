/* SPDX-License-Identifier: Apache-2.0 */
/* See watch.h. */
#include "comm/watch.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "comm/report.h"
#include "comm/roster.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LOOK_NS_MOST = 1000000000,
    NS_PER_MS = 1000000,
    COARSE_MS = 10000,        /* see wh_deadline_after_ms() */
    PRECISE_COUNT = 1 << 20, /* operations that take long enough for two precise clocks */
    ASK_MS_MOST = 2000,       /* how long a report waits for answers */
    STEP_MS = 100,            /* that a rank waits longer than the one below it before it asks */
    STEPS_MS_MOST = 5000,
    FIND_OUT_RANKS_MOST = 64,
    SAME_STALL_MS = 10000, /* reports about messages that are so close are about one stall */
};

struct wh_watch {
    /* Set by create. */
    uint64_t created_ns;
    uint64_t stall_ns; /* WH_NEVER: no reports */
    uint64_t step_ns;  /* what this rank waits longer than rank 0 */
    uint64_t look_ns;  /* a wait looks up so often: several times before a report */
    uint64_t ask_ms;
    struct wh_recorder *recorder;

    /* Any thread. */
    _Atomic uint64_t ncolls;   /* number of the last collective that was begun */
    /* A rank that reports stores reported_id and then reads asked_id, one that is asked stores
     * asked_id and then reads reported_id, all in one order: one of the two sees the other. */
    _Atomic uint64_t asked_id;    /* the record that was running when somebody asked */
    _Atomic uint64_t reported_id; /* the record whose stall this rank reports, or has reported */
    _Atomic uint64_t reported_ns;

    /* Whoever is on turn. */
    uint64_t noticed_id; /* the record whose stall this rank has dealt with, reported or not */

    /* Whoever is on turn; stop() when nobody is any more. */
    pthread_t reporter;
    bool has_reporter;
    int reporter_pid; /* a forked child does not have the thread */

    _Atomic bool is_reporting; /* set by whoever is on turn, cleared by the reporter */
    _Atomic uint64_t said_id;  /* the record whose stall is in the log; set by the reporter */

    /* Any thread, holding lock. */
    pthread_mutex_t lock;
    struct {
        uint64_t id; /* the record it belongs to; 0: none */
        char where[WH_STATUS_WHERE_NBYTES];
    } place;
    uint64_t report_id;       /* the record that `report` is about; 0: none */
    struct wh_report *report; /* NULL until there is one */
};

/* ---- life ----------------------------------------------------------------------------------- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

whorl_result_t wh_watch_create(struct whorl_comm *comm, uint64_t stall_ms)
{
    struct wh_watch *watch = calloc(1, sizeof(*watch));
    struct wh_recorder *recorder = wh_recorder_create();
    if (watch == NULL || recorder == NULL) {
        wh_recorder_destroy(recorder);
        free(watch);
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a flight recorder");
    }
    if (comm->timeout_ms > 0 && stall_ms > 0) {
        uint64_t half_ms = comm->timeout_ms / 2 > 0 ? comm->timeout_ms / 2 : 1;
        stall_ms = least(stall_ms, half_ms);
    }
    watch->created_ns = wh_now_ns();
    watch->stall_ns = stall_ms > 0 ? stall_ms * NS_PER_MS : WH_NEVER;
    watch->ask_ms = least(ASK_MS_MOST, stall_ms / 2 > 0 ? stall_ms / 2 : 1);
    uint64_t steps_ms = least((uint64_t)comm->rank * STEP_MS, STEPS_MS_MOST);
    watch->step_ns = least(steps_ms, stall_ms / 4) * NS_PER_MS;
    watch->look_ns = stall_ms > 0 ? least(LOOK_NS_MOST, watch->stall_ns / 4) : LOOK_NS_MOST;
    watch->recorder = recorder;
    pthread_mutex_init(&watch->lock, NULL);
    comm->watch = watch;
    return WHORL_OK;
}

static void join_reporter(struct wh_watch *watch)
{
    if (watch->has_reporter && watch->reporter_pid == getpid()) {
        pthread_join(watch->reporter, NULL);
    }
    watch->has_reporter = false;
}

void wh_watch_stop(struct whorl_comm *comm)
{
    if (comm->watch != NULL) {
        join_reporter(comm->watch);
    }
}

void wh_watch_destroy(struct whorl_comm *comm)
{
    struct wh_watch *watch = comm->watch;
    if (watch != NULL) {
        assert(!watch->has_reporter);
        pthread_mutex_destroy(&watch->lock);
        wh_recorder_destroy(watch->recorder);
        free(watch->report);
        free(watch);
        comm->watch = NULL;
    }
}

const struct wh_recorder *wh_watch_recorder(const struct whorl_comm *comm)
{
    return comm->watch->recorder;
}

/* ---- records -------------------------------------------------------------------------------- */

static struct wh_record_start start_of(const struct wh_call *call, const char *algo)
{
    return (struct wh_record_start){
        .seq = call->op.seq,
        .count = call->op.count,
        .algo = algo,
        .root = call->root,
        .coll = (uint8_t)call->coll,
        .dtype = (uint8_t)call->op.dtype,
        .redop = call->op.redop,
    };
}

static uint64_t ms_since(uint64_t then_ns)
{
    uint64_t now_ns = wh_now_ns();
    return now_ns > then_ns ? (now_ns - then_ns) / NS_PER_MS : 0;
}

static void put_record(const struct wh_record *record, struct wh_status *status)
{
    status->op = (struct wh_status_op){
        .seq = record->start.seq,
        .count = record->start.count,
        .root = record->start.root,
        .coll = record->start.coll,
        .dtype = record->start.dtype,
        .redop = record->start.redop,
    };
    snprintf(status->algo, sizeof(status->algo), "%s", record->start.algo);
    if (record->state == WH_RECORD_RUNNING) {
        status->state = WH_STATUS_INSIDE;
        status->for_ms = ms_since(record->start.started_ns);
    } else {
        status->state = WH_STATUS_OUTSIDE;
        status->for_ms =
            ms_since(record->ended_ns != 0 ? record->ended_ns : record->start.started_ns);
    }
}

/* The clock that an operation of so many elements, each at least a byte, can afford. */
static uint64_t now_for(uint64_t count)
{
    return count >= PRECISE_COUNT ? wh_now_ns() : wh_now_coarse_ns();
}

bool wh_watch_is_precise(const struct wh_record *record)
{
    return record->start.count >= PRECISE_COUNT;
}

uint64_t wh_watch_begin(struct whorl_comm *comm, const struct wh_call *call, const char *algo,
                        uint64_t submitted_ns)
{
    struct wh_watch *watch = comm->watch;
    struct wh_record_start start = start_of(call, algo);
    start.started_ns = now_for(start.count);
    start.submitted_ns = submitted_ns != 0 ? submitted_ns : start.started_ns;
    if (call->coll != WH_COLL_SEND && call->coll != WH_COLL_RECV) {
        atomic_store_explicit(&watch->ncolls, call->op.seq, memory_order_release);
    }
    return wh_recorder_begin(watch->recorder, &start);
}

void wh_watch_end_at_once(struct whorl_comm *comm, const struct wh_call *call, uint64_t id,
                          whorl_result_t rc)
{
    uint64_t now_ns = call->op.count >= PRECISE_COUNT ? wh_now_ns() : 0;
    wh_recorder_end(comm->watch->recorder, id, rc, now_ns);
}

/* The operation that was reported to stall has ended after all. */
static void say_over(struct whorl_comm *comm, uint64_t id)
{
    struct wh_record record;
    struct wh_status status;
    char call[256], when[48];
    if (wh_recorder_read(comm->watch->recorder, id, &record)) {
        put_record(&record, &status);
        wh_log(WH_LOG_WARN, WH_SUBSYS_COLL, "stall is over: %s has ended after %s",
               wh_status_print_op(&status.op, call, sizeof(call)),
               wh_status_print_ms(ms_since(record.start.started_ns), when, sizeof(when)));
    }
}

void wh_watch_end(struct whorl_comm *comm, const struct wh_call *call, uint64_t id,
                  whorl_result_t rc)
{
    struct wh_watch *watch = comm->watch;
    wh_recorder_end(watch->recorder, id, rc, now_for(call->op.count));
    if (id == atomic_load_explicit(&watch->said_id, memory_order_relaxed) && rc == WHORL_OK) {
        say_over(comm, id);
    }
}

/* ---- status --------------------------------------------------------------------------------- */

/* The same, and the id of the record that status is about; 0: none. */
static uint64_t read_status(struct whorl_comm *comm, struct wh_status *status)
{
    struct wh_watch *watch = comm->watch;
    struct wh_record record = {.id = 0};
    *status = (struct wh_status){
        .state = WH_STATUS_IDLE,
        .for_ms = ms_since(watch->created_ns),
        .ncolls = atomic_load_explicit(&watch->ncolls, memory_order_acquire),
        .failure = atomic_load_explicit(&comm->failure.stop, memory_order_acquire),
        .reports_ms = WH_STATUS_NO_REPORT,
    };
    if (wh_recorder_running(watch->recorder, &record) ||
        wh_recorder_read(watch->recorder, wh_recorder_last(watch->recorder), &record)) {
        put_record(&record, status);
    }
    pthread_mutex_lock(&comm->text_lock);
    status->nqueued = comm->nqueued;
    pthread_mutex_unlock(&comm->text_lock);
    pthread_mutex_lock(&watch->lock);
    if (status->state == WH_STATUS_INSIDE && watch->place.id == record.id) {
        memcpy(status->where, watch->place.where, sizeof(status->where));
    }
    pthread_mutex_unlock(&watch->lock);
    return record.id;
}

void wh_watch_status(struct whorl_comm *comm, struct wh_status *status_out)
{
    (void)read_status(comm, status_out);
}

void wh_watch_on_status(void *ctx, uint8_t status_out[WH_STATUS_NBYTES])
{
    struct whorl_comm *comm = ctx;
    struct wh_status status;
    struct wh_watch *watch = comm->watch;
    uint64_t id = read_status(comm, &status);
    if (status.state == WH_STATUS_INSIDE) {
        atomic_store(&watch->asked_id, id);
        if (atomic_load(&watch->reported_id) == id) {
            uint64_t ms = ms_since(atomic_load(&watch->reported_ns));
            status.reports_ms = (uint32_t)least(ms, WH_STATUS_NO_REPORT - 1);
        }
    } else {
        wh_roster_describe_others(comm, status.other, sizeof(status.other));
    }
    wh_status_encode(&status, status_out);
}

/* ---- reports -------------------------------------------------------------------------------- */

/* Does a lower rank report this stall? */
static bool is_left_to_others(const struct whorl_comm *comm, const struct wh_status *statuses)
{
    const struct wh_status_op *mine = &statuses[comm->rank].op;
    for (uint32_t r = 0; r < comm->rank; r++) {
        const struct wh_status *s = &statuses[r];
        bool is_same = s->op.seq == mine->seq && s->op.coll == mine->coll &&
                       !wh_coll_is_p2p((enum wh_coll)mine->coll);
        if (s->state == WH_STATUS_INSIDE && s->reports_ms != WH_STATUS_NO_REPORT &&
            (is_same || s->reports_ms < SAME_STALL_MS)) {
            return true;
        }
    }
    return false;
}

/* Asks everyone and writes the report. `id` is the record that stalls here. WHORL_IN_PROGRESS:
 * there is nothing to report, *why_out says why; NULL: what others report is no reason. */
static whorl_result_t gather(struct whorl_comm *comm, uint64_t id, struct wh_report *report,
                             const char **why_out)
{
    struct wh_watch *watch = comm->watch;
    uint8_t *bytes = calloc(comm->nranks, WH_STATUS_NBYTES);
    bool *answered = calloc(comm->nranks, sizeof(*answered));
    struct wh_status *statuses = calloc(comm->nranks, sizeof(*statuses));
    whorl_result_t rc = WHORL_E_NOMEM;
    if (bytes != NULL && answered != NULL && statuses != NULL) {
        rc = wh_boot_ask(comm->boot, bytes, answered, wh_deadline_after_ms(watch->ask_ms));
    }
    struct wh_record record;
    if (rc == WHORL_OK && (!wh_recorder_read(watch->recorder, id, &record) ||
                           record.state != WH_RECORD_RUNNING)) {
        rc = WHORL_IN_PROGRESS;
    }
    if (rc == WHORL_OK) {
        for (uint32_t r = 0; r < comm->nranks; r++) {
            if (answered[r]) {
                wh_status_decode(bytes + (size_t)r * WH_STATUS_NBYTES, &statuses[r]);
            }
        }
        (void)read_status(comm, &statuses[comm->rank]);
        put_record(&record, &statuses[comm->rank]);
        if (why_out != NULL && is_left_to_others(comm, statuses)) {
            rc = WHORL_IN_PROGRESS;
            *why_out = "a lower rank reports";
        }
    }
    if (rc == WHORL_OK) {
        struct wh_report_input in = {comm->name,    comm->rank, comm->nranks,
                                     comm->members, statuses,   watch->ask_ms};
        rc = wh_report_write(&in, report);
    }
    free(statuses);
    free(answered);
    free(bytes);
    return rc;
}

static void keep_report(struct wh_watch *watch, struct wh_report *report, uint64_t id)
{
    pthread_mutex_lock(&watch->lock);
    struct wh_report *before = watch->report;
    watch->report = report;
    watch->report_id = id;
    pthread_mutex_unlock(&watch->lock);
    free(before);
}

static void report_stall(struct whorl_comm *comm, uint64_t id)
{
    struct wh_watch *watch = comm->watch;
    struct wh_report *report = calloc(1, sizeof(*report));
    const char *why = "the operation has ended";
    whorl_result_t rc = report != NULL ? gather(comm, id, report, &why) : WHORL_E_NOMEM;
    if (rc != WHORL_OK) {
        wh_log(rc == WHORL_IN_PROGRESS ? WH_LOG_INFO : WH_LOG_WARN, WH_SUBSYS_COLL,
               "stall: no report from here: %s",
               rc == WHORL_IN_PROGRESS ? why : whorl_result_str(rc));
        free(report);
        return;
    }
    atomic_store_explicit(&watch->said_id, id, memory_order_relaxed);
    for (uint32_t i = 0; i < report->nlines; i++) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_COLL, "%s", report->lines[i]);
    }
    keep_report(watch, report, id);
}

static void *report_main(void *arg)
{
    struct whorl_comm *comm = arg;
    wh_log_set_rank((int)comm->rank);
    report_stall(comm, atomic_load(&comm->watch->reported_id));
    atomic_store_explicit(&comm->watch->is_reporting, false, memory_order_release);
    return NULL;
}

/* The reporter before this one has ended. */
static void start_report(struct whorl_comm *comm)
{
    struct wh_watch *watch = comm->watch;
    join_reporter(watch);
    atomic_store_explicit(&watch->is_reporting, true, memory_order_relaxed);
    int error = wh_thread_start(&watch->reporter, report_main, comm);
    watch->has_reporter = error == 0;
    watch->reporter_pid = getpid();
    if (error != 0) {
        atomic_store_explicit(&watch->is_reporting, false, memory_order_relaxed);
        wh_log(WH_LOG_WARN, WH_SUBSYS_COLL, "stall: no thread to gather a report: %s",
               strerror(error));
    }
}

/* This rank has left the report to another one, and now it is the first to end in an error: it asks
 * for itself. Not where so many might do that at the same time that it would be a burden. */
static void find_out(struct whorl_comm *comm, uint64_t id)
{
    struct wh_watch *watch = comm->watch;
    if (watch->noticed_id != id || atomic_load(&watch->reported_id) == id ||
        comm->nranks > FIND_OUT_RANKS_MOST) {
        return;
    }
    struct wh_report *report = calloc(1, sizeof(*report));
    if (report != NULL && gather(comm, id, report, NULL) == WHORL_OK) {
        keep_report(watch, report, id);
    } else {
        free(report);
    }
}

const char *wh_watch_finding(struct whorl_comm *comm, uint64_t id, char *text, size_t text_nbytes)
{
    struct wh_watch *watch = comm->watch;
    text[0] = '\0';
    if (id != 0) {
        find_out(comm, id);
    }
    pthread_mutex_lock(&watch->lock);
    if (id != 0 && watch->report_id == id && watch->report->finding[0] != '\0') {
        snprintf(text, text_nbytes, "; %s", watch->report->finding);
    }
    pthread_mutex_unlock(&watch->lock);
    return text;
}

void wh_watch_report_lines(struct whorl_comm *comm, void (*put)(void *ctx, const char *line),
                           void *ctx)
{
    struct wh_watch *watch = comm->watch;
    pthread_mutex_lock(&watch->lock);
    for (uint32_t i = 0; watch->report != NULL && i < watch->report->nlines; i++) {
        put(ctx, watch->report->lines[i]);
    }
    pthread_mutex_unlock(&watch->lock);
}

/* ---- looking up ----------------------------------------------------------------------------- */

uint64_t wh_watch_first_look(const struct whorl_comm *comm, uint64_t deadline_ns)
{
    uint64_t first_ns = comm->watch->look_ns;
    if (comm->timeout_ms >= COARSE_MS && deadline_ns != WH_NEVER) {
        return deadline_ns - comm->timeout_ms * NS_PER_MS + first_ns;
    }
    return wh_now_coarse_ns() + first_ns;
}

static void publish(struct wh_watch *watch, uint64_t id, const char *where)
{
    pthread_mutex_lock(&watch->lock);
    watch->place.id = id;
    snprintf(watch->place.where, sizeof(watch->place.where), "%s", where);
    pthread_mutex_unlock(&watch->lock);
}

uint64_t wh_watch_look(struct whorl_comm *comm, uint64_t id, const char *where)
{
    struct wh_watch *watch = comm->watch;
    struct wh_record record;
    uint64_t now_ns = wh_now_ns();
    uint64_t next_ns = now_ns + watch->look_ns;
    if (!wh_recorder_read(watch->recorder, id, &record)) {
        return next_ns;
    }
    publish(watch, id, where);
    if (watch->stall_ns == WH_NEVER || watch->noticed_id == id ||
        atomic_load_explicit(&watch->is_reporting, memory_order_acquire)) {
        return next_ns;
    }
    uint64_t due_ns = record.start.started_ns + watch->stall_ns + watch->step_ns;
    if (now_ns < due_ns) {
        return least(next_ns, due_ns);
    }
    watch->noticed_id = id;
    atomic_store(&watch->reported_ns, now_ns);
    atomic_store(&watch->reported_id, id);
    if (atomic_load(&watch->asked_id) != id) {
        start_report(comm);
    } else {
        atomic_store(&watch->reported_id, 0); /* somebody else does */
    }
    return next_ns;
}
