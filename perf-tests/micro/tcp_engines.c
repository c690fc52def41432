/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Would io_uring move the TCP transport's bytes faster than plain system calls do?
 *
 * Two processes, one connection for each engine, each engine in turns with the first of its block:
 *
 *     exchange         both send one byte, and each waits for the other's; over one connection, and
 *                      over sixteen, as ranks do that have so many peers
 *     streams          128 KiB messages, each behind a head, in both directions at once
 *
 *     sockets          sendmsg and recvmsg that never wait, again and again, as the transport does
 *     sockets, asleep  and epoll_wait where nothing came
 *     ring             io_uring: requests that end when the whole message is through; it looks into
 *                      shared memory, and enters the kernel only when there is something for it
 *     ring, asleep     waits in the system call that hands over the requests
 *     ring, multishot  one request receives all, into the buffers that the kernel picks. Nothing is
 *                      copied from there to where a message belongs, so this is a bound
 *     ring, zero-copy  sends from registered memory
 *
 * No ring has a kernel thread that polls (SQPOLL): that would take a core from the ranks.
 *
 * usage: tcp_engines [-n samples] [-H NAME]
 * NAME: of two hosts that tools/hosts.sh has made; else both ends are on the loopback interface.
 */
#define _GNU_SOURCE
#include "micro/tcp_engines.h"

#include "common/stats.h"
#include "common/timing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    NOTSENT_NBYTES = 512 << 10,
    NEXCHANGES = 1024, /* of a sample, over all connections */
    NMESSAGES = 128,
    SAMPLES_MAX = 1000,
    NENGINES_MAX = 6,
    SKIPPED = 77,
};

/* What both processes see. */
struct shared {
    _Atomic uint32_t arrived, failed;
    in_addr_t address;
    in_port_t port;
};

static struct shared *shared;
static const char *program;
static int my_rank;

_Noreturn void fail(const char *what)
{
    if (atomic_exchange(&shared->failed, 1) == 0) {
        fprintf(stderr, "%s: %s: %s\n", program, what, strerror(errno));
    }
    exit(1);
}

void check(long rc, const char *what)
{
    if (rc < 0) {
        fail(what);
    }
}

/* Waits for the other process. */
static void meet(void)
{
    static uint32_t nmet;
    nmet += 2;
    atomic_fetch_add(&shared->arrived, 1);
    while (atomic_load(&shared->arrived) < nmet) {
        if (atomic_load(&shared->failed) != 0) {
            exit(1);
        }
        sched_yield();
    }
}

/* ---- messages ------------------------------------------------------------------------------- */

uint8_t *out_slot(const struct end *end, uint32_t number)
{
    return end->out + (size_t)(number % NSLOTS) * MESSAGE_NBYTES;
}

uint8_t *in_slot(const struct end *end, uint32_t number)
{
    return end->in + (size_t)(number % NSLOTS) * MESSAGE_NBYTES;
}

void number_message(struct end *end, uint32_t number)
{
    memcpy(out_slot(end, number), &number, sizeof(number));
}

void check_message(const struct end *end, uint32_t number)
{
    uint32_t came;
    memcpy(&came, in_slot(end, number), sizeof(came));
    if (came != number) {
        errno = EBADMSG;
        fail("messages in disorder");
    }
}

size_t message_parts(uint8_t *message, size_t done, struct iovec parts[2])
{
    size_t n = 0;
    if (done < HEAD_NBYTES) {
        parts[n++] = (struct iovec){message + done, HEAD_NBYTES - done};
        done = HEAD_NBYTES;
    }
    parts[n++] = (struct iovec){message + done, MESSAGE_NBYTES - done};
    return n;
}

/* ---- sockets -------------------------------------------------------------------------------- */

/* Bytes, or 0 where the call would have to wait. */
static size_t done_bytes(ssize_t n, const char *what)
{
    if (n == 0) {
        errno = ECONNRESET;
        fail(what);
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        fail(what);
    }
    return n > 0 ? (size_t)n : 0;
}

static bool open_sockets_asleep(struct end *end)
{
    struct epoll_event event = {.events = EPOLLIN};
    end->epoll = epoll_create1(EPOLL_CLOEXEC);
    check(end->epoll, "epoll_create1");
    for (uint32_t c = 0; c < end->nconns; c++) {
        check(epoll_ctl(end->epoll, EPOLL_CTL_ADD, end->fds[c], &event), "epoll_ctl");
    }
    return true;
}

/* Once around: a byte from each connection that has brought none yet. */
static uint32_t receive_bytes(const struct end *end, uint32_t *missing)
{
    uint32_t n = 0;
    for (uint32_t c = 0; c < end->nconns; c++) {
        uint8_t byte;
        if ((*missing & 1u << c) != 0 &&
            done_bytes(recv(end->fds[c], &byte, 1, MSG_DONTWAIT), "recv") > 0) {
            *missing &= ~(1u << c);
            n++;
        }
    }
    return n;
}

static void exchange_bytes(struct end *end, uint32_t n, bool sleeps)
{
    const uint8_t byte = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t missing = (1u << end->nconns) - 1;
        for (uint32_t c = 0; c < end->nconns; c++) {
            while (done_bytes(send(end->fds[c], &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL), "send") ==
                   0) {
            }
        }
        while (missing != 0) {
            struct epoll_event events[NCONNS_MAX];
            if (receive_bytes(end, &missing) == 0 && sleeps) {
                epoll_wait(end->epoll, events, NCONNS_MAX, -1);
            }
        }
    }
}

static void exchange_on_sockets(struct end *end, uint32_t n)
{
    exchange_bytes(end, n, false);
}

static void exchange_on_sockets_asleep(struct end *end, uint32_t n)
{
    exchange_bytes(end, n, true);
}

static void stream_on_sockets(struct end *end, uint32_t nmessages)
{
    uint32_t nsent = 0, nreceived = 0;
    size_t out_done = 0, in_done = 0;
    struct iovec parts[2];
    while (nsent < nmessages || nreceived < nmessages) {
        if (nsent < nmessages) {
            number_message(end, nsent);
            struct msghdr msg = {.msg_iov = parts};
            msg.msg_iovlen = message_parts(out_slot(end, nsent), out_done, parts);
            out_done +=
                done_bytes(sendmsg(end->fds[0], &msg, MSG_DONTWAIT | MSG_NOSIGNAL), "sendmsg");
            if (out_done == MESSAGE_NBYTES) {
                nsent++;
                out_done = 0;
            }
        }
        if (nreceived < nmessages) {
            struct msghdr msg = {.msg_iov = parts};
            msg.msg_iovlen = message_parts(in_slot(end, nreceived), in_done, parts);
            in_done += done_bytes(recvmsg(end->fds[0], &msg, MSG_DONTWAIT), "recvmsg");
            if (in_done == MESSAGE_NBYTES) {
                check_message(end, nreceived++);
                in_done = 0;
            }
        }
    }
}

/* ---- the comparison ------------------------------------------------------------------------- */

struct block {
    const char *name;
    uint32_t nconns;
    bool is_stream;
    const struct engine
        *engines[NENGINES_MAX]; /* the first is the one that others are compared to */
    size_t nengines;
};

static const struct engine sockets = {"sockets", NULL, exchange_on_sockets, stream_on_sockets};
static const struct engine sockets_asleep = {"sockets, asleep", open_sockets_asleep,
                                             exchange_on_sockets_asleep, NULL};
static const struct block blocks[] = {
    {"1 exchange", 1, false, {&sockets, &engine_ring, &engine_multishot}, 3},
    {"1 exchange", 1, false, {&sockets_asleep, &engine_ring_asleep}, 2},
    {"16 exchanges", 16, false, {&sockets, &engine_ring, &engine_multishot}, 3},
    {"16 exchanges", 16, false, {&sockets_asleep, &engine_ring_asleep}, 2},
    {"128 KiB both ways",
     1,
     true,
     {&sockets, &engine_ring, &engine_multishot, &engine_zero_copy},
     4},
};

static void tune(int fd)
{
    const int on = 1, notsent = NOTSENT_NBYTES;
    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), "TCP_NODELAY");
    check(setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &notsent, sizeof(notsent)),
          "TCP_NOTSENT_LOWAT");
}

/* An IPv4 address of this host that others can reach; loopback's if there is no host NAME. */
static in_addr_t own_address(const char *hosts)
{
    struct ifaddrs *list;
    in_addr_t found = htonl(INADDR_LOOPBACK);
    check(getifaddrs(&list), "getifaddrs");
    for (const struct ifaddrs *entry = list; hosts != NULL && entry != NULL;
         entry = entry->ifa_next) {
        if (entry->ifa_addr != NULL && entry->ifa_addr->sa_family == AF_INET &&
            (entry->ifa_flags & IFF_LOOPBACK) == 0) {
            struct sockaddr_in name;
            memcpy(&name, entry->ifa_addr, sizeof(name));
            found = name.sin_addr.s_addr;
        }
    }
    freeifaddrs(list);
    return found;
}

/* A connection between both processes. */
static int connect_both(const char *hosts)
{
    struct sockaddr_in name = {.sin_family = AF_INET};
    socklen_t nbytes = sizeof(name);
    int listener = -1;
    if (my_rank == 0) {
        name.sin_addr.s_addr = own_address(hosts);
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        check(bind(listener, (struct sockaddr *)&name, sizeof(name)), "bind");
        check(listen(listener, 1), "listen");
        check(getsockname(listener, (struct sockaddr *)&name, &nbytes), "getsockname");
        shared->address = name.sin_addr.s_addr;
        shared->port = name.sin_port;
    }
    meet();
    int fd;
    if (my_rank == 0) {
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        close(listener);
    } else {
        name.sin_addr.s_addr = shared->address;
        name.sin_port = shared->port;
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        check(connect(fd, (struct sockaddr *)&name, sizeof(name)), "connect");
    }
    check(fd, "accept");
    tune(fd);
    meet();
    return fd;
}

/* False, with errno: the kernel does not let us. */
static bool end_open(struct end *end, const struct engine *engine, uint32_t nconns,
                     const char *hosts)
{
    memset(end, 0, sizeof(*end));
    for (; end->nconns < nconns; end->nconns++) {
        end->fds[end->nconns] = connect_both(hosts);
    }
    end->out = aligned_alloc(4096, (size_t)1 << 20);
    end->in = aligned_alloc(4096, (size_t)1 << 20);
    if (end->out == NULL || end->in == NULL) {
        fail("memory");
    }
    memset(end->out, 1, (size_t)1 << 20);
    memset(end->in, 1, (size_t)1 << 20);
    return engine->open == NULL || engine->open(end);
}

/* Microseconds of an exchange over all connections, or of a message both ways. */
static double time_one(const struct block *block, const struct engine *engine, struct end *end)
{
    const uint32_t n = block->is_stream ? NMESSAGES : NEXCHANGES / block->nconns;
    meet();
    uint64_t start = perf_now_ns();
    if (block->is_stream) {
        engine->stream(end, n);
    } else {
        engine->exchange(end, n);
    }
    return (double)(perf_now_ns() - start) / 1000 / n;
}

static void compare(const struct block *block, size_t nsamples, const char *hosts)
{
    static double us[NENGINES_MAX][SAMPLES_MAX], ratios[NENGINES_MAX][SAMPLES_MAX];
    struct end ends[NENGINES_MAX];
    for (size_t e = 0; e < block->nengines; e++) {
        if (!end_open(&ends[e], block->engines[e], block->nconns, hosts)) {
            if (my_rank == 0) {
                printf("SKIP: this system allows no io_uring, or none of this kind: %s\n",
                       strerror(errno));
            }
            exit(SKIPPED);
        }
        (void)time_one(block, block->engines[e], &ends[e]); /* warms up */
    }
    for (size_t s = 0; s < nsamples; s++) {
        for (size_t e = 0; e < block->nengines; e++) {
            us[e][s] = time_one(block, block->engines[e], &ends[e]);
            ratios[e][s] = us[e][s] / us[0][s];
        }
    }
    for (size_t e = 0; my_rank == 0 && e < block->nengines; e++) {
        struct perf_stats time, ratio;
        perf_stats_compute(us[e], nsamples, &time);
        perf_stats_compute(ratios[e], nsamples, &ratio);
        /* They are sorted now. */
        printf("%-18s %-18s %9.2f %8.3f %8.3f %8.3f\n", block->name, block->engines[e]->name,
               time.p50, ratios[e][nsamples / 4], ratio.p50, ratios[e][nsamples * 3 / 4]);
    }
}

/* ---- two processes -------------------------------------------------------------------------- */

static void enter_host(const char *hosts)
{
    char path[256];
    snprintf(path, sizeof(path), "/run/netns/%s-%d", hosts, my_rank);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
        fail(path);
    }
    close(fd);
}

/* Ties this process to the nth core of those that it may use, if there are so many. */
static void pin(int nth)
{
    cpu_set_t usable, one;
    check(sched_getaffinity(0, sizeof(usable), &usable), "sched_getaffinity");
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &usable) && nth-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            check(sched_setaffinity(0, sizeof(one), &one), "sched_setaffinity");
        }
    }
}

static void run(size_t nsamples, const char *hosts)
{
    pin(my_rank);
    if (hosts != NULL) {
        enter_host(hosts);
    }
    for (size_t b = 0; b < sizeof(blocks) / sizeof(blocks[0]); b++) {
        compare(&blocks[b], nsamples, hosts);
    }
}

int main(int argc, char **argv)
{
    size_t nsamples = 31;
    const char *hosts = NULL;
    int option;
    program = argv[0];
    while ((option = getopt(argc, argv, "n:H:h")) != -1) {
        if (option == 'n') {
            nsamples = strtoul(optarg, NULL, 10);
        } else if (option == 'H') {
            hosts = optarg;
        }
        if (option == 'h' || option == '?' || nsamples < 1 || nsamples > SAMPLES_MAX) {
            fprintf(option == 'h' ? stdout : stderr,
                    "usage: %s [-n samples, 1 to %d, default 31] [-H NAME of two hosts]\n", program,
                    SAMPLES_MAX);
            return option == 'h' ? 0 : 2;
        }
    }
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror(program);
        return 1;
    }
    printf("# %s; %zu samples in turns; ratio: of times, to the first of the block\n",
           hosts != NULL ? hosts : "loopback", nsamples);
    printf("%-18s %-18s %9s %8s %8s %8s\n", "# what", "engine", "us", "ratio 1/4", "1/2", "3/4");
    fflush(stdout);
    pid_t other = fork();
    if (other < 0) {
        perror(program);
        return 1;
    }
    if (other == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        my_rank = 1;
        run(nsamples, hosts);
        _exit(0);
    }
    run(nsamples, hosts);
    int status;
    waitpid(other, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
