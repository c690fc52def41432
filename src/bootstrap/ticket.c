/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The id as bytes, little endian:
 *
 *     0  magic             24  port of the root
 *     4  version           26  number of addresses
 *     6  flags, 0          28  addresses, 16 bytes each, at most 5
 *     8  secret           120  checksum over bytes 0..119
 *
 * The checksum catches an id that was cut or mangled on its way (a text file, an environment
 * variable); it is no protection, the handshake is.
 */
#include "bootstrap/ticket.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <string.h>

enum {
    TICKET_MAGIC = 0x4c524857, /* "WHRL" */
    TICKET_VERSION = 1,
    AT_SECRET = 8,
    AT_PORT = 24,
    AT_NADDRS = 26,
    AT_ADDRS = 28,
    AT_CHECKSUM = 120,
};
static_assert(AT_SECRET + WH_SECRET_NBYTES == AT_PORT, "the secret lies before the port");
static_assert(AT_ADDRS + WH_NADDRS_MAX * 16 <= AT_CHECKSUM, "the addresses fit");
static_assert(AT_CHECKSUM + 8 == WHORL_ID_NBYTES, "the checksum is last");

void wh_ticket_encode(const struct wh_ticket *ticket, whorl_id_t *id_out)
{
    assert(ticket->naddrs >= 1 && ticket->naddrs <= WH_NADDRS_MAX);
    assert(ticket->port != 0);

    uint8_t *p = id_out->bytes;
    memset(p, 0, WHORL_ID_NBYTES);
    wh_put_le32(p, TICKET_MAGIC);
    wh_put_le16(p + 4, TICKET_VERSION);
    memcpy(p + AT_SECRET, ticket->secret, WH_SECRET_NBYTES);
    wh_put_le16(p + AT_PORT, ticket->port);
    wh_put_le16(p + AT_NADDRS, (uint16_t)ticket->naddrs);
    for (uint32_t i = 0; i < ticket->naddrs; i++) {
        memcpy(p + AT_ADDRS + 16 * i, ticket->addrs[i].ip, 16);
    }
    wh_put_le64(p + AT_CHECKSUM, wh_hash(WH_HASH_START, p, AT_CHECKSUM));
}

const struct wh_addr *wh_ticket_loopback(const struct wh_ticket *ticket)
{
    for (uint32_t i = 0; i < ticket->naddrs; i++) {
        if (!wh_addr_is_loopback(&ticket->addrs[i])) {
            return NULL;
        }
    }
    return ticket->naddrs > 0 ? &ticket->addrs[0] : NULL;
}

bool wh_ticket_decode(const whorl_id_t *id, struct wh_ticket *ticket_out)
{
    const uint8_t *p = id->bytes;
    uint16_t port = wh_get_le16(p + AT_PORT), naddrs = wh_get_le16(p + AT_NADDRS);
    if (wh_get_le32(p) != TICKET_MAGIC || wh_get_le16(p + 4) != TICKET_VERSION ||
        wh_get_le16(p + 6) != 0 || port == 0 || naddrs < 1 || naddrs > WH_NADDRS_MAX ||
        wh_get_le64(p + AT_CHECKSUM) != wh_hash(WH_HASH_START, p, AT_CHECKSUM)) {
        return false;
    }

    memset(ticket_out, 0, sizeof(*ticket_out));
    memcpy(ticket_out->secret, p + AT_SECRET, WH_SECRET_NBYTES);
    ticket_out->port = port;
    ticket_out->naddrs = naddrs;
    for (uint32_t i = 0; i < naddrs; i++) {
        memcpy(ticket_out->addrs[i].ip, p + AT_ADDRS + 16 * i, 16);
        ticket_out->addrs[i].port = port;
    }
    return true;
}

void wh_ticket_fini(struct wh_ticket *ticket)
{
    OPENSSL_cleanse(ticket, sizeof(*ticket));
}
