/* SPDX-License-Identifier: Apache-2.0 */
/* See tcp_zerocopy.h. */
#include "tcp_zerocopy.h"

#include "base/log.h"
#include "base/sock.h"

#include <assert.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>

enum { SEND_FLAGS = MSG_NOSIGNAL | MSG_DONTWAIT };

bool tcp_zerocopy_is_forced;

/* ---- which are through ---------------------------------------------------------------------- */

static uint64_t *word_of(struct tcp_zerocopy *zerocopy, uint32_t number, uint64_t *bit_out)
{
    *bit_out = UINT64_C(1) << number % 64;
    return &zerocopy->through[number / 64 % (TCP_ZEROCOPY_NSENDS_MAX / 64)];
}

static void switch_off(struct tcp_zerocopy *zerocopy, const char *why)
{
    if (zerocopy->state != TCP_ZEROCOPY_OFF) {
        zerocopy->state = TCP_ZEROCOPY_OFF;
        wh_log(WH_LOG_INFO, WH_SUBSYS_NET, "tcp: zero-copy is off for a connection: %s", why);
    }
}

void tcp_zerocopy_complete(struct tcp_zerocopy *zerocopy, uint32_t first, uint32_t last,
                           bool was_copied)
{
    const uint32_t nflying = zerocopy->next - zerocopy->done;
    uint64_t bit;
    for (uint32_t i = 0; i <= last - first && i < TCP_ZEROCOPY_NSENDS_MAX; i++) {
        if (first + i - zerocopy->done < nflying) {
            uint64_t *word = word_of(zerocopy, first + i, &bit);
            *word |= bit;
        }
    }
    while (zerocopy->done != zerocopy->next) {
        uint64_t *word = word_of(zerocopy, zerocopy->done, &bit);
        if ((*word & bit) == 0) {
            break;
        }
        *word &= ~bit;
        zerocopy->done++;
    }
    if (was_copied && !tcp_zerocopy_is_forced) {
        switch_off(zerocopy, "the kernel copies on this route");
    } else if (zerocopy->state == TCP_ZEROCOPY_ASKS) {
        zerocopy->state = TCP_ZEROCOPY_ON;
    }
}

uint32_t tcp_zerocopy_ticket(const struct tcp_zerocopy *zerocopy)
{
    return zerocopy->next;
}

bool tcp_zerocopy_is_done(const struct tcp_zerocopy *zerocopy, uint32_t ticket)
{
    return zerocopy->done - ticket <= INT32_MAX;
}

uint32_t tcp_zerocopy_nflying(const struct tcp_zerocopy *zerocopy)
{
    uint32_t n = zerocopy->next - zerocopy->done;
    for (size_t i = 0; i < ARRAY_LEN(zerocopy->through); i++) {
        n -= (uint32_t)__builtin_popcountll(zerocopy->through[i]);
    }
    return n;
}

bool tcp_zerocopy_is_for(const struct tcp_zerocopy *zerocopy, size_t nbytes)
{
    uint32_t nflying = zerocopy->next - zerocopy->done;
    uint32_t most = zerocopy->state == TCP_ZEROCOPY_ON     ? TCP_ZEROCOPY_NSENDS_MAX
                    : zerocopy->state == TCP_ZEROCOPY_ASKS ? 1
                                                           : 0;
    return nbytes >= TCP_ZEROCOPY_NBYTES_MIN && nflying < most;
}

/* ---- the kernel ----------------------------------------------------------------------------- */

bool tcp_zerocopy_is_local(int fd)
{
    struct sockaddr_storage sa;
    socklen_t nbytes = sizeof(sa);
    struct wh_addr own, peer;
    if (!wh_sock_own_addr(fd, &own) || getpeername(fd, (struct sockaddr *)&sa, &nbytes) != 0 ||
        !wh_addr_from_sockaddr((struct sockaddr *)&sa, &peer)) {
        return true; /* of no use anyway */
    }
    return wh_addr_is_loopback(&peer) || memcmp(own.ip, peer.ip, sizeof(own.ip)) == 0;
}

void tcp_zerocopy_start(struct tcp_zerocopy *zerocopy, int fd)
{
    const int on = 1;
    memset(zerocopy, 0, sizeof(*zerocopy));
    if ((tcp_zerocopy_is_forced || !tcp_zerocopy_is_local(fd)) &&
        setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)) == 0) {
        zerocopy->state = TCP_ZEROCOPY_ASKS;
    }
}

ssize_t tcp_zerocopy_send(struct tcp_zerocopy *zerocopy, int fd, const struct msghdr *msg,
                          size_t nbytes)
{
    if (tcp_zerocopy_is_for(zerocopy, nbytes)) {
        ssize_t n = sendmsg(fd, msg, SEND_FLAGS | MSG_ZEROCOPY);
        if (n > 0) {
            zerocopy->next++;
        }
        if (n >= 0 || errno != ENOBUFS) {
            return n;
        }
        if (zerocopy->next == zerocopy->done) {
            switch_off(zerocopy, "no memory may be locked, or net.core.optmem_max is too small");
        }
    }
    return sendmsg(fd, msg, SEND_FLAGS);
}

static bool is_about_zerocopy(const struct cmsghdr *cmsg, struct sock_extended_err *error_out)
{
    bool is_error = (cmsg->cmsg_level == SOL_IP && cmsg->cmsg_type == IP_RECVERR) ||
                    (cmsg->cmsg_level == SOL_IPV6 && cmsg->cmsg_type == IPV6_RECVERR);
    if (!is_error || cmsg->cmsg_len < CMSG_LEN(sizeof(*error_out))) {
        return false;
    }
    memcpy(error_out, CMSG_DATA(cmsg), sizeof(*error_out));
    return error_out->ee_errno == 0 && error_out->ee_origin == SO_EE_ORIGIN_ZEROCOPY;
}

bool tcp_zerocopy_reap(struct tcp_zerocopy *zerocopy, int fd)
{
    bool has_heard = false;
    while (zerocopy->done != zerocopy->next) {
        _Alignas(struct cmsghdr) char control[256];
        struct msghdr msg = {.msg_control = control, .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return has_heard;
        }
        has_heard = true;
        for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg); cmsg != NULL;
             cmsg = CMSG_NXTHDR(&msg, cmsg)) {
            struct sock_extended_err error;
            if (is_about_zerocopy(cmsg, &error)) {
                tcp_zerocopy_complete(zerocopy, error.ee_info, error.ee_data,
                                      (error.ee_code & SO_EE_CODE_ZEROCOPY_COPIED) != 0);
            }
        }
    }
    return has_heard;
}

void tcp_zerocopy_abort(struct tcp_zerocopy *zerocopy, int fd)
{
    if (zerocopy->done != zerocopy->next) {
        const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
        (void)connect(fd, &nobody, sizeof(nobody));
        zerocopy->done = zerocopy->next;
        memset(zerocopy->through, 0, sizeof(zerocopy->through));
    }
    zerocopy->state = TCP_ZEROCOPY_OFF;
}
