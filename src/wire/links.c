/* SPDX-License-Identifier: Apache-2.0 */
/* A ring uses two peers of a thousand: the row of a peer is made when it is first asked for. */
#include "wire/links.h"

#include "base/log.h"

#include <assert.h>
#include <stdlib.h>

whorl_result_t wh_links_init(struct wh_links *links, uint32_t nranks, uint32_t nchannels)
{
    links->nranks = nranks;
    links->nchannels = nchannels;
    links->by_peer = calloc(nranks, sizeof(struct wh_link **));
    return links->by_peer == NULL ? WHORL_E_NOMEM : WHORL_OK;
}

void wh_links_fini(struct wh_links *links)
{
    if (links->by_peer == NULL) {
        return;
    }

    for (uint32_t peer = 0; peer < links->nranks; peer++) {
        struct wh_link **row = links->by_peer[peer];
        for (uint32_t i = 0; row != NULL && i < 2 * links->nchannels; i++) {
            if (row[i] != NULL) {
                row[i]->ops->link_close(row[i]);
            }
        }
        free(row);
    }
    free(links->by_peer);
    links->by_peer = NULL;
}

whorl_result_t wh_links_get(struct wh_links *links, struct wh_transport_wire *transport,
                            struct wh_link_name name, struct wh_link **link_out)
{
    assert(name.peer < links->nranks && name.channel < links->nchannels);

    struct wh_link ***row = &links->by_peer[name.peer];
    if (*row == NULL) {
        *row = calloc(2 * (size_t)links->nchannels, sizeof(struct wh_link *));
        if (*row == NULL) {
            return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_INIT, "wire: no memory for links to rank %u",
                           name.peer);
        }
    }

    struct wh_link **link = &(*row)[2 * name.channel + name.is_send];
    if (*link == NULL) {
        whorl_result_t rc =
            transport->ops->link_open(transport, name.peer, name.channel, name.is_send, link);
        if (rc != WHORL_OK) {
            return rc;
        }
    }
    *link_out = *link;
    return WHORL_OK;
}
