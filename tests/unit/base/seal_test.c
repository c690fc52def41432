/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/seal.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_NBYTES = 70000, HEAD_NBYTES = 20 };

static const uint8_t key[WH_SEAL_KEY_NBYTES] = {1, 2, 3, 4, 5};
static const uint8_t other_key[WH_SEAL_KEY_NBYTES] = {1, 2, 3, 4, 6};

/* Both ends of one direction, and a record between them. */
struct line {
    struct wh_seal *from, *to;
    uint8_t head[HEAD_NBYTES], tag[WH_SEAL_TAG_NBYTES];
    uint8_t text[ROOM_NBYTES], sealed[ROOM_NBYTES], opened[ROOM_NBYTES];
};

static void line_begin(struct line *line, const uint8_t *to_key)
{
    cr_assert_eq(wh_seal_create(key, &line->from), WHORL_OK);
    cr_assert_eq(wh_seal_create(to_key, &line->to), WHORL_OK);
    for (size_t i = 0; i < ROOM_NBYTES; i++) {
        line->text[i] = (uint8_t)(i * 7 + i / 256 + 1);
    }
    memset(line->head, 0xaa, sizeof(line->head));
    memset(line->opened, 0x5e, sizeof(line->opened));
}

static void line_end(struct line *line)
{
    wh_seal_destroy(line->from);
    wh_seal_destroy(line->to);
}

Test(seal, says_what_does_the_work)
{
    const char *text = wh_seal_library();
    cr_expect_not_null(strpbrk(text, "0123456789"), "\"%s\" has no version", text);
}

static struct wh_bytes head_of(const struct line *line)
{
    return (struct wh_bytes){line->head, sizeof(line->head)};
}

/* Seals the first nbytes of the text, in nparts parts of which the last one has the rest. */
static void seal_text(struct line *line, size_t nbytes, size_t nparts)
{
    struct wh_bytes parts[8];
    size_t part = nbytes / nparts;
    for (size_t i = 0; i < nparts; i++) {
        parts[i] =
            (struct wh_bytes){line->text + i * part, i + 1 < nparts ? part : nbytes - i * part};
    }
    cr_assert_eq(wh_seal(line->from, head_of(line), parts, nparts, line->sealed, line->tag),
                 WHORL_OK);
}

static whorl_result_t open_text(struct line *line, size_t nbytes, size_t nparts)
{
    struct wh_room parts[8];
    size_t part = nbytes / nparts;
    for (size_t i = 0; i < nparts; i++) {
        parts[i] =
            (struct wh_room){line->opened + i * part, i + 1 < nparts ? part : nbytes - i * part};
    }
    return wh_unseal(line->to, head_of(line), (struct wh_bytes){line->sealed, nbytes}, parts,
                     nparts, line->tag);
}

Test(seal, what_is_sealed_opens_whatever_its_size_and_parts)
{
    static struct line line;
    static const size_t sizes[] = {0,  1,   15,  16,   17,   31,    63,    64,
                                   65, 255, 256, 1000, 4095, 16384, 65535, ROOM_NBYTES};
    line_begin(&line, key);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t nparts = 1; nparts <= 5; nparts++) {
            size_t nbytes = sizes[i];
            seal_text(&line, nbytes, nparts);
            cr_expect(nbytes < 16 || memcmp(line.sealed, line.text, nbytes) != 0);
            memset(line.opened, 0, nbytes);
            cr_assert_eq(open_text(&line, nbytes, 6 - nparts), WHORL_OK, "%zu bytes, %zu parts",
                         nbytes, nparts);
            cr_assert_eq(memcmp(line.opened, line.text, nbytes), 0, "%zu bytes, %zu parts", nbytes,
                         nparts);
        }
    }
    line_end(&line);
}

Test(seal, a_record_may_have_no_parts_and_nothing_in_clear)
{
    static struct line line;
    line_begin(&line, key);
    const struct wh_bytes none = {NULL, 0};
    cr_assert_eq(wh_seal(line.from, head_of(&line), NULL, 0, NULL, line.tag), WHORL_OK);
    cr_expect_eq(wh_unseal(line.to, head_of(&line), none, NULL, 0, line.tag), WHORL_OK);
    cr_assert_eq(wh_seal(line.from, none, &none, 1, NULL, line.tag), WHORL_OK);
    cr_expect_eq(wh_unseal(line.to, none, none, NULL, 0, line.tag), WHORL_OK);
    line_end(&line);
}

Test(seal, works_in_place)
{
    static struct line line;
    line_begin(&line, key);
    memcpy(line.opened, line.text, ROOM_NBYTES);
    const struct wh_bytes from = {line.opened, ROOM_NBYTES};
    const struct wh_room to = {line.opened, ROOM_NBYTES};
    cr_assert_eq(wh_seal(line.from, head_of(&line), &from, 1, line.opened, line.tag), WHORL_OK);
    cr_expect_neq(memcmp(line.opened, line.text, ROOM_NBYTES), 0);
    cr_assert_eq(wh_unseal(line.to, head_of(&line), from, &to, 1, line.tag), WHORL_OK);
    cr_expect_eq(memcmp(line.opened, line.text, ROOM_NBYTES), 0);
    line_end(&line);
}

Test(seal, whatever_bit_was_changed_does_not_open_and_shows_nothing)
{
    enum { NBYTES = 50 };
    static struct line line;
    static const uint8_t zeros[NBYTES];
    for (size_t bit = 0; bit < 8 * (NBYTES + HEAD_NBYTES + WH_SEAL_TAG_NBYTES); bit++) {
        line_begin(&line, key);
        seal_text(&line, NBYTES, 1);
        size_t at = bit / 8;
        uint8_t *byte = at < NBYTES                 ? &line.sealed[at]
                        : at < NBYTES + HEAD_NBYTES ? &line.head[at - NBYTES]
                                                    : &line.tag[at - NBYTES - HEAD_NBYTES];
        *byte ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(open_text(&line, NBYTES, 2), WHORL_E_TRUST, "bit %zu", bit);
        cr_assert_arr_eq(line.opened, zeros, NBYTES);
        line_end(&line);
    }
}

Test(seal, a_record_that_was_cut_or_lengthened_does_not_open)
{
    static struct line line;
    for (size_t nbytes = 99; nbytes <= 101; nbytes += 2) {
        line_begin(&line, key);
        seal_text(&line, 100, 1);
        cr_expect_eq(open_text(&line, nbytes, 1), WHORL_E_TRUST);
        line_end(&line);
    }
}

Test(seal, the_border_between_clear_and_sealed_cannot_be_moved)
{
    static struct line line;
    line_begin(&line, key);
    seal_text(&line, 100, 1);
    const struct wh_bytes clear = {line.head, HEAD_NBYTES - 1};
    const struct wh_room room = {line.opened, 100};
    cr_expect_eq(wh_unseal(line.to, clear, (struct wh_bytes){line.sealed, 100}, &room, 1, line.tag),
                 WHORL_E_TRUST);
    line_end(&line);
}

Test(seal, a_record_that_is_repeated_does_not_open)
{
    static struct line line;
    line_begin(&line, key);
    seal_text(&line, 100, 1);
    cr_assert_eq(open_text(&line, 100, 1), WHORL_OK);
    cr_expect_eq(open_text(&line, 100, 1), WHORL_E_TRUST);
    line_end(&line);
}

Test(seal, a_record_that_overtook_another_does_not_open)
{
    static struct line line;
    line_begin(&line, key);
    seal_text(&line, 100, 1);
    seal_text(&line, 100, 1);
    cr_expect_eq(open_text(&line, 100, 1), WHORL_E_TRUST, "the first has not come");
    line_end(&line);
}

Test(seal, after_a_record_that_did_not_open_none_does)
{
    static struct line line;
    line_begin(&line, key);
    seal_text(&line, 100, 1);
    line.sealed[7] ^= 1;
    cr_expect_eq(open_text(&line, 100, 1), WHORL_E_TRUST);
    seal_text(&line, 100, 1);
    cr_expect_eq(open_text(&line, 100, 1), WHORL_E_TRUST,
                 "this is what its number stands for, but "
                 "the record before it is lost");
    line_end(&line);
}

Test(seal, another_key_opens_nothing)
{
    static struct line line;
    line_begin(&line, other_key);
    seal_text(&line, 100, 1);
    cr_expect_eq(open_text(&line, 100, 1), WHORL_E_TRUST);
    line_end(&line);
}

Test(seal, the_last_number_is_never_used)
{
    static struct line line;
    line_begin(&line, key);
    wh_log_configure("NONE", "", "");
    wh_seal_skip(line.from, UINT64_MAX - 1);
    wh_seal_skip(line.to, UINT64_MAX - 1);
    seal_text(&line, 100, 1);
    cr_expect_eq(open_text(&line, 100, 1), WHORL_OK);
    const struct wh_bytes part = {line.text, 100};
    for (int i = 0; i < 2; i++) {
        memset(line.sealed, 0, 100);
        cr_expect_eq(wh_seal(line.from, head_of(&line), &part, 1, line.sealed, line.tag),
                     WHORL_E_INTERNAL);
        cr_expect_eq(line.sealed[0] | line.sealed[50], 0, "nothing was encrypted");
        cr_expect_eq(open_text(&line, 100, 1), WHORL_E_TRUST);
    }
    line_end(&line);
}

/* Test cases 13 and 14 of McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B:
 * key, nonce and text of zeros. The nonce of a seal's first record is zero too. */
Test(seal, the_first_record_is_what_the_specification_of_gcm_says)
{
    static const uint8_t zeros[WH_SEAL_KEY_NBYTES];
    static const uint8_t tag_13[] = {0x53, 0x0f, 0x8a, 0xfb, 0xc7, 0x45, 0x36, 0xb9,
                                     0xa9, 0x63, 0xb4, 0xf1, 0xc4, 0xcb, 0x73, 0x8b};
    static const uint8_t text_14[] = {0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e,
                                      0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3, 0x9d, 0x18};
    static const uint8_t tag_14[] = {0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99, 0x6b, 0xf0,
                                     0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19};
    const struct wh_bytes none = {NULL, 0}, text = {zeros, 16};
    uint8_t out[16], tag[WH_SEAL_TAG_NBYTES];
    struct wh_seal *seal;
    cr_assert_eq(wh_seal_create(zeros, &seal), WHORL_OK);
    cr_assert_eq(wh_seal(seal, none, NULL, 0, NULL, tag), WHORL_OK);
    cr_expect_arr_eq(tag, tag_13, sizeof(tag_13));
    wh_seal_destroy(seal);

    cr_assert_eq(wh_seal_create(zeros, &seal), WHORL_OK);
    cr_assert_eq(wh_seal(seal, none, &text, 1, out, tag), WHORL_OK);
    cr_expect_arr_eq(out, text_14, sizeof(text_14));
    cr_expect_arr_eq(tag, tag_14, sizeof(tag_14));
    wh_seal_destroy(seal);
}

Test(seal, the_nonce_is_the_number_of_the_record)
{
    enum { NBYTES = 1000, NRECORDS = 300 };
    static struct line line;
    uint8_t wanted[NBYTES], tag[WH_SEAL_TAG_NBYTES];
    line_begin(&line, key);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    cr_assert(ctx != NULL);
    for (unsigned number = 0; number < NRECORDS; number++) {
        const uint8_t iv[12] = {(uint8_t)number, (uint8_t)(number >> 8)};
        int done;
        cr_assert_eq(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv), 1);
        cr_assert_eq(EVP_EncryptUpdate(ctx, NULL, &done, line.head, HEAD_NBYTES), 1);
        cr_assert_eq(EVP_EncryptUpdate(ctx, wanted, &done, line.text, NBYTES), 1);
        cr_assert_eq(EVP_EncryptFinal_ex(ctx, tag, &done), 1);
        cr_assert_eq(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, sizeof(tag), tag), 1);
        seal_text(&line, NBYTES, 3);
        cr_assert_arr_eq(line.sealed, wanted, NBYTES);
        cr_assert_arr_eq(line.tag, tag, sizeof(tag));
    }
    EVP_CIPHER_CTX_free(ctx);
    line_end(&line);
}

Test(seal, destroy_takes_null)
{
    wh_seal_destroy(NULL);
}
