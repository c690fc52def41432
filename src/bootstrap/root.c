/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread, one poll over everybody who is connected.
 *
 * Who connects is a guest. A guest first proves itself, then says which rank it is and gets a seat;
 * until then it is a stranger, of whom there are at most STRANGERS_MAX, each for STRANGER_MS. A
 * stranger who does anything else is dropped with one line in the log.
 *
 * When all seats are taken everyone is welcomed and the root ends. When that cannot happen any more
 * everyone is refused with the reason, and so are ranks that come a little later (LINGER_MS), so
 * that they need not find out by a timeout.
 *
 * In a job of more than WH_ROOT_HELD_MAX ranks nobody is kept waiting on a connection: a guest is
 * told at once which of its two neighbours are seated already, and goes. Of two neighbours the one
 * that comes later is told of the other and connects to it, so the ranks close to a ring by
 * themselves, over which each finds its other peers (mesh.c). Such a rank that waits in vain asks
 * again, and is told who is missing.
 *
 * inv. 1  Guests of the root's own process are answered last: what a process does after its join,
 *         like ending or listening on the same port again, comes after the root has answered all
 *         others.
 */
#include "bootstrap/root.h"

#include "base/bits.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/thread.h"
#include "bootstrap/self.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STRANGERS_MAX = WH_ROOT_HELD_MAX + 64, /* the ranks of a small job are no crowd */
    STRANGER_MS = 10 * 1000,
    CROWDED_MS = 1000, /* the same while there is no room for another stranger */
    LINGER_MS = 15 * 1000,
    FLUSH_MS = 5 * 1000,
    PAUSE_MS = 100, /* before accepting again when there are no descriptors */
    POLL_MS_MAX = 60 * 1000,
};

struct guest {
    struct wh_conn conn;
    uint64_t deadline_ns; /* of a stranger, or of one who has been answered */
    bool seated;
    bool answered; /* closed when all has been sent */
    struct wh_member member;
};

struct root {
    struct wh_trust trust;
    int listener;
    uint64_t accept_at_ns; /* not before */

    struct guest **guests;
    struct pollfd *pfds; /* [0] the listener, [i + 1] guests[i] */
    uint32_t nguests, capacity;
    uint32_t nstrangers;

    uint32_t nranks; /* 0 until the first has come */
    uint32_t nseated;
    struct wh_member **seats; /* by rank */
    uint64_t deadline_ns;

    bool welcomed;
    bool refusing;
    uint32_t nrefused;
    struct wh_boot_failure failure; /* why, when refusing */
};

/* ---- guests --------------------------------------------------------------------------------- */

static bool guest_is_stranger(const struct guest *guest)
{
    return !guest->seated && !guest->answered;
}

static whorl_result_t guests_add(struct root *root, int fd, const struct wh_addr *peer)
{
    if (root->nguests == root->capacity) {
        uint32_t capacity = 2 * root->capacity + 16;
        void *guests = realloc(root->guests, capacity * sizeof(*root->guests));
        root->guests = guests != NULL ? guests : root->guests;
        void *pfds = realloc(root->pfds, (capacity + 1) * sizeof(*root->pfds));
        root->pfds = pfds != NULL ? pfds : root->pfds;
        if (guests == NULL || pfds == NULL) {
            close(fd);
            return WHORL_E_NOMEM;
        }
        root->capacity = capacity;
    }

    struct guest *guest = calloc(1, sizeof(*guest));
    if (guest == NULL) {
        close(fd);
        return WHORL_E_NOMEM;
    }
    whorl_result_t rc = wh_conn_answer(&guest->conn, fd, peer, WH_PURPOSE_JOIN, &root->trust);
    if (rc != WHORL_OK) {
        wh_conn_close(&guest->conn);
        free(guest);
        return rc;
    }
    guest->deadline_ns = wh_deadline_after_ms(STRANGER_MS);
    root->guests[root->nguests++] = guest;
    root->nstrangers++;
    return WHORL_OK;
}

/* Closes guests[i]; another takes its place. */
static void guests_remove(struct root *root, uint32_t i)
{
    struct guest *guest = root->guests[i];
    root->nstrangers -= guest_is_stranger(guest);
    wh_conn_close(&guest->conn);
    free(guest);
    root->guests[i] = root->guests[--root->nguests];
}

static void guest_drop(struct root *root, uint32_t i, const char *why)
{
    char addr[WH_ADDR_TEXT_NBYTES];
    wh_log(WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP, "the root dropped %s: %s",
           wh_addr_print(&root->guests[i]->conn.peer, addr), why);
    guests_remove(root, i);
}

/* The last message to a guest. */
static void guest_answer(struct root *root, struct guest *guest, const struct wh_frame *frame)
{
    root->nstrangers -= guest_is_stranger(guest);
    guest->answered = true;
    guest->deadline_ns = wh_deadline_after_ms(FLUSH_MS);
    wh_crypto_leave(); /* the process may end as soon as its ranks have been told */
    if (wh_conn_post(&guest->conn, frame) != WHORL_OK) {
        guest->conn.ended = true;
    }
}

static void guest_refuse(struct root *root, struct guest *guest,
                         const struct wh_boot_failure *failure)
{
    uint8_t payload[WH_FAILURE_NBYTES_MAX];
    const struct wh_frame frame = {
        .type = WH_FRAME_REFUSE,
        .payload = payload,
        .payload_nbytes = (uint32_t)wh_failure_encode(failure, payload),
    };
    guest_answer(root, guest, &frame);
}

/* ---- answers to all ------------------------------------------------------------------------- */

static bool guest_is_own(const struct guest *guest)
{
    return guest->member.pid == (uint32_t)getpid() &&
           strcmp(guest->member.host, wh_host_name()) == 0;
}

/* Calls answer for all who have a seat, those of this process last (inv. 1). */
static void answer_all(struct root *root, void (*answer)(struct root *root, struct guest *guest))
{
    for (int own = 0; own <= 1; own++) {
        for (uint32_t i = 0; i < root->nguests; i++) {
            struct guest *guest = root->guests[i];
            if (guest->seated && !guest->answered && guest_is_own(guest) == (own == 1)) {
                answer(root, guest);
            }
        }
    }
}

static void welcome(struct root *root, struct guest *guest)
{
    uint8_t payload[WH_ROUNDS_MAX * WH_MEMBER_NBYTES];
    uint32_t nrounds = wh_log2_ceil(root->nranks);
    for (uint32_t k = 0; k < nrounds; k++) {
        uint32_t peer = (guest->member.rank + (1u << k)) % root->nranks;
        wh_member_encode(root->seats[peer], payload + k * WH_MEMBER_NBYTES);
    }
    const struct wh_frame frame = {
        .type = WH_FRAME_WELCOME,
        .payload = payload,
        .payload_nbytes = nrounds * WH_MEMBER_NBYTES,
    };
    guest_answer(root, guest, &frame);
}

/* All have come. First of all, so that the port is free for the next job (inv. 1). */
static void close_door(struct root *root)
{
    close(root->listener);
    root->listener = -1;
    root->welcomed = true;
    wh_log(WH_LOG_INFO, WH_SUBSYS_BOOTSTRAP, "all %u ranks have joined", root->nranks);
}

static bool root_is_large(const struct root *root)
{
    return root->nranks > WH_ROOT_HELD_MAX;
}

static void refuse(struct root *root, struct guest *guest)
{
    guest_refuse(root, guest, &root->failure);
    root->nrefused++;
}

static void refuse_all(struct root *root, const struct wh_boot_failure *failure)
{
    wh_log(WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP, "the ranks cannot join: %s", failure->text);
    root->refusing = true;
    root->failure = *failure;
    answer_all(root, refuse);
    uint64_t linger_ns = wh_deadline_after_ms(LINGER_MS);
    bool sooner = linger_ns < root->deadline_ns;
    root->deadline_ns = sooner || root_is_large(root) ? linger_ns : root->deadline_ns;
}

static bool seat_is_empty(const void *ctx, uint32_t rank)
{
    const struct root *root = ctx;
    return root->seats[rank] == NULL;
}

static void refuse_for_missing(struct root *root)
{
    struct wh_boot_failure failure = {.rc = WHORL_E_TIMEOUT};
    int nchars = snprintf(failure.text, sizeof(failure.text),
                          "%u of %u ranks joined; missing: ", root->nseated, root->nranks);
    wh_ranks_print(root->nranks, seat_is_empty, root, failure.text + nchars,
                   sizeof(failure.text) - (size_t)nchars);
    refuse_all(root, &failure);
}

/* ---- seats ---------------------------------------------------------------------------------- */

/* The first to come says how many ranks there are. False: no memory. */
static bool seats_open(struct root *root, uint32_t nranks)
{
    root->seats = calloc(nranks, sizeof(struct wh_member *));
    if (root->seats == NULL) {
        return false;
    }
    root->nranks = nranks;
    root->deadline_ns = WH_NEVER;
    return true;
}

/* Fills *failure and returns false if guest cannot have its seat. */
static bool seat_check(const struct root *root, const struct wh_member *member,
                       struct wh_boot_failure *failure)
{
    char who[WH_HOST_NBYTES + 32];
    snprintf(who, sizeof(who), "pid %u on host %s", member->pid, member->host);
    failure->rc = WHORL_E_MISMATCH;
    if (member->nranks != root->nranks) {
        snprintf(failure->text, sizeof(failure->text),
                 "rank %u says %u ranks, the others say %u (rank %u is %s)", member->rank,
                 member->nranks, root->nranks, member->rank, who);
        return false;
    }
    const struct wh_member *other = root->seats[member->rank];
    bool again = other != NULL && root_is_large(root) && other->pid == member->pid &&
                 other->port == member->port && strcmp(other->host, member->host) == 0;
    if (other != NULL && !again) {
        snprintf(failure->text, sizeof(failure->text),
                 "rank %u joined twice: pid %u on host %s and %s", member->rank, other->pid,
                 other->host, who);
        return false;
    }
    return true;
}

/* Remembers who has come. False: no memory. */
static bool seat_take(struct root *root, const struct wh_member *member)
{
    if (root->seats[member->rank] == NULL) {
        struct wh_member *seat = malloc(sizeof(*seat));
        if (seat == NULL) {
            return false;
        }
        *seat = *member;
        root->seats[member->rank] = seat;
        root->nseated++;
    }
    return true;
}

/* Tells a guest of a large job which neighbours it has, and lets it go. */
static void tell_neighbours(struct root *root, struct guest *guest)
{
    const uint32_t rank = guest->member.rank;
    const struct wh_member *right = root->seats[(rank + 1) % root->nranks];
    const struct wh_member *left = root->seats[(rank + root->nranks - 1) % root->nranks];
    uint8_t payload[2 * WH_MEMBER_NBYTES];
    struct wh_frame frame = {.type = WH_FRAME_SEATED, .payload = payload};
    if (right != NULL) {
        frame.round |= WH_SEATED_RIGHT;
        wh_member_encode(right, payload);
        frame.payload_nbytes += WH_MEMBER_NBYTES;
    }
    if (left != NULL) {
        frame.round |= WH_SEATED_LEFT;
        wh_member_encode(left, payload + frame.payload_nbytes);
        frame.payload_nbytes += WH_MEMBER_NBYTES;
    }
    guest_answer(root, guest, &frame);
}

/* A guest fits: it gets its seat, and perhaps it was the last. False: no memory. */
static bool guest_seat(struct root *root, struct guest *guest)
{
    if (!seat_take(root, &guest->member)) {
        return false;
    }
    if (root->nseated == root->nranks) {
        close_door(root);
    }
    if (root_is_large(root)) {
        tell_neighbours(root, guest);
        return true;
    }
    root->nstrangers--;
    guest->seated = true;
    if (root->welcomed) {
        answer_all(root, welcome);
    }
    return true;
}

static const struct wh_boot_failure no_memory = {WHORL_E_NOMEM, "the root has no memory"};

/* A guest has proved itself and says who it is. False: not in a way that can be understood. */
static bool guest_sit(struct root *root, struct guest *guest, const struct wh_frame *frame)
{
    struct wh_member *member = &guest->member;
    if (frame->type != WH_FRAME_JOIN ||
        !wh_member_decode(frame->payload, frame->payload_nbytes, member)) {
        return false;
    }

    struct wh_boot_failure failure = {.rc = WHORL_E_ARG};
    if (member->rank >= member->nranks) {
        snprintf(failure.text, sizeof(failure.text), "there is no rank %u of %u ranks",
                 member->rank, member->nranks);
        guest_refuse(root, guest, &failure);
        return true;
    }
    if (root->refusing) {
        refuse(root, guest);
        return true;
    }
    if (root->nranks == 0 && !seats_open(root, member->nranks)) {
        guest_refuse(root, guest, &no_memory);
        return true;
    }

    uint64_t deadline_ns = wh_deadline_after_ms(member->timeout_ms);
    root->deadline_ns = deadline_ns < root->deadline_ns ? deadline_ns : root->deadline_ns;
    if (!seat_check(root, member, &failure)) {
        root->nstrangers--;
        guest->seated = true;
        refuse_all(root, &failure);
    } else if (!guest_seat(root, guest)) {
        guest_refuse(root, guest, &no_memory);
    }
    return true;
}

/* ---- the loop ------------------------------------------------------------------------------- */

/* A guest with a seat is gone before all have come: the job cannot begin any more. */
static void guest_lost(struct root *root, uint32_t i)
{
    struct guest *guest = root->guests[i];
    struct wh_boot_failure failure = {.rc = WHORL_E_PEER};
    snprintf(failure.text, sizeof(failure.text),
             "rank %u (host %s, pid %u) died or gave up while the ranks were joining",
             guest->member.rank, guest->member.host, guest->member.pid);
    free(root->seats[guest->member.rank]);
    root->seats[guest->member.rank] = NULL;
    root->nseated--;
    guests_remove(root, i);
    refuse_all(root, &failure);
}

/* A rank of this job that encrypts while the root does not, or the other way round: those who wait
 * for it wait in vain. Which one it is it has not said. */
static void guest_misfits(struct root *root, uint32_t i)
{
    struct wh_boot_failure failure = {.rc = WHORL_E_CONFIG};
    char addr[WH_ADDR_TEXT_NBYTES];
    snprintf(failure.text, sizeof(failure.text),
             "WHORL_ENCRYPT=%d at the root, but not on the rank that called from %s: set it on all "
             "ranks, or on none",
             root->trust.encrypts, wh_addr_print(&root->guests[i]->conn.peer, addr));
    guest_drop(root, i, "not all ranks encrypt");
    if (root->nranks > 0 && !root->welcomed && !root->refusing) {
        refuse_all(root, &failure);
    }
}

/* Returns false if guests[i] was removed. */
static bool guest_advance(struct root *root, uint32_t i)
{
    struct guest *guest = root->guests[i];
    whorl_result_t rc = wh_conn_advance(&guest->conn);
    if (rc == WHORL_E_CONFIG) {
        guest_misfits(root, i);
    } else if (rc != WHORL_OK) {
        guest_drop(root, i, wh_conn_why(&guest->conn, rc));
    }
    if (rc != WHORL_OK) {
        return false;
    }

    struct wh_frame frame;
    if (guest_is_stranger(guest)) {
        rc = wh_conn_next(&guest->conn, &frame);
        if (rc < 0 || (rc == WHORL_OK && !guest_sit(root, guest, &frame))) {
            guest_drop(root, i, rc == WHORL_E_TRUST ? wh_conn_why(&guest->conn, rc)
                                                    : "its message makes no sense");
            return false;
        }
    }

    if (guest->answered) {
        if (guest->conn.ended || !wh_conn_has_output(&guest->conn)) {
            guests_remove(root, i);
            return false;
        }
    } else if (guest->conn.ended) {
        if (guest->seated) {
            guest_lost(root, i);
        } else {
            guest_drop(root, i, wh_conn_why(&guest->conn, WHORL_E_PEER));
        }
        return false;
    }
    return true;
}

static void accept_guests(struct root *root)
{
    while (root->listener >= 0 && root->nstrangers < STRANGERS_MAX) {
        struct wh_addr peer;
        int fd = wh_sock_accept(root->listener, &peer);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                wh_log(WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP,
                       "the root cannot take another connection: %s; raise the limit of open files "
                       "(ulimit -n)",
                       strerror(errno));
                root->accept_at_ns = wh_deadline_after_ms(PAUSE_MS);
            }
            return;
        }
        if (guests_add(root, fd, &peer) != WHORL_OK) {
            wh_log(WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP, "the root has no memory for a connection");
        }
    }
}

/* Drops who is late and ends what is over. Returns when to look again. */
static uint64_t expire(struct root *root)
{
    uint64_t now_ns = wh_now_ns(), next_ns = WH_NEVER;
    /* Silent strangers must not keep ranks out. */
    uint64_t less_ns =
        root->nstrangers >= STRANGERS_MAX ? (uint64_t)(STRANGER_MS - CROWDED_MS) * 1000000 : 0;
    for (uint32_t i = root->nguests; i-- > 0;) {
        const struct guest *guest = root->guests[i];
        uint64_t due_ns = guest->deadline_ns - (guest_is_stranger(guest) ? less_ns : 0);
        if (guest->answered && (guest->conn.ended || !wh_conn_has_output(&guest->conn))) {
            guests_remove(root, i);
        } else if (guest->answered || !guest->seated) {
            if (due_ns > now_ns) {
                next_ns = due_ns < next_ns ? due_ns : next_ns;
            } else if (guest->answered) {
                guests_remove(root, i);
            } else {
                guest_drop(root, i, "it did not prove in time that it belongs to the job");
            }
        }
    }
    if (root->nranks > 0 && !root->welcomed) {
        if (!root->refusing && root->deadline_ns <= now_ns) {
            refuse_for_missing(root);
        }
        bool ahead = root->deadline_ns > now_ns;
        next_ns = ahead && root->deadline_ns < next_ns ? root->deadline_ns : next_ns;
    }
    return next_ns;
}

static bool root_is_over(const struct root *root)
{
    bool refused =
        root->refusing && (root->nrefused >= root->nranks || wh_now_ns() >= root->deadline_ns);
    if (!root->welcomed && !refused) {
        return false;
    }
    for (uint32_t i = 0; i < root->nguests; i++) {
        if (root->guests[i]->answered) {
            return false;
        }
    }
    return true;
}

static void root_poll(struct root *root, uint64_t due_ns)
{
    bool paused = root->accept_at_ns > wh_now_ns();
    bool room = root->nstrangers < STRANGERS_MAX && !paused;
    due_ns = paused && root->accept_at_ns < due_ns ? root->accept_at_ns : due_ns;
    uint32_t nguests = root->nguests;
    root->pfds[0] = (struct pollfd){.fd = room ? root->listener : -1, .events = POLLIN};
    for (uint32_t i = 0; i < nguests; i++) {
        const struct wh_conn *conn = &root->guests[i]->conn;
        root->pfds[i + 1] = (struct pollfd){.fd = conn->fd, .events = wh_conn_events(conn)};
    }
    if (poll(root->pfds, nguests + 1, wh_ms_until(due_ns, POLL_MS_MAX)) <= 0) {
        return;
    }

    /* From the end: the one that takes the place of a removed guest has had its turn. */
    bool come = root->pfds[0].revents != 0;
    for (uint32_t i = nguests; i-- > 0;) {
        if (root->pfds[i + 1].revents != 0) {
            (void)guest_advance(root, i);
        }
    }
    if (come) {
        accept_guests(root);
    }
}

static void root_destroy(struct root *root)
{
    for (uint32_t i = 0; i < root->nguests; i++) {
        wh_conn_close(&root->guests[i]->conn);
        free(root->guests[i]);
    }
    if (root->listener >= 0) {
        close(root->listener);
    }
    OPENSSL_cleanse(&root->trust, sizeof(root->trust));
    for (uint32_t rank = 0; rank < root->nranks; rank++) {
        free(root->seats[rank]);
    }
    free(root->guests);
    free(root->pfds);
    free(root->seats);
    free(root);
}

static void *root_run(void *arg)
{
    struct root *root = arg;
    for (uint64_t due_ns = expire(root); !root_is_over(root); due_ns = expire(root)) {
        root_poll(root, due_ns);
    }
    root_destroy(root);
    return NULL;
}

whorl_result_t wh_root_start(const struct wh_ticket *ticket, int listener)
{
    struct root *root = calloc(1, sizeof(*root));
    if (root == NULL) {
        close(listener);
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory for the root");
    }

    root->listener = listener;
    root->pfds = calloc(1, sizeof(*root->pfds));
    whorl_result_t rc =
        root->pfds != NULL
            ? wh_self_trust(ticket, &root->trust)
            : wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory for the root");
    errno = rc == WHORL_OK ? wh_thread_start(NULL, root_run, root) : 0;
    if (errno != 0) {
        rc = wh_fail_sys(WH_SUBSYS_BOOTSTRAP, "cannot start the root's thread");
    }
    if (rc != WHORL_OK) {
        root_destroy(root);
    }
    return rc;
}
