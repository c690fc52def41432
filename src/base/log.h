/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the library says: log lines and the text of failures. Nothing else in the library prints.
 *
 * A line is "[2026-01-31 12:00:00] host:pid:tid [rank 3] WHORL WARN shm: text", written with one
 * write(2), so lines of threads and processes do not mix. WHORL_DEBUG (NCCL_DEBUG) chooses the
 * level, WHORL_DEBUG_SUBSYS the subsystems whose INFO and TRACE lines are wanted, WHORL_DEBUG_FILE
 * the file. The log works at any time; until the settings are read, warnings go to stderr.
 *
 * A failure is reported once, by the first to know, with wh_fail(): it becomes a WARN line and the
 * calling thread's last error. Everyone above passes the result code on.
 */
#ifndef WH_BASE_LOG_H
#define WH_BASE_LOG_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wh_log_level { WH_LOG_NONE, WH_LOG_VERSION, WH_LOG_WARN, WH_LOG_INFO, WH_LOG_TRACE };

/** What a line is about. Names are NCCL's, so NCCL_DEBUG_SUBSYS means the same. See subsys.def. */
enum wh_subsys {
#define SUBSYS(name, bit, help) WH_SUBSYS_##name = (bit),
#include "base/subsys.def"
#undef SUBSYS
};

/**
 * Turns the log as the settings say; the texts are those of WHORL_DEBUG, WHORL_DEBUG_SUBSYS and
 * WHORL_DEBUG_FILE and are not kept. At VERSION and from INFO on, a line with the version follows.
 * What cannot be followed (a subsystem that does not exist, a file that does not open) is warned
 * about. wh_config_get() calls this once; the file stays open as long as the process lives.
 */
void wh_log_configure(const char *level, const char *subsys, const char *file);

/** The level that text (WARN, info ...) names; false, *level_out untouched, if it names none. */
bool wh_log_parse_level(const char *text, enum wh_log_level *level_out);

/** Should a line of this level and subsystem be formatted at all? Cheap. */
bool wh_log_on(enum wh_log_level level, enum wh_subsys subsys);

/** Writes one line if wh_log_on(). No trailing newline in the format. */
void wh_log(enum wh_log_level level, enum wh_subsys subsys, const char *format, ...)
    WH_PRINTF(3, 4);

/** Lines of the calling thread carry this rank from now on; -1: none. Returns the one before. */
int wh_log_set_rank(int rank);

/**
 * Reports a failure: a WARN line and the calling thread's last error. Returns rc, so that
 * `return wh_fail(WHORL_E_ARG, WH_SUBSYS_INIT, "...")` reads well.
 */
whorl_result_t wh_fail(whorl_result_t rc, enum wh_subsys subsys, const char *format, ...)
    WH_PRINTF(3, 4);

/** The same for a system call that failed just now: adds ": " and errno's text; WHORL_E_SYS. */
whorl_result_t wh_fail_sys(enum wh_subsys subsys, const char *format, ...) WH_PRINTF(2, 3);

/** Sets the calling thread's last error without a line: for failures that another thread logged. */
void wh_error_set(const char *text);

/** The calling thread's last error; "" if none. Valid until the thread's next failure. */
const char *wh_error_get(void);

/** Forgets the calling thread's last error. */
void wh_error_clear(void);

/** Name of this host, at most 64 bytes, read once. Never NULL. */
const char *wh_host_name(void);

#endif
