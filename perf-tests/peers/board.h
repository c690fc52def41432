/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The board: shared memory through which compare.py drives one program and hears from its ranks.
 *
 *     compare.py                     ranks
 *     writes the command,
 *     adds 1 to seq, wakes  ------>  all sleep on seq (futex); each carries the command out,
 *     sleeps on slot[0..]   <------  fills its slot, sets slot.done = seq, wakes
 *
 * Between commands nobody polls: a program that is not measured takes no processor time from the
 * one that is. The file is made, all zero, by compare.py; board.py knows the same offsets.
 */
#ifndef PEERS_BOARD_H
#define PEERS_BOARD_H

#include <stddef.h>
#include <stdint.h>

enum { BOARD_VERSION = 1, BOARD_RANKS_MAX = 64 };

enum peer_coll {
    PEER_QUIT,
    PEER_ALL_REDUCE,
    PEER_ALL_GATHER,
    PEER_REDUCE_SCATTER,
    PEER_BROADCAST,
    PEER_ALL_TO_ALL,
    PEER_PING_PONG, /* ranks 0 and 1 bounce a cache line; one iteration is there and back */
    PEER_STREAM,    /* an AllReduce that writes past the caches; only floor.c tells them apart */
    PEER_EXCHANGE,  /* wire.c: each of two ranks sends one byte and receives one */
    PEER_STREAMS,   /* wire.c: each rank sends nbytes and receives nbytes, with one thread */
    PEER_STREAMS_2, /* wire.c: the same with two threads */
    PEER_STREAMS_MEMORY, /* wire.c: with one thread, out of and into memory of nbytes */
    PEER_COLLS
};

enum peer_dtype { PEER_FLOAT32, PEER_BFLOAT16, PEER_DTYPES };

enum board_flags {
    BOARD_REFRESH = 1, /* every iteration writes its input anew; its cost is measured and told */
    BOARD_RELEASE = 2  /* give the memory of the buffers back to the system afterwards */
};

/* What to do. nbytes is the larger of one rank's input and output. */
struct board_command {
    uint32_t coll, dtype;
    uint32_t nwarm, niters; /* untimed iterations, then timed ones */
    uint32_t flags;
    uint32_t reserved;
    uint64_t nbytes;
};

/* What came of it on one rank. Times are CLOCK_MONOTONIC nanoseconds. */
struct board_slot {
    uint32_t done; /* the seq of the last command carried out; ranks say hello with 1 */
    int32_t failed;
    uint64_t start_ns, end_ns;                 /* refresh and operation, niters times */
    uint64_t refresh_start_ns, refresh_end_ns; /* refresh alone, niters times */
    uint64_t nwrong;                           /* wrong elements in the last iteration's result */
    uint64_t pid;
    uint8_t reserved[8];
    char text[192]; /* what failed */
};

struct board {
    uint32_t seq; /* 1 at first; the driver adds 1 for every command */
    uint32_t version;
    uint32_t nranks;
    uint32_t driver_pid; /* ranks leave when it is gone */
    uint8_t pad0[48];
    struct board_command command;
    uint8_t pad1[32];
    uint32_t arrived, generation; /* the barrier */
    uint8_t pad2[56];
    uint64_t caps;        /* bit coll * PEER_DTYPES + dtype: written by rank 0 before its hello */
    char library[312];    /* name and version, by rank 0 */
    uint8_t line[2][128]; /* for PEER_PING_PONG, a cache line each */
    uint32_t blob_ready;
    uint8_t pad3[60];
    uint8_t blob[512]; /* whatever rank 0 must tell the others while they start */
    uint8_t pad4[4096 - 1344];
    struct board_slot slots[BOARD_RANKS_MAX];
};

#ifndef __cplusplus
_Static_assert(sizeof(struct board_slot) == 256, "board.py counts on it");
_Static_assert(offsetof(struct board, caps) == 192 && offsetof(struct board, blob_ready) == 768,
               "board.py counts on it");
_Static_assert(offsetof(struct board, slots) == 4096, "board.py counts on it");
#endif

#endif
