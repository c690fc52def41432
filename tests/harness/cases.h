/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One collective, from inputs to checked outputs, as one rank of a communicator does it.
 *
 * case_begin() fills buffers, case_call() makes the call (on a stream or in a group, if the test
 * wants that), case_end() checks every byte: the result, the bytes around it, and that inputs are
 * as they were. case_do() is all three.
 */
#ifndef WH_TESTS_HARNESS_CASES_H
#define WH_TESTS_HARNESS_CASES_H

#include "harness/ranks.h"
#include "harness/values.h"

enum case_kind {
    CASE_ALL_REDUCE,
    CASE_ALL_GATHER,
    CASE_REDUCE_SCATTER,
    CASE_BROADCAST,
    CASE_REDUCE,
    CASE_SENDRECV, /* a group: send to rank + root, receive from rank - root */
    CASE_BARRIER,
    CASE_ALL_TO_ALL,
    CASE_GATHER,
    CASE_SCATTER,
    CASE_ALL_GATHER_V,
    CASE_REDUCE_SCATTER_V,
    CASE_ALL_TO_ALL_V,
    CASE_GATHER_V,
    CASE_SCATTER_V,
    CASE_KINDS
};

/** Where a buffer is. It is each rank's own affair. */
enum case_memory {
    CASE_PRIVATE,
    CASE_SYMMETRIC,  /* whorl_mem_alloc() */
    CASE_REGISTERED, /* a memfd, and whorl_comm_register() */
    CASE_MEMORIES
};

struct coll_case {
    enum case_kind kind;
    size_t count; /* of blocks of different sizes: about their mean; they are at most twice that */
    whorl_dtype_t dtype;
    int op;   /* as in struct values; read where the collective reduces */
    int root; /* of CASE_SENDRECV: how far messages go */
    bool in_place;
    unsigned send_offset, recv_offset;         /* bytes of misalignment, less than 64 */
    enum case_memory send_memory, recv_memory; /* in place: recv_memory */
    uint64_t seed;
};

struct case_run;

/** Prepares buffers. Given back with case_end(). */
struct case_run *case_begin(struct rank *rank, whorl_comm_t comm, const struct coll_case *c);
whorl_result_t case_call(struct case_run *run, whorl_stream_t stream);

/** Checks what has come out, and frees run. */
void case_end(struct case_run *run);

/** Frees run without a look: the call failed, as the test wanted. */
void case_drop(struct case_run *run);

void case_do(struct rank *rank, whorl_comm_t comm, const struct coll_case *c);

/** "all_reduce(count 7, float32, sum, in place)" and so on. */
void case_print(const struct coll_case *c, char *text, size_t text_nbytes);

const char *case_kind_str(enum case_kind kind);
bool case_reduces(enum case_kind kind);

/** Bytes of the longer of the two buffers, or more. */
size_t case_buffer_nbytes(const struct coll_case *c, int nranks);

#endif
