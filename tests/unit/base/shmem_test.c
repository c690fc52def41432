/* SPDX-License-Identifier: Apache-2.0 */
#include "base/shmem.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NBYTES = 1 << 20 };

static uint32_t count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    uint32_t n = 0;

    cr_assert_not_null(folder);
    while (readdir(folder) != NULL) {
        n++;
    }
    closedir(folder);
    return n;
}

/* ---- memory --------------------------------------------------------------------------------- */

Test(shmem, memory_is_sparse_zero_and_shared)
{
    const uint64_t huge = (uint64_t)1 << 40;
    int fd;
    void *a, *b;
    struct stat info;

    cr_assert_eq(wh_shmem_create("test", huge, &fd), WHORL_OK);
    cr_assert_eq(wh_shmem_map(fd, huge - NBYTES, NBYTES, &a), WHORL_OK);
    cr_assert_eq(wh_shmem_map(fd, huge - NBYTES, NBYTES, &b), WHORL_OK);
    cr_expect_eq(((uint8_t *)a)[NBYTES - 1], 0);
    ((uint8_t *)a)[NBYTES - 1] = 42;
    cr_expect_eq(((uint8_t *)b)[NBYTES - 1], 42);

    cr_assert_eq(fstat(fd, &info), 0);
    cr_expect_eq((uint64_t)info.st_size, huge);
    cr_expect_lt((uint64_t)info.st_blocks * 512, 4 * NBYTES); /* a huge page at most */
    wh_shmem_unmap(a, NBYTES);
    wh_shmem_unmap(b, NBYTES);
    close(fd);
}

Test(shmem, nobody_can_change_the_size)
{
    int fd;

    cr_assert_eq(wh_shmem_create("test", NBYTES, &fd), WHORL_OK);
    cr_expect_neq(ftruncate(fd, NBYTES / 2), 0);
    cr_expect_neq(ftruncate(fd, NBYTES * 2), 0);
    close(fd);
}

Test(shmem, a_limit_on_file_sizes_is_an_error_and_no_signal)
{
    const struct rlimit limit = {.rlim_cur = NBYTES, .rlim_max = NBYTES};
    int fd;

    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_expect_eq(wh_shmem_create("test", NBYTES + 1, &fd), WHORL_E_SYS);
    cr_assert_eq(wh_shmem_create("test", NBYTES, &fd), WHORL_OK);
    close(fd);
}

Test(shmem, a_size_beyond_all_files_is_an_error)
{
    int fd;

    cr_expect_eq(wh_shmem_create("test", UINT64_MAX, &fd), WHORL_E_SYS);
}

Test(shmem, unmap_and_close_take_null)
{
    wh_shmem_unmap(NULL, NBYTES);
    wh_shmem_offer_close(NULL);
}

/* ---- offers --------------------------------------------------------------------------------- */

struct rig {
    uint32_t ndescriptors; /* before all this */
    int fd;
    uint8_t token[WH_SHMEM_TOKEN_NBYTES];
    struct wh_shmem_offer *offer;
};

static void rig_open(struct rig *rig, uint32_t nguests)
{
    rig->ndescriptors = count_descriptors();
    cr_assert_eq(wh_shmem_create("test", NBYTES, &rig->fd), WHORL_OK);
    cr_assert_eq(wh_shmem_offer_open(rig->fd, nguests, rig->token, &rig->offer), WHORL_OK);
}

static void rig_close(struct rig *rig)
{
    wh_shmem_offer_close(rig->offer);
    close(rig->fd);
    cr_expect_eq(count_descriptors(), rig->ndescriptors);
}

/* Fetches and serves in turns. */
static whorl_result_t fetch(struct rig *rig, const uint8_t *token, uint64_t nbytes, int *fd_out)
{
    int sock = -1;
    whorl_result_t rc = WHORL_IN_PROGRESS;

    for (int i = 0; i < 10 && rc == WHORL_IN_PROGRESS; i++) {
        rc = wh_shmem_fetch(token, nbytes, &sock, fd_out);
        if (rc == WHORL_IN_PROGRESS) {
            (void)!wh_shmem_offer_serve(rig->offer);
        }
    }
    cr_expect_eq(sock, -1);
    return rc;
}

/* A connection of somebody who can list the names of sockets, but has not seen the token. */
static int connect_stranger(const struct rig *rig)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int used = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "whorl-");

    for (int i = 0; i < 16; i++) {
        used += snprintf(address.sun_path + 1 + used, 3, "%02x", rig->token[i]);
    }
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_geq(sock, 0);
    socklen_t nbytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)used);
    cr_assert_eq(connect(sock, (struct sockaddr *)&address, nbytes), 0);
    return sock;
}

Test(shmem, a_guest_gets_the_same_memory)
{
    struct rig rig;
    int fd;
    void *ours, *theirs;

    rig_open(&rig, 2);
    cr_expect_eq(wh_shmem_offer_serve(rig.offer), WHORL_IN_PROGRESS);
    cr_assert_eq(fetch(&rig, rig.token, NBYTES, &fd), WHORL_OK);
    cr_expect_eq(wh_shmem_offer_serve(rig.offer), WHORL_IN_PROGRESS);
    cr_assert_eq(wh_shmem_map(rig.fd, 0, NBYTES, &ours), WHORL_OK);
    cr_assert_eq(wh_shmem_map(fd, 0, NBYTES, &theirs), WHORL_OK);
    strcpy(ours, "hello");
    cr_expect_str_eq(theirs, "hello");
    wh_shmem_unmap(ours, NBYTES);
    wh_shmem_unmap(theirs, NBYTES);
    close(fd);

    cr_assert_eq(fetch(&rig, rig.token, NBYTES, &fd), WHORL_OK);
    close(fd);
    cr_expect_eq(wh_shmem_offer_serve(rig.offer), WHORL_OK);
    rig_close(&rig);
}

Test(shmem, another_process_gets_the_same_memory)
{
    struct rig rig;
    void *ptr;
    int status = -1;

    rig_open(&rig, 1);
    pid_t pid = fork();
    if (pid == 0) {
        int sock = -1;
        int fd = -1;
        while (wh_shmem_fetch(rig.token, NBYTES, &sock, &fd) == WHORL_IN_PROGRESS) {
            usleep(1000);
        }
        if (wh_shmem_map(fd, 0, NBYTES, &ptr) != WHORL_OK) {
            _exit(1);
        }
        strcpy(ptr, "from the child");
        _exit(0);
    }
    while (wh_shmem_offer_serve(rig.offer) == WHORL_IN_PROGRESS) {
        usleep(1000);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(status, 0);
    cr_assert_eq(wh_shmem_map(rig.fd, 0, NBYTES, &ptr), WHORL_OK);
    cr_expect_str_eq(ptr, "from the child");
    wh_shmem_unmap(ptr, NBYTES);
    rig_close(&rig);
}

Test(shmem, another_network_namespace_has_another_key_and_reaches_no_offer)
{
    struct rig rig;
    int status = -1;

    rig_open(&rig, 1);
    uint64_t key = wh_shmem_host_key();
    pid_t pid = fork();
    if (pid == 0) {
        int sock = -1;
        int fd = -1;
        if (unshare(CLONE_NEWNET) != 0) {
            _exit(77);
        }
        bool same_key = wh_shmem_host_key() == key;
        bool reached = wh_shmem_fetch(rig.token, NBYTES, &sock, &fd) != WHORL_E_SYS;
        _exit(same_key || reached ? 1 : 0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    rig_close(&rig);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        cr_skip("no network namespace of one's own");
    }
    cr_expect_eq(status, 0);
}

Test(shmem, an_offer_that_does_not_exist_is_out_of_reach)
{
    struct rig rig;
    uint8_t other[WH_SHMEM_TOKEN_NBYTES];
    int fd;

    rig_open(&rig, 1);
    memcpy(other, rig.token, sizeof(other));
    other[0] ^= 1;
    cr_expect_eq(fetch(&rig, other, NBYTES, &fd), WHORL_E_SYS);
    rig_close(&rig);
}

Test(shmem, the_name_alone_opens_nothing)
{
    struct rig rig;
    uint8_t other[WH_SHMEM_TOKEN_NBYTES];
    int fd;

    rig_open(&rig, 1);
    for (int i = 16; i < WH_SHMEM_TOKEN_NBYTES; i++) {
        memcpy(other, rig.token, sizeof(other));
        other[i] ^= 0x80;
        cr_expect_eq(fetch(&rig, other, NBYTES, &fd), WHORL_E_SYS, "byte %d", i);
    }
    cr_expect_eq(wh_shmem_offer_serve(rig.offer), WHORL_IN_PROGRESS);
    cr_assert_eq(fetch(&rig, rig.token, NBYTES, &fd), WHORL_OK);
    close(fd);
    rig_close(&rig);
}

Test(shmem, strangers_hold_up_nobody)
{
    enum { NSTRANGERS = 20 };
    struct rig rig;
    int strangers[NSTRANGERS];
    uint8_t said[64] = {0};
    uint8_t answer;
    int fd;

    rig_open(&rig, 1);
    memcpy(said, rig.token, sizeof(rig.token)); /* too little of it, or too much behind it */
    for (int i = 0; i < NSTRANGERS; i++) {
        strangers[i] = connect_stranger(&rig);
        if (i % 2 == 0) { /* the others say nothing */
            cr_assert_eq(send(strangers[i], said, (size_t)(i * 3), MSG_NOSIGNAL), i * 3);
        }
    }
    cr_assert_eq(fetch(&rig, rig.token, NBYTES, &fd), WHORL_OK);
    close(fd);
    for (int i = 0; i < NSTRANGERS; i++) {
        cr_expect_leq(recv(strangers[i], &answer, 1, 0), 0);
        close(strangers[i]);
    }
    rig_close(&rig);
}

Test(shmem, memory_of_another_size_is_refused)
{
    struct rig rig;
    int fd;

    rig_open(&rig, 2);
    cr_expect_eq(fetch(&rig, rig.token, NBYTES / 2, &fd), WHORL_E_SYS);
    cr_expect_eq(fetch(&rig, rig.token, NBYTES * 2, &fd), WHORL_E_SYS);
    rig_close(&rig);
}

Test(shmem, memory_that_can_shrink_is_refused)
{
    struct rig rig;
    struct wh_shmem_offer *offer;
    int fd;

    rig_open(&rig, 1);
    int loose = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    cr_assert_eq(ftruncate(loose, NBYTES), 0);
    cr_assert_eq(wh_shmem_offer_open(loose, 1, rig.token, &offer), WHORL_OK);
    struct wh_shmem_offer *sound = rig.offer;
    rig.offer = offer;
    cr_expect_eq(fetch(&rig, rig.token, NBYTES, &fd), WHORL_E_SYS);
    rig.offer = sound;
    wh_shmem_offer_close(offer);
    close(loose);
    rig_close(&rig);
}

Test(shmem, a_closed_offer_sends_its_guests_away)
{
    struct rig rig;
    int sock = -1;
    int fd;

    rig_open(&rig, 1);
    cr_assert_eq(wh_shmem_fetch(rig.token, NBYTES, &sock, &fd), WHORL_IN_PROGRESS);
    wh_shmem_offer_close(rig.offer);
    rig.offer = NULL;
    cr_expect_eq(wh_shmem_fetch(rig.token, NBYTES, &sock, &fd), WHORL_E_SYS);
    cr_expect_eq(sock, -1);
    rig_close(&rig);
}

/* ---- who may share -------------------------------------------------------------------------- */

Test(shmem, the_host_key_is_the_same_in_every_process_here)
{
    int status = -1;
    uint64_t key = wh_shmem_host_key();

    cr_expect_eq(wh_shmem_host_key(), key);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(wh_shmem_host_key() == key ? 0 : 1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(status, 0);
}
