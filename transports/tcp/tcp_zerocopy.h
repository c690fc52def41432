/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends without the kernel's copy (MSG_ZEROCOPY), for one connection.
 *
 * The kernel numbers such sends from 0 and tells, through the socket's error queue, which are
 * through: until then their memory is what goes, and goes again, to the network, and must not
 * change. Where the data stays on this host, or the interface cannot gather, the kernel copies
 * after all and says that too; then this switches itself off for good. Until the first answer, one
 * send at a time is tried so.
 */
#ifndef WH_TRANSPORTS_TCP_ZEROCOPY_H
#define WH_TRANSPORTS_TCP_ZEROCOPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum {
    TCP_ZEROCOPY_NBYTES_MIN = 64 << 10, /* of a send for which it may pay */
    TCP_ZEROCOPY_NSENDS_MAX = 256,      /* in flight; what is more is copied */
};

enum tcp_zerocopy_state {
    TCP_ZEROCOPY_OFF,  /* sends are copied; earlier ones may still be in flight */
    TCP_ZEROCOPY_ASKS, /* the kernel has not said yet what it does */
    TCP_ZEROCOPY_ON,
};

/** All zero: off. */
struct tcp_zerocopy {
    enum tcp_zerocopy_state state;
    uint32_t next; /* the number that the next send of the kind gets; they wrap around */
    uint32_t done; /* all before this one are through */
    uint64_t through[TCP_ZEROCOPY_NSENDS_MAX / 64]; /* of those from `done` on; bit: number */
};

/** For tests, before anything is connected: as if every route went far and nothing were copied. */
extern bool tcp_zerocopy_is_forced;

/** Do both ends of a connection belong to this host, as far as their addresses tell? */
bool tcp_zerocopy_is_local(int fd);

/** Tries to switch it on, before anything is sent with it: not for local connections, nor where the
 *  kernel cannot. */
void tcp_zerocopy_start(struct tcp_zerocopy *zerocopy, int fd);

/** Would a send of so many bytes be tried without a copy? */
bool tcp_zerocopy_is_for(const struct tcp_zerocopy *zerocopy, size_t nbytes);

/**
 * Sends what fits of msg, nbytes in all, without waiting; without a copy if tcp_zerocopy_is_for()
 * and the kernel has room to keep account of it. As sendmsg(), with errno.
 *
 * Memory    Whatever msg points to stays as it is until the ticket that is taken after this is
 *           done.
 */
ssize_t tcp_zerocopy_send(struct tcp_zerocopy *zerocopy, int fd, const struct msghdr *msg,
                          size_t nbytes);

/** Stands for all that was sent so far. */
uint32_t tcp_zerocopy_ticket(const struct tcp_zerocopy *zerocopy);

/** Does the kernel need the memory of what was sent before the ticket no more? Good for tickets of
 *  the last 2^31 sends. */
bool tcp_zerocopy_is_done(const struct tcp_zerocopy *zerocopy, uint32_t ticket);

/** Sends that the kernel has not done with. */
uint32_t tcp_zerocopy_nflying(const struct tcp_zerocopy *zerocopy);

/** Hears what the kernel has to say. Returns whether there was something; a poll for the socket
 *  says POLLERR while there is. No system call where nothing is in flight. */
bool tcp_zerocopy_reap(struct tcp_zerocopy *zerocopy, int fd);

/** The memory of what is in flight is needed at once: resets the connection, so that nothing of it
 *  can reach the peer any more. Nothing is in flight then. */
void tcp_zerocopy_abort(struct tcp_zerocopy *zerocopy, int fd);

/** What tcp_zerocopy_reap() does with what it hears: sends first to last, both included, are
 *  through. Numbers that are not in flight are left out. */
void tcp_zerocopy_complete(struct tcp_zerocopy *zerocopy, uint32_t first, uint32_t last,
                           bool was_copied);

#endif
