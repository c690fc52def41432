/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference transport: queues of messages inside one process, and one lock over everything.
 *
 * Nothing here is fast. It is what the other transports are compared with, and a place to make
 * things go wrong on purpose (loop.h).
 *
 *     wires     every open wire of the process, by a random id, which is its address
 *     queues    one per sender, receiver and channel, made by whoever opens its end first
 *
 * Every message is a piece of memory of its own, from acquire to release, so that a sanitizer sees
 * who touches it too late. A queue lives until both its wires are closed: what was sent to a rank
 * is there for it, though the sender may have left.
 */
#include "loop.h"

#include "base/bits.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/random.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* An address: little endian, 32 bytes. */
    AT_MAGIC = 0,
    AT_ID = 8,
    AT_SLOT_NBYTES = 16,
    AT_NSLOTS = 24,
    AT_NCHANNELS = 28,
};

static const uint64_t loop_magic = 0x706f6f6c6c726f77;

struct message {
    struct message *next;
    size_t nbytes;
    uint32_t npolls_left; /* until it is seen */
    _Alignas(8) uint8_t head[WH_SLOT_HEAD_NBYTES];
    _Alignas(64) uint8_t data[];
};

struct queue {
    struct queue *next;
    uint64_t sender, receiver; /* ids of wires */
    uint32_t channel;
    size_t message_nbytes;
    uint32_t nused; /* acquired, posted or polled */
    struct message *first, **end;
};

struct loop_wire {
    struct wh_transport_wire base;
    struct wh_doorbell bell;
    struct loop_wire *next;
    const struct wh_wire_env *env;
    uint64_t id;
    uint64_t *peer_ids;     /* 0: out of reach */
    const char **peer_whys; /* then: why */

    struct loop_faults faults;
    uint64_t nacquires, nposts, npolls; /* as faults count them */
    uint64_t random;
};

struct loop_link {
    struct wh_link base;
    struct loop_wire *wire;
    struct queue *queue;
    struct message *acquired; /* sender: not posted yet */
    bool is_polled;           /* receiver: the first message was handed out */
};

/* Everything below is touched only with the lock held; so is everything above but env and ids. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct loop_wire *wires;
static struct queue *queues;
static struct loop_faults faults_at_open;

/* ---- the process-wide tables ---------------------------------------------------------------- */

static struct loop_wire *find_wire(uint64_t id)
{
    struct loop_wire *wire = wires;

    while (wire != NULL && wire->id != id) {
        wire = wire->next;
    }
    return wire;
}

static void remove_wire(struct loop_wire *wire)
{
    struct loop_wire **at = &wires;

    while (*at != NULL && *at != wire) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = wire->next;
    }
}

static void ring(uint64_t id)
{
    struct loop_wire *wire = find_wire(id);

    if (wire != NULL) {
        wh_doorbell_ring(&wire->bell);
    }
}

static struct queue *find_queue(uint64_t sender, uint64_t receiver, uint32_t channel)
{
    struct queue *queue = queues;

    while (queue != NULL &&
           (queue->sender != sender || queue->receiver != receiver || queue->channel != channel)) {
        queue = queue->next;
    }
    return queue;
}

static struct queue *create_queue(uint64_t sender, uint64_t receiver, uint32_t channel)
{
    struct queue *queue = calloc(1, sizeof(*queue));

    if (queue != NULL) {
        queue->sender = sender;
        queue->receiver = receiver;
        queue->channel = channel;
        queue->end = &queue->first;
        queue->next = queues;
        queues = queue;
    }
    return queue;
}

static void destroy_queue(struct queue *queue)
{
    while (queue->first != NULL) {
        struct message *message = queue->first;
        queue->first = message->next;
        free(message);
    }
    free(queue);
}

/* Destroys the queues that no open wire has an end of. */
static void sweep_queues(void)
{
    struct queue **at = &queues;

    while (*at != NULL) {
        struct queue *queue = *at;
        if (find_wire(queue->sender) == NULL && find_wire(queue->receiver) == NULL) {
            *at = queue->next;
            destroy_queue(queue);
        } else {
            at = &queue->next;
        }
    }
}

/* ---- faults --------------------------------------------------------------------------------- */

/* With the lock held. */
static void take_faults(struct loop_wire *wire, const struct loop_faults *faults)
{
    if (faults->is_one_rank && faults->rank != wire->env->rank) {
        wire->faults = (struct loop_faults){.failure = WHORL_OK};
    } else {
        wire->faults = *faults;
    }
    wire->random = wire->faults.seed;
    wire->nacquires = 0;
    wire->nposts = 0;
    wire->npolls = 0;
}

void loop_faults_set(const struct loop_faults *faults)
{
    pthread_mutex_lock(&lock);
    faults_at_open = faults != NULL ? *faults : (struct loop_faults){.failure = WHORL_OK};
    pthread_mutex_unlock(&lock);
}

void loop_wire_faults_set(struct wh_transport_wire *base, const struct loop_faults *faults)
{
    pthread_mutex_lock(&lock);
    take_faults((struct loop_wire *)base, faults);
    pthread_mutex_unlock(&lock);
}

/* Counts, and fails if it is time to. */
static whorl_result_t strike(struct loop_wire *wire, uint64_t *count, uint64_t first_failing,
                             const char *verb)
{
    ++*count;
    if (first_failing == 0 || *count < first_failing) {
        return WHORL_OK;
    }
    return wh_fail(wire->faults.failure, WH_SUBSYS_NET,
                   "loop: %s %" PRIu64 " of rank %u fails as ordered", verb, *count,
                   wire->env->rank);
}

/* SplitMix64. */
static uint64_t draw(struct loop_wire *wire)
{
    uint64_t x = wire->random += 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint32_t draw_delay(struct loop_wire *wire)
{
    return wire->faults.delay_npolls +
           (uint32_t)(draw(wire) % ((uint64_t)wire->faults.shuffle_npolls + 1));
}

/* ---- wires ---------------------------------------------------------------------------------- */

static void free_wire(struct loop_wire *wire)
{
    free(wire->peer_ids);
    free(wire->peer_whys);
    free(wire);
}

static whorl_result_t loop_open(const struct wh_wire_env *env, struct wh_transport_wire **wire_out)
{
    struct loop_wire *wire = aligned_alloc(_Alignof(struct loop_wire), sizeof(*wire));
    if (wire == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "loop: no memory for a wire");
    }
    memset(wire, 0, sizeof(*wire));
    wire->base.ops = &whorl_transport_loop;
    wire->env = env;

    whorl_result_t rc = wh_random(&wire->id, sizeof(wire->id));
    wire->id |= 1; /* 0 is nobody */
    wire->peer_ids = calloc(env->nranks, sizeof(*wire->peer_ids));
    wire->peer_whys = calloc(env->nranks, sizeof(*wire->peer_whys));
    if (rc == WHORL_OK && (wire->peer_ids == NULL || wire->peer_whys == NULL)) {
        rc = wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "loop: no memory for %u ranks", env->nranks);
    }
    if (rc != WHORL_OK) {
        free_wire(wire);
        return rc;
    }

    pthread_mutex_lock(&lock);
    take_faults(wire, &faults_at_open);
    wire->next = wires;
    wires = wire;
    pthread_mutex_unlock(&lock);
    *wire_out = &wire->base;
    return WHORL_OK;
}

static void loop_close(struct wh_transport_wire *base)
{
    struct loop_wire *wire = (struct loop_wire *)base;

    pthread_mutex_lock(&lock);
    remove_wire(wire);
    sweep_queues();
    pthread_mutex_unlock(&lock);
    free_wire(wire);
}

static void loop_address(struct wh_transport_wire *base, uint8_t address[WH_ADDRESS_NBYTES_MAX])
{
    const struct loop_wire *wire = (const struct loop_wire *)base;

    wh_put_le64(address + AT_MAGIC, loop_magic);
    wh_put_le64(address + AT_ID, wire->id);
    wh_put_le64(address + AT_SLOT_NBYTES, wire->env->slot_nbytes);
    wh_put_le32(address + AT_NSLOTS, wire->env->nslots);
    wh_put_le32(address + AT_NCHANNELS, wire->env->nchannels);
}

/* NULL if rank can be reached at this address, or why not. */
static const char *address_fault(const struct loop_wire *wire, uint32_t rank,
                                 const uint8_t *address)
{
    const struct wh_wire_env *env = wire->env;

    if (env->process_keys[rank] != env->process_keys[env->rank]) {
        return "it is another process";
    }
    if (wh_get_le64(address + AT_MAGIC) != loop_magic) {
        return "it does not use this transport";
    }
    if (wh_get_le64(address + AT_SLOT_NBYTES) != env->slot_nbytes ||
        wh_get_le32(address + AT_NSLOTS) != env->nslots ||
        wh_get_le32(address + AT_NCHANNELS) != env->nchannels) {
        return "channels, WHORL_BUFFSIZE or WHORL_SLOTS differ";
    }
    if (find_wire(wh_get_le64(address + AT_ID)) == NULL) {
        return "it is not in this process, or has left";
    }
    return NULL;
}

static whorl_result_t loop_connect(struct wh_transport_wire *base, const uint8_t *addresses)
{
    struct loop_wire *wire = (struct loop_wire *)base;

    pthread_mutex_lock(&lock);
    for (uint32_t rank = 0; rank < wire->env->nranks; rank++) {
        const uint8_t *address = addresses + (size_t)rank * WH_ADDRESS_NBYTES_MAX;
        wire->peer_whys[rank] = address_fault(wire, rank, address);
        wire->peer_ids[rank] = wire->peer_whys[rank] == NULL ? wh_get_le64(address + AT_ID) : 0;
    }
    pthread_mutex_unlock(&lock);
    return WHORL_OK;
}

static bool loop_reaches(struct wh_transport_wire *base, uint32_t peer, const char **why_out)
{
    const struct loop_wire *wire = (const struct loop_wire *)base;

    assert(peer < wire->env->nranks);
    if (wire->peer_ids[peer] == 0) {
        *why_out = wire->peer_whys[peer];
        return false;
    }
    return true;
}

static struct wh_doorbell *loop_bell(struct wh_transport_wire *base)
{
    return &((struct loop_wire *)base)->bell;
}

static uint64_t loop_memory_nbytes(struct wh_transport_wire *base)
{
    const struct loop_wire *wire = (const struct loop_wire *)base;
    uint64_t nbytes = 0;

    pthread_mutex_lock(&lock);
    for (struct queue *queue = queues; queue != NULL; queue = queue->next) {
        if (queue->sender == wire->id) {
            nbytes += queue->nused * queue->message_nbytes;
        }
    }
    pthread_mutex_unlock(&lock);
    return nbytes;
}

/* ---- links ---------------------------------------------------------------------------------- */

static whorl_result_t loop_link_open(struct wh_transport_wire *base, uint32_t peer,
                                     uint32_t channel, bool is_send, struct wh_link **link_out)
{
    struct loop_wire *wire = (struct loop_wire *)base;
    const struct wh_wire_env *env = wire->env;

    assert(peer < env->nranks && wire->peer_ids[peer] != 0);
    assert(channel < env->nchannels);

    struct loop_link *link = calloc(1, sizeof(*link));
    if (link == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "loop: no memory for a link to rank %u", peer);
    }
    link->base.ops = &whorl_transport_loop;
    link->wire = wire;

    uint64_t sender = is_send ? wire->id : wire->peer_ids[peer];
    uint64_t receiver = is_send ? wire->peer_ids[peer] : wire->id;
    pthread_mutex_lock(&lock);
    link->queue = find_queue(sender, receiver, channel);
    if (link->queue == NULL) {
        link->queue = create_queue(sender, receiver, channel);
    }
    if (link->queue != NULL) {
        link->queue->message_nbytes = wh_align_up(sizeof(struct message) + env->slot_nbytes, 64);
    }
    pthread_mutex_unlock(&lock);
    if (link->queue == NULL) {
        free(link);
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "loop: no memory for a queue to rank %u",
                       peer);
    }

    *link_out = &link->base;
    return WHORL_OK;
}

static void loop_link_close(struct wh_link *base)
{
    struct loop_link *link = (struct loop_link *)base;

    pthread_mutex_lock(&lock);
    if (link->acquired != NULL) {
        free(link->acquired);
        link->queue->nused--;
    }
    pthread_mutex_unlock(&lock);
    free(link);
}

/* ---- messages; all with the lock held ------------------------------------------------------- */

static whorl_result_t acquire_locked(struct loop_link *link, struct wh_slot *slot_out)
{
    struct queue *queue = link->queue;

    if (link->acquired == NULL) {
        if (queue->nused == link->wire->env->nslots) {
            return WHORL_IN_PROGRESS;
        }
        whorl_result_t rc =
            strike(link->wire, &link->wire->nacquires, link->wire->faults.fail_acquire, "acquire");
        if (rc != WHORL_OK) {
            return rc;
        }
        link->acquired = aligned_alloc(64, queue->message_nbytes);
        if (link->acquired == NULL) {
            return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "loop: no memory for a message");
        }
        queue->nused++;
    }
    slot_out->head = link->acquired->head;
    slot_out->data = link->acquired->data;
    slot_out->nbytes = 0;
    return WHORL_OK;
}

static whorl_result_t post_locked(struct loop_link *link, size_t nbytes)
{
    struct loop_wire *wire = link->wire;
    struct queue *queue = link->queue;
    struct message *message = link->acquired;

    whorl_result_t rc = strike(wire, &wire->nposts, wire->faults.fail_post, "post");
    if (rc != WHORL_OK) {
        return rc;
    }
    link->acquired = NULL;
    if (wire->nposts == wire->faults.drop_post) {
        free(message);
        queue->nused--;
        return WHORL_OK;
    }

    message->next = NULL;
    message->nbytes = nbytes;
    message->npolls_left = draw_delay(wire);
    *queue->end = message;
    queue->end = &message->next;
    ring(queue->receiver);
    return WHORL_OK;
}

static whorl_result_t poll_locked(struct loop_link *link, struct wh_slot *slot_out)
{
    struct loop_wire *wire = link->wire;
    struct message *message = link->queue->first;

    if (message == NULL) {
        return WHORL_IN_PROGRESS;
    }
    if (message->npolls_left > 0) {
        message->npolls_left--;
        /* Nobody else will ring for this message: who sleeps now would sleep for ever. */
        wh_doorbell_ring(&wire->bell);
        return WHORL_IN_PROGRESS;
    }
    if (!link->is_polled) {
        whorl_result_t rc = strike(wire, &wire->npolls, wire->faults.fail_poll, "poll");
        if (rc != WHORL_OK) {
            return rc;
        }
        link->is_polled = true;
    }
    slot_out->head = message->head;
    slot_out->data = message->data;
    slot_out->nbytes = message->nbytes;
    return WHORL_OK;
}

static void release_locked(struct loop_link *link)
{
    struct queue *queue = link->queue;
    struct message *message = queue->first;

    link->is_polled = false;
    queue->first = message->next;
    if (queue->first == NULL) {
        queue->end = &queue->first;
    }
    queue->nused--;
    free(message);
    ring(queue->sender);
}

static whorl_result_t loop_acquire(struct wh_link *base, struct wh_slot *slot_out)
{
    pthread_mutex_lock(&lock);
    whorl_result_t rc = acquire_locked((struct loop_link *)base, slot_out);
    pthread_mutex_unlock(&lock);
    return rc;
}

static whorl_result_t loop_post(struct wh_link *base, size_t nbytes)
{
    struct loop_link *link = (struct loop_link *)base;

    assert(link->acquired != NULL);
    assert(nbytes <= link->wire->env->slot_nbytes);

    pthread_mutex_lock(&lock);
    whorl_result_t rc = post_locked(link, nbytes);
    pthread_mutex_unlock(&lock);
    return rc;
}

static whorl_result_t loop_poll(struct wh_link *base, struct wh_slot *slot_out)
{
    pthread_mutex_lock(&lock);
    whorl_result_t rc = poll_locked((struct loop_link *)base, slot_out);
    pthread_mutex_unlock(&lock);
    return rc;
}

static void loop_release(struct wh_link *base)
{
    struct loop_link *link = (struct loop_link *)base;

    assert(link->is_polled);

    pthread_mutex_lock(&lock);
    release_locked(link);
    pthread_mutex_unlock(&lock);
}

const struct whorl_transport_ops whorl_transport_loop = {
    .struct_nbytes = sizeof(struct whorl_transport_ops),
    .name = "loop",
    .flags = WH_TRANSPORT_LOCAL | WH_TRANSPORT_REFERENCE,
    .open = loop_open,
    .close = loop_close,
    .address = loop_address,
    .connect = loop_connect,
    .reaches = loop_reaches,
    .link_open = loop_link_open,
    .link_close = loop_link_close,
    .acquire = loop_acquire,
    .post = loop_post,
    .poll = loop_poll,
    .release = loop_release,
    .bell = loop_bell,
    .memory_nbytes = loop_memory_nbytes,
};
