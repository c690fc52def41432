/* SPDX-License-Identifier: Apache-2.0 */
#include "common/stats.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The smallest value that at least percent of the sample do not exceed. */
static double nearest_rank(const double *sorted, size_t n, double percent)
{
    size_t rank = (size_t)ceil(percent / 100.0 * (double)n);
    return sorted[rank > 0 ? rank - 1 : 0];
}

void perf_stats_compute(double *values, size_t n, struct perf_stats *out)
{
    *out = (struct perf_stats){0};
    if (n == 0) {
        return;
    }
    qsort(values, n, sizeof(*values), compare_doubles);
    for (size_t i = 0; i < n; i++) {
        out->sum += values[i];
    }
    out->mean = out->sum / (double)n;
    out->min = values[0];
    out->max = values[n - 1];
    out->p50 = nearest_rank(values, n, 50);
    out->p95 = nearest_rank(values, n, 95);
    out->p99 = nearest_rank(values, n, 99);

    double squares = 0;
    for (size_t i = 0; i < n; i++) {
        squares += (values[i] - out->mean) * (values[i] - out->mean);
    }
    out->stdev = n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
    out->cv_percent = out->mean > 0 ? out->stdev / out->mean * 100 : 0;
}

double perf_stats_average(const double *values, size_t n, enum perf_average how)
{
    assert(n >= 1);
    double result = values[0];

    if (how == PERF_AVERAGE_FIRST) {
        return result;
    }
    for (size_t i = 1; i < n; i++) {
        if (how == PERF_AVERAGE_MIN) {
            result = fmin(result, values[i]);
        } else if (how == PERF_AVERAGE_MAX) {
            result = fmax(result, values[i]);
        } else {
            result += values[i];
        }
    }
    return how == PERF_AVERAGE_MEAN ? result / (double)n : result;
}
