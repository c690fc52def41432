/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a window, and the hot path of the transport.
 *
 * A message costs the sender one store with release and the receiver one load with acquire; giving
 * the slot back costs the same the other way round, and the sender looks at it only when, as far as
 * it knows, the FIFO is full. Neither end writes a line that the other one writes.
 */
#include "base/log.h"
#include "shm.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

struct shm_link {
    struct wh_link base;

    /* Set by open. */
    struct shm_window *window;
    struct wh_doorbell *peer_bell;
    struct shm_wire *wire;
    size_t slot_stride;
    size_t slot_nbytes;
    uint32_t nslots;
    uint32_t peer;

    /* Where this end is. */
    uint64_t seq;          /* number of the message that comes next */
    uint64_t released;     /* sender: what it last saw of the window's; never more than true */
    struct shm_slot *slot; /* the one of message seq */
    uint32_t index;        /* its index */
    bool is_held;          /* between acquire and post, or poll and release */
};

static struct shm_slot *slot_at(const struct shm_link *link, uint32_t index)
{
    return (struct shm_slot *)(void *)(link->window->slots + index * link->slot_stride);
}

/* Steps to the next message. */
static void link_advance(struct shm_link *link)
{
    link->seq++;
    link->index = link->index + 1 == link->nslots ? 0 : link->index + 1;
    link->slot = slot_at(link, link->index);
    link->is_held = false;
}

whorl_result_t shm_link_open(struct wh_transport_wire *base, uint32_t peer, uint32_t channel,
                             bool is_send, struct wh_link **link_out)
{
    struct shm_wire *wire = (struct shm_wire *)base;
    const struct shm_layout *layout = &wire->layout;

    assert(wire->phase == SHM_CONNECTED && wire->control != NULL);
    assert(peer < wire->env->nranks && wire->local_of[peer] != UINT32_MAX);
    assert(channel < layout->nchannels);

    struct shm_link *link = calloc(1, sizeof(*link));
    if (link == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_SHM, "shm: no memory for a link to rank %u", peer);
    }

    uint64_t sender = is_send ? wire->local : wire->local_of[peer];
    uint64_t receiver = is_send ? wire->local_of[peer] : wire->local;
    uint64_t number = (sender * layout->nlocal + receiver) * layout->nchannels + channel;
    void *window;
    whorl_result_t rc =
        wh_shmem_map(wire->fd, layout->control_nbytes + number * layout->window_nbytes,
                     layout->window_nbytes, &window);
    if (rc != WHORL_OK) {
        free(link);
        return rc;
    }

    link->base.ops = &whorl_transport_shm;
    link->wire = wire;
    link->window = window;
    link->peer_bell = &wire->control->members[wire->local_of[peer]].bell;
    link->slot_stride = layout->slot_stride;
    link->slot_nbytes = layout->slot_nbytes;
    link->nslots = layout->nslots;
    link->peer = peer;
    link->seq = 1;
    link->slot = slot_at(link, 0);
    if (is_send) {
        wire->send_nbytes += layout->window_nbytes;
    }
    *link_out = &link->base;
    return WHORL_OK;
}

void shm_link_close(struct wh_link *base)
{
    struct shm_link *link = (struct shm_link *)base;

    wh_shmem_unmap(link->window, link->wire->layout.window_nbytes);
    free(link);
}

/* The receiver's counter is out of the ordinary: it gave back what was never sent. */
static whorl_result_t fail_released(const struct shm_link *link, uint64_t released)
{
    return wh_fail(WHORL_E_PEER, WH_SUBSYS_SHM,
                   "shm: rank %u gave back %" PRIu64 " messages of %" PRIu64 " sent", link->peer,
                   released, link->seq - 1);
}

static whorl_result_t fail_nbytes(const struct shm_link *link, uint64_t nbytes)
{
    return wh_fail(WHORL_E_PEER, WH_SUBSYS_SHM,
                   "shm: message %" PRIu64 " of rank %u claims %" PRIu64 " bytes, a slot has %zu",
                   link->seq, link->peer, nbytes, link->slot_nbytes);
}

whorl_result_t shm_acquire(struct wh_link *base, struct wh_slot *slot_out)
{
    struct shm_link *link = (struct shm_link *)base;

    if (link->seq - link->released > link->nslots) {
        /* With the store in shm_release(): its reads of the slot are before our writes to it. */
        uint64_t released = atomic_load_explicit(&link->window->released, memory_order_acquire);
        if (released >= link->seq) {
            return fail_released(link, released);
        }
        if (released > link->released) {
            link->released = released;
        }
        if (link->seq - link->released > link->nslots) {
            return WHORL_IN_PROGRESS;
        }
    }

    link->is_held = true;
    slot_out->head = link->slot->head;
    slot_out->data = link->slot->data;
    slot_out->nbytes = 0;
    return WHORL_OK;
}

whorl_result_t shm_post(struct wh_link *base, size_t nbytes)
{
    struct shm_link *link = (struct shm_link *)base;

    assert(link->is_held);
    assert(nbytes <= link->slot_nbytes);

    atomic_store_explicit(&link->slot->nbytes, nbytes, memory_order_relaxed);
    /* With the load in shm_poll(): who sees the number sees the message. */
    atomic_store_explicit(&link->slot->seq, link->seq, memory_order_release);
    link_advance(link);
    wh_doorbell_ring(link->peer_bell);
    return WHORL_OK;
}

whorl_result_t shm_poll(struct wh_link *base, struct wh_slot *slot_out)
{
    struct shm_link *link = (struct shm_link *)base;
    struct shm_slot *slot = link->slot;

    if (atomic_load_explicit(&slot->seq, memory_order_acquire) != link->seq) {
        return WHORL_IN_PROGRESS;
    }

    /* Read once: what is checked must be what is used. */
    uint64_t nbytes = atomic_load_explicit(&slot->nbytes, memory_order_relaxed);
    if (nbytes > link->slot_nbytes) {
        return fail_nbytes(link, nbytes);
    }

    link->is_held = true;
    slot_out->head = slot->head;
    slot_out->data = slot->data;
    slot_out->nbytes = (size_t)nbytes;
    return WHORL_OK;
}

void shm_release(struct wh_link *base)
{
    struct shm_link *link = (struct shm_link *)base;

    assert(link->is_held);

    atomic_store_explicit(&link->window->released, link->seq, memory_order_release);
    link_advance(link);
    wh_doorbell_ring(link->peer_bell);
}
