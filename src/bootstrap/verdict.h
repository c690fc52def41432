/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What survivors agree on: who is left, and where and with which secret they meet. As bytes, the
 * payload of RESULT:
 *
 *     0  the venue (venue.h)     100  number of ranks of the old job
 *                                104  a bit for each of them: alive
 *
 * The new secret does not travel: it is wh_secret_derive(old secret, "whorl regroup", epoch |
 * payload), so a verdict that was changed on its way leads to a secret that nobody else has.
 */
#ifndef WH_BOOTSTRAP_VERDICT_H
#define WH_BOOTSTRAP_VERDICT_H

#include "base/macros.h"
#include "bootstrap/venue.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Bytes of the verdict on nranks ranks. */
size_t wh_verdict_nbytes(uint32_t nranks);

/**
 * Writes wh_verdict_nbytes(nranks) bytes for a root at ticket's port and addresses, and sets
 * ticket's secret. alive has nranks flags.
 *
 * Errors    WHORL_E_NOMEM, WHORL_E_SYS, reported.
 */
WH_MUST_CHECK whorl_result_t wh_verdict_make(const uint8_t old_secret[WH_SECRET_NBYTES],
                                             uint64_t epoch, const bool *alive, uint32_t nranks,
                                             struct wh_ticket *ticket, uint8_t *payload_out);

/** Is rank alive in a verdict that wh_verdict_read() or wh_verdict_make() has seen? */
bool wh_verdict_has(const uint8_t *payload, uint32_t rank);

/**
 * Reads one: nranks flags and the id. The caller wipes the secret in it when it is not needed.
 *
 * Errors    WHORL_E_ARG, not reported: it is none about nranks ranks. WHORL_E_NOMEM, reported.
 */
WH_MUST_CHECK whorl_result_t wh_verdict_read(const uint8_t old_secret[WH_SECRET_NBYTES],
                                             uint64_t epoch, const uint8_t *payload, size_t nbytes,
                                             uint32_t nranks, bool *alive_out, whorl_id_t *id_out);

#endif
