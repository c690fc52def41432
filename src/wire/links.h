/* SPDX-License-Identifier: Apache-2.0 */
/* The links that a rank has open: a sparse table by peer, channel and direction. */
#ifndef WH_WIRE_LINKS_H
#define WH_WIRE_LINKS_H

#include "wire/transport.h"

struct wh_links {
    uint32_t nranks, nchannels;
    struct wh_link ***by_peer; /* NULL, or 2 * nchannels: receive and send of each channel */
};

struct wh_link_name {
    uint32_t peer, channel;
    bool is_send;
};

/** An empty table. WHORL_E_NOMEM is not reported. */
WH_MUST_CHECK whorl_result_t wh_links_init(struct wh_links *links, uint32_t nranks,
                                           uint32_t nchannels);
/** Closes all links. Works on zeros. */
void wh_links_fini(struct wh_links *links);

/** The link of that name, opened over transport if it was not open. It belongs to the table. */
WH_MUST_CHECK whorl_result_t wh_links_get(struct wh_links *links,
                                          struct wh_transport_wire *transport,
                                          struct wh_link_name name, struct wh_link **link_out);

#endif
