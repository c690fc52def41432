/* SPDX-License-Identifier: Apache-2.0 */
/* Who is left and where they meet, as bytes. See verdict.h. */
#include "bootstrap/verdict.h"

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/random.h"
#include "bootstrap/frame.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

enum {
    AT_NADDRS = 2,
    AT_ADDRS = 4,
    AT_NONCE = AT_ADDRS + 16 * WH_NADDRS_MAX,
    AT_NRANKS = AT_NONCE + WH_NONCE_NBYTES,
    AT_BITS = AT_NRANKS + 4,
};
static_assert((int)AT_BITS == (int)WH_RESULT_NBYTES_MIN, "the head of RESULT's payload");

static const char word[16] = "whorl regroup";

size_t wh_verdict_nbytes(uint32_t nranks)
{
    return AT_BITS + (nranks + 7) / 8;
}

static whorl_result_t derive(const uint8_t old_secret[WH_SECRET_NBYTES], uint64_t epoch,
                             const uint8_t *payload, size_t nbytes,
                             uint8_t secret_out[WH_SECRET_NBYTES])
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_nbytes = 0;
    uint8_t *text = malloc(sizeof(word) + 8 + nbytes);
    bool ok = text != NULL;
    if (ok) {
        memcpy(text, word, sizeof(word));
        wh_put_le64(text + sizeof(word), epoch);
        memcpy(text + sizeof(word) + 8, payload, nbytes);
        wh_crypto_begin();
        ok = HMAC(EVP_sha256(), old_secret, WH_SECRET_NBYTES, text, sizeof(word) + 8 + nbytes, mac,
                  &mac_nbytes) != NULL;
        wh_crypto_end();
        free(text);
    }
    if (!ok || mac_nbytes < WH_SECRET_NBYTES) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory to make a new secret");
    }
    memcpy(secret_out, mac, WH_SECRET_NBYTES);
    OPENSSL_cleanse(mac, sizeof(mac));
    return WHORL_OK;
}

whorl_result_t wh_verdict_make(const uint8_t old_secret[WH_SECRET_NBYTES], uint64_t epoch,
                               const bool *alive, uint32_t nranks, struct wh_ticket *ticket,
                               uint8_t *payload_out)
{
    memset(payload_out, 0, wh_verdict_nbytes(nranks));
    wh_put_le16(payload_out, ticket->port);
    wh_put_le16(payload_out + AT_NADDRS, (uint16_t)ticket->naddrs);
    for (uint32_t i = 0; i < ticket->naddrs; i++) {
        memcpy(payload_out + AT_ADDRS + 16 * i, ticket->addrs[i].ip, 16);
    }
    wh_put_le32(payload_out + AT_NRANKS, nranks);
    for (uint32_t rank = 0; rank < nranks; rank++) {
        payload_out[AT_BITS + rank / 8] |= (uint8_t)((alive[rank] ? 1 : 0) << rank % 8);
    }
    whorl_result_t rc = wh_random(payload_out + AT_NONCE, WH_NONCE_NBYTES);
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
    if (nbytes != wh_verdict_nbytes(nranks) || wh_get_le32(payload + AT_NRANKS) != nranks) {
        return WHORL_E_ARG;
    }
    struct wh_ticket ticket = {.port = wh_get_le16(payload),
                               .naddrs = wh_get_le16(payload + AT_NADDRS)};
    if (ticket.port == 0 || ticket.naddrs < 1 || ticket.naddrs > WH_NADDRS_MAX) {
        return WHORL_E_ARG;
    }
    for (uint32_t i = 0; i < ticket.naddrs; i++) {
        memcpy(ticket.addrs[i].ip, payload + AT_ADDRS + 16 * i, 16);
        ticket.addrs[i].port = ticket.port;
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
