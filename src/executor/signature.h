/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signature of a call: what every message of an operation says about the call it belongs to.
 *
 * A receiver compares it with its own call. Ranks that made different calls are found out by the
 * first message between them, and both calls can be named.
 */
#ifndef WH_EXECUTOR_SIGNATURE_H
#define WH_EXECUTOR_SIGNATURE_H

#include "schedule/sched.h"
#include "wire/transport.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WH_SIGNATURE_NBYTES = 24,
    WH_SIGNATURE_CALL_NBYTES = 23,           /* without the algorithm: what the user called */
    WH_REDOP_PREMUL_SUM = WHORL_REDOP_COUNT, /* how a handle made by the user looks to others */
    WH_REDOP_USER = WHORL_REDOP_COUNT + 1,   /* a function of the user's */
    WH_REDOP_PART_OF = 0x80, /* plus a collective: a message or barrier that is a part of it */
    WH_REDOP_NONE = 0xff,
    WH_BARRIER_OF_SPLIT = 1, /* the root of the barrier with which a split begins */
};

struct wh_signature {
    uint64_t
        seq; /* number of the collective in its communicator; of the message for send and recv */
    uint64_t count;
    uint32_t root;
    uint8_t coll;
    uint8_t dtype;
    uint8_t redop; /* a predefined reduction, WH_REDOP_PREMUL_SUM or WH_REDOP_NONE */
    uint8_t algo;  /* a hash of the algorithm's name: ranks that run different ones find out */
};

/** Where in its operation a message belongs. */
struct wh_msg_place {
    uint32_t pass;
    uint32_t chunk, nchunks;
};

/** Little endian, WH_SIGNATURE_NBYTES. */
void wh_signature_encode(const struct wh_signature *sig, uint8_t out[WH_SIGNATURE_NBYTES]);
void wh_signature_decode(const uint8_t in[WH_SIGNATURE_NBYTES], struct wh_signature *sig);

/** The head of a message: an encoded signature and a place. */
void wh_msg_head_encode(const uint8_t sig[WH_SIGNATURE_NBYTES], const struct wh_msg_place *place,
                        uint8_t head[WH_SLOT_HEAD_NBYTES]);
void wh_msg_place_decode(const uint8_t head[WH_SLOT_HEAD_NBYTES], struct wh_msg_place *place);

/** "all_reduce(count 5, float32, sum)"; always terminated. Any values are safe to print. */
void wh_signature_print(const struct wh_signature *sig, char *text, size_t text_nbytes);

#endif
