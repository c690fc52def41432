/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the ranks of a new job meet that comes out of an old one, as bytes that may travel in
 * clear:
 *
 *     0  port of the new root      4  addresses, 5 x 16
 *     2  number of addresses      84  nonce, 16 bytes
 *
 * The new job's secret does not travel. It is derived from the old job's, a word that says what
 * for, and all that is told about the new job, this venue with its fresh nonce included: so only
 * who knew the old secret can know it, and a venue that was changed on its way leads to a secret
 * that nobody else has.
 */
#ifndef WH_BOOTSTRAP_VENUE_H
#define WH_BOOTSTRAP_VENUE_H

#include "base/macros.h"
#include "bootstrap/boot.h"
#include "bootstrap/ticket.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stdint.h>

/** Writes the venue of ticket's port and addresses, with a fresh nonce. Errors are reported. */
WH_MUST_CHECK whorl_result_t wh_venue_make(const struct wh_ticket *ticket,
                                           uint8_t venue_out[WH_VENUE_NBYTES]);

/** Reads one: a ticket that has no secret yet. False, *ticket_out untouched, if it is none. */
bool wh_venue_read(const uint8_t venue[WH_VENUE_NBYTES], struct wh_ticket *ticket_out);

#endif
