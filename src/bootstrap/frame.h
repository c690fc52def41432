/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What travels on a connection after the handshake: frames, each a head of 24 bytes and a payload.
 *
 *     to the root     JOIN      a member: who I am and where I listen
 *     from the root   WELCOME   the members to connect to
 *                     SEATED    of a large job: the neighbours that are here already
 *                     REFUSE    a failure: why nobody can join
 *     between ranks   EDGE      a member, both ways, first thing on an edge
 *                     NEXT      a member: whom I connect to, at half the distance of yours
 *                     BLOCK     a part of an all-gather or barrier
 *                     FAIL      a failure: the job is broken
 *                     BYE       I leave; tag: how many operations I have started
 *                     ASK       rank wants everyone's status; tag: which of its requests
 *                     STATUS    rank's answer to such a request: the asker's rank, the status
 *     survivors       COME      rank wants to follow you; tag: which regroup; see regroup.h
 *                     SEEK      rank leads and looks for you; the same
 *                     WAIT      I live, but cannot tell yet
 *                     HELD      I lead, and you may follow; and back: I follow
 *                     LED       rank is the one to ask; WH_NOBODY: not I
 *                     RESULT    who is left, and where they meet
 *                     OVER      a failure: why you are not among them
 *
 * Who sends frames has proved that it belongs to the job; what is in them is checked all the same.
 */
#ifndef WH_BOOTSTRAP_FRAME_H
#define WH_BOOTSTRAP_FRAME_H

#include "bootstrap/ticket.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WH_HEAD_NBYTES = 24,
    WH_HOST_NBYTES = 64,
    WH_MEMBER_NBYTES = 20 + 16 * WH_NADDRS_MAX + WH_HOST_NBYTES,
    WH_BLOCK_NBYTES_MAX = 65536,
    WH_BLOCKS_HEAD_NBYTES = 4, /* before the blocks of a BLOCK: how many bytes each has */
    WH_COME_NBYTES = 16,       /* of COME and SEEK */
    WH_RESULT_NBYTES_MIN = 2 + 2 + 16 * WH_NADDRS_MAX + 16 + 4, /* of RESULT, then a bit a rank */
    WH_TEXT_NBYTES_MAX = 2048,                                  /* of a failure, with its end */
    WH_ANSWER_NBYTES = 4 + 512,                                 /* of STATUS */
    WH_ROUNDS_MAX = 17,                                         /* log2 of the number of ranks */
    WH_NRANKS_MAX = 1 << WH_ROUNDS_MAX,
};

enum wh_frame_type {
    WH_FRAME_JOIN = 1,
    WH_FRAME_WELCOME,
    WH_FRAME_REFUSE,
    WH_FRAME_EDGE,
    WH_FRAME_BLOCK,
    WH_FRAME_FAIL,
    WH_FRAME_BYE,
    WH_FRAME_ASK,
    WH_FRAME_STATUS,
    WH_FRAME_COME,
    WH_FRAME_SEEK,
    WH_FRAME_WAIT,
    WH_FRAME_HELD,
    WH_FRAME_LED,
    WH_FRAME_RESULT,
    WH_FRAME_OVER,
    WH_FRAME_SEATED,
    WH_FRAME_NEXT,
};

/** What round says in SEATED: which members follow; in EDGE: you are my left neighbour. */
enum { WH_SEATED_RIGHT = 1, WH_SEATED_LEFT = 2, WH_EDGE_TO_LEFT = 1 };

struct wh_frame {
    enum wh_frame_type type;
    uint32_t round; /* BLOCK: of the collective */
    uint32_t rank;  /* BLOCK: whose block; FAIL: where it began; ASK ... SEEK: who; LED: whom */
    uint64_t tag;   /* BLOCK: which collective; BYE: operations; ASK, STATUS: which
                   * request; COME ... OVER: which regroup */
    uint32_t payload_nbytes;
    const void *payload;
};

/** Writes the head of frame. */
void wh_head_encode(const struct wh_frame *frame, uint8_t out[WH_HEAD_NBYTES]);

/** False if it is no head, or of a frame longer than its type can be. Sets payload to NULL. */
bool wh_head_decode(const uint8_t in[WH_HEAD_NBYTES], struct wh_frame *frame_out);

/** A rank, as it tells about itself. */
struct wh_member {
    uint32_t rank, nranks, pid;
    uint32_t timeout_ms;
    uint16_t port;
    uint32_t naddrs;
    struct wh_addr addrs[WH_NADDRS_MAX];
    char host[WH_HOST_NBYTES];
};

void wh_member_encode(const struct wh_member *member, uint8_t out[WH_MEMBER_NBYTES]);

/** False, *member_out untouched, if it is none. rank may still be outside 0..nranks-1. */
bool wh_member_decode(const uint8_t *in, size_t nbytes, struct wh_member *member_out);

/** A failure: the result and the text of FAIL and REFUSE. */
struct wh_boot_failure {
    whorl_result_t rc;
    char text[WH_TEXT_NBYTES_MAX];
};

enum { WH_FAILURE_NBYTES_MAX = 4 + WH_TEXT_NBYTES_MAX };

/** Returns the bytes written. */
size_t wh_failure_encode(const struct wh_boot_failure *failure, uint8_t out[WH_FAILURE_NBYTES_MAX]);

/** Never fails: an unknown result becomes WHORL_E_PEER, control characters become '?'. */
void wh_failure_decode(const uint8_t *in, size_t nbytes, struct wh_boot_failure *failure_out);

/** Writes the ranks r < nranks with wanted(ctx, r) as "3, 7-9, 15"; ", ..." where it was cut. */
void wh_ranks_print(uint32_t nranks, bool (*wanted)(const void *ctx, uint32_t rank),
                    const void *ctx, char *text, size_t text_nbytes);

#endif
