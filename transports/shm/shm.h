/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shm transport: FIFOs in one piece of memory that all ranks of a host have.
 *
 * The memory ("segment") is a sparse memfd:
 *
 *     header                            which segment this is, and its geometry
 *     nlocal members, one per rank      doorbell, attached or not
 *     nlocal * nlocal * nchannels       windows, one per sender, receiver and channel
 *     nlocal regions, one per rank      for whoever asks for memory that all have; see region()
 *
 * Header and members ("control") are mapped by every rank, a window by its sender and its receiver
 * when they open their ends, the regions by all or by nobody. A window is
 *
 *     released          how many messages the receiver has given back; written by it only
 *     nslots slots      line of seq, nbytes and head; data behind it; written by the sender only
 *
 * Message number n (from 1 on) goes to slot (n - 1) % nslots, which is full when its seq is n. seq
 * never goes back, so nothing is ever reset and either side may open its end at any time. The first
 * 64 bytes of data lie in the line behind the slot's own, in the same pair of lines: a small
 * message is one such pair, and one page.
 *
 * Every peer can write all of the segment. What is read from it is checked before it is used as a
 * size or an index.
 */
#ifndef WH_SHM_H
#define WH_SHM_H

#include "base/shmem.h"
#include "wire/transport.h"

#include <stdatomic.h>

enum {
    SHM_VERSION = 2,
    SHM_PAGE_NBYTES = 65536, /* no machine that we run on has larger pages */
    SHM_NONCE_NBYTES = 16,
};

/* Where things are; every rank computes it from its own environment. */
struct shm_layout {
    uint32_t nlocal, nchannels, nslots;
    size_t slot_nbytes; /* data of one slot */
    size_t slot_stride; /* from slot to slot */
    size_t control_nbytes;
    size_t window_nbytes;
    size_t region_nbytes;
    uint64_t region_offset; /* of the first one */
    uint64_t total_nbytes;
};

struct shm_header {
    uint64_t magic;
    uint32_t version;
    uint32_t nlocal, nchannels, nslots;
    uint64_t slot_nbytes, region_nbytes;
    uint8_t nonce[SHM_NONCE_NBYTES]; /* the one in the leader's address */
} WH_LINE_ALIGNED;

/* WAITED_FOR becomes one of the others, once: by the member itself or by the leader, with a
 * compare-and-swap, so that all ranks see the same. */
enum shm_member_state { SHM_WAITED_FOR, SHM_ATTACHED, SHM_LOST };

struct shm_member {
    struct wh_doorbell bell;
    _Atomic uint32_t state WH_LINE_ALIGNED;
};

struct shm_control {
    struct shm_header header;
    struct shm_member members[];
};

struct shm_window {
    _Atomic uint64_t released WH_LINE_ALIGNED;
    uint8_t slots[] WH_LINE_ALIGNED;
};

struct shm_slot {
    _Atomic uint64_t seq; /* number of the message in it; stored with release when it is complete */
    _Atomic uint64_t nbytes;
    uint8_t head[WH_SLOT_HEAD_NBYTES];
    uint8_t data[];
};
_Static_assert(sizeof(struct shm_slot) == 64, "data begins in the slot's second line");

enum shm_phase { SHM_OPENED, SHM_FETCHING, SHM_GATHERING, SHM_CONNECTED };

/* Only the thread that uses the wire. */
struct shm_wire {
    struct wh_transport_wire base;
    const struct wh_wire_env *env;
    struct shm_layout layout;

    /* The group: ranks with this rank's host key, in rank order. */
    uint32_t *local_of; /* by rank; UINT32_MAX: in another group */
    uint32_t local;     /* this rank's place in it */
    uint32_t leader;    /* rank of place 0, which makes the segment */

    enum shm_phase phase;
    const char *why_none; /* not NULL: this rank reaches nobody, for this reason */
    uint64_t deadline_ns; /* leader: members that are not attached by then are lost */

    int fd;                       /* the segment; -1 until this rank has it */
    int sock;                     /* guest: to the leader, while fetching */
    struct wh_shmem_offer *offer; /* leader, while serving */
    uint8_t token[WH_SHMEM_TOKEN_NBYTES];
    uint8_t nonce[SHM_NONCE_NBYTES];
    struct shm_control *control;

    uint64_t send_nbytes; /* windows opened for sending */

    void *region; /* all regions; NULL: not mapped */
    struct wh_doorbell **bells;
};

/* Is this member known to have the segment? After connect. */
bool shm_is_attached(const struct shm_wire *wire, uint32_t local);

/* The functions of shm_link.c, for the table in shm.c. */
whorl_result_t shm_link_open(struct wh_transport_wire *base, uint32_t peer, uint32_t channel,
                             bool is_send, struct wh_link **link_out);
void shm_link_close(struct wh_link *base);
whorl_result_t shm_acquire(struct wh_link *base, struct wh_slot *slot_out);
whorl_result_t shm_post(struct wh_link *base, size_t nbytes);
whorl_result_t shm_poll(struct wh_link *base, struct wh_slot *slot_out);
void shm_release(struct wh_link *base);

/* shm_region.c */
whorl_result_t shm_region(struct wh_transport_wire *base, struct wh_region *region_out);
void shm_region_close(struct shm_wire *wire);

extern const struct whorl_transport_ops whorl_transport_shm;

#endif
