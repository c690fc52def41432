/* SPDX-License-Identifier: Apache-2.0 */
/* See self.h. */
#include "bootstrap/self.h"

#include "base/config.h"
#include "base/log.h"

#include <string.h>

whorl_result_t wh_self_family(enum wh_family *family_out)
{
    const struct wh_config *config;
    whorl_result_t rc = wh_config_get(&config);
    if (rc == WHORL_OK && !wh_family_parse(config->socket_family, family_out)) {
        rc = wh_fail(WHORL_E_CONFIG, WH_SUBSYS_BOOTSTRAP,
                     "WHORL_SOCKET_FAMILY=%s: AF_INET, AF_INET6 or nothing is accepted",
                     config->socket_family);
    }
    return rc;
}

whorl_result_t wh_self_addrs(struct wh_addr addrs_out[WH_NADDRS_MAX], uint32_t *naddrs_out)
{
    const struct wh_config *config;
    enum wh_family family;
    whorl_result_t rc = wh_self_family(&family);
    if (rc == WHORL_OK) {
        rc = wh_config_get(&config);
    }
    if (rc == WHORL_OK) {
        rc = wh_sock_own_addrs(config->socket_ifname, family, addrs_out, WH_NADDRS_MAX, naddrs_out);
    }
    return rc;
}

whorl_result_t wh_self_trust(const struct wh_ticket *ticket, struct wh_trust *trust_out)
{
    const struct wh_config *config;
    whorl_result_t rc = wh_config_get(&config);
    if (rc == WHORL_OK) {
        memcpy(trust_out->secret, ticket->secret, sizeof(trust_out->secret));
        trust_out->encrypts = config->encrypt;
    }
    return rc;
}

whorl_result_t wh_self_listen(const struct wh_addr *loopback, uint16_t port, int *fd_out,
                              uint16_t *port_out)
{
    enum wh_family family;
    whorl_result_t rc = wh_self_family(&family);
    if (rc != WHORL_OK) {
        return rc;
    }
    return loopback != NULL ? wh_sock_listen_at(loopback, port, fd_out, port_out)
                            : wh_sock_listen(family, port, fd_out, port_out);
}

whorl_result_t wh_self_host(const struct wh_member *self, struct wh_ticket *ticket_out, int *fd_out)
{
    struct wh_ticket ticket = {.naddrs = self->naddrs};
    memcpy(ticket.addrs, self->addrs, sizeof(ticket.addrs));
    whorl_result_t rc = wh_self_listen(wh_ticket_loopback(&ticket), 0, fd_out, &ticket.port);
    for (uint32_t i = 0; i < ticket.naddrs; i++) {
        ticket.addrs[i].port = ticket.port;
    }
    if (rc == WHORL_OK) {
        *ticket_out = ticket;
    }
    return rc;
}
