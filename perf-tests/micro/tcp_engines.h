/* SPDX-License-Identifier: Apache-2.0 */
/* What the engines of tcp_engines.c are to it: ways to move bytes over connected sockets. */
#ifndef PERF_MICRO_TCP_ENGINES_H
#define PERF_MICRO_TCP_ENGINES_H

#include "micro/uring.h"

#include <stddef.h>
#include <sys/uio.h>

enum {
    HEAD_NBYTES = 68, /* what the transport puts before each message */
    DATA_NBYTES = 128 << 10,
    MESSAGE_NBYTES = HEAD_NBYTES + DATA_NBYTES,
    NSLOTS = 4,
    NCONNS_MAX = 16,
    PICKED_NBYTES = 64 << 10, /* the kernel picks one of these */
    NPICKED = 32,
};

/** This process's end of one or more connections, for one engine. */
struct end {
    int fds[NCONNS_MAX];
    uint32_t nconns;
    uint8_t *out, *in; /* NSLOTS messages each */

    int epoll;
    struct uring ring;
    struct io_uring_buf_ring *picks;
    uint8_t *picked; /* NPICKED * PICKED_NBYTES */
    uint16_t npicks; /* given to the kernel so far */
    bool is_begun;   /* the multishot */
};

struct engine {
    const char *name;
    bool (*open)(struct end *end); /* false, with errno: the kernel does not let us; NULL: true */
    /* n times: a byte out over every connection, then a byte in from each. */
    void (*exchange)(struct end *end, uint32_t n);
    /* Messages out and in at once over the first connection. NULL: not compared. */
    void (*stream)(struct end *end, uint32_t nmessages);
};

extern const struct engine engine_ring, engine_ring_asleep, engine_multishot, engine_zero_copy;

/** Says what failed, with errno, and ends the program; the other process follows. */
_Noreturn void fail(const char *what);
void check(long rc, const char *what);

uint8_t *out_slot(const struct end *end, uint32_t number);
uint8_t *in_slot(const struct end *end, uint32_t number);

/** Messages carry their numbers. */
void number_message(struct end *end, uint32_t number);
void check_message(const struct end *end, uint32_t number);

/** Both parts of a message from `done` on: how many parts. */
size_t message_parts(uint8_t *message, size_t done, struct iovec parts[2]);

#endif
