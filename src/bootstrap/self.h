/* SPDX-License-Identifier: Apache-2.0 */
/* What this process tells others about itself, as the configuration allows. */
#ifndef WH_BOOTSTRAP_SELF_H
#define WH_BOOTSTRAP_SELF_H

#include "base/macros.h"
#include "base/sock.h"
#include "bootstrap/frame.h"

/** WHORL_SOCKET_FAMILY. WHORL_E_CONFIG, reported. */
WH_MUST_CHECK whorl_result_t wh_self_family(enum wh_family *family_out);

/** The addresses of this host that WHORL_SOCKET_IFNAME allows. WHORL_E_CONFIG, reported. */
WH_MUST_CHECK whorl_result_t wh_self_addrs(struct wh_addr addrs_out[WH_NADDRS_MAX],
                                           uint32_t *naddrs_out);

#endif
