/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for either library that encrypts. */
#ifndef TESTS_UNIT_BASE_GCM_CHECKS_H
#define TESTS_UNIT_BASE_GCM_CHECKS_H

#include "base/gcm.h"

#include <criterion/criterion.h>
#include <string.h>

enum { GCM_TEXT_NBYTES = 60, GCM_CLEAR_NBYTES = 20 };

/* Test case 16 of McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B. */
static const uint8_t gcm_key[WH_GCM_KEY_NBYTES] = {
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08};
static const uint8_t gcm_nonce[WH_GCM_NONCE_NBYTES] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce,
                                                       0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
static const uint8_t gcm_clear[GCM_CLEAR_NBYTES] = {0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe,
                                                    0xef, 0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad,
                                                    0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2};
static const uint8_t gcm_text[GCM_TEXT_NBYTES] = {
    0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26,
    0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31,
    0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49,
    0xa6, 0xb5, 0x25, 0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39};
static const uint8_t gcm_sealed[GCM_TEXT_NBYTES] = {
    0x52, 0x2d, 0xc1, 0xf0, 0x99, 0x56, 0x7d, 0x07, 0xf4, 0x7f, 0x37, 0xa3, 0x2a, 0x84, 0x42,
    0x7d, 0x64, 0x3a, 0x8c, 0xdc, 0xbf, 0xe5, 0xc0, 0xc9, 0x75, 0x98, 0xa2, 0xbd, 0x25, 0x55,
    0xd1, 0xaa, 0x8c, 0xb0, 0x8e, 0x48, 0x59, 0x0d, 0xbb, 0x3d, 0xa7, 0xb0, 0x8b, 0x10, 0x56,
    0x82, 0x88, 0x38, 0xc5, 0xf6, 0x1e, 0x63, 0x93, 0xba, 0x7a, 0x0a, 0xbc, 0xc9, 0xf6, 0x62};
static const uint8_t gcm_tag[WH_GCM_TAG_NBYTES] = {0x76, 0xfc, 0x6e, 0xce, 0x0f, 0x4e, 0x17, 0x68,
                                                   0xcd, 0xdf, 0x88, 0x53, 0xbb, 0x2d, 0x55, 0x1b};

/* begin and update, the text in two pieces of which the first has `cut` bytes. */
static inline void gcm_work(struct wh_gcm *gcm, bool encrypts, const uint8_t *clear,
                            const uint8_t *in, uint8_t *out, size_t nbytes, size_t cut)
{
    cr_assert(gcm->ops->begin(gcm, encrypts, gcm_nonce, clear, GCM_CLEAR_NBYTES));
    cr_assert(cut == 0 || gcm->ops->update(gcm, in, out, cut));
    cr_assert(cut == nbytes || gcm->ops->update(gcm, in + cut, out + cut, nbytes - cut));
}

/* The published text in both directions, wherever it is cut, from one buffer to another and in
 * place, all with one expanded key. */
static inline void gcm_check_known_answer(const struct wh_gcm_ops *ops)
{
    struct wh_gcm *gcm = ops->create(gcm_key);
    cr_assert_not_null(gcm);
    for (size_t cut = 0; cut <= GCM_TEXT_NBYTES; cut++) {
        uint8_t out[GCM_TEXT_NBYTES], tag[WH_GCM_TAG_NBYTES];
        gcm_work(gcm, true, gcm_clear, gcm_text, out, GCM_TEXT_NBYTES, cut);
        cr_assert(ops->end_encrypt(gcm, tag));
        cr_assert_arr_eq(out, gcm_sealed, sizeof(out), "cut at %zu", cut);
        cr_assert_arr_eq(tag, gcm_tag, sizeof(tag), "cut at %zu", cut);
        gcm_work(gcm, false, gcm_clear, out, out, GCM_TEXT_NBYTES, GCM_TEXT_NBYTES - cut);
        cr_assert(ops->end_decrypt(gcm, gcm_tag), "cut at %zu", cut);
        cr_assert_arr_eq(out, gcm_text, sizeof(out), "cut at %zu", cut);
    }
    ops->destroy(gcm);
}

/* One bit changed anywhere in what is in clear, in the text or in the tag. */
static inline void gcm_check_forgeries(const struct wh_gcm_ops *ops)
{
    enum { NBYTES = GCM_CLEAR_NBYTES + GCM_TEXT_NBYTES + WH_GCM_TAG_NBYTES };
    struct wh_gcm *gcm = ops->create(gcm_key);
    cr_assert_not_null(gcm);
    for (size_t bit = 0; bit < 8 * NBYTES; bit++) {
        uint8_t out[GCM_TEXT_NBYTES], all[NBYTES];
        uint8_t *sealed = all + GCM_CLEAR_NBYTES, *tag = sealed + GCM_TEXT_NBYTES;
        memcpy(all, gcm_clear, GCM_CLEAR_NBYTES);
        memcpy(sealed, gcm_sealed, GCM_TEXT_NBYTES);
        memcpy(tag, gcm_tag, WH_GCM_TAG_NBYTES);
        all[bit / 8] ^= (uint8_t)(1u << bit % 8);
        gcm_work(gcm, false, all, sealed, out, GCM_TEXT_NBYTES, 16);
        cr_assert(!ops->end_decrypt(gcm, tag), "bit %zu", bit);
    }
    ops->destroy(gcm);
}

/* No text at all, and nothing in clear: the tag alone (test case 13 of the same appendix). */
static inline void gcm_check_nothing(const struct wh_gcm_ops *ops)
{
    static const uint8_t zeros[WH_GCM_KEY_NBYTES];
    static const uint8_t wanted[WH_GCM_TAG_NBYTES] = {0x53, 0x0f, 0x8a, 0xfb, 0xc7, 0x45,
                                                      0x36, 0xb9, 0xa9, 0x63, 0xb4, 0xf1,
                                                      0xc4, 0xcb, 0x73, 0x8b};
    uint8_t tag[WH_GCM_TAG_NBYTES];
    struct wh_gcm *gcm = ops->create(zeros);
    cr_assert_not_null(gcm);
    cr_assert(ops->begin(gcm, true, zeros, NULL, 0) && ops->end_encrypt(gcm, tag));
    cr_expect_arr_eq(tag, wanted, sizeof(tag));
    cr_assert(ops->begin(gcm, false, zeros, NULL, 0) && ops->end_decrypt(gcm, wanted));
    ops->destroy(gcm);
}

#endif
