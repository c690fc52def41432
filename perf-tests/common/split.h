/* SPDX-License-Identifier: Apache-2.0 */
/* How processes are coloured into groups that are measured side by side. */
#ifndef PERF_COMMON_SPLIT_H
#define PERF_COMMON_SPLIT_H

#include <stdbool.h>

enum perf_split_kind {
    PERF_SPLIT_NONE,
    PERF_SPLIT_AND,
    PERF_SPLIT_OR,
    PERF_SPLIT_MOD,
    PERF_SPLIT_DIV
};

struct perf_split {
    enum perf_split_kind kind;
    unsigned value;
};

/**
 * Reads "AND 0x3", "&3", "OR 1", "|1", "MOD 2", "%2", "DIV 4" or "/4"; words in any case, values
 * decimal, 0x or 0b. False, and *out untouched, if the text is none of these.
 */
bool perf_split_parse(const char *text, struct perf_split *out);

/** Reads a hexadecimal mask, which means AND. */
bool perf_split_parse_mask(const char *text, struct perf_split *out);

/** The colour of process proc; 0 for all when there is no split. */
int perf_split_color(const struct perf_split *split, int proc);

#endif
