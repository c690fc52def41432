/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks that must share what little there is: a CPU quota below one core, a single core that all
 * are tied to, before or after the communicator was made. All must get on, and whoever waits must
 * leave the core to the others.
 */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void do_all_kinds(struct rank *rank, size_t count)
{
    for (int kind = 0; kind < CASE_KINDS; kind++) {
        struct coll_case c = {.kind = (enum case_kind)kind,
                              .count = count,
                              .dtype = WHORL_FLOAT32,
                              .op = WHORL_SUM,
                              .root = kind % rank->nranks,
                              .seed = 1};
        case_do(rank, rank->comm, &c);
    }
}

static void do_many_small(struct rank *rank, int ncalls)
{
    for (int i = 0; i < ncalls; i++) {
        int64_t value = rank->rank + i, sum = 0;
        rank_at(rank, "is in small all_reduce %d of %d", i, ncalls);
        RANK_OK(rank, whorl_all_reduce(&value, &sum, 1, WHORL_INT64, WHORL_SUM, rank->comm, NULL));
        int64_t n = rank->nranks;
        RANK_CHECK(rank, sum == n * i + n * (n - 1) / 2, "call %d gave %lld", i, (long long)sum);
    }
}

/* ---- a CPU quota ---------------------------------------------------------------------------- */

static char group_path[128];

static bool write_group_file(const char *name, const char *text)
{
    char path[192];
    snprintf(path, sizeof(path), "%s/%s", group_path, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    int err = errno;
    if (fd >= 0) {
        close(fd);
    }
    errno = err;
    return ok;
}

/* A cgroup of its own, with 40 ms of CPU time in every 100; false with errno if there is none. */
static bool make_group(void)
{
    snprintf(group_path, sizeof(group_path), "/sys/fs/cgroup/whorl-test-%d", (int)getpid());
    if (mkdir(group_path, 0755) == 0) {
        if (write_group_file("cpu.max", "40000 100000")) {
            return true;
        }
        rmdir(group_path);
    }
    snprintf(group_path, sizeof(group_path), "/sys/fs/cgroup/cpu/whorl-test-%d", (int)getpid());
    if (mkdir(group_path, 0755) != 0) {
        group_path[0] = '\0';
        return false;
    }
    return write_group_file("cpu.cfs_period_us", "100000") &&
           write_group_file("cpu.cfs_quota_us", "40000");
}

static void remove_group(void)
{
    if (group_path[0] != '\0') {
        rmdir(group_path);
    }
}

static void live_on_a_quota(struct rank *rank)
{
    if (rank->thread == 0) {
        RANK_CHECK(rank, write_group_file("cgroup.procs", "0"), "cgroup.procs: %s",
                   strerror(errno));
        atomic_fetch_add(rank_cell(rank, 0), 1);
    }
    rank_wait_cell(rank, 0, rank->job->nprocesses); /* none counts its cores too early */
    rank_create_comm(rank);
    do_many_small(rank, RANKS_SLOW_BUILD ? 200 : 2000);
    do_all_kinds(rank, RANKS_SLOW_BUILD ? 20000 : 300000);
}

static void run_on_a_quota(int nprocesses, int nthreads)
{
    if (!make_group()) {
        cr_skip("no cgroup with a CPU quota of one's own: %s", strerror(errno));
    }
    ranks_run(&(struct ranks_job){
        .nprocesses = nprocesses, .nthreads = nthreads, .run = live_on_a_quota, .no_comm = true});
}

Test(crowded, ranks_on_a_cpu_quota_below_one_core_get_on, .fini = remove_group)
{
    run_on_a_quota(2, 1);
}

Test(crowded, four_ranks_on_a_cpu_quota_below_one_core_get_on, .fini = remove_group)
{
    run_on_a_quota(4, 1);
}

Test(crowded, threads_on_a_cpu_quota_below_one_core_get_on, .fini = remove_group)
{
    run_on_a_quota(1, 4);
}

/* ---- one core ------------------------------------------------------------------------------- */

/* Ties the calling thread, and those that it makes later, to the first core it may use. */
static void use_one_core(struct rank *rank)
{
    cpu_set_t allowed, one;
    RANK_CHECK(rank, sched_getaffinity(0, sizeof(allowed), &allowed) == 0, "sched_getaffinity");
    size_t cpu = 0;
    while (!CPU_ISSET(cpu, &allowed)) {
        cpu++;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    RANK_CHECK(rank, sched_setaffinity(0, sizeof(one), &one) == 0, "sched_setaffinity");
}

enum { NSMALL_PINNED = RANKS_SLOW_BUILD ? 300 : 3000 };

static void be_pinned_before(struct rank *rank)
{
    use_one_core(rank);
    rank_create_comm(rank);
    do_many_small(rank, NSMALL_PINNED);
    do_all_kinds(rank, 100000);
}

/* Here the library has counted its cores before: it must find out by itself that it got fewer. */
static void be_pinned_after(struct rank *rank)
{
    do_many_small(rank, 100);
    rank_meet(rank);
    use_one_core(rank);
    rank_meet(rank);
    do_many_small(rank, NSMALL_PINNED);
    do_all_kinds(rank, 100000);
}

static const struct arrangement {
    int nprocesses, nthreads;
} arrangements[] = {{2, 1}, {1, 2}, {4, 1}, {2, 2}};
enum { NARRANGEMENTS = sizeof(arrangements) / sizeof(arrangements[0]) };

static void run_pinned(void (*run)(struct rank *), bool no_comm, const char *const *env)
{
    for (int i = 0; i < NARRANGEMENTS; i++) {
        ranks_run(&(struct ranks_job){.nprocesses = arrangements[i].nprocesses,
                                      .nthreads = arrangements[i].nthreads,
                                      .run = run,
                                      .no_comm = no_comm,
                                      .env = env});
    }
}

static const char *const links_only[] = {"WHORL_ALGO=^arena", NULL};

Test(crowded, ranks_tied_to_one_core_before_they_join_get_on)
{
    run_pinned(be_pinned_before, true, NULL);
    run_pinned(be_pinned_before, true, links_only);
}

Test(crowded, ranks_tied_to_one_core_after_they_joined_get_on)
{
    run_pinned(be_pinned_after, false, NULL);
    run_pinned(be_pinned_after, false, links_only);
}

/* Not even with a patience that fits cores of one's own may a rank hold the core for ever. */
Test(crowded, ranks_tied_to_one_core_get_on_with_much_patience)
{
    static const char *const env[] = {"WHORL_SPIN=20000", "WHORL_YIELDS=0", NULL};
    run_pinned(be_pinned_after, false, env);
}

/* ---- what waiting costs --------------------------------------------------------------------- */

enum { LATE_MS = 1000 };

static int64_t cpu_ms(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

struct waiting {
    struct coll_case c;
    bool on_stream;
};

/* Rank 0 comes a second late; what the others' processes use of the CPU meanwhile is little. */
static void wait_for_rank_0(struct rank *rank)
{
    const struct waiting *waiting = rank->arg;
    char text[200];
    case_print(&waiting->c, text, sizeof(text));
    rank_at(rank, "waits in %s", text);
    struct case_run *run = case_begin(rank, rank->comm, &waiting->c);
    whorl_stream_t stream = NULL;
    if (waiting->on_stream) {
        RANK_OK(rank, whorl_stream_create(&stream));
    }
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    if (rank->rank == 0) {
        usleep(LATE_MS * 1000);
    }
    int64_t before_ms = cpu_ms();
    RANK_OK(rank, case_call(run, stream));
    if (stream != NULL) {
        RANK_OK(rank, whorl_stream_synchronize(stream));
    }
    int64_t used_ms = cpu_ms() - before_ms;
    RANK_CHECK(rank, rank->rank == 0 || used_ms < LATE_MS / 2,
               "waiting %d ms for a late rank took %lld ms of CPU time", LATE_MS,
               (long long)used_ms);
    case_end(run);
    if (stream != NULL) {
        RANK_OK(rank, whorl_stream_destroy(stream));
    }
}

static void expect_cheap_waiting(enum case_kind kind, size_t count, const char *const *env)
{
    struct waiting waiting = {
        .c = {.kind = kind, .count = count, .dtype = WHORL_INT32, .root = 1, .seed = 1}};
    for (int on_stream = 0; on_stream < 2; on_stream++) {
        waiting.on_stream = on_stream != 0;
        ranks_run(&(struct ranks_job){
            .nprocesses = 2, .run = wait_for_rank_0, .arg = &waiting, .env = env});
    }
}

Test(crowded, a_rank_that_waits_burns_no_core)
{
    expect_cheap_waiting(CASE_ALL_REDUCE, 1, NULL);
    expect_cheap_waiting(CASE_ALL_REDUCE, 100000, NULL);
    expect_cheap_waiting(CASE_ALL_TO_ALL_V, 5000, NULL);
    expect_cheap_waiting(CASE_SENDRECV, 1000, NULL);
}

Test(crowded, a_rank_that_waits_on_a_link_burns_no_core)
{
    expect_cheap_waiting(CASE_BARRIER, 0, links_only);
    expect_cheap_waiting(CASE_ALL_REDUCE, 100000, links_only);
}
