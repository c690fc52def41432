/* SPDX-License-Identifier: Apache-2.0 */
/* Where a new job meets, as bytes. See venue.h. */
#include "bootstrap/venue.h"

#include "base/bytes.h"
#include "base/random.h"

#include <assert.h>
#include <string.h>

enum {
    AT_NADDRS = 2,
    AT_ADDRS = 4,
    AT_NONCE = AT_ADDRS + 16 * WH_NADDRS_MAX,
};
static_assert((int)AT_NONCE + (int)WH_NONCE_NBYTES == (int)WH_VENUE_NBYTES, "the nonce is last");

whorl_result_t wh_venue_make(const struct wh_ticket *ticket, uint8_t venue_out[WH_VENUE_NBYTES])
{
    assert(ticket->naddrs >= 1 && ticket->naddrs <= WH_NADDRS_MAX);
    assert(ticket->port != 0);

    memset(venue_out, 0, WH_VENUE_NBYTES);
    wh_put_le16(venue_out, ticket->port);
    wh_put_le16(venue_out + AT_NADDRS, (uint16_t)ticket->naddrs);
    for (uint32_t i = 0; i < ticket->naddrs; i++) {
        memcpy(venue_out + AT_ADDRS + 16 * i, ticket->addrs[i].ip, 16);
    }
    return wh_random(venue_out + AT_NONCE, WH_NONCE_NBYTES);
}

bool wh_venue_read(const uint8_t venue[WH_VENUE_NBYTES], struct wh_ticket *ticket_out)
{
    struct wh_ticket ticket = {
        .port = wh_get_le16(venue),
        .naddrs = wh_get_le16(venue + AT_NADDRS),
    };
    if (ticket.port == 0 || ticket.naddrs < 1 || ticket.naddrs > WH_NADDRS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < ticket.naddrs; i++) {
        memcpy(ticket.addrs[i].ip, venue + AT_ADDRS + 16 * i, 16);
        ticket.addrs[i].port = ticket.port;
    }
    *ticket_out = ticket;
    return true;
}
