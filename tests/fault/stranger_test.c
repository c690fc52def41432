/* SPDX-License-Identifier: Apache-2.0 */
/* Strangers at the root's port, while a job is about to join, disturb nothing. */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NMEMBERS = 3, STRANGER = NMEMBERS, NSILENT = 8 };
enum { CELL_ROOT_UP, CELL_STRANGER_DONE, CELL_JOINED };

/* A connection to the root; -1 if nobody listens. */
static int call_root(int port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                               .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Sends bytes, reads what comes until the root has enough of us, and goes. */
static void say(struct rank *rank, int port, const void *bytes, size_t nbytes)
{
    int fd = call_root(port);
    RANK_CHECK(rank, fd >= 0, "the root does not listen any more");
    char answer[512];
    (void)!send(fd, bytes, nbytes, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    while (recv(fd, answer, sizeof(answer), 0) > 0) {
        continue;
    }
    close(fd);
}

/* Gives the root its own words back, as an answer to its challenge. */
static void echo(struct rank *rank, int port)
{
    int fd = call_root(port);
    RANK_CHECK(rank, fd >= 0, "the root does not listen any more");
    char words[512] = {0};
    struct timeval patience = {.tv_usec = 200000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ssize_t n = recv(fd, words, sizeof(words), 0);
    (void)!send(fd, words, n > 0 ? (size_t)n : sizeof(words), MSG_NOSIGNAL);
    (void)!recv(fd, words, sizeof(words), 0);
    close(fd);
}

static void be_a_stranger(struct rank *rank, int port)
{
    int silent[NSILENT];
    for (int i = 0; i < NSILENT; i++) {
        silent[i] = call_root(port); /* say nothing, and stay */
        while (i == 0 && silent[0] < 0) {
            rank_nap();
            silent[0] = call_root(port);
        }
    }
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    size_t nbytes = 1 << 20;
    char *garbage = malloc(nbytes);
    RANK_CHECK(rank, garbage != NULL, "no memory");
    uint64_t state = ranks_seed();
    for (size_t i = 0; i < nbytes; i++) {
        garbage[i] = (char)ranks_random(&state);
    }
    rank_at(rank, "talks to the root");
    for (int i = 0; i < 20; i++) {
        say(rank, port, NULL, 0);
        say(rank, port, request, sizeof(request));
        say(rank, port, garbage + i, (size_t)1 << i);
        echo(rank, port);
    }
    memset(garbage, 0, nbytes);
    say(rank, port, garbage, nbytes);
    memset(garbage, 0xff, nbytes);
    say(rank, port, garbage, nbytes);
    atomic_store(rank_cell(rank, CELL_STRANGER_DONE), 1);
    rank_wait_cell(rank, CELL_JOINED, NMEMBERS);
    for (int i = 0; i < NSILENT; i++) {
        close(silent[i]);
    }
    free(garbage);
}

static void join_beside_a_stranger(struct rank *rank)
{
    const int *port = rank->arg;
    if (rank->rank == STRANGER) {
        be_a_stranger(rank, *port);
        return;
    }
    char text[64];
    snprintf(text, sizeof(text), "127.0.0.1:%d", *port);
    setenv("WHORL_ROOT", text, 1);
    setenv("WHORL_SECRET", "known to members", 1);
    snprintf(text, sizeof(text), "%d", rank->rank);
    setenv("WHORL_RANK", text, 1);
    snprintf(text, sizeof(text), "%d", NMEMBERS);
    setenv("WHORL_NRANKS", text, 1);
    if (rank->rank > 0) {
        rank_wait_cell(rank, CELL_STRANGER_DONE, 1);
    }
    rank_at(rank, "joins beside a stranger");
    RANK_OK(rank, whorl_comm_create_from_env(NULL, &rank->comm));
    atomic_fetch_add(rank_cell(rank, CELL_JOINED), 1);
    struct coll_case c = {
        .kind = CASE_ALL_REDUCE, .count = 100000, .dtype = WHORL_FLOAT32, .seed = 1};
    case_do(rank, rank->comm, &c);
}

Test(strangers, at_the_port_of_the_root_do_not_disturb_a_join)
{
    int port = ranks_free_port();
    ranks_run(&(struct ranks_job){
        .nprocesses = NMEMBERS + 1, .run = join_beside_a_stranger, .arg = &port, .no_comm = true});
}
