/* SPDX-License-Identifier: Apache-2.0 */
/* Links: FIFOs of messages between what the executor does and what connections carry. */
#include "base/log.h"
#include "tcp.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct tcp_link *link_of(struct wh_link *link)
{
    return (struct tcp_link *)link;
}

static struct tcp_message *message_at(const struct tcp_link *link, uint64_t number)
{
    return &link->messages[number % link->pair->wire->env->nslots];
}

whorl_result_t tcp_link_open(struct wh_transport_wire *base, uint32_t peer, uint32_t channel,
                             bool is_send, struct wh_link **link_out)
{
    struct tcp_wire *wire = (struct tcp_wire *)base;
    struct tcp_pair *pair = tcp_pair_get(wire, peer, channel);
    if (pair == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "tcp: no memory for a link to rank %u", peer);
    }
    struct tcp_link *link = is_send ? &pair->send : &pair->recv;
    assert(link->pair == NULL);
    link->messages = calloc(wire->env->nslots, sizeof(*link->messages));
    if (link->messages == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "tcp: no memory for a link to rank %u", peer);
    }
    wire->memory_nbytes += wire->env->nslots * sizeof(*link->messages);
    link->base.ops = base->ops;
    link->pair = pair;
    *link_out = &link->base;
    return tcp_pair_dial(pair);
}

void tcp_link_fini(struct tcp_link *link)
{
    if (link->pair == NULL) {
        return;
    }
    for (uint32_t i = 0; i < link->pair->wire->env->nslots; i++) {
        tcp_message_slot_free(link->pair->wire, &link->messages[i]);
    }
    free(link->messages);
    link->messages = NULL;
    link->pair = NULL;
}

void tcp_link_close(struct wh_link *base)
{
    /* The memory stays until the wire closes: what was posted is still to be sent from it. */
    struct tcp_link *link = link_of(base);
    if (link == &link->pair->recv) {
        link->pair->receives_no_more = true;
    } else if (link->is_direct) {
        tcp_pump_give_up(link->pair);
    }
}

/* ---- sender --------------------------------------------------------------------------------- */

/* Room for another message? If not, tries to make some. */
static whorl_result_t make_room(struct tcp_link *link)
{
    if (link->end - link->begin < link->pair->wire->env->nslots) {
        return WHORL_OK;
    }
    whorl_result_t rc = tcp_pump_out(link->pair);
    if (rc != WHORL_OK || link->end - link->begin < link->pair->wire->env->nslots) {
        return rc;
    }
    return tcp_pair_check(link->pair);
}

static void enqueue(struct tcp_link *link, const uint8_t *data, size_t nbytes)
{
    struct tcp_message *message = message_at(link, link->end);
    message->data = (uint8_t *)(uintptr_t)data;
    message->nbytes = nbytes;
    message->moved_nbytes = 0;
    message->nout = 0;
    message->is_begun = false;
    message->is_done = false;
    link->end++;
}

whorl_result_t tcp_link_acquire(struct wh_link *base, struct wh_slot *slot_out)
{
    struct tcp_link *link = link_of(base);
    whorl_result_t rc = make_room(link);
    if (rc != WHORL_OK) {
        return rc;
    }
    struct tcp_message *message = message_at(link, link->end);
    if (tcp_message_slot(link->pair->wire, message) == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "tcp: no memory for a message");
    }
    *slot_out = (struct wh_slot){.head = message->head, .data = message->slot};
    return WHORL_OK;
}

whorl_result_t tcp_link_post(struct wh_link *base, size_t nbytes)
{
    struct tcp_link *link = link_of(base);
    assert(nbytes <= link->pair->wire->env->slot_nbytes);
    enqueue(link, message_at(link, link->end)->slot, nbytes);
    return tcp_pump_out(link->pair);
}

whorl_result_t tcp_link_send_from(struct wh_link *base, const uint8_t head[WH_SLOT_HEAD_NBYTES],
                                  const void *data, size_t nbytes)
{
    struct tcp_link *link = link_of(base);
    assert(nbytes <= link->pair->wire->env->slot_nbytes);
    if (!link->is_direct) {
        whorl_result_t rc = make_room(link);
        if (rc != WHORL_OK) {
            return rc;
        }
        memcpy(message_at(link, link->end)->head, head, WH_SLOT_HEAD_NBYTES);
        enqueue(link, data, nbytes);
        link->is_direct = true;
    }
    whorl_result_t rc = tcp_pump_out(link->pair);
    if (rc == WHORL_OK && link->begin < link->end) {
        rc = tcp_pair_check(link->pair);
    }
    link->is_direct = rc == WHORL_IN_PROGRESS;
    return rc;
}

whorl_result_t tcp_link_flush(struct wh_link *base)
{
    struct tcp_link *link = link_of(base);
    struct tcp_pair *pair = link->pair;
    whorl_result_t rc = tcp_pump_out(pair);
    /* What the kernel has taken, and still sends from slots, needs no more calls. */
    bool is_blocked = link->cut < link->end;
    for (uint32_t i = 0; i < pair->wire->nconns; i++) {
        is_blocked |= pair->conns[i].is_blocked || pair->conns[i].out.message != NULL;
    }
    return rc == WHORL_OK && is_blocked ? tcp_pair_check(pair) : rc;
}

/* ---- receiver ------------------------------------------------------------------------------- */

/* Reads until message `begin` is here; WHORL_IN_PROGRESS if it is not. */
static whorl_result_t take_in(struct tcp_link *link, struct wh_slot *slot_out)
{
    struct tcp_pair *pair = link->pair;
    struct tcp_message *message = message_at(link, link->begin);
    for (uint32_t i = 0; i < pair->wire->nconns && !message->is_done; i++) {
        whorl_result_t rc =
            pair->conns[i].state == TCP_UP ? tcp_pump_in(&pair->conns[i]) : WHORL_OK;
        if (rc != WHORL_OK) {
            return rc;
        }
    }
    if (!message->is_done) {
        return tcp_pair_check(pair);
    }
    *slot_out =
        (struct wh_slot){.head = message->head, .data = message->data, .nbytes = message->nbytes};
    return WHORL_OK;
}

whorl_result_t tcp_link_poll(struct wh_link *base, struct wh_slot *slot_out)
{
    return take_in(link_of(base), slot_out);
}

whorl_result_t tcp_link_recv_into(struct wh_link *base, void *data, size_t nbytes,
                                  struct wh_slot *slot_out)
{
    struct tcp_link *link = link_of(base);
    if (!link->is_armed && nbytes <= link->pair->wire->env->slot_nbytes) {
        link->armed = data;
        link->armed_nbytes = nbytes;
        link->is_armed = true;
    }
    return take_in(link, slot_out);
}

void tcp_link_release(struct wh_link *base)
{
    struct tcp_link *link = link_of(base);
    struct tcp_message *message = message_at(link, link->begin);
    assert(message->is_done);
    message->is_begun = false;
    message->is_done = false;
    link->is_armed = false;
    link->begin++;
}
