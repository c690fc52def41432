/* SPDX-License-Identifier: Apache-2.0 */
/* See status.h. */
#include "comm/status.h"

#include "base/bytes.h"
#include "executor/signature.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FORMAT = 1,
    AT_ALGO = 56,
    AT_WHERE = AT_ALGO + WH_STATUS_ALGO_NBYTES,
    AT_OTHER = AT_WHERE + WH_STATUS_WHERE_NBYTES,
    END = AT_OTHER + WH_STATUS_OTHER_NBYTES,
};
_Static_assert((int)END <= (int)WH_STATUS_NBYTES, "a status has room");

void wh_status_encode(const struct wh_status *status, uint8_t out[WH_STATUS_NBYTES])
{
    memset(out, 0, WH_STATUS_NBYTES);
    out[0] = FORMAT;
    out[1] = (uint8_t)status->state;
    out[2] = status->op.coll;
    out[3] = status->op.dtype;
    out[4] = status->op.redop;
    wh_put_le64(out + 8, status->op.seq);
    wh_put_le64(out + 16, status->op.count);
    wh_put_le32(out + 24, status->op.root);
    wh_put_le32(out + 28, status->nqueued);
    wh_put_le64(out + 32, status->ncolls);
    wh_put_le64(out + 40, status->for_ms);
    wh_put_le32(out + 48, (uint32_t)status->failure);
    wh_put_le32(out + 52, status->reports_ms);
    snprintf((char *)out + AT_ALGO, WH_STATUS_ALGO_NBYTES, "%s", status->algo);
    snprintf((char *)out + AT_WHERE, WH_STATUS_WHERE_NBYTES, "%s", status->where);
    snprintf((char *)out + AT_OTHER, WH_STATUS_OTHER_NBYTES, "%s", status->other);
}

static void take_text(const uint8_t *in, char *text, size_t text_nbytes)
{
    size_t i = 0;
    for (; i + 1 < text_nbytes && in[i] != 0; i++) {
        text[i] = isprint(in[i]) ? (char)in[i] : '?';
    }
    text[i] = '\0';
}

void wh_status_decode(const uint8_t in[WH_STATUS_NBYTES], struct wh_status *status_out)
{
    *status_out = (struct wh_status){.state = WH_STATUS_UNKNOWN, .reports_ms = WH_STATUS_NO_REPORT};
    if (in[0] != FORMAT || in[1] > WH_STATUS_OUTSIDE) {
        return;
    }
    status_out->state = (enum wh_status_state)in[1];
    status_out->op = (struct wh_status_op){
        .coll = in[2],
        .dtype = in[3],
        .redop = in[4],
        .seq = wh_get_le64(in + 8),
        .count = wh_get_le64(in + 16),
        .root = wh_get_le32(in + 24),
    };
    status_out->nqueued = wh_get_le32(in + 28);
    status_out->ncolls = wh_get_le64(in + 32);
    status_out->for_ms = wh_get_le64(in + 40);
    status_out->failure = (int32_t)wh_get_le32(in + 48);
    status_out->reports_ms = wh_get_le32(in + 52);
    take_text(in + AT_ALGO, status_out->algo, sizeof(status_out->algo));
    take_text(in + AT_WHERE, status_out->where, sizeof(status_out->where));
    take_text(in + AT_OTHER, status_out->other, sizeof(status_out->other));
}

/* The collective that a message or barrier is a part of; WH_NCOLLS: none. */
static enum wh_coll whole_of(const struct wh_status_op *op)
{
    bool is_part = op->redop >= WH_REDOP_PART_OF && op->redop < WH_REDOP_PART_OF + WH_NCOLLS;
    return is_part ? (enum wh_coll)(op->redop - WH_REDOP_PART_OF) : WH_NCOLLS;
}

/* " #5 to rank 3, for all_to_all" */
static void print_tail(const struct wh_status_op *op, char *text, size_t text_nbytes)
{
    char peer[32] = "", part[64] = "";
    if (op->coll == WH_COLL_SEND || op->coll == WH_COLL_RECV) {
        snprintf(peer, sizeof(peer), " %s rank %" PRIu32, op->coll == WH_COLL_SEND ? "to" : "from",
                 op->root);
        if (whole_of(op) != WH_NCOLLS) {
            snprintf(part, sizeof(part), ", for %s", wh_coll_str(whole_of(op)));
        }
    }
    snprintf(text, text_nbytes, " #%" PRIu64 "%s%s", op->seq, peer, part);
}

const char *wh_status_print_short(const struct wh_status_op *op, char *text, size_t text_nbytes)
{
    char tail[128];
    const char *name = op->coll < WH_NCOLLS ? wh_coll_str((enum wh_coll)op->coll) : "operation";
    if (op->coll == WH_COLL_BARRIER && whole_of(op) != WH_NCOLLS) {
        name = wh_coll_str(whole_of(op));
    } else if (op->coll == WH_COLL_BARRIER && op->root == WH_BARRIER_OF_SPLIT) {
        name = "comm_split";
    }
    print_tail(op, tail, sizeof(tail));
    snprintf(text, text_nbytes, "%s%s", name, tail);
    return text;
}

const char *wh_status_print_op(const struct wh_status_op *op, char *text, size_t text_nbytes)
{
    const struct wh_signature sig = {
        .seq = op->seq,
        .count = op->count,
        .root = op->root,
        .coll = op->coll,
        .dtype = op->dtype,
        /* The tail says what a message is for. */
        .redop = wh_coll_is_p2p((enum wh_coll)op->coll) ? WH_REDOP_NONE : op->redop,
    };
    char call[128], tail[128];
    wh_signature_print(&sig, call, sizeof(call));
    print_tail(op, tail, sizeof(tail));
    snprintf(text, text_nbytes, "%s%s", call, tail);
    return text;
}

const char *wh_status_print_ms(uint64_t ms, char *text, size_t text_nbytes)
{
    uint64_t s = ms / 1000;
    if (s == 0) {
        snprintf(text, text_nbytes, "%" PRIu64 " ms", ms);
    } else if (s < 180) {
        snprintf(text, text_nbytes, "%" PRIu64 " s", s);
    } else if (s < 2 * 3600) {
        snprintf(text, text_nbytes, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
    } else {
        snprintf(text, text_nbytes, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
    }
    return text;
}
