/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call is described by the blocks that a rank sends and those that it receives. Filling,
 * checking and calling are then the same for all collectives; blocks of different sizes have sizes
 * and gaps that all ranks compute alike from the case's seed.
 */
#include "harness/cases.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD_NBYTES = 64, GUARD = 0xa5, EMPTY = GUARD ^ 0xff, MISALIGNED_MAX = 64 };

/* A buffer with guard bytes on both sides. */
struct area {
    unsigned char *memory;
    size_t memory_nbytes;
    enum case_memory kind;
    void *handle; /* of the registration */
    unsigned char *at;
    size_t nbytes;
};

/* One side of a call: n blocks of elements, or none. */
struct blocks {
    int n;
    size_t counts[RANKS_MAX], displs[RANKS_MAX];
    size_t extent;  /* from the buffer's start to its last element's end */
    size_t gap;     /* elements in front of each block */
    bool is_packed; /* one behind the other, in order */
};

struct case_run {
    struct rank *rank;
    whorl_comm_t comm;
    struct coll_case c;
    struct values values;
    int me, nranks;
    whorl_redop_t op;
    struct blocks out, in;
    bool in_place; /* here: one of the areas has memory, the other buffer is inside it */
    struct area send, recv;
    const void *sendbuf;
    void *recvbuf;
};

static const struct kind {
    const char *name;
    bool per_dest;   /* a block for every receiver; else one for all */
    bool per_source; /* a block from every sender; else one in all */
    bool from_root, to_root;
    bool reduces;
    bool is_v;
} kinds[CASE_KINDS] = {
    [CASE_ALL_REDUCE] = {.name = "all_reduce", .reduces = true},
    [CASE_ALL_GATHER] = {.name = "all_gather", .per_source = true},
    [CASE_REDUCE_SCATTER] = {.name = "reduce_scatter", .per_dest = true, .reduces = true},
    [CASE_BROADCAST] = {.name = "broadcast", .from_root = true},
    [CASE_REDUCE] = {.name = "reduce", .to_root = true, .reduces = true},
    [CASE_SENDRECV] = {.name = "sendrecv"},
    [CASE_BARRIER] = {.name = "barrier"},
    [CASE_ALL_TO_ALL] = {.name = "all_to_all", .per_dest = true, .per_source = true},
    [CASE_GATHER] = {.name = "gather", .per_source = true, .to_root = true},
    [CASE_SCATTER] = {.name = "scatter", .per_dest = true, .from_root = true},
    [CASE_ALL_GATHER_V] = {.name = "all_gather_v", .per_source = true, .is_v = true},
    [CASE_REDUCE_SCATTER_V] = {.name = "reduce_scatter_v",
                               .per_dest = true,
                               .reduces = true,
                               .is_v = true},
    [CASE_ALL_TO_ALL_V] = {.name = "all_to_all_v",
                           .per_dest = true,
                           .per_source = true,
                           .is_v = true},
    [CASE_GATHER_V] = {.name = "gather_v", .per_source = true, .to_root = true, .is_v = true},
    [CASE_SCATTER_V] = {.name = "scatter_v", .per_dest = true, .from_root = true, .is_v = true},
};

const char *case_kind_str(enum case_kind kind)
{
    return kinds[kind].name;
}

bool case_reduces(enum case_kind kind)
{
    return kinds[kind].reduces;
}

size_t case_buffer_nbytes(const struct coll_case *c, int nranks)
{
    const struct kind *kind = &kinds[c->kind];
    size_t nblocks = kind->per_dest || kind->per_source ? (size_t)nranks : 1;
    return c->count * whorl_dtype_nbytes(c->dtype) * nblocks * (kind->is_v ? 2 : 1);
}

void case_print(const struct coll_case *c, char *text, size_t text_nbytes)
{
    static const char *const memories[] = {"private", "symmetric", "registered"};
    const char *op = "";
    if (case_reduces(c->kind)) {
        op = c->op == VALUES_PREMUL ? "premulsum" : whorl_redop_str(c->op);
    }
    snprintf(text, text_nbytes,
             "%s(count %zu, %s, %s, root %d, %s, offsets %u %u, %s %s, seed %llu)",
             case_kind_str(c->kind), c->count, whorl_dtype_str(c->dtype), op, c->root,
             c->in_place ? "in place" : "out of place", c->send_offset, c->recv_offset,
             memories[c->send_memory], memories[c->recv_memory], (unsigned long long)c->seed);
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* Elements that rank `from` sends to rank `to`. */
static size_t block_count(const struct case_run *run, int from, int to)
{
    const struct coll_case *c = &run->c;
    const struct kind *kind = &kinds[c->kind];
    if (!kind->is_v) {
        return c->count;
    }
    uint64_t state = c->seed + (uint64_t)(kind->per_source ? from + 1 : 0) * 1000 +
                     (uint64_t)(kind->per_dest ? to + 1 : 0) * 77;
    const size_t counts[] = {0, c->count / 2, c->count, c->count + c->count / 3, 2 * c->count};
    return counts[ranks_random(&state) % 5];
}

/* Places the blocks whose sizes are set: packed, or if they may be anywhere also with gaps, or
 * backwards. */
static void place_blocks(const struct case_run *run, struct blocks *b, uint64_t salt, bool anywhere)
{
    uint64_t state = run->c.seed + salt;
    uint64_t choice = anywhere ? ranks_random(&state) % 3 : 0;
    b->is_packed = choice == 0;
    b->gap = choice == 1 ? 3 : 0;
    for (int i = 0; i < b->n; i++) {
        int block = choice == 2 ? b->n - 1 - i : i;
        b->displs[block] = b->extent + b->gap;
        b->extent = b->displs[block] + b->counts[block];
    }
}

static void list_blocks(struct case_run *run)
{
    const struct kind *kind = &kinds[run->c.kind];
    bool sends = run->c.kind != CASE_BARRIER && (!kind->from_root || run->me == run->c.root);
    bool receives = run->c.kind != CASE_BARRIER && (!kind->to_root || run->me == run->c.root);
    run->out.n = !sends ? 0 : kind->per_dest ? run->nranks : 1;
    run->in.n = !receives ? 0 : kind->per_source ? run->nranks : 1;
    for (int i = 0; i < run->out.n; i++) {
        run->out.counts[i] = block_count(run, run->me, kind->per_dest ? i : run->me);
    }
    for (int i = 0; i < run->in.n; i++) {
        run->in.counts[i] = block_count(run, kind->per_source ? i : run->c.root, run->me);
    }
    place_blocks(run, &run->out, 1, kind->is_v && kind->per_dest);
    place_blocks(run, &run->in, 2, kind->is_v && kind->per_source);
}

/* Where block `to` of a sender begins in the endless vector of its values. */
static size_t first_of(const struct case_run *run, int to)
{
    return kinds[run->c.kind].per_dest ? (size_t)to * run->c.count : 0;
}

static size_t elem_nbytes(const struct case_run *run)
{
    return whorl_dtype_nbytes(run->c.dtype);
}

/* What this rank sends, with gaps, as it must be in front of and behind the call. */
static void fill_out(const struct case_run *run, unsigned char *to)
{
    memset(to, EMPTY, run->out.extent * elem_nbytes(run));
    for (int i = 0; i < run->out.n; i++) {
        values_input(&run->values, run->me, first_of(run, i), run->out.counts[i],
                     to + run->out.displs[i] * elem_nbytes(run));
    }
}

/* Who sends block i of what this rank receives; not for reductions. */
static int source_of(const struct case_run *run, int i)
{
    if (run->c.kind == CASE_SENDRECV) {
        return (run->me + run->nranks - run->c.root % run->nranks) % run->nranks;
    }
    return kinds[run->c.kind].per_source ? i : run->c.root;
}

/* ---- buffers -------------------------------------------------------------------------------- */

static void area_get_memory(struct case_run *run, struct area *area)
{
    struct rank *rank = run->rank;
    size_t nbytes = area->memory_nbytes;
    void *memory = NULL;
    if (area->kind == CASE_PRIVATE) {
        int err = posix_memalign(&memory, MISALIGNED_MAX, nbytes);
        RANK_CHECK(rank, err == 0, "no memory for a buffer of %zu bytes", nbytes);
    } else if (area->kind == CASE_SYMMETRIC) {
        RANK_OK(rank, whorl_mem_alloc(nbytes, &memory));
    } else {
        int fd = memfd_create("whorl-tests", MFD_CLOEXEC);
        RANK_CHECK(rank, fd >= 0 && ftruncate(fd, (off_t)nbytes) == 0, "memfd: %s",
                   strerror(errno));
        memory = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        RANK_CHECK(rank, memory != MAP_FAILED, "mmap: %s", strerror(errno));
        RANK_OK(rank, whorl_comm_register(run->comm, memory, nbytes, &area->handle));
        close(fd);
    }
    area->memory = memory;
}

static void area_fini(struct case_run *run, struct area *area)
{
    if (area->memory == NULL) {
        return;
    }
    if (area->kind == CASE_PRIVATE) {
        free(area->memory);
    } else if (area->kind == CASE_SYMMETRIC) {
        RANK_OK(run->rank, whorl_mem_free(area->memory));
    } else {
        RANK_OK(run->rank, whorl_comm_deregister(run->comm, area->handle));
        munmap(area->memory, area->memory_nbytes);
    }
}

static void area_init(struct case_run *run, struct area *area, size_t nelems, unsigned offset,
                      enum case_memory kind)
{
    area->kind = kind;
    area->nbytes = nelems * elem_nbytes(run);
    area->memory_nbytes = area->nbytes + 2 * GUARD_NBYTES + MISALIGNED_MAX;
    area_get_memory(run, area);
    area->at = area->memory + GUARD_NBYTES + offset % MISALIGNED_MAX;
    memset(area->at - GUARD_NBYTES, GUARD, GUARD_NBYTES);
    memset(area->at, EMPTY, area->nbytes);
    memset(area->at + area->nbytes, GUARD, GUARD_NBYTES);
}

static void area_check_guards(struct case_run *run, const struct area *area, const char *name)
{
    for (size_t i = 0; area->memory != NULL && i < GUARD_NBYTES; i++) {
        RANK_CHECK(run->rank,
                   area->at[-1 - (ptrdiff_t)i] == GUARD && area->at[area->nbytes + i] == GUARD,
                   "bytes around the %s buffer were written", name);
    }
}

static bool has_in_place(enum case_kind kind)
{
    return kind != CASE_SENDRECV && kind != CASE_BARRIER && kind != CASE_ALL_TO_ALL &&
           kind != CASE_ALL_TO_ALL_V;
}

/* The buffer with more blocks holds the other one as its block of this rank. */
static void make_buffer_in_place(struct case_run *run)
{
    const struct kind *kind = &kinds[run->c.kind];
    struct area *whole = kind->per_dest ? &run->send : &run->recv;
    const struct blocks *blocks = kind->per_dest ? &run->out : &run->in;
    area_init(run, whole, blocks->extent, run->c.recv_offset, run->c.recv_memory);
    size_t mine = kind->per_dest || kind->per_source ? blocks->displs[run->me] : 0;
    unsigned char *part = whole->at + mine * elem_nbytes(run);
    run->sendbuf = kind->per_source ? part : whole->at;
    run->recvbuf = kind->per_dest ? part : whole->at;
    fill_out(run, kind->per_source ? part : whole->at);
}

static void make_buffers(struct case_run *run)
{
    const struct coll_case *c = &run->c;
    run->in_place = c->in_place && run->out.n > 0 && run->in.n > 0 && has_in_place(c->kind);
    if (run->in_place) {
        make_buffer_in_place(run);
        return;
    }
    if (run->out.n > 0) {
        area_init(run, &run->send, run->out.extent, c->send_offset, c->send_memory);
        fill_out(run, run->send.at);
        run->sendbuf = run->send.at;
    }
    if (run->in.n > 0) {
        area_init(run, &run->recv, run->in.extent, c->recv_offset, c->recv_memory);
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
    list_blocks(run);
    make_buffers(run);
    return run;
}

/* ---- the call ------------------------------------------------------------------------------- */

static whorl_result_t call_sendrecv(struct case_run *run, whorl_stream_t stream)
{
    const struct coll_case *c = &run->c;
    int to = (run->me + c->root) % run->nranks;
    int from = source_of(run, 0);
    whorl_result_t rc = whorl_group_start();
    whorl_result_t send_rc = whorl_send(run->sendbuf, c->count, c->dtype, to, run->comm, stream);
    whorl_result_t recv_rc = whorl_recv(run->recvbuf, c->count, c->dtype, from, run->comm, stream);
    whorl_result_t end_rc = whorl_group_end();
    rc = rc != WHORL_OK ? rc : send_rc;
    rc = rc != WHORL_OK ? rc : recv_rc;
    return rc != WHORL_OK ? rc : end_rc;
}

static whorl_result_t call_v(struct case_run *run, whorl_stream_t stream)
{
    const struct coll_case *c = &run->c;
    const struct blocks *out = &run->out, *in = &run->in;
    const size_t *out_displs = out->is_packed ? NULL : out->displs;
    const size_t *in_displs = in->is_packed ? NULL : in->displs;
    const void *from = run->sendbuf;
    void *to = run->recvbuf;
    bool is_root = run->me == c->root;
    switch (c->kind) {
    case CASE_ALL_GATHER_V:
        return whorl_all_gather_v(from, out->counts[0], to, in->counts, in_displs, c->dtype,
                                  run->comm, stream);
    case CASE_REDUCE_SCATTER_V:
        return whorl_reduce_scatter_v(from, out->counts, out_displs, to, in->counts[0], c->dtype,
                                      run->op, run->comm, stream);
    case CASE_ALL_TO_ALL_V:
        return whorl_all_to_all_v(from, out->counts, out_displs, to, in->counts, in_displs,
                                  c->dtype, run->comm, stream);
    case CASE_GATHER_V:
        return whorl_gather_v(from, out->counts[0], to, is_root ? in->counts : NULL, in_displs,
                              c->dtype, c->root, run->comm, stream);
    default:
        return whorl_scatter_v(from, is_root ? out->counts : NULL, out_displs, to, in->counts[0],
                               c->dtype, c->root, run->comm, stream);
    }
}

whorl_result_t case_call(struct case_run *run, whorl_stream_t stream)
{
    const struct coll_case *c = &run->c;
    const void *from = run->sendbuf;
    void *to = run->recvbuf;
    switch (c->kind) {
    case CASE_ALL_REDUCE:
        return whorl_all_reduce(from, to, c->count, c->dtype, run->op, run->comm, stream);
    case CASE_ALL_GATHER:
        return whorl_all_gather(from, to, c->count, c->dtype, run->comm, stream);
    case CASE_REDUCE_SCATTER:
        return whorl_reduce_scatter(from, to, c->count, c->dtype, run->op, run->comm, stream);
    case CASE_BROADCAST:
        return whorl_broadcast(from, to, c->count, c->dtype, c->root, run->comm, stream);
    case CASE_REDUCE:
        return whorl_reduce(from, to, c->count, c->dtype, run->op, c->root, run->comm, stream);
    case CASE_SENDRECV:
        return call_sendrecv(run, stream);
    case CASE_BARRIER:
        return whorl_barrier(run->comm, stream);
    case CASE_ALL_TO_ALL:
        return whorl_all_to_all(from, to, c->count, c->dtype, run->comm, stream);
    case CASE_GATHER:
        return whorl_gather(from, to, c->count, c->dtype, c->root, run->comm, stream);
    case CASE_SCATTER:
        return whorl_scatter(from, to, c->count, c->dtype, c->root, run->comm, stream);
    default:
        return call_v(run, stream);
    }
}

/* ---- what has come out ---------------------------------------------------------------------- */

/* Checks nelems elements at `at` against what `want` holds. */
static void check_elems(struct case_run *run, const void *at, const void *want, size_t nelems,
                        int block)
{
    size_t i = values_first_wrong(&run->values, at, want, nelems);
    if (i == nelems) {
        return;
    }
    char text[256];
    case_print(&run->c, text, sizeof(text));
    size_t elem = elem_nbytes(run);
    unsigned long long got = 0, wanted = 0;
    memcpy(&got, (const unsigned char *)at + i * elem, elem);
    memcpy(&wanted, (const unsigned char *)want + i * elem, elem);
    rank_fail(run->rank, __FILE__, __LINE__,
              "%s by rank %d of %d: block %d: element %zu of %zu has bits 0x%llx, not 0x%llx", text,
              run->me, run->nranks, block, i, nelems, got, wanted);
}

static void check_result(struct case_run *run, unsigned char *want)
{
    const struct blocks *in = &run->in;
    const unsigned char *got = run->recvbuf;
    for (int i = 0; i < in->n; i++) {
        if (case_reduces(run->c.kind)) {
            values_result(&run->values, first_of(run, run->me), in->counts[i], want);
        } else {
            values_input(&run->values, source_of(run, i), first_of(run, run->me), in->counts[i],
                         want);
        }
        check_elems(run, got + in->displs[i] * elem_nbytes(run), want, in->counts[i], i);
    }
}

/* Between the blocks nothing was written. */
static void check_gaps(struct case_run *run)
{
    const struct blocks *in = &run->in;
    const unsigned char *got = run->recvbuf;
    size_t elem = elem_nbytes(run);
    for (int i = 0; i < in->n && in->gap > 0; i++) {
        for (size_t at = (in->displs[i] - in->gap) * elem; at < in->displs[i] * elem; at++) {
            RANK_CHECK(run->rank, got[at] == EMPTY, "byte %zu before block %d was written", at, i);
        }
    }
}

/* A sendbuf of its own is as it was. */
static void check_input(struct case_run *run, unsigned char *want)
{
    if (run->in_place || run->send.memory == NULL) {
        return;
    }
    fill_out(run, want);
    RANK_CHECK(run->rank, memcmp(run->sendbuf, want, run->out.extent * elem_nbytes(run)) == 0,
               "the input was changed");
}

void case_drop(struct case_run *run)
{
    if (case_reduces(run->c.kind) && run->c.op == VALUES_PREMUL) {
        RANK_OK(run->rank, whorl_redop_destroy(run->op, run->comm));
    }
    area_fini(run, &run->send);
    area_fini(run, &run->recv);
    free(run);
}

void case_end(struct case_run *run)
{
    if (run->c.kind != CASE_BARRIER) {
        size_t nelems = run->out.extent > run->in.extent ? run->out.extent : run->in.extent;
        unsigned char *want = malloc(nelems * elem_nbytes(run) + 1);
        RANK_CHECK(run->rank, want != NULL, "no memory");
        check_result(run, want);
        check_gaps(run);
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
