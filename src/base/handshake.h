/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How two ends of a connection prove to each other that they know the job's secret.
 *
 *     caller                                            answerer
 *     hello      magic version purpose nonce_a    ->
 *                            <-  magic version nonce_b mac_b      challenge
 *     proof      mac_a                            ->
 *
 *     mac_b = HMAC-SHA256(secret, "whorl answers" | hello | nonce_b)
 *     mac_a = HMAC-SHA256(secret, "whorl calls"   | hello | nonce_b | mac_b)
 *
 * Both nonces are fresh, so nothing that was recorded works again; the words differ, so no end can
 * be answered with its own message. The answerer proves itself first: a caller never shows what it
 * has to somebody who does not know the secret. This is a pure state machine: bytes in, bytes out.
 */
#ifndef WH_BASE_HANDSHAKE_H
#define WH_BASE_HANDSHAKE_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stddef.h>
#include <stdint.h>

enum {
    WH_SECRET_NBYTES = 16, /* of a job, and of a communicator */
    WH_PROTOCOL_VERSION = 1,
    WH_NONCE_NBYTES = 16,
    WH_MAC_NBYTES = 32,
    WH_HELLO_NBYTES = 24,
    WH_CHALLENGE_NBYTES = 56,
    WH_PROOF_NBYTES = WH_MAC_NBYTES,
    WH_SHAKE_NBYTES_MAX = WH_CHALLENGE_NBYTES, /* the longest message */
};

/** What the caller wants. Part of what is proved: a call to the root is none to a rank. */
enum wh_purpose { WH_PURPOSE_JOIN = 1, WH_PURPOSE_EDGE = 2, WH_PURPOSE_DATA = 3 };

enum wh_shake_state {
    WH_SHAKE_CALLED,    /* caller: hello sent, waits for the challenge */
    WH_SHAKE_LISTENING, /* answerer: waits for the hello */
    WH_SHAKE_ANSWERED,  /* answerer: challenge sent, waits for the proof */
    WH_SHAKE_DONE,
    WH_SHAKE_FAILED,
};

struct wh_shake {
    enum wh_shake_state state;
    enum wh_purpose purpose;
    uint16_t peer_version;
    uint8_t secret[WH_SECRET_NBYTES];
    uint8_t nonce[WH_NONCE_NBYTES];
    /* The transcript: what one end sent and the other received. */
    uint8_t hello[WH_HELLO_NBYTES];
    uint8_t challenge[WH_CHALLENGE_NBYTES];
};

/** Begins as the one who calls; *hello_out is the first message. nonce is fresh randomness. */
void wh_shake_call(struct wh_shake *shake, const uint8_t secret[WH_SECRET_NBYTES],
                   enum wh_purpose purpose, const uint8_t nonce[WH_NONCE_NBYTES],
                   uint8_t hello_out[WH_HELLO_NBYTES]);

/** Begins as the one who is called. */
void wh_shake_answer(struct wh_shake *shake, const uint8_t secret[WH_SECRET_NBYTES],
                     enum wh_purpose purpose, const uint8_t nonce[WH_NONCE_NBYTES]);

/** Bytes of the message that is awaited; 0 when nothing is. */
size_t wh_shake_expects(const struct wh_shake *shake);

/**
 * Takes the awaited message, of exactly wh_shake_expects() bytes. *reply_nbytes_out bytes of
 * reply_out are then to be sent, also after a failure.
 *
 * Errors    WHORL_IN_PROGRESS another message is awaited; WHORL_OK the peer has proved itself.
 *           Not reported: WHORL_E_ARG another protocol or purpose, WHORL_E_UNSUPPORTED another
 *           version (see peer_version), WHORL_E_TRUST the peer does not know the secret,
 *           WHORL_E_NOMEM.
 */
WH_MUST_CHECK whorl_result_t wh_shake_take(struct wh_shake *shake, const uint8_t *bytes,
                                           uint8_t reply_out[WH_SHAKE_NBYTES_MAX],
                                           size_t *reply_nbytes_out);

/** Forgets the secret. */
void wh_shake_fini(struct wh_shake *shake);

#endif
