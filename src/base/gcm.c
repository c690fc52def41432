/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which library encrypts. See gcm.h.
 *
 * OpenSSL, unless the other one is known to be faster: from version 3.1 on OpenSSL has loops for
 * the 512-bit AES instructions, before that it has not, and ipsec-mb does twice to three times as
 * much (docs/tcp.md). Whoever demands FIPS 140 has a validated OpenSSL, and gets that.
 */
#include "base/gcm.h"

#include "base/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

static const unsigned long first_wide = 0x30100000UL; /* 3.1.0 */

const struct wh_gcm_ops *wh_gcm_choose(unsigned long libcrypto_version, bool is_fips)
{
    bool openssl_is_slow = libcrypto_version < first_wide;
    return openssl_is_slow && !is_fips && wh_gcm_ipsec_mb.is_fit() ? &wh_gcm_ipsec_mb
                                                                   : &wh_gcm_openssl;
}

static bool is_fips(void)
{
    wh_crypto_begin();
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    bool is = EVP_default_properties_is_fips_enabled(NULL) != 0;
#else
    bool is = FIPS_mode() != 0;
#endif
    wh_crypto_end();
    return is;
}

const struct wh_gcm_ops *wh_gcm_best(void)
{
    return wh_gcm_choose(OpenSSL_version_num(), is_fips());
}
