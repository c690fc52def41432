/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thousands of operations back to back, each of a random kind, size, datatype, reduction, root and
 * placement: blocking, in groups, on streams, single messages, on two communicators at once, with
 * ranks that are late now and then. Every result is checked.
 *
 * All ranks read the same script, a sequence of random numbers; what is each rank's own affair
 * (delays, misalignment, where its buffers are) comes from a sequence of its own.
 * WHORL_TESTS_SEED sets another seed, WHORL_TESTS_SOAK_OPS how many operations a job does.
 */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NOPS = VALUES_PREMUL + 1, NCOMMS = 2, NSTREAMS = 2, NPENDING = 6, NSEEDS = 5 };
enum { BUFFER_NBYTES_MAX = 5 << 18 };
enum { ENOUGH_MS = 60000, NOPS_BETWEEN_LOOKS = 200 };

struct soak {
    int nops;
    uint64_t seed;
};

struct worker {
    struct rank *rank;
    uint64_t script, own; /* states of the two sequences */
    whorl_comm_t comms[NCOMMS];
    whorl_stream_t streams[NSTREAMS];
    struct case_run *pending[NPENDING]; /* begun and not checked */
    int npending;
    int nops;     /* done or begun */
    int nops_end; /* when there are so many, it is enough, or time to look at the clock */
};

/* A number below n that all ranks draw. */
static size_t draw(struct worker *w, size_t n)
{
    return (size_t)(ranks_random(&w->script) % n);
}

/* A number below n of this rank. */
static size_t draw_own(struct worker *w, size_t n)
{
    return (size_t)(ranks_random(&w->own) % n);
}

/* Bytes of a block: most are small, many lie around the sizes at which the library changes its
 * ways. */
static size_t draw_nbytes(struct worker *w)
{
    size_t dice = draw(w, 400);
    size_t nranks = (size_t)w->rank->nranks;
    if (dice < 20) {
        return 0;
    }
    if (dice < 100) {
        return draw(w, 65);
    }
    if (dice < 140) {
        return 56 / (draw(w, 2) ? nranks : 1) - 8 + draw(w, 17);
    }
    if (dice < 220) {
        return 8192 / (draw(w, 2) ? nranks : 1) - 8 + draw(w, 17);
    }
    if (dice < 360) {
        return draw(w, 16384);
    }
    if (dice < 397) {
        return draw(w, 65536);
    }
    return dice < 399 ? draw(w, 400000) : (1 << 20) - 64 + draw(w, 129);
}

static enum case_memory draw_memory(struct worker *w)
{
    size_t dice = draw_own(w, 20);
    return dice < 17 ? CASE_PRIVATE : dice < 19 ? CASE_SYMMETRIC : CASE_REGISTERED;
}

static struct coll_case draw_case(struct worker *w)
{
    struct coll_case c = {
        .kind = (enum case_kind)draw(w, CASE_KINDS),
        .dtype = (whorl_dtype_t)draw(w, WHORL_DTYPE_COUNT),
        .op = (int)draw(w, NOPS),
        .root = (int)draw(w, (size_t)w->rank->nranks),
        .in_place = draw(w, 2) == 0,
        .seed = draw(w, NSEEDS) + 1,
    };
    c.count = draw_nbytes(w) / whorl_dtype_nbytes(c.dtype);
    size_t nbytes = case_buffer_nbytes(&c, w->rank->nranks);
    if (nbytes > BUFFER_NBYTES_MAX) {
        c.count /= nbytes / BUFFER_NBYTES_MAX + 1;
    }
    c.send_memory = draw_memory(w);
    c.recv_memory = draw_memory(w);
    if (draw_own(w, 2) == 0) {
        c.send_offset = (unsigned)draw_own(w, 64);
        c.recv_offset = (unsigned)draw_own(w, 64);
    }
    return c;
}

static void be_late_sometimes(struct worker *w)
{
    if (draw_own(w, 30) == 0) {
        usleep((useconds_t)draw_own(w, 200));
    }
}

/* Begins one more operation, which gather() will check. */
static struct case_run *begin(struct worker *w, const char *how)
{
    struct coll_case c = draw_case(w);
    whorl_comm_t comm = w->comms[draw(w, NCOMMS)];
    char text[200];
    case_print(&c, text, sizeof(text));
    rank_at(w->rank, "is in operation %d, %s, %s", w->nops, how, text);
    struct case_run *run = case_begin(w->rank, comm, &c);
    be_late_sometimes(w);
    w->nops++;
    return run;
}

/* Waits for the streams and checks what was pending. */
static void gather(struct worker *w)
{
    for (int i = 0; i < NSTREAMS; i++) {
        RANK_OK(w->rank, whorl_stream_synchronize(w->streams[i]));
    }
    for (int i = 0; i < w->npending; i++) {
        case_end(w->pending[i]);
    }
    w->npending = 0;
}

static void call_blocking(struct worker *w)
{
    struct case_run *run = begin(w, "blocking");
    RANK_OK(w->rank, case_call(run, NULL));
    case_end(run);
}

static void queue(struct worker *w)
{
    struct case_run *run = begin(w, "on a stream");
    RANK_OK(w->rank, case_call(run, w->streams[draw(w, NSTREAMS)]));
    w->pending[w->npending++] = run;
    if (w->npending == NPENDING) {
        gather(w);
    }
}

static void call_group(struct worker *w)
{
    struct case_run *runs[3];
    int n = 1 + (int)draw(w, 3);
    whorl_stream_t stream = draw(w, 2) ? w->streams[draw(w, NSTREAMS)] : NULL;
    for (int i = 0; i < n; i++) {
        runs[i] = begin(w, "in a group");
    }
    RANK_OK(w->rank, whorl_group_start());
    for (int i = 0; i < n; i++) {
        RANK_OK(w->rank, case_call(runs[i], stream));
    }
    RANK_OK(w->rank, whorl_group_end());
    if (stream != NULL) {
        RANK_OK(w->rank, whorl_stream_synchronize(stream));
    }
    for (int i = 0; i < n; i++) {
        case_end(runs[i]);
    }
}

/* One rank sends a message, another one receives it, and the rest has nothing to do. */
static void send_message(struct worker *w)
{
    size_t nranks = (size_t)w->rank->nranks, nbytes = draw_nbytes(w);
    size_t from = draw(w, nranks), to = (from + 1 + draw(w, nranks - 1)) % nranks;
    whorl_comm_t comm = w->comms[draw(w, NCOMMS)];
    const struct values v = {.dtype = WHORL_UINT8, .op = VALUES_COPY, .nranks = w->rank->nranks};
    size_t me = (size_t)w->rank->rank;
    rank_at(w->rank, "is in operation %d, %zu bytes from %zu to %zu", w->nops, nbytes, from, to);
    be_late_sometimes(w);
    w->nops++;
    if (me != from && me != to) {
        return;
    }
    unsigned char *bytes = malloc(nbytes + 1), *want = malloc(nbytes + 1);
    RANK_CHECK(w->rank, bytes != NULL && want != NULL, "no memory");
    values_input(&v, (int)from, 0, nbytes, want);
    if (me == from) {
        RANK_OK(w->rank, whorl_send(want, nbytes, WHORL_UINT8, (int)to, comm, NULL));
    } else {
        memset(bytes, 0, nbytes);
        RANK_OK(w->rank, whorl_recv(bytes, nbytes, WHORL_UINT8, (int)from, comm, NULL));
        RANK_CHECK(w->rank, memcmp(bytes, want, nbytes) == 0, "operation %d: a wrong message",
                   w->nops - 1);
    }
    free(bytes);
    free(want);
}

/* Is it enough? On a machine that has much else to do a job ends early, when all ranks agree. */
static bool is_over(struct worker *w, int nops, int64_t end_ms)
{
    if (w->nops < w->nops_end) {
        return false;
    }
    int32_t late = rank_now_ms() > end_ms, any_late = 0;
    RANK_OK(w->rank,
            whorl_all_reduce(&late, &any_late, 1, WHORL_INT32, WHORL_MAX, w->rank->comm, NULL));
    if (any_late && w->rank->rank == 0) {
        fprintf(stderr, "only %d operations of %d: the machine is slow\n", w->nops, nops);
    }
    w->nops_end = w->nops + NOPS_BETWEEN_LOOKS;
    return any_late || w->nops >= nops;
}

static void soak(struct rank *rank)
{
    const struct soak *soak = rank->arg;
    struct worker w = {
        .rank = rank,
        .script = soak->seed,
        .own = soak->seed + 1000 + (uint64_t)rank->rank,
        .comms[0] = rank->comm,
    };
    RANK_OK(rank, whorl_comm_split(rank->comm, 0, 0, NULL, &w.comms[1]));
    for (int i = 0; i < NSTREAMS; i++) {
        RANK_OK(rank, whorl_stream_create(&w.streams[i]));
    }
    int64_t end_ms = rank_now_ms() + ENOUGH_MS;
    while (!is_over(&w, soak->nops, end_ms)) {
        size_t dice = draw(&w, 10);
        if (dice < 5) {
            call_blocking(&w);
        } else if (dice < 7) {
            queue(&w);
        } else if (dice < 9) {
            call_group(&w);
        } else {
            send_message(&w);
        }
    }
    rank_at(rank, "ends after %d operations", w.nops);
    gather(&w);
    for (int i = 0; i < NSTREAMS; i++) {
        RANK_OK(rank, whorl_stream_destroy(w.streams[i]));
    }
    RANK_OK(rank, whorl_comm_destroy(w.comms[1]));
}

static void soak_ranks(int nprocesses, int nthreads, const char *const *env)
{
    const char *text = getenv("WHORL_TESTS_SOAK_OPS");
    int nops = text != NULL ? atoi(text) : RANKS_SLOW_BUILD ? 2000 : 10000;
    struct soak plan = {.nops = nops, .seed = ranks_seed()};
    cr_assert(nops > 0, "WHORL_TESTS_SOAK_OPS=%s", text);
    fprintf(stderr, "%d processes of %d threads, %d operations, WHORL_TESTS_SEED=%llu\n",
            nprocesses, nthreads, nops, (unsigned long long)plan.seed);
    ranks_run(&(struct ranks_job){
        .nprocesses = nprocesses, .nthreads = nthreads, .run = soak, .arg = &plan, .env = env});
}

Test(soak, of_two_processes)
{
    soak_ranks(2, 1, NULL);
}

Test(soak, of_two_threads)
{
    soak_ranks(1, 2, NULL);
}

Test(soak, of_three_processes)
{
    soak_ranks(3, 1, NULL);
}

Test(soak, of_three_threads)
{
    soak_ranks(1, 3, NULL);
}

Test(soak, of_five_processes)
{
    soak_ranks(5, 1, NULL);
}

Test(soak, of_five_threads)
{
    soak_ranks(1, 5, NULL);
}

Test(soak, of_two_processes_of_two_threads)
{
    soak_ranks(2, 2, NULL);
}

/* Over links alone, and with chunks so small that large operations have many. */
Test(soak, of_two_processes_without_an_arena)
{
    static const char *const env[] = {"WHORL_ALGO=^arena", NULL};
    soak_ranks(2, 1, env);
}

Test(soak, of_three_threads_without_an_arena)
{
    static const char *const env[] = {"WHORL_ALGO=^arena", NULL};
    soak_ranks(1, 3, env);
}

Test(soak, of_three_processes_with_small_chunks)
{
    static const char *const env[] = {"WHORL_CHUNK=128K", NULL};
    soak_ranks(3, 1, env);
}
