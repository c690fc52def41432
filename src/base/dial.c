/* SPDX-License-Identifier: Apache-2.0 */
/* Several connection attempts side by side. See dial.h. */
#define _GNU_SOURCE

#include "base/dial.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    NEXT_ADDR_MS = 200,    /* the next address waits so long for the one before */
    SILENT_MS = 15 * 1000, /* then an address that has not answered is given up */
    NTRIES = 6,            /* of an address that fails at once */
    PAUSE_MS = 50,         /* before the second; doubles */
};

void wh_dial_start(struct wh_dial *dial, const struct wh_addr *addrs, uint32_t naddrs,
                   uint64_t deadline_ns)
{
    memset(dial, 0, sizeof(*dial));
    dial->naddrs = naddrs < WH_DIAL_NADDRS_MAX ? naddrs : WH_DIAL_NADDRS_MAX;
    dial->winner = dial->naddrs;
    dial->deadline_ns = deadline_ns;
    for (uint32_t i = 0; i < WH_DIAL_NADDRS_MAX; i++) {
        dial->tries[i].fd = -1;
    }
    for (uint32_t i = 0; i < dial->naddrs; i++) {
        dial->addrs[i] = addrs[i];
    }
}

/* ---- one address ---------------------------------------------------------------------------- */

static void try_close(struct wh_dial_try *one)
{
    if (one->fd >= 0) {
        close(one->fd);
        one->fd = -1;
    }
}

static void try_failed(struct wh_dial_try *one, int error, uint64_t now_ns)
{
    try_close(one);
    one->error = error;
    one->why = NULL;
    one->at_ns = now_ns + ((uint64_t)PAUSE_MS << one->nfailed) * 1000000;
    one->nfailed++;
}

static void try_begin(struct wh_dial *dial, uint32_t i, uint64_t now_ns)
{
    struct wh_dial_try *one = &dial->tries[i];
    int fd = wh_sock_connect(&dial->addrs[i]);
    if (fd < 0) {
        try_failed(one, -fd, now_ns);
        return;
    }
    one->fd = fd;
    one->at_ns = now_ns + SILENT_MS * 1000000ull;
}

static bool try_is_hopeless(const struct wh_dial_try *one)
{
    return one->fd < 0 && one->nfailed >= NTRIES;
}

/* Looks at the ones that something happened to. True: tries[*winner_out] is connected. */
static bool tries_look(struct wh_dial *dial, uint64_t now_ns, uint32_t *winner_out)
{
    struct pollfd pfds[WH_DIAL_NADDRS_MAX];
    for (uint32_t i = 0; i < dial->nbegun; i++) {
        pfds[i] = (struct pollfd){.fd = dial->tries[i].fd, .events = POLLOUT};
    }
    int nready = poll(pfds, dial->nbegun, 0);
    for (uint32_t i = 0; i < dial->nbegun; i++) {
        struct wh_dial_try *one = &dial->tries[i];
        if (one->fd < 0) {
            continue;
        }
        if (nready > 0 && pfds[i].revents != 0) {
            int error = wh_sock_error(one->fd);
            /* Nobody listens, and the kernel chose the very port that is called. */
            error = error == 0 && wh_sock_is_own_echo(one->fd) ? ECONNREFUSED : error;
            if (error == 0) {
                *winner_out = i;
                return true;
            }
            try_failed(one, error, now_ns);
        } else if (one->at_ns <= now_ns) {
            /* The kernel has asked several times meanwhile: asking anew would change nothing. */
            try_failed(one, ETIMEDOUT, now_ns);
            one->nfailed = NTRIES;
        }
    }
    return false;
}

/* ---- all of them ---------------------------------------------------------------------------- */

/* Is none of those that were begun still hoped for at this moment? */
static bool none_is_open(const struct wh_dial *dial)
{
    for (uint32_t i = 0; i < dial->nbegun; i++) {
        if (dial->tries[i].fd >= 0) {
            return false;
        }
    }
    return true;
}

static void begin_what_is_due(struct wh_dial *dial, uint64_t now_ns)
{
    for (uint32_t i = 0; i < dial->nbegun; i++) {
        struct wh_dial_try *one = &dial->tries[i];
        if (one->fd < 0 && one->nfailed < NTRIES && one->at_ns <= now_ns) {
            try_begin(dial, i, now_ns);
        }
    }
    while (dial->nbegun < dial->naddrs && (dial->begin_ns <= now_ns || none_is_open(dial))) {
        try_begin(dial, dial->nbegun++, now_ns);
        dial->begin_ns = now_ns + NEXT_ADDR_MS * 1000000ull;
    }
}

/* Sets next_ns; false if there is nothing left to hope for. */
static bool plan_next(struct wh_dial *dial)
{
    bool hope = false;
    dial->next_ns = dial->deadline_ns;
    for (uint32_t i = 0; i < dial->naddrs; i++) {
        const struct wh_dial_try *one = &dial->tries[i];
        uint64_t at_ns = i < dial->nbegun ? one->at_ns : dial->begin_ns;
        if (!try_is_hopeless(one)) {
            hope = true;
            dial->next_ns = at_ns < dial->next_ns ? at_ns : dial->next_ns;
        }
    }
    return hope;
}

/* The first wins. What the others had begun does not count against them. */
static void take_winner(struct wh_dial *dial, uint32_t winner, int *fd_out,
                        struct wh_addr *addr_out)
{
    *fd_out = dial->tries[winner].fd;
    dial->tries[winner].fd = -1;
    dial->winner = winner;
    if (addr_out != NULL) {
        *addr_out = dial->addrs[winner];
    }
    for (uint32_t i = 0; i < dial->nbegun; i++) {
        if (dial->tries[i].fd >= 0) {
            try_close(&dial->tries[i]);
            dial->tries[i].at_ns = 0;
        }
    }
}

whorl_result_t wh_dial_advance(struct wh_dial *dial, int *fd_out, struct wh_addr *addr_out)
{
    uint32_t winner;
    uint64_t now_ns = wh_now_ns();
    if (tries_look(dial, now_ns, &winner)) {
        take_winner(dial, winner, fd_out, addr_out);
        return WHORL_OK;
    }
    if (now_ns >= dial->deadline_ns) {
        return WHORL_E_TIMEOUT;
    }
    begin_what_is_due(dial, now_ns);
    return plan_next(dial) ? WHORL_IN_PROGRESS : WHORL_E_SYS;
}

void wh_dial_reject(struct wh_dial *dial, const char *why, bool for_good)
{
    assert(dial->winner < dial->naddrs);

    struct wh_dial_try *one = &dial->tries[dial->winner];
    try_failed(one, 0, wh_now_ns());
    one->why = why;
    one->nfailed = for_good ? NTRIES : one->nfailed;
    dial->winner = dial->naddrs;
    dial->begin_ns = 0;
}

uint32_t wh_dial_fds(const struct wh_dial *dial, int *fds, uint32_t nfds_max)
{
    uint32_t nfds = 0;
    for (uint32_t i = 0; i < dial->nbegun; i++) {
        if (dial->tries[i].fd >= 0 && nfds < nfds_max) {
            fds[nfds++] = dial->tries[i].fd;
        }
    }
    return nfds;
}

const char *wh_dial_why(const struct wh_dial *dial, char text[WH_DIAL_WHY_NBYTES])
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < dial->naddrs && used < WH_DIAL_WHY_NBYTES; i++) {
        const struct wh_dial_try *one = &dial->tries[i];
        char addr[WH_ADDR_TEXT_NBYTES], said[128];
        const char *why = i >= dial->nbegun  ? "not tried"
                          : one->why != NULL ? one->why
                          : one->error == 0 || one->error == ETIMEDOUT
                              ? "no answer"
                              : strerror_r(one->error, said, sizeof(said));
        used += (size_t)snprintf(text + used, WH_DIAL_WHY_NBYTES - used, "%s%s: %s",
                                 used > 0 ? "; " : "", wh_addr_print(&dial->addrs[i], addr), why);
    }
    if (used >= WH_DIAL_WHY_NBYTES) {
        memcpy(text + WH_DIAL_WHY_NBYTES - 4, "...", 4);
    }
    return dial->naddrs > 0 ? text : "it has no address";
}

void wh_dial_fini(struct wh_dial *dial)
{
    for (uint32_t i = 0; i < dial->nbegun; i++) {
        try_close(&dial->tries[i]);
    }
    memset(dial, 0, sizeof(*dial));
}
