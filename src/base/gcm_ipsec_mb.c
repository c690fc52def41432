/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM by Intel's Multi-Buffer Crypto for IPsec, for processors of either maker with AES and
 * carry-less multiplication on 512 bits. See gcm.h.
 *
 * The library chooses its functions by the processor and writes them into a manager, which is large;
 * they are copied out of it, once in a process, and it is given back. They work on memory of the
 * caller alone.
 */
#include "base/gcm.h"

#if WHORL_HAVE_IPSEC_MB

#include "base/crypto.h"

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t wide =
    IMB_FEATURE_AVX512_SKX | IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ | IMB_FEATURE_AESNI;

static struct {
    pthread_once_t once;
    bool is_fit;
    char version[40];
    aes_gcm_pre_t expand;
    aes_gcm_init_t begin;
    aes_gcm_enc_dec_update_t encrypt, decrypt;
    aes_gcm_enc_dec_finalize_t end_encrypt, end_decrypt;
} library = {.once = PTHREAD_ONCE_INIT};

struct ipsec_mb_gcm {
    struct wh_gcm base;
    bool encrypts;
    struct gcm_context_data text;
    _Alignas(64) struct gcm_key_data key;
};

static struct ipsec_mb_gcm *of(struct wh_gcm *gcm)
{
    return (struct ipsec_mb_gcm *)gcm;
}

static void look(void)
{
    IMB_MGR *manager = alloc_mb_mgr(0);
    if (manager == NULL) {
        return;
    }
    if ((manager->features & wide) == wide) {
        init_mb_mgr_auto(manager, NULL);
        library.expand = manager->gcm256_pre;
        library.begin = manager->gcm256_init;
        library.encrypt = manager->gcm256_enc_update;
        library.decrypt = manager->gcm256_dec_update;
        library.end_encrypt = manager->gcm256_enc_finalize;
        library.end_decrypt = manager->gcm256_dec_finalize;
        (void)snprintf(library.version, sizeof(library.version), "Intel ipsec-mb %s",
                       imb_get_version_str());
        library.is_fit = imb_get_errno(manager) == 0;
    }
    free_mb_mgr(manager);
}

static bool ipsec_mb_is_fit(void)
{
    wh_crypto_begin(); /* no fork while another thread looks */
    pthread_once(&library.once, look);
    wh_crypto_end();
    return library.is_fit;
}

static const char *ipsec_mb_version(void)
{
    return ipsec_mb_is_fit() ? library.version
                             : "Intel ipsec-mb, which finds no AVX-512 and VAES here";
}

static struct wh_gcm *ipsec_mb_create(const uint8_t key[WH_GCM_KEY_NBYTES])
{
    void *memory;
    if (posix_memalign(&memory, _Alignof(struct ipsec_mb_gcm), sizeof(struct ipsec_mb_gcm)) != 0) {
        return NULL;
    }
    struct ipsec_mb_gcm *gcm = memory;
    memset(gcm, 0, sizeof(*gcm));
    gcm->base.ops = &wh_gcm_ipsec_mb;
    library.expand(key, &gcm->key);
    return &gcm->base;
}

static void ipsec_mb_destroy(struct wh_gcm *gcm)
{
    explicit_bzero(gcm, sizeof(struct ipsec_mb_gcm));
    free(gcm);
}

static bool ipsec_mb_begin(struct wh_gcm *gcm, bool encrypts,
                           const uint8_t nonce[WH_GCM_NONCE_NBYTES], const void *clear,
                           size_t nbytes)
{
    of(gcm)->encrypts = encrypts;
    library.begin(&of(gcm)->key, &of(gcm)->text, nonce, clear, nbytes);
    return true;
}

static bool ipsec_mb_update(struct wh_gcm *gcm, const void *in, void *out, size_t nbytes)
{
    aes_gcm_enc_dec_update_t update = of(gcm)->encrypts ? library.encrypt : library.decrypt;
    update(&of(gcm)->key, &of(gcm)->text, out, in, nbytes);
    return true;
}

static bool ipsec_mb_end_encrypt(struct wh_gcm *gcm, uint8_t tag_out[WH_GCM_TAG_NBYTES])
{
    library.end_encrypt(&of(gcm)->key, &of(gcm)->text, tag_out, WH_GCM_TAG_NBYTES);
    return true;
}

static bool ipsec_mb_end_decrypt(struct wh_gcm *gcm, const uint8_t tag[WH_GCM_TAG_NBYTES])
{
    uint8_t wanted[WH_GCM_TAG_NBYTES];
    library.end_decrypt(&of(gcm)->key, &of(gcm)->text, wanted, WH_GCM_TAG_NBYTES);
    return CRYPTO_memcmp(wanted, tag, WH_GCM_TAG_NBYTES) == 0;
}

const struct wh_gcm_ops wh_gcm_ipsec_mb = {
    .name = "ipsec-mb",
    .version = ipsec_mb_version,
    .is_fit = ipsec_mb_is_fit,
    .create = ipsec_mb_create,
    .destroy = ipsec_mb_destroy,
    .begin = ipsec_mb_begin,
    .update = ipsec_mb_update,
    .end_encrypt = ipsec_mb_end_encrypt,
    .end_decrypt = ipsec_mb_end_decrypt,
};

#else

static const char *absent_version(void)
{
    return "Intel ipsec-mb, which was not built in";
}

static bool absent_is_fit(void)
{
    return false;
}

const struct wh_gcm_ops wh_gcm_ipsec_mb = {
    .name = "ipsec-mb",
    .version = absent_version,
    .is_fit = absent_is_fit,
};

#endif
