/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cross-memory attach: large blocks straight from the memory of another process, by a system call.
 *
 * One copy instead of two, but a microsecond and a walk over the pages each time. It pays where
 * every receiver gets a block of its own, all_to_all and scatter (and all_gather of two ranks), and
 * vectors are too large for the second-level cache: from WHORL_CMA bytes on, of two ranks from four
 * times that. (Measured with three and four ranks on two cores: an eighth to a fifth less time from
 * 512 KiB to 2 MiB, a third above. Two ranks, which keep half of it and swap lines: up to a tenth
 * less at 2 to 4 MiB, a quarter more at 1 MiB; where results go past the caches up to a third more,
 * so they are staged there.) A block that many receive is read from where it is staged, in cache,
 * by all of them; and a root that gathers is helped by those who stage.
 *
 * Whether the kernel lets one rank read another is found out when the first operation wants it:
 * everyone tells where it has a number of its own, and tries to read everyone else's. One that
 * fails (another pid namespace, user or security module, ptrace restrictions) means no for the
 * communicator.
 */
#include "base/log.h"
#include "base/random.h"
#include "executor/arena/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* What a rank tells for the trial; in its slot's data, behind the windows. */
struct trial {
    uint64_t pid, address, value;
};

enum { TRIAL_AT = 2 * sizeof(struct wh_window_record) };

/* Does each block that leaves its sender go to one rank? (So does a gather's: see above.) */
static bool goes_to_one(const struct wh_arena *a)
{
    return a->run.pattern.per_dest || (a->n == 2 && !arena_is_rooted(a));
}

bool arena_cma_wanted(const struct wh_arena *a)
{
    const struct arena_run *run = &a->run;
    size_t nbytes = arena_brought_nbytes(a) / (a->n == 2 ? 4 : 1);
    return a->cma != ARENA_CMA_REFUSED && !a->is_one_process && (a->n > 2 || !run->is_streaming) &&
           goes_to_one(a) && !run->pattern.reduces && !wh_coll_is_v(run->coll) &&
           nbytes >= a->cma_nbytes;
}

bool arena_cma_tell(struct wh_arena *a)
{
    if (a->cma != ARENA_CMA_UNTRIED) {
        return false;
    }
    if (a->cma_value == 0 && wh_random(&a->cma_value, sizeof(a->cma_value)) != WHORL_OK) {
        a->cma_value = 1; /* the trial can then only fail to notice a mix-up of pids */
    }
    const struct trial mine = {(uint64_t)getpid(), (uintptr_t)&a->cma_value, a->cma_value};
    memcpy(arena_slot(a, a->me, a->seq)->data + TRIAL_AT, &mine, sizeof(mine));
    return true;
}

/* Reads nbytes of another process; false with errno. */
static bool read_process(pid_t pid, uint64_t address, void *to, size_t nbytes)
{
    for (size_t at = 0; at < nbytes;) {
        struct iovec local = {(uint8_t *)to + at, nbytes - at};
        struct iovec remote = {(void *)(uintptr_t)(address + at), nbytes - at};
        ssize_t done = process_vm_readv(pid, &local, 1, &remote, 1, 0);
        if (done <= 0) {
            errno = done == 0 ? EFAULT : errno;
            return false;
        }
        at += (size_t)done;
    }
    return true;
}

bool arena_cma_try(struct wh_arena *a)
{
    for (uint32_t r = 0; r < a->n; r++) {
        struct trial theirs;
        uint64_t value;
        memcpy(&theirs, arena_slot(a, r, a->seq)->data + TRIAL_AT, sizeof(theirs));
        if (r == a->me) {
            continue;
        }
        if (!read_process((pid_t)theirs.pid, theirs.address, &value, sizeof(value)) ||
            value != theirs.value) {
            wh_log(WH_LOG_INFO, WH_SUBSYS_SHM,
                   "large blocks are staged: the memory of rank %u (pid %llu) cannot be read: %s",
                   a->names[r], (unsigned long long)theirs.pid, strerror(errno));
            return false;
        }
        a->cma_pids[r] = (int32_t)theirs.pid;
    }
    return true;
}

whorl_result_t arena_cma_read(struct wh_arena *a, uint32_t rank, uint64_t address, void *to,
                              size_t nbytes)
{
    if (read_process(a->cma_pids[rank], address, to, nbytes)) {
        return WHORL_OK;
    }
    int error = errno;
    if (arena_has_anyone_left(a)) {
        return WHORL_IN_PROGRESS; /* and maybe given its memory back: no failure of its own */
    }
    return wh_fail(error == ESRCH || error == EFAULT ? WHORL_E_PEER : WHORL_E_SYS, WH_SUBSYS_COLL,
                   "rank %u could not read %zu bytes of the memory of rank %u (pid %d): %s",
                   a->names[a->me], nbytes, a->names[rank], (int)a->cma_pids[rank],
                   strerror(error));
}
