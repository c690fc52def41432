/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ranks' side of the board: inputs, bursts of operations, their times, the check of results.
 *
 * A burst is nwarm untimed iterations, then niters timed ones. In every iteration each rank writes
 * its whole input anew, as the program around a collective does, and then calls the operation. So
 * inputs lie in the caches of their writers, no copy of an earlier iteration can be of use, and a
 * library cannot be flattered by what it left behind. What the writing costs is measured right
 * after by the same loop without the operation. The time of an operation is
 *
 *     (wall time of both - wall time of writing alone) / niters
 *
 * with wall times from the first rank's start to the last rank's end: what the operation adds to a
 * program that does nothing else, on all ranks together. (Reading the clock around each operation
 * instead would charge ranks that share a processor for one another's writing.) Whatever extra
 * writing costs because the operation left the input in other caches counts as the operation's.
 * Without BOARD_REFRESH the input is written once per burst, and the second loop is left out.
 *
 * Values are small integers, so that every sum is exact in both types whatever its order; each
 * element tells its index, rank and iteration apart from its neighbours', and every element of the
 * last iteration's result is compared, bit by bit, on every rank.
 */
#define _GNU_SOURCE
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { RUN = 512, PHASES = 16 }; /* elements copied from the table at once; distinct values */

struct server {
    const struct peer_library *library;
    struct board *board;
    struct board_slot *slot;
    int rank, nranks;
    uint8_t *in, *out;
    size_t in_nbytes, out_nbytes; /* of the allocations */
    uint64_t salt;                /* makes the values of this command differ from the last one's */
};

/* What a command means for this rank, in elements. */
struct shape {
    enum peer_coll coll;
    enum peer_dtype dtype;
    size_t elem_nbytes;
    size_t count; /* as in struct peer_call */
    size_t in_count, out_count;
};

/* Values of rank r: table[0] has (i & 15); of a sum: what nranks inputs add up to at that phase. */
static uint8_t input_table[PEER_DTYPES][(RUN + PHASES) * sizeof(float)];
static uint8_t sum_table[PEER_DTYPES][(RUN + PHASES) * sizeof(float)];

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Until *word is not value, or for some seconds. */
static void futex_wait(uint32_t *word, uint32_t value)
{
    const struct timespec limit = {.tv_sec = 5};
    syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, NULL, 0);
}

static void futex_wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, 1 << 30, NULL, NULL, 0);
}

uint64_t peer_caps(enum peer_dtype dtype)
{
    uint64_t caps = 0;
    for (unsigned coll = PEER_ALL_REDUCE; coll <= PEER_ALL_TO_ALL; coll++) {
        caps |= peer_cap((enum peer_coll)coll, dtype);
    }
    return caps;
}

struct board *peer_attach(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return NULL;
    }
    void *memory = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED || ((struct board *)memory)->version != BOARD_VERSION) {
        fprintf(stderr, "%s: no board of version %d\n", path, BOARD_VERSION);
        return NULL;
    }
    return memory;
}

/* ---- values --------------------------------------------------------------------------------- */

static void put(uint8_t *table, enum peer_dtype dtype, size_t index, unsigned value)
{
    float f = (float)value;
    uint32_t bits;
    memcpy(&bits, &f, sizeof(bits));
    if (dtype == PEER_FLOAT32) {
        memcpy(table + index * sizeof(bits), &bits, sizeof(bits));
    } else {
        uint16_t upper = (uint16_t)(bits >> 16); /* exact: integers below 256 */
        memcpy(table + index * sizeof(upper), &upper, sizeof(upper));
    }
}

static void fill_tables(int nranks)
{
    for (unsigned dtype = 0; dtype < PEER_DTYPES; dtype++) {
        for (unsigned i = 0; i < RUN + PHASES; i++) {
            unsigned sum = 0;
            for (unsigned r = 0; r < (unsigned)nranks; r++) {
                sum += (i + 3 * r) % PHASES;
            }
            put(input_table[dtype], (enum peer_dtype)dtype, i, i % PHASES);
            put(sum_table[dtype], (enum peer_dtype)dtype, i, sum);
        }
    }
}

/* Where in the table run number run of a vector starts; salt has the iteration, and 3 * rank. */
static size_t phase_of(size_t run, uint64_t salt)
{
    return (run * 5 + (run >> 4) * 7 + (run >> 8) * 3 + salt) % PHASES;
}

static void write_input(const struct server *server, const struct shape *shape, uint64_t iteration)
{
    const uint8_t *table = input_table[shape->dtype];
    uint64_t salt = server->salt + iteration + 3 * (uint64_t)server->rank;
    for (size_t run = 0; run * RUN < shape->in_count; run++) {
        size_t left = shape->in_count - run * RUN, n = left < RUN ? left : RUN;
        memcpy(server->in + run * RUN * shape->elem_nbytes,
               table + phase_of(run, salt) * shape->elem_nbytes, n * shape->elem_nbytes);
    }
}

/* Elements of got that are not elements first... of the vector that table and salt describe. */
static uint64_t count_wrong(const uint8_t *got, size_t first, size_t count,
                            const struct shape *shape, const uint8_t *table, uint64_t salt)
{
    uint64_t nwrong = 0;
    for (size_t done = 0; done < count;) {
        size_t run = (first + done) / RUN, offset = (first + done) % RUN;
        size_t n = count - done < RUN - offset ? count - done : RUN - offset;
        const uint8_t *want = table + (phase_of(run, salt) + offset) * shape->elem_nbytes;
        const uint8_t *have = got + done * shape->elem_nbytes;
        if (memcmp(have, want, n * shape->elem_nbytes) != 0) {
            for (size_t i = 0; i < n; i++) {
                size_t at = i * shape->elem_nbytes;
                nwrong += memcmp(have + at, want + at, shape->elem_nbytes) != 0;
            }
        }
        done += n;
    }
    return nwrong;
}

/* Whether what an operation leaves behind depends on the inputs. */
static bool has_result(enum peer_coll coll)
{
    return coll <= PEER_ALL_TO_ALL || coll == PEER_STREAM;
}

/* Wrong elements in the result of the operation of this iteration. */
static uint64_t check(const struct server *server, const struct shape *shape, uint64_t iteration)
{
    const uint8_t *inputs = input_table[shape->dtype], *sums = sum_table[shape->dtype];
    uint64_t salt = server->salt + iteration, nwrong = 0;
    size_t block = shape->count * shape->elem_nbytes, me = (size_t)server->rank;
    int root = (int)(iteration % (uint64_t)server->nranks);
    switch (shape->coll) {
    case PEER_ALL_REDUCE:
    case PEER_STREAM:
        return count_wrong(server->out, 0, shape->count, shape, sums, salt);
    case PEER_REDUCE_SCATTER:
        return count_wrong(server->out, me * shape->count, shape->count, shape, sums, salt);
    case PEER_BROADCAST:
        return count_wrong(server->rank == root ? server->in : server->out, 0, shape->count, shape,
                           inputs, salt + 3 * (uint64_t)root);
    default:
        for (size_t r = 0; r < (size_t)server->nranks; r++) {
            size_t first = shape->coll == PEER_ALL_TO_ALL ? me * shape->count : 0;
            nwrong += count_wrong(server->out + r * block, first, shape->count, shape, inputs,
                                  salt + 3 * (uint64_t)r);
        }
        return nwrong;
    }
}

/* ---- buffers -------------------------------------------------------------------------------- */

static uint8_t *take_memory(const struct server *server, size_t nbytes)
{
    void *memory;
    if (server->library->alloc != NULL) {
        memory = server->library->alloc(nbytes);
    } else {
        memory = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memory = memory == MAP_FAILED ? NULL : memory;
    }
    if (memory != NULL) {
        memset(memory, 0, nbytes);
    }
    return memory;
}

static void give_memory(const struct server *server, uint8_t *memory, size_t nbytes)
{
    if (memory == NULL) {
        return;
    }
    if (server->library->free != NULL) {
        server->library->free(memory, nbytes);
    } else {
        munmap(memory, nbytes);
    }
}

static void release_buffers(struct server *server)
{
    give_memory(server, server->in, server->in_nbytes);
    give_memory(server, server->out, server->out_nbytes);
    server->in = server->out = NULL;
    server->in_nbytes = server->out_nbytes = 0;
}

/* Until all ranks are here. Yields, since there may be more ranks than processors. */
static void barrier(const struct server *server)
{
    struct board *board = server->board;
    uint32_t generation = __atomic_load_n(&board->generation, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&board->arrived, 1, __ATOMIC_ACQ_REL) == (uint32_t)server->nranks) {
        __atomic_store_n(&board->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&board->generation, generation + 1, __ATOMIC_RELEASE);
        return;
    }
    while (__atomic_load_n(&board->generation, __ATOMIC_ACQUIRE) == generation) {
        sched_yield();
    }
}

/* All ranks make the same calls in the same order: both buffers always have the same size. */
static int ready_buffers(struct server *server, size_t nbytes)
{
    size_t wanted = nbytes < 4096 ? 4096 : nbytes;
    if (server->in_nbytes >= wanted) {
        return 0;
    }
    release_buffers(server);
    barrier(server); /* before anyone writes to memory that another one might still give back */
    server->in = take_memory(server, wanted);
    server->out = take_memory(server, wanted);
    server->in_nbytes = server->out_nbytes = wanted;
    return server->in != NULL && server->out != NULL ? 0 : -1;
}

/* ---- bursts --------------------------------------------------------------------------------- */

static int shape_of(const struct board_command *command, int nranks, struct shape *shape_out)
{
    size_t elem_nbytes = command->dtype == PEER_FLOAT32 ? 4 : 2;
    size_t total = command->nbytes / elem_nbytes;
    size_t block = total / (size_t)nranks;
    bool in_blocks = command->coll == PEER_ALL_GATHER || command->coll == PEER_REDUCE_SCATTER ||
                     command->coll == PEER_ALL_TO_ALL;
    *shape_out = (struct shape){
        .coll = (enum peer_coll)command->coll,
        .dtype = (enum peer_dtype)command->dtype,
        .elem_nbytes = elem_nbytes,
        .count = in_blocks ? block : total,
        .in_count = command->coll == PEER_ALL_GATHER ? block : total,
        .out_count = command->coll == PEER_REDUCE_SCATTER ? block : total,
    };
    if (command->coll == PEER_PING_PONG || command->coll == PEER_EXCHANGE) {
        shape_out->count = shape_out->in_count = shape_out->out_count = 0;
        return 0;
    }
    return shape_out->count > 0 && (!in_blocks || block * (size_t)nranks == total) ? 0 : -1;
}

static int iterate(const struct server *server, const struct shape *shape, uint64_t first,
                   uint32_t n, bool refresh)
{
    for (uint64_t i = first; i < first + n; i++) {
        if (refresh) {
            write_input(server, shape, i);
        }
        struct peer_call call = {
            .coll = shape->coll,
            .dtype = shape->dtype,
            .count = shape->count,
            .root = (int)(i % (uint64_t)server->nranks),
            .in = server->in,
            .out = server->out,
        };
        if (server->library->run(&call, server->slot->text, sizeof(server->slot->text)) != 0) {
            return -1;
        }
    }
    return 0;
}

static int burst(struct server *server, const struct board_command *command)
{
    struct board_slot *slot = server->slot;
    struct shape shape;
    if (shape_of(command, server->nranks, &shape) != 0 ||
        ready_buffers(server, command->nbytes) != 0) {
        snprintf(slot->text, sizeof(slot->text), "no memory, or a size that cannot be cut");
        return -1;
    }
    bool refresh = (command->flags & BOARD_REFRESH) != 0;
    uint64_t last = command->nwarm + command->niters - 1;
    if (!refresh) {
        /* Iterations are told apart by nothing then, but for the root of a broadcast. */
        last = (uint64_t)(server->nranks * PHASES) + last % (uint64_t)server->nranks;
        write_input(server, &shape, last);
    }
    if (iterate(server, &shape, 0, command->nwarm, refresh) != 0) {
        return -1;
    }
    barrier(server);
    slot->start_ns = now_ns();
    if (iterate(server, &shape, command->nwarm, command->niters, refresh) != 0) {
        return -1;
    }
    slot->end_ns = now_ns();

    slot->refresh_start_ns = slot->refresh_end_ns = 0;
    slot->nwrong = 0;
    if (refresh) {
        barrier(server);
        slot->refresh_start_ns = now_ns();
        for (uint32_t i = 1; i <= command->niters; i++) {
            write_input(server, &shape, command->nwarm + i - 1);
        }
        slot->refresh_end_ns = now_ns();
    }
    if (has_result(shape.coll)) {
        slot->nwrong = check(server, &shape, last);
    }
    /* A rank that is still in a broadcast's check must not find its root's input gone or new. */
    barrier(server);
    return 0;
}

int peer_serve(const struct peer_library *library, int rank, int nranks, struct board *board)
{
    if ((uint32_t)nranks != board->nranks || nranks > BOARD_RANKS_MAX) {
        fprintf(stderr, "%d ranks came where %u were asked for\n", nranks, board->nranks);
        return 1;
    }
    struct server server = {.library = library,
                            .board = board,
                            .slot = &board->slots[rank],
                            .rank = rank,
                            .nranks = nranks};
    fill_tables(nranks);
    if (rank == 0) {
        snprintf(board->library, sizeof(board->library), "%s", library->version);
        board->caps = library->caps;
    }
    server.slot->pid = (uint64_t)getpid();

    for (uint32_t seq = 1;; seq++) {
        __atomic_store_n(&server.slot->done, seq, __ATOMIC_RELEASE);
        futex_wake(&server.slot->done);
        while (__atomic_load_n(&board->seq, __ATOMIC_ACQUIRE) == seq) {
            if (kill((pid_t)board->driver_pid, 0) != 0 && errno == ESRCH) {
                fprintf(stderr, "the driver of rank %d is gone\n", rank);
                return 1;
            }
            futex_wait(&board->seq, seq);
        }
        struct board_command command = board->command;
        if (command.coll == PEER_QUIT) {
            break;
        }
        server.salt = 7 * (uint64_t)seq;
        server.slot->failed = burst(&server, &command) != 0;
        if (server.slot->failed) {
            __atomic_store_n(&server.slot->done, seq + 1, __ATOMIC_RELEASE);
            futex_wake(&server.slot->done);
            return 1;
        }
        if ((command.flags & BOARD_RELEASE) != 0) {
            release_buffers(&server);
        }
    }
    release_buffers(&server);
    return 0;
}
