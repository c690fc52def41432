/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs of perf-tests/peers/ have in common: they are ranks that carry out commands
 * from a board (board.h) with one library's collectives. A program starts its library, fills a
 * struct peer_library and calls peer_serve(); timing, inputs and checks are in peer.c, the same
 * for all.
 */
#ifndef PEERS_PEER_H
#define PEERS_PEER_H

#include "board.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One operation. count is in elements, of the vector or of one rank's block as below. */
struct peer_call {
    enum peer_coll coll;
    enum peer_dtype dtype;
    size_t count; /* all_reduce, broadcast: the vector; others: one block, nranks make a vector */
    int root;
    const void *in; /* of a broadcast: read on root, which has nothing in out */
    void *out;
};

struct peer_library {
    char version[128];
    uint64_t caps; /* peer_cap() of every pair of collective and type that run() knows */

    /* Carries out one operation. 0, or not 0 and a message in text. */
    int (*run)(const struct peer_call *call, char *text, size_t text_nbytes);

    /* Memory for buffers; both NULL for anonymous private memory. alloc() gives NULL on failure. */
    void *(*alloc)(size_t nbytes);
    void (*free)(void *memory, size_t nbytes);
};

/* The bit of coll and dtype in caps. */
static inline uint64_t peer_cap(enum peer_coll coll, enum peer_dtype dtype)
{
    return (uint64_t)1 << ((unsigned)coll * PEER_DTYPES + (unsigned)dtype);
}

/* The caps of all five collectives in dtype. */
uint64_t peer_caps(enum peer_dtype dtype);

/* Maps the board of compare.py. NULL, and a message on standard error, if that fails. */
struct board *peer_attach(const char *path);

/*
 * Serves commands until told to quit. Blocks without using the processor while there are none.
 * Returns an exit status: 0, or 1 when an operation failed, after which the rank serves no more.
 */
int peer_serve(const struct peer_library *library, int rank, int nranks, struct board *board);

#ifdef __cplusplus
}
#endif

#endif
