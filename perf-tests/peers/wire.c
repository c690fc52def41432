/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What TCP between hosts takes without a library; for compare.py, one rank per host.
 *
 * PEER_EXCHANGE   two hosts send each other one byte at once, and each waits for the other's by
 *                 asking the socket again and again: the least that an AllReduce of two can take.
 * PEER_STREAMS    every host sends nbytes to the next one and receives nbytes from the one before
 *                 at once, out of and into memory that stays in the caches. One thread, which
 *                 turns from one to the other; for two hosts, over one connection.
 * PEER_STREAMS_2  the same with one thread that sends and one that receives, and a connection for
 *                 each direction. It depends on the machine which of both carries more.
 *
 * PEER_STREAMS_MEMORY  as PEER_STREAMS, but every byte out of and into a place of its own, as an
 *                 AllReduce has to do it.
 *
 * usage: wire BOARD RANK NRANKS ADDRESS...     the IPv4 addresses of the ranks' hosts
 */
#define _GNU_SOURCE
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCK_NBYTES = 256 << 10 };

static int my_rank, nranks;
static int next_fd = -1, previous_fd = -1; /* to the next rank, from the one before */
static int both_fd = -1;                   /* for two ranks: both ways */
static uint8_t out_block[BLOCK_NBYTES], in_block[BLOCK_NBYTES];
static const uint8_t *out_memory; /* what is sent from and received into, if not the blocks */
static uint8_t *in_memory;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Sends up to nbytes and adds what went to *done. 0, or -1 with errno. */
static int send_some(int fd, size_t nbytes, size_t *done, int flags)
{
    const uint8_t *from = out_memory != NULL ? out_memory + *done : out_block;
    ssize_t n = send(fd, from, smaller(nbytes - *done, BLOCK_NBYTES), flags | MSG_NOSIGNAL);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    *done += (size_t)n;
    return 0;
}

/* Receives up to nbytes and adds what came to *done. 0, or -1 with errno. */
static int receive_some(int fd, size_t nbytes, size_t *done, int flags)
{
    uint8_t *to = in_memory != NULL ? in_memory + *done : in_block;
    ssize_t n = recv(fd, to, smaller(nbytes - *done, BLOCK_NBYTES), flags);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    if (n == 0) {
        errno = ECONNRESET;
        return -1;
    }
    *done += (size_t)n;
    return 0;
}

static int exchange(void)
{
    size_t sent = 0, received = 0;
    while (sent < 1) {
        if (send_some(both_fd, 1, &sent, MSG_DONTWAIT) != 0) {
            return -1;
        }
    }
    while (received < 1) {
        if (receive_some(both_fd, 1, &received, MSG_DONTWAIT) != 0) {
            return -1;
        }
    }
    return 0;
}

static int stream_with_one_thread(size_t nbytes)
{
    int to = both_fd >= 0 ? both_fd : next_fd, from = both_fd >= 0 ? both_fd : previous_fd;
    size_t sent = 0, received = 0;
    while (sent < nbytes || received < nbytes) {
        size_t before = sent + received;
        if ((sent < nbytes && send_some(to, nbytes, &sent, MSG_DONTWAIT) != 0) ||
            (received < nbytes && receive_some(from, nbytes, &received, MSG_DONTWAIT) != 0)) {
            return -1;
        }
        if (sent + received == before) {
            struct pollfd fds[2] = {
                {.fd = received < nbytes ? from : -1, .events = POLLIN},
                {.fd = sent < nbytes ? to : -1, .events = POLLOUT},
            };
            poll(fds, 2, -1);
        }
    }
    return 0;
}

static void *send_all(void *argument)
{
    size_t nbytes = *(size_t *)argument, sent = 0;
    while (sent < nbytes) {
        if (send_some(next_fd, nbytes, &sent, 0) != 0) {
            return argument;
        }
    }
    return NULL;
}

static int stream_with_two_threads(size_t nbytes)
{
    pthread_t sender;
    size_t received = 0;
    void *failed;
    errno = pthread_create(&sender, NULL, send_all, &nbytes);
    if (errno != 0) {
        return -1;
    }
    int rc = 0;
    while (rc == 0 && received < nbytes) {
        rc = receive_some(previous_fd, nbytes, &received, 0);
    }
    pthread_join(sender, &failed);
    return rc == 0 && failed == NULL ? 0 : -1;
}

static int run(const struct peer_call *call, char *text, size_t text_nbytes)
{
    const size_t nbytes = call->count * sizeof(float);
    int rc = -1;
    errno = EOPNOTSUPP;
    if (call->coll == PEER_EXCHANGE) {
        rc = exchange();
    } else if (call->coll == PEER_STREAMS) {
        rc = stream_with_one_thread(nbytes);
    } else if (call->coll == PEER_STREAMS_2) {
        rc = stream_with_two_threads(nbytes);
    } else if (call->coll == PEER_STREAMS_MEMORY) {
        out_memory = call->in;
        in_memory = call->out;
        rc = stream_with_one_thread(nbytes);
        out_memory = in_memory = NULL;
    }
    if (rc != 0) {
        snprintf(text, text_nbytes, "%s", strerror(errno));
    }
    return rc;
}

/* ---- connections ---------------------------------------------------------------------------- */

static int set_up(int fd)
{
    const int on = 1;
    return fd < 0 ? -1 : setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* Listens at my address and tells the others the port over the board. -1 with errno. */
static int listen_at(struct board *board, const char *address)
{
    uint32_t *ports = (void *)board->blob;
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t name_nbytes = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || inet_pton(AF_INET, address, &name.sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)&name, sizeof(name)) != 0 || listen(fd, 4) != 0 ||
        getsockname(fd, (struct sockaddr *)&name, &name_nbytes) != 0) {
        return -1;
    }
    __atomic_store_n(&ports[my_rank], ntohs(name.sin_port), __ATOMIC_RELEASE);
    return fd;
}

static int connect_to(const struct board *board, int rank, const char *address)
{
    const uint32_t *ports = (const void *)board->blob;
    uint32_t port;
    while ((port = __atomic_load_n(&ports[rank], __ATOMIC_ACQUIRE)) == 0) {
        usleep(1000);
    }
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, address, &name.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&name, sizeof(name)) != 0 || set_up(fd) != 0) {
        return -1;
    }
    return fd;
}

/* Every rank connects to the next one before it accepts: the backlog holds what has come. */
static int connect_all(struct board *board, char **addresses)
{
    int next = (my_rank + 1) % nranks;
    int listener = listen_at(board, addresses[my_rank]);
    if (listener < 0) {
        return -1;
    }
    next_fd = connect_to(board, next, addresses[next]);
    previous_fd = accept(listener, NULL, NULL);
    if (next_fd < 0 || set_up(previous_fd) != 0) {
        return -1;
    }
    if (nranks == 2) {
        both_fd = my_rank == 0 ? connect_to(board, 1, addresses[1]) : accept(listener, NULL, NULL);
        if (set_up(both_fd) != 0) {
            return -1;
        }
    }
    close(listener);
    return 0;
}

int main(int argc, char **argv)
{
    _Static_assert(sizeof(((struct board *)NULL)->blob) >= BOARD_RANKS_MAX * sizeof(uint32_t),
                   "the ports of all ranks fit");
    nranks = argc > 4 ? atoi(argv[3]) : 0;
    my_rank = argc > 4 ? atoi(argv[2]) : 0;
    if (nranks < 2 || nranks > BOARD_RANKS_MAX || argc != 4 + nranks || my_rank < 0 ||
        my_rank >= nranks) {
        fprintf(stderr, "usage: %s BOARD RANK NRANKS ADDRESS...\n", argv[0]);
        return 2;
    }
    struct board *board = peer_attach(argv[1]);
    if (board == NULL || connect_all(board, argv + 4) != 0) {
        fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        return 1;
    }
    memset(out_block, 1, sizeof(out_block));
    struct peer_library library = {
        .caps = peer_cap(PEER_STREAMS, PEER_FLOAT32) | peer_cap(PEER_STREAMS_2, PEER_FLOAT32) |
                peer_cap(PEER_STREAMS_MEMORY, PEER_FLOAT32),
        .run = run,
    };
    if (nranks == 2) {
        library.caps |= peer_cap(PEER_EXCHANGE, PEER_FLOAT32);
    }
    snprintf(library.version, sizeof(library.version), "sockets without a library");
    return peer_serve(&library, my_rank, nranks, board);
}
