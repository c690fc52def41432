/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"
#include "bootstrap/frame.h"

#include <criterion/criterion.h>
#include <string.h>

Test(frame, a_head_survives_the_way)
{
    const struct wh_frame in = {
        .type = WH_FRAME_BLOCK,
        .round = 7,
        .rank = 0x01020304,
        .tag = 0x1122334455667788,
        .payload_nbytes = WH_BLOCK_NBYTES_MAX,
    };
    struct wh_frame out;
    uint8_t bytes[WH_HEAD_NBYTES];
    wh_head_encode(&in, bytes);
    cr_assert(wh_head_decode(bytes, &out));
    cr_assert_eq(out.type, in.type);
    cr_assert_eq(out.round, in.round);
    cr_assert_eq(out.rank, in.rank);
    cr_assert_eq(out.tag, in.tag);
    cr_assert_eq(out.payload_nbytes, in.payload_nbytes);
    cr_assert_eq(out.payload, NULL);
}

Test(frame, a_head_that_asks_for_too_much_is_none)
{
    struct wh_frame frame = {.type = WH_FRAME_BLOCK,
                             .payload_nbytes = WH_BLOCKS_HEAD_NBYTES + WH_BLOCK_NBYTES_MAX + 1};
    uint8_t bytes[WH_HEAD_NBYTES];
    wh_head_encode(&frame, bytes);
    cr_assert_not(wh_head_decode(bytes, &frame));
    wh_put_le32(bytes, UINT32_MAX);
    cr_assert_not(wh_head_decode(bytes, &frame));
}

Test(frame, unknown_types_are_no_heads)
{
    struct wh_frame frame = {.type = WH_FRAME_BYE};
    uint8_t bytes[WH_HEAD_NBYTES];
    wh_head_encode(&frame, bytes);
    for (uint32_t type = 0; type <= UINT16_MAX; type++) {
        wh_put_le16(bytes + 4, (uint16_t)type);
        bool empty_allowed = type == WH_FRAME_BYE || type == WH_FRAME_WELCOME ||
                             type == WH_FRAME_ASK || type == WH_FRAME_WAIT ||
                             type == WH_FRAME_HELD || type == WH_FRAME_LED ||
                             type == WH_FRAME_SEATED;
        cr_assert_eq(wh_head_decode(bytes, &frame), empty_allowed, "type %u", type);
    }
}

static struct wh_member example(void)
{
    struct wh_member member = {
        .rank = 3,
        .nranks = 8,
        .pid = 123,
        .timeout_ms = 5000,
        .port = 4711,
        .naddrs = 2,
        .host = "host-a",
    };
    memset(member.addrs[0].ip, 1, 16);
    memset(member.addrs[1].ip, 2, 16);
    return member;
}

Test(frame, a_member_survives_the_way)
{
    struct wh_member in = example(), out;
    uint8_t bytes[WH_MEMBER_NBYTES];
    wh_member_encode(&in, bytes);
    cr_assert(wh_member_decode(bytes, sizeof(bytes), &out));
    cr_assert_eq(out.rank, 3);
    cr_assert_eq(out.nranks, 8);
    cr_assert_eq(out.pid, 123);
    cr_assert_eq(out.timeout_ms, 5000);
    cr_assert_eq(out.naddrs, 2);
    cr_assert_eq(out.addrs[1].port, 4711);
    cr_assert_arr_eq(out.addrs[1].ip, in.addrs[1].ip, 16);
    cr_assert_str_eq(out.host, "host-a");
}

Test(frame, a_member_with_impossible_numbers_is_none)
{
    struct wh_member in = example(), out;
    uint8_t bytes[WH_MEMBER_NBYTES];
    wh_member_encode(&in, bytes);
    cr_assert_not(wh_member_decode(bytes, sizeof(bytes) - 1, &out));
    wh_put_le16(bytes + 18, WH_NADDRS_MAX + 1);
    cr_assert_not(wh_member_decode(bytes, sizeof(bytes), &out));
    wh_put_le16(bytes + 18, 1);
    wh_put_le32(bytes + 4, 0);
    cr_assert_not(wh_member_decode(bytes, sizeof(bytes), &out));
    wh_put_le32(bytes + 4, WH_NRANKS_MAX + 1);
    cr_assert_not(wh_member_decode(bytes, sizeof(bytes), &out));
}

Test(frame, a_hostname_without_end_or_with_escapes_does_no_harm)
{
    struct wh_member in = example(), out;
    uint8_t bytes[WH_MEMBER_NBYTES];
    wh_member_encode(&in, bytes);
    memset(bytes + WH_MEMBER_NBYTES - WH_HOST_NBYTES, '\033', WH_HOST_NBYTES);
    cr_assert(wh_member_decode(bytes, sizeof(bytes), &out));
    cr_assert_eq(strlen(out.host), WH_HOST_NBYTES - 1);
    cr_assert_null(strchr(out.host, '\033'));
}

Test(frame, a_failure_survives_the_way)
{
    struct wh_boot_failure in = {.rc = WHORL_E_MISMATCH, .text = "rank 3 says 4"}, out;
    uint8_t bytes[WH_FAILURE_NBYTES_MAX];
    size_t nbytes = wh_failure_encode(&in, bytes);
    wh_failure_decode(bytes, nbytes, &out);
    cr_assert_eq(out.rc, WHORL_E_MISMATCH);
    cr_assert_str_eq(out.text, "rank 3 says 4");
}

Test(frame, a_failure_cannot_claim_success_or_steer_a_terminal)
{
    struct wh_boot_failure in = {.rc = WHORL_OK, .text = "a\033[2Jb\nc\xc2\x9b"}, out;
    uint8_t bytes[WH_FAILURE_NBYTES_MAX];
    size_t nbytes = wh_failure_encode(&in, bytes);
    wh_failure_decode(bytes, nbytes, &out);
    cr_assert_eq(out.rc, WHORL_E_PEER);
    cr_assert_eq(strncmp(out.text, "a?[2Jb?c?", 9), 0, "%s", out.text);
    wh_put_le32(bytes, (uint32_t)-12345);
    wh_failure_decode(bytes, nbytes, &out);
    cr_assert_eq(out.rc, WHORL_E_PEER);
    wh_failure_decode(bytes, 3, &out);
    cr_assert_eq(out.rc, WHORL_E_PEER);
    cr_assert_str_empty(out.text);
}

Test(frame, the_longest_failure_keeps_its_end)
{
    struct wh_boot_failure in = {.rc = WHORL_E_SYS}, out;
    memset(in.text, 'x', sizeof(in.text) - 1);
    uint8_t bytes[WH_FAILURE_NBYTES_MAX];
    memset(bytes, 'y', sizeof(bytes));
    size_t nbytes = wh_failure_encode(&in, bytes);
    wh_failure_decode(bytes, nbytes, &out);
    cr_assert_str_eq(out.text, in.text);
    wh_failure_decode(bytes, sizeof(bytes), &out);
    cr_assert_eq(strlen(out.text), sizeof(out.text) - 1);
}

static bool in_set(const void *ctx, uint32_t rank)
{
    return strchr(ctx, (int)('a' + rank)) != NULL;
}

Test(frame, ranks_are_printed_as_short_lists)
{
    static const struct {
        const char *set, *text;
    } rows[] = {
        {"", ""},
        {"a", "0"},
        {"ab", "0, 1"},
        {"abc", "0-2"},
        {"dhij", "3, 7-9"},
        {"dhip", "3, 7, 8, 15"},
        {"abcdefghijklmnop", "0-15"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[64];
        wh_ranks_print(16, in_set, rows[i].set, text, sizeof(text));
        cr_assert_str_eq(text, rows[i].text);
    }
}

static bool is_even(const void *ctx, uint32_t rank)
{
    (void)ctx;
    return rank % 2 == 0;
}

Test(frame, a_list_of_ranks_that_does_not_fit_says_so)
{
    char text[20];
    wh_ranks_print(1000, is_even, NULL, text, sizeof(text));
    cr_assert_str_eq(text, "0, 2, 4, 6, ...");
}
