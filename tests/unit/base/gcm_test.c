/* SPDX-License-Identifier: Apache-2.0 */
#include "base/gcm.h"

#include <criterion/criterion.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

/* Versions as OpenSSL_version_num() has them: 0xMNN00PP0 from 3.0 on, 0xMNNFFPPS before. */
static const unsigned long v1_1_1w = 0x1010117fUL, v3_0_19 = 0x30000130UL, v3_1_0 = 0x30100000UL,
                           v3_5_8 = 0x30500080UL;

Test(gcm, an_openssl_that_is_fast_is_used)
{
    cr_expect_eq(wh_gcm_choose(v3_1_0, false), &wh_gcm_openssl);
    cr_expect_eq(wh_gcm_choose(v3_5_8, false), &wh_gcm_openssl);
}

Test(gcm, whoever_wants_a_validated_module_gets_openssl)
{
    cr_expect_eq(wh_gcm_choose(v3_0_19, true), &wh_gcm_openssl);
    cr_expect_eq(wh_gcm_choose(v1_1_1w, true), &wh_gcm_openssl);
}

Test(gcm, before_that_the_other_library_is_used_where_it_can_be)
{
    const struct wh_gcm_ops *wanted =
        wh_gcm_ipsec_mb.is_fit() ? &wh_gcm_ipsec_mb : &wh_gcm_openssl;
    cr_expect_eq(wh_gcm_choose(v3_0_19, false), wanted);
    cr_expect_eq(wh_gcm_choose(v1_1_1w, false), wanted);
}

Test(gcm, this_process_asks_its_own_libcrypto)
{
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    cr_assert_eq(EVP_default_properties_enable_fips(NULL, 0), 1);
    cr_expect_eq(wh_gcm_best(), wh_gcm_choose(OpenSSL_version_num(), false));
    cr_assert_eq(EVP_default_properties_enable_fips(NULL, 1), 1);
    cr_expect_eq(wh_gcm_best(), &wh_gcm_openssl);
#else
    cr_expect_eq(wh_gcm_best(), wh_gcm_choose(OpenSSL_version_num(), FIPS_mode() != 0));
#endif
}
