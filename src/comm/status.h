/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one rank is doing in a communicator, as it tells others who ask: WH_STATUS_NBYTES on the
 * wire, whatever the two ranks are compiled for.
 */
#ifndef WH_COMM_STATUS_H
#define WH_COMM_STATUS_H

#include "base/macros.h"
#include "bootstrap/boot.h"
#include "schedule/sched.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WH_STATUS_NO_REPORT UINT32_MAX

enum { WH_STATUS_ALGO_NBYTES = 32, WH_STATUS_WHERE_NBYTES = 224, WH_STATUS_OTHER_NBYTES = 152 };

/** One call, as every rank would name it. */
struct wh_status_op {
    uint64_t seq, count;
    uint32_t root;
    uint8_t coll, dtype, redop; /* as in wh_signature */
};

enum wh_status_state {
    WH_STATUS_UNKNOWN, /* nobody answered */
    WH_STATUS_IDLE,    /* has not made a call yet */
    WH_STATUS_INSIDE,  /* op is at work */
    WH_STATUS_OUTSIDE, /* op was the last one, and is over */
};

struct wh_status {
    enum wh_status_state state;
    struct wh_status_op op;
    uint64_t ncolls;  /* number of the last collective that it has entered; 0: none */
    uint64_t for_ms;  /* it is in op, or has been outside since */
    uint32_t nqueued; /* groups of calls in streams that have not ended */
    int32_t failure;  /* 0, or what broke the communicator */
    /* Since when it has been reporting, or has reported, that op stalls, while it is in it. */
    uint32_t reports_ms; /* WH_STATUS_NO_REPORT: it has not */
    char algo[WH_STATUS_ALGO_NBYTES];
    char where[WH_STATUS_WHERE_NBYTES]; /* whom it waits for, in which step; "" if not for long */
    char other[WH_STATUS_OTHER_NBYTES]; /* outside: what its process waits for elsewhere; or "" */
};

/** Always WH_STATUS_NBYTES; longer texts are cut. */
void wh_status_encode(const struct wh_status *status, uint8_t out[WH_STATUS_NBYTES]);

/** Bytes from a peer, zeros among them: what makes no sense becomes WH_STATUS_UNKNOWN, texts come
 *  out terminated and printable. */
void wh_status_decode(const uint8_t in[WH_STATUS_NBYTES], struct wh_status *status_out);

/** "all_reduce #42", for lists. Always terminated; any values are safe. Returns text. */
const char *wh_status_print_short(const struct wh_status_op *op, char *text, size_t text_nbytes);

/** "all_reduce(count 5, float32, sum) #42". The same otherwise. */
const char *wh_status_print_op(const struct wh_status_op *op, char *text, size_t text_nbytes);

/** "31 s", "450 ms", "3 min 5 s", "2 h 14 min". Returns text. */
const char *wh_status_print_ms(uint64_t ms, char *text, size_t text_nbytes);

#endif
