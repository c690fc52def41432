/* SPDX-License-Identifier: Apache-2.0 */
/* Which mappings have a file that peers could map, and how it is come by. */
#include "base/shmem.h"
#include "device/memory_file.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { PAGE = 4096, TMPFS = 0x01021994 };

static struct wh_memory_place place_at(void *base, size_t nbytes)
{
    return (struct wh_memory_place){.base = base, .region_nbytes = nbytes, .fd = -1};
}

static void *map_fd(int fd, size_t nbytes, int prot, int flags)
{
    void *ptr = mmap(NULL, nbytes, prot, flags, fd, 0);
    cr_assert_neq(ptr, MAP_FAILED);
    return ptr;
}

static int create_memfd(size_t nbytes)
{
    int fd = -1;
    cr_assert_eq(wh_shmem_create("file-test", nbytes, &fd), WHORL_OK);
    return fd;
}

static void expect_file(struct wh_memory_place place, const struct stat *st)
{
    struct stat opened;
    const char *why = wh_memory_file_open(&place);
    cr_assert_null(why, "%s", why);
    cr_expect_eq(place.dev, st->st_dev);
    cr_expect_eq(place.ino, st->st_ino);
    cr_assert_eq(fstat(place.fd, &opened), 0);
    cr_expect_eq(opened.st_ino, st->st_ino);
    cr_expect_eq(fcntl(place.fd, F_GETFL) & O_ACCMODE, O_RDWR);
    cr_expect_eq(fcntl(place.fd, F_GETFD), FD_CLOEXEC);
    close(place.fd);
}

static void expect_none(void *base, size_t nbytes, const char *part)
{
    struct wh_memory_place place = place_at(base, nbytes);
    const char *why = wh_memory_file_open(&place);
    cr_assert_not_null(why, "has a file, and should not: %s", part);
    cr_expect_not_null(strstr(why, part), "\"%s\" has no \"%s\"", why, part);
}

Test(memory_file, is_found_through_an_open_descriptor)
{
    int fd = create_memfd(4 * PAGE);
    struct stat st;
    cr_assert_eq(fstat(fd, &st), 0);
    uint8_t *ptr = map_fd(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    expect_file(place_at(ptr, 4 * PAGE), &st);
    expect_file(place_at(ptr + 4 * PAGE - 1, 1), &st);

    struct wh_memory_place place = place_at(ptr + PAGE + 3, 5);
    cr_assert_null(wh_memory_file_open(&place));
    cr_expect_eq(place.file_offset, PAGE + 3);
    cr_expect(place.is_sealed);
    close(place.fd);
    munmap(ptr, 4 * PAGE);
    close(fd);
}

Test(memory_file, offset_of_the_mapping_counts)
{
    int fd = create_memfd(8 * PAGE);
    uint8_t *ptr = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 3 * PAGE);
    cr_assert_neq(ptr, MAP_FAILED);
    struct wh_memory_place place = place_at(ptr + 10, PAGE);
    cr_assert_null(wh_memory_file_open(&place));
    cr_expect_eq(place.file_offset, 3 * PAGE + 10);
    close(place.fd);
    munmap(ptr, 2 * PAGE);
    close(fd);
}

/* What POSIX shared memory leaves behind once it is mapped: a name. */
Test(memory_file, is_found_by_its_name)
{
    char path[64];
    snprintf(path, sizeof(path), "/dev/shm/whorl-test-%d", (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        cr_skip_test("there is no /dev/shm to write to");
    }
    struct stat st;
    cr_assert_eq(ftruncate(fd, 2 * PAGE), 0);
    cr_assert_eq(fstat(fd, &st), 0);
    uint8_t *ptr = map_fd(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    close(fd);
    expect_file(place_at(ptr, 2 * PAGE), &st);

    struct wh_memory_place place = place_at(ptr, 2 * PAGE);
    cr_assert_null(wh_memory_file_open(&place));
    cr_expect_not(place.is_sealed);
    close(place.fd);

    /* Another file of that name is not it; without a name, only the privileged find the file. */
    cr_assert_eq(unlink(path), 0);
    int other = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_geq(other, 0);
    cr_assert_eq(ftruncate(other, 2 * PAGE), 0);
    place = place_at(ptr, 2 * PAGE);
    if (wh_memory_file_open(&place) == NULL) {
        struct stat found;
        cr_assert_eq(fstat(place.fd, &found), 0);
        cr_expect_eq(found.st_ino, st.st_ino);
        close(place.fd);
    }
    unlink(path);
    close(other);
    munmap(ptr, 2 * PAGE);
}

Test(memory_file, private_memory_has_none)
{
    int fd = create_memfd(PAGE);
    void *anonymous = map_fd(-1, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    void *copied = map_fd(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    void *constant = map_fd(fd, PAGE, PROT_READ, MAP_SHARED);
    expect_none(anonymous, PAGE, "not shared");
    expect_none(copied, PAGE, "not shared");
    expect_none(constant, PAGE, "not shared");
    munmap(anonymous, PAGE);
    munmap(copied, PAGE);
    munmap(constant, PAGE);
    expect_none((void *)(uintptr_t)PAGE, PAGE, "nothing is mapped");
    close(fd);
}

Test(memory_file, a_range_of_two_mappings_has_none)
{
    int first = create_memfd(PAGE), second = create_memfd(PAGE);
    uint8_t *space = map_fd(-1, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
    cr_assert_eq(mmap(space, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, first, 0),
                 space);
    cr_assert_eq(
        mmap(space + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, second, 0),
        space + PAGE);
    expect_none(space, 2 * PAGE, "more than one mapping");
    expect_none(space + PAGE - 1, 2, "more than one mapping");
    expect_none(space + PAGE, PAGE + 1, "more than one mapping");
    struct stat st;
    cr_assert_eq(fstat(second, &st), 0);
    expect_file(place_at(space + PAGE, PAGE), &st);
    munmap(space, 2 * PAGE);
    close(first);
    close(second);
}

Test(memory_file, a_file_that_is_shorter_than_its_mapping_is_not_used)
{
    int fd = memfd_create("file-test", MFD_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, 2 * PAGE), 0);
    uint8_t *ptr = map_fd(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    cr_assert_eq(ftruncate(fd, PAGE), 0);
    expect_none(ptr, 2 * PAGE, "shorter");
    struct stat st;
    cr_assert_eq(fstat(fd, &st), 0);
    expect_file(place_at(ptr, PAGE), &st);
    munmap(ptr, 2 * PAGE);
    close(fd);
}

Test(memory_file, a_file_on_a_disk_is_not_used)
{
    char path[] = "/var/tmp/whorl-test-XXXXXX";
    int fd = mkstemp(path);
    struct statfs fs;
    if (fd < 0 || fstatfs(fd, &fs) != 0 || fs.f_type == TMPFS) {
        if (fd >= 0) {
            unlink(path);
            close(fd);
        }
        cr_skip_test("/var/tmp is not on a disk");
    }
    unlink(path);
    cr_assert_eq(ftruncate(fd, PAGE), 0);
    void *ptr = map_fd(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    struct wh_memory_place place = place_at(ptr, PAGE);
    /* Some file systems show another device in maps than fstat() does; both answers are right. */
    cr_expect_not_null(wh_memory_file_open(&place));
    munmap(ptr, PAGE);
    close(fd);
}
