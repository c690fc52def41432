/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM by libcrypto's EVP. See gcm.h.
 *
 * The key is expanded once, in create(); a text sets only its nonce. Creating fetches the cipher,
 * which takes libcrypto's own locks, and so it keeps forks out with wh_crypto_begin(). Encrypting
 * and decrypting do not: EVP's init without cipher and key, its updates and its tag calls work on
 * memory of the context alone, and take no lock that a fork could leave locked in the child and no
 * memory (counted with OpenSSL 3.0: none in either direction, nor when a text is not authentic).
 * What a child gets of a context in use may be half done, but it has no use for it: a communicator
 * does not survive a fork. So threads encrypt at the same time, and no fork waits for them.
 */
#include "base/crypto.h"
#include "base/gcm.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

struct openssl_gcm {
    struct wh_gcm base;
    EVP_CIPHER_CTX *ctx;
};

static EVP_CIPHER_CTX *ctx_of(struct wh_gcm *gcm)
{
    return ((struct openssl_gcm *)gcm)->ctx;
}

static const char *openssl_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

static bool openssl_is_fit(void)
{
    return true;
}

static void openssl_destroy(struct wh_gcm *gcm)
{
    wh_crypto_begin();
    EVP_CIPHER_CTX_free(ctx_of(gcm)); /* wipes the key */
    wh_crypto_end();
    free(gcm);
}

static struct wh_gcm *openssl_create(const uint8_t key[WH_GCM_KEY_NBYTES])
{
    struct openssl_gcm *gcm = calloc(1, sizeof(*gcm));
    if (gcm == NULL) {
        return NULL;
    }
    gcm->base.ops = &wh_gcm_openssl;
    wh_crypto_begin();
    gcm->ctx = EVP_CIPHER_CTX_new();
    bool ok = gcm->ctx != NULL &&
              EVP_CipherInit_ex(gcm->ctx, EVP_aes_256_gcm(), NULL, key, NULL, 1) == 1 &&
              EVP_CIPHER_CTX_iv_length(gcm->ctx) == WH_GCM_NONCE_NBYTES;
    wh_crypto_end();
    if (!ok) {
        openssl_destroy(&gcm->base);
        return NULL;
    }
    return &gcm->base;
}

static bool openssl_begin(struct wh_gcm *gcm, bool encrypts,
                          const uint8_t nonce[WH_GCM_NONCE_NBYTES], const void *clear,
                          size_t nbytes)
{
    int done;
    return EVP_CipherInit_ex(ctx_of(gcm), NULL, NULL, NULL, nonce, encrypts) == 1 &&
           (nbytes == 0 || EVP_CipherUpdate(ctx_of(gcm), NULL, &done, clear, (int)nbytes) == 1);
}

static bool openssl_update(struct wh_gcm *gcm, const void *in, void *out, size_t nbytes)
{
    int done;
    return EVP_CipherUpdate(ctx_of(gcm), out, &done, in, (int)nbytes) == 1 &&
           (size_t)done == nbytes;
}

static bool openssl_end_encrypt(struct wh_gcm *gcm, uint8_t tag_out[WH_GCM_TAG_NBYTES])
{
    uint8_t rest[WH_GCM_TAG_NBYTES];
    int done;
    return EVP_CipherFinal_ex(ctx_of(gcm), rest, &done) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx_of(gcm), EVP_CTRL_AEAD_GET_TAG, WH_GCM_TAG_NBYTES, tag_out) == 1;
}

static bool openssl_end_decrypt(struct wh_gcm *gcm, const uint8_t tag[WH_GCM_TAG_NBYTES])
{
    uint8_t rest[WH_GCM_TAG_NBYTES], wanted[WH_GCM_TAG_NBYTES];
    int done;
    memcpy(wanted, tag, sizeof(wanted)); /* libcrypto's parameter is not const */
    return EVP_CIPHER_CTX_ctrl(ctx_of(gcm), EVP_CTRL_AEAD_SET_TAG, WH_GCM_TAG_NBYTES, wanted) ==
               1 &&
           EVP_CipherFinal_ex(ctx_of(gcm), rest, &done) == 1;
}

const struct wh_gcm_ops wh_gcm_openssl = {
    .name = "openssl",
    .version = openssl_version,
    .is_fit = openssl_is_fit,
    .create = openssl_create,
    .destroy = openssl_destroy,
    .begin = openssl_begin,
    .update = openssl_update,
    .end_encrypt = openssl_end_encrypt,
    .end_decrypt = openssl_end_decrypt,
};
