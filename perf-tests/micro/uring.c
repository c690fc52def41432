/* SPDX-License-Identifier: Apache-2.0 */
/* See uring.h. */
#include "micro/uring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENTRIES = 32 };

static void *map(int fd, size_t nbytes, uint64_t what)
{
    return mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)what);
}

bool uring_open(struct uring *ring)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
    };
    memset(ring, 0, sizeof(*ring));
    ring->fd = (int)syscall(__NR_io_uring_setup, ENTRIES, &params);
    if (ring->fd < 0) {
        return false;
    }
    uint8_t *sq = map(ring->fd, params.sq_off.array + params.sq_entries * sizeof(uint32_t),
                      IORING_OFF_SQ_RING);
    uint8_t *cq =
        map(ring->fd, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe),
            IORING_OFF_CQ_RING);
    ring->sqes = map(ring->fd, params.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
    if (sq == MAP_FAILED || cq == MAP_FAILED || (void *)ring->sqes == MAP_FAILED) {
        return false;
    }
    ring->sq_tail = (void *)(sq + params.sq_off.tail);
    ring->sq_flags = (void *)(sq + params.sq_off.flags);
    ring->sq_array = (void *)(sq + params.sq_off.array);
    ring->cq_head = (void *)(cq + params.cq_off.head);
    ring->cq_tail = (void *)(cq + params.cq_off.tail);
    ring->cqes = (void *)(cq + params.cq_off.cqes);
    ring->sq_mask = params.sq_entries - 1;
    ring->cq_mask = params.cq_entries - 1;
    return true;
}

int uring_register(struct uring *ring, unsigned what, void *argument, unsigned n)
{
    return (int)syscall(__NR_io_uring_register, ring->fd, what, argument, n);
}

struct io_uring_sqe *uring_prepare(struct uring *ring, uint8_t opcode, uint64_t user_data)
{
    uint32_t tail = atomic_load_explicit(ring->sq_tail, memory_order_relaxed);
    uint32_t at = tail & ring->sq_mask;
    struct io_uring_sqe *sqe = &ring->sqes[at];
    memset(sqe, 0, sizeof(*sqe));
    sqe->opcode = opcode;
    sqe->flags = IOSQE_FIXED_FILE;
    sqe->user_data = user_data;
    ring->sq_array[at] = at;
    /* The kernel reads it in uring_enter(), when the caller has filled in the rest. */
    atomic_store_explicit(ring->sq_tail, tail + 1, memory_order_release);
    ring->nprepared++;
    return sqe;
}

int uring_enter(struct uring *ring, unsigned nwanted)
{
    long n;
    do {
        n = syscall(__NR_io_uring_enter, ring->fd, ring->nprepared, nwanted, IORING_ENTER_GETEVENTS,
                    NULL, 0);
    } while (n < 0 && errno == EINTR);
    ring->nprepared -= n > 0 ? (uint32_t)n : 0;
    return (int)n;
}

const struct io_uring_cqe *uring_look(const struct uring *ring)
{
    uint32_t head = atomic_load_explicit(ring->cq_head, memory_order_relaxed);
    bool is_empty = head == atomic_load_explicit(ring->cq_tail, memory_order_acquire);
    return is_empty ? NULL : &ring->cqes[head & ring->cq_mask];
}

void uring_seen(struct uring *ring)
{
    atomic_fetch_add_explicit(ring->cq_head, 1, memory_order_release);
}

bool uring_has_work(const struct uring *ring)
{
    return (atomic_load_explicit(ring->sq_flags, memory_order_acquire) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}
