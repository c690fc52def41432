/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the checker that needs no run: what one look at all schedules decides. */
#ifndef WH_SCHEDULE_CHECK_RULES_H
#define WH_SCHEDULE_CHECK_RULES_H

#include "base/macros.h"
#include "schedule/sched.h"

#include <stddef.h>
#include <stdint.h>

/** Where the first fault is described. */
struct wh_why {
    char *text;
    size_t text_nbytes;
};

/** Writes the fault; returns WHORL_E_INTERNAL. Not logged: the caller of wh_check() decides. */
whorl_result_t wh_why_fault(struct wh_why *why, const char *format, ...) WH_PRINTF(2, 3);

/** Writes that memory ran out; returns WHORL_E_NOMEM. */
whorl_result_t wh_why_nomem(struct wh_why *why);

/**
 * Every index is in range; flags obey sched.h; the ranks agree about what they do; a lane's links
 * are its own and on its channel; the entry rule holds.
 *
 * Errors    WHORL_E_INTERNAL with the fault in `why`; WHORL_E_NOMEM.
 */
WH_MUST_CHECK whorl_result_t wh_check_rules(struct wh_sched *const *scheds, uint32_t nranks,
                                            struct wh_why *why);

#endif
