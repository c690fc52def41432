/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM (NIST SP 800-38D) with a nonce of 12 and a tag of 16 bytes, by one of two libraries,
 * which write the same bytes: OpenSSL's libcrypto, and Intel's ipsec-mb where it was built in.
 * Records are composed of this in seal.h; nobody else needs it.
 *
 * A key is worked with by one thread at a time.
 */
#ifndef WH_BASE_GCM_H
#define WH_BASE_GCM_H

#include "base/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WH_GCM_KEY_NBYTES = 32, WH_GCM_NONCE_NBYTES = 12, WH_GCM_TAG_NBYTES = 16 };

/** A key, expanded, and the text that is being worked on. */
struct wh_gcm {
    const struct wh_gcm_ops *ops;
};

/**
 * Of one text: begin, update as often as there are pieces, of any size, then end_encrypt or
 * end_decrypt. All of them take no lock and no memory. false: the library refuses, which it has no
 * reason to; of end_decrypt also: the tag is not that of this text.
 */
struct wh_gcm_ops {
    const char *name;
    /** With its version, on which its speed depends. Lives as long as the process. */
    const char *(*version)(void);
    /** Was it built in, and is it at its best on this processor? */
    bool (*is_fit)(void);
    /** This and all that follow: only where is_fit(). NULL: no memory. */
    struct wh_gcm *(*create)(const uint8_t key[WH_GCM_KEY_NBYTES]);
    /** Forgets the key. */
    void (*destroy)(struct wh_gcm *gcm);
    /** The tag will cover the nbytes of `clear`, at most INT_MAX; NULL if there are none. */
    bool (*begin)(struct wh_gcm *gcm, bool encrypts, const uint8_t nonce[WH_GCM_NONCE_NBYTES],
                  const void *clear, size_t nbytes);
    /** nbytes > 0, at most INT_MAX. out may be in. */
    bool (*update)(struct wh_gcm *gcm, const void *in, void *out, size_t nbytes);
    bool (*end_encrypt)(struct wh_gcm *gcm, uint8_t tag_out[WH_GCM_TAG_NBYTES]);
    bool (*end_decrypt)(struct wh_gcm *gcm, const uint8_t tag[WH_GCM_TAG_NBYTES]);
};

extern const struct wh_gcm_ops wh_gcm_openssl;
extern const struct wh_gcm_ops wh_gcm_ipsec_mb;

/** The one to use with this libcrypto (as OpenSSL_version_num() says), which was told, or not, to
 *  do nothing that FIPS 140 does not allow. */
const struct wh_gcm_ops *wh_gcm_choose(unsigned long libcrypto_version, bool is_fips);

/** The one to use in this process. */
const struct wh_gcm_ops *wh_gcm_best(void);

#endif
