/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How two ends of a connection prove to each other that they know the job's secret, and agree on
 * keys if they want to encrypt.
 *
 *     caller                                             answerer
 *     hello = head_a                              ->
 *                                                 <-     challenge = head_b mac_b
 *     proof = mac_a                               ->
 *
 *     head  = magic version purpose flags nonce data share
 *     mac_b = HMAC-SHA256(secret, "whorl answers" | head_a | head_b)
 *     mac_a = HMAC-SHA256(secret, "whorl calls"   | head_a | head_b | mac_b)
 *
 * Both nonces are fresh, so nothing that was recorded works again; the words differ, and the
 * purpose of head_b is 0, so no end can be answered with its own message. The answerer proves
 * itself first: a caller never shows what it has to somebody who does not know the secret.
 *
 * Each end tells in its flags whether it encrypts. Flags that differ end the handshake on both
 * sides with WHORL_E_CONFIG, but only after the peer has proved that these are its flags: who
 * changes them on the way changes what the macs cover, and gets WHORL_E_TRUST. So there is no way
 * from two ends that encrypt to a connection that does not.
 *
 * Who encrypts sends a fresh X25519 share (else zeros), and both have, before they are done,
 *
 *     HKDF-SHA256(ikm = shared point, salt = secret, info = "whorl keys" | head_a | head_b | mac_b)
 *
 * whose first half is the key from the caller to the answerer and whose second half that of the
 * other direction. Who learns the secret later has not got the keys. Shares that make the shared
 * point zero are refused. Without encryption the handshake says who connected, and no more: who
 * sits on the wire can still change what is sent afterwards.
 *
 * data is for what one end wants to tell the other, and is covered as everything is; it must not
 * be secret. This is a pure state machine: bytes in, bytes out, all of fixed size.
 */
#ifndef WH_BASE_HANDSHAKE_H
#define WH_BASE_HANDSHAKE_H

#include "base/macros.h"
#include "base/seal.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WH_SECRET_NBYTES = 16, /* of a job, and of a communicator */
    WH_PROTOCOL_VERSION = 3,
    WH_NONCE_NBYTES = 16,
    WH_MAC_NBYTES = 32,
    WH_SHAKE_DATA_NBYTES = 32,
    WH_SHARE_NBYTES = 32,
    WH_HELLO_NBYTES = 12 + WH_NONCE_NBYTES + WH_SHAKE_DATA_NBYTES + WH_SHARE_NBYTES,
    WH_CHALLENGE_NBYTES = WH_HELLO_NBYTES + WH_MAC_NBYTES,
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
    bool is_caller;
    bool encrypts;         /* this end */
    bool peer_encrypts;    /* to be believed once wh_shake_take() returned WHORL_OK or E_CONFIG */
    uint16_t peer_version; /* as the peer said */
    uint8_t secret[WH_SECRET_NBYTES];
    uint8_t private_key[WH_SHARE_NBYTES];
    uint8_t keys[2 * WH_SEAL_KEY_NBYTES]; /* for the caller's and the answerer's records */
    /* The transcript: what one end sent and the other received. */
    uint8_t hello[WH_HELLO_NBYTES];
    uint8_t challenge[WH_CHALLENGE_NBYTES];
};

/** What an end may bring to its handshake beyond the secret. */
struct wh_shake_terms {
    bool encrypts;
    uint8_t private_key[WH_SHARE_NBYTES]; /* fresh randomness, if encrypts */
    uint8_t data[WH_SHAKE_DATA_NBYTES];   /* for the peer, of data connections; see
                                           * wh_shake_peer_data() */
};

/** Begins as the one who calls; *hello_out is the first message. nonce is fresh randomness. */
void wh_shake_call(struct wh_shake *shake, const uint8_t secret[WH_SECRET_NBYTES],
                   enum wh_purpose purpose, const uint8_t nonce[WH_NONCE_NBYTES],
                   uint8_t hello_out[WH_HELLO_NBYTES]);

/** Begins as the one who is called. */
void wh_shake_answer(struct wh_shake *shake, const uint8_t secret[WH_SECRET_NBYTES],
                     enum wh_purpose purpose, const uint8_t nonce[WH_NONCE_NBYTES]);

/**
 * Adds terms to a handshake that has just begun and in which nothing was sent or taken yet; of
 * terms everything is copied, and private_key is the caller's to wipe. For the one who calls,
 * *hello_out is written anew. The one who is called passes NULL.
 *
 * Errors    WHORL_E_NOMEM, not reported: libcrypto failed.
 */
WH_MUST_CHECK whorl_result_t wh_shake_set_terms(struct wh_shake *shake,
                                                const struct wh_shake_terms *terms,
                                                uint8_t hello_out[WH_HELLO_NBYTES]);

/** Bytes of the message that is awaited; 0 when nothing is. */
size_t wh_shake_expects(const struct wh_shake *shake);

/**
 * Can nbytes, at most wh_shake_expects(), be the beginning of the awaited message? Who is no rank is
 * known by its first bytes, and need not be waited for: then WHORL_E_ARG; else WHORL_IN_PROGRESS.
 */
WH_MUST_CHECK whorl_result_t wh_shake_glance(const struct wh_shake *shake, const uint8_t *bytes,
                                             size_t nbytes);

/**
 * Takes the awaited message, of exactly wh_shake_expects() bytes. *reply_nbytes_out bytes of
 * reply_out are then to be sent, also after a failure.
 *
 * Errors    WHORL_IN_PROGRESS another message is awaited; WHORL_OK the peer has proved itself.
 *           Not reported: WHORL_E_ARG another protocol or purpose, WHORL_E_UNSUPPORTED another
 *           version (see peer_version), WHORL_E_TRUST the peer does not know the secret, or
 *           somebody changed what was sent, WHORL_E_CONFIG the peer has proved itself, but one end
 *           encrypts and the other does not (see peer_encrypts), WHORL_E_NOMEM.
 */
WH_MUST_CHECK whorl_result_t wh_shake_take(struct wh_shake *shake, const uint8_t *bytes,
                                           uint8_t reply_out[WH_SHAKE_NBYTES_MAX],
                                           size_t *reply_nbytes_out);

/** The peer's data, WH_SHAKE_DATA_NBYTES; zeros if it had none. To be believed only once
 *  wh_shake_take() returned WHORL_OK or WHORL_E_CONFIG. Valid until wh_shake_fini(). */
const uint8_t *wh_shake_peer_data(const struct wh_shake *shake);

/** The keys for what this end sends and receives, of a handshake that is done and encrypts. The
 *  caller wipes them. */
void wh_shake_keys(const struct wh_shake *shake, uint8_t send_key_out[WH_SEAL_KEY_NBYTES],
                   uint8_t recv_key_out[WH_SEAL_KEY_NBYTES]);

/**
 * What these keys are for: the seal of what this end sends, and that of what it receives.
 *
 * Memory    both are the caller's, also one that was made before the other failed.
 * Errors    WHORL_E_NOMEM, reported.
 */
WH_MUST_CHECK whorl_result_t wh_shake_seals(const struct wh_shake *shake, struct wh_seal **seal_out,
                                            struct wh_seal **unseal_out);

/** Forgets the secret and the keys. Takes a struct of zeros. */
void wh_shake_fini(struct wh_shake *shake);

/**
 * Makes a secret of a secret: HMAC-SHA256(secret, word | what), cut. Who has the old one and reads
 * `what` on the wire has the new one; who reads `what` only has nothing. word, at most 15 bytes,
 * says what the new secret is for, so that no two uses meet; it is none of the handshake's own.
 *
 * Errors    WHORL_E_NOMEM, not reported: libcrypto failed.
 */
WH_MUST_CHECK whorl_result_t wh_secret_derive(const uint8_t secret[WH_SECRET_NBYTES],
                                              const char *word, const void *what, size_t nbytes,
                                              uint8_t secret_out[WH_SECRET_NBYTES]);

#endif
