/* SPDX-License-Identifier: Apache-2.0 */
/* Who is left and where they meet, as bytes. See verdict.h. */
#include "bootstrap/verdict.h"

#include "base/bytes.h"
#include "base/handshake.h"
#include "base/log.h"
#include "bootstrap/frame.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    AT_NRANKS = WH_VENUE_NBYTES,
    AT_BITS = AT_NRANKS + 4,
};
static_assert((int)AT_BITS == (int)WH_RESULT_NBYTES_MIN, "the head of RESULT's payload");

size_t wh_verdict_nbytes(uint32_t nranks)
{
    return AT_BITS + (nranks + 7) / 8;
}

static whorl_result_t derive(const uint8_t old_secret[WH_SECRET_NBYTES], uint64_t epoch,
                             const uint8_t *payload, size_t nbytes,
                             uint8_t secret_out[WH_SECRET_NBYTES])
{
    whorl_result_t rc = WHORL_E_NOMEM;
    uint8_t *text = malloc(8 + nbytes);
    if (text != NULL) {
        wh_put_le64(text, epoch);
        memcpy(text + 8, payload, nbytes);
        rc = wh_secret_derive(old_secret, "whorl regroup", text, 8 + nbytes, secret_out);
        free(text);
    }
    return rc == WHORL_OK ? rc : wh_fail(rc, WH_SUBSYS_BOOTSTRAP, "no memory to make a new secret");
}

whorl_result_t wh_verdict_make(const uint8_t old_secret[WH_SECRET_NBYTES], uint64_t epoch,
                               const bool *alive, uint32_t nranks, struct wh_ticket *ticket,
                               uint8_t *payload_out)
{
    memset(payload_out, 0, wh_verdict_nbytes(nranks));
    wh_put_le32(payload_out + AT_NRANKS, nranks);
    for (uint32_t rank = 0; rank < nranks; rank++) {
        payload_out[AT_BITS + rank / 8] |= (uint8_t)((alive[rank] ? 1 : 0) << rank % 8);
    }
    whorl_result_t rc = wh_venue_make(ticket, payload_out);
    return rc != WHORL_OK
               ? rc
               : derive(old_secret, epoch, payload_out, wh_verdict_nbytes(nranks), ticket->secret);
}

bool wh_verdict_has(const uint8_t *payload, uint32_t rank)
{
    return (payload[AT_BITS + rank / 8] >> rank % 8 & 1) != 0;
}

whorl_result_t wh_verdict_read(const uint8_t old_secret[WH_SECRET_NBYTES], uint64_t epoch,
                               const uint8_t *payload, size_t nbytes, uint32_t nranks,
                               bool *alive_out, whorl_id_t *id_out)
{
    struct wh_ticket ticket;
    if (nbytes != wh_verdict_nbytes(nranks) || wh_get_le32(payload + AT_NRANKS) != nranks ||
        !wh_venue_read(payload, &ticket)) {
        return WHORL_E_ARG;
    }
    whorl_result_t rc = derive(old_secret, epoch, payload, nbytes, ticket.secret);
    if (rc == WHORL_OK) {
        wh_ticket_encode(&ticket, id_out);
        for (uint32_t rank = 0; rank < nranks; rank++) {
            alive_out[rank] = wh_verdict_has(payload, rank);
        }
    }
    wh_ticket_fini(&ticket);
    return rc;
}
