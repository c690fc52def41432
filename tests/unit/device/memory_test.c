/* SPDX-License-Identifier: Apache-2.0 */
/* Regions: where they begin and end, when they are found, and when they are gone. */
#include "base/shmem.h"
#include "device/memory.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, HUGE_NBYTES = 2 << 20 };

static uint8_t *alloc(size_t nbytes)
{
    void *ptr = NULL;
    cr_assert_eq(wh_memory_alloc(nbytes, &ptr), WHORL_OK);
    cr_assert_not_null(ptr);
    return ptr;
}

/* Shared memory of the user: a memfd that is open. */
static uint8_t *map_memfd(size_t nbytes, int *fd_out)
{
    void *ptr = NULL;
    cr_assert_eq(wh_shmem_create("memory-test", nbytes, fd_out), WHORL_OK);
    cr_assert_eq(wh_shmem_map(*fd_out, 0, nbytes, &ptr), WHORL_OK);
    return ptr;
}

static void *must_register(struct wh_memory_list *list, void *buf, size_t nbytes)
{
    void *handle = NULL;
    cr_assert_eq(wh_memory_register(list, buf, nbytes, &handle), WHORL_OK);
    cr_assert_not_null(handle);
    return handle;
}

static int count_fds(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    cr_assert_not_null(dir);
    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

/* ---- memory of ours ------------------------------------------------------------------------- */

Test(memory, comes_zeroed_and_at_a_huge_page)
{
    static const size_t sizes[] = {1, 100, PAGE, PAGE + 1, HUGE_NBYTES, 5 * HUGE_NBYTES + 3};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *ptr = alloc(sizes[i]);
        cr_expect_eq((uintptr_t)ptr % HUGE_NBYTES, 0, "%zu bytes", sizes[i]);
        for (size_t at = 0; at < sizes[i]; at++) {
            cr_assert_eq(ptr[at], 0, "byte %zu of %zu", at, sizes[i]);
        }
        memset(ptr, 0xa5, sizes[i]);
        cr_expect_eq(wh_memory_free(ptr), WHORL_OK);
    }
}

Test(memory, asks_the_kernel_for_huge_pages)
{
    uint8_t *ptr = alloc(4 * HUGE_NBYTES);
    FILE *smaps = fopen("/proc/self/smaps", "r");
    cr_assert_not_null(smaps);
    char line[512], begin[32];
    bool is_inside = false, has_advice = false;
    snprintf(begin, sizeof(begin), "%lx-", (unsigned long)(uintptr_t)ptr);
    while (fgets(line, sizeof(line), smaps) != NULL) {
        if (strncmp(line, begin, strlen(begin)) == 0) {
            is_inside = true;
        }
        if (is_inside && strncmp(line, "VmFlags:", 8) == 0) {
            has_advice = strstr(line, " hg") != NULL;
            break;
        }
    }
    fclose(smaps);
    cr_expect(is_inside);
    if (access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0) {
        cr_expect(has_advice, "%s", line);
    }
    cr_expect_eq(wh_memory_free(ptr), WHORL_OK);
}

Test(memory, none_is_null)
{
    int something;
    void *ptr = &something;
    cr_expect_eq(wh_memory_alloc(0, &ptr), WHORL_OK);
    cr_expect_null(ptr);
    cr_expect_eq(wh_memory_free(NULL), WHORL_OK);
}

Test(memory, more_than_there_is_cannot_be_had)
{
    int fds_before = count_fds();
    int something;
    void *ptr = &something;
    cr_expect_eq(wh_memory_alloc(SIZE_MAX, &ptr), WHORL_E_NOMEM);
    cr_expect_eq(wh_memory_alloc(SIZE_MAX / 2 - PAGE, &ptr), WHORL_E_NOMEM);
    cr_expect_eq(wh_memory_alloc((size_t)1 << 55, &ptr), WHORL_E_NOMEM);
    cr_expect_eq(ptr, &something, "written on failure");
    cr_expect_eq(count_fds(), fds_before);
}

Test(memory, only_what_was_allocated_can_be_freed)
{
    int fd;
    struct wh_memory_list list = {NULL};
    uint8_t *ptr = alloc(3 * PAGE);
    uint8_t *shared = map_memfd(PAGE, &fd);
    (void)must_register(&list, shared, PAGE);
    cr_expect_eq(wh_memory_free(&fd), WHORL_E_ARG);
    cr_expect_eq(wh_memory_free(ptr + PAGE), WHORL_E_ARG);
    cr_expect_eq(wh_memory_free(shared), WHORL_E_ARG);
    cr_expect_eq(wh_memory_free(ptr), WHORL_OK);
    cr_expect_eq(wh_memory_free(ptr), WHORL_E_ARG);
    wh_memory_list_fini(&list);
    close(fd);
}

Test(memory, a_range_is_found_when_it_is_inside)
{
    struct wh_memory_place place;
    uint8_t *ptr = alloc(2 * PAGE);
    cr_assert(wh_memory_find(ptr, 2 * PAGE, &place));
    cr_expect_eq(place.base, ptr);
    cr_expect_eq(place.region_nbytes, 2 * PAGE);
    cr_expect_eq(place.offset, 0);
    cr_expect_eq(place.file_offset, 0);
    cr_expect(place.is_sealed);
    cr_expect_neq(place.id, 0);
    struct stat st;
    cr_assert_eq(fstat(place.fd, &st), 0);
    cr_expect_eq(st.st_dev, place.dev);
    cr_expect_eq(st.st_ino, place.ino);

    uint64_t id = place.id;
    cr_assert(wh_memory_find(ptr + 5000, 2 * PAGE - 5000, &place));
    cr_expect_eq(place.offset, 5000);
    cr_expect_eq(place.id, id);
    cr_expect(wh_memory_find_id(id, &place));
    cr_expect_eq(place.base, ptr);
    cr_expect_eq(place.offset, 0);

    cr_expect_not(wh_memory_find(ptr, 2 * PAGE + 1, &place));
    cr_expect_not(wh_memory_find(ptr - 1, 2, &place));
    cr_expect_not(wh_memory_find(ptr + 2 * PAGE, 1, &place));
    cr_expect_not(wh_memory_find(ptr + 1, SIZE_MAX, &place));
    cr_expect_not(wh_memory_find(&place, sizeof(place), &place));
    cr_expect_not(wh_memory_find_id(id + 1, &place));
    cr_expect_eq(wh_memory_free(ptr), WHORL_OK);
}

Test(memory, freed_memory_is_gone_with_all_that_belonged_to_it)
{
    struct wh_memory_place place, first;
    int fds_before = count_fds();
    uint8_t *ptr = alloc(PAGE);
    cr_assert(wh_memory_find(ptr, 1, &first));
    cr_expect_eq(wh_memory_free(ptr), WHORL_OK);
    cr_expect_not(wh_memory_find(ptr, 1, &place));
    cr_expect_not(wh_memory_find_id(first.id, &place));
    cr_expect_eq(count_fds(), fds_before);

    uint8_t *again = alloc(PAGE);
    cr_assert(wh_memory_find(again, 1, &place));
    cr_expect_gt(place.id, first.id, "an id was used again");
    cr_expect_eq(wh_memory_free(again), WHORL_OK);
}

Test(memory, a_peer_that_still_has_freed_memory_mapped_keeps_no_pages)
{
    struct wh_memory_place place;
    struct stat st;
    void *peers;
    uint8_t *ptr = alloc(16 * PAGE);
    memset(ptr, 1, 16 * PAGE);
    cr_assert(wh_memory_find(ptr, 1, &place));
    int fd = dup(place.fd);
    cr_assert_eq(wh_shmem_map(fd, 0, 16 * PAGE, &peers), WHORL_OK);
    cr_expect_eq(((uint8_t *)peers)[16 * PAGE - 1], 1);
    cr_expect_eq(wh_memory_free(ptr), WHORL_OK);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_expect_eq(st.st_blocks, 0);
    cr_expect_eq(st.st_size, 16 * PAGE, "peers would get SIGBUS");
    wh_shmem_unmap(peers, 16 * PAGE);
    close(fd);
}

Test(memory, a_child_starts_with_none)
{
    uint8_t *ptr = alloc(PAGE);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        struct wh_memory_place place;
        void *own = NULL;
        int wrong = wh_memory_find(ptr, 1, &place) ? 1 : 0;
        wrong |= wh_memory_free(ptr) == WHORL_E_ARG ? 0 : 2;
        wrong |= wh_memory_alloc(PAGE, &own) == WHORL_OK ? 0 : 4;
        wrong |= wh_memory_find(own, 1, &place) ? 0 : 8;
        wrong |= wh_memory_free(own) == WHORL_OK ? 0 : 16;
        _exit(wrong);
    }
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFEXITED(status));
    cr_expect_eq(WEXITSTATUS(status), 0, "bits %d", WEXITSTATUS(status));

    struct wh_memory_place place;
    cr_expect(wh_memory_find(ptr, 1, &place));
    cr_expect_eq(fcntl(place.fd, F_GETFD), FD_CLOEXEC);
    cr_expect_eq(wh_memory_free(ptr), WHORL_OK);
}

/* ---- memory of the user --------------------------------------------------------------------- */

Test(memory, a_registered_range_is_a_region)
{
    int fd;
    struct wh_memory_list list = {NULL};
    struct wh_memory_place place;
    uint8_t *ptr = map_memfd(8 * PAGE, &fd);
    int fds_before = count_fds();
    void *handle = must_register(&list, ptr + 5000, PAGE);
    close(fd);
    cr_assert(wh_memory_find(ptr + 5000 + 7, PAGE - 7, &place));
    cr_expect_eq(place.base, ptr + 5000);
    cr_expect_eq(place.region_nbytes, PAGE);
    cr_expect_eq(place.offset, 7);
    cr_expect_eq(place.file_offset, 5000);
    cr_expect_not(wh_memory_find(ptr + 4999, 2, &place));
    cr_expect_not(wh_memory_find(ptr + 5000, PAGE + 1, &place));

    cr_expect(wh_memory_deregister(&list, handle));
    cr_expect_null(list.first);
    cr_expect_not(wh_memory_find(ptr + 5000, 1, &place));
    cr_expect_eq(count_fds(), fds_before - 1);
    wh_shmem_unmap(ptr, 8 * PAGE);
}

Test(memory, what_cannot_be_a_region_gets_a_handle_all_the_same)
{
    struct wh_memory_list list = {NULL};
    struct wh_memory_place place;
    uint8_t *private = malloc(PAGE);
    cr_assert_not_null(private);
    void *handle = must_register(&list, private, PAGE);
    cr_expect_not(wh_memory_find(private, 1, &place));
    cr_expect(wh_memory_deregister(&list, handle));

    (void)must_register(&list, private, 0);
    (void)must_register(&list, NULL, 0);
    (void)must_register(&list, private, SIZE_MAX);
    (void)must_register(&list, (void *)(uintptr_t)PAGE, PAGE);
    wh_memory_list_fini(&list);
    cr_expect_null(list.first);
    free(private);
}

Test(memory, the_same_range_is_counted)
{
    int fd;
    struct wh_memory_list one = {NULL}, other = {NULL};
    struct wh_memory_place place;
    uint8_t *ptr = map_memfd(PAGE, &fd);
    int fds_before = count_fds();
    void *handle = must_register(&one, ptr, PAGE);
    cr_expect_eq(must_register(&one, ptr, PAGE), handle);
    cr_assert(wh_memory_find(ptr, PAGE, &place));
    uint64_t id = place.id;
    void *others = must_register(&other, ptr, PAGE);
    cr_expect_eq(count_fds(), fds_before + 1, "one region is enough");

    cr_expect(wh_memory_deregister(&one, handle));
    cr_expect(wh_memory_deregister(&one, handle));
    cr_expect_not(wh_memory_deregister(&one, handle), "twice registered, thrice taken back");
    cr_expect_not(wh_memory_deregister(&one, others), "another communicator's");
    cr_assert(wh_memory_find(ptr, PAGE, &place), "the other communicator has it still");
    cr_expect_eq(place.id, id);
    wh_memory_list_fini(&other);
    cr_expect_not(wh_memory_find(ptr, PAGE, &place));
    cr_expect_eq(count_fds(), fds_before);
    wh_shmem_unmap(ptr, PAGE);
    close(fd);
}

Test(memory, memory_of_ours_needs_no_registration)
{
    struct wh_memory_list list = {NULL};
    struct wh_memory_place before, after;
    uint8_t *ptr = alloc(4 * PAGE);
    cr_assert(wh_memory_find(ptr + PAGE, PAGE, &before));
    (void)must_register(&list, ptr + PAGE, PAGE);
    cr_assert(wh_memory_find(ptr + PAGE, PAGE, &after));
    cr_expect_eq(after.id, before.id);
    cr_expect_eq(wh_memory_free(ptr), WHORL_OK);
    cr_expect_not(wh_memory_find(ptr + PAGE, PAGE, &after), "freed, though registered");
    wh_memory_list_fini(&list);
}

Test(memory, what_is_mapped_anew_replaces_what_was_registered_there)
{
    int old_fd, new_fd;
    struct stat st;
    struct wh_memory_list list = {NULL};
    struct wh_memory_place place;
    uint8_t *ptr = map_memfd(4 * PAGE, &old_fd);
    void *old_handle = must_register(&list, ptr, 4 * PAGE);
    cr_assert_eq(wh_shmem_create("memory-test", 4 * PAGE, &new_fd), WHORL_OK);
    cr_assert_eq(mmap(ptr, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, new_fd, 0),
                 ptr);
    void *new_handle = must_register(&list, ptr + PAGE, PAGE);
    cr_assert_eq(fstat(new_fd, &st), 0);
    cr_assert(wh_memory_find(ptr + PAGE, PAGE, &place));
    cr_expect_eq(place.ino, st.st_ino);
    cr_expect_not(wh_memory_find(ptr, PAGE, &place));
    cr_expect(wh_memory_deregister(&list, old_handle));
    cr_expect(wh_memory_find(ptr + PAGE, PAGE, &place));
    cr_expect(wh_memory_deregister(&list, new_handle));
    wh_shmem_unmap(ptr, 4 * PAGE);
    close(old_fd);
    close(new_fd);
}

/* Ranges that overlap in every way, against a search through all of them. */
Test(memory, overlapping_ranges_are_found_by_whichever_is_large_enough)
{
    enum { NPAGES = 64, NRANGES = 48, NSTEPS = 1500 };
    static struct {
        size_t begin, end;
        void *handle;
    } ranges[NRANGES];
    int fd;
    struct wh_memory_list list = {NULL};
    uint8_t *ptr = map_memfd((size_t)NPAGES * PAGE, &fd);
    unsigned seed = 7;
    for (int step = 0; step < NSTEPS; step++) {
        size_t i = (size_t)rand_r(&seed) % NRANGES;
        if (ranges[i].handle != NULL) {
            cr_assert(wh_memory_deregister(&list, ranges[i].handle));
            ranges[i].handle = NULL;
        } else {
            size_t npages = 1 + (size_t)rand_r(&seed) % (step % 3 == 0 ? NPAGES : 4);
            ranges[i].begin = (size_t)rand_r(&seed) % (NPAGES - npages + 1) * PAGE;
            ranges[i].end = ranges[i].begin + npages * PAGE;
            ranges[i].handle = must_register(&list, ptr + ranges[i].begin, npages * PAGE);
        }
        size_t nbytes = 1 + (size_t)rand_r(&seed) % (size_t)(8 * PAGE);
        size_t at = (size_t)rand_r(&seed) % ((size_t)NPAGES * PAGE - nbytes);
        bool is_inside = false;
        for (size_t j = 0; j < NRANGES; j++) {
            is_inside |=
                ranges[j].handle != NULL && ranges[j].begin <= at && at + nbytes <= ranges[j].end;
        }
        struct wh_memory_place place;
        cr_assert_eq(wh_memory_find(ptr + at, nbytes, &place), is_inside, "step %d", step);
        if (is_inside) {
            cr_assert_eq(place.file_offset + place.offset, at, "step %d", step);
            cr_assert_leq(place.offset + nbytes, place.region_nbytes, "step %d", step);
        }
    }
    wh_memory_list_fini(&list);
    wh_shmem_unmap(ptr, (size_t)NPAGES * PAGE);
    close(fd);
}

/* ---- threads -------------------------------------------------------------------------------- */

enum { NTHREADS = 4, NROUNDS = 150 };

struct worker {
    pthread_t thread;
    struct wh_memory_list list;
    uint8_t *common; /* allocated by the test, shared by all */
    uint8_t *shared; /* for registration, the same for all */
    int nwrong;
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    for (int round = 0; round < NROUNDS; round++) {
        struct wh_memory_place place;
        void *own = NULL, *handle = NULL;
        worker->nwrong += wh_memory_alloc(PAGE, &own) != WHORL_OK;
        worker->nwrong += !wh_memory_find(own, PAGE, &place) || place.base != own;
        worker->nwrong += !wh_memory_find(worker->common + 10, PAGE - 10, &place) ||
                          place.base != worker->common || place.offset != 10;
        worker->nwrong +=
            wh_memory_register(&worker->list, worker->shared, PAGE, &handle) != WHORL_OK;
        worker->nwrong += !wh_memory_find(worker->shared, PAGE, &place);
        worker->nwrong += !wh_memory_deregister(&worker->list, handle);
        worker->nwrong += wh_memory_free(own) != WHORL_OK;
    }
    return NULL;
}

Test(memory, threads_share_the_registry, .timeout = 60)
{
    static struct worker workers[NTHREADS];
    int fd;
    struct wh_memory_place place;
    uint8_t *common = alloc(PAGE), *shared = map_memfd(PAGE, &fd);
    int fds_before = count_fds();
    for (int i = 0; i < NTHREADS; i++) {
        workers[i].common = common;
        workers[i].shared = shared;
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < NTHREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        cr_expect_eq(workers[i].nwrong, 0, "thread %d", i);
    }
    cr_expect_not(wh_memory_find(shared, PAGE, &place));
    cr_expect_eq(count_fds(), fds_before);
    cr_expect_eq(wh_memory_free(common), WHORL_OK);
    wh_shmem_unmap(shared, PAGE);
    close(fd);
}
