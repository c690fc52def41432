/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"
#include "base/handshake.h"

#include <criterion/criterion.h>
#include <string.h>

static const uint8_t secret[WH_SECRET_NBYTES] = "fifteen letters";
static const uint8_t other_secret[WH_SECRET_NBYTES] = "fifteen lettert";
static const uint8_t nonce_a[WH_NONCE_NBYTES] = {1, 2, 3};
static const uint8_t nonce_b[WH_NONCE_NBYTES] = {4, 5, 6};
static const uint8_t nonce_c[WH_NONCE_NBYTES] = {7, 8, 9};

/* Both ends and the messages between them. */
struct talk {
    struct wh_shake caller, answerer;
    uint8_t hello[WH_HELLO_NBYTES], challenge[WH_SHAKE_NBYTES_MAX], proof[WH_SHAKE_NBYTES_MAX];
    size_t nbytes;
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
    wh_put_le16(t.hello + 4, WH_PROTOCOL_VERSION + 1);
    cr_assert_eq(wh_shake_take(&t.answerer, t.hello, t.challenge, &t.nbytes), WHORL_E_UNSUPPORTED);
    cr_assert_eq(t.answerer.peer_version, WH_PROTOCOL_VERSION + 1);
    cr_assert_eq(t.nbytes, WH_CHALLENGE_NBYTES);
    cr_assert_arr_eq(t.challenge + WH_CHALLENGE_NBYTES - WH_MAC_NBYTES, zeros, WH_MAC_NBYTES);

    wh_put_le16(t.challenge + 4, WH_PROTOCOL_VERSION + 1);
    cr_assert_eq(wh_shake_take(&t.caller, t.challenge, t.proof, &t.nbytes), WHORL_E_UNSUPPORTED);
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
