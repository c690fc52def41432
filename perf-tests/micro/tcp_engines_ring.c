/* SPDX-License-Identifier: Apache-2.0 */
/* The engines over io_uring; see tcp_engines.c for what they are. */
#define _GNU_SOURCE
#include "micro/tcp_engines.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { SENDS = 1, RECEIVES = 2 }; /* what a completion is about */

static void enter(struct end *end, unsigned nwanted)
{
    check(uring_enter(&end->ring, nwanted), "io_uring_enter");
}

/* The next completion; NULL: none yet. Enters the kernel if that would help. */
static const struct io_uring_cqe *look(struct end *end)
{
    const struct io_uring_cqe *cqe = uring_look(&end->ring);
    if (cqe == NULL && uring_has_work(&end->ring)) {
        enter(end, 0);
        cqe = uring_look(&end->ring);
    }
    return cqe;
}

static void do_register(struct end *end, unsigned what, void *argument, unsigned n)
{
    check(uring_register(&end->ring, what, argument, n), "io_uring_register");
}

static bool open_ring(struct end *end)
{
    if (!uring_open(&end->ring)) {
        return false;
    }
    do_register(end, IORING_REGISTER_FILES, end->fds, end->nconns);
    struct iovec memory[2] = {{end->out, (size_t)NSLOTS * MESSAGE_NBYTES},
                              {end->in, (size_t)NSLOTS * MESSAGE_NBYTES}};
    do_register(end, IORING_REGISTER_BUFFERS, memory, 2);
    return true;
}

static size_t completed(const struct io_uring_cqe *cqe)
{
    if (cqe->res <= 0) {
        errno = cqe->res < 0 ? -cqe->res : ECONNRESET;
        fail("a request of a ring");
    }
    return (size_t)cqe->res;
}

static void prepare_byte(struct end *end, uint32_t conn, uint8_t opcode, uint8_t *byte)
{
    bool is_send = opcode == IORING_OP_SEND;
    struct io_uring_sqe *sqe = uring_prepare(&end->ring, opcode, is_send ? SENDS : RECEIVES);
    sqe->fd = (int)conn;
    sqe->addr = (uintptr_t)byte;
    sqe->len = 1;
    /* That it was sent is seen from the answer. */
    sqe->flags |= is_send ? IOSQE_CQE_SKIP_SUCCESS : 0;
}

static void exchange_on_ring_waiting_for(struct end *end, uint32_t n, unsigned nwanted)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t c = 0; c < end->nconns; c++) {
            prepare_byte(end, c, IORING_OP_SEND, end->out);
        }
        for (uint32_t c = 0; c < end->nconns; c++) {
            prepare_byte(end, c, IORING_OP_RECV, end->in + c);
        }
        enter(end, nwanted);
        for (uint32_t came = 0; came < end->nconns;) {
            const struct io_uring_cqe *cqe = look(end);
            if (cqe != NULL) {
                came += (uint32_t)completed(cqe);
                uring_seen(&end->ring);
            }
        }
    }
}

static void exchange_on_ring(struct end *end, uint32_t n)
{
    exchange_on_ring_waiting_for(end, n, 0);
}

static void exchange_on_ring_asleep(struct end *end, uint32_t n)
{
    exchange_on_ring_waiting_for(end, n, end->nconns);
}

/* A request for a whole message. *msg and parts stay until it has completed. */
static void prepare_message(struct end *end, uint8_t opcode, uint64_t user_data, uint8_t *message,
                            struct msghdr *msg)
{
    struct io_uring_sqe *sqe = uring_prepare(&end->ring, opcode, user_data);
    msg->msg_iovlen = message_parts(message, 0, msg->msg_iov);
    sqe->addr = (uintptr_t)msg;
    sqe->len = 1;
    sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
}

static void stream_on_ring(struct end *end, uint32_t nmessages)
{
    uint32_t nsent = 0, nreceived = 0;
    struct iovec out_parts[2], in_parts[2];
    struct msghdr out = {.msg_iov = out_parts}, in = {.msg_iov = in_parts};
    number_message(end, 0);
    prepare_message(end, IORING_OP_SENDMSG, SENDS, out_slot(end, 0), &out);
    prepare_message(end, IORING_OP_RECVMSG, RECEIVES, in_slot(end, 0), &in);
    while (nsent < nmessages || nreceived < nmessages) {
        if (end->ring.nprepared > 0) {
            enter(end, 0);
        }
        const struct io_uring_cqe *cqe;
        while ((cqe = look(end)) != NULL) {
            bool is_send = cqe->user_data == SENDS;
            if (completed(cqe) != MESSAGE_NBYTES) {
                fail("part of a message");
            }
            uring_seen(&end->ring);
            if (is_send && ++nsent < nmessages) {
                number_message(end, nsent);
                prepare_message(end, IORING_OP_SENDMSG, SENDS, out_slot(end, nsent), &out);
            } else if (!is_send) {
                check_message(end, nreceived++);
                if (nreceived < nmessages) {
                    prepare_message(end, IORING_OP_RECVMSG, RECEIVES, in_slot(end, nreceived), &in);
                }
            }
        }
    }
}

/* ---- rings that pick where they receive to -------------------------------------------------- */

static void give_pick(struct end *end, uint16_t number)
{
    struct io_uring_buf *pick = &end->picks->bufs[end->npicks++ % NPICKED];
    pick->addr = (uintptr_t)(end->picked + (size_t)number * PICKED_NBYTES);
    pick->len = PICKED_NBYTES;
    pick->bid = number;
    __atomic_store_n(&end->picks->tail, end->npicks, __ATOMIC_RELEASE);
}

static bool open_multishot(struct end *end)
{
    if (!open_ring(end)) {
        return false;
    }
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
    end->picks =
        mmap(NULL, NPICKED * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE, flags, -1, 0);
    end->picked = mmap(NULL, (size_t)NPICKED * PICKED_NBYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (end->picks == MAP_FAILED || end->picked == MAP_FAILED) {
        fail("mmap");
    }
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)end->picks, .ring_entries = NPICKED};
    do_register(end, IORING_REGISTER_PBUF_RING, &reg, 1);
    for (uint16_t i = 0; i < NPICKED; i++) {
        give_pick(end, i);
    }
    return true;
}

static void prepare_multishot(struct end *end, uint32_t conn)
{
    struct io_uring_sqe *sqe = uring_prepare(&end->ring, IORING_OP_RECV, RECEIVES + conn);
    sqe->fd = (int)conn;
    sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->flags |= IOSQE_BUFFER_SELECT;
}

/* Bytes that a completion of a multishot brought; its buffer goes back. 0: out of buffers. */
static size_t take_shot(struct end *end, const struct io_uring_cqe *cqe)
{
    size_t n = 0;
    if (cqe->res != -ENOBUFS) {
        n = completed(cqe);
        give_pick(end, (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT));
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        prepare_multishot(end, (uint32_t)cqe->user_data - RECEIVES);
        enter(end, 0);
    }
    return n;
}

/* The multishots outlive a call: the first call of all begins them. */
static void begin_multishot(struct end *end)
{
    for (uint32_t c = 0; !end->is_begun && c < end->nconns; c++) {
        prepare_multishot(end, c);
    }
    end->is_begun = true;
}

static void exchange_on_multishot(struct end *end, uint32_t n)
{
    size_t came[NCONNS_MAX] = {0}; /* a peer can be a byte ahead */
    begin_multishot(end);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t c = 0; c < end->nconns; c++) {
            prepare_byte(end, c, IORING_OP_SEND, end->out);
        }
        enter(end, 0);
        for (uint32_t c = 0; c < end->nconns;) {
            const struct io_uring_cqe *cqe = look(end);
            if (cqe != NULL) {
                uint32_t from = (uint32_t)cqe->user_data - RECEIVES;
                came[from] += take_shot(end, cqe);
                uring_seen(&end->ring);
            }
            while (c < end->nconns && came[c] > i) {
                c++;
            }
        }
    }
}

static void stream_on_multishot(struct end *end, uint32_t nmessages)
{
    uint32_t nsent = 0;
    size_t left = (size_t)nmessages * MESSAGE_NBYTES;
    struct iovec parts[2];
    struct msghdr out = {.msg_iov = parts};
    begin_multishot(end);
    prepare_message(end, IORING_OP_SENDMSG, SENDS, out_slot(end, 0), &out);
    while (nsent < nmessages || left > 0) {
        if (end->ring.nprepared > 0) {
            enter(end, 0);
        }
        const struct io_uring_cqe *cqe;
        while ((cqe = look(end)) != NULL) {
            if (cqe->user_data != SENDS) {
                left -= take_shot(end, cqe);
            } else if (completed(cqe) == MESSAGE_NBYTES && ++nsent < nmessages) {
                prepare_message(end, IORING_OP_SENDMSG, SENDS, out_slot(end, nsent), &out);
            }
            uring_seen(&end->ring);
        }
    }
}

/* ---- rings that send from registered memory ------------------------------------------------- */

static void prepare_zero_copy(struct end *end, uint32_t number)
{
    struct io_uring_sqe *sqe = uring_prepare(&end->ring, IORING_OP_SEND_ZC, SENDS);
    number_message(end, number);
    sqe->addr = (uintptr_t)out_slot(end, number);
    sqe->len = MESSAGE_NBYTES;
    sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
    sqe->ioprio = IORING_RECVSEND_FIXED_BUF;
    sqe->buf_index = 0;
}

static void stream_on_zero_copy(struct end *end, uint32_t nmessages)
{
    uint32_t nbegun = 0, nsent = 0, nfree = NSLOTS, nreceived = 0;
    struct iovec parts[2];
    struct msghdr in = {.msg_iov = parts};
    prepare_message(end, IORING_OP_RECVMSG, RECEIVES, in_slot(end, 0), &in);
    while (nsent < nmessages || nreceived < nmessages || nfree < NSLOTS) {
        if (nbegun == nsent && nbegun < nmessages && nfree > 0) {
            prepare_zero_copy(end, nbegun++);
            nfree--;
        }
        if (end->ring.nprepared > 0) {
            enter(end, 0);
        }
        const struct io_uring_cqe *cqe = look(end);
        if (cqe == NULL) {
            continue;
        }
        if ((cqe->flags & IORING_CQE_F_NOTIF) != 0) {
            nfree++;
        } else if (completed(cqe) != MESSAGE_NBYTES) {
            fail("part of a message");
        } else if (cqe->user_data == SENDS) {
            nsent++;
        } else {
            check_message(end, nreceived++);
            if (nreceived < nmessages) {
                prepare_message(end, IORING_OP_RECVMSG, RECEIVES, in_slot(end, nreceived), &in);
            }
        }
        uring_seen(&end->ring);
    }
}

const struct engine engine_ring = {"ring", open_ring, exchange_on_ring, stream_on_ring};
const struct engine engine_ring_asleep = {"ring, asleep", open_ring, exchange_on_ring_asleep, NULL};
const struct engine engine_multishot = {"ring, multishot", open_multishot, exchange_on_multishot,
                                        stream_on_multishot};
const struct engine engine_zero_copy = {"ring, zero-copy", open_ring, NULL, stream_on_zero_copy};
