/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run has to tell: devices, rows, totals. One thread of one process fills it; the writers
 * below turn it into nccl-tests' table, nccl-tests' JSON or Google Benchmark's JSON.
 */
#ifndef PERF_COMMON_REPORT_H
#define PERF_COMMON_REPORT_H

#include "common/args.h"
#include "common/stats.h"
#include "perf.h"

#include <stdio.h>

enum { PERF_HOST_NBYTES = 64, PERF_BOOT_NBYTES = 40, PERF_TIME_NBYTES = 32 };

/** Who a team is. Sent between processes as it is, so all run the same program. */
struct perf_identity {
    int32_t first_rank, nranks, group_nranks, color, pid, thread;
    uint64_t memory_nbytes; /**< what its host can still give */
    char host[PERF_HOST_NBYTES];
    char boot[PERF_BOOT_NBYTES]; /**< names this run of its host's kernel; "": unknown */
};

/** One half of a row: out of place or in place. Times are per operation. */
struct perf_half {
    double time_us, cpu_us;
    double algbw, busbw; /**< in 1e9 bytes per second */
    bool is_run;         /**< false: there is no such call, and nothing here is a measurement */
    bool is_checked;
    uint64_t nwrong;
    struct perf_stats iters; /**< with --per_iter_timing: over iterations */
    double *iter_us;         /**< the sample behind it, unsorted; owned by the row; or NULL */
    size_t niters;
};

struct perf_row {
    size_t nbytes, count;
    const char *type, *op;
    int root; /**< -1: none */
    int cycle;
    struct perf_half half[2]; /**< out of place, in place */
    char timestamp[PERF_TIME_NBYTES];
};

struct perf_report {
    const struct perf_args *args;
    const struct perf_coll *coll;
    const char *launcher;
    int nprocs;
    size_t max_nbytes;
    struct perf_identity *teams; /**< nteams of them; the caller's */
    int nteams;
    struct perf_row *rows; /**< kept only when a JSON writer needs them */
    size_t nrows, rows_capacity;
    uint64_t nwrong;
    double busbw_sum;
    size_t nhalves;
    size_t rows_done, rows_planned; /**< for the progress line; planned 0: unknown */
    bool is_progress_shown;
    int status; /**< of the run, when it ends */
    char start_time[PERF_TIME_NBYTES], end_time[PERF_TIME_NBYTES];
};

/** Starts telling: prints the header. args, coll, launcher, nprocs, max_nbytes, teams are set. */
void perf_report_start(struct perf_report *report);

/** Says that a group of nranks ranks is none that the collective runs on. */
void perf_report_skip(struct perf_report *report, int nranks);

/** Says on a terminal what is being measured; nothing elsewhere. */
void perf_report_progress(struct perf_report *report, const struct perf_row *row, int in_place);

/** Tells a finished row. Takes over row's samples. PERF_OK or PERF_E_INTERNAL. */
int perf_report_row(struct perf_report *report, struct perf_row *row);

/**
 * Prints the footer and writes the JSON files that were asked for; frees the rows.
 *
 * status is how the run went so far. Returns it, or PERF_E_WRONG when results are wrong or too
 * slow, or PERF_E_INTERNAL when a file could not be written.
 */
int perf_report_end(struct perf_report *report, int status);

/** Mean bus bandwidth of all halves that were run, 0 without any. */
double perf_report_mean_busbw(const struct perf_report *report);

/** 1: as fast as asked for, 0: slower, -1: nothing was asked for. */
int perf_report_bandwidth_ok(const struct perf_report *report);

/* ---- the table (report_text.c) ---- */

/**
 * Writes value in at most width characters if possible: two decimals, one, none, then scientific.
 */
void perf_text_number(double value, int width, char *text, size_t text_nbytes);

void perf_text_header(const struct perf_report *report, FILE *out);
void perf_text_row(const struct perf_report *report, const struct perf_row *row, FILE *out);
void perf_text_footer(const struct perf_report *report, FILE *out);

/* ---- JSON ---- */

/** nccl-tests' schema (report_json.c). */
void perf_json_report(const struct perf_report *report, FILE *out);

/** Google Benchmark's schema (report_benchmark.c). */
void perf_benchmark_report(const struct perf_report *report, FILE *out);

#endif
