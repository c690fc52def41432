/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes out of messages and into them.
 *
 * Out: whichever connection has room takes the next fragment of the oldest message that is not cut
 * up yet. In: a head says which message a fragment belongs to; the bytes behind it go straight to
 * where the message is wanted. Where the next message is foreseen (is_armed), its head and its data
 * come with one system call.
 *
 * Sealed connections send records instead: the first part of the head in the clear, then the rest
 * of the head and the data encrypted, then the tag.
 */
#include "base/bits.h"
#include "base/log.h"
#include "tcp.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum {
    FRAGMENT_NBYTES_MIN = 64 << 10, /* where several connections share a message */
    SEALED_MORE_NBYTES = WH_SLOT_HEAD_NBYTES + WH_SEAL_TAG_NBYTES,
};

uint8_t *tcp_message_slot(struct tcp_wire *wire, struct tcp_message *message)
{
    if (message->slot != NULL) {
        return message->slot;
    }
    size_t nbytes = wh_align_up(wire->env->slot_nbytes, WH_LINE_NBYTES);
    if (wire->is_zerocopy) {
        /* Pages of its own: what the kernel still sends from stays as it is when this is freed. */
        void *pages =
            mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        message->slot = pages != MAP_FAILED ? pages : NULL;
    } else {
        message->slot = aligned_alloc(WH_LINE_NBYTES, nbytes);
    }
    wire->memory_nbytes += message->slot != NULL ? nbytes : 0;
    return message->slot;
}

void tcp_message_slot_free(const struct tcp_wire *wire, struct tcp_message *message)
{
    if (wire->is_zerocopy && message->slot != NULL) {
        munmap(message->slot, wh_align_up(wire->env->slot_nbytes, WH_LINE_NBYTES));
    } else {
        free(message->slot);
    }
    message->slot = NULL;
}

/* The record buffer of a direction of a sealed connection. */
static uint8_t *record_of(struct tcp_wire *wire, uint8_t **record)
{
    if (*record == NULL) {
        size_t nbytes = TCP_PREFIX_NBYTES + SEALED_MORE_NBYTES + wire->env->slot_nbytes;
        *record = malloc(nbytes);
        wire->memory_nbytes += *record != NULL ? nbytes : 0;
    }
    return *record;
}

/* ---- out ------------------------------------------------------------------------------------ */

static bool is_busy(const struct tcp_out *out)
{
    return out->done_nbytes < out->head_nbytes + out->data_nbytes;
}

/* A fragment of the message needs the message's memory no more. */
static void fragment_left(struct tcp_link *link, struct tcp_message *message)
{
    const uint32_t nslots = link->pair->wire->env->nslots;

    message->nout--;
    message->is_done = message->nout == 0 && message->is_begun;
    while (link->begin < link->cut && link->messages[link->begin % nslots].is_done) {
        link->begin++;
    }
}

/* The kernel has taken all of a fragment. */
static void fragment_went(struct tcp_conn *conn)
{
    const struct tcp_wire *wire = conn->pair->wire;
    const uint32_t ticket = tcp_zerocopy_ticket(&conn->zerocopy);
    struct tcp_message *message = conn->out.message;
    conn->out.message = NULL;
    if (tcp_zerocopy_is_done(&conn->zerocopy, ticket)) {
        fragment_left(&conn->pair->send, message);
        return;
    }
    /* A message has at most nconns fragments. */
    const uint32_t capacity = wire->env->nslots * wire->nconns;
    assert(conn->nflights < capacity);
    conn->flights[(conn->first_flight + conn->nflights) % capacity] =
        (struct tcp_flight){message, ticket};
    conn->nflights++;
}

bool tcp_pump_land(struct tcp_conn *conn)
{
    bool has_heard = tcp_zerocopy_reap(&conn->zerocopy, conn->fd);
    while (conn->nflights > 0) {
        const struct tcp_flight *flight = &conn->flights[conn->first_flight];
        if (!tcp_zerocopy_is_done(&conn->zerocopy, flight->ticket)) {
            break;
        }
        fragment_left(&conn->pair->send, flight->message);
        conn->nflights--;
        conn->first_flight =
            (conn->first_flight + 1) % (conn->pair->wire->env->nslots * conn->pair->wire->nconns);
    }
    return has_heard;
}

void tcp_pump_give_up(struct tcp_pair *pair)
{
    pair->sends_no_more = true;
    for (uint32_t i = 0; i < pair->wire->nconns; i++) {
        struct tcp_conn *conn = &pair->conns[i];
        if (conn->fd >= 0 && tcp_zerocopy_nflying(&conn->zerocopy) > 0) {
            tcp_conn_end(conn, ECONNABORTED);
            tcp_zerocopy_abort(&conn->zerocopy, conn->fd);
        }
    }
}

static whorl_result_t seal_fragment(struct tcp_conn *conn, size_t nbytes)
{
    struct tcp_out *out = &conn->out;
    struct tcp_wire *wire = conn->pair->wire;
    if (record_of(wire, &out->record) == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "tcp: no memory for a record");
    }
    const struct wh_bytes parts[] = {{out->head + TCP_PREFIX_NBYTES, WH_SLOT_HEAD_NBYTES},
                                     {out->data, nbytes}};
    uint8_t *body = out->record + TCP_PREFIX_NBYTES;
    memcpy(out->record, out->head, TCP_PREFIX_NBYTES);
    whorl_result_t rc = wh_seal(conn->seal, (struct wh_bytes){out->head, TCP_PREFIX_NBYTES}, parts,
                                2, body, body + WH_SLOT_HEAD_NBYTES + nbytes);
    out->head_nbytes = 0;
    out->data = out->record;
    out->data_nbytes = TCP_PREFIX_NBYTES + SEALED_MORE_NBYTES + nbytes;
    fragment_left(&conn->pair->send, out->message);
    out->message = NULL;
    return rc;
}

/* Bytes of each fragment of a message but the last: the same on both ends. */
static size_t fragment_size(const struct tcp_wire *wire, size_t message_nbytes)
{
    if (wire->nconns == 1) {
        return message_nbytes;
    }
    return wh_max_size(wh_align_up(wh_div_up(message_nbytes, wire->nconns), WH_LINE_NBYTES),
                       FRAGMENT_NBYTES_MIN);
}

/* Gives the next fragment to an idle connection. */
static whorl_result_t cut(struct tcp_conn *conn)
{
    struct tcp_pair *pair = conn->pair;
    struct tcp_link *link = &pair->send;
    struct tcp_message *message = &link->messages[link->cut % pair->wire->env->nslots];
    size_t offset = message->moved_nbytes;
    size_t nbytes =
        wh_min_size(fragment_size(pair->wire, message->nbytes), message->nbytes - offset);
    const struct tcp_head head = {
        .seq = (uint32_t)link->cut,
        .offset = (uint32_t)offset,
        .nbytes = (uint32_t)nbytes,
        .total_nbytes = (uint32_t)message->nbytes,
    };
    struct tcp_out *out = &conn->out;
    tcp_head_encode(&head, out->head);
    memcpy(out->head + TCP_PREFIX_NBYTES, message->head, WH_SLOT_HEAD_NBYTES);
    out->message = message;
    out->data = message->data + offset;
    out->head_nbytes = TCP_HEAD_NBYTES;
    out->data_nbytes = nbytes;
    out->done_nbytes = 0;
    message->nout++;
    message->moved_nbytes += nbytes;
    if (message->moved_nbytes == message->nbytes) {
        message->is_begun = true;
        link->cut++;
    }
    if (conn->seal != NULL) {
        return seal_fragment(conn, nbytes);
    }
    if (nbytes > 0 && nbytes <= TCP_INLINE_NBYTES) {
        memcpy(out->head + TCP_HEAD_NBYTES, out->data, nbytes);
        out->head_nbytes += nbytes;
        out->data_nbytes = 0;
    }
    return WHORL_OK;
}

/* Hands bytes to the kernel: how many it took, 0 if it has no room, -errno. */
static ssize_t write_some(struct tcp_conn *conn)
{
    struct tcp_out *out = &conn->out;
    struct iovec parts[2];
    struct msghdr msg = {.msg_iov = parts};
    size_t head_left =
        out->done_nbytes < out->head_nbytes ? out->head_nbytes - out->done_nbytes : 0;
    size_t data_left = out->head_nbytes + out->data_nbytes - out->done_nbytes - head_left;
    /* The head's memory is used again before the kernel is done with it: it goes by itself. */
    bool is_zerocopy = tcp_zerocopy_is_for(&conn->zerocopy, data_left);
    if (head_left > 0) {
        parts[msg.msg_iovlen++] = (struct iovec){out->head + out->done_nbytes, head_left};
    }
    if (data_left > 0 && (head_left == 0 || !is_zerocopy)) {
        parts[msg.msg_iovlen++] = (struct iovec){
            (void *)(uintptr_t)(out->data + out->data_nbytes - data_left), data_left};
    }
    ssize_t n;
    do {
        if (is_zerocopy && head_left == 0) {
            n = tcp_zerocopy_send(&conn->zerocopy, conn->fd, &msg, data_left);
        } else if (msg.msg_iovlen == 1) {
            n = send(conn->fd, parts[0].iov_base, parts[0].iov_len,
                     MSG_NOSIGNAL | MSG_DONTWAIT | (is_zerocopy ? MSG_MORE : 0));
        } else {
            n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
    }
    out->done_nbytes += (size_t)n;
    conn->pair->wire->sent_nbytes += (uint64_t)n;
    return n;
}

static void set_blocked(struct tcp_conn *conn, bool is_blocked)
{
    if (conn->is_blocked != is_blocked) {
        conn->is_blocked = is_blocked;
        conn->pair->wire->nblocked += is_blocked ? 1 : UINT32_MAX; /* minus 1 */
    }
}

/* Has the connection something to send? Small messages take the first one only, so that one system
 * call receives them. */
static bool has_work(const struct tcp_conn *conn)
{
    const struct tcp_pair *pair = conn->pair;
    const struct tcp_link *link = &pair->send;
    if (conn->state != TCP_UP || pair->sends_no_more || conn->is_blocked) {
        return false;
    }
    if (is_busy(&conn->out)) {
        return true;
    }
    return link->cut < link->end &&
           (conn->index == 0 ||
            link->messages[link->cut % pair->wire->env->nslots].nbytes > FRAGMENT_NBYTES_MIN);
}

/* Sends what is left of the connection's fragment, or the next one, as far as there is room. */
static whorl_result_t feed(struct tcp_conn *conn)
{
    whorl_result_t rc = is_busy(&conn->out) ? WHORL_OK : cut(conn);
    if (rc != WHORL_OK) {
        return rc;
    }
    ssize_t n = write_some(conn);
    if (n < 0) {
        tcp_conn_end(conn, (int)-n);
    }
    set_blocked(conn, n == 0);
    if (n > 0 && !is_busy(&conn->out) && conn->out.message != NULL) {
        fragment_went(conn);
    }
    return WHORL_OK;
}

whorl_result_t tcp_pump_out(struct tcp_pair *pair)
{
    for (uint32_t i = 0; i < pair->wire->nconns; i++) {
        tcp_pump_land(&pair->conns[i]);
        set_blocked(&pair->conns[i], false);
    }
    /* In turns, so that all networks carry something while none is full. */
    bool has_moved = true;
    while (has_moved) {
        has_moved = false;
        for (uint32_t i = 0; i < pair->wire->nconns; i++) {
            if (has_work(&pair->conns[i])) {
                whorl_result_t rc = feed(&pair->conns[i]);
                if (rc != WHORL_OK) {
                    return rc;
                }
                has_moved = true;
            }
        }
    }
    return WHORL_OK;
}

/* ---- in ------------------------------------------------------------------------------------- */

/* Bytes of a head that come before anything can be told. */
static size_t head_size(const struct tcp_conn *conn)
{
    return conn->unseal != NULL ? TCP_PREFIX_NBYTES : TCP_HEAD_NBYTES;
}

/* Reads what is there: how many bytes, 0 for none, -errno; -EPIPE at the end. */
static ssize_t read_some(struct tcp_conn *conn, struct iovec *parts, size_t nparts)
{
    struct tcp_in *in = &conn->in;
    if (in->spill != NULL) {
        size_t n = wh_min_size(parts[0].iov_len, in->spill_end - in->spill_begin);
        memcpy(parts[0].iov_base, in->spill + in->spill_begin, n);
        in->spill_begin += n;
        if (in->spill_begin == in->spill_end) {
            free(in->spill);
            in->spill = NULL;
        }
        return (ssize_t)n;
    }
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = nparts};
    ssize_t n;
    do {
        n = nparts == 1 ? recv(conn->fd, parts[0].iov_base, parts[0].iov_len, MSG_DONTWAIT)
                        : recvmsg(conn->fd, &msg, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
    }
    return n == 0 ? -EPIPE : n;
}

/* The peer sent what no peer sends; on a sealed connection, where nobody has proved yet who sent
 * it, somebody in between did. */
static void broken(struct tcp_conn *conn)
{
    tcp_conn_end(conn, conn->unseal != NULL ? EBADMSG : EPROTO);
    conn->is_broken = true;
}

/* Where the data of the next message is expected to go, and how many bytes, if the next bytes of
 * this connection are foreseen; else NULL. */
static uint8_t *foresee(struct tcp_conn *conn, size_t *nbytes_out)
{
    struct tcp_wire *wire = conn->pair->wire;
    const struct tcp_link *link = &conn->pair->recv;
    bool is_here =
        wire->nconns == 1 || (conn->index == 0 && link->armed_nbytes <= FRAGMENT_NBYTES_MIN);
    if (!link->is_armed || !is_here || link->end != link->begin || conn->in.head_nbytes > 0 ||
        conn->in.spill != NULL) {
        return NULL;
    }
    *nbytes_out = link->armed_nbytes + (conn->unseal != NULL ? SEALED_MORE_NBYTES : 0);
    if (conn->unseal != NULL) {
        return record_of(wire, &conn->in.record);
    }
    return link->armed != NULL
               ? link->armed
               : tcp_message_slot(wire, &link->messages[link->begin % wire->env->nslots]);
}

/* Keeps bytes that were read too early. */
static whorl_result_t spill(struct tcp_conn *conn, const uint8_t *bytes, size_t nbytes)
{
    struct tcp_in *in = &conn->in;
    if (nbytes == 0) {
        return WHORL_OK;
    }
    in->spill = malloc(nbytes);
    if (in->spill == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "tcp: no memory for %zu bytes", nbytes);
    }
    memcpy(in->spill, bytes, nbytes);
    in->spill_begin = 0;
    in->spill_end = nbytes;
    return WHORL_OK;
}

/* A message's first fragment: where is the message to go? */
static bool begin_message(struct tcp_pair *pair, struct tcp_message *message,
                          const struct tcp_head *head, bool is_next)
{
    struct tcp_link *link = &pair->recv;
    bool is_wanted = is_next && link->is_armed && link->armed != NULL &&
                     link->armed_nbytes == head->total_nbytes;
    message->data = is_wanted ? link->armed : tcp_message_slot(pair->wire, message);
    message->nbytes = head->total_nbytes;
    message->moved_nbytes = 0;
    message->came = 0;
    message->is_begun = true;
    message->is_done = false;
    link->end++;
    return message->data != NULL;
}

/* Is it one of the fragments that a sender cuts such a message into? Which: *bit_out. */
static bool is_fragment(const struct tcp_wire *wire, const struct tcp_head *head, uint32_t *bit_out)
{
    size_t size = fragment_size(wire, head->total_nbytes);
    size_t index = size > 0 ? head->offset / size : 0;
    *bit_out = 1u << index;
    return head->offset == index * size &&
           head->nbytes == wh_min_size(size, head->total_nbytes - head->offset);
}

/* A head is here: finds its message. WHORL_IN_PROGRESS: there is no room for it yet. */
static whorl_result_t begin_fragment(struct tcp_conn *conn)
{
    struct tcp_pair *pair = conn->pair;
    struct tcp_link *link = &pair->recv;
    struct tcp_in *in = &conn->in;
    const struct wh_wire_env *env = pair->wire->env;
    struct tcp_head head;
    uint32_t bit;
    if (!tcp_head_decode(in->head, env->slot_nbytes, &head) ||
        !is_fragment(pair->wire, &head, &bit)) {
        broken(conn);
        return WHORL_OK;
    }
    if (link->pair == NULL) {
        return WHORL_IN_PROGRESS;
    }
    uint32_t ahead = head.seq - (uint32_t)link->begin;
    /* One connection brings messages in order; one of several may be far ahead of the others. */
    bool is_next = head.seq == (uint32_t)link->end;
    if (ahead > INT32_MAX || (pair->wire->nconns == 1 && !is_next)) {
        broken(conn);
        return WHORL_OK;
    }
    if (ahead >= env->nslots) {
        return WHORL_IN_PROGRESS;
    }
    struct tcp_message *message = &link->messages[(link->begin + ahead) % env->nslots];
    if (!message->is_begun && !begin_message(pair, message, &head, ahead == 0)) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "tcp: no memory for a message");
    }
    if (message->nbytes != head.total_nbytes || (message->came & bit) != 0) {
        broken(conn);
        return WHORL_OK;
    }
    message->came |= bit;
    in->message = message;
    in->offset = head.offset;
    in->done_nbytes = 0;
    if (conn->unseal == NULL) {
        memcpy(message->head, in->head + TCP_PREFIX_NBYTES, WH_SLOT_HEAD_NBYTES);
        in->data = message->data + head.offset;
        in->data_nbytes = head.nbytes;
        return WHORL_OK;
    }
    in->data = record_of(pair->wire, &in->record);
    in->data_nbytes = head.nbytes + SEALED_MORE_NBYTES;
    return in->data != NULL ? WHORL_OK
                            : wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "tcp: no memory for a record");
}

/* A whole fragment is here. */
static whorl_result_t end_fragment(struct tcp_conn *conn)
{
    struct tcp_in *in = &conn->in;
    struct tcp_message *message = in->message;
    size_t nbytes = in->data_nbytes;
    if (conn->unseal != NULL) {
        nbytes -= SEALED_MORE_NBYTES;
        const struct wh_room rooms[] = {{message->head, WH_SLOT_HEAD_NBYTES},
                                        {message->data + in->offset, nbytes}};
        const struct wh_bytes sealed = {in->record, WH_SLOT_HEAD_NBYTES + nbytes};
        whorl_result_t rc = wh_unseal(conn->unseal, (struct wh_bytes){in->head, TCP_PREFIX_NBYTES},
                                      sealed, rooms, 2, in->record + sealed.nbytes);
        if (rc != WHORL_OK) {
            tcp_conn_end(conn, EBADMSG);
            conn->is_broken = true;
            return rc == WHORL_E_TRUST ? WHORL_OK : rc;
        }
    }
    message->moved_nbytes += nbytes;
    message->is_done = message->moved_nbytes == message->nbytes;
    in->message = NULL;
    in->head_nbytes = 0;
    return WHORL_OK;
}

/* Reads a head, and what is behind it if that is foreseen. *is_more_out: something came. */
static whorl_result_t read_head(struct tcp_conn *conn, bool *is_more_out)
{
    struct tcp_in *in = &conn->in;
    size_t size = head_size(conn), foreseen_nbytes = 0;
    uint8_t *foreseen = foresee(conn, &foreseen_nbytes);
    struct iovec parts[2] = {{in->head + in->head_nbytes, size - in->head_nbytes},
                             {foreseen, foreseen_nbytes}};
    bool is_inline = foreseen != NULL && foreseen_nbytes <= TCP_INLINE_NBYTES;
    parts[0].iov_len += is_inline ? foreseen_nbytes : 0;
    ssize_t n = read_some(conn, parts, foreseen != NULL && !is_inline ? 2 : 1);
    if (n <= 0) {
        if (n < 0) {
            tcp_conn_end(conn, n == -EPIPE ? 0 : (int)-n);
        }
        *is_more_out = false;
        return WHORL_OK;
    }
    size_t of_head = wh_min_size((size_t)n, size - in->head_nbytes);
    size_t early = (size_t)n - of_head;
    in->head_nbytes += of_head;
    if (in->head_nbytes < size) {
        return WHORL_OK;
    }
    if (is_inline && early > 0) {
        memcpy(foreseen, in->head + size, early);
    }
    whorl_result_t rc = begin_fragment(conn);
    if (rc == WHORL_OK && in->message != NULL && in->data == foreseen && early <= in->data_nbytes) {
        in->done_nbytes = early;
        return WHORL_OK;
    }
    if (rc == WHORL_OK || rc == WHORL_IN_PROGRESS) {
        whorl_result_t spilled = spill(conn, foreseen, early);
        rc = spilled != WHORL_OK ? spilled : rc;
    }
    *is_more_out = rc == WHORL_OK;
    return rc == WHORL_IN_PROGRESS ? WHORL_OK : rc;
}

static whorl_result_t read_data(struct tcp_conn *conn, bool *is_more_out)
{
    struct tcp_in *in = &conn->in;
    struct iovec part = {in->data + in->done_nbytes, in->data_nbytes - in->done_nbytes};
    ssize_t n = read_some(conn, &part, 1);
    if (n < 0) {
        tcp_conn_end(conn, n == -EPIPE ? 0 : (int)-n);
    } else {
        in->done_nbytes += (size_t)n;
    }
    *is_more_out = n > 0;
    return WHORL_OK;
}

bool tcp_conn_is_stalled(const struct tcp_conn *conn)
{
    return conn->in.message == NULL && conn->in.head_nbytes == head_size(conn);
}

whorl_result_t tcp_pump_in(struct tcp_conn *conn)
{
    struct tcp_in *in = &conn->in;
    whorl_result_t rc = WHORL_OK;
    bool is_more = true;
    while (is_more && conn->state == TCP_UP && rc == WHORL_OK && !conn->pair->receives_no_more) {
        if (in->message == NULL && in->head_nbytes < head_size(conn)) {
            rc = read_head(conn, &is_more);
        } else if (in->message == NULL) {
            rc = begin_fragment(conn);
            if (rc == WHORL_IN_PROGRESS) {
                return WHORL_OK;
            }
        } else if (in->done_nbytes < in->data_nbytes) {
            rc = read_data(conn, &is_more);
        }
        if (rc == WHORL_OK && in->message != NULL && in->done_nbytes == in->data_nbytes) {
            /* One at a time: where the next one is to go may become known meanwhile. */
            return end_fragment(conn);
        }
    }
    return rc;
}
