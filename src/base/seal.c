/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed records through libcrypto's EVP. See seal.h.
 *
 * The key is expanded once, in wh_seal_create(); a record sets only its number. Creating fetches
 * the cipher, which takes libcrypto's own locks, and so it keeps forks out with wh_crypto_begin().
 * Sealing and opening do not: EVP's init without cipher and key, its updates and its tag calls work
 * on memory of the context alone, and take no lock that a fork could leave locked in the child and
 * no memory (counted with OpenSSL 3.0: none in either direction, nor when a record does not open).
 * What a child gets of a context in use may be half done, but it has no use for it: a communicator
 * does not survive a fork. So threads seal at the same time, and no fork waits for them.
 */
#include "base/seal.h"

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/log.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { IV_NBYTES = 12 };

struct wh_seal {
    EVP_CIPHER_CTX *ctx;
    uint64_t next; /* number of the next record */
    bool broken;   /* a record did not open: what follows it is not to be trusted either */
};

whorl_result_t wh_seal_create(const uint8_t key[WH_SEAL_KEY_NBYTES], struct wh_seal **seal_out)
{
    struct wh_seal *seal = calloc(1, sizeof(*seal));
    bool ok = false;
    if (seal != NULL) {
        wh_crypto_begin();
        seal->ctx = EVP_CIPHER_CTX_new();
        ok = seal->ctx != NULL &&
             EVP_EncryptInit_ex(seal->ctx, EVP_aes_256_gcm(), NULL, key, NULL) == 1 &&
             EVP_CIPHER_CTX_iv_length(seal->ctx) == IV_NBYTES;
        wh_crypto_end();
    }
    if (!ok) {
        wh_seal_destroy(seal);
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "no memory for the keys of a connection");
    }
    *seal_out = seal;
    return WHORL_OK;
}

void wh_seal_destroy(struct wh_seal *seal)
{
    if (seal != NULL) {
        wh_crypto_begin();
        EVP_CIPHER_CTX_free(seal->ctx); /* wipes the key */
        wh_crypto_end();
        free(seal);
    }
}

const char *wh_seal_library(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

void wh_seal_skip(struct wh_seal *seal, uint64_t nrecords)
{
    assert(nrecords <= UINT64_MAX - seal->next);
    seal->next += nrecords;
}

/* Writes the next record's nonce and uses the number up; false: there is none. The last number is
 * never given out, so the count cannot wrap. */
static bool take_nonce(struct wh_seal *seal, uint8_t iv_out[IV_NBYTES])
{
    if (seal->broken || seal->next == UINT64_MAX) {
        return false;
    }
    memset(iv_out, 0, IV_NBYTES);
    wh_put_le64(iv_out, seal->next);
    seal->next++;
    return true;
}

static bool seal_parts(EVP_CIPHER_CTX *ctx, const struct wh_bytes *parts, size_t nparts,
                       uint8_t *out)
{
    int done;
    for (size_t i = 0; i < nparts; i++) {
        assert(parts[i].nbytes <= WH_SEAL_RECORD_NBYTES_MAX);
        if (parts[i].nbytes > 0 &&
            (EVP_EncryptUpdate(ctx, out, &done, parts[i].bytes, (int)parts[i].nbytes) != 1 ||
             (size_t)done != parts[i].nbytes)) {
            return false;
        }
        out += parts[i].nbytes;
    }
    return true;
}

whorl_result_t wh_seal(struct wh_seal *seal, struct wh_bytes clear, const struct wh_bytes *parts,
                       size_t nparts, void *out, uint8_t tag_out[WH_SEAL_TAG_NBYTES])
{
    assert(clear.nbytes <= WH_SEAL_RECORD_NBYTES_MAX);

    uint8_t iv[IV_NBYTES], rest[WH_SEAL_TAG_NBYTES];
    int done;
    if (!take_nonce(seal, iv)) {
        return wh_fail(WHORL_E_INTERNAL, WH_SUBSYS_NET,
                       "an encrypted connection has no numbers left for records");
    }
    bool ok =
        EVP_EncryptInit_ex(seal->ctx, NULL, NULL, NULL, iv) == 1 &&
        (clear.nbytes == 0 ||
         EVP_EncryptUpdate(seal->ctx, NULL, &done, clear.bytes, (int)clear.nbytes) == 1) &&
        seal_parts(seal->ctx, parts, nparts, out) &&
        EVP_EncryptFinal_ex(seal->ctx, rest, &done) == 1 &&
        EVP_CIPHER_CTX_ctrl(seal->ctx, EVP_CTRL_AEAD_GET_TAG, WH_SEAL_TAG_NBYTES, tag_out) == 1;
    if (!ok) {
        seal->broken = true;
        return wh_fail(WHORL_E_INTERNAL, WH_SUBSYS_NET, "libcrypto could not encrypt a record");
    }
    return WHORL_OK;
}

static bool unseal_parts(EVP_CIPHER_CTX *ctx, struct wh_bytes sealed, const struct wh_room *parts,
                         size_t nparts)
{
    const uint8_t *in = sealed.bytes;
    int done;
    for (size_t i = 0; i < nparts; i++) {
        if (parts[i].nbytes > 0 &&
            (EVP_DecryptUpdate(ctx, parts[i].bytes, &done, in, (int)parts[i].nbytes) != 1 ||
             (size_t)done != parts[i].nbytes)) {
            return false;
        }
        in += parts[i].nbytes;
    }
    return true;
}

whorl_result_t wh_unseal(struct wh_seal *seal, struct wh_bytes clear, struct wh_bytes sealed,
                         const struct wh_room *parts, size_t nparts,
                         const uint8_t tag[WH_SEAL_TAG_NBYTES])
{
    size_t room_nbytes = 0;
    for (size_t i = 0; i < nparts; i++) {
        room_nbytes += parts[i].nbytes;
    }
    assert(room_nbytes == sealed.nbytes);
    assert(sealed.nbytes <= WH_SEAL_RECORD_NBYTES_MAX && clear.nbytes <= WH_SEAL_RECORD_NBYTES_MAX);

    uint8_t iv[IV_NBYTES], rest[WH_SEAL_TAG_NBYTES], wanted[WH_SEAL_TAG_NBYTES];
    int done;
    memcpy(wanted, tag, sizeof(wanted)); /* libcrypto's parameter is not const */
    if (take_nonce(seal, iv) && EVP_DecryptInit_ex(seal->ctx, NULL, NULL, NULL, iv) == 1 &&
        (clear.nbytes == 0 ||
         EVP_DecryptUpdate(seal->ctx, NULL, &done, clear.bytes, (int)clear.nbytes) == 1) &&
        unseal_parts(seal->ctx, sealed, parts, nparts) &&
        EVP_CIPHER_CTX_ctrl(seal->ctx, EVP_CTRL_AEAD_SET_TAG, WH_SEAL_TAG_NBYTES, wanted) == 1 &&
        EVP_DecryptFinal_ex(seal->ctx, rest, &done) == 1) {
        return WHORL_OK;
    }

    seal->broken = true;
    for (size_t i = 0; i < nparts; i++) {
        if (parts[i].nbytes > 0) {
            memset(parts[i].bytes, 0, parts[i].nbytes);
        }
    }
    return WHORL_E_TRUST;
}
