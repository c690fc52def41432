/* SPDX-License-Identifier: Apache-2.0 */
/* A control connection without waiting. See conn.h. */
#include "bootstrap/conn.h"

#include "base/bits.h"
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_NBYTES = 4096,           /* asked for at once; more if a frame needs it */
    READ_NBYTES_MAX = 256 * 1024, /* taken in one wh_conn_advance(), so that all get a turn */
    KEEP_NBYTES = 16 * 1024,      /* a larger buffer is given back when it is empty */
};

/* ---- queues --------------------------------------------------------------------------------- */

/* Room for nbytes more at the end. */
static whorl_result_t queue_reserve(struct wh_queue *queue, size_t nbytes)
{
    if (queue->begin > 0 && queue->end + nbytes > queue->capacity) {
        memmove(queue->bytes, queue->bytes + queue->begin, queue->end - queue->begin);
        queue->end -= queue->begin;
        queue->begin = 0;
    }
    if (queue->end + nbytes <= queue->capacity) {
        return WHORL_OK;
    }

    size_t capacity = wh_max_size(2 * queue->capacity, queue->end + nbytes);
    uint8_t *bytes = realloc(queue->bytes, capacity);
    if (bytes == NULL) {
        return WHORL_E_NOMEM;
    }
    queue->bytes = bytes;
    queue->capacity = capacity;
    return WHORL_OK;
}

static whorl_result_t queue_add(struct wh_queue *queue, const void *bytes, size_t nbytes)
{
    whorl_result_t rc = queue_reserve(queue, nbytes);
    if (rc == WHORL_OK && nbytes > 0) {
        memcpy(queue->bytes + queue->end, bytes, nbytes);
        queue->end += nbytes;
    }
    return rc;
}

static size_t queue_nbytes(const struct wh_queue *queue)
{
    return queue->end - queue->begin;
}

static void queue_free(struct wh_queue *queue)
{
    free(queue->bytes);
    memset(queue, 0, sizeof(*queue));
}

static void queue_take(struct wh_queue *queue, size_t nbytes)
{
    assert(nbytes <= queue_nbytes(queue));

    queue->begin += nbytes;
    if (queue->begin < queue->end) {
        return;
    }
    queue->begin = queue->end = 0;
    if (queue->capacity > KEEP_NBYTES) {
        queue_free(queue);
    }
}

/* ---- begin and end -------------------------------------------------------------------------- */

void wh_conn_init(struct wh_conn *conn)
{
    memset(conn, 0, sizeof(*conn));
    conn->fd = -1;
}

/* The beginning of both ends. */
static whorl_result_t take_socket(struct wh_conn *conn, int fd, const struct wh_addr *peer,
                                  uint8_t nonce_out[WH_NONCE_NBYTES])
{
    wh_conn_init(conn);
    conn->fd = fd;
    conn->peer = *peer;
    return wh_random(nonce_out, WH_NONCE_NBYTES);
}

/* Adds a fresh share to a handshake of an end that encrypts. hello_out: NULL for the one who is
 * called. */
static whorl_result_t add_share(struct wh_conn *conn, const struct wh_trust *trust,
                                uint8_t *hello_out)
{
    struct wh_shake_terms terms = {.encrypts = true};
    if (!trust->encrypts) {
        return WHORL_OK;
    }
    whorl_result_t rc = wh_random(terms.private_key, sizeof(terms.private_key));
    if (rc == WHORL_OK) {
        rc = wh_shake_set_terms(&conn->shake, &terms, hello_out);
    }
    explicit_bzero(terms.private_key, sizeof(terms.private_key));
    return rc;
}

whorl_result_t wh_conn_call(struct wh_conn *conn, int fd, const struct wh_addr *peer,
                            enum wh_purpose purpose, const struct wh_trust *trust)
{
    uint8_t nonce[WH_NONCE_NBYTES], hello[WH_HELLO_NBYTES];
    whorl_result_t rc = take_socket(conn, fd, peer, nonce);
    if (rc == WHORL_OK) {
        wh_shake_call(&conn->shake, trust->secret, purpose, nonce, hello);
        rc = add_share(conn, trust, hello);
    }
    return rc == WHORL_OK ? queue_add(&conn->out, hello, sizeof(hello)) : rc;
}

whorl_result_t wh_conn_answer(struct wh_conn *conn, int fd, const struct wh_addr *peer,
                              enum wh_purpose purpose, const struct wh_trust *trust)
{
    uint8_t nonce[WH_NONCE_NBYTES];
    whorl_result_t rc = take_socket(conn, fd, peer, nonce);
    if (rc == WHORL_OK) {
        wh_shake_answer(&conn->shake, trust->secret, purpose, nonce);
        rc = add_share(conn, trust, NULL);
    }
    return rc;
}

void wh_conn_close(struct wh_conn *conn)
{
    if (conn->fd >= 0) {
        /* A child that was forked in between may hold the socket too; end it for all. */
        (void)shutdown(conn->fd, SHUT_RDWR);
        close(conn->fd);
    }
    wh_shake_fini(&conn->shake);
    wh_seal_destroy(conn->seal);
    wh_seal_destroy(conn->unseal);
    queue_free(&conn->in);
    queue_free(&conn->out);
    wh_conn_init(conn);
}

const char *wh_conn_why(const struct wh_conn *conn, whorl_result_t rc)
{
    switch (rc) {
    case WHORL_E_ARG:
        return "what it sent is not this protocol";
    case WHORL_E_UNSUPPORTED:
        return "it speaks another version of the protocol";
    case WHORL_E_TRUST:
        return conn->proved ? "what it sent was changed on the way"
                            : "it does not know this job's secret, or this is another job";
    case WHORL_E_CONFIG:
        return conn->shake.encrypts ? "it does not encrypt (WHORL_ENCRYPT), and this rank does"
                                    : "it encrypts (WHORL_ENCRYPT), and this rank does not";
    case WHORL_E_NOMEM:
        return "out of memory";
    default:
        break;
    }
    if (conn->error != 0) {
        return strerror(conn->error);
    }
    return conn->proved
               ? "it closed the connection"
               : "it closed the connection before it had proved that it belongs to the job";
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static void end(struct wh_conn *conn, int error)
{
    conn->ended = true;
    conn->deaf = true;
    conn->error = error;
    queue_free(&conn->out);
}

static void flush(struct wh_conn *conn)
{
    while (!conn->deaf && queue_nbytes(&conn->out) > 0) {
        ssize_t sent =
            wh_sock_send(conn->fd, conn->out.bytes + conn->out.begin, queue_nbytes(&conn->out));
        if (sent == 0) {
            return;
        }
        if (sent < 0) {
            /* Not the end yet: what the peer said before it went must still be read. */
            conn->deaf = true;
            queue_free(&conn->out);
            return;
        }
        queue_take(&conn->out, (size_t)sent);
    }
}

/* Bytes of a whole frame, with its tag if there is one. */
static size_t frame_nbytes(const struct wh_frame *frame, const struct wh_seal *seal)
{
    return WH_HEAD_NBYTES + (size_t)frame->payload_nbytes +
           (seal != NULL ? WH_SEAL_TAG_NBYTES : 0);
}

/* Bytes that the next frame still lacks, or its head: what is worth asking for. */
static size_t lacking(const struct wh_conn *conn)
{
    if (!conn->proved) {
        /* Never more than the handshake: the rest belongs to frames. */
        return wh_shake_expects(&conn->shake) - queue_nbytes(&conn->in);
    }
    struct wh_frame frame;
    size_t have = queue_nbytes(&conn->in);
    if (have >= WH_HEAD_NBYTES && wh_head_decode(conn->in.bytes + conn->in.begin, &frame) &&
        frame_nbytes(&frame, conn->unseal) > have) {
        return wh_max_size(READ_NBYTES, frame_nbytes(&frame, conn->unseal) - have);
    }
    return READ_NBYTES;
}

/* The handshake is over: what comes next is frames, sealed if both ends encrypt. */
static whorl_result_t begin_frames(struct wh_conn *conn)
{
    whorl_result_t rc = WHORL_OK;
    if (conn->shake.encrypts) {
        rc = wh_shake_seals(&conn->shake, &conn->seal, &conn->unseal);
    }
    conn->proved = rc == WHORL_OK;
    wh_shake_fini(&conn->shake);
    return rc;
}

/* Lets the handshake take a message that is complete, or look at what there is of one. */
static whorl_result_t shake(struct wh_conn *conn)
{
    size_t expects = wh_shake_expects(&conn->shake), have = queue_nbytes(&conn->in);
    if (conn->proved) {
        return WHORL_OK;
    }
    if (have < expects) {
        whorl_result_t rc = wh_shake_glance(&conn->shake, conn->in.bytes + conn->in.begin, have);
        return rc == WHORL_IN_PROGRESS ? WHORL_OK : rc;
    }

    uint8_t reply[WH_SHAKE_NBYTES_MAX];
    size_t reply_nbytes;
    whorl_result_t rc =
        wh_shake_take(&conn->shake, conn->in.bytes + conn->in.begin, reply, &reply_nbytes);
    queue_take(&conn->in, expects);
    whorl_result_t add_rc = queue_add(&conn->out, reply, reply_nbytes);
    flush(conn);
    if (rc == WHORL_OK) {
        rc = begin_frames(conn);
    }
    return rc < 0 ? rc : add_rc;
}

static whorl_result_t receive(struct wh_conn *conn)
{
    size_t total = 0;
    while (!conn->ended && total < READ_NBYTES_MAX) {
        size_t want = lacking(conn);
        whorl_result_t rc = queue_reserve(&conn->in, want);
        if (rc != WHORL_OK) {
            return rc;
        }

        ssize_t got = wh_sock_recv(conn->fd, conn->in.bytes + conn->in.end, want);
        if (got == 0) {
            return WHORL_OK;
        }
        if (got < 0) {
            end(conn, got == -EPIPE ? 0 : (int)-got);
            return WHORL_OK;
        }
        conn->in.end += (size_t)got;
        total += (size_t)got;
        rc = shake(conn);
        if (rc != WHORL_OK) {
            return rc;
        }
        if (conn->proved && (size_t)got < want) {
            return WHORL_OK; /* most likely that was all; poll knows otherwise */
        }
    }
    return WHORL_OK;
}

short wh_conn_events(const struct wh_conn *conn)
{
    return (short)(POLLIN | (wh_conn_has_output(conn) ? POLLOUT : 0));
}

whorl_result_t wh_conn_advance(struct wh_conn *conn)
{
    assert(conn->fd >= 0);

    if (conn->taken_nbytes > 0) {
        queue_take(&conn->in, conn->taken_nbytes);
        conn->taken_nbytes = 0;
    }
    flush(conn);
    return receive(conn);
}

/* ---- frames --------------------------------------------------------------------------------- */

/* Decrypts a frame that is here as a whole, in place. */
static whorl_result_t open_frame(struct wh_conn *conn, uint8_t *bytes, uint32_t payload_nbytes)
{
    uint8_t *payload = bytes + WH_HEAD_NBYTES;
    const struct wh_room room = {payload, payload_nbytes};
    return wh_unseal(conn->unseal, (struct wh_bytes){bytes, WH_HEAD_NBYTES},
                     (struct wh_bytes){payload, payload_nbytes}, &room, 1,
                     payload + payload_nbytes);
}

whorl_result_t wh_conn_next(struct wh_conn *conn, struct wh_frame *frame_out)
{
    if (conn->taken_nbytes > 0) {
        queue_take(&conn->in, conn->taken_nbytes);
        conn->taken_nbytes = 0;
    }
    size_t have = queue_nbytes(&conn->in);
    if (!conn->proved || have < WH_HEAD_NBYTES) {
        return WHORL_IN_PROGRESS;
    }

    struct wh_frame frame;
    uint8_t *bytes = conn->in.bytes + conn->in.begin;
    if (!wh_head_decode(bytes, &frame)) {
        return conn->unseal != NULL ? WHORL_E_TRUST : WHORL_E_ARG;
    }
    size_t nbytes = frame_nbytes(&frame, conn->unseal);
    if (have < nbytes) {
        return WHORL_IN_PROGRESS;
    }
    if (conn->unseal != NULL && open_frame(conn, bytes, frame.payload_nbytes) != WHORL_OK) {
        return WHORL_E_TRUST;
    }
    frame.payload = bytes + WH_HEAD_NBYTES;
    conn->taken_nbytes = nbytes;
    *frame_out = frame;
    return WHORL_OK;
}

whorl_result_t wh_conn_post(struct wh_conn *conn, const struct wh_frame *frame)
{
    assert(conn->proved);

    if (conn->deaf) {
        return WHORL_OK;
    }
    size_t nbytes = frame_nbytes(frame, conn->seal);
    whorl_result_t rc = queue_reserve(&conn->out, nbytes);
    if (rc != WHORL_OK) {
        return rc;
    }
    uint8_t *head = conn->out.bytes + conn->out.end, *payload = head + WH_HEAD_NBYTES;
    wh_head_encode(frame, head);
    if (conn->seal != NULL) {
        const struct wh_bytes part = {frame->payload, frame->payload_nbytes};
        rc = wh_seal(conn->seal, (struct wh_bytes){head, WH_HEAD_NBYTES}, &part, 1, payload,
                     payload + frame->payload_nbytes);
    } else if (frame->payload_nbytes > 0) {
        memcpy(payload, frame->payload, frame->payload_nbytes);
    }
    if (rc == WHORL_OK) {
        conn->out.end += nbytes;
        flush(conn);
    }
    return rc;
}

bool wh_conn_has_output(const struct wh_conn *conn)
{
    return !conn->deaf && queue_nbytes(&conn->out) > 0;
}

size_t wh_conn_output_nbytes(const struct wh_conn *conn)
{
    return conn->deaf ? 0 : queue_nbytes(&conn->out);
}
