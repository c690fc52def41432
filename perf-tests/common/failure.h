/* SPDX-License-Identifier: Apache-2.0 */
/* How failures are told: one line each on standard error. */
#ifndef PERF_COMMON_FAILURE_H
#define PERF_COMMON_FAILURE_H

#include <whorl/whorl.h>

/**
 * Prints "host: Test Whorl failure WHAT rank R 'result / whorl_last_error(comm)'".
 *
 * comm may be NULL, rank -1 if not known yet. Where comm has no error the calling thread's last one
 * is shown. Returns PERF_E_WHORL.
 */
int perf_fail_whorl(const char *what, whorl_result_t rc, whorl_comm_t comm, int rank);

/** Prints "host: " and the formatted text. Returns PERF_E_INTERNAL. */
__attribute__((format(printf, 1, 2))) int perf_fail(const char *format, ...);

/** This host's name; static memory, "localhost" if it has none. */
const char *perf_hostname(void);

#endif
