/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the harness needs to know about one collective.
 *
 * A collective is described by one constant struct perf_coll and a main() that hands it to
 * perf_main(). Everything else (options, launching, buffers, timing, checking, reports) is shared
 * and lives in common/. A description says four things: how many elements are sent and received
 * for a given size, how one call is made, what the output must be in terms of the inputs, and by
 * which factor bus bandwidth differs from algorithm bandwidth.
 *
 * The inputs are numbered: rank r's input element i is a value that everybody can compute
 * (common/values.h), so the output of any rank is described as runs of "input elements first.. of
 * rank source" or "input elements first.. combined over all ranks".
 */
#ifndef PERF_H
#define PERF_H

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Exit statuses of the programs; the numbers are those of nccl-tests. */
enum perf_status {
    PERF_OK = 0,
    PERF_E_INTERNAL = 1, /**< the harness itself failed: no memory, no thread, no process */
    PERF_E_WHORL = 3,    /**< a call of the library failed */
    PERF_E_TIMEOUT = 4,  /**< -T ran out */
    PERF_E_WRONG = 7,    /**< wrong results, or less bandwidth than asked for */
    PERF_E_USAGE = 255   /**< bad command line or environment */
};

/** Element counts of one call on one rank. */
struct perf_sizes {
    size_t send_count;        /**< elements of the send buffer */
    size_t recv_count;        /**< elements of the receive buffer */
    size_t api_count;         /**< the count argument of the call; the "count" column */
    size_t send_inplace_step; /**< in place rank r's input starts r steps into the buffer ... */
    size_t recv_inplace_step; /**< ... and its output r of these steps */
};

/** One rank's view of one call. Ranks are those of the communicator that is measured. */
struct perf_place {
    int rank, nranks;
    int root; /**< -1 when the collective has none */
    struct perf_sizes sizes;
};

/** Where the blocks of a call lie whose blocks differ in size; nranks numbers in each array. */
struct perf_blocks {
    size_t *send_counts, *send_displs; /**< by the rank that a block goes to */
    size_t *recv_counts, *recv_displs; /**< by the rank that a block comes from */
};

/** A run of nelems output elements: what they must be. */
struct perf_part {
    bool reduced;   /**< combined over all ranks; else a copy of rank source's input */
    int source;     /**< meaningful when not reduced */
    uint64_t first; /**< index of the first input element */
    size_t nelems;
};

/** Arguments of one call. */
struct perf_call {
    const void *send;
    void *recv;
    size_t count;
    whorl_dtype_t dtype;
    whorl_redop_t op;
    int root;
    int rank, nranks;
    int phase;                        /**< see nphases() */
    const struct perf_blocks *blocks; /**< what blocks() wrote */
    whorl_comm_t comm;
};

/** What there is to do in place. */
enum perf_in_place {
    PERF_IN_PLACE_CHECKED,   /**< has a result like out of place */
    PERF_IN_PLACE_UNDEFINED, /**< is timed, but has no defined result: #wrong is N/A */
    PERF_IN_PLACE_NONE       /**< is no valid call and left out: 0, and #wrong is N/A */
};

/** One collective. All functions are pure but run(). Those at the end may be NULL. */
struct perf_coll {
    const char *title; /**< for the table: "AllReduce" */
    const char *name;  /**< for benchmark names: "all_reduce" */
    bool reduces;      /**< takes a reduction */
    bool rooted;       /**< takes a root */
    bool needs_pow2;   /**< skips numbers of ranks that are no power of two */
    bool is_barrier;   /**< moves no data: one row; what is checked is that everybody waits */
    enum perf_in_place in_place;

    /** Counts for a size of nelems elements on nranks ranks. */
    void (*sizes)(size_t nelems, int nranks, struct perf_sizes *out);

    /**
     * Describes part `index` (0, 1, ...) of place's output; false when there is no such part.
     * No parts at all: the output of this rank is not defined and not checked.
     */
    bool (*expect)(const struct perf_place *place, int index, struct perf_part *out);

    /** Makes the call; inside or outside of a group. */
    whorl_result_t (*run)(const struct perf_call *call);

    /** busbw = algbw * this. */
    double (*bus_factor)(int nranks);

    /** algbw = size / time * this; NULL: 1. */
    double (*alg_factor)(int nranks);

    /**
     * One operation takes so many calls of run(), phase 0, 1, ...; NULL: 1. A phase begins when the
     * one before is over on this thread's ranks, so that it can send on what they received.
     */
    int (*nphases)(int nranks);

    /** Writes where the blocks of place lie; NULL: call->blocks has nothing in it. */
    void (*blocks)(const struct perf_place *place, const struct perf_blocks *out);
};

/** The program: parses, launches, measures, reports. Returns the exit status of the process. */
int perf_main(const struct perf_coll *coll, int argc, char **argv);

#endif
