/* SPDX-License-Identifier: Apache-2.0 */
#include "gcm_checks.h"

Test(gcm_openssl, does_as_published)
{
    gcm_check_known_answer(&wh_gcm_openssl);
    gcm_check_nothing(&wh_gcm_openssl);
}

Test(gcm_openssl, sees_every_bit_that_was_changed)
{
    gcm_check_forgeries(&wh_gcm_openssl);
}

Test(gcm_openssl, can_be_used_everywhere_and_says_which_it_is)
{
    cr_expect(wh_gcm_openssl.is_fit());
    const char *version = wh_gcm_openssl.version();
    cr_expect_not_null(strpbrk(version, "0123456789"), "\"%s\" has no version", version);
}
