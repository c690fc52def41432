/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD_NBYTES = 64, GUARD = 0xa5, MISALIGNED_MAX = 64 };

/* A buffer with guard bytes on both sides. */
struct area {
    unsigned char *memory;
    unsigned char *at;
    size_t nbytes;
};

struct case_run {
    struct rank *rank;
    whorl_comm_t comm;
    struct coll_case c;
    struct values values;
    int me, nranks;
    whorl_redop_t op;
    struct area send, recv; /* in place: one of them has memory, the other is inside it */
    const void *sendbuf;
    void *recvbuf;
};

const char *case_kind_str(enum case_kind kind)
{
    static const char *const names[CASE_KINDS] = {
        "all_reduce", "all_gather", "reduce_scatter", "broadcast", "reduce", "sendrecv", "barrier"};
    return names[kind];
}

bool case_reduces(enum case_kind kind)
{
    return kind == CASE_ALL_REDUCE || kind == CASE_REDUCE_SCATTER || kind == CASE_REDUCE;
}

size_t case_buffer_nbytes(const struct coll_case *c, int nranks)
{
    bool blocks = c->kind == CASE_ALL_GATHER || c->kind == CASE_REDUCE_SCATTER;
    return c->count * whorl_dtype_nbytes(c->dtype) * (blocks ? (size_t)nranks : 1);
}

void case_print(const struct coll_case *c, char *text, size_t text_nbytes)
{
    const char *op = "";
    if (case_reduces(c->kind)) {
        op = c->op == VALUES_PREMUL ? "premulsum" : whorl_redop_str(c->op);
    }
    snprintf(text, text_nbytes, "%s(count %zu, %s, %s, root %d, %s, offsets %u %u, seed %llu)",
             case_kind_str(c->kind), c->count, whorl_dtype_str(c->dtype), op, c->root,
             c->in_place ? "in place" : "out of place", c->send_offset, c->recv_offset,
             (unsigned long long)c->seed);
}

static void area_init(struct case_run *run, struct area *area, size_t nbytes, unsigned offset)
{
    area->nbytes = nbytes;
    area->memory = NULL;
    int err = posix_memalign((void **)&area->memory, MISALIGNED_MAX,
                             nbytes + 2 * GUARD_NBYTES + MISALIGNED_MAX);
    RANK_CHECK(run->rank, err == 0, "no memory for a buffer of %zu bytes", nbytes);
    area->at = area->memory + GUARD_NBYTES + offset % MISALIGNED_MAX;
    memset(area->at - GUARD_NBYTES, GUARD, GUARD_NBYTES);
    memset(area->at, GUARD ^ 0xff, nbytes);
    memset(area->at + nbytes, GUARD, GUARD_NBYTES);
}

static void area_check_guards(struct case_run *run, const struct area *area, const char *name)
{
    for (size_t i = 0; area->memory != NULL && i < GUARD_NBYTES; i++) {
        RANK_CHECK(run->rank,
                   area->at[-1 - (ptrdiff_t)i] == GUARD && area->at[area->nbytes + i] == GUARD,
                   "bytes around the %s buffer were written", name);
    }
}

static size_t block_nbytes(const struct case_run *run)
{
    return run->c.count * whorl_dtype_nbytes(run->c.dtype);
}

/* Does this rank read a sendbuf, write a recvbuf? */
static bool sends(const struct case_run *run)
{
    return run->c.kind != CASE_BARRIER && (run->c.kind != CASE_BROADCAST || run->me == run->c.root);
}

static bool receives(const struct case_run *run)
{
    return run->c.kind != CASE_BARRIER && (run->c.kind != CASE_REDUCE || run->me == run->c.root);
}

static size_t send_blocks(const struct case_run *run)
{
    return run->c.kind == CASE_REDUCE_SCATTER ? (size_t)run->nranks : 1;
}

static size_t recv_blocks(const struct case_run *run)
{
    return run->c.kind == CASE_ALL_GATHER ? (size_t)run->nranks : 1;
}

static void make_buffers(struct case_run *run)
{
    const struct coll_case *c = &run->c;
    size_t block = block_nbytes(run);
    size_t mine = (size_t)run->me * block;
    if (c->in_place && sends(run) && receives(run) && c->kind != CASE_SENDRECV) {
        bool larger_send = send_blocks(run) > recv_blocks(run);
        struct area *whole = larger_send ? &run->send : &run->recv;
        area_init(run, whole, block * (larger_send ? send_blocks(run) : recv_blocks(run)),
                  c->recv_offset);
        unsigned char *send = whole->at + (c->kind == CASE_ALL_GATHER ? mine : 0);
        run->recvbuf = whole->at + (c->kind == CASE_REDUCE_SCATTER ? mine : 0);
        run->sendbuf = send;
        values_input(&run->values, run->me, 0, c->count * send_blocks(run), send);
        return;
    }
    if (sends(run)) {
        area_init(run, &run->send, block * send_blocks(run), c->send_offset);
        values_input(&run->values, run->me, 0, c->count * send_blocks(run), run->send.at);
        run->sendbuf = run->send.at;
    }
    if (receives(run)) {
        area_init(run, &run->recv, block * recv_blocks(run), c->recv_offset);
        run->recvbuf = run->recv.at;
    }
}

struct case_run *case_begin(struct rank *rank, whorl_comm_t comm, const struct coll_case *c)
{
    struct case_run *run = calloc(1, sizeof(*run));
    RANK_CHECK(rank, run != NULL, "no memory");
    *run = (struct case_run){.rank = rank, .comm = comm, .c = *c, .op = c->op};
    RANK_OK(rank, whorl_comm_rank(comm, &run->me));
    RANK_OK(rank, whorl_comm_size(comm, &run->nranks));
    bool reduces = case_reduces(c->kind);
    run->values = (struct values){.dtype = c->dtype,
                                  .op = reduces ? c->op : VALUES_COPY,
                                  .nranks = run->nranks,
                                  .seed = c->seed};
    if (reduces && c->op == VALUES_PREMUL) {
        unsigned char scalar[VALUES_ELEM_NBYTES_MAX];
        values_scalar(&run->values, run->me, scalar);
        RANK_OK(rank, whorl_redop_create_premul_sum(scalar, c->dtype, comm, &run->op));
    }
    make_buffers(run);
    return run;
}

static whorl_result_t call_sendrecv(struct case_run *run, whorl_stream_t stream)
{
    const struct coll_case *c = &run->c;
    int to = (run->me + c->root) % run->nranks;
    int from = (run->me + run->nranks - c->root % run->nranks) % run->nranks;
    whorl_result_t rc = whorl_group_start();
    whorl_result_t send_rc = whorl_send(run->sendbuf, c->count, c->dtype, to, run->comm, stream);
    whorl_result_t recv_rc = whorl_recv(run->recvbuf, c->count, c->dtype, from, run->comm, stream);
    whorl_result_t end_rc = whorl_group_end();
    rc = rc != WHORL_OK ? rc : send_rc;
    rc = rc != WHORL_OK ? rc : recv_rc;
    return rc != WHORL_OK ? rc : end_rc;
}

whorl_result_t case_call(struct case_run *run, whorl_stream_t stream)
{
    const struct coll_case *c = &run->c;
    switch (c->kind) {
    case CASE_ALL_REDUCE:
        return whorl_all_reduce(run->sendbuf, run->recvbuf, c->count, c->dtype, run->op, run->comm,
                                stream);
    case CASE_ALL_GATHER:
        return whorl_all_gather(run->sendbuf, run->recvbuf, c->count, c->dtype, run->comm, stream);
    case CASE_REDUCE_SCATTER:
        return whorl_reduce_scatter(run->sendbuf, run->recvbuf, c->count, c->dtype, run->op,
                                    run->comm, stream);
    case CASE_BROADCAST:
        return whorl_broadcast(run->sendbuf, run->recvbuf, c->count, c->dtype, c->root, run->comm,
                               stream);
    case CASE_REDUCE:
        return whorl_reduce(run->sendbuf, run->recvbuf, c->count, c->dtype, run->op, c->root,
                            run->comm, stream);
    case CASE_SENDRECV:
        return call_sendrecv(run, stream);
    default:
        return whorl_barrier(run->comm, stream);
    }
}

/* Checks nelems elements at `at` against what `want` holds. */
static void check_elems(struct case_run *run, const void *at, const void *want, size_t nelems,
                        const char *what)
{
    size_t i = values_first_wrong(&run->values, at, want, nelems);
    if (i == nelems) {
        return;
    }
    char text[256];
    case_print(&run->c, text, sizeof(text));
    size_t elem_nbytes = whorl_dtype_nbytes(run->c.dtype);
    unsigned long long got = 0, wanted = 0;
    memcpy(&got, (const unsigned char *)at + i * elem_nbytes, elem_nbytes);
    memcpy(&wanted, (const unsigned char *)want + i * elem_nbytes, elem_nbytes);
    rank_fail(run->rank, __FILE__, __LINE__,
              "%s by rank %d of %d: %s: element %zu of %zu has bits 0x%llx, not 0x%llx", text,
              run->me, run->nranks, what, i, nelems, got, wanted);
}

static void check_result(struct case_run *run, unsigned char *want)
{
    const struct coll_case *c = &run->c;
    const struct values *v = &run->values;
    size_t block = block_nbytes(run);
    const unsigned char *got = run->recvbuf;
    switch (c->kind) {
    case CASE_ALL_GATHER:
        for (int r = 0; r < run->nranks; r++) {
            values_input(v, r, 0, c->count, want);
            check_elems(run, got + (size_t)r * block, want, c->count, "a gathered block");
        }
        return;
    case CASE_BROADCAST:
        values_input(v, c->root, 0, c->count, want);
        break;
    case CASE_SENDRECV:
        values_input(v, (run->me + run->nranks - c->root % run->nranks) % run->nranks, 0, c->count,
                     want);
        break;
    case CASE_REDUCE_SCATTER:
        values_result(v, (size_t)run->me * c->count, c->count, want);
        break;
    default:
        values_result(v, 0, c->count, want);
        break;
    }
    check_elems(run, got, want, c->count, "the result");
}

/* A sendbuf of its own is as it was. */
static void check_input(struct case_run *run, unsigned char *want)
{
    bool in_place =
        (run->send.memory != NULL) != (run->recv.memory != NULL) && sends(run) && receives(run);
    if (in_place || run->send.memory == NULL) {
        return;
    }
    size_t nelems = run->c.count * send_blocks(run);
    values_input(&run->values, run->me, 0, nelems, want);
    RANK_CHECK(run->rank, memcmp(run->sendbuf, want, block_nbytes(run) * send_blocks(run)) == 0,
               "the input was changed");
}

void case_drop(struct case_run *run)
{
    if (case_reduces(run->c.kind) && run->c.op == VALUES_PREMUL) {
        RANK_OK(run->rank, whorl_redop_destroy(run->op, run->comm));
    }
    free(run->send.memory);
    free(run->recv.memory);
    free(run);
}

void case_end(struct case_run *run)
{
    if (run->c.kind != CASE_BARRIER) {
        unsigned char *want = malloc(block_nbytes(run) * send_blocks(run) + 1);
        RANK_CHECK(run->rank, want != NULL, "no memory");
        if (receives(run)) {
            check_result(run, want);
        }
        check_input(run, want);
        free(want);
        area_check_guards(run, &run->send, "send");
        area_check_guards(run, &run->recv, "receive");
    }
    case_drop(run);
}

void case_do(struct rank *rank, whorl_comm_t comm, const struct coll_case *c)
{
    char text[224];
    case_print(c, text, sizeof(text));
    rank_at(rank, "is in %s", text);
    struct case_run *run = case_begin(rank, comm, c);
    RANK_OK(rank, case_call(run, NULL));
    case_end(run);
}
