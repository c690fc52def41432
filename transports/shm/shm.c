/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which ranks share memory, and how all of them get it.
 *
 * Ranks with equal host keys are a group; that they can really share is not believed before it has
 * worked. The group's lowest rank, the leader, makes the segment and offers it. Its address carries
 * the offer's token and a nonce. Each other rank fetches the descriptor from the leader, maps the
 * control part, finds the nonce there and marks itself attached. Every rank then waits until every
 * member is attached or lost, so that both ends of every pair agree on whether they reach each
 * other: otherwise one would send through shared memory while the other listens on a network.
 *
 * Members are lost when their address says that they have no shm or another geometry, which all see
 * at once, and when they have not attached after ATTACH_MS; then the leader writes it into the
 * segment.
 *
 *     leader    OPENED ---------------> GATHERING -> CONNECTED
 *     guest     OPENED -> FETCHING ---> GATHERING -> CONNECTED
 *                  '---------'---- why_none is set ------^
 */
#include "shm.h"

#include "base/bits.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    /* Ranks come to connect() together, after bootstrap has told all addresses to all. This is for
     * a rank that is stopped or that cannot reach the leader, and is paid once. */
    ATTACH_MS = 10000,

    /* An address: little endian, 80 bytes. */
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_NCHANNELS = 12,
    AT_NSLOTS = 16,
    AT_REGION_UNITS = 20, /* region_nbytes / WH_REGION_ALIGN_NBYTES */
    AT_SLOT_NBYTES = 24,
    AT_TOKEN = 32,
    AT_NONCE = 64,
    ADDRESS_NBYTES = 80,
};
_Static_assert(AT_TOKEN + WH_SHMEM_TOKEN_NBYTES == AT_NONCE, "the nonce follows the token");
_Static_assert(AT_NONCE + SHM_NONCE_NBYTES == ADDRESS_NBYTES, "the nonce comes last");
_Static_assert((int)ADDRESS_NBYTES <= (int)WH_ADDRESS_NBYTES_MAX, "an address fits");

static const uint64_t shm_magic = 0x6d68736c726f6877; /* "whorlshm" */

/* ---- open and close ------------------------------------------------------------------------- */

static whorl_result_t layout_init(const struct wh_wire_env *env, uint32_t nlocal,
                                  struct shm_layout *layout)
{
    assert(env->nslots > 0 && env->nchannels > 0);
    assert(env->region_nbytes % WH_REGION_ALIGN_NBYTES == 0);
    assert(env->slot_nbytes % 64 == 0 && env->slot_nbytes <= SIZE_MAX / 2 / env->nslots);

    *layout = (struct shm_layout){.nlocal = nlocal,
                                  .nchannels = env->nchannels,
                                  .nslots = env->nslots,
                                  .slot_nbytes = env->slot_nbytes};
    layout->slot_stride = wh_align_up(sizeof(struct shm_slot) + env->slot_nbytes, WH_LINE_NBYTES);
    layout->control_nbytes = wh_align_up(
        sizeof(struct shm_control) + nlocal * sizeof(struct shm_member), SHM_PAGE_NBYTES);
    layout->window_nbytes =
        wh_align_up(sizeof(struct shm_window) + env->nslots * layout->slot_stride, SHM_PAGE_NBYTES);

    uint64_t nwindows = (uint64_t)nlocal * nlocal;
    uint64_t total;
    if (__builtin_mul_overflow(nwindows, env->nchannels, &nwindows) ||
        __builtin_mul_overflow(nwindows, layout->window_nbytes, &total) ||
        __builtin_add_overflow(total, layout->control_nbytes + WH_REGION_ALIGN_NBYTES, &total) ||
        __builtin_add_overflow(total, (uint64_t)nlocal * env->region_nbytes, &total) ||
        total > INT64_MAX) {
        return wh_fail(WHORL_E_UNSUPPORTED, WH_SUBSYS_SHM,
                       "shm: windows of %zu bytes for %u ranks and %u channels need more than 2^63 "
                       "bytes; lower WHORL_BUFFSIZE",
                       layout->window_nbytes, nlocal, env->nchannels);
    }
    layout->region_nbytes = env->region_nbytes;
    layout->region_offset =
        (total - (uint64_t)nlocal * env->region_nbytes) & ~(uint64_t)(WH_REGION_ALIGN_NBYTES - 1);
    layout->total_nbytes = total;
    return WHORL_OK;
}

/* Numbers the ranks of this rank's host; returns how many there are. */
static uint32_t find_group(struct shm_wire *wire)
{
    const struct wh_wire_env *env = wire->env;
    uint32_t nlocal = 0;

    for (uint32_t rank = 0; rank < env->nranks; rank++) {
        wire->local_of[rank] = UINT32_MAX;
        if (env->host_keys[rank] != env->host_keys[env->rank]) {
            continue;
        }
        if (nlocal == 0) {
            wire->leader = rank;
        }
        wire->local_of[rank] = nlocal++;
    }
    wire->local = wire->local_of[env->rank];
    return nlocal;
}

static bool is_leader(const struct shm_wire *wire)
{
    return wire->local == 0;
}

static whorl_result_t map_control(struct shm_wire *wire)
{
    void *ptr;
    whorl_result_t rc = wh_shmem_map(wire->fd, 0, wire->layout.control_nbytes, &ptr);
    if (rc == WHORL_OK) {
        wire->control = ptr;
    }
    return rc;
}

/* Leader: makes the segment and offers it. On failure shm_close() undoes what was done. */
static whorl_result_t create_segment(struct shm_wire *wire)
{
    const struct shm_layout *layout = &wire->layout;

    whorl_result_t rc = wh_shmem_create("whorl-shm", layout->total_nbytes, &wire->fd);
    if (rc == WHORL_OK) {
        rc = wh_random(wire->nonce, sizeof(wire->nonce));
    }
    if (rc == WHORL_OK) {
        rc = map_control(wire);
    }
    if (rc == WHORL_OK && layout->nlocal > 1) {
        rc = wh_shmem_offer_open(wire->fd, layout->nlocal - 1, wire->token, &wire->offer);
    }
    if (rc != WHORL_OK) {
        return rc;
    }

    struct shm_header *header = &wire->control->header;
    header->magic = shm_magic;
    header->version = SHM_VERSION;
    header->nlocal = layout->nlocal;
    header->nchannels = layout->nchannels;
    header->nslots = layout->nslots;
    header->slot_nbytes = layout->slot_nbytes;
    header->region_nbytes = layout->region_nbytes;
    memcpy(header->nonce, wire->nonce, sizeof(header->nonce));
    wh_log(WH_LOG_INFO, WH_SUBSYS_SHM,
           "shm: segment for %u ranks, %u channels, %u slots of %zu bytes; %" PRIu64
           " bytes of address space",
           layout->nlocal, layout->nchannels, layout->nslots, layout->slot_nbytes,
           layout->total_nbytes);
    return WHORL_OK;
}

static void shm_close(struct wh_transport_wire *base)
{
    struct shm_wire *wire = (struct shm_wire *)base;

    wh_shmem_offer_close(wire->offer);
    shm_region_close(wire);
    wh_shmem_unmap(wire->control, wire->layout.control_nbytes);
    if (wire->sock >= 0) {
        close(wire->sock);
    }
    if (wire->fd >= 0) {
        close(wire->fd);
    }
    free(wire->local_of);
    free(wire);
}

static whorl_result_t shm_open_wire(const struct wh_wire_env *env,
                                    struct wh_transport_wire **wire_out)
{
    struct shm_wire *wire = calloc(1, sizeof(*wire));
    if (wire == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_SHM, "shm: no memory for a wire");
    }
    wire->base.ops = &whorl_transport_shm;
    wire->env = env;
    wire->fd = -1;
    wire->sock = -1;

    whorl_result_t rc;
    wire->local_of = calloc(env->nranks, sizeof(*wire->local_of));
    if (wire->local_of == NULL) {
        rc = wh_fail(WHORL_E_NOMEM, WH_SUBSYS_SHM, "shm: no memory for %u ranks", env->nranks);
        goto undo_wire;
    }
    rc = layout_init(env, find_group(wire), &wire->layout);
    if (rc == WHORL_OK && is_leader(wire)) {
        rc = create_segment(wire);
    }
    if (rc != WHORL_OK) {
        goto undo_wire;
    }

    *wire_out = &wire->base;
    return WHORL_OK;

undo_wire:
    shm_close(&wire->base);
    return rc;
}

/* ---- addresses ------------------------------------------------------------------------------ */

static void shm_address(struct wh_transport_wire *base, uint8_t address[WH_ADDRESS_NBYTES_MAX])
{
    const struct shm_wire *wire = (const struct shm_wire *)base;

    wh_put_le64(address + AT_MAGIC, shm_magic);
    wh_put_le32(address + AT_VERSION, SHM_VERSION);
    wh_put_le32(address + AT_NCHANNELS, wire->layout.nchannels);
    wh_put_le32(address + AT_NSLOTS, wire->layout.nslots);
    wh_put_le32(address + AT_REGION_UNITS,
                (uint32_t)(wire->layout.region_nbytes / WH_REGION_ALIGN_NBYTES));
    wh_put_le64(address + AT_SLOT_NBYTES, wire->layout.slot_nbytes);
    memcpy(address + AT_TOKEN, wire->token, sizeof(wire->token));
    memcpy(address + AT_NONCE, wire->nonce, sizeof(wire->nonce));
}

static const uint8_t *address_of(const uint8_t *addresses, uint32_t rank)
{
    return addresses + (size_t)rank * WH_ADDRESS_NBYTES_MAX;
}

/* Could the rank of this address share this segment? NULL, or why not. All ranks of a group compute
 * it from the leader's address and the other's, and so come to the same answer. */
static const char *address_fault(const uint8_t *leader, const uint8_t *other)
{
    if (wh_get_le64(leader + AT_MAGIC) != shm_magic) {
        return "the lowest rank of its host has no shared memory to offer";
    }
    if (wh_get_le64(other + AT_MAGIC) != shm_magic) {
        return "it does not use shared memory";
    }
    if (memcmp(leader + AT_VERSION, other + AT_VERSION, AT_TOKEN - AT_VERSION) != 0) {
        return "versions, channels, WHORL_BUFFSIZE, WHORL_SLOTS or WHORL_CHUNK differ on its host";
    }
    return NULL;
}

/* ---- connect -------------------------------------------------------------------------------- */

static whorl_result_t give_up(struct shm_wire *wire, const char *why)
{
    wire->why_none = why;
    wire->phase = SHM_CONNECTED;
    return WHORL_OK;
}

/* Decides for a member that nobody has decided for yet; true if it is `state` now. */
static bool member_settle(struct shm_control *control, uint32_t local, uint32_t state)
{
    uint32_t expected = SHM_WAITED_FOR;

    return atomic_compare_exchange_strong_explicit(&control->members[local].state, &expected, state,
                                                   memory_order_acq_rel, memory_order_acquire) ||
           expected == state;
}

static uint32_t member_state(const struct shm_wire *wire, uint32_t local)
{
    return atomic_load_explicit(&wire->control->members[local].state, memory_order_acquire);
}

bool shm_is_attached(const struct shm_wire *wire, uint32_t local)
{
    return member_state(wire, local) == SHM_ATTACHED;
}

/* Leader: the first call of connect(). */
static whorl_result_t leader_start(struct shm_wire *wire, const uint8_t *addresses)
{
    const uint8_t *own = address_of(addresses, wire->env->rank);

    for (uint32_t rank = 0; rank < wire->env->nranks; rank++) {
        uint32_t local = wire->local_of[rank];
        if (local == UINT32_MAX) {
            continue;
        }
        const char *fault = address_fault(own, address_of(addresses, rank));
        if (fault != NULL) {
            wh_log(WH_LOG_INFO, WH_SUBSYS_SHM, "shm: without rank %u: %s", rank, fault);
            member_settle(wire->control, local, SHM_LOST);
        }
    }
    member_settle(wire->control, wire->local, SHM_ATTACHED);
    wire->deadline_ns = wh_deadline_after_ms(ATTACH_MS);
    wire->phase = SHM_GATHERING;
    return WHORL_OK;
}

/* Guest: the first call of connect(). */
static whorl_result_t guest_start(struct shm_wire *wire, const uint8_t *addresses)
{
    const uint8_t *leader = address_of(addresses, wire->leader);

    const char *fault = address_fault(leader, address_of(addresses, wire->env->rank));
    if (fault != NULL) {
        return give_up(wire, fault);
    }
    memcpy(wire->token, leader + AT_TOKEN, sizeof(wire->token));
    memcpy(wire->nonce, leader + AT_NONCE, sizeof(wire->nonce));
    wire->phase = SHM_FETCHING;
    return WHORL_OK;
}

/* Is this the segment that the leader's address promised? */
static bool is_promised(const struct shm_wire *wire)
{
    const struct shm_header *header = &wire->control->header;
    const struct shm_layout *layout = &wire->layout;

    return header->magic == shm_magic && header->version == SHM_VERSION &&
           header->nlocal == layout->nlocal && header->nchannels == layout->nchannels &&
           header->nslots == layout->nslots && header->slot_nbytes == layout->slot_nbytes &&
           header->region_nbytes == layout->region_nbytes &&
           memcmp(header->nonce, wire->nonce, sizeof(wire->nonce)) == 0;
}

static whorl_result_t guest_fetch(struct shm_wire *wire)
{
    whorl_result_t rc =
        wh_shmem_fetch(wire->token, wire->layout.total_nbytes, &wire->sock, &wire->fd);
    if (rc == WHORL_IN_PROGRESS) {
        return rc;
    }
    if (rc != WHORL_OK || map_control(wire) != WHORL_OK) {
        return give_up(wire, "shared memory of its host is out of reach (other namespace?)");
    }
    if (!is_promised(wire)) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_SHM, "shm: what rank %u offered is not the promised segment",
               wire->leader);
        return give_up(wire, "shared memory of its host is not what was promised");
    }
    if (!member_settle(wire->control, wire->local, SHM_ATTACHED)) {
        return give_up(wire, "this rank came too late to the shared memory of its host");
    }
    wire->phase = SHM_GATHERING;
    return WHORL_OK;
}

/* Until every member is attached or lost. */
static whorl_result_t gather(struct shm_wire *wire)
{
    if (wire->offer != NULL) {
        whorl_result_t rc = wh_shmem_offer_serve(wire->offer);
        if (rc != WHORL_OK && rc != WHORL_IN_PROGRESS) {
            return rc;
        }
    }

    bool is_late = is_leader(wire) && wh_now_ns() >= wire->deadline_ns;
    for (uint32_t local = 0; local < wire->layout.nlocal; local++) {
        if (member_state(wire, local) != SHM_WAITED_FOR) {
            continue;
        }
        if (!is_late) {
            return WHORL_IN_PROGRESS;
        }
        if (member_settle(wire->control, local, SHM_LOST)) {
            wh_log(WH_LOG_WARN, WH_SUBSYS_SHM,
                   "shm: local rank %u of %u did not attach within %d ms", local,
                   wire->layout.nlocal, ATTACH_MS);
        }
    }

    wh_shmem_offer_close(wire->offer);
    wire->offer = NULL;
    wire->phase = SHM_CONNECTED;
    return WHORL_OK;
}

static whorl_result_t shm_connect(struct wh_transport_wire *base, const uint8_t *addresses)
{
    struct shm_wire *wire = (struct shm_wire *)base;
    whorl_result_t rc = WHORL_OK;

    if (wire->phase == SHM_OPENED) {
        rc = is_leader(wire) ? leader_start(wire, addresses) : guest_start(wire, addresses);
    }
    if (rc == WHORL_OK && wire->phase == SHM_FETCHING) {
        rc = guest_fetch(wire);
    }
    if (rc == WHORL_OK && wire->phase == SHM_GATHERING) {
        rc = gather(wire);
    }
    return rc;
}

static bool shm_reaches(struct wh_transport_wire *base, uint32_t peer, const char **why_out)
{
    const struct shm_wire *wire = (const struct shm_wire *)base;

    assert(wire->phase == SHM_CONNECTED);
    assert(peer < wire->env->nranks);

    if (wire->local_of[peer] == UINT32_MAX) {
        *why_out = "it is on another host";
        return false;
    }
    if (wire->why_none != NULL) {
        *why_out = wire->why_none;
        return false;
    }
    if (!shm_is_attached(wire, wire->local_of[peer])) {
        *why_out = "it could not attach to the shared memory of its host";
        return false;
    }
    return true;
}

/* ---- the rest ------------------------------------------------------------------------------- */

static struct wh_doorbell *shm_bell(struct wh_transport_wire *base)
{
    struct shm_wire *wire = (struct shm_wire *)base;

    assert(wire->phase == SHM_CONNECTED);
    return wire->why_none != NULL ? NULL : &wire->control->members[wire->local].bell;
}

static uint64_t shm_memory_nbytes(struct wh_transport_wire *base)
{
    const struct shm_wire *wire = (const struct shm_wire *)base;

    return wire->send_nbytes + (is_leader(wire) ? wire->layout.control_nbytes : 0);
}

const struct whorl_transport_ops whorl_transport_shm = {
    .struct_nbytes = sizeof(struct whorl_transport_ops),
    .name = "shm",
    .flags = WH_TRANSPORT_LOCAL,
    .open = shm_open_wire,
    .close = shm_close,
    .address = shm_address,
    .connect = shm_connect,
    .reaches = shm_reaches,
    .link_open = shm_link_open,
    .link_close = shm_link_close,
    .acquire = shm_acquire,
    .post = shm_post,
    .poll = shm_poll,
    .release = shm_release,
    .bell = shm_bell,
    .memory_nbytes = shm_memory_nbytes,
    .region = shm_region,
};
