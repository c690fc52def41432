/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strangers at the ports of ranks while these work: garbage, silence, single bytes, connections
 * that are torn down. None of it may be noticed in the results.
 *
 * Every rank says at which ports its host listens; the stranger, on a host of its own, goes from
 * port to port until it has done all it knows. The ranks make calls until then.
 */
#include "harness/cases.h"
#include "harness/hosts.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NMEMBERS = 3, STRANGER = NMEMBERS, NPORTS_MAX = 32, NSILENT = 40 };
enum { CELL_LISTED, CELL_STRANGER_DONE, CELL_NTALKS, CELL_MEMBERS_DONE, CELL_PORTS = 16 };

static struct hosts *hosts;

/* Cells of host i: the number of its ports, and then the ports. */
static int cell_of_host(int i)
{
    return CELL_PORTS + i * (NPORTS_MAX + 1);
}

/* The ports at which a host listens, also while the job goes on: the first member of it asks. */
static void list_ports(struct rank *rank)
{
    static const char *const files[] = {"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"};
    int cell = cell_of_host(hosts_of_rank(rank, rank->rank));
    int n = 0;
    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(files[i], "re");
        char line[512];
        unsigned port = 0, state = 0;
        RANK_CHECK(rank, file != NULL, "no %s", files[i]);
        while (fgets(line, sizeof(line), file) != NULL && n < NPORTS_MAX) {
            if (sscanf(line, " %*d: %*[0-9A-F]:%x %*s %x", &port, &state) == 2 && state == 10) {
                atomic_store(rank_cell(rank, cell + 1 + n++), (int64_t)port);
            }
        }
        fclose(file);
    }
    atomic_store(rank_cell(rank, cell), n);
    atomic_fetch_add(rank_cell(rank, CELL_LISTED), 1);
}

/* ---- the stranger --------------------------------------------------------------------------- */

/* A connection; -1 if nobody takes it. */
static int call(const char *text, int port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, text, &addr.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_usec = 300000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void tear_down(int fd)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

/* Sends nbytes in pieces, then reads what comes, for a moment at most. */
static void say(struct rank *rank, int fd, const char *bytes, size_t nbytes, size_t piece_nbytes)
{
    char answer[4096];
    for (size_t at = 0; at < nbytes; at += piece_nbytes) {
        size_t n = nbytes - at < piece_nbytes ? nbytes - at : piece_nbytes;
        if (send(fd, bytes + at, n, MSG_NOSIGNAL) <= 0) {
            break;
        }
        if (piece_nbytes == 1) {
            rank_nap();
        }
    }
    atomic_fetch_add(rank_cell(rank, CELL_NTALKS), 1);
    (void)!recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
}

/* Gives back the words with which the rank greets, as if they were an answer. */
static void echo(int fd)
{
    char words[4096];
    ssize_t n = recv(fd, words, sizeof(words), 0);
    if (n > 0) {
        (void)!send(fd, words, (size_t)n, MSG_NOSIGNAL);
        (void)!recv(fd, words, sizeof(words), 0);
    }
}

static void molest(struct rank *rank, const char *addr, int port, const char *garbage)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: whorl\r\n\r\n";
    static const size_t sizes[] = {1, 15, 16, 64, 100, 1024, 70000};
    int fd = -1;
    rank_at(rank, "talks to port %d of %s", port, addr);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if ((fd = call(addr, port)) < 0) {
            return; /* a listener that has gone: of a communicator that is complete */
        }
        say(rank, fd, garbage + i, sizes[i], sizes[i]);
        if (i % 2 == 0) {
            tear_down(fd);
        } else {
            close(fd);
        }
    }
    if ((fd = call(addr, port)) >= 0) {
        say(rank, fd, request, sizeof(request) - 1, 1);
        shutdown(fd, SHUT_WR);
        close(fd);
    }
    if ((fd = call(addr, port)) >= 0) {
        echo(fd);
        close(fd);
    }
    if ((fd = call(addr, port)) >= 0) {
        tear_down(fd);
    }
}

static void be_a_stranger(struct rank *rank)
{
    const struct hosts *all = hosts_of_job(rank);
    size_t nbytes = 1 << 17;
    char *garbage = malloc(nbytes);
    RANK_CHECK(rank, garbage != NULL, "no memory");
    uint64_t state = ranks_seed();
    for (size_t i = 0; i < nbytes; i++) {
        garbage[i] = (char)ranks_random(&state);
    }
    rank_wait_cell(rank, CELL_LISTED, NMEMBERS);
    int silent[NSILENT], nsilent = 0;
    for (int host = 0; host < 2; host++) {
        int nports = (int)atomic_load(rank_cell(rank, cell_of_host(host)));
        RANK_CHECK(rank, nports > 0, "host %d listens nowhere", host);
        for (int i = 0; i < nports; i++) {
            int port = (int)atomic_load(rank_cell(rank, cell_of_host(host) + 1 + i));
            for (int k = 0; k < 5 && nsilent < NSILENT; k++) {
                silent[nsilent] = call(all->addrs[host], port);
                nsilent += silent[nsilent] >= 0;
            }
            molest(rank, all->addrs[host], port, garbage);
        }
    }
    RANK_CHECK(rank, atomic_load(rank_cell(rank, CELL_NTALKS)) > 0, "nobody took a call");
    atomic_store(rank_cell(rank, CELL_STRANGER_DONE), 1);
    rank_wait_cell(rank, CELL_MEMBERS_DONE, NMEMBERS);
    for (int i = 0; i < nsilent; i++) {
        close(silent[i]);
    }
    free(garbage);
}

/* ---- members -------------------------------------------------------------------------------- */

static void use(struct rank *rank, whorl_comm_t comm, int i)
{
    static const size_t counts[] = {1, 3001, 200003};
    struct coll_case c = {.kind = (enum case_kind)(i % CASE_KINDS),
                          .count = counts[i % 3],
                          .dtype = WHORL_FLOAT32,
                          .seed = (uint64_t)i};
    case_do(rank, comm, &c);
}

/* Calls until the stranger has done all, as all members agree; and then another communicator. */
static void be_a_member(struct rank *rank)
{
    whorl_id_t id = rank_job_id(rank);
    RANK_OK(rank, whorl_comm_create(NMEMBERS, rank->rank, &id, NULL, &rank->comm));
    use(rank, rank->comm, 0);
    list_ports(rank);
    int32_t is_done = 0;
    for (int i = 0; is_done == 0; i++) {
        use(rank, rank->comm, i);
        int32_t mine = (int32_t)atomic_load(rank_cell(rank, CELL_STRANGER_DONE));
        RANK_OK(rank,
                whorl_all_reduce(&mine, &is_done, 1, WHORL_INT32, WHORL_MAX, rank->comm, NULL));
    }
    whorl_comm_t part = NULL;
    rank_at(rank, "splits beside a stranger");
    RANK_OK(rank, whorl_comm_split(rank->comm, 0, 0, NULL, &part));
    for (int i = 0; i < CASE_KINDS; i++) {
        use(rank, part, i);
    }
    RANK_OK(rank, whorl_comm_destroy(part));
    atomic_fetch_add(rank_cell(rank, CELL_MEMBERS_DONE), 1);
}

static void be_one_of_them(struct rank *rank)
{
    if (rank->rank == STRANGER) {
        be_a_stranger(rank);
    } else {
        be_a_member(rank);
    }
}

Test(hosts_strangers, at_the_ports_of_ranks_at_work_disturb_nothing)
{
    hosts = hosts_create(3, NULL);
    hosts_run(&(struct hosts_job){
        .job = {.run = be_one_of_them, .no_comm = true}, .hosts = hosts, .nprocesses = {2, 1, 1}});
    hosts_destroy(hosts);
}
