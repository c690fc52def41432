/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table, column for column that of nccl-tests, because people's scripts parse it. Own are the
 * first line, the line about processes, and the place of a PCI address among the devices.
 */
#include "common/report.h"

#include <stdio.h>
#include <string.h>

enum { TIMESTAMP_WIDTH = 19, TIME_WIDTH = 7, BANDWIDTH_WIDTH = 6 };

void perf_text_number(double value, int width, char *text, size_t text_nbytes)
{
    for (int decimals = 2; decimals >= 0; decimals--) {
        if (snprintf(text, text_nbytes, "%.*f", decimals, value) <= width) {
            return;
        }
    }
    snprintf(text, text_nbytes, "%.*e", width >= 7 ? 1 : 0, value);
}

static void print_devices(const struct perf_report *report, FILE *out)
{
    fprintf(out, "# Using devices\n");
    for (int i = 0; i < report->nteams; i++) {
        const struct perf_identity *team = &report->teams[i];
        for (int k = 0; k < team->nranks; k++) {
            fprintf(out, "#  Rank %2d Group %2d Pid %6d on %10s device %2d [host] memory\n",
                    team->first_rank + k, team->color, team->pid, team->host,
                    team->thread * team->nranks + k);
        }
    }
    fprintf(out, "#\n");
}

/* The titles of one half of the row. */
static void print_titles(const struct perf_args *args, const char *const titles[4],
                         const char *const iter_titles[4], FILE *out)
{
    fprintf(out, "  %7s  %6s  %6s  %6s", titles[0], titles[1], titles[2], titles[3]);
    if (args->per_iter) {
        fprintf(out, "  %7s  %7s  %7s  %7s", iter_titles[0], iter_titles[1], iter_titles[2],
                iter_titles[3]);
    }
}

static void print_column_titles(const struct perf_args *args, FILE *out)
{
    const char *const names[4] = {args->report_cputime ? "cputime" : "time", "algbw", "busbw",
                                  "#wrong"};
    const char *const units[4] = {"(us)", "(GB/s)", "(GB/s)", ""};
    const char *const iter_names[4] = {"i_min", "i_max", "i_p99", "i_cv%"};
    const char *const iter_units[4] = {"(us)", "(us)", "(us)", "(%)"};
    int stamp_width = args->report_timestamps ? TIMESTAMP_WIDTH : 0;
    int iter_width = args->per_iter ? 36 : 0;

    fprintf(out, "# %10s  %12s  %8s  %6s  %6s           out-of-place          %*s", "", "", "", "",
            "", iter_width, "");
    fprintf(out, "             in-place          %*s\n", iter_width, "");

    fprintf(out, "# %10s  %12s  %8s  %6s  %6s", "size", "count", "type", "redop", "root");
    print_titles(args, names, iter_names, out);
    print_titles(args, names, iter_names, out);
    fprintf(out, " %*s\n", stamp_width, stamp_width > 0 ? "timestamp" : "");

    fprintf(out, "# %10s  %12s  %8s  %6s  %6s", "(B)", "(elements)", "", "", "");
    print_titles(args, units, iter_units, out);
    print_titles(args, units, iter_units, out);
    fprintf(out, " %*s\n", stamp_width, "");
}

void perf_text_header(const struct perf_report *report, FILE *out)
{
    const struct perf_args *args = report->args;
    bool by_factor = args->step_factor > 1;
    size_t step = by_factor ? (size_t)args->step_factor : args->step_nbytes;

    fprintf(out, "# whorl perf-tests version %s whorl-headers=%d whorl-library=%d\n",
            WHORL_VERSION_STRING, WHORL_VERSION_CODE, whorl_version());
    fprintf(out, "# Collective test starting: %s_perf\n", report->coll->name);
    fprintf(out,
            "# nThread %d nGpus %d minBytes %zu maxBytes %zu step: %zu(%s) warmup iters: %d "
            "iters: %d agg iters: %d validation: %d graph: %d unalign: %d\n",
            args->nthreads, args->nranks_per_thread, args->min_nbytes, report->max_nbytes, step,
            by_factor ? "factor" : "bytes", args->warmup_iters, args->iters, args->agg_iters,
            args->check_iters, 0, args->unalign);
    fprintf(out, "# nProcess %d launcher: %s local register: %d\n#\n", report->nprocs,
            report->launcher, args->local_register);
    if (report->max_nbytes < args->max_nbytes) {
        fprintf(out, "# Reducing maxBytes to %zu due to memory limitation\n", report->max_nbytes);
    }
    print_devices(report, out);
    print_column_titles(args, out);
}

static void print_half(const struct perf_args *args, const struct perf_half *half, FILE *out)
{
    char time[32];
    char algbw[32];
    char busbw[32];

    perf_text_number(args->report_cputime ? half->cpu_us : half->time_us, TIME_WIDTH, time,
                     sizeof(time));
    perf_text_number(half->algbw, BANDWIDTH_WIDTH, algbw, sizeof(algbw));
    perf_text_number(half->busbw, BANDWIDTH_WIDTH, busbw, sizeof(busbw));
    fprintf(out, "  %7s  %6s  %6s", time, algbw, busbw);
    if (half->is_checked) {
        fprintf(out, "  %6g", (double)half->nwrong);
    } else {
        fprintf(out, "     N/A");
    }

    if (args->per_iter) {
        const double columns[4] = {half->iters.min, half->iters.max, half->iters.p99,
                                   half->iters.cv_percent};
        for (int i = 0; i < 4; i++) {
            char text[32];
            perf_text_number(columns[i], TIME_WIDTH, text, sizeof(text));
            fprintf(out, "  %7s", text);
        }
    }
}

void perf_text_row(const struct perf_report *report, const struct perf_row *row, FILE *out)
{
    fprintf(out, "%12zu  %12zu  %8s  %6s  %6d", row->nbytes, row->count, row->type, row->op,
            row->root);
    print_half(report->args, &row->half[0], out);
    print_half(report->args, &row->half[1], out);
    if (report->args->report_timestamps) {
        fprintf(out, " %*s", TIMESTAMP_WIDTH, row->timestamp);
    }
    fprintf(out, "\n");
}

void perf_text_footer(const struct perf_report *report, FILE *out)
{
    int bandwidth_ok = perf_report_bandwidth_ok(report);
    const char *verdict = bandwidth_ok < 0 ? "" : bandwidth_ok > 0 ? " OK" : " FAILED";

    fprintf(out, "# Out of bounds values : %llu %s\n", (unsigned long long)report->nwrong,
            report->nwrong == 0 ? "OK" : "FAILED");
    fprintf(out, "# Avg bus bandwidth    : %g%s\n", perf_report_mean_busbw(report), verdict);
    fprintf(out, "#\n# Collective test concluded: %s_perf\n#\n", report->coll->name);
}
