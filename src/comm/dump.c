/* SPDX-License-Identifier: Apache-2.0 */
/* See dump.h. */
#include "comm/dump.h"

#include "base/clock.h"
#include "base/log.h"
#include "comm/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FORMAT = 1, NS_PER_US = 1000 };

/* ---- the document --------------------------------------------------------------------------- */

/* What has to be added to the monotonic clock to get the time of day. */
static uint64_t epoch_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec - wh_now_ns();
}

static void put_time(struct wh_json *json, const char *name, uint64_t ns, uint64_t epoch)
{
    if (ns == 0) {
        wh_json_null(json, name);
    } else {
        wh_json_count(json, name, (ns + epoch) / NS_PER_US);
    }
}

/* Which call it was; name, arguments, size. */
static void put_call(struct wh_json *json, const struct wh_status_op *op)
{
    bool known = op->coll < WH_NCOLLS;
    enum wh_coll coll = known ? (enum wh_coll)op->coll : WH_COLL_BARRIER;
    wh_json_text(json, "operation", known ? wh_coll_str(coll) : NULL);
    wh_json_count(json, "seq", op->seq);
    wh_json_count(json, "count", op->count);
    wh_json_text(json, "dtype", whorl_dtype_str((whorl_dtype_t)op->dtype));
    wh_json_count(json, "nbytes", op->count * whorl_dtype_nbytes((whorl_dtype_t)op->dtype));
    if (op->redop < WHORL_REDOP_COUNT) {
        wh_json_text(json, "redop", whorl_redop_str(op->redop));
    } else if (op->redop == WH_REDOP_PREMUL_SUM || op->redop == WH_REDOP_USER) {
        wh_json_text(json, "redop", op->redop == WH_REDOP_USER ? "user" : "premulsum");
    } else if (op->redop >= WH_REDOP_PART_OF && op->redop < WH_REDOP_PART_OF + WH_NCOLLS) {
        wh_json_text(json, "part_of", wh_coll_str((enum wh_coll)(op->redop - WH_REDOP_PART_OF)));
    }
    if (known && wh_coll_has_root(coll)) {
        wh_json_count(json, wh_coll_is_p2p(coll) ? "peer" : "root", op->root);
    }
}

static void put_result(struct wh_json *json, const char *name, int32_t rc)
{
    wh_json_open_row(json, name);
    wh_json_int(json, "code", rc);
    wh_json_text(json, "text", whorl_result_str((whorl_result_t)rc));
    wh_json_close(json);
}

static void put_operation(struct wh_json *json, const struct wh_record *record, uint64_t epoch)
{
    const struct wh_record_start *start = &record->start;
    const struct wh_status_op op = {.seq = start->seq,
                                    .count = start->count,
                                    .root = start->root,
                                    .coll = start->coll,
                                    .dtype = start->dtype,
                                    .redop = start->redop};
    wh_json_open_row(json, NULL);
    wh_json_count(json, "id", record->id);
    put_call(json, &op);
    wh_json_text(json, "algorithm", start->algo);
    wh_json_text(json, "state", record->state == WH_RECORD_RUNNING ? "running" : "ended");
    if (record->state == WH_RECORD_ENDED) {
        put_result(json, "result", record->result);
    }
    put_time(json, "submitted_us", start->submitted_ns, epoch);
    put_time(json, "started_us", start->started_ns, epoch);
    put_time(json, "ended_us", record->ended_ns, epoch);
    wh_json_flag(json, "precise", wh_watch_is_precise(record));
    wh_json_close(json);
}

static void put_operations(struct wh_json *json, const struct whorl_comm *comm)
{
    const struct wh_recorder *recorder = wh_watch_recorder(comm);
    uint64_t epoch = epoch_ns();
    uint64_t last = wh_recorder_last(recorder);
    wh_json_count(json, "noperations", last);
    wh_json_open_array(json, "operations");
    for (uint64_t id = last > WH_RECORDS ? last - WH_RECORDS + 1 : 1; id <= last; id++) {
        struct wh_record record;
        if (wh_recorder_read(recorder, id, &record)) {
            put_operation(json, &record, epoch);
        }
    }
    wh_json_close(json);
}

static void put_failure(struct wh_json *json, const struct whorl_comm *comm)
{
    int32_t stop = atomic_load_explicit(&comm->failure.stop, memory_order_acquire);
    if (stop == 0) {
        wh_json_null(json, "failure");
        return;
    }
    wh_json_open_object(json, "failure");
    put_result(json, "result", stop);
    wh_json_text(json, "text", comm->failure.text);
    wh_json_close(json);
}

static void put_waiting(struct wh_json *json, struct whorl_comm *comm)
{
    struct wh_status status;
    wh_watch_status(comm, &status);
    wh_json_count(json, "nqueued", status.nqueued);
    if (status.state != WH_STATUS_INSIDE) {
        wh_json_null(json, "waiting");
        return;
    }
    wh_json_open_object(json, "waiting");
    put_call(json, &status.op);
    wh_json_text(json, "algorithm", status.algo);
    wh_json_count(json, "for_ms", status.for_ms);
    wh_json_text(json, "where", status.where[0] != '\0' ? status.where : NULL);
    wh_json_close(json);
}

static void put_line(void *ctx, const char *line)
{
    wh_json_text(ctx, NULL, line);
}

static void put_members(struct wh_json *json, const struct whorl_comm *comm)
{
    wh_json_open_array(json, "members");
    for (uint32_t r = 0; r < comm->nranks; r++) {
        wh_json_open_row(json, NULL);
        wh_json_count(json, "rank", r);
        wh_json_text(json, "host", comm->members[r].host);
        wh_json_count(json, "pid", comm->members[r].pid);
        wh_json_close(json);
    }
    wh_json_close(json);
}

bool wh_dump_write(struct whorl_comm *comm, wh_json_put_fn put, void *ctx)
{
    struct wh_json json;
    char when[32];
    time_t now = time(NULL);
    struct tm parts;
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));

    wh_json_init(&json, put, ctx);
    wh_json_text(&json, "library", WHORL_VERSION_STRING);
    wh_json_count(&json, "format", FORMAT);
    wh_json_text(&json, "written", when);
    wh_json_text(&json, "communicator", comm->name);
    wh_json_count(&json, "rank", comm->rank);
    wh_json_count(&json, "nranks", comm->nranks);
    wh_json_text(&json, "host", comm->members[comm->rank].host);
    wh_json_count(&json, "pid", comm->members[comm->rank].pid);
    put_failure(&json, comm);
    put_waiting(&json, comm);
    wh_json_open_array(&json, "stall_report");
    wh_watch_report_lines(comm, put_line, &json);
    wh_json_close(&json);
    put_members(&json, comm);
    put_operations(&json, comm);
    return wh_json_fini(&json);
}

/* ---- files ---------------------------------------------------------------------------------- */

static bool put_to_fd(void *ctx, const char *bytes, size_t nbytes)
{
    int fd = *(int *)ctx;
    while (nbytes > 0) {
        ssize_t wrote = write(fd, bytes, nbytes);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote <= 0) {
            return false;
        }
        bytes += wrote;
        nbytes -= (size_t)wrote;
    }
    return true;
}

whorl_result_t wh_dump_to_file(struct whorl_comm *comm, const char *path)
{
    char part[PATH_MAX];
    if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part)) {
        errno = ENAMETOOLONG;
        return wh_fail_sys(WH_SUBSYS_COLL, "flight record %.100s...", path);
    }
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        return wh_fail_sys(WH_SUBSYS_COLL, "flight record: open %s", part);
    }
    bool written = wh_dump_write(comm, put_to_fd, &fd);
    int error = written ? 0 : errno;
    if (close(fd) != 0 && written) {
        written = false;
        error = errno;
    }
    if (written && rename(part, path) == 0) {
        return WHORL_OK;
    }
    error = error != 0 ? error : errno;
    unlink(part);
    errno = error;
    return wh_fail_sys(WH_SUBSYS_COLL, "flight record: write %s", path);
}

/* ---- on failure, on a signal ---------------------------------------------------------------- */

/* The folder for records; "" if there is none. */
static const char *folder(void)
{
    const struct wh_config *config;
    return wh_config_get(&config) == WHORL_OK ? config->dump_dir : "";
}

static void dump_to_folder(struct whorl_comm *comm, const char *why)
{
    static _Atomic uint32_t nfiles;
    char path[PATH_MAX];
    char before[WH_FAILURE_NBYTES];
    snprintf(before, sizeof(before), "%s", wh_error_get()); /* a full disk is not the failure */
    uint32_t number = atomic_fetch_add_explicit(&nfiles, 1, memory_order_relaxed) + 1;
    snprintf(path, sizeof(path), "%s/whorl-%s-%u-rank%u-%u.json", folder(), wh_host_name(),
             (unsigned)getpid(), comm->rank, number);
    if (wh_dump_to_file(comm, path) == WHORL_OK) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_COLL, "flight record of communicator%s%s (%s): %s",
               comm->name[0] != '\0' ? " " : "", comm->name, why, path);
    }
    wh_error_set(before);
}

void wh_dump_on_failure(struct whorl_comm *comm)
{
    if (atomic_load_explicit(&comm->failure.stop, memory_order_acquire) == 0 ||
        folder()[0] == '\0') {
        return;
    }
    pthread_mutex_lock(&comm->dump_lock);
    if (!comm->is_dumped) {
        comm->is_dumped = true;
        dump_to_folder(comm, "it has failed");
    }
    pthread_mutex_unlock(&comm->dump_lock);
}

void wh_dump_on_signal(struct whorl_comm *comm)
{
    if (folder()[0] != '\0') {
        dump_to_folder(comm, "SIGUSR2");
        return;
    }
    struct wh_status s;
    char call[256], when[48];
    wh_watch_status(comm, &s);
    wh_log(WH_LOG_WARN, WH_SUBSYS_COLL,
           "SIGUSR2: communicator%s%s, rank %u of %u: %s %s for %s%s%s (with WHORL_DUMP_DIR set, "
           "its flight record would be written there)",
           comm->name[0] != '\0' ? " " : "", comm->name, comm->rank, comm->nranks,
           s.state == WH_STATUS_INSIDE ? "in" : "outside of any call since",
           s.state == WH_STATUS_IDLE ? "its creation"
                                     : wh_status_print_op(&s.op, call, sizeof(call)),
           wh_status_print_ms(s.for_ms, when, sizeof(when)), s.where[0] != '\0' ? ", " : "",
           s.where);
}
