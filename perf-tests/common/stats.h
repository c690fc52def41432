/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics over a sample. Knows nothing of the library; the micro-benchmarks use it too. */
#ifndef PERF_COMMON_STATS_H
#define PERF_COMMON_STATS_H

#include <stddef.h>

struct perf_stats {
    double min, max, mean, sum;
    double p50, p95, p99; /**< nearest rank: always a value of the sample */
    double stdev;         /**< of the sample, with n-1; 0 for a single value */
    double cv_percent;    /**< stdev / mean * 100; 0 when the mean is 0 */
};

/** How the values of all ranks become one (-a). */
enum perf_average { PERF_AVERAGE_FIRST, PERF_AVERAGE_MEAN, PERF_AVERAGE_MIN, PERF_AVERAGE_MAX };

/** Sorts the n values and describes them. All zeros for n == 0. */
void perf_stats_compute(double *values, size_t n, struct perf_stats *out);

/** One number for n >= 1 values, values[0] being that of rank 0. */
double perf_stats_average(const double *values, size_t n, enum perf_average how);

#endif
