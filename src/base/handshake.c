/* SPDX-License-Identifier: Apache-2.0 */
/* The handshake's messages and steps. See handshake.h. */
#include "base/handshake.h"

#include "base/bytes.h"
#include "base/crypto.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <string.h>

enum {
    SHAKE_MAGIC = 0x53524857, /* "WHRS" */
    AT_VERSION = 4,
    AT_PURPOSE = 6,
    AT_NONCE = 8,
    AT_MAC = AT_NONCE + WH_NONCE_NBYTES,
    TRANSCRIPT_NBYTES_MAX = 16 + WH_HELLO_NBYTES + WH_NONCE_NBYTES + WH_MAC_NBYTES,
};
static_assert((int)AT_MAC == (int)WH_HELLO_NBYTES, "a hello ends with its nonce");
static_assert((int)AT_MAC + (int)WH_MAC_NBYTES == (int)WH_CHALLENGE_NBYTES,
              "a challenge ends with its mac");

/* ---- messages ------------------------------------------------------------------------------- */

/* Hello and the first part of a challenge; in a challenge the purpose is 0. */
static void head_encode(uint8_t *p, uint16_t purpose, const uint8_t nonce[WH_NONCE_NBYTES])
{
    wh_put_le32(p, SHAKE_MAGIC);
    wh_put_le16(p + AT_VERSION, WH_PROTOCOL_VERSION);
    wh_put_le16(p + AT_PURPOSE, purpose);
    memcpy(p + AT_NONCE, nonce, WH_NONCE_NBYTES);
}

/* WHORL_OK, WHORL_E_ARG, or WHORL_E_UNSUPPORTED with *version_out set. */
static whorl_result_t head_check(const uint8_t *p, uint16_t purpose, uint16_t *version_out)
{
    if (wh_get_le32(p) != SHAKE_MAGIC) {
        return WHORL_E_ARG;
    }
    *version_out = wh_get_le16(p + AT_VERSION);
    if (*version_out != WH_PROTOCOL_VERSION) {
        return WHORL_E_UNSUPPORTED;
    }
    return wh_get_le16(p + AT_PURPOSE) == purpose ? WHORL_OK : WHORL_E_ARG;
}

/* ---- proofs --------------------------------------------------------------------------------- */

/* False if libcrypto could not. with_mac: the caller's proof covers the answerer's too. */
static bool prove(const struct wh_shake *shake, const char *word, bool with_mac,
                  uint8_t mac_out[WH_MAC_NBYTES])
{
    uint8_t text[TRANSCRIPT_NBYTES_MAX] = {0};
    size_t nbytes = strlen(word);
    assert(nbytes <= 16);

    memcpy(text, word, nbytes);
    nbytes = 16;
    memcpy(text + nbytes, shake->hello, WH_HELLO_NBYTES);
    nbytes += WH_HELLO_NBYTES;
    size_t part = WH_NONCE_NBYTES + (with_mac ? WH_MAC_NBYTES : 0u);
    memcpy(text + nbytes, shake->challenge + AT_NONCE, part);
    nbytes += part;

    unsigned mac_nbytes = 0;
    wh_crypto_begin();
    bool ok = HMAC(EVP_sha256(), shake->secret, WH_SECRET_NBYTES, text, nbytes, mac_out,
                   &mac_nbytes) != NULL;
    wh_crypto_end();
    return ok && mac_nbytes == WH_MAC_NBYTES;
}

static bool prove_answerer(const struct wh_shake *shake, uint8_t mac_out[WH_MAC_NBYTES])
{
    return prove(shake, "whorl answers", false, mac_out);
}

static bool prove_caller(const struct wh_shake *shake, uint8_t mac_out[WH_MAC_NBYTES])
{
    return prove(shake, "whorl calls", true, mac_out);
}

/* ---- steps ---------------------------------------------------------------------------------- */

static whorl_result_t take_hello(struct wh_shake *shake, const uint8_t *bytes, uint8_t *reply_out,
                                 size_t *reply_nbytes_out)
{
    whorl_result_t rc = head_check(bytes, (uint16_t)shake->purpose, &shake->peer_version);
    if (rc == WHORL_E_ARG) {
        return rc;
    }

    /* Another version gets our version too, so that its user can be told. */
    memcpy(shake->hello, bytes, WH_HELLO_NBYTES);
    head_encode(shake->challenge, 0, shake->nonce);
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
    whorl_result_t rc = head_check(bytes, 0, &shake->peer_version);
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
    if (!prove_caller(shake, reply_out)) {
        return WHORL_E_NOMEM;
    }
    *reply_nbytes_out = WH_PROOF_NBYTES;
    shake->state = WH_SHAKE_DONE;
    return WHORL_OK;
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
    shake->state = WH_SHAKE_DONE;
    return WHORL_OK;
}

static void begin(struct wh_shake *shake, enum wh_shake_state state,
                  const uint8_t secret[WH_SECRET_NBYTES], enum wh_purpose purpose,
                  const uint8_t nonce[WH_NONCE_NBYTES])
{
    memset(shake, 0, sizeof(*shake));
    shake->state = state;
    shake->purpose = purpose;
    memcpy(shake->secret, secret, WH_SECRET_NBYTES);
    memcpy(shake->nonce, nonce, WH_NONCE_NBYTES);
}

void wh_shake_call(struct wh_shake *shake, const uint8_t secret[WH_SECRET_NBYTES],
                   enum wh_purpose purpose, const uint8_t nonce[WH_NONCE_NBYTES],
                   uint8_t hello_out[WH_HELLO_NBYTES])
{
    begin(shake, WH_SHAKE_CALLED, secret, purpose, nonce);
    head_encode(shake->hello, (uint16_t)purpose, nonce);
    memcpy(hello_out, shake->hello, WH_HELLO_NBYTES);
}

void wh_shake_answer(struct wh_shake *shake, const uint8_t secret[WH_SECRET_NBYTES],
                     enum wh_purpose purpose, const uint8_t nonce[WH_NONCE_NBYTES])
{
    begin(shake, WH_SHAKE_LISTENING, secret, purpose, nonce);
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

    if (rc < 0) {
        shake->state = WH_SHAKE_FAILED;
    }
    return rc;
}

void wh_shake_fini(struct wh_shake *shake)
{
    OPENSSL_cleanse(shake, sizeof(*shake));
}
