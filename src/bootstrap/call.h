/* SPDX-License-Identifier: Apache-2.0 */
/* Calling at the door of another rank during a regroup: dial, prove, say who calls, listen. Owned by
 * the thread that regroups; nothing here waits. */
#ifndef WH_BOOTSTRAP_CALL_H
#define WH_BOOTSTRAP_CALL_H

#include "base/dial.h"
#include "base/macros.h"
#include "bootstrap/conn.h"
#include "bootstrap/regroup.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

enum wh_call_state {
    WH_CALL_BUSY,   /* poll, and go on */
    WH_CALL_SAID,   /* a frame has come */
    WH_CALL_GONE,   /* nobody of this job listens there: its process is no more */
    WH_CALL_SILENT, /* no sign of life within the patience */
    WH_CALL_LOST,   /* it has proved itself, and then the connection ended */
};

struct wh_call {
    uint32_t rank;
    bool open; /* wh_call_begin() was called and wh_call_end() not */
    struct wh_frame greeting;
    uint8_t payload[WH_COME_NBYTES];
    const struct wh_trust *trust;
    struct wh_dial dial;
    struct wh_conn conn;  /* open once somebody was reached */
    bool said, heard;     /* the greeting was sent; something was answered */
    uint64_t patience_ns; /* until the other has answered */
};

/** Begins to call rank, with greeting COME or SEEK. boot outlives the call. */
void wh_call_begin(struct wh_call *call, const struct wh_boot *boot, uint32_t rank,
                   enum wh_frame_type greeting, const struct wh_come *come, uint64_t patience_ns);

/** Goes on. With WH_CALL_SAID *frame_out is valid until the next call; call again until
 *  WH_CALL_BUSY. After the last three states it only can be ended. */
enum wh_call_state wh_call_advance(struct wh_call *call, struct wh_frame *frame_out);

/** Writes what to poll for, at most WH_DIAL_NADDRS_MAX; returns how many. */
uint32_t wh_call_pollfds(const struct wh_call *call, struct pollfd *pfds);

/** When to advance at the latest. */
uint64_t wh_call_due_ns(const struct wh_call *call);

/** Hangs up. Works on zeros. */
void wh_call_end(struct wh_call *call);

#endif
