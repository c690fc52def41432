/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes everything that the bootstrap parses from sockets and from users after the handshake (see
 * shake_fuzz.c): ids, heads of frames, members, failures, verdicts. The first byte chooses which.
 *
 * Build with clang -fsanitize=fuzzer,address,undefined.
 */
#include "base/log.h"
#include "bootstrap/frame.h"
#include "bootstrap/ticket.h"
#include "bootstrap/verdict.h"

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
        struct wh_boot_failure failure;
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

/* Of a job with as many ranks as the second byte says. */
static void fuzz_verdict(const uint8_t *bytes, size_t nbytes)
{
    static const uint8_t secret[WH_SECRET_NBYTES] = {1, 2, 3};
    bool alive[UINT8_MAX + 1];
    whorl_id_t id;
    if (nbytes == 0) {
        return;
    }
    uint32_t nranks = bytes[0] + 1u;
    whorl_result_t rc = wh_verdict_read(secret, 1, bytes + 1, nbytes - 1, nranks, alive, &id);
    check(rc == WHORL_OK || rc == WHORL_E_ARG);
    for (uint32_t rank = 0; rc == WHORL_OK && rank < nranks; rank++) {
        check(alive[rank] == wh_verdict_has(bytes + 1, rank));
    }
    struct wh_ticket ticket;
    check(rc != WHORL_OK || wh_ticket_decode(&id, &ticket));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes)
{
    if (nbytes == 0) {
        return 0;
    }
    wh_log_configure("NONE", "", "");
    if (bytes[0] % 3 == 0) {
        fuzz_ticket(bytes + 1, nbytes - 1);
    } else if (bytes[0] % 3 == 1) {
        fuzz_frames(bytes + 1, nbytes - 1);
    } else {
        fuzz_verdict(bytes + 1, nbytes - 1);
    }
    return 0;
}
