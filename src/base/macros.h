/* SPDX-License-Identifier: Apache-2.0 */
/* The few macros that C needs. A macro that a function could be is a function. */
#ifndef WH_BASE_MACROS_H
#define WH_BASE_MACROS_H

#define ARRAY_LEN(array)       (sizeof(array) / sizeof((array)[0]))
#define WH_MUST_CHECK          __attribute__((warn_unused_result))
#define WH_PRINTF(text, first) __attribute__((format(printf, text, first)))

/* Lines that different ranks write are this far apart: the prefetcher pulls pairs of lines. */
#define WH_LINE_NBYTES  128
#define WH_LINE_ALIGNED __attribute__((aligned(WH_LINE_NBYTES)))

#endif
