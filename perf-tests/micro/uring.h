/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of io_uring by its system calls alone, for one thread: as much as tcp_engines needs.
 */
#ifndef PERF_MICRO_URING_H
#define PERF_MICRO_URING_H

#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct uring {
    int fd;
    _Atomic uint32_t *sq_tail, *sq_flags, *cq_head, *cq_tail; /* shared with the kernel */
    uint32_t *sq_array;
    uint32_t sq_mask, cq_mask, nprepared;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
};

/**
 * Makes a ring of 32 requests in which completions are worked out when the thread enters the
 * kernel. False, with errno, if there can be none; it stays until the process ends.
 */
bool uring_open(struct uring *ring);

/** io_uring_register; -1 with errno if it fails. */
int uring_register(struct uring *ring, unsigned what, void *argument, unsigned n);

/** A request, all zero but for these, about the registered file 0 unless
 *  the caller says another; the caller fills in the rest. */
struct io_uring_sqe *uring_prepare(struct uring *ring, uint8_t opcode, uint64_t user_data);

/** Hands over what was prepared and waits for nwanted completions; -1 with errno. */
int uring_enter(struct uring *ring, unsigned nwanted);

/** The next completion, the same until uring_seen(); NULL: none. No system call. */
const struct io_uring_cqe *uring_look(const struct uring *ring);
void uring_seen(struct uring *ring);

/** Would uring_enter() bring completions? No system call. */
bool uring_has_work(const struct uring *ring);

#endif
