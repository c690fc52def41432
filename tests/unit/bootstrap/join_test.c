/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sock.h"
#include "crew.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(join, .timeout = 120);

Test(join, any_number_of_threads_joins)
{
    static const uint32_t sizes[] = {1, 2, 3, 5, 8, 16};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        crew_sail(sizes[i], NULL);
    }
}

static void meet(struct mate *mate)
{
    cr_expect_eq(wh_boot_barrier(mate->boot, crew_soon()), WHORL_OK, "%s", wh_error_get());
}

Test(join, sixty_four_threads_join)
{
    uint64_t begin_ns = wh_now_ns();
    crew_sail(64, meet);
    cr_log_info("64 threads joined, met and left in %.0f ms",
                (double)(wh_now_ns() - begin_ns) / 1e6);
}

/* Few enough to be welcomed together, and so many that each is sent to its neighbours at once. */
Test(join, hundreds_of_threads_join)
{
    static const uint32_t sizes[] = {128, 257, 300};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        crew_sail(sizes[i], meet);
    }
}

Test(join, ranks_of_a_large_job_learn_who_is_missing)
{
    struct crew *crew = crew_create(3, NULL);
    for (uint32_t i = 0; i < 3; i++) {
        crew->mates[i].nranks = 1000;
        crew->mates[i].rank = 10 + i;
        crew->mates[i].timeout_ms = 1000;
    }
    crew_start(crew);
    crew_wait(crew);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(crew->mates[i].rc, WHORL_E_TIMEOUT);
        cr_assert_str_eq(crew->mates[i].error, "3 of 1000 ranks joined; missing: 0-9, 13-999");
    }
    crew_destroy(crew);
}

Test(join, two_of_one_rank_of_a_large_job_are_both_named)
{
    struct crew *crew = crew_create(2, NULL);
    for (uint32_t i = 0; i < 2; i++) {
        crew->mates[i].nranks = 1000;
        crew->mates[i].rank = 7;
        crew->mates[i].timeout_ms = 1000;
    }
    crew_start(crew);
    crew_wait(crew);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(crew->mates[i].rc, WHORL_E_MISMATCH, "%s", crew->mates[i].error);
        cr_assert_not_null(strstr(crew->mates[i].error, "rank 7 joined twice"), "%s",
                           crew->mates[i].error);
    }
    crew_destroy(crew);
}

/* As meet(), in a forked process. */
static void meet_or_exit(struct mate *mate)
{
    if (wh_boot_barrier(mate->boot, crew_soon()) != WHORL_OK) {
        _exit(2);
    }
}

static void be_a_process(struct mate *mate)
{
    mate_run(mate);
    _exit(mate->rc == WHORL_OK ? 0 : 1);
}

Test(join, eight_processes_join)
{
    enum { N = 8 };
    struct crew *crew = crew_create(N, meet_or_exit);
    pid_t pids[N];
    crew_fork(crew, pids, be_a_process);
    for (uint32_t i = 0; i < N; i++) {
        int status;
        cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
        cr_assert_eq(status, 0, "rank %u: status %x", i, (unsigned)status);
    }
    crew_destroy(crew);
}

/* Entries of a directory of this process. */
static uint32_t count(const char *path)
{
    uint32_t nentries = 0;
    DIR *dir = opendir(path);
    cr_assert_not_null(dir);
    while (readdir(dir) != NULL) {
        nentries++;
    }
    closedir(dir);
    return nentries;
}

/* The root's thread ends on its own, a moment after the last rank has been answered. */
static void await_count(const char *path, uint32_t expected)
{
    uint64_t deadline_ns = crew_soon();
    while (count(path) > expected && wh_now_ns() < deadline_ns) {
        usleep(1000);
    }
    cr_assert_eq(count(path), expected, "%s", path);
}

Test(join, nothing_is_left_of_two_hundred_jobs)
{
    uint32_t ntasks = count("/proc/self/task");
    crew_sail(2, meet);
    await_count("/proc/self/task", ntasks);
    uint32_t nfds = count("/proc/self/fd");
    for (int job = 0; job < 200; job++) {
        crew_sail(2, meet);
    }
    await_count("/proc/self/fd", nfds);
    await_count("/proc/self/task", ntasks);
}

Test(join, nothing_is_left_of_jobs_that_failed)
{
    uint32_t ntasks = count("/proc/self/task");
    crew_sail(2, meet);
    await_count("/proc/self/task", ntasks);
    uint32_t nfds = count("/proc/self/fd");
    for (int job = 0; job < 5; job++) {
        struct crew *crew = crew_create(2, NULL);
        crew->mates[0].nranks = crew->mates[1].nranks = 3;
        crew->mates[0].timeout_ms = crew->mates[1].timeout_ms = 500;
        crew_start(crew);
        crew_wait(crew);
        cr_assert_eq(crew->mates[0].rc, WHORL_E_TIMEOUT, "%s", crew->mates[0].error);
        crew_destroy(crew);
    }
    await_count("/proc/self/fd", nfds);
    await_count("/proc/self/task", ntasks);
}

Test(join, impossible_ranks_and_ids_are_argument_errors)
{
    struct crew *crew = crew_create(1, NULL);
    struct mate *mate = &crew->mates[0];
    mate->nranks = 0;
    mate_join(mate);
    cr_assert_eq(mate->rc, WHORL_E_ARG);
    mate->nranks = 4;
    mate->rank = 4;
    mate_join(mate);
    cr_assert_eq(mate->rc, WHORL_E_ARG);
    cr_assert_not_null(strstr(mate->error, "rank 4 of 4"), "%s", mate->error);
    mate->rank = 0;
    crew->id.bytes[9] ^= 1;
    mate_join(mate);
    cr_assert_eq(mate->rc, WHORL_E_ARG);
    crew_destroy(crew);
}

Test(join, without_a_root_the_error_says_where_it_was_sought)
{
    /* Bound, so that nobody else gets the port, but nobody listens. */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t sa_nbytes = sizeof(sa);
    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &sa_nbytes), 0);
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(sa.sin_port));
    struct crew *crew = crew_create(1, NULL);
    cr_assert_eq(wh_boot_id_from_address(address, "tea", &crew->id), WHORL_OK);
    crew->mates[0].timeout_ms = 1000;
    mate_join(&crew->mates[0]);
    cr_assert_eq(crew->mates[0].rc, WHORL_E_TIMEOUT);
    char text[128];
    snprintf(text, sizeof(text), "no root at %s: %s; tried for 1 s: is rank 0 running?", address,
             strerror(ECONNREFUSED));
    cr_assert_str_eq(crew->mates[0].error, text);
    close(fd);
    crew_destroy(crew);
}

/* Listens like a root of another job; knows neither this job's secret. */
Test(join, another_root_at_the_address_is_not_believed)
{
    struct crew *other = crew_create(1, NULL), *crew = crew_create(1, NULL);
    struct wh_ticket theirs;
    cr_assert(wh_ticket_decode(&other->id, &theirs));
    memset(theirs.secret, 'x', sizeof(theirs.secret));
    wh_ticket_encode(&theirs, &crew->id);
    mate_join(&crew->mates[0]);
    cr_assert_eq(crew->mates[0].rc, WHORL_E_TRUST);
    char addr[WH_ADDR_TEXT_NBYTES], text[256];
    snprintf(text, sizeof(text),
             "the root at %s does not know this job's secret, or this is another job",
             wh_addr_print(&theirs.addrs[0], addr));
    cr_assert_str_eq(crew->mates[0].error, text);
    cr_assert_null(strstr(crew->mates[0].error, "xxxx"));
    crew_destroy(other);
    crew_destroy(crew);
}

Test(join, addresses_that_do_not_answer_are_passed_over)
{
    struct crew *crew = crew_create(2, meet);
    struct wh_ticket ticket;
    cr_assert(wh_ticket_decode(&crew->id, &ticket));
    struct wh_addr good = ticket.addrs[ticket.naddrs - 1];
    ticket.naddrs = 2;
    ticket.addrs[1] = good;
    ticket.addrs[0] = good;
    ticket.addrs[0].ip[15] = 77; /* 127.0.0.77: this host, but see the next line */
    ticket.addrs[0].ip[12] = 0;  /* 0.0.0.77: nobody */
    wh_ticket_encode(&ticket, &crew->id);
    crew_start(crew);
    crew_wait(crew);
    cr_assert_eq(crew->mates[0].rc, WHORL_OK, "%s", crew->mates[0].error);
    cr_assert_eq(crew->mates[1].rc, WHORL_OK, "%s", crew->mates[1].error);
    crew_destroy(crew);
}
