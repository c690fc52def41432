/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets that are made from secrets (handshake.h). */
#include "base/handshake.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

static const uint8_t secret[WH_SECRET_NBYTES] = "fifteen letters";
static const uint8_t other_secret[WH_SECRET_NBYTES] = "fifteen lettert";

Test(secret, a_derived_one_depends_on_the_secret_the_word_and_what_it_is_for)
{
    static const struct {
        const uint8_t *secret;
        const char *word, *what;
    } rows[] = {
        {secret, "split", "7"},  {other_secret, "split", "7"}, {secret, "split7", ""},
        {secret, "shrink", "7"}, {secret, "split", "8"},       {secret, "split", ""},
    };
    enum { NROWS = sizeof(rows) / sizeof(rows[0]) };
    uint8_t derived[NROWS][WH_SECRET_NBYTES], again[WH_SECRET_NBYTES];
    for (size_t i = 0; i < NROWS; i++) {
        const char *what = rows[i].what;
        cr_assert_eq(wh_secret_derive(rows[i].secret, rows[i].word, what, strlen(what), derived[i]),
                     WHORL_OK);
        cr_assert_eq(wh_secret_derive(rows[i].secret, rows[i].word, what, strlen(what), again),
                     WHORL_OK);
        cr_expect_arr_eq(derived[i], again, WH_SECRET_NBYTES);
        for (size_t j = 0; j < i; j++) {
            cr_expect_arr_neq(derived[i], derived[j], WH_SECRET_NBYTES, "rows %zu and %zu", i, j);
        }
    }
}

Test(secret, a_derived_one_is_what_the_description_says)
{
    uint8_t text[16 + 3] = "split", mac[WH_MAC_NBYTES], derived[WH_SECRET_NBYTES];
    memcpy(text + 16, "abc", 3);
    cr_assert(HMAC(EVP_sha256(), secret, WH_SECRET_NBYTES, text, sizeof(text), mac, NULL) != NULL);
    cr_assert_eq(wh_secret_derive(secret, "split", "abc", 3, derived), WHORL_OK);
    cr_expect_arr_eq(derived, mac, WH_SECRET_NBYTES);
}
