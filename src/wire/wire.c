/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens the transports, connects them side by side, and picks one for every peer.
 *
 * A rank's address is its wh_choice and then, for each of wh_transports, the transport's own
 * address (zeros where it is not open), so that all ranks' addresses have one size.
 */
#include "wire/wire.h"

#include "base/log.h"
#include "wire/choose.h"
#include "wire/links.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One of the built-in transports as this rank has it. */
struct opened {
    struct wh_transport_wire *wire; /* NULL: not allowed, or it cannot be opened here */
    uint8_t *addresses;             /* of all ranks, while connecting */
    bool is_connected;
};

struct wh_wire {
    struct wh_wire_env env;              /* its arrays are ours */
    struct wh_choice choice;             /* without those that cannot be opened */
    struct opened opened[WH_CHOICE_MAX]; /* by index in wh_transports */
    struct wh_transport_wire **by_peer;  /* NULL: out of reach */
    struct wh_links links;
    struct wh_transport_wire *used[WH_CHOICE_MAX]; /* those that carry something */
    uint32_t nused;
    bool needs_progress;
    struct wh_doorbell *bell;
    struct wh_doorbell own_bell; /* where no transport in use has one */
};

size_t wh_wire_address_nbytes(void)
{
    return WH_CHOICE_NBYTES + wh_ntransports * WH_ADDRESS_NBYTES_MAX;
}

/* ---- create and destroy --------------------------------------------------------------------- */

static uint64_t *copy_keys(const uint64_t *keys, uint32_t nranks)
{
    uint64_t *copy = malloc(nranks * sizeof(*copy));

    if (copy != NULL) {
        memcpy(copy, keys, nranks * sizeof(*copy));
    }
    return copy;
}

/* Opens what the choice says and takes out of it what does not open. */
static whorl_result_t open_transports(struct wh_wire *wire)
{
    struct wh_choice wanted = wire->choice;

    wire->choice.n = 0;
    for (uint32_t i = 0; i < wanted.n; i++) {
        const struct whorl_transport_ops *ops = wh_transports[wanted.index[i]];
        struct wh_transport_wire **slot = &wire->opened[wanted.index[i]].wire;
        whorl_result_t rc = ops->open(&wire->env, slot);
        if (rc == WHORL_E_NOMEM) {
            return rc;
        }
        if (rc != WHORL_OK) {
            wh_log(WH_LOG_INFO, WH_SUBSYS_INIT, "wire: going on without %s", ops->name);
            continue;
        }
        wire->choice.index[wire->choice.n++] = wanted.index[i];
    }
    return WHORL_OK;
}

whorl_result_t wh_wire_create(const struct wh_wire_env *env, const struct wh_config *config,
                              struct wh_wire **wire_out)
{
    assert(env->nranks > 0 && env->rank < env->nranks);

    struct wh_wire *wire = aligned_alloc(_Alignof(struct wh_wire), sizeof(*wire));
    if (wire == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_INIT, "wire: no memory");
    }
    memset(wire, 0, sizeof(*wire));

    whorl_result_t rc = wh_choice_parse(config, &wire->choice);
    if (rc != WHORL_OK) {
        goto undo_wire;
    }

    wire->env = *env;
    wire->env.host_keys = copy_keys(env->host_keys, env->nranks);
    wire->env.process_keys = copy_keys(env->process_keys, env->nranks);
    wire->by_peer = calloc(env->nranks, sizeof(struct wh_transport_wire *));
    rc = wh_links_init(&wire->links, env->nranks, env->nchannels);
    if (wire->env.host_keys == NULL || wire->env.process_keys == NULL || wire->by_peer == NULL ||
        rc != WHORL_OK) {
        rc = wh_fail(WHORL_E_NOMEM, WH_SUBSYS_INIT, "wire: no memory for %u ranks", env->nranks);
        goto undo_wire;
    }

    rc = open_transports(wire);
    if (rc != WHORL_OK) {
        goto undo_wire;
    }
    *wire_out = wire;
    return WHORL_OK;

undo_wire:
    wh_wire_destroy(wire);
    return rc;
}

void wh_wire_give_up(struct wh_wire *wire)
{
    wire->env.gives_up = true;
}

void wh_wire_destroy(struct wh_wire *wire)
{
    if (wire == NULL) {
        return;
    }

    wh_links_fini(&wire->links);
    for (size_t i = 0; i < wh_ntransports; i++) {
        struct opened *opened = &wire->opened[i];
        if (opened->wire != NULL) {
            opened->wire->ops->close(opened->wire);
        }
        free(opened->addresses);
    }
    free(wire->by_peer);
    free((void *)wire->env.host_keys);
    free((void *)wire->env.process_keys);
    explicit_bzero(wire->env.secret, sizeof(wire->env.secret));
    free(wire);
}

/* ---- connect -------------------------------------------------------------------------------- */

void wh_wire_address(struct wh_wire *wire, uint8_t *address)
{
    memset(address, 0, wh_wire_address_nbytes());
    wh_choice_encode(&wire->choice, address);
    for (size_t i = 0; i < wh_ntransports; i++) {
        struct wh_transport_wire *transport = wire->opened[i].wire;
        if (transport != NULL) {
            transport->ops->address(transport,
                                    address + WH_CHOICE_NBYTES + i * WH_ADDRESS_NBYTES_MAX);
        }
    }
}

/* Gives each transport the ranks' addresses for it, one after the other. */
static whorl_result_t share_out_addresses(struct wh_wire *wire, const uint8_t *addresses)
{
    const uint32_t nranks = wire->env.nranks;

    for (size_t i = 0; i < wh_ntransports; i++) {
        struct opened *opened = &wire->opened[i];
        if (opened->wire == NULL) {
            continue;
        }
        opened->addresses = malloc((size_t)nranks * WH_ADDRESS_NBYTES_MAX);
        if (opened->addresses == NULL) {
            return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_INIT, "wire: no memory for %u addresses",
                           nranks);
        }
        for (uint32_t rank = 0; rank < nranks; rank++) {
            const uint8_t *address = addresses + rank * wh_wire_address_nbytes();
            memcpy(opened->addresses + (size_t)rank * WH_ADDRESS_NBYTES_MAX,
                   address + WH_CHOICE_NBYTES + i * WH_ADDRESS_NBYTES_MAX, WH_ADDRESS_NBYTES_MAX);
        }
    }
    return WHORL_OK;
}

/* One round over the transports that are not connected yet. */
static whorl_result_t connect_poll(void *ctx, bool *moved_out)
{
    struct wh_wire *wire = ctx;
    whorl_result_t all = WHORL_OK;

    for (size_t i = 0; i < wh_ntransports; i++) {
        struct opened *opened = &wire->opened[i];
        if (opened->wire == NULL || opened->is_connected) {
            continue;
        }
        whorl_result_t rc = opened->wire->ops->connect(opened->wire, opened->addresses);
        if (rc == WHORL_OK) {
            opened->is_connected = true;
            *moved_out = true;
        } else if (rc == WHORL_IN_PROGRESS) {
            all = WHORL_IN_PROGRESS;
        } else {
            return rc;
        }
    }
    return all;
}

/* The first transport, in the order of the lower of the two ranks, that both have and that reaches
 * peer. Writes why the others do not to text. */
static struct wh_transport_wire *pick(struct wh_wire *wire, uint32_t peer,
                                      const struct wh_choice *theirs, char *text,
                                      size_t text_nbytes)
{
    const struct wh_choice *order = peer < wire->env.rank ? theirs : &wire->choice;
    size_t used = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < order->n; i++) {
        uint32_t index = order->index[i];
        struct wh_transport_wire *transport = wire->opened[index].wire;
        const char *why = "only one of the two ranks has it";
        if (transport != NULL && wh_choice_has(theirs, index) &&
            transport->ops->reaches(transport, peer, &why)) {
            return transport;
        }
        if (used < text_nbytes) {
            used += (size_t)snprintf(text + used, text_nbytes - used, "%s%s: %s",
                                     i == 0 ? "" : "; ", wh_transports[index]->name, why);
        }
    }
    return NULL;
}

/* Notes the transports in use, and their bell: that of the one that has one. None if several have,
 * or if one tells in no way when it is ready. If all tell by descriptors, the bell is the wire's
 * own. */
static void note_used(struct wh_wire *wire)
{
    bool is_mute = false;
    for (uint32_t peer = 0; peer < wire->env.nranks; peer++) {
        /* A rank sends itself nothing over links, unless it is alone. */
        bool is_idle = peer == wire->env.rank && wire->env.nranks > 1;
        struct wh_transport_wire *transport = wire->by_peer[peer];
        bool is_known = transport == NULL || is_idle;
        for (uint32_t i = 0; i < wire->nused && !is_known; i++) {
            is_known = wire->used[i] == transport;
        }
        if (is_known) {
            continue;
        }
        wire->used[wire->nused++] = transport;
        struct wh_doorbell *bell =
            transport->ops->bell != NULL ? transport->ops->bell(transport) : NULL;
        is_mute |= bell == NULL ? transport->ops->wait_fd == NULL : wire->bell != NULL;
        wire->bell = bell != NULL ? bell : wire->bell;
        wire->needs_progress |= transport->ops->progress != NULL;
    }
    wire->bell = is_mute              ? NULL
                 : wire->bell != NULL ? wire->bell
                 : wire->nused > 0    ? &wire->own_bell
                                      : NULL;
}

/* Says which transport carries what, and that it is slow if nobody asked for a slow one. */
static void log_picked(const struct wh_wire *wire, uint32_t peer, const char *why_not_others)
{
    const struct whorl_transport_ops *ops = wire->by_peer[peer]->ops;
    if ((ops->flags & WH_TRANSPORT_REFERENCE) && why_not_others[0] != '\0') {
        wh_log(WH_LOG_WARN, WH_SUBSYS_INIT,
               "wire: rank %u is reached by %s only, which is made for tests and slow; %s", peer,
               ops->name, why_not_others);
    } else {
        wh_log(WH_LOG_INFO, WH_SUBSYS_NET, "wire: rank %u is reached by %s", peer, ops->name);
    }
}

static whorl_result_t pick_all(struct wh_wire *wire, const uint8_t *addresses)
{
    for (uint32_t peer = 0; peer < wire->env.nranks; peer++) {
        struct wh_choice theirs;
        char text[512];
        wh_choice_decode(addresses + peer * wh_wire_address_nbytes(), &theirs);
        wire->by_peer[peer] = pick(wire, peer, &theirs, text, sizeof(text));
        if (wire->by_peer[peer] == NULL && peer != wire->env.rank) {
            return wh_fail(WHORL_E_UNSUPPORTED, WH_SUBSYS_INIT,
                           "wire: no transport reaches rank %u: %s", peer,
                           text[0] == '\0' ? "none could be opened" : text);
        }
        if (wire->by_peer[peer] != NULL && peer != wire->env.rank) {
            log_picked(wire, peer, text);
        }
    }
    note_used(wire);
    return WHORL_OK;
}

whorl_result_t wh_wire_connect(struct wh_wire *wire, const uint8_t *addresses,
                               const _Atomic int32_t *stop, uint64_t deadline_ns)
{
    whorl_result_t rc = share_out_addresses(wire, addresses);
    if (rc != WHORL_OK) {
        return rc;
    }

    const struct wh_wait wait = {.patience = {.nspins = 0, .nyields = 20},
                                 .poll = connect_poll,
                                 .ctx = wire,
                                 .stop = stop,
                                 .deadline_ns = deadline_ns};
    rc = wh_wait(&wait);
    if (rc == WHORL_E_TIMEOUT) {
        return wh_fail(rc, WH_SUBSYS_INIT, "wire: transports did not connect in time");
    }
    if (rc != WHORL_OK) {
        return rc;
    }
    return pick_all(wire, addresses);
}

/* ---- use ------------------------------------------------------------------------------------ */

uint32_t wh_wire_nslots(const struct wh_wire *wire)
{
    return wire->env.nslots;
}

size_t wh_wire_slot_nbytes(const struct wh_wire *wire)
{
    return wire->env.slot_nbytes;
}

whorl_result_t wh_wire_link(struct wh_wire *wire, uint32_t peer, uint32_t channel, bool is_send,
                            struct wh_link **link_out)
{
    assert(peer < wire->env.nranks && channel < wire->env.nchannels);

    if (wire->by_peer[peer] == NULL) {
        return wh_fail(WHORL_E_UNSUPPORTED, WH_SUBSYS_INIT, "wire: no transport reaches rank %u",
                       peer);
    }
    return wh_links_get(&wire->links, wire->by_peer[peer],
                        (struct wh_link_name){peer, channel, is_send}, link_out);
}

bool wh_wire_is_local(const struct wh_wire *wire, uint32_t peer)
{
    assert(peer < wire->env.nranks);

    const struct wh_transport_wire *transport = wire->by_peer[peer];
    return transport != NULL && (transport->ops->flags & WH_TRANSPORT_LOCAL) != 0;
}

struct wh_doorbell *wh_wire_bell(struct wh_wire *wire)
{
    return wire->bell;
}

bool wh_wire_bell_is_quiet(const struct wh_wire *wire)
{
    return wire->bell == &wire->own_bell;
}

whorl_result_t wh_wire_region(struct wh_wire *wire, struct wh_region *region_out)
{
    struct wh_transport_wire *used = wire->by_peer[wire->env.rank];

    for (uint32_t peer = 0; peer < wire->env.nranks; peer++) {
        bool is_here = wire->env.host_keys[peer] == wire->env.host_keys[wire->env.rank];
        if (is_here && (wire->by_peer[peer] == NULL || wire->by_peer[peer] != used)) {
            return WHORL_E_UNSUPPORTED;
        }
    }
    if (used == NULL || used->ops->region == NULL || wire->env.region_nbytes == 0) {
        return WHORL_E_UNSUPPORTED;
    }
    return used->ops->region(used, region_out);
}

whorl_result_t wh_wire_progress(struct wh_wire *wire)
{
    whorl_result_t rc = WHORL_OK;
    for (uint32_t i = 0; wire->needs_progress && rc == WHORL_OK && i < wire->nused; i++) {
        if (wire->used[i]->ops->progress != NULL) {
            rc = wire->used[i]->ops->progress(wire->used[i]);
        }
    }
    return rc;
}

uint32_t wh_wire_wait_fds(struct wh_wire *wire, int *fds_out, uint32_t nfds_max)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < wire->nused; i++) {
        if (wire->used[i]->ops->wait_fd == NULL) {
            continue;
        }
        int fd = wire->used[i]->ops->wait_fd(wire->used[i]);
        if (fd < 0 || n == nfds_max) {
            return UINT32_MAX;
        }
        fds_out[n++] = fd;
    }
    return n;
}

uint64_t wh_wire_sent_nbytes(struct wh_wire *wire)
{
    uint64_t nbytes = 0;
    for (uint32_t i = 0; i < wire->nused; i++) {
        if (wire->used[i]->ops->sent_nbytes != NULL) {
            nbytes += wire->used[i]->ops->sent_nbytes(wire->used[i]);
        }
    }
    return nbytes;
}

uint64_t wh_wire_memory_nbytes(struct wh_wire *wire)
{
    uint64_t nbytes = 0;

    for (size_t i = 0; i < wh_ntransports; i++) {
        struct wh_transport_wire *transport = wire->opened[i].wire;
        if (transport != NULL && transport->ops->memory_nbytes != NULL) {
            nbytes += transport->ops->memory_nbytes(transport);
        }
    }
    return nbytes;
}
