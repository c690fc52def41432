/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ranks of a communicator said when an operation stalled, as lines for whoever is called
 * out of bed: the ranks that hold up the others first, ranks that do the same thing together.
 * Values in, text out.
 */
#ifndef WH_COMM_REPORT_H
#define WH_COMM_REPORT_H

#include "comm/comm.h"
#include "comm/status.h"

enum { WH_REPORT_LINES = 24, WH_REPORT_LINE_NBYTES = 768, WH_FINDING_NBYTES = 320 };

struct wh_report_input {
    const char *name; /* of the communicator; "" if it has none */
    uint32_t rank;    /* that asked, and whose operation stalls: its status is WH_STATUS_INSIDE */
    uint32_t nranks;
    const struct wh_comm_member *members; /* nranks */
    const struct wh_status *statuses;     /* nranks; WH_STATUS_UNKNOWN: did not answer */
    uint64_t ask_ms;                      /* how long it waited for answers */
};

struct wh_report {
    uint32_t nlines;
    char lines[WH_REPORT_LINES][WH_REPORT_LINE_NBYTES];
    /* The first line in short, for the error when the deadline comes: "rank 3 (host b, pid 12) has
     * not entered it"; "" if nothing stands out. */
    char finding[WH_FINDING_NBYTES];
};

/** Writes the report. WHORL_E_NOMEM, not reported. */
WH_MUST_CHECK whorl_result_t wh_report_write(const struct wh_report_input *in,
                                             struct wh_report *report_out);

/** Writes a set of ranks, `in` of nranks flags, as "0-6, 8, 11"; a text that is too long is cut
 *  with "...". Returns how many there are. */
uint32_t wh_report_print_ranks(const bool *in, uint32_t nranks, char *text, size_t text_nbytes);

#endif
