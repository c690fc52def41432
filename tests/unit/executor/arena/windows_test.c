/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows between processes. The owner is a child that allocates after the fork, so that the test
 * has nothing of its memory but what a record gives.
 */
#include "base/shmem.h"
#include "device/memory.h"
#include "executor/arena/windows.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, NBYTES = 5 * PAGE, OWNER = 1, PEER = 0, NLOCAL = 2 };

/* What an owner and its test share. */
struct desk {
    _Atomic int step;    /* how far the owner is */
    _Atomic int asked;   /* how far the test wants it to go */
    int owner_failed_at; /* a line */
    bool is_untouched;   /* the test will not write */
    struct wh_window_ref ref;
    struct wh_window_record record;
};

struct owner {
    pid_t pid;
    struct desk *desk;
};

#define OWNER_CHECK(desk, condition) ((condition) ? (void)0 : owner_fail((desk), __LINE__))

static _Noreturn void owner_fail(struct desk *desk, int line)
{
    desk->owner_failed_at = line;
    _exit(1);
}

static void await_asked(struct desk *desk, int step)
{
    while (atomic_load_explicit(&desk->asked, memory_order_acquire) < step) {
        usleep(200);
    }
}

static void make_step(struct desk *desk, int step)
{
    atomic_store_explicit(&desk->step, step, memory_order_release);
}

static void ask(struct desk *desk, int step)
{
    atomic_store_explicit(&desk->asked, step, memory_order_release);
}

static struct owner owner_start(void (*run)(struct desk *desk))
{
    struct desk *desk =
        mmap(NULL, sizeof(*desk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq((void *)desk, MAP_FAILED);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run(desk);
        _exit(0);
    }
    return (struct owner){.pid = pid, .desk = desk};
}

static void owner_await(const struct owner *owner, int step)
{
    while (atomic_load_explicit(&owner->desk->step, memory_order_acquire) < step) {
        cr_assert_eq(waitpid(owner->pid, NULL, WNOHANG), 0, "the owner failed in line %d",
                     owner->desk->owner_failed_at);
        usleep(200);
    }
}

static void owner_end(struct owner *owner)
{
    int status;
    ask(owner->desk, 1000);
    cr_assert_eq(waitpid(owner->pid, &status, 0), owner->pid);
    cr_expect(WIFEXITED(status));
    cr_expect_eq(WEXITSTATUS(status), 0, "the owner failed in line %d",
                 owner->desk->owner_failed_at);
    munmap(owner->desk, sizeof(*owner->desk));
}

static struct wh_windows *windows_of(uint32_t local)
{
    struct wh_windows *windows = NULL;
    cr_assert_eq(wh_windows_create(NLOCAL, local, &windows), WHORL_OK);
    return windows;
}

static int count_in_proc(const char *path)
{
    int n = 0;
    char line[512];
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        n += strstr(line, "whorl-memory") != NULL;
    }
    fclose(file);
    return n;
}

/* ---- owners --------------------------------------------------------------------------------- */

/* Offers memory of whorl_mem_alloc(), waits for a peer's byte in it, answers, and waits again. */
static void own_allocated(struct desk *desk)
{
    void *ptr;
    struct wh_windows *windows;
    OWNER_CHECK(desk, wh_windows_create(NLOCAL, OWNER, &windows) == WHORL_OK);
    OWNER_CHECK(desk, wh_memory_alloc(NBYTES, &ptr) == WHORL_OK);
    volatile uint8_t *bytes = ptr;
    for (size_t i = 0; i < NBYTES; i++) {
        bytes[i] = (uint8_t)(i % 251);
    }
    OWNER_CHECK(desk, wh_windows_own(windows, (uint8_t *)ptr + 100, NBYTES - 100, &desk->ref));
    OWNER_CHECK(desk, desk->ref.is_new && desk->ref.offset == 100);
    wh_windows_record(windows, desk->ref.slot, &desk->record);
    make_step(desk, 1);
    await_asked(desk, 2);
    OWNER_CHECK(desk, bytes[NBYTES - 1] == 252 || desk->is_untouched);
    bytes[0] = 253;
    make_step(desk, 3);
    await_asked(desk, 1000);
    OWNER_CHECK(desk, wh_memory_free(ptr) == WHORL_OK);
    wh_windows_destroy(windows);
}

/* Offers a range of a file that is not sealed, at an odd offset. */
static void own_registered(struct desk *desk)
{
    void *handle;
    struct wh_memory_list list = {NULL};
    struct wh_windows *windows;
    OWNER_CHECK(desk, wh_windows_create(NLOCAL, OWNER, &windows) == WHORL_OK);
    int fd = memfd_create("windows-test", MFD_CLOEXEC);
    OWNER_CHECK(desk, fd >= 0 && ftruncate(fd, NBYTES) == 0);
    uint8_t *ptr = mmap(NULL, NBYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    OWNER_CHECK(desk, ptr != MAP_FAILED);
    for (size_t i = 0; i < NBYTES; i++) {
        ptr[i] = (uint8_t)(i % 251);
    }
    OWNER_CHECK(desk, wh_memory_register(&list, ptr + 5001, 7000, &handle) == WHORL_OK);
    OWNER_CHECK(desk, wh_windows_own(windows, ptr + 5002, 6999, &desk->ref));
    OWNER_CHECK(desk, desk->ref.offset == 1);
    wh_windows_record(windows, desk->ref.slot, &desk->record);
    make_step(desk, 1);
    await_asked(desk, 2);
    OWNER_CHECK(desk, ftruncate(fd, PAGE) == 0);
    make_step(desk, 3);
    await_asked(desk, 1000);
    wh_memory_list_fini(&list);
    wh_windows_destroy(windows);
}

/* ---- between processes ---------------------------------------------------------------------- */

Test(windows, a_peer_reads_and_writes_what_the_owner_allocated, .timeout = 60)
{
    struct owner owner = owner_start(own_allocated);
    struct wh_windows *windows = windows_of(PEER);
    owner_await(&owner, 1);
    cr_assert(wh_windows_map(windows, OWNER, owner.desk->ref.slot, &owner.desk->record));
    uint64_t offset = owner.desk->ref.offset;
    volatile uint8_t *bytes =
        wh_windows_ptr(windows, OWNER, owner.desk->ref.slot, offset, NBYTES - 100);
    cr_assert_not_null((const void *)bytes);
    for (size_t i = 0; i < NBYTES - 100; i++) {
        cr_assert_eq(bytes[i], (i + 100) % 251, "byte %zu", i);
    }
    bytes[NBYTES - 101] = 252;
    ask(owner.desk, 2);
    owner_await(&owner, 3);
    cr_expect_eq(*wh_windows_ptr(windows, OWNER, owner.desk->ref.slot, 0, 1), 253);
    owner_end(&owner);
    wh_windows_destroy(windows);
}

Test(windows, addresses_beyond_what_is_mapped_are_not_given, .timeout = 60)
{
    struct owner owner = owner_start(own_allocated);
    struct wh_windows *windows = windows_of(PEER);
    owner.desk->is_untouched = true;
    owner_await(&owner, 1);
    uint32_t slot = owner.desk->ref.slot;
    cr_expect_null(wh_windows_ptr(windows, OWNER, slot, 0, 0));
    cr_assert(wh_windows_map(windows, OWNER, slot, &owner.desk->record));
    uint8_t *base = wh_windows_ptr(windows, OWNER, slot, 0, NBYTES);
    cr_assert_not_null(base);
    cr_expect_eq(wh_windows_ptr(windows, OWNER, slot, NBYTES - 1, 1), base + NBYTES - 1);
    cr_expect_eq(wh_windows_ptr(windows, OWNER, slot, NBYTES, 0), base + NBYTES);
    cr_expect_null(wh_windows_ptr(windows, OWNER, slot, 0, NBYTES + 1));
    cr_expect_null(wh_windows_ptr(windows, OWNER, slot, NBYTES, 1));
    cr_expect_null(wh_windows_ptr(windows, OWNER, slot, UINT64_MAX, 2));
    cr_expect_null(wh_windows_ptr(windows, OWNER, slot, 1, SIZE_MAX));
    cr_expect_null(wh_windows_ptr(windows, OWNER, slot + 1, 0, 1));
    cr_expect_null(wh_windows_ptr(windows, OWNER, WH_WINDOWS_MAX, 0, 1));
    cr_expect_null(wh_windows_ptr(windows, OWNER, UINT32_MAX, 0, 1));
    cr_expect_null(wh_windows_ptr(windows, PEER, slot, 0, 1));
    ask(owner.desk, 2);
    owner_end(&owner);
    wh_windows_destroy(windows);
}

Test(windows, a_range_of_a_file_is_mapped_where_it_is, .timeout = 60)
{
    struct owner owner = owner_start(own_registered);
    struct wh_windows *windows = windows_of(PEER);
    owner_await(&owner, 1);
    const struct wh_window_record *record = &owner.desk->record;
    cr_expect_eq(record->file_offset, 5001);
    cr_expect_eq(record->nbytes, 7000);
    cr_expect_not(record->is_sealed);
    cr_assert(wh_windows_map(windows, OWNER, record->slot, record));
    const uint8_t *bytes = wh_windows_ptr(windows, OWNER, record->slot, 0, 7000);
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < 7000; i++) {
        cr_assert_eq(bytes[i], (i + 5001) % 251, "byte %zu", i);
    }

    /* Once it is shorter, a second look finds out. */
    ask(owner.desk, 2);
    owner_await(&owner, 3);
    cr_expect_not(wh_windows_map(windows, OWNER, record->slot, record));
    cr_expect_null(wh_windows_ptr(windows, OWNER, record->slot, 0, 1), "still mapped");
    cr_expect_eq(wh_windows_mapped_nbytes(windows), 0);
    owner_end(&owner);
    wh_windows_destroy(windows);
}

/* ---- what is refused ------------------------------------------------------------------------ */

static void expect_refusal(struct wh_windows *windows, struct wh_window_record record,
                           const char *why)
{
    cr_expect_not(wh_windows_map(windows, OWNER, 0, &record), "%s", why);
    cr_expect_null(wh_windows_ptr(windows, OWNER, 0, 0, 1), "%s", why);
    cr_expect_eq(wh_windows_mapped_nbytes(windows), 0, "%s", why);
}

Test(windows, a_record_that_does_not_fit_its_file_is_refused, .timeout = 60)
{
    struct owner owner = owner_start(own_allocated);
    struct wh_windows *windows = windows_of(PEER);
    owner.desk->is_untouched = true;
    owner_await(&owner, 1);
    struct wh_window_record good = owner.desk->record, bad = good;
    cr_assert_eq(good.slot, 0);
    cr_assert(wh_windows_map(windows, OWNER, 0, &good));

    bad.ino++;
    expect_refusal(windows, bad, "inode");
    bad = good;
    bad.dev++;
    expect_refusal(windows, bad, "device");
    bad = good;
    bad.nbytes++;
    expect_refusal(windows, bad, "one byte too long");
    bad = good;
    bad.nbytes = 0;
    expect_refusal(windows, bad, "empty");
    bad = good;
    bad.file_offset = 1;
    expect_refusal(windows, bad, "one byte too far");
    bad = good;
    bad.file_offset = UINT64_MAX - PAGE + 1;
    expect_refusal(windows, bad, "the end wraps around");
    bad = good;
    bad.nbytes = UINT64_MAX;
    bad.file_offset = 1;
    expect_refusal(windows, bad, "the end wraps around to 0");
    bad = good;
    bad.slot = 1;
    expect_refusal(windows, bad, "another slot's record");
    cr_expect_not(wh_windows_map(windows, OWNER, WH_WINDOWS_MAX, &good), "no such slot");

    cr_expect(wh_windows_map(windows, OWNER, 0, &good), "the record was good");
    ask(owner.desk, 2);
    owner_end(&owner);
    wh_windows_destroy(windows);
}

Test(windows, a_file_that_only_claims_to_be_sealed_is_refused, .timeout = 60)
{
    struct owner owner = owner_start(own_registered);
    struct wh_windows *windows = windows_of(PEER);
    owner_await(&owner, 1);
    struct wh_window_record bad = owner.desk->record;
    bad.is_sealed = 1;
    expect_refusal(windows, bad, "not sealed");
    ask(owner.desk, 2);
    owner_end(&owner);
    wh_windows_destroy(windows);
}

Test(windows, an_owner_that_is_gone_is_refused, .timeout = 60)
{
    struct owner owner = owner_start(own_allocated);
    struct wh_windows *windows = windows_of(PEER);
    owner.desk->is_untouched = true;
    owner_await(&owner, 1);
    struct wh_window_record record = owner.desk->record;
    ask(owner.desk, 2);
    owner_end(&owner);
    expect_refusal(windows, record, "gone");
    record.pid = 0;
    expect_refusal(windows, record, "no process");
    record.pid = UINT32_MAX;
    expect_refusal(windows, record, "no process can have this number");
    wh_windows_destroy(windows);
}

/* Frees its memory and uses the number of its descriptor for something else. */
static void own_and_close(struct desk *desk)
{
    void *ptr;
    int pipe_fds[2];
    struct wh_windows *windows;
    OWNER_CHECK(desk, wh_windows_create(NLOCAL, OWNER, &windows) == WHORL_OK);
    OWNER_CHECK(desk, wh_memory_alloc(NBYTES, &ptr) == WHORL_OK);
    OWNER_CHECK(desk, wh_windows_own(windows, ptr, NBYTES, &desk->ref));
    wh_windows_record(windows, desk->ref.slot, &desk->record);
    OWNER_CHECK(desk, wh_memory_free(ptr) == WHORL_OK);
    make_step(desk, 1);
    await_asked(desk, 2);
    /* A pipe that nobody writes to: opening it for reading would wait for ever. */
    OWNER_CHECK(desk, pipe(pipe_fds) == 0);
    OWNER_CHECK(desk, dup2(pipe_fds[0], desk->record.fd) == desk->record.fd);
    make_step(desk, 3);
    await_asked(desk, 4);
    int fd = memfd_create("windows-test", MFD_CLOEXEC);
    OWNER_CHECK(desk, fd >= 0 && ftruncate(fd, NBYTES) == 0);
    OWNER_CHECK(desk, dup2(fd, desk->record.fd) == desk->record.fd);
    make_step(desk, 5);
    await_asked(desk, 1000);
}

Test(windows, a_descriptor_that_was_closed_or_used_again_is_refused, .timeout = 60)
{
    struct owner owner = owner_start(own_and_close);
    struct wh_windows *windows = windows_of(PEER);
    owner_await(&owner, 1);
    struct wh_window_record record = owner.desk->record;
    expect_refusal(windows, record, "closed");
    ask(owner.desk, 2);
    owner_await(&owner, 3);
    expect_refusal(windows, record, "a pipe");
    ask(owner.desk, 4);
    owner_await(&owner, 5);
    expect_refusal(windows, record, "another file");
    record.fd = -1;
    expect_refusal(windows, record, "no descriptor");
    owner_end(&owner);
    wh_windows_destroy(windows);
}

/* ---- own slots ------------------------------------------------------------------------------ */

static void *alloc(void)
{
    void *ptr = NULL;
    cr_assert_eq(wh_memory_alloc(NBYTES, &ptr), WHORL_OK);
    return ptr;
}

static struct wh_window_ref must_own(struct wh_windows *windows, const void *ptr)
{
    struct wh_window_ref ref = {.slot = UINT32_MAX};
    cr_assert(wh_windows_own(windows, ptr, NBYTES, &ref));
    cr_assert_lt(ref.slot, WH_WINDOWS_MAX);
    return ref;
}

Test(windows, a_region_is_new_until_it_is_confirmed)
{
    struct wh_windows *windows = windows_of(OWNER);
    struct wh_window_ref ref;
    uint8_t *ptr = alloc();
    cr_expect_not(wh_windows_own(windows, &ref, sizeof(ref), &ref), "in no region");
    cr_expect_not(wh_windows_own(windows, ptr, NBYTES + 1, &ref), "longer than its region");
    uint32_t slot = must_own(windows, ptr).slot;
    cr_expect(must_own(windows, ptr).is_new, "nobody has confirmed it");
    cr_expect_eq(must_own(windows, ptr).slot, slot);
    wh_windows_confirm(windows, slot);
    cr_expect_not(must_own(windows, ptr).is_new);
    cr_assert(wh_windows_own(windows, ptr + 77, 1, &ref));
    cr_expect_eq(ref.offset, 77);
    cr_expect_eq(ref.slot, slot);
    cr_expect_eq(wh_memory_free(ptr), WHORL_OK);
    cr_expect_not(wh_windows_own(windows, ptr, NBYTES, &ref), "freed");
    wh_windows_destroy(windows);
}

Test(windows, a_refused_region_is_not_offered_again)
{
    struct wh_windows *windows = windows_of(OWNER);
    struct wh_window_ref ref;
    void *refused = alloc(), *other = alloc();
    wh_windows_refused(windows, must_own(windows, refused).slot);
    cr_expect_not(wh_windows_own(windows, refused, 1, &ref));
    cr_expect_neq(must_own(windows, other).slot, 0, "the refused one keeps its slot");
    cr_expect_not(wh_windows_own(windows, refused, 1, &ref));
    cr_expect_eq(wh_memory_free(refused), WHORL_OK);
    cr_expect_eq(wh_memory_free(other), WHORL_OK);
    wh_windows_destroy(windows);
}

Test(windows, the_least_recently_used_region_makes_room)
{
    enum { N = WH_WINDOWS_MAX };
    struct wh_windows *windows = windows_of(OWNER);
    void *ptrs[N + 1];
    uint32_t slots[N];
    uint64_t seen = 0;
    for (uint32_t i = 0; i < N; i++) {
        ptrs[i] = alloc();
        slots[i] = must_own(windows, ptrs[i]).slot;
        seen |= UINT64_C(1) << slots[i];
        wh_windows_confirm(windows, slots[i]);
    }
    cr_expect_eq(seen, (UINT64_C(1) << N) - 1, "slots are shared: %llx", (unsigned long long)seen);

    cr_expect_not(must_own(windows, ptrs[0]).is_new);
    ptrs[N] = alloc();
    struct wh_window_ref ref = must_own(windows, ptrs[N]);
    cr_expect(ref.is_new);
    cr_expect_eq(ref.slot, slots[1], "slot 0 was used since");
    wh_windows_confirm(windows, ref.slot);
    cr_expect_not(must_own(windows, ptrs[0]).is_new);

    ref = must_own(windows, ptrs[1]);
    cr_expect(ref.is_new, "it had to leave");
    cr_expect_eq(ref.slot, slots[2]);

    /* One that is gone goes first. */
    cr_expect_eq(wh_memory_free(ptrs[20]), WHORL_OK);
    ptrs[20] = alloc();
    cr_expect_eq(must_own(windows, ptrs[20]).slot, slots[20]);
    for (uint32_t i = 0; i <= N; i++) {
        cr_expect_eq(wh_memory_free(ptrs[i]), WHORL_OK);
    }
    wh_windows_destroy(windows);
}

/* The owner goes through more regions than there are slots; each is filled with its number. */
static void own_many(struct desk *desk)
{
    struct wh_windows *windows;
    OWNER_CHECK(desk, wh_windows_create(NLOCAL, OWNER, &windows) == WHORL_OK);
    for (int i = 0; i < 2 * WH_WINDOWS_MAX + 5; i++) {
        void *ptr;
        OWNER_CHECK(desk, wh_memory_alloc(NBYTES, &ptr) == WHORL_OK);
        memset(ptr, i + 1, NBYTES);
        OWNER_CHECK(desk, wh_windows_own(windows, ptr, NBYTES, &desk->ref) && desk->ref.is_new);
        wh_windows_record(windows, desk->ref.slot, &desk->record);
        make_step(desk, 2 * i + 1);
        await_asked(desk, 2 * i + 2);
        wh_windows_confirm(windows, desk->ref.slot);
    }
    await_asked(desk, 1000);
}

Test(windows, a_slot_that_is_used_again_is_mapped_again, .timeout = 60)
{
    struct owner owner = owner_start(own_many);
    struct wh_windows *windows = windows_of(PEER);
    size_t nbytes_of_one = 0;
    for (int i = 0; i < 2 * WH_WINDOWS_MAX + 5; i++) {
        owner_await(&owner, 2 * i + 1);
        uint32_t slot = owner.desk->ref.slot;
        cr_assert(wh_windows_map(windows, OWNER, slot, &owner.desk->record));
        const uint8_t *bytes = wh_windows_ptr(windows, OWNER, slot, 0, NBYTES);
        cr_assert_not_null(bytes);
        cr_assert_eq(bytes[0], i + 1);
        cr_assert_eq(bytes[NBYTES - 1], i + 1);
        nbytes_of_one = i == 0 ? wh_windows_mapped_nbytes(windows) : nbytes_of_one;
        ask(owner.desk, 2 * i + 2);
    }
    cr_expect_geq(nbytes_of_one, NBYTES);
    cr_expect_eq(wh_windows_mapped_nbytes(windows), WH_WINDOWS_MAX * nbytes_of_one);
    cr_expect_eq(count_in_proc("/proc/self/maps"), WH_WINDOWS_MAX);
    wh_windows_destroy(windows);
    cr_expect_eq(count_in_proc("/proc/self/maps"), 0);

    owner_end(&owner);
}

/* ---- ranks of one process ------------------------------------------------------------------- */

Test(windows, ranks_of_one_process_use_the_same_addresses)
{
    struct wh_windows *mine = windows_of(PEER), *theirs = windows_of(OWNER);
    struct wh_window_record record;
    uint8_t *ptr = alloc();
    uint32_t slot = must_own(theirs, ptr).slot;
    wh_windows_record(theirs, slot, &record);
    cr_assert(wh_windows_map(mine, OWNER, slot, &record));
    cr_expect_eq(wh_windows_ptr(mine, OWNER, slot, 12, 5), ptr + 12);
    cr_expect_eq(wh_windows_mapped_nbytes(mine), 0);

    /* An id of this process with a file of another is no region of this process. */
    record.ino++;
    cr_expect_not(wh_windows_map(mine, OWNER, slot, &record));
    cr_expect_null(wh_windows_ptr(mine, OWNER, slot, 0, 1));
    cr_expect_eq(wh_memory_free(ptr), WHORL_OK);
    wh_windows_destroy(mine);
    wh_windows_destroy(theirs);
}

Test(windows, huge_pages_are_mapped_whole, .timeout = 60)
{
    const size_t huge = (size_t)2 << 20;
    int fd = memfd_create("windows-test", MFD_CLOEXEC | MFD_HUGETLB);
    void *ptr = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, (off_t)huge) == 0) {
        ptr = mmap(NULL, huge, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (ptr == MAP_FAILED) {
        cr_skip_test("there are no huge pages of 2 MiB to be had");
    }
    struct wh_memory_list list = {NULL};
    void *handle;
    cr_assert_eq(wh_memory_register(&list, (uint8_t *)ptr + PAGE, PAGE, &handle), WHORL_OK);
    struct wh_windows *mine = windows_of(PEER), *theirs = windows_of(OWNER);
    struct wh_window_ref ref;
    struct wh_window_record record;
    cr_assert(wh_windows_own(theirs, (uint8_t *)ptr + PAGE, PAGE, &ref));
    wh_windows_record(theirs, ref.slot, &record);
    record.id = UINT64_MAX; /* as if it were another process's */
    cr_assert(wh_windows_map(mine, OWNER, ref.slot, &record));
    cr_expect_eq(wh_windows_mapped_nbytes(mine), huge);
    ((uint8_t *)ptr)[PAGE + 3] = 77;
    cr_expect_eq(*wh_windows_ptr(mine, OWNER, ref.slot, 3, 1), 77);
    wh_windows_destroy(mine);
    wh_windows_destroy(theirs);
    wh_memory_list_fini(&list);
    munmap(ptr, huge);
    close(fd);
}
