/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine itself takes, measured like a library; for compare.py. Its "AllReduce" of
 * buffers that all ranks have mapped is the least work there is: each rank reads its part of every
 * input and writes the sum to every output, between two waits for the others. For large vectors
 * that is the roofline, for small ones about two hand-overs of a cache line; a hand-over alone is
 * PEER_PING_PONG.
 *
 * Both are told: PEER_ALL_REDUCE writes outputs through the caches, PEER_STREAM past them.
 *
 * usage: floor BOARD RANK NRANKS MEMORY
 *   MEMORY   a file in shared memory that all ranks map, of any size; grown as needed
 */
#define _GNU_SOURCE
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { LINE_FLOATS = 16, SPINS = 2000 };

static struct board *board;
static int my_rank, nranks, memory_fd;
static unsigned nallocs;
/* Where the inputs and outputs of all ranks are mapped; [0] inputs, [1] outputs. */
static float *buffers[2][BOARD_RANKS_MAX];

/* One word that one rank writes, on lines of its own. */
struct flag {
    uint64_t value;
    uint8_t pad[120];
};
static struct flag *flags; /* [nranks], at the start of MEMORY */
static uint64_t round_number, bounce_number;

static void wait_for(const uint64_t *word, uint64_t value)
{
    for (int spins = 0; __atomic_load_n(word, __ATOMIC_ACQUIRE) < value; spins++) {
        if (spins > SPINS) {
            sched_yield();
        } else {
#if defined(__x86_64__)
            _mm_pause();
#endif
        }
    }
}

static void meet(void)
{
    __atomic_store_n(&flags[my_rank].value, ++round_number, __ATOMIC_RELEASE);
    for (int r = 0; r < nranks; r++) {
        wait_for(&flags[r].value, round_number);
    }
}

static void ping_pong(void)
{
    uint64_t *mine = (void *)board->line[my_rank & 1], *other = (void *)board->line[~my_rank & 1];
    bounce_number++;
    if (my_rank == 0) {
        __atomic_store_n(mine, bounce_number, __ATOMIC_RELEASE);
        wait_for(other, bounce_number);
    } else if (my_rank == 1) {
        wait_for(other, bounce_number);
        __atomic_store_n(mine, bounce_number, __ATOMIC_RELEASE);
    }
}

/* One line of floats to the same place of all outputs. */
static inline void store_line(const float *sum, size_t at, bool streaming)
{
    for (int r = 0; r < nranks; r++) {
        float *out = buffers[1][r] + at;
#if defined(__x86_64__)
        if (streaming) {
            for (int i = 0; i < LINE_FLOATS; i += 4) {
                _mm_stream_ps(out + i, _mm_loadu_ps(sum + i));
            }
            continue;
        }
#endif
        memcpy(out, sum, LINE_FLOATS * sizeof(float));
    }
}

static void add(size_t begin, size_t end, bool streaming)
{
    size_t at = begin;
    for (; at + LINE_FLOATS <= end; at += LINE_FLOATS) {
        float sum[LINE_FLOATS] __attribute__((aligned(64)));
        memcpy(sum, buffers[0][0] + at, sizeof(sum));
        for (int r = 1; r < nranks; r++) {
            for (int i = 0; i < LINE_FLOATS; i++) {
                sum[i] += buffers[0][r][at + (size_t)i];
            }
        }
        store_line(sum, at, streaming);
    }
    for (; at < end; at++) {
        float sum = 0;
        for (int r = 0; r < nranks; r++) {
            sum += buffers[0][r][at];
        }
        for (int r = 0; r < nranks; r++) {
            buffers[1][r][at] = sum;
        }
    }
#if defined(__x86_64__)
    if (streaming) {
        _mm_sfence();
    }
#endif
}

static int run(const struct peer_call *call, char *text, size_t text_nbytes)
{
    if (call->coll == PEER_PING_PONG) {
        ping_pong();
        return 0;
    }
    bool streaming = call->coll == PEER_STREAM;
    if ((call->coll != PEER_ALL_REDUCE && !streaming) || call->dtype != PEER_FLOAT32) {
        snprintf(text, text_nbytes, "not measured");
        return -1;
    }
    size_t nlines = (call->count + LINE_FLOATS - 1) / LINE_FLOATS;
    size_t begin = nlines * (size_t)my_rank / (size_t)nranks * LINE_FLOATS;
    size_t end = nlines * (size_t)(my_rank + 1) / (size_t)nranks * LINE_FLOATS;
    meet();
    add(begin, end < call->count ? end : call->count, streaming);
    meet();
    return 0;
}

/* The next of each rank's two buffers: MEMORY has the flags, then all inputs, then all outputs. */
static void *map_buffers(size_t nbytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t stride = (nbytes + page - 1) / page * page;
    const unsigned kind = nallocs++ % 2;
    const size_t flags_nbytes = BOARD_RANKS_MAX * sizeof(struct flag);
    const size_t all = stride * (size_t)nranks;
    if (ftruncate(memory_fd, (off_t)(flags_nbytes + 2 * all)) != 0) {
        return NULL;
    }
    uint8_t *memory = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memory_fd,
                           (off_t)(flags_nbytes + kind * all));
    if (memory == MAP_FAILED) {
        return NULL;
    }
    for (int r = 0; r < nranks; r++) {
        buffers[kind][r] = (float *)(void *)(memory + (size_t)r * stride);
    }
    return buffers[kind][my_rank];
}

static void unmap_buffers(void *memory, size_t nbytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t stride = (nbytes + page - 1) / page * page;
    for (int kind = 0; kind < 2; kind++) {
        if (buffers[kind][my_rank] == memory) {
            madvise(buffers[kind][0], stride * (size_t)nranks, MADV_REMOVE);
            munmap(buffers[kind][0], stride * (size_t)nranks);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s BOARD RANK NRANKS MEMORY\n", argv[0]);
        return 2;
    }
    my_rank = atoi(argv[2]);
    nranks = atoi(argv[3]);
    board = peer_attach(argv[1]);
    memory_fd = open(argv[4], O_RDWR | O_CLOEXEC);
    if (board == NULL || memory_fd < 0 || nranks < 1 || nranks > BOARD_RANKS_MAX ||
        ftruncate(memory_fd, BOARD_RANKS_MAX * sizeof(struct flag)) != 0) {
        fprintf(stderr, "%s: %s\n", argv[4], strerror(errno));
        return 1;
    }
    flags = mmap(NULL, BOARD_RANKS_MAX * sizeof(struct flag), PROT_READ | PROT_WRITE, MAP_SHARED,
                 memory_fd, 0);
    if (flags == MAP_FAILED) {
        fprintf(stderr, "%s: %s\n", argv[4], strerror(errno));
        return 1;
    }
    struct peer_library library = {
        .caps = peer_cap(PEER_ALL_REDUCE, PEER_FLOAT32) | peer_cap(PEER_STREAM, PEER_FLOAT32) |
                peer_cap(PEER_PING_PONG, PEER_FLOAT32),
        .run = run,
        .alloc = map_buffers,
        .free = unmap_buffers,
    };
    snprintf(library.version, sizeof(library.version), "the machine itself");
    return peer_serve(&library, my_rank, nranks, board);
}
