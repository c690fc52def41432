/* SPDX-License-Identifier: Apache-2.0 */
/* What this process tells others about itself, as the configuration allows. */
#ifndef WH_BOOTSTRAP_SELF_H
#define WH_BOOTSTRAP_SELF_H

#include "base/macros.h"
#include "base/sock.h"
#include "bootstrap/conn.h"

/** WHORL_SOCKET_FAMILY. WHORL_E_CONFIG, reported. */
WH_MUST_CHECK whorl_result_t wh_self_family(enum wh_family *family_out);

/** The addresses of this host that WHORL_SOCKET_IFNAME allows. WHORL_E_CONFIG, reported. */
WH_MUST_CHECK whorl_result_t wh_self_addrs(struct wh_addr addrs_out[WH_NADDRS_MAX],
                                           uint32_t *naddrs_out);

/** What this process's handshakes rest on: the secret of ticket, and WHORL_ENCRYPT. The caller
 *  wipes it. WHORL_E_CONFIG, reported. */
WH_MUST_CHECK whorl_result_t wh_self_trust(const struct wh_ticket *ticket,
                                           struct wh_trust *trust_out);

/**
 * Listens on port (0: a free one): only at loopback if that is not NULL, else on all interfaces of
 * WHORL_SOCKET_FAMILY. The caller closes *fd_out.
 *
 * Errors    WHORL_E_CONFIG, WHORL_E_SYS, reported.
 */
WH_MUST_CHECK whorl_result_t wh_self_listen(const struct wh_addr *loopback, uint16_t port,
                                            int *fd_out, uint16_t *port_out);

/**
 * What a root in the process of this rank needs: a ticket, without a secret yet, for the addresses at
 * which the rank can be reached, and the listener for it, which the caller closes.
 *
 * Errors    WHORL_E_CONFIG, WHORL_E_SYS, reported.
 */
WH_MUST_CHECK whorl_result_t wh_self_host(const struct wh_member *self,
                                          struct wh_ticket *ticket_out, int *fd_out);

#endif
