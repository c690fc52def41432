/* SPDX-License-Identifier: Apache-2.0 */
#include "executor/signature.h"

#include "base/bytes.h"
#include "numeric/dtype.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static_assert(WH_SIGNATURE_NBYTES + 12 <= WH_SLOT_HEAD_NBYTES, "a head holds signature and place");

void wh_signature_encode(const struct wh_signature *sig, uint8_t out[WH_SIGNATURE_NBYTES])
{
    wh_put_le64(out + 0, sig->seq);
    wh_put_le64(out + 8, sig->count);
    wh_put_le32(out + 16, sig->root);
    out[20] = sig->coll;
    out[21] = sig->dtype;
    out[22] = sig->redop;
    out[23] = sig->algo;
}

void wh_signature_decode(const uint8_t in[WH_SIGNATURE_NBYTES], struct wh_signature *sig)
{
    sig->seq = wh_get_le64(in + 0);
    sig->count = wh_get_le64(in + 8);
    sig->root = wh_get_le32(in + 16);
    sig->coll = in[20];
    sig->dtype = in[21];
    sig->redop = in[22];
    sig->algo = in[23];
}

void wh_msg_head_encode(const uint8_t sig[WH_SIGNATURE_NBYTES], const struct wh_msg_place *place,
                        uint8_t head[WH_SLOT_HEAD_NBYTES])
{
    memcpy(head, sig, WH_SIGNATURE_NBYTES);
    wh_put_le32(head + WH_SIGNATURE_NBYTES + 0, place->pass);
    wh_put_le32(head + WH_SIGNATURE_NBYTES + 4, place->chunk);
    wh_put_le32(head + WH_SIGNATURE_NBYTES + 8, place->nchunks);
}

void wh_msg_place_decode(const uint8_t head[WH_SLOT_HEAD_NBYTES], struct wh_msg_place *place)
{
    place->pass = wh_get_le32(head + WH_SIGNATURE_NBYTES + 0);
    place->chunk = wh_get_le32(head + WH_SIGNATURE_NBYTES + 4);
    place->nchunks = wh_get_le32(head + WH_SIGNATURE_NBYTES + 8);
}

static const char *redop_text(uint8_t redop)
{
    static const char *const names[] = {
#define REDOP(name, value, text) [value] = text,
#include <whorl/redop.def>
#undef REDOP
        [WH_REDOP_PREMUL_SUM] = "premulsum",
        [WH_REDOP_USER] = "user's reduction",
    };
    return redop < ARRAY_LEN(names) ? names[redop] : "unknown reduction";
}

void wh_signature_print(const struct wh_signature *sig, char *text, size_t text_nbytes)
{
    enum wh_coll coll = sig->coll < WH_NCOLLS ? (enum wh_coll)sig->coll : WH_NCOLLS;
    if (coll == WH_NCOLLS) {
        snprintf(text, text_nbytes, "unknown operation %u", sig->coll);
        return;
    }
    bool is_part = sig->redop >= WH_REDOP_PART_OF && sig->redop < WH_REDOP_PART_OF + WH_NCOLLS;
    enum wh_coll whole = is_part ? (enum wh_coll)(sig->redop - WH_REDOP_PART_OF) : WH_NCOLLS;
    if (is_part && coll == WH_COLL_BARRIER) {
        char root[24] = "";
        if (wh_coll_has_root(whole)) {
            snprintf(root, sizeof(root), ", root %u", sig->root);
        }
        snprintf(text, text_nbytes, "%s(%s%s)", wh_coll_str(whole),
                 wh_dtype_str((whorl_dtype_t)sig->dtype), root);
        return;
    }
    if (coll == WH_COLL_BARRIER) {
        snprintf(text, text_nbytes,
                 sig->root == WH_BARRIER_OF_SPLIT ? "comm_split()" : "barrier()");
        return;
    }

    char tail[64] = "";
    if (is_part) {
        snprintf(tail, sizeof(tail), ", for %s", wh_coll_str(whole));
    } else if (sig->redop != WH_REDOP_NONE) {
        snprintf(tail, sizeof(tail), ", %s", redop_text(sig->redop));
    }
    if (wh_coll_has_root(coll) && !wh_coll_is_p2p(coll)) {
        size_t used = strlen(tail);
        snprintf(tail + used, sizeof(tail) - used, ", root %u", sig->root);
    }
    snprintf(text, text_nbytes, "%s(count %llu, %s%s)", wh_coll_str(coll),
             (unsigned long long)sig->count, wh_dtype_str((whorl_dtype_t)sig->dtype), tail);
}
