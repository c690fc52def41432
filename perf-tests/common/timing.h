/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks. Knows nothing of the library; the micro-benchmarks use it too. */
#ifndef PERF_COMMON_TIMING_H
#define PERF_COMMON_TIMING_H

#include <stddef.h>
#include <stdint.h>

/** Wall clock that never jumps, in nanoseconds since some moment. */
uint64_t perf_now_ns(void);

/** CPU time that the calling thread has used, in nanoseconds. */
uint64_t perf_thread_cpu_ns(void);

/** Writes local time as "YYYY-MM-DD hh:mm:ss" (19 characters) to text. */
void perf_timestamp(char *text, size_t text_nbytes);

/** Writes local time as ISO 8601 with the offset ("2030-01-31T12:00:00+02:00") to text. */
void perf_timestamp_iso(char *text, size_t text_nbytes);

#endif
