/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whorl, for compare.py. The environment says which rank this is, as for every program of Whorl.
 * usage: whorl_peer BOARD [symmetric|corrupt]
 *   symmetric   buffers from whorl_mem_alloc()
 *   corrupt     rank 1 spoils the first byte of every result, so that the check can be checked
 */
#include "peer.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static whorl_comm_t comm;
static int my_rank;
static bool corrupt;

static whorl_result_t start(const struct peer_call *call)
{
    const whorl_dtype_t dtype = call->dtype == PEER_FLOAT32 ? WHORL_FLOAT32 : WHORL_BFLOAT16;
    switch (call->coll) {
    case PEER_ALL_REDUCE:
        return whorl_all_reduce(call->in, call->out, call->count, dtype, WHORL_SUM, comm, NULL);
    case PEER_ALL_GATHER:
        return whorl_all_gather(call->in, call->out, call->count, dtype, comm, NULL);
    case PEER_REDUCE_SCATTER:
        return whorl_reduce_scatter(call->in, call->out, call->count, dtype, WHORL_SUM, comm, NULL);
    case PEER_BROADCAST: {
        /* In place on the root, where other libraries have only one buffer, too. */
        void *buffer = my_rank == call->root ? (void *)(uintptr_t)call->in : call->out;
        return whorl_broadcast(buffer, buffer, call->count, dtype, call->root, comm, NULL);
    }
    case PEER_ALL_TO_ALL:
        return whorl_all_to_all(call->in, call->out, call->count, dtype, comm, NULL);
    default:
        return WHORL_E_UNSUPPORTED;
    }
}

static int run(const struct peer_call *call, char *text, size_t text_nbytes)
{
    whorl_result_t rc = start(call);
    if (rc != WHORL_OK) {
        snprintf(text, text_nbytes, "%s", whorl_last_error(comm));
    }
    if (corrupt && my_rank == 1) {
        *(uint8_t *)call->out ^= 1;
    }
    return rc;
}

static void *symmetric_alloc(size_t nbytes)
{
    void *memory = NULL;
    return whorl_mem_alloc(nbytes, &memory) == WHORL_OK ? memory : NULL;
}

static void symmetric_free(void *memory, size_t nbytes)
{
    (void)nbytes;
    (void)whorl_mem_free(memory);
}

static int fail(void)
{
    fprintf(stderr, "whorl_peer: %s\n", whorl_last_error(NULL));
    return 1;
}

int main(int argc, char **argv)
{
    const int version = whorl_version();
    bool symmetric = argc == 3 && strcmp(argv[2], "symmetric") == 0;
    struct peer_library library = {.caps = peer_caps(PEER_FLOAT32) | peer_caps(PEER_BFLOAT16),
                                   .run = run};
    corrupt = argc == 3 && strcmp(argv[2], "corrupt") == 0;
    if (argc != 2 && !symmetric && !corrupt) {
        fprintf(stderr, "usage: %s BOARD [symmetric|corrupt]\n", argv[0]);
        return 2;
    }
    if (symmetric) {
        library.alloc = symmetric_alloc;
        library.free = symmetric_free;
    }
    snprintf(library.version, sizeof(library.version), "Whorl %d.%d.%d", version / 10000,
             version / 100 % 100, version % 100);

    int nranks;
    struct board *board = peer_attach(argv[1]);
    if (board == NULL) {
        return 2;
    }
    if (whorl_comm_create_from_env(NULL, &comm) != WHORL_OK ||
        whorl_comm_rank(comm, &my_rank) != WHORL_OK || whorl_comm_size(comm, &nranks) != WHORL_OK) {
        return fail();
    }
    int status = peer_serve(&library, my_rank, nranks, board);
    if (status == 0 && whorl_comm_finalize(comm) != WHORL_OK) {
        status = fail();
    }
    return whorl_comm_destroy(comm) == WHORL_OK ? status : 1;
}
