/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One control connection: handshake, then frames in both directions. Nothing here waits; whoever
 * owns the connection polls its socket and calls wh_conn_advance().
 *
 * Where both ends encrypt, a frame is a sealed record: its head as it is, its payload encrypted,
 * and a tag that covers both. So no frame can be changed, repeated, left out or made up on the way.
 */
#ifndef WH_BOOTSTRAP_CONN_H
#define WH_BOOTSTRAP_CONN_H

#include "base/handshake.h"
#include "base/macros.h"
#include "base/seal.h"
#include "base/sock.h"
#include "bootstrap/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Bytes begin..end of a buffer are yet to be used. */
struct wh_queue {
    uint8_t *bytes;
    size_t begin, end, capacity;
};

struct wh_conn {
    int fd; /* -1: closed */
    struct wh_addr peer;
    bool proved; /* the handshake is over: frames may be sent */
    bool deaf;   /* sending failed: what is posted is dropped, the reading side tells why */
    bool ended;  /* nothing more will come */
    int error;   /* errno that ended it; 0: the peer closed in good order */
    struct wh_shake shake;
    struct wh_seal *seal, *unseal; /* NULL: plain, or not proved yet */
    size_t taken_nbytes; /* of the frame that wh_conn_next() returned last */
    struct wh_queue in, out;
};

/** Nothing open; wh_conn_close() is allowed. */
void wh_conn_init(struct wh_conn *conn);

/** What a handshake rests on: the same at both ends. */
struct wh_trust {
    uint8_t secret[WH_SECRET_NBYTES];
    bool encrypts;
};

/** Starts the handshake as the caller, who has connected fd to peer. fd is conn's from now on, also
 *  after a failure. */
WH_MUST_CHECK whorl_result_t wh_conn_call(struct wh_conn *conn, int fd, const struct wh_addr *peer,
                                          enum wh_purpose purpose, const struct wh_trust *trust);

/** Starts the handshake as the one who is called. The same. */
WH_MUST_CHECK whorl_result_t wh_conn_answer(struct wh_conn *conn, int fd,
                                            const struct wh_addr *peer, enum wh_purpose purpose,
                                            const struct wh_trust *trust);

/** What to poll for: POLLIN, POLLOUT. */
short wh_conn_events(const struct wh_conn *conn);

/**
 * Sends and receives what can be without waiting. After it look for frames with wh_conn_next(),
 * then at conn->ended.
 *
 * Errors    Of the handshake, not reported: those of wh_shake_take(). WHORL_E_NOMEM.
 */
WH_MUST_CHECK whorl_result_t wh_conn_advance(struct wh_conn *conn);

/** The next whole frame that has come; its payload is valid until the next call on conn.
 *  WHORL_IN_PROGRESS: none yet; WHORL_E_ARG: what came is no frame; WHORL_E_TRUST: it is not as the
 *  peer sealed it. */
WH_MUST_CHECK whorl_result_t wh_conn_next(struct wh_conn *conn, struct wh_frame *frame_out);

/** Queues a frame, and sends what fits now. Only when conn->proved. */
WH_MUST_CHECK whorl_result_t wh_conn_post(struct wh_conn *conn, const struct wh_frame *frame);

/** Is something queued that could not be sent yet? */
bool wh_conn_has_output(const struct wh_conn *conn);

/** How much of it. */
size_t wh_conn_output_nbytes(const struct wh_conn *conn);

/** Why a connection ended or a handshake failed with rc, in words. */
const char *wh_conn_why(const struct wh_conn *conn, whorl_result_t rc);

/** Closes, whatever the state; what is queued is lost. */
void wh_conn_close(struct wh_conn *conn);

#endif
