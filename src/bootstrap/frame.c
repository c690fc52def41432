/* SPDX-License-Identifier: Apache-2.0 */
/* Frames as bytes. See frame.h. */
#include "bootstrap/frame.h"

#include "base/bytes.h"
#include "base/macros.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- heads ---------------------------------------------------------------------------------- */

void wh_head_encode(const struct wh_frame *frame, uint8_t out[WH_HEAD_NBYTES])
{
    assert(frame->round <= UINT16_MAX);

    wh_put_le32(out, frame->payload_nbytes);
    wh_put_le16(out + 4, (uint16_t)frame->type);
    wh_put_le16(out + 6, (uint16_t)frame->round);
    wh_put_le32(out + 8, frame->rank);
    wh_put_le32(out + 12, 0);
    wh_put_le64(out + 16, frame->tag);
}

bool wh_head_decode(const uint8_t in[WH_HEAD_NBYTES], struct wh_frame *frame_out)
{
    static const struct {
        uint32_t least, most;
    } payloads[] = {
        [WH_FRAME_JOIN] = {WH_MEMBER_NBYTES, WH_MEMBER_NBYTES},
        [WH_FRAME_WELCOME] = {0, WH_ROUNDS_MAX * WH_MEMBER_NBYTES},
        [WH_FRAME_REFUSE] = {4, WH_FAILURE_NBYTES_MAX},
        [WH_FRAME_EDGE] = {WH_MEMBER_NBYTES, WH_MEMBER_NBYTES},
        [WH_FRAME_BLOCK] = {WH_BLOCKS_HEAD_NBYTES, WH_BLOCKS_HEAD_NBYTES + WH_BLOCK_NBYTES_MAX},
        [WH_FRAME_FAIL] = {4, WH_FAILURE_NBYTES_MAX},
        [WH_FRAME_BYE] = {0, 0},
        [WH_FRAME_ASK] = {0, 0},
        [WH_FRAME_STATUS] = {WH_ANSWER_NBYTES, WH_ANSWER_NBYTES},
        [WH_FRAME_COME] = {WH_COME_NBYTES, WH_COME_NBYTES},
        [WH_FRAME_SEEK] = {WH_COME_NBYTES, WH_COME_NBYTES},
        [WH_FRAME_WAIT] = {0, 0},
        [WH_FRAME_HELD] = {0, 0},
        [WH_FRAME_LED] = {0, 0},
        [WH_FRAME_RESULT] = {WH_RESULT_NBYTES_MIN, WH_RESULT_NBYTES_MIN + WH_NRANKS_MAX / 8},
        [WH_FRAME_OVER] = {4, WH_FAILURE_NBYTES_MAX},
        [WH_FRAME_SEATED] = {0, 2 * WH_MEMBER_NBYTES},
        [WH_FRAME_NEXT] = {WH_MEMBER_NBYTES, WH_MEMBER_NBYTES},
    };

    uint32_t nbytes = wh_get_le32(in);
    uint16_t type = wh_get_le16(in + 4);
    if (type < WH_FRAME_JOIN || type >= ARRAY_LEN(payloads) || nbytes < payloads[type].least ||
        nbytes > payloads[type].most || wh_get_le32(in + 12) != 0) {
        return false;
    }

    frame_out->type = (enum wh_frame_type)type;
    frame_out->round = wh_get_le16(in + 6);
    frame_out->rank = wh_get_le32(in + 8);
    frame_out->tag = wh_get_le64(in + 16);
    frame_out->payload_nbytes = nbytes;
    frame_out->payload = NULL;
    return true;
}

/* ---- members -------------------------------------------------------------------------------- */

void wh_member_encode(const struct wh_member *member, uint8_t out[WH_MEMBER_NBYTES])
{
    assert(member->naddrs <= WH_NADDRS_MAX);

    memset(out, 0, WH_MEMBER_NBYTES);
    wh_put_le32(out, member->rank);
    wh_put_le32(out + 4, member->nranks);
    wh_put_le32(out + 8, member->pid);
    wh_put_le32(out + 12, member->timeout_ms);
    wh_put_le16(out + 16, member->port);
    wh_put_le16(out + 18, (uint16_t)member->naddrs);
    for (uint32_t i = 0; i < member->naddrs; i++) {
        memcpy(out + 20 + 16 * i, member->addrs[i].ip, 16);
    }
    memcpy(out + 20 + 16 * WH_NADDRS_MAX, member->host, strnlen(member->host, WH_HOST_NBYTES - 1));
}

/* Text from elsewhere goes to logs and terminals: nothing in it may steer them. */
static void make_harmless(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;
        if (*p < 0x20 || *p == 0x7f || c1) {
            *p = '?';
        }
    }
}

bool wh_member_decode(const uint8_t *in, size_t nbytes, struct wh_member *member_out)
{
    if (nbytes != WH_MEMBER_NBYTES || wh_get_le32(in + 4) < 1 ||
        wh_get_le32(in + 4) > WH_NRANKS_MAX || wh_get_le16(in + 18) > WH_NADDRS_MAX) {
        return false;
    }

    memset(member_out, 0, sizeof(*member_out));
    member_out->rank = wh_get_le32(in);
    member_out->nranks = wh_get_le32(in + 4);
    member_out->pid = wh_get_le32(in + 8);
    member_out->timeout_ms = wh_get_le32(in + 12);
    member_out->port = wh_get_le16(in + 16);
    member_out->naddrs = wh_get_le16(in + 18);
    for (uint32_t i = 0; i < member_out->naddrs; i++) {
        memcpy(member_out->addrs[i].ip, in + 20 + 16 * i, 16);
        member_out->addrs[i].port = member_out->port;
    }
    memcpy(member_out->host, in + 20 + 16 * WH_NADDRS_MAX, WH_HOST_NBYTES - 1);
    make_harmless(member_out->host);
    return true;
}

/* ---- failures ------------------------------------------------------------------------------- */

size_t wh_failure_encode(const struct wh_boot_failure *failure, uint8_t out[WH_FAILURE_NBYTES_MAX])
{
    size_t text_nbytes = strnlen(failure->text, WH_TEXT_NBYTES_MAX - 1);
    wh_put_le32(out, (uint32_t)failure->rc);
    memcpy(out + 4, failure->text, text_nbytes);
    return 4 + text_nbytes;
}

void wh_failure_decode(const uint8_t *in, size_t nbytes, struct wh_boot_failure *failure_out)
{
    static const whorl_result_t known[] = {
#define RESULT(name, value, text) WHORL_##name,
#include <whorl/result.def>
#undef RESULT
    };

    memset(failure_out, 0, sizeof(*failure_out));
    failure_out->rc = WHORL_E_PEER;
    if (nbytes < 4) {
        return;
    }

    int32_t rc = (int32_t)wh_get_le32(in);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (rc < 0 && rc == (int32_t)known[i]) {
            failure_out->rc = known[i];
        }
    }
    size_t text_nbytes = nbytes - 4 < WH_TEXT_NBYTES_MAX ? nbytes - 4 : WH_TEXT_NBYTES_MAX - 1;
    memcpy(failure_out->text, in + 4, text_nbytes);
    make_harmless(failure_out->text);
}

/* ---- lists of ranks ------------------------------------------------------------------------- */

void wh_ranks_print(uint32_t nranks, bool (*wanted)(const void *ctx, uint32_t rank),
                    const void *ctx, char *text, size_t text_nbytes)
{
    enum { ITEM_NBYTES = 32, REST_NBYTES = 8 };
    assert(text_nbytes > REST_NBYTES);

    size_t used = 0;
    text[0] = '\0';
    for (uint32_t rank = 0; rank < nranks; rank++) {
        if (!wanted(ctx, rank)) {
            continue;
        }
        uint32_t last = rank;
        while (last + 1 < nranks && wanted(ctx, last + 1)) {
            last++;
        }

        char item[ITEM_NBYTES];
        const char *comma = used > 0 ? ", " : "";
        int nchars = last == rank ? snprintf(item, sizeof(item), "%s%u", comma, rank)
                                  : snprintf(item, sizeof(item), "%s%u%s%u", comma, rank,
                                             last == rank + 1 ? ", " : "-", last);
        if (used + (size_t)nchars + REST_NBYTES > text_nbytes) {
            snprintf(text + used, text_nbytes - used, ", ...");
            return;
        }
        memcpy(text + used, item, (size_t)nchars + 1);
        used += (size_t)nchars;
        rank = last;
    }
}
