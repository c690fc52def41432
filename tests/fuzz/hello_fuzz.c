/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes everything that the bootstrap parses from sockets and from users: ids, the handshake as
 * both ends, heads of frames, members, failures. The first byte chooses which.
 *
 * Build with clang -fsanitize=fuzzer,address,undefined.
 */
#include "bootstrap/frame.h"
#include "base/handshake.h"
#include "bootstrap/ticket.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes);

static void check(bool good)
{
    if (!good) {
        abort();
    }
}

static void fuzz_ticket(const uint8_t *bytes, size_t nbytes)
{
    whorl_id_t id = {{0}}, again;
    struct wh_ticket ticket;
    memcpy(id.bytes, bytes, nbytes < sizeof(id.bytes) ? nbytes : sizeof(id.bytes));
    if (wh_ticket_decode(&id, &ticket)) {
        check(ticket.naddrs >= 1 && ticket.naddrs <= WH_NADDRS_MAX && ticket.port != 0);
        wh_ticket_encode(&ticket, &again);
        check(wh_ticket_decode(&again, &ticket));
    }
}

/* Without the secret nobody gets to the end, as whichever end and with whatever bytes. */
static void fuzz_shake(const uint8_t *bytes, size_t nbytes, bool caller)
{
    static const uint8_t secret[WH_SECRET_NBYTES] = {1, 2, 3};
    static const uint8_t nonce[WH_NONCE_NBYTES] = {4, 5, 6};
    struct wh_shake shake;
    uint8_t reply[WH_SHAKE_NBYTES_MAX];
    size_t reply_nbytes;
    if (caller) {
        wh_shake_call(&shake, secret, WH_PURPOSE_JOIN, nonce, reply);
    } else {
        wh_shake_answer(&shake, secret, WH_PURPOSE_JOIN, nonce);
    }
    size_t expects = wh_shake_expects(&shake);
    while (expects > 0 && nbytes >= expects) {
        whorl_result_t rc = wh_shake_take(&shake, bytes, reply, &reply_nbytes);
        check(rc != WHORL_OK && reply_nbytes <= sizeof(reply));
        bytes += expects;
        nbytes -= expects;
        expects = wh_shake_expects(&shake);
    }
    wh_shake_fini(&shake);
}

static void fuzz_frames(const uint8_t *bytes, size_t nbytes)
{
    while (nbytes >= WH_HEAD_NBYTES) {
        struct wh_frame frame;
        uint8_t again[WH_HEAD_NBYTES];
        if (!wh_head_decode(bytes, &frame)) {
            return;
        }
        wh_head_encode(&frame, again);
        check(memcmp(again, bytes, sizeof(again)) == 0);
        bytes += WH_HEAD_NBYTES;
        nbytes -= WH_HEAD_NBYTES;
        if (frame.payload_nbytes > nbytes) {
            return;
        }
        struct wh_member member;
        struct wh_failure failure;
        if (wh_member_decode(bytes, frame.payload_nbytes, &member)) {
            check(member.naddrs <= WH_NADDRS_MAX && member.nranks >= 1);
            check(memchr(member.host, '\0', sizeof(member.host)) != NULL);
        }
        wh_failure_decode(bytes, frame.payload_nbytes, &failure);
        check(failure.rc < 0);
        check(memchr(failure.text, '\0', sizeof(failure.text)) != NULL);
        bytes += frame.payload_nbytes;
        nbytes -= frame.payload_nbytes;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes)
{
    if (nbytes == 0) {
        return 0;
    }
    switch (bytes[0] % 4) {
    case 0:
        fuzz_ticket(bytes + 1, nbytes - 1);
        break;
    case 1:
        fuzz_shake(bytes + 1, nbytes - 1, true);
        break;
    case 2:
        fuzz_shake(bytes + 1, nbytes - 1, false);
        break;
    default:
        fuzz_frames(bytes + 1, nbytes - 1);
        break;
    }
    return 0;
}
