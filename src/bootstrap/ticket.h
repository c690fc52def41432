/* SPDX-License-Identifier: Apache-2.0 */
/* What is inside a whorl_id_t: where the root listens, and the job's secret. */
#ifndef WH_BOOTSTRAP_TICKET_H
#define WH_BOOTSTRAP_TICKET_H

#include "base/handshake.h"
#include "base/sock.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stdint.h>

enum { WH_NADDRS_MAX = 5 };

struct wh_ticket {
    uint8_t secret[WH_SECRET_NBYTES];
    uint16_t port; /* of all addresses */
    uint32_t naddrs;
    struct wh_addr addrs[WH_NADDRS_MAX]; /* best first */
};

void wh_ticket_encode(const struct wh_ticket *ticket, whorl_id_t *id_out);

/** The address of a job that stays on one host: the best one if all are loopback, else NULL. Its
 * ranks need not listen, and do not, where other hosts could reach them. */
const struct wh_addr *wh_ticket_loopback(const struct wh_ticket *ticket);

/** False, *ticket_out untouched, if id is none. The caller forgets the secret with
 * wh_ticket_fini(). */
bool wh_ticket_decode(const whorl_id_t *id, struct wh_ticket *ticket_out);

void wh_ticket_fini(struct wh_ticket *ticket);

#endif
