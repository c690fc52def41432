/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The harness of the micro-benchmarks: things to time side by side with a floor.
 *
 * One time means little on a shared machine, so every case is timed in turns with the case before
 * it that is its floor (a memcpy, a bare cache-line exchange), and what counts is the ratio.
 */
#ifndef PERF_MICRO_MICRO_H
#define PERF_MICRO_MICRO_H

#include <stddef.h>
#include <stdint.h>

struct micro_case {
    const char *name;
    void (*run)(void *ctx); /* one unit of work */
    void *ctx;
    size_t nbytes; /* that one unit handles; 0: time only */
};

/** Reads -n SAMPLES and -h. Exits on others. */
void micro_args(int argc, char **argv, const char *what);

/** Prints the header of the table. */
void micro_header(void);

/**
 * Times cases[0..ncases-1] in turns and prints a row each: median nanoseconds per unit, GB/s, and
 * the median of the ratios to cases[0] sample by sample.
 */
void micro_compare(const struct micro_case *cases, size_t ncases);

#endif
