/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the handshake: a stranger at either end, who sends what it likes, and somebody in the
 * middle of two ends that know the secret, who changes what they send. The first byte chooses; two
 * of its bits say which ends encrypt.
 *
 * Build with clang -fsanitize=fuzzer,address,undefined.
 */
#include "base/handshake.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes);

static const uint8_t secret[WH_SECRET_NBYTES] = {1, 2, 3};

static void check(bool good)
{
    if (!good) {
        abort();
    }
}

/* *hello_out only if is_caller. */
static void begin(struct wh_shake *shake, bool is_caller, bool encrypts,
                  uint8_t hello_out[WH_HELLO_NBYTES])
{
    const uint8_t nonce[WH_NONCE_NBYTES] = {is_caller ? 4 : 5};
    const struct wh_shake_terms terms = {.encrypts = encrypts,
                                         .private_key = {is_caller ? 16 : 32}};
    if (is_caller) {
        wh_shake_call(shake, secret, WH_PURPOSE_DATA, nonce, hello_out);
    } else {
        wh_shake_answer(shake, secret, WH_PURPOSE_DATA, nonce);
    }
    check(wh_shake_set_terms(shake, &terms, is_caller ? hello_out : NULL) == WHORL_OK);
}

/* Without the secret nobody gets to the end, as whichever end and with whatever bytes. */
static void meet_stranger(const uint8_t *bytes, size_t nbytes, bool is_caller, bool encrypts)
{
    struct wh_shake shake;
    uint8_t reply[WH_SHAKE_NBYTES_MAX];
    size_t reply_nbytes;
    begin(&shake, is_caller, encrypts, reply);
    size_t expects = wh_shake_expects(&shake);
    while (expects > 0 && nbytes >= expects) {
        whorl_result_t rc = wh_shake_take(&shake, bytes, reply, &reply_nbytes);
        check(rc != WHORL_OK && rc != WHORL_E_CONFIG && reply_nbytes <= sizeof(reply));
        bytes += expects;
        nbytes -= expects;
        expects = wh_shake_expects(&shake);
    }
    wh_shake_fini(&shake);
}

/* What somebody in the middle does to message 0, 1 or 2: groups of three bytes say which message,
 * where, and what is xored. Returns whether the message is another one now. */
static bool change(const uint8_t *bytes, size_t nbytes, unsigned message, uint8_t *text,
                   size_t text_nbytes)
{
    uint8_t before[WH_SHAKE_NBYTES_MAX];
    memcpy(before, text, text_nbytes);
    for (; nbytes >= 3; bytes += 3, nbytes -= 3) {
        if (bytes[0] % 3 == message) {
            text[bytes[1] % text_nbytes] ^= bytes[2];
        }
    }
    return memcmp(before, text, text_nbytes) != 0;
}

static void meet_in_the_middle(const uint8_t *bytes, size_t nbytes, bool caller_encrypts,
                               bool answerer_encrypts)
{
    struct wh_shake caller, answerer;
    uint8_t text[WH_SHAKE_NBYTES_MAX];
    size_t text_nbytes;
    whorl_result_t wanted = caller_encrypts == answerer_encrypts ? WHORL_OK : WHORL_E_CONFIG;
    begin(&caller, true, caller_encrypts, text);
    begin(&answerer, false, answerer_encrypts, text);

    bool changed = change(bytes, nbytes, 0, text, WH_HELLO_NBYTES);
    whorl_result_t answerer_rc = wh_shake_take(&answerer, text, text, &text_nbytes);
    check(answerer_rc != WHORL_OK && answerer_rc != WHORL_E_CONFIG);
    check(changed || answerer_rc == WHORL_IN_PROGRESS);
    if (text_nbytes > 0) {
        changed |= change(bytes, nbytes, 1, text, WH_CHALLENGE_NBYTES);
        whorl_result_t caller_rc = wh_shake_take(&caller, text, text, &text_nbytes);
        check(changed ? caller_rc < 0 && caller_rc != WHORL_E_CONFIG && text_nbytes == 0
                      : caller_rc == wanted && text_nbytes == WH_PROOF_NBYTES);
    }
    if (text_nbytes > 0) {
        changed |= change(bytes, nbytes, 2, text, WH_PROOF_NBYTES);
        answerer_rc = wh_shake_take(&answerer, text, text, &text_nbytes);
        check(answerer_rc == (changed ? WHORL_E_TRUST : wanted));
    }
    if (answerer_rc == WHORL_OK && caller_encrypts) {
        uint8_t keys[4][WH_SEAL_KEY_NBYTES];
        wh_shake_keys(&caller, keys[0], keys[1]);
        wh_shake_keys(&answerer, keys[2], keys[3]);
        check(memcmp(keys[0], keys[3], WH_SEAL_KEY_NBYTES) == 0);
        check(memcmp(keys[1], keys[2], WH_SEAL_KEY_NBYTES) == 0);
    }
    wh_shake_fini(&caller);
    wh_shake_fini(&answerer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes)
{
    if (nbytes == 0) {
        return 0;
    }
    bool caller_encrypts = (bytes[0] & 4) != 0, answerer_encrypts = (bytes[0] & 8) != 0;
    if (bytes[0] % 4 == 0) {
        meet_stranger(bytes + 1, nbytes - 1, true, caller_encrypts);
    } else if (bytes[0] % 4 == 1) {
        meet_stranger(bytes + 1, nbytes - 1, false, answerer_encrypts);
    } else {
        meet_in_the_middle(bytes + 1, nbytes - 1, caller_encrypts, answerer_encrypts);
    }
    return 0;
}
