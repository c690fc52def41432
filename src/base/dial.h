/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting to a peer that has several addresses, of which not all may work from here.
 *
 * The addresses are tried in order, the next one soon after the one before when that does not
 * answer, at once when that was refused, without giving the earlier ones up: the first that
 * connects is taken. An address that failed is tried again a few times, a little later each time,
 * because the listener may come a little later. Nothing here waits.
 */
#ifndef WH_BASE_DIAL_H
#define WH_BASE_DIAL_H

#include "base/macros.h"
#include "base/sock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WH_DIAL_NADDRS_MAX = 8, WH_DIAL_WHY_NBYTES = 640 };

/** One address. */
struct wh_dial_try {
    int fd;          /* -1: not begun, or over */
    int error;       /* errno of the last attempt that failed; 0: none has */
    const char *why; /* instead of error: what wh_dial_reject() said; or NULL */
    uint32_t nfailed;
    uint64_t at_ns; /* with fd: when it is given up; without: when it is tried again */
};

struct wh_dial {
    struct wh_addr addrs[WH_DIAL_NADDRS_MAX];
    struct wh_dial_try tries[WH_DIAL_NADDRS_MAX];
    uint32_t naddrs, nbegun;
    uint32_t winner;   /* of the last success; naddrs: none */
    uint64_t begin_ns; /* when the next address begins, if the one before does not fail */
    uint64_t next_ns;  /* when to call wh_dial_advance() again at the latest */
    uint64_t deadline_ns;
};

/** Begins. At most WH_DIAL_NADDRS_MAX addresses are used. Opens no descriptor yet. */
void wh_dial_start(struct wh_dial *dial, const struct wh_addr *addrs, uint32_t naddrs,
                   uint64_t deadline_ns);

/**
 * Goes on. WHORL_OK: *fd_out is connected, and the caller's; *addr_out (may be NULL) where. After
 * that wh_dial_start() may be called again, or wh_dial_reject(). WHORL_IN_PROGRESS: call again when
 * a descriptor of wh_dial_fds() can be written, or at dial->next_ns. WHORL_E_SYS (not reported):
 * none of the addresses can be reached, wh_dial_why() says why not; WHORL_E_TIMEOUT: the deadline
 * passed.
 */
WH_MUST_CHECK whorl_result_t wh_dial_advance(struct wh_dial *dial, int *fd_out,
                                             struct wh_addr *addr_out);

/**
 * Whoever answered the last success was not the one that is sought, for which why is the reason (a
 * text that stays): wh_dial_advance() goes on with the other addresses, and unless for_good with
 * this one later again. The caller has closed the descriptor.
 */
void wh_dial_reject(struct wh_dial *dial, const char *why, bool for_good);

/** Writes the descriptors to poll for output, at most nfds_max; returns how many. */
uint32_t wh_dial_fds(const struct wh_dial *dial, int *fds, uint32_t nfds_max);

/** Writes "10.0.0.1:80: Connection refused; [fd00::1]:80: no answer" and returns text. */
const char *wh_dial_why(const struct wh_dial *dial, char text[WH_DIAL_WHY_NBYTES]);

/** Closes what is open. Works on zeros. */
void wh_dial_fini(struct wh_dial *dial);

#endif
