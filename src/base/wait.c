/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting, and the doorbell that ends it.
 *
 * Why no ring is lost. The ringer stores what poll will see, passes a full fence, then reads
 * `sleepers`. The sleeper adds itself to `sleepers`, passes a full fence, then polls once more. Of
 * two full fences one is first: either the ringer reads the sleeper's addition and rings, or the
 * sleeper's poll sees what the ringer stored. A ring between that poll and the futex call changes
 * `rings`, which the sleeper read before the poll, so the kernel does not put it to sleep.
 *
 * Sleeps are nevertheless short: a ringer can die between its store and its ring.
 */
#include "base/wait.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    SLEEP_NS = 10000000, /* longest sleep on a bell */
    NAP_NS = 500000,     /* longest sleep without a bell to be woken by */
    NAP_SHARE = 8,       /* of the time waited; see sleep_once() */
    NAP_LEAST_NS = 20000,
    NAP_MOST_NS = 2000000,
    NS_PER_S = 1000000000,
    BELLS_MOST = 64, /* whoever has more naps */
    POLLS_PER_CLOCK = 64,
    CROWDED_NSPINS = 20,
};

#if defined(__SANITIZE_THREAD__)
#define FENCE_BY_RMW 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FENCE_BY_RMW 1
#endif
#endif

/* A full fence between the accesses before it and those after it, for all who use the same bell.
 * ThreadSanitizer knows no fences: for it both sides modify the same word instead, which puts them
 * in an order just as well, at the price of moving the line. */
static void full_fence(struct wh_doorbell *bell)
{
#ifdef FENCE_BY_RMW
    atomic_fetch_add(&bell->sleepers, 0);
#else
    (void)bell;
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

void wh_pause_core(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield" ::: "memory");
#else
    __asm__ __volatile__("" ::: "memory");
#endif
}

void wh_doorbell_ring(struct wh_doorbell *bell)
{
    full_fence(bell);
    if (atomic_load_explicit(&bell->sleepers, memory_order_relaxed) == 0) {
        return;
    }
    atomic_fetch_add(&bell->rings, 1);
    int saved_errno = errno;
    syscall(SYS_futex, &bell->rings, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    errno = saved_errno;
}

void wh_doorbells_ring(struct wh_doorbell *const *bells, uint32_t nbells, uint32_t but)
{
#ifdef FENCE_BY_RMW
    for (uint32_t i = 0; i < nbells; i++) {
        if (i != but) {
            wh_doorbell_ring(bells[i]);
        }
    }
#else
    atomic_thread_fence(memory_order_seq_cst);
    for (uint32_t i = 0; i < nbells; i++) {
        if (i != but && atomic_load_explicit(&bells[i]->sleepers, memory_order_relaxed) != 0) {
            wh_doorbell_ring(bells[i]);
        }
    }
#endif
}

#if defined(__SANITIZE_THREAD__)
static char shared_memory;
void __tsan_release(void *address);
void __tsan_acquire(void *address);

void wh_shared_release(void)
{
    __tsan_release(&shared_memory);
}

void wh_shared_acquire(void)
{
    __tsan_acquire(&shared_memory);
}
#endif

struct wh_patience wh_patience_for(uint32_t nlocal, uint64_t nspins, uint64_t nyields)
{
    /* Where ranks outnumber cores the one that is waited for may need this very core. A few polls
     * remain because a message that is there already should cost no system call. */
    if (nlocal > wh_usable_cpus() && nspins > CROWDED_NSPINS) {
        nspins = CROWDED_NSPINS;
    }
    return (struct wh_patience){
        .nspins = nspins < UINT32_MAX ? (uint32_t)nspins : UINT32_MAX,
        .nyields = nyields < UINT32_MAX ? (uint32_t)nyields : UINT32_MAX,
    };
}

static bool stopped(const struct wh_wait *wait)
{
    return wait->stop != NULL && atomic_load_explicit(wait->stop, memory_order_acquire) != 0;
}

/* When a sleep that begins now and lasts at most most_ns ends. */
static uint64_t sleep_until(const struct wh_wait *wait, uint64_t most_ns)
{
    uint64_t until_ns = wh_now_ns() + most_ns;
    return until_ns < wait->deadline_ns ? until_ns : wait->deadline_ns;
}

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

static void nap(const struct wh_wait *wait)
{
    struct timespec until = timespec_of(sleep_until(wait, NAP_NS));
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* Sleeps until a bell rings that has not rung rings[i] times before; may wake for nothing. These
 * futexes are not the private kind: the ringer may be another process. */
static void sleep_on_bells(const struct wh_wait *wait, const uint32_t *rings)
{
    struct timespec until = timespec_of(sleep_until(wait, SLEEP_NS));
    if (wait->nbells == 1) {
        /* Of the calls with one futex only this one takes a point in time. */
        syscall(SYS_futex, &wait->bells[0]->rings, FUTEX_WAIT_BITSET, rings[0], &until, NULL,
                FUTEX_BITSET_MATCH_ANY);
        return;
    }
#if defined(SYS_futex_waitv) && defined(FUTEX_32) && defined(__LP64__)
    struct futex_waitv waiters[BELLS_MOST] = {0};
    for (uint32_t i = 0; i < wait->nbells; i++) {
        waiters[i].val = rings[i];
        waiters[i].uaddr = (uintptr_t)&wait->bells[i]->rings;
        waiters[i].flags = FUTEX_32;
    }
    long rc = syscall(SYS_futex_waitv, waiters, wait->nbells, 0, &until, CLOCK_MONOTONIC);
    if (rc >= 0 || errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT) {
        return;
    }
#endif
    nap(wait); /* a kernel before 5.16, or a sandbox that refuses the call */
}

/* Sleeps until a descriptor is ready, for at most most_ns. */
static void sleep_on_fds(const struct wh_wait *wait, const int *fds, uint32_t nfds,
                         uint64_t most_ns)
{
    struct pollfd polled[WH_WAIT_NFDS_MAX];
    for (uint32_t i = 0; i < nfds; i++) {
        polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    }
    uint64_t now_ns = wh_now_ns();
    uint64_t until_ns = sleep_until(wait, most_ns);
    struct timespec length = timespec_of(until_ns > now_ns ? until_ns - now_ns : 0);
    (void)ppoll(polled, nfds, &length, NULL);
}

/* Sleeps until something happens that ends the wait, or a while. */
static void sleep_once(const struct wh_wait *wait, const uint32_t *rings, uint32_t nbells,
                       uint64_t waited_ns)
{
    int fds[WH_WAIT_NFDS_MAX];
    uint32_t nfds = wait->fds != NULL ? wait->fds(wait->ctx, fds) : 0;
    if (nfds == UINT32_MAX) {
        nap(wait);
    } else if (nfds > 0 && (wait->nbells == 0 || wait->bells_are_quiet)) {
        sleep_on_fds(wait, fds, nfds, SLEEP_NS);
    } else if (nfds > 0) {
        /* No call waits for both. A nap of a part of the time waited so far makes no wait longer
         * than by that part. */
        uint64_t nap_ns = waited_ns / NAP_SHARE;
        nap_ns = nap_ns < NAP_LEAST_NS ? NAP_LEAST_NS : nap_ns;
        sleep_on_fds(wait, fds, nfds, nap_ns < NAP_MOST_NS ? nap_ns : NAP_MOST_NS);
    } else if (nbells > 0) {
        sleep_on_bells(wait, rings);
    } else {
        nap(wait);
    }
}

/* Polls, and sleeps if nothing moved. Returns what poll returned. *tired_ns is when the first of a
 * row of sleeps began; 0: this is the first. */
static whorl_result_t poll_and_sleep(const struct wh_wait *wait, uint64_t *tired_ns,
                                     bool *moved_out)
{
    uint32_t nbells = wait->nbells <= BELLS_MOST ? wait->nbells : 0;
    uint32_t rings[BELLS_MOST];
    for (uint32_t i = 0; i < nbells; i++) {
        struct wh_doorbell *bell = wait->bells[i];
        atomic_fetch_add(&bell->sleepers, 1);
        full_fence(bell);
        rings[i] = atomic_load(&bell->rings);
    }

    whorl_result_t rc = wait->poll(wait->ctx, moved_out);
    if (rc == WHORL_IN_PROGRESS && !*moved_out && !stopped(wait)) {
        uint64_t now_ns = wh_now_ns();
        *tired_ns = *tired_ns != 0 ? *tired_ns : now_ns;
        sleep_once(wait, rings, nbells, now_ns - *tired_ns);
    }

    for (uint32_t i = 0; i < nbells; i++) {
        atomic_fetch_sub(&wait->bells[i]->sleepers, 1);
    }
    return rc;
}

whorl_result_t wh_wait(const struct wh_wait *wait)
{
    assert(wait->poll != NULL);

    uint32_t nspins = 0;
    uint32_t nyields = 0;
    uint32_t polls_to_clock = POLLS_PER_CLOCK;
    uint64_t tired_ns = 0;
    for (;;) {
        /* The clock is read before the poll: whoever times out has polled after the deadline. */
        bool late = false;
        if (--polls_to_clock == 0) {
            polls_to_clock = POLLS_PER_CLOCK;
            late = wait->deadline_ns != WH_NEVER && wh_now_ns() >= wait->deadline_ns;
        }

        bool moved = false;
        bool tired = nspins >= wait->patience.nspins && nyields >= wait->patience.nyields;
        whorl_result_t rc = tired && !late ? poll_and_sleep(wait, &tired_ns, &moved)
                                           : wait->poll(wait->ctx, &moved);
        if (rc != WHORL_IN_PROGRESS) {
            return rc;
        }
        if (stopped(wait)) {
            return WHORL_E_ABORTED;
        }
        if (late) {
            return WHORL_E_TIMEOUT;
        }

        if (moved) {
            nspins = 0;
            nyields = 0;
            tired_ns = 0;
        } else if (nspins < wait->patience.nspins) {
            nspins++;
            wh_pause_core();
        } else {
            polls_to_clock = 1;
            if (nyields < wait->patience.nyields) {
                nyields++;
                sched_yield();
            }
        }
    }
}
