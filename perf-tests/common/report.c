/* SPDX-License-Identifier: Apache-2.0 */
#include "common/report.h"

#include "common/failure.h"
#include "common/timing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool needs_rows(const struct perf_args *args)
{
    return args->json_path[0] != '\0' || args->benchmark_path[0] != '\0' || args->benchmark_stdout;
}

void perf_report_start(struct perf_report *report)
{
    perf_timestamp_iso(report->start_time, sizeof(report->start_time));
    if (!report->args->benchmark_stdout) {
        perf_text_header(report, stdout);
    }
    fflush(stdout);
}

void perf_report_skip(struct perf_report *report, int nranks)
{
    fprintf(report->args->benchmark_stdout ? stderr : stdout,
            "# nRanks %d is not a power of 2, skipping\n", nranks);
}

static void erase_progress(struct perf_report *report)
{
    if (report->is_progress_shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        report->is_progress_shown = false;
    }
}

void perf_report_progress(struct perf_report *report, const struct perf_row *row, int in_place)
{
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    erase_progress(report);
    if (report->rows_planned > 0) {
        double halves = 2.0 * (double)report->rows_done + in_place;
        fprintf(stderr, "%3.0f%%  ", 50.0 * halves / (double)report->rows_planned);
    }
    fprintf(stderr, "%zu bytes  %s  %s  %s", row->nbytes, row->type, row->op,
            in_place ? "in place" : "out of place");
    fflush(stderr);
    report->is_progress_shown = true;
}

static int keep_row(struct perf_report *report, const struct perf_row *row)
{
    if (report->nrows == report->rows_capacity) {
        size_t capacity = report->rows_capacity > 0 ? 2 * report->rows_capacity : 64;
        struct perf_row *rows = realloc(report->rows, capacity * sizeof(*rows));
        if (rows == NULL) {
            return perf_fail("no memory for %zu rows", capacity);
        }
        report->rows = rows;
        report->rows_capacity = capacity;
    }
    report->rows[report->nrows++] = *row;
    return PERF_OK;
}

static void free_samples(struct perf_row *row)
{
    free(row->half[0].iter_us);
    free(row->half[1].iter_us);
}

int perf_report_row(struct perf_report *report, struct perf_row *row)
{
    erase_progress(report);
    for (int i = 0; i < 2; i++) {
        report->nwrong += row->half[i].nwrong;
        report->busbw_sum += row->half[i].busbw;
        report->nhalves += row->half[i].is_run ? 1 : 0;
    }
    report->rows_done++;
    if (!report->args->benchmark_stdout) {
        perf_text_row(report, row, stdout);
        fflush(stdout);
    }

    int status = needs_rows(report->args) ? keep_row(report, row) : PERF_OK;
    if (!needs_rows(report->args) || status != PERF_OK) {
        free_samples(row);
    }
    return status;
}

double perf_report_mean_busbw(const struct perf_report *report)
{
    return report->nhalves > 0 ? report->busbw_sum / (double)report->nhalves : 0;
}

int perf_report_bandwidth_ok(const struct perf_report *report)
{
    double wanted = report->args->env.min_bandwidth;
    if (wanted < 0) {
        return -1;
    }
    return perf_report_mean_busbw(report) >= 0.9 * wanted;
}

/* Opens path for writing; if it exists, path.0, path.1 and so on: nothing is overwritten. */
static FILE *open_new(const char *path)
{
    char name[4096];
    FILE *file = fopen(path, "wxe");

    for (int i = 0; file == NULL && errno == EEXIST && i < 10000; i++) {
        snprintf(name, sizeof(name), "%s.%d", path, i);
        file = fopen(name, "wxe");
    }
    return file;
}

/* Writes one report to file and closes it. path is for the message. */
static int write_file(const struct perf_report *report, const char *path, FILE *file,
                      void (*write)(const struct perf_report *report, FILE *out))
{
    if (file == NULL) {
        return perf_fail("cannot write %s: %s", path, strerror(errno));
    }
    write(report, file);
    bool has_failed = ferror(file) != 0;
    has_failed = fclose(file) != 0 || has_failed;
    return has_failed ? perf_fail("writing %s: %s", path, strerror(errno)) : PERF_OK;
}

int perf_report_end(struct perf_report *report, int status)
{
    const struct perf_args *args = report->args;
    bool is_complete = status == PERF_OK || status == PERF_E_WRONG;

    erase_progress(report);
    perf_timestamp_iso(report->end_time, sizeof(report->end_time));
    if (is_complete && (report->nwrong > 0 || perf_report_bandwidth_ok(report) == 0)) {
        status = PERF_E_WRONG;
    }
    report->status = status;

    if (args->benchmark_stdout) {
        perf_benchmark_report(report, stdout);
    } else if (is_complete) {
        perf_text_footer(report, stdout);
    }
    int file_status = PERF_OK;
    if (args->json_path[0] != '\0') {
        file_status =
            write_file(report, args->json_path, open_new(args->json_path), perf_json_report);
    }
    if (args->benchmark_path[0] != '\0' && file_status == PERF_OK) {
        file_status = write_file(report, args->benchmark_path, fopen(args->benchmark_path, "we"),
                                 perf_benchmark_report);
    }

    for (size_t i = 0; i < report->nrows; i++) {
        free_samples(&report->rows[i]);
    }
    free(report->rows);
    report->rows = NULL;
    report->nrows = 0;
    fflush(stdout);
    return status != PERF_OK ? status : file_status;
}
