/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two wires of the TCP transport in one thread, and somebody in the middle.
 *
 * Rank 0 calls rank 1. With a middle, it finds rank 1 at the middle's port: all that goes from rank
 * 0 to rank 1 can be changed there, record by record. Nothing waits but rig_until().
 */
#ifndef WH_TESTS_TCP_RIG_H
#define WH_TESTS_TCP_RIG_H

#include "../../transports/tcp/tcp.h"
#include "conformance/wire_world.h"

enum {
    RIG_SLOT_NBYTES = 256,
    /* What the caller sends before its records. */
    RIG_HELLO_NBYTES = WH_HELLO_NBYTES + WH_PROOF_NBYTES,
    MIDDLE_CABLES_MAX = 8,
    MIDDLE_BUFFER_NBYTES = 256 << 10,
};

enum middle_what {
    MIDDLE_PASS,
    MIDDLE_FLIP,   /* changes bits of a record */
    MIDDLE_REPEAT, /* a record twice */
    MIDDLE_DROP,   /* leaves a record out */
    MIDDLE_SWAP,   /* a record after the one that follows it */
    MIDDLE_CUT,    /* ends the connection after `offset` bytes of a direction */
    MIDDLE_HOLD,   /* keeps back what goes over cable `record` while is_holding */
};

struct middle_plan {
    enum middle_what what;
    uint32_t record; /* number of the record, from 0 */
    size_t offset;   /* in the record, or in the stream */
    uint8_t mask;    /* FLIP: bits */
    size_t also;     /* FLIP: another offset; 0: none */
    bool is_back;    /* CUT: the direction from rank 1 to rank 0 */
    bool is_once;    /* CUT: the first connection only */
};

/* One connection: [0] is rank 0's end, [1] rank 1's. */
struct middle_cable {
    int fds[2];
    size_t npassed[2]; /* bytes of [0]'s and [1]'s that have gone on */
    uint8_t buffer[MIDDLE_BUFFER_NBYTES]; /* of rank 0, not yet a whole record */
    size_t nbuffered;
    uint32_t nrecords;
    uint8_t kept[2048]; /* SWAP: the record */
    size_t nkept;
};

struct middle {
    struct middle_plan plan;
    int listener;
    uint16_t port, peer_port;
    bool is_sealed, is_holding;
    struct middle_cable *cables[MIDDLE_CABLES_MAX];
    uint32_t ncables;
    uint8_t first[RIG_HELLO_NBYTES]; /* what rank 0 sent first */
};

struct rig_spec {
    bool encrypts, has_middle;
    uint32_t nconns, nslots; /* 0: 1, 4 */
    size_t slot_nbytes;      /* 0: RIG_SLOT_NBYTES */
    struct middle_plan plan;
    uint8_t naddrs; /* 0, or these instead of rank 1's addresses */
    const char *addrs[TCP_NADDRS_MAX];
    void (*alter)(struct world_rank *rank);
    /* NULL, or called before the wires connect. */
    void (*before)(struct world_pair *pair);
};

struct rig {
    struct world_pair pair;
    struct middle middle;
    bool has_middle;
    struct wh_link *out, *in; /* from rank 0 to rank 1 */
    whorl_result_t rcs[2];    /* of the ranks' progress(): the first failure */
};

/** Opens and connects both wires, and the links. Nothing is dialled to the end yet. */
void rig_open(struct rig *rig, const struct rig_spec *spec);
void rig_close(struct rig *rig);

/** Goes on with all: wires and middle. Connections that ended are taken to have ended long ago. */
void rig_step(void *rig);

/** Steps until done(ctx). False: patience is over. */
bool rig_until(struct rig *rig, bool (*done)(void *ctx), void *ctx);

/** A message of rank 0; WHORL_IN_PROGRESS: no room. */
whorl_result_t rig_post(struct rig *rig, uint64_t seed, size_t nbytes);

/** A message that rank 1 has: WHORL_E_INTERNAL if it is another one than rig_post() sent. */
whorl_result_t rig_take(struct rig *rig, uint64_t seed, size_t nbytes);

/** Steps until rank 1 has the message, or an error. */
whorl_result_t rig_wait_take(struct rig *rig, uint64_t seed, size_t nbytes);

/** Steps until rank 0's link fails, which it is sent messages over; with that. */
whorl_result_t rig_wait_refusal(struct rig *rig);

struct tcp_wire *rig_wire(struct rig *rig, uint32_t rank);
/** The rank's first connection of its only pair. */
struct tcp_conn *rig_conn(struct rig *rig, uint32_t rank);

/** An address from its text, without a port. */
struct wh_addr rig_addr(const char *ip);

/** A plain connection to rank 1 that speaks no protocol yet; blocks for at most some seconds. */
int rig_call(struct rig *rig);
/** Has the other end closed it? Steps meanwhile. What it says before is dropped. */
bool rig_is_hung_up(struct rig *rig, int fd);

#endif
