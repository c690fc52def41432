/* SPDX-License-Identifier: Apache-2.0 */
/* Ids: made at random together with their root, from an address and a secret that all ranks know,
 * or out of a job that there is. */
#include "base/crypto.h"
#include "base/log.h"
#include "base/random.h"
#include "base/sock.h"
#include "bootstrap/boot.h"
#include "bootstrap/rank.h"
#include "bootstrap/root.h"
#include "bootstrap/self.h"
#include "bootstrap/ticket.h"
#include "bootstrap/venue.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool wh_boot_id_valid(const whorl_id_t *id)
{
    struct wh_ticket ticket;
    bool valid = wh_ticket_decode(id, &ticket);
    wh_ticket_fini(&ticket);
    return valid;
}

whorl_result_t wh_boot_id_create(whorl_id_t *id_out)
{
    struct wh_ticket ticket = {0};
    int listener;
    whorl_result_t rc = wh_self_addrs(ticket.addrs, &ticket.naddrs);
    if (rc == WHORL_OK) {
        rc = wh_random(ticket.secret, sizeof(ticket.secret));
    }
    if (rc == WHORL_OK) {
        rc = wh_self_listen(NULL, 0, &listener, &ticket.port);
    }
    if (rc == WHORL_OK) {
        rc = wh_root_start(&ticket, listener);
    }
    if (rc == WHORL_OK) {
        wh_ticket_encode(&ticket, id_out);
    }
    wh_ticket_fini(&ticket);
    return rc;
}

/* The job's secret: 16 bytes of SHA-256 over a word of ours and the text. */
static whorl_result_t secret_from_text(const char *text, uint8_t secret_out[WH_SECRET_NBYTES])
{
    static const char word[] = "whorl secret";
    size_t text_nbytes = strlen(text), nbytes = sizeof(word) + text_nbytes;
    uint8_t *bytes = malloc(nbytes);
    uint8_t digest[EVP_MAX_MD_SIZE];
    bool ok = false;
    if (bytes != NULL) {
        memcpy(bytes, word, sizeof(word));
        memcpy(bytes + sizeof(word), text, text_nbytes);
        wh_crypto_begin();
        ok = EVP_Digest(bytes, nbytes, digest, NULL, EVP_sha256(), NULL) == 1;
        wh_crypto_end();
        OPENSSL_cleanse(bytes, nbytes);
        free(bytes);
    }
    if (!ok) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory to hash the job's secret");
    }
    memcpy(secret_out, digest, WH_SECRET_NBYTES);
    OPENSSL_cleanse(digest, sizeof(digest));
    return WHORL_OK;
}

whorl_result_t wh_boot_id_from_address(const char *address, const char *secret, whorl_id_t *id_out)
{
    struct wh_ticket ticket = {0};
    enum wh_family family;
    whorl_result_t rc = wh_self_family(&family);
    if (rc == WHORL_OK) {
        rc = wh_sock_resolve(address, family, ticket.addrs, WH_NADDRS_MAX, &ticket.naddrs);
    }
    if (rc == WHORL_OK) {
        rc = secret_from_text(secret, ticket.secret);
    }
    if (rc == WHORL_OK) {
        ticket.port = ticket.addrs[0].port;
        wh_ticket_encode(&ticket, id_out);
    }
    wh_ticket_fini(&ticket);
    return rc;
}

whorl_result_t wh_boot_root_start(const whorl_id_t *id)
{
    struct wh_ticket ticket;
    if (!wh_ticket_decode(id, &ticket)) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_BOOTSTRAP, "this is no id, or it was mangled");
    }

    int listener;
    uint16_t port;
    whorl_result_t rc = wh_self_listen(wh_ticket_loopback(&ticket), ticket.port, &listener, &port);
    if (rc == WHORL_OK) {
        rc = wh_root_start(&ticket, listener);
    }
    wh_ticket_fini(&ticket);
    return rc;
}

/* ---- out of a job --------------------------------------------------------------------------- */

static whorl_result_t split_secret(const struct wh_boot *boot, const uint8_t venue[WH_VENUE_NBYTES],
                                   uint8_t secret_out[WH_SECRET_NBYTES])
{
    whorl_result_t rc =
        wh_secret_derive(boot->trust.secret, "whorl split", venue, WH_VENUE_NBYTES, secret_out);
    return rc == WHORL_OK ? rc : wh_fail(rc, WH_SUBSYS_BOOTSTRAP, "no memory to make a new secret");
}

whorl_result_t wh_boot_split_create(const struct wh_boot *boot, uint8_t venue_out[WH_VENUE_NBYTES],
                                    whorl_id_t *id_out)
{
    struct wh_ticket ticket;
    int listener;
    whorl_result_t rc = wh_self_host(&boot->self, &ticket, &listener);
    if (rc != WHORL_OK) {
        return rc;
    }

    uint8_t venue[WH_VENUE_NBYTES];
    rc = wh_venue_make(&ticket, venue);
    if (rc == WHORL_OK) {
        rc = split_secret(boot, venue, ticket.secret);
    }
    if (rc == WHORL_OK) {
        rc = wh_root_start(&ticket, listener);
    } else {
        close(listener);
    }
    if (rc == WHORL_OK) {
        memcpy(venue_out, venue, sizeof(venue));
        wh_ticket_encode(&ticket, id_out);
    }
    wh_ticket_fini(&ticket);
    return rc;
}

whorl_result_t wh_boot_split_read(const struct wh_boot *boot, const uint8_t venue[WH_VENUE_NBYTES],
                                  whorl_id_t *id_out)
{
    struct wh_ticket ticket;
    if (!wh_venue_read(venue, &ticket)) {
        return wh_fail(WHORL_E_PEER, WH_SUBSYS_BOOTSTRAP,
                       "what another rank told of where the new communicator meets makes no sense");
    }
    whorl_result_t rc = split_secret(boot, venue, ticket.secret);
    if (rc == WHORL_OK) {
        wh_ticket_encode(&ticket, id_out);
    }
    wh_ticket_fini(&ticket);
    return rc;
}
