/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared memory that is handed over and never named.
 *
 * The owner makes a memfd and listens on an abstract UNIX socket. The token is 32 random bytes: the
 * first half, in hexadecimal, is the socket's name, which everybody on the host can list; the
 * second half is the secret that a guest shows to be given the descriptor. The kernel adds who the
 * guest is (SO_PEERCRED), and another user than ours or root is sent away even with the token.
 *
 * A memfd is sealed against every change of its size before anyone else sees it, and a guest
 * accepts no other: memory that somebody can truncate would kill its users with SIGBUS.
 *
 * The socket is SOCK_SEQPACKET, so a token is one packet and there is no half of one to keep.
 */
#include "base/shmem.h"

#include "base/bits.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    NAME_NBYTES = 16,   /* of the token, in the name of the socket */
    PENDING_MAX = 32,   /* connections that have not shown a token yet */
    PENDING_MS = 5000,  /* how long one may take; a guest sends it right after connecting */
    BACKLOG_MAX = 4096, /* what kernels allow by default */
};

/* Linux 6.3; older headers lack it, older kernels answer EINVAL. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

struct pending {
    int sock;
    uint64_t deadline_ns;
    struct ucred peer;
};

struct wh_shmem_offer {
    uint8_t token[WH_SHMEM_TOKEN_NBYTES];
    int fd;
    int listener;
    uint32_t nguests, nserved;
    uint32_t npending;
    struct pending pending[PENDING_MAX];
};

/* ---- memory --------------------------------------------------------------------------------- */

/* ftruncate beyond this limit does not only fail, it raises SIGXFSZ. */
static bool is_allowed_file_size(uint64_t nbytes)
{
    struct rlimit limit;

    if (nbytes > INT64_MAX) {
        return false;
    }
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
           nbytes <= limit.rlim_cur;
}

whorl_result_t wh_shmem_create(const char *label, uint64_t nbytes, int *fd_out)
{
    if (!is_allowed_file_size(nbytes)) {
        return wh_fail(WHORL_E_SYS, WH_SUBSYS_SHM,
                       "shmem: %" PRIu64 " bytes of address space for %s exceed the limit on file "
                       "sizes (ulimit -f)",
                       nbytes, label);
    }

    int fd = memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) {
        fd = memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    if (fd < 0) {
        return wh_fail_sys(WH_SUBSYS_SHM, "shmem: memfd_create %s", label);
    }

    if (ftruncate(fd, (off_t)nbytes) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        whorl_result_t rc = wh_fail_sys(
            WH_SUBSYS_SHM, "shmem: giving %s a size of %" PRIu64 " bytes", label, nbytes);
        close(fd);
        return rc;
    }

    *fd_out = fd;
    return WHORL_OK;
}

whorl_result_t wh_shmem_map(int fd, uint64_t offset, size_t nbytes, void **ptr_out)
{
    void *ptr =
        mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)offset);
    if (ptr == MAP_FAILED) {
        return wh_fail_sys(WH_SUBSYS_SHM, "shmem: mmap of %zu bytes at %" PRIu64, nbytes, offset);
    }

    *ptr_out = ptr;
    return WHORL_OK;
}

whorl_result_t wh_shmem_map_aligned(int fd, uint64_t offset, size_t nbytes, void **ptr_out)
{
    const size_t align = (size_t)2 << 20;
    uint8_t *space =
        mmap(NULL, nbytes + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED) {
        return wh_fail_sys(WH_SUBSYS_SHM, "shmem: mmap of %zu bytes", nbytes + align);
    }

    uint8_t *ptr = (uint8_t *)wh_align_up((uintptr_t)space, align);
    if (mmap(ptr, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
             (off_t)offset) == MAP_FAILED) {
        whorl_result_t rc =
            wh_fail_sys(WH_SUBSYS_SHM, "shmem: mmap of %zu bytes at %" PRIu64, nbytes, offset);
        wh_shmem_unmap(space, nbytes + align);
        return rc;
    }
    size_t before = (size_t)(ptr - space);
    size_t end = before + wh_align_up(nbytes, (size_t)sysconf(_SC_PAGESIZE));
    wh_shmem_unmap(before > 0 ? space : NULL, before);
    wh_shmem_unmap(end < nbytes + align ? space + end : NULL, nbytes + align - end);
    *ptr_out = ptr;
    return WHORL_OK;
}

void wh_shmem_advise_huge(void *ptr, size_t nbytes)
{
    (void)madvise(ptr, nbytes, MADV_HUGEPAGE); /* nothing is lost without */
}

void wh_shmem_unmap(void *ptr, size_t nbytes)
{
    if (ptr != NULL && munmap(ptr, nbytes) != 0) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_SHM, "shmem: munmap of %zu bytes: %s", nbytes,
               strerror(errno));
    }
}

/* ---- what both ends of an offer need -------------------------------------------------------- */

/* Fills in the abstract address that the token names; returns its length. */
static socklen_t offer_address(const uint8_t *token, struct sockaddr_un *address)
{
    static const char prefix[] = "whorl-";
    char *name = address->sun_path + 1; /* the 0 before it makes it abstract */

    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(name, prefix, sizeof(prefix) - 1);
    for (int i = 0; i < NAME_NBYTES; i++) {
        sprintf(name + sizeof(prefix) - 1 + 2 * i, "%02x", token[i]);
    }
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

/* Is the process at the other end run by our user or by root? */
static bool is_trusted_peer(int sock, struct ucred *peer)
{
    socklen_t nbytes = sizeof(*peer);

    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, peer, &nbytes) != 0) {
        *peer = (struct ucred){.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
        return false;
    }
    return peer->uid == geteuid() || peer->uid == 0;
}

/* Takes the same time wherever the first difference is. */
static bool is_same_token(const uint8_t *a, const uint8_t *b)
{
    unsigned differing = 0;

    for (int i = 0; i < WH_SHMEM_TOKEN_NBYTES; i++) {
        differing |= (unsigned)(a[i] ^ b[i]);
    }
    return differing == 0;
}

/* ---- the host's end ------------------------------------------------------------------------- */

whorl_result_t wh_shmem_offer_open(int fd, uint32_t nguests,
                                   uint8_t token_out[WH_SHMEM_TOKEN_NBYTES],
                                   struct wh_shmem_offer **offer_out)
{
    struct wh_shmem_offer *offer = calloc(1, sizeof(*offer));
    if (offer == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_SHM, "shmem: no memory for an offer");
    }
    offer->fd = fd;
    offer->nguests = nguests;

    struct sockaddr_un address;
    whorl_result_t rc = wh_random(offer->token, sizeof(offer->token));
    if (rc != WHORL_OK) {
        goto undo_alloc;
    }

    offer->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (offer->listener < 0) {
        rc = wh_fail_sys(WH_SUBSYS_SHM, "shmem: UNIX socket");
        goto undo_alloc;
    }

    socklen_t address_nbytes = offer_address(offer->token, &address);
    int backlog = nguests < BACKLOG_MAX - PENDING_MAX ? (int)nguests + PENDING_MAX : BACKLOG_MAX;
    if (bind(offer->listener, (struct sockaddr *)&address, address_nbytes) != 0 ||
        listen(offer->listener, backlog) != 0) {
        rc = wh_fail_sys(WH_SUBSYS_SHM, "shmem: listening on @%s", address.sun_path + 1);
        goto undo_socket;
    }

    memcpy(token_out, offer->token, sizeof(offer->token));
    *offer_out = offer;
    return WHORL_OK;

undo_socket:
    close(offer->listener);
undo_alloc:
    free(offer);
    return rc;
}

static void offer_accept(struct wh_shmem_offer *offer)
{
    while (offer->npending < PENDING_MAX) {
        int sock = accept4(offer->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (sock < 0) {
            return; /* nobody, or no descriptor left: the next call tries again */
        }
        /* Other users must not even fill the table. */
        struct ucred peer;
        if (!is_trusted_peer(sock, &peer)) {
            wh_log(WH_LOG_WARN, WH_SUBSYS_SHM,
                   "shmem: dropped a connection: pid %d uid %d belongs to another user",
                   (int)peer.pid, (int)peer.uid);
            close(sock);
            continue;
        }
        offer->pending[offer->npending++] = (struct pending){
            .sock = sock, .peer = peer, .deadline_ns = wh_deadline_after_ms(PENDING_MS)};
    }
}

static bool send_fd(int sock, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    char byte = 0;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};

    memset(&control, 0, sizeof(control));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    return sendmsg(sock, &message, MSG_NOSIGNAL) == 1;
}

/* Looks at one connection; false: it is done with, one way or the other. */
static bool pending_serve(struct wh_shmem_offer *offer, const struct pending *pending)
{
    uint8_t shown[WH_SHMEM_TOKEN_NBYTES + 1]; /* one more, to see that a packet is too long */

    ssize_t nbytes = recv(pending->sock, shown, sizeof(shown), 0);
    if (nbytes < 0 && (errno == EAGAIN || errno == EINTR) && wh_now_ns() < pending->deadline_ns) {
        return true;
    }

    const char *fault = NULL;
    if (nbytes < 0) {
        fault = "said nothing in time";
    } else if (nbytes != WH_SHMEM_TOKEN_NBYTES || !is_same_token(shown, offer->token)) {
        fault = "does not know the token";
    } else if (!send_fd(pending->sock, offer->fd)) {
        fault = "could not be sent the descriptor";
    }
    if (fault != NULL) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_SHM, "shmem: dropped a connection: pid %d uid %d %s",
               (int)pending->peer.pid, (int)pending->peer.uid, fault);
        return false;
    }

    offer->nserved++;
    return false;
}

whorl_result_t wh_shmem_offer_serve(struct wh_shmem_offer *offer)
{
    if (offer->nserved >= offer->nguests) {
        return WHORL_OK;
    }

    offer_accept(offer);
    for (uint32_t i = offer->npending; i-- > 0;) {
        if (!pending_serve(offer, &offer->pending[i])) {
            close(offer->pending[i].sock);
            offer->pending[i] = offer->pending[--offer->npending];
        }
    }
    return offer->nserved >= offer->nguests ? WHORL_OK : WHORL_IN_PROGRESS;
}

void wh_shmem_offer_close(struct wh_shmem_offer *offer)
{
    if (offer == NULL) {
        return;
    }

    for (uint32_t i = 0; i < offer->npending; i++) {
        close(offer->pending[i].sock);
    }
    close(offer->listener);
    free(offer);
}

/* ---- the guest's end ------------------------------------------------------------------------ */

/* Connects and shows the token. WHORL_IN_PROGRESS: the host is too busy to be connected to. */
static whorl_result_t guest_connect(const uint8_t *token, int *sock_out)
{
    struct sockaddr_un address;
    socklen_t address_nbytes = offer_address(token, &address);
    struct ucred peer;

    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock < 0) {
        return wh_fail_sys(WH_SUBSYS_SHM, "shmem: UNIX socket");
    }

    whorl_result_t rc;
    if (connect(sock, (struct sockaddr *)&address, address_nbytes) != 0) {
        if (errno == EAGAIN || errno == EINTR) {
            rc = WHORL_IN_PROGRESS;
        } else {
            rc = wh_fail_sys(WH_SUBSYS_SHM, "shmem: no such offer in reach, connecting to @%s",
                             address.sun_path + 1);
        }
        goto undo_socket;
    }
    if (!is_trusted_peer(sock, &peer)) {
        rc = wh_fail(WHORL_E_SYS, WH_SUBSYS_SHM, "shmem: @%s belongs to another user, uid %d",
                     address.sun_path + 1, (int)peer.uid);
        goto undo_socket;
    }
    if (send(sock, token, WH_SHMEM_TOKEN_NBYTES, MSG_NOSIGNAL) != WH_SHMEM_TOKEN_NBYTES) {
        rc = wh_fail_sys(WH_SUBSYS_SHM, "shmem: sending the token to @%s", address.sun_path + 1);
        goto undo_socket;
    }

    *sock_out = sock;
    return WHORL_OK;

undo_socket:
    close(sock);
    return rc;
}

/* Takes the descriptor off a connection; -1 with errno if there is none. */
static int recv_fd(int sock)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    int fd = -1;

    ssize_t nbytes = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
    if (nbytes == 0) {
        /* The kernel looks at the queue first and at the shutdown later: a message sent just before
         * the close may be there now. */
        message.msg_controllen = sizeof(control.bytes);
        nbytes = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
    }
    if (nbytes < 0) {
        return -1;
    }
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    } else {
        errno = nbytes == 0 ? ECONNRESET : EPROTO;
    }
    return fd;
}

/* Is fd memory of this size that nobody can shrink? */
static bool is_sound_memory(int fd, uint64_t nbytes)
{
    struct stat info;

    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || (uint64_t)info.st_size != nbytes) {
        return false;
    }
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}

whorl_result_t wh_shmem_fetch(const uint8_t token[WH_SHMEM_TOKEN_NBYTES], uint64_t nbytes,
                              int *sock, int *fd_out)
{
    if (*sock < 0) {
        whorl_result_t rc = guest_connect(token, sock);
        if (rc != WHORL_OK) {
            return rc;
        }
    }

    int fd = recv_fd(*sock);
    if (fd < 0 && (errno == EAGAIN || errno == EINTR)) {
        return WHORL_IN_PROGRESS;
    }

    whorl_result_t rc = WHORL_OK;
    if (fd < 0) {
        rc = wh_fail_sys(WH_SUBSYS_SHM, "shmem: the offer's owner sent no descriptor");
    } else if (!is_sound_memory(fd, nbytes)) {
        rc = wh_fail(WHORL_E_SYS, WH_SUBSYS_SHM,
                     "shmem: the offered descriptor is not sealed memory of %" PRIu64 " bytes",
                     nbytes);
        close(fd);
    } else {
        *fd_out = fd;
    }
    close(*sock);
    *sock = -1;
    return rc;
}

/* ---- who may share -------------------------------------------------------------------------- */

uint64_t wh_shmem_machine_key(void)
{
    uint64_t hash = WH_HASH_START;
    char boot_id[64];
    ssize_t nbytes = -1;

    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        nbytes = read(fd, boot_id, sizeof(boot_id));
        close(fd);
    }
    return nbytes > 0 ? wh_hash(hash, boot_id, (size_t)nbytes)
                      : wh_hash(hash, wh_host_name(), strlen(wh_host_name()));
}

uint64_t wh_shmem_host_key(void)
{
    uint64_t hash = wh_shmem_machine_key();
    struct stat info;
    if (stat("/proc/self/ns/net", &info) == 0) {
        hash = wh_hash(hash, &info.st_dev, sizeof(info.st_dev));
        hash = wh_hash(hash, &info.st_ino, sizeof(info.st_ino));
    }
    return hash;
}
