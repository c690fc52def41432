/* SPDX-License-Identifier: Apache-2.0 */
/* The handshake's messages and steps. See handshake.h. */
#include "base/handshake.h"

#include "base/bytes.h"
#include "base/crypto.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHAKE_MAGIC = 0x53524857, /* "WHRS" */
    FLAG_ENCRYPTS = 1,
    AT_VERSION = 4,
    AT_PURPOSE = 6,
    AT_FLAGS = 8,
    AT_NONCE = 12,
    AT_DATA = AT_NONCE + WH_NONCE_NBYTES,
    AT_SHARE = AT_DATA + WH_SHAKE_DATA_NBYTES,
    AT_MAC = AT_SHARE + WH_SHARE_NBYTES,
    WORD_NBYTES = 16,
    TRANSCRIPT_NBYTES_MAX = WORD_NBYTES + WH_HELLO_NBYTES + WH_CHALLENGE_NBYTES,
};
static_assert((int)AT_MAC == (int)WH_HELLO_NBYTES, "a hello is a head");
static_assert((int)AT_MAC + (int)WH_MAC_NBYTES == (int)WH_CHALLENGE_NBYTES,
              "a challenge is a head and a mac");

static const char answerers_word[] = "whorl answers", callers_word[] = "whorl calls";

/* ---- messages ------------------------------------------------------------------------------- */

/* Of hello and challenge; in a challenge the purpose is 0. */
static void head_encode(uint8_t *p, uint16_t purpose, const uint8_t nonce[WH_NONCE_NBYTES])
{
    memset(p, 0, AT_MAC);
    wh_put_le32(p, SHAKE_MAGIC);
    wh_put_le16(p + AT_VERSION, WH_PROTOCOL_VERSION);
    wh_put_le16(p + AT_PURPOSE, purpose);
    memcpy(p + AT_NONCE, nonce, WH_NONCE_NBYTES);
}

/* WHORL_OK with peer_encrypts set, WHORL_E_ARG, or WHORL_E_UNSUPPORTED; peer_version is set but for
 * WHORL_E_ARG. */
static whorl_result_t head_check(struct wh_shake *shake, const uint8_t *p, uint16_t purpose)
{
    static const uint8_t no_share[WH_SHARE_NBYTES];
    if (wh_get_le32(p) != SHAKE_MAGIC) {
        return WHORL_E_ARG;
    }
    shake->peer_version = wh_get_le16(p + AT_VERSION);
    if (shake->peer_version != WH_PROTOCOL_VERSION) {
        return WHORL_E_UNSUPPORTED;
    }
    uint32_t flags = wh_get_le32(p + AT_FLAGS);
    if (wh_get_le16(p + AT_PURPOSE) != purpose || (flags & ~(uint32_t)FLAG_ENCRYPTS) != 0 ||
        (flags == 0 && memcmp(p + AT_SHARE, no_share, WH_SHARE_NBYTES) != 0)) {
        return WHORL_E_ARG;
    }
    shake->peer_encrypts = (flags & FLAG_ENCRYPTS) != 0;
    return WHORL_OK;
}

/* The head that this end sends, and the one that it gets. */
static uint8_t *own_head(struct wh_shake *shake)
{
    return shake->is_caller ? shake->hello : shake->challenge;
}

static const uint8_t *peer_head(const struct wh_shake *shake)
{
    return shake->is_caller ? shake->challenge : shake->hello;
}

/* ---- proofs --------------------------------------------------------------------------------- */

/* Writes word | hello | challenge to text; of the challenge the first challenge_nbytes. */
static size_t transcribe(const struct wh_shake *shake, const char *word, size_t challenge_nbytes,
                         uint8_t text[TRANSCRIPT_NBYTES_MAX])
{
    assert(strlen(word) <= WORD_NBYTES && challenge_nbytes <= WH_CHALLENGE_NBYTES);

    memset(text, 0, WORD_NBYTES);
    memcpy(text, word, strlen(word));
    memcpy(text + WORD_NBYTES, shake->hello, WH_HELLO_NBYTES);
    memcpy(text + WORD_NBYTES + WH_HELLO_NBYTES, shake->challenge, challenge_nbytes);
    return WORD_NBYTES + WH_HELLO_NBYTES + challenge_nbytes;
}

/* False if libcrypto could not. */
static bool prove(const struct wh_shake *shake, const char *word, size_t challenge_nbytes,
                  uint8_t mac_out[WH_MAC_NBYTES])
{
    uint8_t text[TRANSCRIPT_NBYTES_MAX];
    size_t nbytes = transcribe(shake, word, challenge_nbytes, text);
    unsigned mac_nbytes = 0;
    wh_crypto_begin();
    bool ok = HMAC(EVP_sha256(), shake->secret, WH_SECRET_NBYTES, text, nbytes, mac_out,
                   &mac_nbytes) != NULL;
    wh_crypto_end();
    return ok && mac_nbytes == WH_MAC_NBYTES;
}

static bool prove_answerer(const struct wh_shake *shake, uint8_t mac_out[WH_MAC_NBYTES])
{
    return prove(shake, answerers_word, AT_MAC, mac_out);
}

/* The caller's proof covers the answerer's too. */
static bool prove_caller(const struct wh_shake *shake, uint8_t mac_out[WH_MAC_NBYTES])
{
    return prove(shake, callers_word, WH_CHALLENGE_NBYTES, mac_out);
}

/* ---- keys ----------------------------------------------------------------------------------- */

/* The share that belongs to a private key. False if libcrypto could not. */
static bool make_share(const uint8_t private_key[WH_SHARE_NBYTES],
                       uint8_t share_out[WH_SHARE_NBYTES])
{
    size_t nbytes = WH_SHARE_NBYTES;
    wh_crypto_begin();
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, nbytes);
    bool ok = own != NULL && EVP_PKEY_get_raw_public_key(own, share_out, &nbytes) == 1;
    EVP_PKEY_free(own);
    wh_crypto_end();
    return ok && nbytes == WH_SHARE_NBYTES;
}

/* WHORL_E_TRUST: the peer's share is one with which the point is zero, whatever the private key:
 * libcrypto gives none then. */
static whorl_result_t share_point(const struct wh_shake *shake, uint8_t point_out[WH_SHARE_NBYTES])
{
    size_t nbytes = WH_SHARE_NBYTES;
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, shake->private_key, nbytes);
    EVP_PKEY *peer =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer_head(shake) + AT_SHARE, nbytes);
    EVP_PKEY_CTX *ctx = own != NULL ? EVP_PKEY_CTX_new(own, NULL) : NULL;
    whorl_result_t rc = WHORL_E_NOMEM;
    if (ctx != NULL && peer != NULL && EVP_PKEY_derive_init(ctx) == 1) {
        bool ok = EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
                  EVP_PKEY_derive(ctx, point_out, &nbytes) == 1 && nbytes == WH_SHARE_NBYTES;
        rc = ok ? WHORL_OK : WHORL_E_TRUST;
    }
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
    return rc;
}

/* Makes both keys of the point, with HKDF-SHA256. False if libcrypto could not. */
static bool make_keys(struct wh_shake *shake, const uint8_t point[WH_SHARE_NBYTES])
{
    uint8_t info[TRANSCRIPT_NBYTES_MAX];
    size_t info_nbytes = transcribe(shake, "whorl keys", WH_CHALLENGE_NBYTES, info);
    size_t nbytes = sizeof(shake->keys);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    bool ok = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_CTX_set1_hkdf_salt(ctx, shake->secret, WH_SECRET_NBYTES) == 1 &&
              EVP_PKEY_CTX_set1_hkdf_key(ctx, point, WH_SHARE_NBYTES) == 1 &&
              EVP_PKEY_CTX_add1_hkdf_info(ctx, info, (int)info_nbytes) == 1 &&
              EVP_PKEY_derive(ctx, shake->keys, &nbytes) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok && nbytes == sizeof(shake->keys);
}

/* Once the peer has proved itself: WHORL_OK, with keys where both encrypt; WHORL_E_CONFIG where one
 * does; WHORL_E_TRUST for a share that is none; WHORL_E_NOMEM. */
static whorl_result_t agree(struct wh_shake *shake)
{
    if (shake->encrypts != shake->peer_encrypts) {
        return WHORL_E_CONFIG;
    }
    if (!shake->encrypts) {
        return WHORL_OK;
    }
    uint8_t point[WH_SHARE_NBYTES];
    wh_crypto_begin();
    (void)ERR_set_mark(); /* of what fails here, nothing stays in the user's error queue */
    whorl_result_t rc = share_point(shake, point);
    if (rc == WHORL_OK && !make_keys(shake, point)) {
        rc = WHORL_E_NOMEM;
    }
    (void)ERR_pop_to_mark();
    wh_crypto_end();
    OPENSSL_cleanse(point, sizeof(point));
    return rc;
}

/* ---- steps ---------------------------------------------------------------------------------- */

static whorl_result_t take_hello(struct wh_shake *shake, const uint8_t *bytes, uint8_t *reply_out,
                                 size_t *reply_nbytes_out)
{
    whorl_result_t rc = head_check(shake, bytes, (uint16_t)shake->purpose);
    if (rc == WHORL_E_ARG) {
        return rc;
    }

    /* Another version gets our version too, so that its user can be told, and no proof. */
    memcpy(shake->hello, bytes, WH_HELLO_NBYTES);
    if (rc == WHORL_OK && !prove_answerer(shake, shake->challenge + AT_MAC)) {
        return WHORL_E_NOMEM;
    }
    memcpy(reply_out, shake->challenge, WH_CHALLENGE_NBYTES);
    *reply_nbytes_out = WH_CHALLENGE_NBYTES;
    shake->state = WH_SHAKE_ANSWERED;
    return rc == WHORL_OK ? WHORL_IN_PROGRESS : rc;
}

static whorl_result_t take_challenge(struct wh_shake *shake, const uint8_t *bytes,
                                     uint8_t *reply_out, size_t *reply_nbytes_out)
{
    whorl_result_t rc = head_check(shake, bytes, 0);
    if (rc != WHORL_OK) {
        return rc;
    }

    uint8_t mac[WH_MAC_NBYTES];
    memcpy(shake->challenge, bytes, WH_CHALLENGE_NBYTES);
    if (!prove_answerer(shake, mac)) {
        return WHORL_E_NOMEM;
    }
    if (CRYPTO_memcmp(mac, bytes + AT_MAC, WH_MAC_NBYTES) != 0) {
        return WHORL_E_TRUST;
    }
    /* A peer that does not encrypt as this end does gets the proof too: only so can it know that
     * these flags are really ours. */
    rc = agree(shake);
    if (rc == WHORL_OK || rc == WHORL_E_CONFIG) {
        if (!prove_caller(shake, reply_out)) {
            return WHORL_E_NOMEM;
        }
        *reply_nbytes_out = WH_PROOF_NBYTES;
    }
    return rc;
}

static whorl_result_t take_proof(struct wh_shake *shake, const uint8_t *bytes)
{
    uint8_t mac[WH_MAC_NBYTES];
    if (!prove_caller(shake, mac)) {
        return WHORL_E_NOMEM;
    }
    if (CRYPTO_memcmp(mac, bytes, WH_MAC_NBYTES) != 0) {
        return WHORL_E_TRUST;
    }
    return agree(shake);
}

static void begin(struct wh_shake *shake, enum wh_shake_state state,
                  const uint8_t secret[WH_SECRET_NBYTES], enum wh_purpose purpose,
                  const uint8_t nonce[WH_NONCE_NBYTES])
{
    memset(shake, 0, sizeof(*shake));
    shake->state = state;
    shake->purpose = purpose;
    shake->is_caller = state == WH_SHAKE_CALLED;
    memcpy(shake->secret, secret, WH_SECRET_NBYTES);
    head_encode(own_head(shake), shake->is_caller ? (uint16_t)purpose : 0, nonce);
}

void wh_shake_call(struct wh_shake *shake, const uint8_t secret[WH_SECRET_NBYTES],
                   enum wh_purpose purpose, const uint8_t nonce[WH_NONCE_NBYTES],
                   uint8_t hello_out[WH_HELLO_NBYTES])
{
    begin(shake, WH_SHAKE_CALLED, secret, purpose, nonce);
    memcpy(hello_out, shake->hello, WH_HELLO_NBYTES);
}

void wh_shake_answer(struct wh_shake *shake, const uint8_t secret[WH_SECRET_NBYTES],
                     enum wh_purpose purpose, const uint8_t nonce[WH_NONCE_NBYTES])
{
    begin(shake, WH_SHAKE_LISTENING, secret, purpose, nonce);
}

whorl_result_t wh_shake_set_terms(struct wh_shake *shake, const struct wh_shake_terms *terms,
                                  uint8_t hello_out[WH_HELLO_NBYTES])
{
    assert(shake->state == WH_SHAKE_CALLED || shake->state == WH_SHAKE_LISTENING);
    assert((hello_out != NULL) == shake->is_caller);

    uint8_t *head = own_head(shake);
    memcpy(head + AT_DATA, terms->data, WH_SHAKE_DATA_NBYTES);
    shake->encrypts = terms->encrypts;
    if (terms->encrypts) {
        wh_put_le32(head + AT_FLAGS, FLAG_ENCRYPTS);
        memcpy(shake->private_key, terms->private_key, WH_SHARE_NBYTES);
        if (!make_share(shake->private_key, head + AT_SHARE)) {
            return WHORL_E_NOMEM;
        }
    }
    if (hello_out != NULL) {
        memcpy(hello_out, head, WH_HELLO_NBYTES);
    }
    return WHORL_OK;
}

size_t wh_shake_expects(const struct wh_shake *shake)
{
    switch (shake->state) {
    case WH_SHAKE_CALLED:
        return WH_CHALLENGE_NBYTES;
    case WH_SHAKE_LISTENING:
        return WH_HELLO_NBYTES;
    case WH_SHAKE_ANSWERED:
        return WH_PROOF_NBYTES;
    default:
        return 0;
    }
}

whorl_result_t wh_shake_glance(const struct wh_shake *shake, const uint8_t *bytes, size_t nbytes)
{
    uint8_t magic[4];
    wh_put_le32(magic, SHAKE_MAGIC);
    bool has_head = shake->state == WH_SHAKE_CALLED || shake->state == WH_SHAKE_LISTENING;
    size_t seen = nbytes < sizeof(magic) ? nbytes : sizeof(magic);
    return has_head && memcmp(bytes, magic, seen) != 0 ? WHORL_E_ARG : WHORL_IN_PROGRESS;
}

whorl_result_t wh_shake_take(struct wh_shake *shake, const uint8_t *bytes,
                             uint8_t reply_out[WH_SHAKE_NBYTES_MAX], size_t *reply_nbytes_out)
{
    whorl_result_t rc = WHORL_E_USAGE;
    *reply_nbytes_out = 0;
    if (shake->state == WH_SHAKE_LISTENING) {
        rc = take_hello(shake, bytes, reply_out, reply_nbytes_out);
    } else if (shake->state == WH_SHAKE_CALLED) {
        rc = take_challenge(shake, bytes, reply_out, reply_nbytes_out);
    } else if (shake->state == WH_SHAKE_ANSWERED) {
        rc = take_proof(shake, bytes);
    }

    if (rc == WHORL_OK) {
        shake->state = WH_SHAKE_DONE;
    } else if (rc < 0) {
        shake->state = WH_SHAKE_FAILED;
    }
    return rc;
}

const uint8_t *wh_shake_peer_data(const struct wh_shake *shake)
{
    return peer_head(shake) + AT_DATA;
}

void wh_shake_keys(const struct wh_shake *shake, uint8_t send_key_out[WH_SEAL_KEY_NBYTES],
                   uint8_t recv_key_out[WH_SEAL_KEY_NBYTES])
{
    assert(shake->state == WH_SHAKE_DONE && shake->encrypts && shake->peer_encrypts);

    const uint8_t *callers = shake->keys, *answerers = shake->keys + WH_SEAL_KEY_NBYTES;
    memcpy(send_key_out, shake->is_caller ? callers : answerers, WH_SEAL_KEY_NBYTES);
    memcpy(recv_key_out, shake->is_caller ? answerers : callers, WH_SEAL_KEY_NBYTES);
}

whorl_result_t wh_shake_seals(const struct wh_shake *shake, struct wh_seal **seal_out,
                              struct wh_seal **unseal_out)
{
    uint8_t send_key[WH_SEAL_KEY_NBYTES], recv_key[WH_SEAL_KEY_NBYTES];
    wh_shake_keys(shake, send_key, recv_key);
    whorl_result_t rc = wh_seal_create(send_key, seal_out);
    if (rc == WHORL_OK) {
        rc = wh_seal_create(recv_key, unseal_out);
    }
    OPENSSL_cleanse(send_key, sizeof(send_key));
    OPENSSL_cleanse(recv_key, sizeof(recv_key));
    return rc;
}

void wh_shake_fini(struct wh_shake *shake)
{
    OPENSSL_cleanse(shake, sizeof(*shake));
}

whorl_result_t wh_secret_derive(const uint8_t secret[WH_SECRET_NBYTES], const char *word,
                                const void *what, size_t nbytes,
                                uint8_t secret_out[WH_SECRET_NBYTES])
{
    assert(strlen(word) < WORD_NBYTES);
    assert(strcmp(word, answerers_word) != 0 && strcmp(word, callers_word) != 0);

    uint8_t digest[WH_MAC_NBYTES] = {0}, *text = calloc(1, WORD_NBYTES + nbytes);
    bool ok = text != NULL;
    if (ok) {
        memcpy(text, word, strlen(word));
        if (nbytes > 0) {
            memcpy(text + WORD_NBYTES, what, nbytes);
        }
        wh_crypto_begin();
        ok = HMAC(EVP_sha256(), secret, WH_SECRET_NBYTES, text, WORD_NBYTES + nbytes, digest,
                  NULL) != NULL;
        wh_crypto_end();
        OPENSSL_cleanse(text, WORD_NBYTES + nbytes);
        free(text);
    }
    memcpy(secret_out, digest, WH_SECRET_NBYTES);
    OPENSSL_cleanse(digest, sizeof(digest));
    return ok ? WHORL_OK : WHORL_E_NOMEM;
}
