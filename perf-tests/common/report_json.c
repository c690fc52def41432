/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON of nccl-tests' -J, version 3. Keys that name NCCL or GPUs keep their names, because
 * programs read them; what stands behind them is Whorl's version and host memory.
 */
#include "common/json.h"
#include "common/report.h"

#include <stdio.h>
#include <string.h>

/* This schema has its booleans as text. */
static void write_flag(struct perf_json *json, const char *key, bool value)
{
    perf_json_string(json, key, value ? "true" : "false");
}

/* Variables of Whorl and NCCL, but for secrets. */
static void write_variables(const struct perf_report *report, struct perf_json *json)
{
    perf_json_open_array(json, "env");
    for (char **next = report->args->env.variables; *next != NULL; next++) {
        bool is_ours = strncmp(*next, "WHORL_", 6) == 0 || strncmp(*next, "NCCL_", 5) == 0;
        const char *end = strchr(*next, '=');
        const char *secret = strstr(*next, "SECRET");
        if (is_ours && (secret == NULL || end == NULL || secret > end)) {
            perf_json_string(json, NULL, *next);
        }
    }
    perf_json_close_array(json);
}

static void write_devices(const struct perf_report *report, struct perf_json *json)
{
    perf_json_open_array(json, "devices");
    for (int i = 0; i < report->nteams; i++) {
        const struct perf_identity *team = &report->teams[i];
        for (int k = 0; k < team->nranks; k++) {
            perf_json_open_object(json, NULL);
            perf_json_int(json, "rank", team->first_rank + k);
            perf_json_int(json, "group", team->color);
            perf_json_int(json, "pid", team->pid);
            perf_json_string(json, "hostname", team->host);
            perf_json_int(json, "device", team->thread * team->nranks + k);
            perf_json_string(json, "device_hex", "host");
            perf_json_string(json, "device_info", "host memory");
            perf_json_close_object(json);
        }
    }
    perf_json_close_array(json);
}

static void write_config(const struct perf_report *report, struct perf_json *json)
{
    const struct perf_args *args = report->args;

    perf_json_open_object(json, "config");
    perf_json_int(json, "nprocs", report->nprocs);
    perf_json_string(json, "launcher", report->launcher);
    perf_json_int(json, "nthreads", args->nthreads);
    perf_json_int(json, "ngpus", args->nranks_per_thread);
    perf_json_int(json, "minimum_bytes", (int64_t)args->min_nbytes);
    perf_json_int(json, "maximum_bytes", (int64_t)report->max_nbytes);
    if (args->step_factor > 1) {
        perf_json_int(json, "step_factor", args->step_factor);
    } else {
        perf_json_int(json, "step_bytes", (int64_t)args->step_nbytes);
    }
    perf_json_int(json, "warmup_iters", args->warmup_iters);
    perf_json_int(json, "iterations", args->iters);
    perf_json_int(json, "aggregated_iterations", args->agg_iters);
    perf_json_int(json, "validation", args->check_iters);
    perf_json_int(json, "graph", 0);
    perf_json_int(json, "blocking_collectives", args->blocking);
    write_flag(json, "per_iter_timing", args->per_iter != 0);
    perf_json_int(json, "per_iter_skip", args->per_iter_skip);
    write_flag(json, "parallel_init", args->parallel_init != 0);
    perf_json_int(json, "local_register", args->local_register);
    write_devices(report, json);
    perf_json_close_object(json);
}

static void write_half(const struct perf_report *report, const struct perf_half *half,
                       const char *key, struct perf_json *json)
{
    perf_json_open_object(json, key);
    if (report->args->report_cputime) {
        perf_json_number(json, "cpu_time", half->cpu_us);
    } else {
        perf_json_number(json, "time", half->time_us);
    }
    perf_json_number(json, "alg_bw", half->algbw);
    perf_json_number(json, "bus_bw", half->busbw);
    if (half->is_checked) {
        perf_json_int(json, "nwrong", (int64_t)half->nwrong);
    } else {
        perf_json_null(json, "nwrong");
    }
    perf_json_close_object(json);
}

static void write_iters(const struct perf_report *report, const struct perf_half *half,
                        const char *key, struct perf_json *json)
{
    const struct perf_stats *stats = &half->iters;

    perf_json_open_object(json, key);
    perf_json_int(json, "skipped_iterations", report->args->per_iter_skip);
    perf_json_number(json, "min_us", stats->min);
    perf_json_number(json, "max_us", stats->max);
    perf_json_number(json, "avg_us", stats->mean);
    perf_json_number(json, "p50", stats->p50);
    perf_json_number(json, "p95", stats->p95);
    perf_json_number(json, "p99", stats->p99);
    perf_json_number(json, "stdev_us", stats->stdev);
    perf_json_number(json, "cv_pct", stats->cv_percent);
    perf_json_open_array(json, "times_us");
    for (size_t i = 0; i < half->niters; i++) {
        perf_json_number(json, NULL, half->iter_us[i]);
    }
    perf_json_close_array(json);
    perf_json_close_object(json);
}

static void write_row(const struct perf_report *report, const struct perf_row *row,
                      struct perf_json *json)
{
    char root[16];
    snprintf(root, sizeof(root), "%6d", row->root);

    perf_json_open_object(json, NULL);
    perf_json_int(json, "size", (int64_t)row->nbytes);
    perf_json_int(json, "count", (int64_t)row->count);
    perf_json_string(json, "type", row->type);
    perf_json_string(json, "redop", row->op);
    perf_json_string(json, "root", root);
    write_half(report, &row->half[0], "out_of_place", json);
    if (report->args->per_iter) {
        write_iters(report, &row->half[0], "out_of_place_per_iter", json);
    }
    write_half(report, &row->half[1], "in_place", json);
    if (report->args->per_iter) {
        write_iters(report, &row->half[1], "in_place_per_iter", json);
    }
    perf_json_int(json, "actual_iterations", report->args->iters);
    perf_json_string(json, "experiment_name", report->coll->title);
    if (report->args->report_timestamps) {
        perf_json_string(json, "timestamp", row->timestamp);
    }
    perf_json_close_object(json);
}

static void write_totals(const struct perf_report *report, struct perf_json *json)
{
    int bandwidth_ok = perf_report_bandwidth_ok(report);

    perf_json_open_object(json, "out_of_bounds");
    perf_json_int(json, "count", (int64_t)report->nwrong);
    write_flag(json, "okay", report->nwrong == 0);
    perf_json_close_object(json);

    perf_json_open_object(json, "average_bus_bandwidth");
    perf_json_number(json, "bandwidth", perf_report_mean_busbw(report));
    perf_json_string(json, "okay",
                     bandwidth_ok < 0   ? "unchecked"
                     : bandwidth_ok > 0 ? "true"
                                        : "false");
    perf_json_close_object(json);

    perf_json_open_array(json, "errors");
    if (report->status != PERF_OK && report->status != PERF_E_WRONG) {
        perf_json_string(json, NULL, "the run failed before its end; see standard error");
    }
    perf_json_close_array(json);
}

void perf_json_report(const struct perf_report *report, FILE *out)
{
    struct perf_json json;

    perf_json_init(&json, out);
    perf_json_open_object(&json, NULL);
    perf_json_int(&json, "version", 3);
    perf_json_string(&json, "start_time", report->start_time);
    perf_json_open_array(&json, "args");
    for (int i = 0; i < report->args->argc; i++) {
        perf_json_string(&json, NULL, report->args->argv[i]);
    }
    perf_json_close_array(&json);
    write_variables(report, &json);
    perf_json_string(&json, "nccl_version", "whorl " WHORL_VERSION_STRING);
    write_config(report, &json);
    perf_json_open_array(&json, "results");
    for (size_t i = 0; i < report->nrows; i++) {
        write_row(report, &report->rows[i], &json);
    }
    perf_json_close_array(&json);
    write_totals(report, &json);
    perf_json_string(&json, "end_time", report->end_time);
    perf_json_close_object(&json);
}
