/* SPDX-License-Identifier: Apache-2.0 */
/* Poor hosts: no /dev/shm to speak of, one core for many ranks, few descriptors, sudden ends. */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const links_only[] = {"WHORL_ALGO=^arena", NULL};

static void do_all_kinds(struct rank *rank)
{
    for (int kind = 0; kind < CASE_KINDS; kind++) {
        struct coll_case c = {.kind = (enum case_kind)kind,
                              .count = 200000,
                              .dtype = WHORL_FLOAT32,
                              .op = WHORL_SUM,
                              .root = 1,
                              .seed = 1};
        case_do(rank, rank->comm, &c);
    }
}

/* ---- /dev/shm ------------------------------------------------------------------------------- */

/* A full /dev/shm of 64 KiB that only this test sees; false with errno if that may not be had. */
static bool hide_shm(void)
{
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64k") != 0) {
        return false;
    }
    int fd = open("/dev/shm/full", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    char block[4096] = {0};
    while (fd >= 0 && write(fd, block, sizeof(block)) > 0) {
        continue;
    }
    bool full = fd >= 0 && errno == ENOSPC;
    close(fd);
    return full;
}

Test(host, with_a_full_dev_shm_serves_as_well_as_any)
{
    if (!hide_shm()) {
        cr_skip("no mount namespace of one's own: %s", strerror(errno));
    }
    ranks_run(&(struct ranks_job){.nprocesses = 4, .run = do_all_kinds});
    ranks_run(&(struct ranks_job){.nprocesses = 4, .run = do_all_kinds, .env = links_only});
}

/* ---- limits on file sizes ------------------------------------------------------------------- */

/* What the ranks log; a pipe, because a log that is a file would have the limit too. */
static int log_pipe[2];

static void read_log_pipe(char *text, size_t text_nbytes)
{
    ssize_t n = read(log_pipe[0], text, text_nbytes - 1);
    text[n > 0 ? n : 0] = '\0';
}

/* Shared memory is a file, and has its limit. Whatever that is, creation works and what follows
 * works too, or all are refused and the log says why. */
static void live_with_small_files(struct rank *rank)
{
    const rlim_t *nbytes = rank->arg;
    struct rlimit limit = {*nbytes, *nbytes};
    RANK_CHECK(rank, dup2(log_pipe[1], STDERR_FILENO) >= 0, "dup2: %s", strerror(errno));
    RANK_CHECK(rank, setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit: %s", strerror(errno));
    whorl_id_t id = rank_job_id(rank);
    whorl_result_t rc = whorl_comm_create(rank->nranks, rank->rank, &id, NULL, &rank->comm);
    if (rc == WHORL_OK) {
        do_all_kinds(rank);
        atomic_fetch_add(rank_cell(rank, 0), 1);
    }
    rank_meet(rank);
    int64_t nworking = atomic_load(rank_cell(rank, 0));
    RANK_CHECK(rank, nworking == 0 || nworking == rank->nranks, "%d of %d ranks have one",
               (int)nworking, rank->nranks);
    if (rank->rank == 0 && nworking == 0) {
        char logged[16384];
        read_log_pipe(logged, sizeof(logged));
        RANK_TEXT(rank, logged, "ulimit -f");
    }
    rank_meet(rank);
    void *memory = NULL;
    rc = whorl_mem_alloc(1 << 20, &memory);
    RANK_CHECK(rank, rc == (*nbytes < 1 << 20 ? WHORL_E_SYS : WHORL_OK), "%d: %s", rc,
               whorl_last_error(NULL));
    RANK_OK(rank, whorl_mem_free(memory));
}

Test(host, with_a_low_limit_on_file_sizes_works_or_says_why)
{
    cr_assert(pipe2(log_pipe, O_CLOEXEC | O_NONBLOCK) == 0, "pipe2: %s", strerror(errno));
    for (rlim_t nbytes = 4096; nbytes <= 256 << 20; nbytes *= 16) {
        ranks_run(&(struct ranks_job){
            .nprocesses = 3, .run = live_with_small_files, .arg = &nbytes, .no_comm = true});
    }
}

/* ---- containers ----------------------------------------------------------------------------- */

/* What a container runtime gives each container of a pod: its own host name, mounts, IPC objects. */
static void live_in_a_container(struct rank *rank)
{
    char name[32];
    snprintf(name, sizeof(name), "pod-%d", rank->rank);
    RANK_CHECK(rank, unshare(CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWIPC) == 0, "unshare: %s",
               strerror(errno));
    RANK_CHECK(rank, sethostname(name, strlen(name)) == 0, "sethostname: %s", strerror(errno));
    rank_create_comm(rank);
    do_all_kinds(rank);
}

Test(host, of_containers_with_names_of_their_own_is_still_one_host)
{
    static const char *const env[] = {"WHORL_TRANSPORTS=shm", NULL};
    if (geteuid() != 0) {
        cr_skip("namespaces of one's own need root");
    }
    ranks_run(&(struct ranks_job){
        .nprocesses = 3, .run = live_in_a_container, .no_comm = true, .env = env});
}

/* ---- cores ---------------------------------------------------------------------------------- */

static void share_one_core(struct rank *rank)
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
    rank_create_comm(rank);
    for (int i = 0; i < 50; i++) {
        RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    }
    do_all_kinds(rank);
}

Test(host, with_one_core_serves_eight_processes)
{
    ranks_run(&(struct ranks_job){.nprocesses = 8, .run = share_one_core, .no_comm = true});
}

Test(host, with_few_cores_serves_eight_processes)
{
    ranks_run(&(struct ranks_job){.nprocesses = 8, .run = do_all_kinds});
}

/* ---- what is left after a sudden end -------------------------------------------------------- */

enum { NNAMES_MAX = 256, NAME_NBYTES = 256 };

struct names {
    int n;
    char names[NNAMES_MAX][NAME_NBYTES];
};

static void add_name(struct names *names, const char *name)
{
    if (names->n < NNAMES_MAX) {
        snprintf(names->names[names->n++], NAME_NBYTES, "%s", name);
    }
}

/* Abstract sockets and files in /dev/shm that are called after the library. */
static void list_leftovers(struct names *names)
{
    names->n = 0;
    FILE *file = fopen("/proc/net/unix", "re");
    char line[512];
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char *name = strchr(line, '@');
        if (name != NULL && strstr(name, "whorl") != NULL) {
            name[strcspn(name, "\n")] = '\0';
            add_name(names, name);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    DIR *dir = opendir("/dev/shm");
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strstr(entry->d_name, "whorl") != NULL) {
            add_name(names, entry->d_name);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

static bool has_name(const struct names *names, const char *name)
{
    for (int i = 0; i < names->n; i++) {
        if (strcmp(names->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* What is there now and was not before. Other tests may be at work beside this one; what they have
 * goes away by itself. */
static void expect_nothing_left(const struct names *before)
{
    static struct names left, now;
    list_leftovers(&left);
    int nstill = left.n;
    for (int i = 0; i < 10000 && nstill > 0; i++) {
        rank_nap();
        list_leftovers(&now);
        nstill = 0;
        for (int k = 0; k < left.n; k++) {
            nstill += has_name(&now, left.names[k]) && !has_name(before, left.names[k]);
        }
    }
    cr_assert(nstill == 0, "%d names are left, of %d of which the first was %s", nstill, left.n,
              left.names[0]);
}

enum { CELL_DONE };

static void die_at_work(struct rank *rank)
{
    int32_t value = 1;
    whorl_result_t rc = WHORL_OK;
    while (rc == WHORL_OK && atomic_load(rank_cell(rank, CELL_DONE)) < 50) {
        rc = whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_MAX, rank->comm, NULL);
        atomic_fetch_add(rank_cell(rank, CELL_DONE), rank->rank == 0);
    }
    kill(getpid(), SIGKILL);
}

Test(host, has_nothing_left_of_ranks_that_were_killed)
{
    static struct names before;
    list_leftovers(&before);
    for (int i = 0; i < 5; i++) {
        ranks_run(&(struct ranks_job){.nprocesses = 4, .run = die_at_work, .may_die = 15});
    }
    expect_nothing_left(&before);
}

enum { CELL_JOINING };

/* Kills its parent a moment after all ranks have begun to join; the moment differs with nspins. */
static void start_killer(struct rank *rank, int nspins)
{
    pid_t parent = getpid();
    pid_t killer = fork();
    RANK_CHECK(rank, killer >= 0, "fork: %s", strerror(errno));
    if (killer == 0) {
        rank_wait_cell(rank, CELL_JOINING, rank->nranks);
        for (volatile int i = 0; i < nspins; i++) {
            continue;
        }
        kill(parent, SIGKILL);
        _exit(0);
    }
}

static void die_while_joining(struct rank *rank)
{
    const int *nspins = rank->arg;
    start_killer(rank, *nspins);
    whorl_id_t id = rank_job_id(rank);
    whorl_comm_t comm = NULL;
    atomic_fetch_add(rank_cell(rank, CELL_JOINING), 1);
    whorl_result_t rc = whorl_comm_create(rank->nranks, rank->rank, &id, NULL, &comm);
    rank_at(rank, "waits for its killer after %d", rc);
    pause();
}

Test(host, has_nothing_left_of_ranks_that_were_killed_while_they_joined)
{
    static struct names before;
    list_leftovers(&before);
    for (int i = 0; i < 14; i++) {
        int nspins = 1 << (9 + i);
        ranks_run(&(struct ranks_job){.nprocesses = 3,
                                      .run = die_while_joining,
                                      .arg = &nspins,
                                      .may_die = 7,
                                      .no_comm = true});
    }
    expect_nothing_left(&before);
}

/* ---- descriptors ---------------------------------------------------------------------------- */

/* What was logged after the first `from` bytes of the log. */
static void read_log(const char *path, long from, char *text, size_t text_nbytes)
{
    FILE *file = fopen(path, "re");
    size_t n = 0;
    if (file != NULL && fseek(file, from, SEEK_SET) == 0) {
        n = fread(text, 1, text_nbytes - 1, file);
    }
    text[n] = '\0';
    if (file != NULL) {
        fclose(file);
    }
}

static bool names_the_cause(const char *text)
{
    return strstr(text, "descriptor") != NULL || strstr(text, "open files") != NULL;
}

/* Two local ranks with so many descriptors more than are open; WHORL_OK if that was enough. Else
 * the error names the cause, or the log does: a rank cannot know why another process does not
 * answer. */
static whorl_result_t create_with(struct rank *rank, int nmore, const char *log_path)
{
    struct rlimit before;
    struct stat log_info;
    whorl_comm_t comms[2] = {NULL, NULL};
    RANK_CHECK(rank, stat(log_path, &log_info) == 0, "no log");
    RANK_CHECK(rank, getrlimit(RLIMIT_NOFILE, &before) == 0, "getrlimit");
    int highest = dup(0);
    RANK_CHECK(rank, highest >= 0, "dup");
    close(highest);
    struct rlimit low = {.rlim_cur = (rlim_t)(highest + nmore), .rlim_max = before.rlim_max};
    RANK_CHECK(rank, setrlimit(RLIMIT_NOFILE, &low) == 0, "setrlimit");

    rank_at(rank, "creates two local ranks with %d descriptors", nmore);
    whorl_result_t rc = whorl_comm_create_local(2, NULL, comms);
    char text[512], logged[8192];
    snprintf(text, sizeof(text), "%s", whorl_last_error(NULL));
    RANK_CHECK(rank, setrlimit(RLIMIT_NOFILE, &before) == 0, "setrlimit");
    if (rc == WHORL_OK) {
        RANK_OK(rank, whorl_comm_destroy(comms[0]));
        RANK_OK(rank, whorl_comm_destroy(comms[1]));
        return rc;
    }
    fprintf(stderr, "%d descriptors: %s\n", nmore, text);
    read_log(log_path, (long)log_info.st_size, logged, sizeof(logged));
    RANK_CHECK(rank, names_the_cause(text) || names_the_cause(logged), "with %d descriptors: %s",
               nmore, text);
    return rc;
}

static void create_with_few_descriptors(struct rank *rank)
{
    char log_path[] = "/tmp/whorl-host-test-XXXXXX";
    int fd = mkstemp(log_path);
    RANK_CHECK(rank, fd >= 0, "mkstemp: %s", strerror(errno));
    close(fd);
    setenv("WHORL_DEBUG_FILE", log_path, 1);
    RANK_OK(rank, create_with(rank, 1000, log_path)); /* opens the log */
    int nmore = 0;
    while (create_with(rank, nmore, log_path) != WHORL_OK) {
        nmore++;
        RANK_CHECK(rank, nmore < 100, "100 descriptors are not enough for two ranks");
    }
    unlink(log_path);
    RANK_CHECK(rank, nmore > 2, "%d descriptors were enough: was there a limit?", nmore);
    fprintf(stderr, "%d descriptors are enough for two local ranks\n", nmore);
}

Test(host, with_few_descriptors_says_so_and_does_not_hang)
{
    static const char *const env[] = {"WHORL_INIT_TIMEOUT=500ms", NULL};
    ranks_run(&(struct ranks_job){.run = create_with_few_descriptors, .no_comm = true, .env = env});
}
