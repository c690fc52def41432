/* SPDX-License-Identifier: Apache-2.0 */
/* Monotonic time in nanoseconds, and deadlines in it. */
#ifndef WH_BASE_CLOCK_H
#define WH_BASE_CLOCK_H

#include <stdint.h>

/* A deadline that never comes. */
#define WH_NEVER UINT64_MAX

/** Nanoseconds of CLOCK_MONOTONIC. */
uint64_t wh_now_ns(void);

/** The same, some milliseconds late, for a fourth of the price. */
uint64_t wh_now_coarse_ns(void);

/** The deadline that is timeout_ms from now; up to 20 ms less if that is 10 s or more. */
uint64_t wh_deadline_after_ms(uint64_t timeout_ms);

/** Milliseconds until deadline_ns, for poll(): rounded up, at least 0, at most `most`. */
int wh_ms_until(uint64_t deadline_ns, int most);

#endif
