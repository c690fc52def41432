/* SPDX-License-Identifier: Apache-2.0 */
/* Which transports a rank tries, in which order, as bytes that it tells the others. */
#ifndef WH_WIRE_CHOOSE_H
#define WH_WIRE_CHOOSE_H

#include "base/config.h"
#include "wire/transport.h"

enum { WH_CHOICE_MAX = 16, WH_CHOICE_NBYTES = 32 };

/** Transports, as indexes into wh_transports, in the order in which they are tried. */
struct wh_choice {
    uint32_t n;
    uint8_t index[WH_CHOICE_MAX];
};

/**
 * Reads config->transports and config->shm_disable.
 *
 * Errors    WHORL_E_CONFIG for a name that does not exist, or when nothing is left.
 */
WH_MUST_CHECK whorl_result_t wh_choice_parse(const struct wh_config *config,
                                             struct wh_choice *choice_out);

/** Is transport `index` in it? */
bool wh_choice_has(const struct wh_choice *choice, uint32_t index);

/** Writes it as WH_CHOICE_NBYTES bytes, and reads such bytes of a peer: what makes no sense in them
 *  is left out. */
void wh_choice_encode(const struct wh_choice *choice, uint8_t bytes[WH_CHOICE_NBYTES]);
void wh_choice_decode(const uint8_t bytes[WH_CHOICE_NBYTES], struct wh_choice *choice_out);

#endif
