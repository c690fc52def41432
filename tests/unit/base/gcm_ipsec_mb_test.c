/* SPDX-License-Identifier: Apache-2.0 */
#include "gcm_checks.h"

/* A skip with its reason where the library cannot be used. */
static void need_library(void)
{
    if (!wh_gcm_ipsec_mb.is_fit()) {
        cr_skip_test("not here: %s", wh_gcm_ipsec_mb.version());
    }
}

Test(gcm_ipsec_mb, does_as_published)
{
    need_library();
    gcm_check_known_answer(&wh_gcm_ipsec_mb);
    gcm_check_nothing(&wh_gcm_ipsec_mb);
}

Test(gcm_ipsec_mb, sees_every_bit_that_was_changed)
{
    need_library();
    gcm_check_forgeries(&wh_gcm_ipsec_mb);
}

Test(gcm_ipsec_mb, says_which_it_is)
{
    need_library();
    const char *version = wh_gcm_ipsec_mb.version();
    cr_expect_not_null(strpbrk(version, "0123456789"), "\"%s\" has no version", version);
}

/* Ranks may be on machines with different libraries. Lengths around the widths of the loops of both,
 * and cuts that leave a part of a block. */
Test(gcm_ipsec_mb, writes_what_openssl_writes)
{
    enum { NBYTES_MAX = 70000 };
    static uint8_t text[NBYTES_MAX], sealed[2][NBYTES_MAX], opened[NBYTES_MAX];
    static const size_t sizes[] = {1,    15,   16,   17,   127,  128,  129,   255,   256,  257,
                                   767,  768,  769,  1023, 1024, 1025, 4097,  16384, 65535, 65536,
                                   NBYTES_MAX};
    need_library();
    for (size_t i = 0; i < NBYTES_MAX; i++) {
        text[i] = (uint8_t)(i * 7 + i / 256);
    }
    struct wh_gcm *gcms[2] = {wh_gcm_openssl.create(gcm_key), wh_gcm_ipsec_mb.create(gcm_key)};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t cut = 0; cut <= sizes[i]; cut += 1 + sizes[i] / 7) {
            uint8_t tags[2][WH_GCM_TAG_NBYTES];
            for (size_t k = 0; k < 2; k++) {
                gcm_work(gcms[k], true, gcm_clear, text, sealed[k], sizes[i], cut);
                cr_assert(gcms[k]->ops->end_encrypt(gcms[k], tags[k]));
            }
            cr_assert_eq(memcmp(sealed[0], sealed[1], sizes[i]), 0, "%zu, cut at %zu", sizes[i], cut);
            cr_assert_arr_eq(tags[0], tags[1], WH_GCM_TAG_NBYTES);
            gcm_work(gcms[1], false, gcm_clear, sealed[0], opened, sizes[i], cut / 2);
            cr_assert(gcms[1]->ops->end_decrypt(gcms[1], tags[0]), "%zu", sizes[i]);
            cr_assert_eq(memcmp(opened, text, sizes[i]), 0, "%zu, cut at %zu", sizes[i], cut);
        }
    }
    gcms[0]->ops->destroy(gcms[0]);
    gcms[1]->ops->destroy(gcms[1]);
}
