/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"
#include "base/handshake.h"

#include <criterion/criterion.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <string.h>

static const uint8_t secret[WH_SECRET_NBYTES] = "fifteen letters";
static const uint8_t other_secret[WH_SECRET_NBYTES] = "fifteen lettert";
static const uint8_t nonce_a[WH_NONCE_NBYTES] = {1, 2, 3};
static const uint8_t nonce_b[WH_NONCE_NBYTES] = {4, 5, 6};
static const uint8_t nonce_c[WH_NONCE_NBYTES] = {7, 8, 9};

/* Where things are in hello and challenge. */
enum {
    AT_VERSION = 4,
    AT_PURPOSE = 6,
    AT_FLAGS = 8,
    AT_NONCE = 12,
    AT_DATA = 28,
    AT_SHARE = 60,
    AT_MAC = WH_HELLO_NBYTES,
};

/* Both ends and the messages between them. */
struct talk {
    struct wh_shake caller, answerer;
    uint8_t hello[WH_HELLO_NBYTES], challenge[WH_SHAKE_NBYTES_MAX], proof[WH_SHAKE_NBYTES_MAX];
    size_t nbytes;
    uint8_t none[WH_SHAKE_NBYTES_MAX];
};

static void talk_begin(struct talk *t, const uint8_t *caller_secret, const uint8_t *answerer_secret)
{
    wh_shake_call(&t->caller, caller_secret, WH_PURPOSE_JOIN, nonce_a, t->hello);
    wh_shake_answer(&t->answerer, answerer_secret, WH_PURPOSE_JOIN, nonce_b);
}

/* Up to the proof, which is in t->proof. */
static void talk_to_proof(struct talk *t)
{
    talk_begin(t, secret, secret);
    cr_assert_eq(wh_shake_take(&t->answerer, t->hello, t->challenge, &t->nbytes),
                 WHORL_IN_PROGRESS);
    cr_assert_eq(t->nbytes, WH_CHALLENGE_NBYTES);
    cr_assert_eq(wh_shake_take(&t->caller, t->challenge, t->proof, &t->nbytes), WHORL_OK);
    cr_assert_eq(t->nbytes, WH_PROOF_NBYTES);
}

Test(handshake, who_knows_the_secret_is_believed)
{
    struct talk t;
    uint8_t none[WH_SHAKE_NBYTES_MAX];
    talk_begin(&t, secret, secret);
    cr_assert_eq(wh_shake_expects(&t.answerer), WH_HELLO_NBYTES);
    cr_assert_eq(wh_shake_expects(&t.caller), WH_CHALLENGE_NBYTES);
    talk_to_proof(&t);
    cr_assert_eq(wh_shake_expects(&t.answerer), WH_PROOF_NBYTES);
    cr_assert_eq(wh_shake_take(&t.answerer, t.proof, none, &t.nbytes), WHORL_OK);
    cr_assert_eq(t.nbytes, 0);
    cr_assert_eq(wh_shake_expects(&t.answerer), 0);
    cr_assert_eq(wh_shake_expects(&t.caller), 0);
}

Test(handshake, a_caller_shows_nothing_to_one_who_does_not_know_the_secret)
{
    struct talk t;
    talk_begin(&t, secret, other_secret);
    cr_assert_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes), WHORL_IN_PROGRESS);
    cr_assert_eq(wh_shake_take(&t.caller, t.challenge, t.proof, &t.nbytes), WHORL_E_TRUST);
    cr_assert_eq(t.nbytes, 0);
    cr_assert_eq(t.caller.state, WH_SHAKE_FAILED);
}

Test(handshake, every_flipped_bit_of_the_challenge_is_noticed)
{
    for (uint32_t bit = 0; bit < 8 * WH_CHALLENGE_NBYTES; bit++) {
        struct talk t;
        talk_begin(&t, secret, secret);
        cr_assert_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes),
                     WHORL_IN_PROGRESS);
        t.challenge[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_lt(wh_shake_take(&t.caller, t.challenge, t.proof, &t.nbytes), 0, "bit %u", bit);
    }
}

Test(handshake, every_flipped_bit_of_the_proof_is_noticed)
{
    for (uint32_t bit = 0; bit < 8 * WH_PROOF_NBYTES; bit++) {
        struct talk t;
        uint8_t none[WH_SHAKE_NBYTES_MAX];
        talk_to_proof(&t);
        t.proof[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(wh_shake_take(&t.answerer, t.proof, none, &t.nbytes), WHORL_E_TRUST);
    }
}

Test(handshake, a_recorded_proof_does_not_work_again)
{
    struct talk t;
    uint8_t none[WH_SHAKE_NBYTES_MAX];
    talk_to_proof(&t);
    struct wh_shake again;
    wh_shake_answer(&again, secret, WH_PURPOSE_JOIN, nonce_c);
    cr_assert_eq(wh_shake_take(&again, t.hello, none, &t.nbytes), WHORL_IN_PROGRESS);
    cr_assert_eq(wh_shake_take(&again, t.proof, none, &t.nbytes), WHORL_E_TRUST);
}

Test(handshake, a_recorded_challenge_does_not_work_again)
{
    struct talk t;
    talk_to_proof(&t);
    struct wh_shake again;
    uint8_t hello[WH_HELLO_NBYTES];
    wh_shake_call(&again, secret, WH_PURPOSE_JOIN, nonce_c, hello);
    cr_assert_eq(wh_shake_take(&again, t.challenge, t.proof, &t.nbytes), WHORL_E_TRUST);
}

Test(handshake, an_answerers_own_proof_sent_back_is_not_believed)
{
    struct talk t;
    uint8_t none[WH_SHAKE_NBYTES_MAX];
    talk_begin(&t, secret, secret);
    cr_assert_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes), WHORL_IN_PROGRESS);
    const uint8_t *mac = t.challenge + WH_CHALLENGE_NBYTES - WH_MAC_NBYTES;
    cr_assert_eq(wh_shake_take(&t.answerer, mac, none, &t.nbytes), WHORL_E_TRUST);
}

Test(handshake, a_call_to_the_root_is_none_to_a_rank)
{
    struct talk t;
    wh_shake_call(&t.caller, secret, WH_PURPOSE_JOIN, nonce_a, t.hello);
    wh_shake_answer(&t.answerer, secret, WH_PURPOSE_EDGE, nonce_b);
    cr_assert_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes), WHORL_E_ARG);
    cr_assert_eq(t.nbytes, 0);
}

Test(handshake, another_version_is_told_ours_and_learns_nothing_else)
{
    struct talk t;
    const uint8_t zeros[WH_MAC_NBYTES] = {0};
    talk_begin(&t, secret, secret);
    wh_put_le16(t.hello + AT_VERSION, WH_PROTOCOL_VERSION + 1);
    cr_assert_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes), WHORL_E_UNSUPPORTED);
    cr_assert_eq(t.answerer.peer_version, WH_PROTOCOL_VERSION + 1);
    cr_assert_eq(t.nbytes, WH_CHALLENGE_NBYTES);
    cr_assert_arr_eq(t.challenge + WH_CHALLENGE_NBYTES - WH_MAC_NBYTES, zeros, WH_MAC_NBYTES);

    wh_put_le16(t.challenge + AT_VERSION, WH_PROTOCOL_VERSION + 1);
    cr_assert_eq(wh_shake_take(&t.caller, t.challenge, t.proof, &t.nbytes), WHORL_E_UNSUPPORTED);
}

/* Every beginning of a message is one, and none with another byte among its first four. */
static void expect_glances(const struct wh_shake *shake, const uint8_t *message, size_t nbytes)
{
    uint8_t bytes[WH_SHAKE_NBYTES_MAX];
    for (size_t n = 1; n <= nbytes; n++) {
        cr_assert_eq(wh_shake_glance(shake, message, n), WHORL_IN_PROGRESS, "%zu bytes", n);
        memcpy(bytes, message, n);
        bytes[n < 4 ? n - 1 : n % 4] ^= 0x20;
        cr_assert_eq(wh_shake_glance(shake, bytes, n), WHORL_E_ARG, "%zu bytes", n);
    }
}

Test(handshake, a_stranger_is_known_by_its_first_bytes)
{
    struct talk t;
    talk_begin(&t, secret, secret);
    expect_glances(&t.answerer, t.hello, WH_HELLO_NBYTES);
    talk_to_proof(&t);
    talk_begin(&t, secret, secret);
    expect_glances(&t.caller, t.challenge, WH_CHALLENGE_NBYTES);
    cr_assert_eq(wh_shake_glance(&t.answerer, t.hello, 0), WHORL_IN_PROGRESS);
}

Test(handshake, after_the_end_nothing_is_taken)
{
    struct talk t;
    talk_to_proof(&t);
    cr_assert_eq(wh_shake_take(&t.caller, t.challenge, t.proof, &t.nbytes), WHORL_E_USAGE);
    wh_shake_fini(&t.caller);
    const uint8_t zeros[WH_SECRET_NBYTES] = {0};
    cr_assert_arr_eq(t.caller.secret, zeros, WH_SECRET_NBYTES);
}

/* ---- connections for data: terms, keys, and who is in the middle ----------------------------- */

/* As connections for data begin; either end may encrypt. */
static void data_begin(struct talk *t, bool caller_encrypts, bool answerer_encrypts)
{
    struct wh_shake_terms caller = {.encrypts = caller_encrypts, .data = "rank 3, channel 1"};
    struct wh_shake_terms answerer = {.encrypts = answerer_encrypts, .data = "rank 5"};
    memset(caller.private_key, 0x33, sizeof(caller.private_key));
    memset(answerer.private_key, 0x55, sizeof(answerer.private_key));
    wh_shake_call(&t->caller, secret, WH_PURPOSE_DATA, nonce_a, t->hello);
    wh_shake_answer(&t->answerer, secret, WH_PURPOSE_DATA, nonce_b);
    cr_assert_eq(wh_shake_set_terms(&t->caller, &caller, t->hello), WHORL_OK);
    cr_assert_eq(wh_shake_set_terms(&t->answerer, &answerer, NULL), WHORL_OK);
}

/* What both ends make of three messages of which byte `at`, counted over all three, is changed to
 * another by `mask`. An end that gets nothing more has not succeeded. */
static void data_go_on(struct talk *t, size_t at, uint8_t mask, whorl_result_t *caller_rc,
                       whorl_result_t *answerer_rc)
{
    uint8_t *all[] = {t->hello, t->challenge, t->proof};
    const size_t nbytes[] = {WH_HELLO_NBYTES, WH_CHALLENGE_NBYTES, WH_PROOF_NBYTES};
    for (size_t i = 0; i < 3; i++) {
        if (i == 1) {
            *answerer_rc = wh_shake_take(&t->answerer, t->hello, t->challenge, &t->nbytes);
        } else if (i == 2) {
            *caller_rc = wh_shake_take(&t->caller, t->challenge, t->proof, &t->nbytes);
        }
        if (i > 0 && t->nbytes == 0) {
            return;
        }
        cr_assert(i == 0 || t->nbytes == nbytes[i]);
        if (at < nbytes[i]) {
            all[i][at] ^= mask;
        }
        at -= nbytes[i]; /* wraps, and is no place any more, once it was used */
    }
    *answerer_rc = wh_shake_take(&t->answerer, t->proof, t->none, &t->nbytes);
    cr_assert_eq(t->nbytes, 0);
}

static const size_t nowhere = SIZE_MAX / 2;

Test(handshake, both_ends_get_the_same_two_keys)
{
    struct talk t;
    whorl_result_t caller_rc, answerer_rc;
    data_begin(&t, true, true);
    data_go_on(&t, nowhere, 0, &caller_rc, &answerer_rc);
    cr_assert_eq(caller_rc, WHORL_OK);
    cr_assert_eq(answerer_rc, WHORL_OK);
    cr_expect(t.caller.peer_encrypts && t.answerer.peer_encrypts);
    uint8_t keys[4][WH_SEAL_KEY_NBYTES];
    wh_shake_keys(&t.caller, keys[0], keys[1]);
    wh_shake_keys(&t.answerer, keys[2], keys[3]);
    cr_expect_arr_eq(keys[0], keys[3], WH_SEAL_KEY_NBYTES);
    cr_expect_arr_eq(keys[1], keys[2], WH_SEAL_KEY_NBYTES);
    cr_expect_arr_neq(keys[0], keys[1], WH_SEAL_KEY_NBYTES);
}

/* The keys of data_begin() with encryption, computed apart from the library and from libcrypto's
 * HKDF: HMAC-SHA256 as RFC 5869 says, with Python's hmac, over what handshake.h describes. */
static const uint8_t known_keys[2][WH_SEAL_KEY_NBYTES] = {
    {0xe7, 0x7e, 0xfb, 0x46, 0x32, 0xf2, 0x79, 0xfb, 0xba, 0xec, 0xdb,
     0x1b, 0xe3, 0x00, 0x15, 0x0b, 0xc4, 0xa7, 0xa1, 0x73, 0x17, 0xa2,
     0x8c, 0x7d, 0x6d, 0xb4, 0xe9, 0x12, 0xc5, 0x5f, 0x5c, 0xe1},
    {0x64, 0xad, 0x37, 0xbf, 0xc8, 0xc2, 0x67, 0xa5, 0x7f, 0xe9, 0x4a,
     0xad, 0x21, 0x8b, 0xaf, 0xad, 0x7d, 0x6e, 0xf3, 0xc8, 0xd3, 0x46,
     0xdb, 0x15, 0xd5, 0xfc, 0x18, 0x26, 0xef, 0x01, 0x43, 0x75},
};

Test(handshake, keys_are_what_the_description_says)
{
    struct talk t;
    whorl_result_t caller_rc, answerer_rc;
    uint8_t send_key[WH_SEAL_KEY_NBYTES], recv_key[WH_SEAL_KEY_NBYTES];
    data_begin(&t, true, true);
    data_go_on(&t, nowhere, 0, &caller_rc, &answerer_rc);
    cr_assert(caller_rc == WHORL_OK && answerer_rc == WHORL_OK);
    wh_shake_keys(&t.caller, send_key, recv_key);
    cr_expect_arr_eq(send_key, known_keys[0], WH_SEAL_KEY_NBYTES);
    cr_expect_arr_eq(recv_key, known_keys[1], WH_SEAL_KEY_NBYTES);
}

Test(handshake, keys_are_fresh_with_every_share_nonce_and_secret)
{
    uint8_t keys[5][WH_SEAL_KEY_NBYTES], recv_key[WH_SEAL_KEY_NBYTES];
    for (size_t i = 0; i < 5; i++) {
        struct wh_shake_terms terms = {.encrypts = true};
        struct talk t;
        whorl_result_t caller_rc, answerer_rc;
        const uint8_t *both_secret = i == 1 ? other_secret : secret;
        const uint8_t *nonce = i == 2 ? nonce_c : nonce_a;
        terms.private_key[0] = i == 3 ? 8 : 16; /* the lowest three bits do not count */
        terms.data[0] = i == 4;
        wh_shake_call(&t.caller, both_secret, WH_PURPOSE_DATA, nonce, t.hello);
        wh_shake_answer(&t.answerer, both_secret, WH_PURPOSE_DATA, nonce_b);
        cr_assert_eq(wh_shake_set_terms(&t.caller, &terms, t.hello), WHORL_OK);
        cr_assert_eq(wh_shake_set_terms(&t.answerer, &terms, NULL), WHORL_OK);
        data_go_on(&t, nowhere, 0, &caller_rc, &answerer_rc);
        cr_assert_eq(answerer_rc, WHORL_OK);
        wh_shake_keys(&t.caller, keys[i], recv_key);
        for (size_t j = 0; j < i; j++) {
            cr_expect_arr_neq(keys[i], keys[j], WH_SEAL_KEY_NBYTES, "%zu and %zu", i, j);
        }
    }
}

Test(handshake, each_end_is_told_the_others_data_with_and_without_encryption)
{
    for (int encrypts = 0; encrypts <= 1; encrypts++) {
        struct talk t;
        whorl_result_t caller_rc, answerer_rc;
        data_begin(&t, encrypts, encrypts);
        data_go_on(&t, nowhere, 0, &caller_rc, &answerer_rc);
        cr_assert(caller_rc == WHORL_OK && answerer_rc == WHORL_OK);
        cr_expect_str_eq((const char *)wh_shake_peer_data(&t.caller), "rank 5");
        cr_expect_str_eq((const char *)wh_shake_peer_data(&t.answerer), "rank 3, channel 1");
        cr_expect_eq(t.caller.peer_encrypts, encrypts);
        cr_expect_eq(t.answerer.peer_encrypts, encrypts);
    }
}

Test(handshake, one_end_that_encrypts_is_told_apart_on_both_ends)
{
    for (int caller = 0; caller <= 1; caller++) {
        struct talk t;
        whorl_result_t caller_rc, answerer_rc;
        data_begin(&t, caller, !caller);
        data_go_on(&t, nowhere, 0, &caller_rc, &answerer_rc);
        cr_expect_eq(caller_rc, WHORL_E_CONFIG);
        cr_expect_eq(answerer_rc, WHORL_E_CONFIG);
        cr_expect_eq(t.caller.peer_encrypts, !caller);
        cr_expect_eq(t.answerer.peer_encrypts, caller);
        cr_expect_str_eq((const char *)wh_shake_peer_data(&t.caller), "rank 5");
        cr_expect_eq(t.caller.state, WH_SHAKE_FAILED);
        cr_expect_eq(t.answerer.state, WH_SHAKE_FAILED);
    }
}

Test(handshake, whatever_bit_is_changed_on_the_way_no_end_that_sees_it_goes_on)
{
    const size_t hello_challenge = WH_HELLO_NBYTES + WH_CHALLENGE_NBYTES;
    for (size_t bit = 0; bit < 8 * (hello_challenge + WH_PROOF_NBYTES); bit++) {
        struct talk t;
        whorl_result_t caller_rc = WHORL_IN_PROGRESS, answerer_rc = WHORL_IN_PROGRESS;
        bool encrypts = bit % 2 == 0; /* both kinds meet every byte */
        data_begin(&t, encrypts, encrypts);
        data_go_on(&t, bit / 8, (uint8_t)(1u << bit % 8), &caller_rc, &answerer_rc);
        cr_assert_neq(answerer_rc, WHORL_OK, "bit %zu", bit);
        if (bit / 8 < hello_challenge) {
            cr_assert_neq(caller_rc, WHORL_OK, "bit %zu", bit);
            cr_assert_neq(caller_rc, WHORL_E_CONFIG, "bit %zu", bit);
        }
        cr_assert_neq(answerer_rc, WHORL_E_CONFIG, "bit %zu", bit);
    }
}

/* Takes encryption out of a head, or puts it in, as somebody in the middle would. */
static void change_flag(uint8_t *head)
{
    if (head[AT_FLAGS] == 0) {
        head[AT_FLAGS] = 1;
        memset(head + AT_SHARE, 9, WH_SHARE_NBYTES);
    } else {
        head[AT_FLAGS] = 0;
        memset(head + AT_SHARE, 0, WH_SHARE_NBYTES);
    }
}

Test(handshake, who_changes_a_flag_on_the_way_is_not_believed)
{
    /* Which ends encrypt, and whose flag is changed: both may be, so that both ends think that the
     * other is as they are, or that none is. */
    for (unsigned how = 0; how < 16; how++) {
        struct talk t;
        if (how >> 2 == 0) {
            continue;
        }
        data_begin(&t, how & 1, how & 2);
        if (how & 4) {
            change_flag(t.hello);
        }
        cr_assert_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes),
                     WHORL_IN_PROGRESS);
        if (how & 8) {
            change_flag(t.challenge);
        }
        cr_expect_eq(wh_shake_take(&t.caller, t.challenge, t.proof, &t.nbytes), WHORL_E_TRUST,
                     "how %u", how);
        cr_expect_eq(t.nbytes, 0, "how %u: a proof was shown", how);
        memset(t.proof, 0, sizeof(t.proof));
        cr_expect_eq(wh_shake_take(&t.answerer, t.proof, t.none, &t.nbytes), WHORL_E_TRUST,
                     "how %u", how);
    }
}

Test(handshake, shares_that_were_exchanged_for_others_are_not_believed)
{
    /* 0: the caller's own; 1: the answerer's own; 2: somebody's. */
    for (int how = 0; how < 3; how++) {
        struct talk t;
        data_begin(&t, true, true);
        if (how == 2) {
            memset(t.hello + AT_SHARE, 9, WH_SHARE_NBYTES);
        }
        cr_assert_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes),
                     WHORL_IN_PROGRESS);
        if (how == 0) {
            memcpy(t.challenge + AT_SHARE, t.hello + AT_SHARE, WH_SHARE_NBYTES);
        } else if (how == 2) {
            memset(t.challenge + AT_SHARE, 9, WH_SHARE_NBYTES);
        } else {
            uint8_t share[WH_SHARE_NBYTES];
            memcpy(share, t.challenge + AT_SHARE, WH_SHARE_NBYTES);
            memcpy(t.challenge + AT_SHARE, t.hello + AT_SHARE, WH_SHARE_NBYTES);
            memcpy(t.hello + AT_SHARE, share, WH_SHARE_NBYTES);
        }
        cr_expect_eq(wh_shake_take(&t.caller, t.challenge, t.proof, &t.nbytes), WHORL_E_TRUST);
        cr_expect_eq(t.nbytes, 0);
    }
}

/* Points of order 1, 2, 4 and 8 on the curve and on its twist, as numbers, little endian: 0, 1,
 * p - 1, p, p + 1 and two of order 8, from RFC 7748's remarks and the curve's own paper. */
static const struct {
    uint8_t low, middle, high;
} few[] = {
    {0x00, 0x00, 0x00}, {0x01, 0x00, 0x00}, {0xec, 0xff, 0x7f},
    {0xed, 0xff, 0x7f}, {0xee, 0xff, 0x7f},
};
static const uint8_t of_order_8[2][WH_SHARE_NBYTES] = {
    {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
     0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
     0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
    {0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
     0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
     0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
};

static void low_share(size_t i, uint8_t share_out[WH_SHARE_NBYTES])
{
    if (i >= sizeof(few) / sizeof(few[0])) {
        memcpy(share_out, of_order_8[i - sizeof(few) / sizeof(few[0])], WH_SHARE_NBYTES);
        return;
    }
    memset(share_out, few[i].middle, WH_SHARE_NBYTES);
    share_out[0] = few[i].low;
    share_out[WH_SHARE_NBYTES - 1] = few[i].high;
}

static void sign(const char *word, const struct talk *t, size_t challenge_nbytes,
                 uint8_t mac_out[WH_MAC_NBYTES])
{
    uint8_t text[16 + WH_HELLO_NBYTES + WH_CHALLENGE_NBYTES] = {0};
    memcpy(text, word, strlen(word));
    memcpy(text + 16, t->hello, WH_HELLO_NBYTES);
    memcpy(text + 16 + WH_HELLO_NBYTES, t->challenge, challenge_nbytes);
    cr_assert(HMAC(EVP_sha256(), secret, WH_SECRET_NBYTES, text,
                   16 + WH_HELLO_NBYTES + challenge_nbytes, mac_out, NULL) != NULL);
}

Test(handshake, a_share_that_makes_every_key_known_is_refused_even_from_one_who_knows_the_secret)
{
    for (size_t i = 0; i < sizeof(few) / sizeof(few[0]) + 2; i++) {
        struct talk t;
        data_begin(&t, true, true);
        cr_assert_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes),
                     WHORL_IN_PROGRESS);
        low_share(i, t.challenge + AT_SHARE);
        sign("whorl answers", &t, AT_MAC, t.challenge + AT_MAC);
        cr_expect_eq(wh_shake_take(&t.caller, t.challenge, t.proof, &t.nbytes), WHORL_E_TRUST,
                     "challenge with point %zu", i);
        cr_expect_eq(t.nbytes, 0);

        data_begin(&t, true, true);
        low_share(i, t.hello + AT_SHARE);
        cr_assert_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes),
                     WHORL_IN_PROGRESS);
        sign("whorl calls", &t, WH_CHALLENGE_NBYTES, t.proof);
        cr_expect_eq(wh_shake_take(&t.answerer, t.proof, t.none, &t.nbytes), WHORL_E_TRUST,
                     "hello with point %zu", i);
    }
    cr_expect_eq(ERR_peek_error(), 0, "the program's queue of errors is not ours to fill");
}

Test(handshake, a_proof_that_was_made_by_hand_is_believed)
{
    /* What the test above would say anyway if sign() were wrong. */
    struct talk t;
    data_begin(&t, true, true);
    cr_assert_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes), WHORL_IN_PROGRESS);
    sign("whorl answers", &t, AT_MAC, t.challenge + AT_MAC);
    cr_expect_eq(wh_shake_take(&t.caller, t.challenge, t.proof, &t.nbytes), WHORL_OK);
    sign("whorl calls", &t, WH_CHALLENGE_NBYTES, t.proof);
    cr_expect_eq(wh_shake_take(&t.answerer, t.proof, t.none, &t.nbytes), WHORL_OK);
}

Test(handshake, no_end_takes_its_own_message_back)
{
    struct talk t;
    uint8_t padded[WH_SHAKE_NBYTES_MAX] = {0};
    data_begin(&t, true, true);
    memcpy(padded, t.hello, WH_HELLO_NBYTES);
    cr_expect_eq(wh_shake_take(&t.caller, padded, t.none, &t.nbytes), WHORL_E_ARG);

    data_begin(&t, true, true);
    cr_assert_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes), WHORL_IN_PROGRESS);
    cr_expect_eq(wh_shake_take(&t.answerer, t.challenge + AT_MAC, t.none, &t.nbytes),
                 WHORL_E_TRUST);

    /* The answerer's message as a call to another connection of the same end. */
    struct wh_shake other;
    wh_shake_answer(&other, secret, WH_PURPOSE_DATA, nonce_c);
    cr_expect_eq(wh_shake_take(&other, t.challenge, t.none, &t.nbytes), WHORL_E_ARG);
}

Test(handshake, what_was_recorded_works_with_no_later_connection)
{
    struct talk t;
    whorl_result_t caller_rc, answerer_rc;
    struct wh_shake_terms terms = {.encrypts = true, .private_key = {1}};
    data_begin(&t, true, true);
    data_go_on(&t, nowhere, 0, &caller_rc, &answerer_rc);
    cr_assert(caller_rc == WHORL_OK && answerer_rc == WHORL_OK);

    /* Hello and proof to the same end later. */
    struct wh_shake later;
    uint8_t bytes[WH_SHAKE_NBYTES_MAX];
    wh_shake_answer(&later, secret, WH_PURPOSE_DATA, nonce_c);
    cr_assert_eq(wh_shake_set_terms(&later, &terms, NULL), WHORL_OK);
    cr_assert_eq(wh_shake_take(&later, t.hello, bytes, &t.nbytes), WHORL_IN_PROGRESS);
    cr_expect_eq(wh_shake_take(&later, t.proof, bytes, &t.nbytes), WHORL_E_TRUST);

    /* The challenge to the same end later, even with the same share. */
    memset(terms.private_key, 0x33, sizeof(terms.private_key));
    wh_shake_call(&later, secret, WH_PURPOSE_DATA, nonce_c, bytes);
    cr_assert_eq(wh_shake_set_terms(&later, &terms, bytes), WHORL_OK);
    cr_expect_eq(wh_shake_take(&later, t.challenge, bytes, &t.nbytes), WHORL_E_TRUST);
    cr_expect_eq(t.nbytes, 0);
}

Test(handshake, a_wrong_secret_gives_no_keys)
{
    struct talk t;
    struct wh_shake_terms terms = {.encrypts = true, .private_key = {1}};
    data_begin(&t, true, true);
    wh_shake_answer(&t.answerer, other_secret, WH_PURPOSE_DATA, nonce_b);
    cr_assert_eq(wh_shake_set_terms(&t.answerer, &terms, NULL), WHORL_OK);
    cr_assert_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes), WHORL_IN_PROGRESS);
    cr_expect_eq(wh_shake_take(&t.caller, t.challenge, t.proof, &t.nbytes), WHORL_E_TRUST);
    cr_expect_eq(t.nbytes, 0);
    sign("whorl calls", &t, WH_CHALLENGE_NBYTES, t.proof);
    cr_expect_eq(wh_shake_take(&t.answerer, t.proof, t.none, &t.nbytes), WHORL_E_TRUST);
}

Test(handshake, a_head_says_nothing_that_has_no_meaning)
{
    struct talk t;
    data_begin(&t, false, false);
    t.hello[AT_FLAGS] = 2;
    cr_expect_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes), WHORL_E_ARG);
    data_begin(&t, false, false);
    t.hello[AT_SHARE + 31] = 1;
    cr_expect_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes), WHORL_E_ARG);
    cr_expect_eq(t.nbytes, 0);
}

Test(handshake, nothing_is_left_after_the_end)
{
    struct talk t;
    whorl_result_t caller_rc, answerer_rc;
    data_begin(&t, true, true);
    data_go_on(&t, nowhere, 0, &caller_rc, &answerer_rc);
    wh_shake_fini(&t.caller);
    const struct wh_shake zeros = {0};
    cr_expect_arr_eq((const uint8_t *)&t.caller, (const uint8_t *)&zeros, sizeof(zeros));
}
