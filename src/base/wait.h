/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way to wait: poll, and in between spin, then yield, then sleep until somebody rings.
 *
 * A rank that has a core of its own spins; where ranks outnumber cores a spinning rank would keep
 * the one it waits for from running, so it yields almost at once. A rank that has yielded long
 * sleeps on its doorbell, a futex in memory that its peers can reach. Every wait ends: poll says
 * so, the stop word is set, or the deadline passes.
 */
#ifndef WH_BASE_WAIT_H
#define WH_BASE_WAIT_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Wakes one rank. Lives in memory that all its peers can write, all zero at first.
 *
 * Whoever makes a poll succeed rings after it (ring has the full fence that orders the two). A ring
 * costs a fence and one read unless somebody sleeps.
 */
struct wh_doorbell {
    _Atomic uint32_t rings;    /* the futex */
    _Atomic uint32_t sleepers; /* how many are about to sleep or asleep */
} WH_LINE_ALIGNED;

void wh_doorbell_ring(struct wh_doorbell *bell);

/** Rings nbells bells but number `but`, at the price of one fence. */
void wh_doorbells_ring(struct wh_doorbell *const *bells, uint32_t nbells, uint32_t but);

/**
 * For memory that two ranks of one process have mapped twice: what a rank did before
 * wh_shared_release() happened before what another one does after wh_shared_acquire(). The atomics
 * that make it so are at two addresses, which ThreadSanitizer takes for two variables; these tell
 * it. Without it they do nothing.
 */
#if defined(__SANITIZE_THREAD__)
void wh_shared_release(void);
void wh_shared_acquire(void);
#else
static inline void wh_shared_release(void)
{
}
static inline void wh_shared_acquire(void)
{
}
#endif

/** Tells the core that this thread waits for another one's store. */
void wh_pause_core(void);

/** How patient one rank is. Set once. */
struct wh_patience {
    uint32_t nspins;  /* polls before the first yield */
    uint32_t nyields; /* yields before the first sleep */
};

/**
 * Patience for a rank of a host on which nlocal ranks share the usable cores: nspins when they fit,
 * hardly any when they do not.
 */
struct wh_patience wh_patience_for(uint32_t nlocal, uint64_t nspins, uint64_t nyields);

enum { WH_WAIT_NFDS_MAX = 16 };

/** One thing to wait for. */
struct wh_wait {
    struct wh_patience patience;
    /* WHORL_OK: done. WHORL_IN_PROGRESS: call again; *moved_out is set true if something advanced
     * (it is false before the call). Anything else ends the wait with that code. */
    whorl_result_t (*poll)(void *ctx, bool *moved_out);
    void *ctx;
    /* Rung when poll may succeed; any of them ends a sleep. With none, or with several and a kernel
     * before 5.16, sleeps are short naps. */
    struct wh_doorbell *const *bells;
    uint32_t nbells;
    const _Atomic int32_t *stop; /* NULL, or ends the wait when it becomes non-zero */
    uint64_t deadline_ns;        /* WH_NEVER: none */
    /* They ring for this process's own sake only, so that a sleep on fds need not mind them. */
    bool bells_are_quiet;
    /* Called right before a sleep: writes at most WH_WAIT_NFDS_MAX descriptors that poll as
     * readable when poll may succeed, and returns how many; UINT32_MAX: there is something that
     * nothing tells, so sleeps must be naps. NULL: none. Where there are both bells and
     * descriptors, sleeps are naps too, which grow with the time waited. */
    uint32_t (*fds)(void *ctx, int *fds_out);
};

/** Waits. WHORL_OK; WHORL_E_ABORTED when stop was set; WHORL_E_TIMEOUT; or what poll said. Reports
 *  nothing: the caller knows what it waited for. */
WH_MUST_CHECK whorl_result_t wh_wait(const struct wh_wait *wait);

/** Cores that this process may use: the least of its affinity and its cgroup's quota (rounded up);
 *  at least 1. Read once. */
uint32_t wh_usable_cpus(void);

/** The core that this thread runs on, for comparing with what another thread was told. */
uint32_t wh_current_cpu(void);

/** Moves this thread to another core, if it may use any but `cpu`; it may come back later. */
void wh_leave_cpu(uint32_t cpu);

/** How often this thread has lost its core while it could have gone on, also by yielding it. */
uint64_t wh_lost_cores(void);

/** Bytes of the last-level cache; 32 MiB where the system does not say. */
size_t wh_cache_nbytes(void);

/** Equal in two processes of a host that may use the same cores, so that ranks which a launcher
 *  bound to cores of their own are not taken for ranks that share them. Read once. */
uint64_t wh_usable_cpus_key(void);

#endif
