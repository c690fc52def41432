/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a transport is: one const table of functions that carry messages between two ranks.
 *
 * A link is one direction between this rank and a peer on one channel: a bounded FIFO of slots.
 *
 *     sender:    acquire(link, &slot)   fill slot   post(link, nbytes)
 *     receiver:  poll(link, &slot)      use slot    release(link)
 *
 * Nothing here blocks. WHORL_IN_PROGRESS is back pressure ("no room", "nothing there yet") and not
 * an error. Messages of one link arrive complete, once and in order; links are independent.
 *
 * Connecting has two phases and no side channel: open() makes an address of a few bytes, bootstrap
 * carries all addresses to all ranks, connect() uses them.
 */
#ifndef WH_WIRE_TRANSPORT_H
#define WH_WIRE_TRANSPORT_H

#include "base/macros.h"
#include "base/wait.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WH_ADDRESS_NBYTES_MAX = 128,
    WH_SLOT_HEAD_NBYTES = 48, /* carried beside the data of every message */
    WH_REGION_ALIGN_NBYTES = 2 << 20,
    WH_WIRE_SECRET_NBYTES = 16,
};

enum wh_transport_flags {
    WH_TRANSPORT_LOCAL = 1,     /* goes through memory that both ranks have, on one host */
    WH_TRANSPORT_REFERENCE = 2, /* made for tests: right, not fast */
};

/** What a transport gets to know about the communicator. Valid as long as the wire. */
struct wh_wire_env {
    uint32_t rank, nranks;
    const uint64_t *host_keys; /* nranks of them: equal keys may share a host (wh_shmem_host_key) */
    const uint64_t *process_keys; /* nranks of them: equal keys are one process */
    uint32_t nchannels;
    uint32_t nslots;
    size_t slot_nbytes; /* data bytes of one slot; a multiple of 64 */
    /* Known to this communicator's ranks only: what they prove to each other on connections. */
    uint8_t secret[WH_WIRE_SECRET_NBYTES];
    /* Memory that each rank of a host has in one piece that all of them share, see region(); a
     * multiple of WH_REGION_ALIGN_NBYTES; 0: none. */
    size_t region_nbytes;
    bool gives_up; /* set before close(): nobody waits any more for what is not sent yet */
};

/** Memory that all ranks of a host have mapped. */
struct wh_region {
    uint8_t *base;  /* so aligned; of each rank region_nbytes, in the order of ranks on the host */
    size_t nbytes;  /* of each rank */
    uint32_t local; /* this rank's place in it */
    uint32_t nlocal;
    struct wh_doorbell **bells; /* nlocal of them: what wakes these ranks */
};

/** One message's place: head (WH_SLOT_HEAD_NBYTES, 8-byte aligned) and data (64-byte aligned). */
struct wh_slot {
    void *head;
    void *data;
    size_t nbytes; /* poll: bytes of data that arrived */
};

struct whorl_transport_ops;

/** A transport embeds this as the first member of its own struct. */
struct wh_transport_wire {
    const struct whorl_transport_ops *ops;
};

/** A transport embeds this as the first member of its own struct. */
struct wh_link {
    const struct whorl_transport_ops *ops;
};

struct whorl_transport_ops {
    uint32_t struct_nbytes; /* sizeof when built; new functions are added at the end only */
    const char *name;       /* the word in WHORL_TRANSPORTS and in logs */
    uint32_t flags;         /* of enum wh_transport_flags */

    /* Makes this rank's end. Does not wait, touches no peer. The caller closes it. Any failure but
     * WHORL_E_NOMEM means that this transport does not work here; the others are tried. */
    whorl_result_t (*open)(const struct wh_wire_env *env, struct wh_transport_wire **wire_out);
    /* All links are closed before. Peers may close earlier or later, once all have connected; what
     * was posted to a peer that is still there reaches it; of a transport with flush() that is sure
     * of what was flushed, and the rest is sent for as long as a short while allows, unless env says
     * that this rank gives up. */
    void (*close)(struct wh_transport_wire *wire);

    /* Writes this rank's address; the rest of it stays zero. A rank on which this transport did not
     * open has an address of zeros. */
    void (*address)(struct wh_transport_wire *wire, uint8_t address[WH_ADDRESS_NBYTES_MAX]);
    /* Uses the addresses of all ranks (nranks * WH_ADDRESS_NBYTES_MAX bytes, not to be trusted;
     * they stay where they are between calls). WHORL_IN_PROGRESS: call again. WHORL_OK: reaches()
     * is known for every peer. A peer that is out of reach is not a failure. */
    whorl_result_t (*connect)(struct wh_transport_wire *wire, const uint8_t *addresses);
    /* Can links to peer be opened? If not, *why_out is a static text that goes on after "rank 3: ".
     * Both ends give the same answer. A rank may be its own peer. */
    bool (*reaches)(struct wh_transport_wire *wire, uint32_t peer, const char **why_out);

    /* Opens one direction, at most once in the life of the wire. Never waits for the peer; messages
     * wait in the FIFO until it opens its end too. */
    whorl_result_t (*link_open)(struct wh_transport_wire *wire, uint32_t peer, uint32_t channel,
                                bool is_send, struct wh_link **link_out);
    /* What was posted stays posted; what was acquired and not posted is lost. */
    void (*link_close)(struct wh_link *link);

    /* Sender: a free slot, the same one until post. WHORL_IN_PROGRESS: the FIFO is full. What head
     * and data hold before they are written is unspecified. */
    whorl_result_t (*acquire)(struct wh_link *link, struct wh_slot *slot_out);
    /* Sends the acquired slot with nbytes (<= slot_nbytes) of data. */
    whorl_result_t (*post)(struct wh_link *link, size_t nbytes);
    /* Receiver: the oldest message, the same one until release. WHORL_IN_PROGRESS: none.
     * WHORL_E_PEER: the peer wrote what no sender writes. */
    whorl_result_t (*poll)(struct wh_link *link, struct wh_slot *slot_out);
    /* Gives the polled slot back. */
    void (*release)(struct wh_link *link);

    /* Rung whenever a link of this wire may have become ready: a message came, or a slot of a full
     * FIFO is free. Known after connect(); NULL if this transport has none. */
    struct wh_doorbell *(*bell)(struct wh_transport_wire *wire);
    /* Bytes of memory that this rank's end has taken so far, at most (address space that was never
     * touched does not count where the transport knows). What two ranks share counts at one. */
    uint64_t (*memory_nbytes)(struct wh_transport_wire *wire);
    /* Maps the memory that all ranks of this host share; all zero at first, pages cost memory when
     * they are touched. Once, after connect(), and only if this rank reaches every rank of its
     * host. Gone with close(). NULL if this transport has none. */
    whorl_result_t (*region)(struct wh_transport_wire *wire, struct wh_region *region_out);

    /* ---- transports that carry messages, and have no memory that peers read or write ---- */

    /* Instead of acquire, fill and post: sends nbytes (<= slot_nbytes) straight from memory of the
     * caller. WHORL_IN_PROGRESS: call again with the same arguments before anything else is sent on
     * this link. WHORL_OK: the message is on its way and its memory the caller's again. As with
     * post, the peer need not take the message for that. NULL if this transport has none. */
    whorl_result_t (*send_from)(struct wh_link *link, const uint8_t head[WH_SLOT_HEAD_NBYTES],
                                const void *data, size_t nbytes);
    /* As poll, but the message, if it has exactly nbytes, may be put straight to data: slot_out
     * says where it is. While it says WHORL_IN_PROGRESS the link may write to data, whenever this
     * wire is used. NULL if this transport has none. */
    whorl_result_t (*recv_into)(struct wh_link *link, void *data, size_t nbytes,
                                struct wh_slot *slot_out);
    /* WHORL_OK when nothing that was posted on this link is left to be sent by this rank, which
     * only progress() and the functions of links do. NULL: always. */
    whorl_result_t (*flush)(struct wh_link *link);
    /* Goes on with all that is under way on this wire. To be called by whoever waits for a link.
     * NULL: links need no help. */
    whorl_result_t (*progress)(struct wh_transport_wire *wire);
    /* A descriptor that polls as readable when progress() has something to do; it stays the
     * wire's. NULL or -1: none. */
    int (*wait_fd)(struct wh_transport_wire *wire);
    /* Bytes that this rank has handed to the network so far. NULL: not counted. */
    uint64_t (*sent_nbytes)(struct wh_transport_wire *wire);
};

#endif
