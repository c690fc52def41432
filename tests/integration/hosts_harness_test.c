/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of several hosts stand on: namespaces that are as apart as machines are. */
#include "harness/hosts.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CELL_PORT };

static struct hosts *hosts;

static void make_two(void)
{
    hosts = hosts_create(2, NULL);
}

static void remove_all(void)
{
    hosts_destroy(hosts);
}

/* An address of any family from its text. */
static socklen_t address_of(const char *text, int port, struct sockaddr_storage *addr)
{
    *addr = (struct sockaddr_storage){0};
    struct sockaddr_in *in = (struct sockaddr_in *)addr;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)addr;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        return sizeof(*in);
    }
    cr_assert(inet_pton(AF_INET6, text, &in6->sin6_addr) == 1, "%s is no address", text);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons((uint16_t)port);
    return sizeof(*in6);
}

static int port_of(int fd)
{
    struct sockaddr_storage addr;
    socklen_t nbytes = sizeof(addr);
    if (getsockname(fd, (struct sockaddr *)&addr, &nbytes) != 0) {
        return -1;
    }
    return ntohs(addr.ss_family == AF_INET ? ((struct sockaddr_in *)&addr)->sin_port
                                           : ((struct sockaddr_in6 *)&addr)->sin6_port);
}

/* A listener at some port of an address of this host. */
static int listen_at(struct rank *rank, const char *text)
{
    struct sockaddr_storage addr;
    socklen_t nbytes = address_of(text, 0, &addr);
    int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    RANK_CHECK(rank, fd >= 0, "socket: %s", strerror(errno));
    RANK_CHECK(rank, bind(fd, (struct sockaddr *)&addr, nbytes) == 0 && listen(fd, 8) == 0,
               "listening at %s: %s", text, strerror(errno));
    return fd;
}

static int call(const char *text, int port)
{
    struct sockaddr_storage addr;
    socklen_t nbytes = address_of(text, port, &addr);
    int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, nbytes) != 0) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

/* ---- reach ---------------------------------------------------------------------------------- */

static void talk_over(struct rank *rank, const char *text)
{
    char byte = 0;
    if (rank->rank == 0) {
        int listener = listen_at(rank, text);
        atomic_store(rank_cell(rank, CELL_PORT), port_of(listener));
        int fd = accept(listener, NULL, NULL);
        RANK_CHECK(rank, fd >= 0 && send(fd, "x", 1, 0) == 1, "%s: %s", text, strerror(errno));
        RANK_CHECK(rank, recv(fd, &byte, 1, 0) == 0, "%s: nobody hung up", text);
        close(fd);
        close(listener);
    } else {
        rank_wait_cell(rank, CELL_PORT, 1);
        int fd = call(text, (int)atomic_load(rank_cell(rank, CELL_PORT)));
        RANK_CHECK(rank, fd >= 0, "calling %s: %s", text, strerror(errno));
        RANK_CHECK(rank, recv(fd, &byte, 1, 0) == 1 && byte == 'x', "no answer from %s", text);
        close(fd);
    }
    rank_meet(rank);
    atomic_store(rank_cell(rank, CELL_PORT), 0);
    rank_meet(rank);
}

static void reach_each_other(struct rank *rank)
{
    const struct hosts *both = hosts_of_job(rank);
    talk_over(rank, both->addrs[0]);
    talk_over(rank, both->addrs6[0]);
}

static void miss_each_other(struct rank *rank)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "whorl-test-%d", (int)getppid());
    socklen_t nbytes =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name.sun_path + 1));
    int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    RANK_CHECK(rank, local >= 0, "socket: %s", strerror(errno));
    if (rank->rank == 0) {
        int listener = listen_at(rank, "127.0.0.1");
        int rc = bind(local, (struct sockaddr *)&name, nbytes);
        RANK_CHECK(rank, rc == 0 && listen(local, 8) == 0, "abstract socket: %s", strerror(errno));
        atomic_store(rank_cell(rank, CELL_PORT), port_of(listener));
        rank_meet(rank);
        close(listener);
    } else {
        rank_wait_cell(rank, CELL_PORT, 1);
        int port = (int)atomic_load(rank_cell(rank, CELL_PORT));
        RANK_CHECK(rank, call("127.0.0.1", port) < 0 && errno == ECONNREFUSED,
                   "the loopback of another host answers");
        RANK_CHECK(rank,
                   connect(local, (struct sockaddr *)&name, nbytes) < 0 && errno == ECONNREFUSED,
                   "the abstract socket of another host answers");
        rank_meet(rank);
    }
    close(local);
}

static void tell_hosts_apart(struct rank *rank)
{
    char mine[HOSTS_NAME_NBYTES + 16], want[HOSTS_NAME_NBYTES + 16];
    int host = hosts_of_rank(rank, rank->rank);
    RANK_CHECK(rank, gethostname(mine, sizeof(mine)) == 0, "gethostname");
    snprintf(want, sizeof(want), "%s-%d", hosts_of_job(rank)->name, host);
    RANK_CHECK(rank, strcmp(mine, want) == 0, "%s, not %s", mine, want);
    RANK_CHECK(rank, hosts_bytes_sent("eth0") >= 0 && hosts_bytes_sent("eth1") < 0,
               "other interfaces than eth0");
}

TestSuite(hosts_harness, .init = make_two, .fini = remove_all);

Test(hosts_harness, hosts_reach_each_other)
{
    hosts_run(&(struct hosts_job){
        .job = {.run = reach_each_other, .no_comm = true}, .hosts = hosts, .nprocesses = {1, 1}});
}

Test(hosts_harness, hosts_do_not_see_each_others_loopback_and_abstract_sockets)
{
    hosts_run(&(struct hosts_job){
        .job = {.run = miss_each_other, .no_comm = true}, .hosts = hosts, .nprocesses = {1, 1}});
}

Test(hosts_harness, every_thread_of_a_process_is_in_its_host)
{
    hosts_run(&(struct hosts_job){.job = {.run = tell_hosts_apart, .no_comm = true, .nthreads = 2},
                                  .hosts = hosts,
                                  .nprocesses = {2, 1}});
}

Test(hosts_harness, processes_are_numbered_by_host_or_dealt_in_turn)
{
    struct hosts four = {.n = 3};
    struct hosts_job job = {.hosts = &four, .nprocesses = {3, 1, 2}};
    static const int by_host[] = {0, 0, 0, 1, 2, 2}, in_turn[] = {0, 1, 2, 0, 2, 0};
    for (int p = 0; p < 6; p++) {
        job.round_robin = false;
        cr_assert_eq(hosts_of_process(&job, p), by_host[p], "process %d", p);
        job.round_robin = true;
        cr_assert_eq(hosts_of_process(&job, p), in_turn[p], "process %d", p);
    }
}

/* ---- cables --------------------------------------------------------------------------------- */

/* Sends a byte from rank 0 to rank 1 with the cable of rank 1 as state says; true if it came. */
static bool byte_comes(struct rank *rank, int fd, const char *state)
{
    const struct hosts *both = hosts_of_job(rank);
    char byte = 0;
    if (rank->rank == 0) {
        RANK_CHECK(rank, hosts_link(both, 1, 0, state), "link %s", state);
        RANK_CHECK(rank, send(fd, "x", 1, MSG_NOSIGNAL) == 1, "send: %s", strerror(errno));
    }
    rank_meet(rank);
    struct timeval patience = {.tv_usec = 300000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return rank->rank == 1 && recv(fd, &byte, 1, 0) == 1;
}

/* A byte that is lost comes when the cable is back, as TCP sends it again. */
static void lose_and_find(struct rank *rank)
{
    const struct hosts *both = hosts_of_job(rank);
    int listener = -1, fd = -1;
    if (rank->rank == 0) {
        listener = listen_at(rank, both->addrs[0]);
        atomic_store(rank_cell(rank, CELL_PORT), port_of(listener));
        fd = accept(listener, NULL, NULL);
    } else {
        rank_wait_cell(rank, CELL_PORT, 1);
        fd = call(both->addrs[0], (int)atomic_load(rank_cell(rank, CELL_PORT)));
    }
    RANK_CHECK(rank, fd >= 0, "connection: %s", strerror(errno));
    static const char *const states[] = {"up", "cut", "down"};
    for (int i = 0; i < 3; i++) {
        bool came = byte_comes(rank, fd, states[i]);
        RANK_CHECK(rank, rank->rank == 0 || came == (i == 0), "with the cable %s: came %d",
                   states[i], came);
        rank_meet(rank);
        if (rank->rank == 0) {
            RANK_CHECK(rank, hosts_link(both, 1, 0, "up"), "link up");
        } else if (i > 0) {
            struct timeval patience = {.tv_sec = 30};
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
            char byte = 0;
            RANK_CHECK(rank, recv(fd, &byte, 1, 0) == 1, "the byte of %s is lost", states[i]);
        }
        rank_meet(rank);
    }
    close(fd);
    close(listener);
}

Test(hosts_harness, cables_that_are_cut_or_pulled_lose_bytes_until_they_are_back)
{
    hosts_run(&(struct hosts_job){
        .job = {.run = lose_and_find, .no_comm = true}, .hosts = hosts, .nprocesses = {1, 1}});
}

static void use_second_rail(struct rank *rank)
{
    RANK_CHECK(rank, hosts_bytes_sent("eth1") >= 0, "there is no eth1");
    int64_t before = hosts_bytes_received("eth1");
    talk_over(rank, hosts_of_job(rank)->rail_addrs[0]);
    RANK_CHECK(rank, hosts_bytes_received("eth1") > before, "nothing went over eth1");
}

Test(hosts_harness, hosts_can_have_another_interface)
{
    hosts_add_rail(hosts);
    hosts_run(&(struct hosts_job){
        .job = {.run = use_second_rail, .no_comm = true}, .hosts = hosts, .nprocesses = {1, 1}});
}

/* ---- rate ----------------------------------------------------------------------------------- */

/* What tc says of the queue of rank 1's host: bytes sent, and how often some had to wait. */
static void read_queue(struct rank *rank, long long *sent_out, long long *nheld_out)
{
    char command[256], line[512];
    snprintf(command, sizeof(command),
             "PATH=$PATH:/usr/sbin:/sbin tc -s -n %s-1 qdisc show dev eth0",
             hosts_of_job(rank)->name);
    FILE *out = popen(command, "re");
    int nread = 0;
    while (out != NULL && fgets(line, sizeof(line), out) != NULL && nread != 2) {
        nread = sscanf(line, " Sent %lld bytes %*d pkt (dropped %*d, overlimits %lld", sent_out,
                       nheld_out);
    }
    RANK_CHECK(rank, nread == 2 && out != NULL, "tc says nothing");
    pclose(out);
}

/* More than the bucket holds: some of it has waited, and all of it has come. */
static void pour(struct rank *rank)
{
    const struct hosts *both = hosts_of_job(rank);
    static char bytes[1 << 20];
    long long sent = 0, nheld = 0, ncame = 0;
    if (rank->rank == 0) {
        int listener = listen_at(rank, both->addrs[0]);
        atomic_store(rank_cell(rank, CELL_PORT), port_of(listener));
        int fd = accept(listener, NULL, NULL);
        RANK_CHECK(rank, fd >= 0, "accept: %s", strerror(errno));
        for (ssize_t n = 1; n > 0; ncame += n) {
            n = recv(fd, bytes, sizeof(bytes), 0);
        }
        RANK_CHECK(rank, ncame == (long long)sizeof(bytes), "%lld bytes came", ncame);
        close(fd);
        close(listener);
        return;
    }
    read_queue(rank, &sent, &nheld);
    RANK_CHECK(rank, nheld == 0, "%lld packets were held before", nheld);
    rank_wait_cell(rank, CELL_PORT, 1);
    int fd = call(both->addrs[0], (int)atomic_load(rank_cell(rank, CELL_PORT)));
    RANK_CHECK(rank, fd >= 0, "connection: %s", strerror(errno));
    RANK_CHECK(rank, send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) == (ssize_t)sizeof(bytes),
               "send: %s", strerror(errno));
    shutdown(fd, SHUT_WR);
    (void)!recv(fd, bytes, 1, 0);
    read_queue(rank, &sent, &nheld);
    RANK_CHECK(rank, nheld > 0 && sent >= (long long)sizeof(bytes), "%lld held, %lld bytes sent",
               nheld, sent);
    close(fd);
}

Test(hosts_limited, a_rate_limit_holds_back_what_is_sent)
{
    struct hosts *slow = hosts_create(2, "20mbit");
    hosts_run(&(struct hosts_job){
        .job = {.run = pour, .no_comm = true}, .hosts = slow, .nprocesses = {1, 1}});
    hosts_destroy(slow);
}

/* ---- removal -------------------------------------------------------------------------------- */

static int count_namespaces(const char *name)
{
    DIR *dir = opendir("/run/netns");
    int n = 0;
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        n += strncmp(entry->d_name, name, strlen(name)) == 0;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return n;
}

Test(hosts_harness, hosts_of_a_test_that_dies_are_removed)
{
    int fds[2];
    char name[HOSTS_NAME_NBYTES] = "";
    cr_assert(pipe(fds) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct hosts *mine = hosts_create(2, NULL);
        (void)!write(fds[1], mine->name, sizeof(mine->name));
        pause();
    }
    cr_assert(read(fds[0], name, sizeof(name)) == sizeof(name) && name[0] != '\0');
    int before = count_namespaces(name);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    cr_assert_eq(before, 3, "%d namespaces of %s", before, name);
    for (int i = 0; i < 20000 && count_namespaces(name) > 0; i++) {
        rank_nap();
    }
    cr_assert_eq(count_namespaces(name), 0, "%s is still there", name);
}

/* ---- the script by hand --------------------------------------------------------------------- */

/* The exit status of tools/hosts.sh with such arguments, and the first line that it prints. */
static int run_script(const char *args, char *line, size_t line_nbytes)
{
    char command[512];
    snprintf(command, sizeof(command), "%s %s 2>&1", hosts_script(), args);
    FILE *out = popen(command, "re");
    cr_assert_not_null(out);
    line[0] = '\0';
    if (fgets(line, (int)line_nbytes, out) != NULL) {
        line[strcspn(line, "\n")] = '\0';
    }
    char rest[512];
    while (fgets(rest, sizeof(rest), out) != NULL) {
        continue;
    }
    int status = pclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(hosts_script, leaves_nothing_of_what_it_cannot_make)
{
    char line[256], args[128], name[64];
    if (hosts_why_not() != NULL) {
        cr_skip("%s", hosts_why_not());
    }
    snprintf(name, sizeof(name), "whorl-x%d", (int)getpid());
    snprintf(args, sizeof(args), "up %s 2 3parsec", name);
    cr_assert_neq(run_script(args, line, sizeof(line)), 0, "that is no rate");
    cr_assert_eq(count_namespaces(name), 0, "%s is still there: %s", name, line);
    snprintf(args, sizeof(args), "down %s", name);
    cr_assert_eq(run_script(args, line, sizeof(line)), 0, "nothing to remove is no error: %s",
                 line);
}

Test(hosts_script, runs_commands_in_hosts_and_refuses_what_makes_no_sense)
{
    static const char *const wrong[] = {"up 'a b' 2",  "up x",     "up x 0",   "up x 251",
                                        "exec x 0 ls", "link x 0", "addr x 9", "dance x"};
    char line[256], args[256];
    struct hosts *two = hosts_create(2, NULL);
    snprintf(args, sizeof(args), "exec %s 1 ip -o -4 address show dev eth0", two->name);
    cr_assert_eq(run_script(args, line, sizeof(line)), 0, "%s", line);
    cr_assert_not_null(strstr(line, two->addrs[1]), "%s has no %s", line, two->addrs[1]);
    snprintf(args, sizeof(args), "up %s 2", two->name);
    cr_assert_neq(run_script(args, line, sizeof(line)), 0, "made twice");
    cr_assert_eq(count_namespaces(two->name), 3, "the first ones are gone");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_neq(run_script(wrong[i], line, sizeof(line)), 0, "%s: %s", wrong[i], line);
        cr_assert_neq(line[0], '\0', "%s: no word of why", wrong[i]);
    }
    hosts_destroy(two);
}
