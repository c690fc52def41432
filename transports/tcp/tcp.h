/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the TCP transport.
 *
 *     tcp_wire   one rank's end: a listener, and the pairs that are in use
 *     tcp_pair   a peer and a channel: one link in each direction over the same connections
 *     tcp_conn   one connection: dialled by the lower rank, on first use; handshake; then fragments
 *     tcp_link   a FIFO of messages
 *
 * TCP's own flow control is the links' flow control: a receiver whose FIFO is full stops reading.
 * That is why channels do not share connections: a full link must hold up no other one.
 *
 * Everything happens in the calls of whoever uses the wire; no thread, and no call that waits.
 */
#ifndef WH_TRANSPORTS_TCP_H
#define WH_TRANSPORTS_TCP_H

#include "base/dial.h"
#include "base/handshake.h"
#include "base/seal.h"
#include "tcp_frame.h"
#include "tcp_zerocopy.h"

#include <sys/uio.h>

extern const struct whorl_transport_ops whorl_transport_tcp;

/** What an event of epoll is about; the first member of what it points to. */
enum tcp_kind { TCP_LISTENER, TCP_CALLER, TCP_CONN };

enum tcp_state {
    TCP_IDLE,  /* not dialled; or it is the peer who dials */
    TCP_DIALS, /* dials, shakes hands, and tells who it is */
    TCP_UP,    /* carries fragments */
    TCP_ENDED, /* see error */
};

/** A handshake under way, and the introduction after it. */
struct tcp_shake {
    struct wh_shake shake;
    int fd;
    uint8_t in[WH_SHAKE_NBYTES_MAX + TCP_INTRO_NBYTES];
    uint8_t out[2 * WH_SHAKE_NBYTES_MAX + TCP_INTRO_NBYTES];
    size_t in_nbytes, out_begin, out_end;
    bool is_caller;
    uint64_t deadline_ns;
};

/* To copy so little is cheaper than to tell the kernel of two pieces of memory. */
enum { TCP_INLINE_NBYTES = 1024 };

/** A fragment on its way out. */
struct tcp_out {
    struct tcp_message *message; /* NULL: none */
    uint8_t head[TCP_HEAD_NBYTES + TCP_INLINE_NBYTES]; /* and little data right behind it */
    const uint8_t *data; /* of the fragment; when sealed, the whole record */
    size_t head_nbytes, data_nbytes, done_nbytes;
    uint8_t *record; /* of slot_nbytes and some; NULL unless this connection is sealed */
};

/** A fragment on its way in. */
struct tcp_in {
    uint8_t head[TCP_HEAD_NBYTES + TCP_INLINE_NBYTES]; /* room for little data that is foreseen */
    size_t head_nbytes;          /* that are here */
    struct tcp_message *message; /* NULL: the head is not complete, or there is no room yet */
    size_t offset;               /* of the fragment in its message */
    uint8_t *data;               /* where it goes; when sealed, the rest of the record */
    size_t data_nbytes, done_nbytes;
    uint8_t *record; /* as in tcp_out */
    uint8_t *spill;  /* bytes that were read too early; NULL: none */
    size_t spill_begin, spill_end;
};

/** A fragment that the kernel has taken and still reads: its message's memory is not free yet. */
struct tcp_flight {
    struct tcp_message *message;
    uint32_t ticket;
};

struct tcp_conn {
    enum tcp_kind kind;
    enum tcp_state state;
    struct tcp_pair *pair;
    uint32_t index;
    int fd; /* -1: none */
    struct wh_addr peer;

    /* TCP_DIALS */
    struct wh_dial *dial;
    struct tcp_shake *shake;

    /* TCP_UP */
    struct tcp_out out;
    struct tcp_in in;
    struct wh_seal *seal, *unseal; /* NULL: plain */
    uint32_t events;               /* that epoll watches for */
    bool is_blocked;               /* the kernel has no room for the rest of a fragment */
    struct tcp_zerocopy zerocopy;
    struct tcp_flight *flights; /* nflights from first_flight on, of nslots * nconns; NULL: none */
    uint32_t first_flight, nflights;

    /* TCP_ENDED */
    int error;         /* errno; 0: the peer closed in good order */
    bool is_broken;    /* the peer sent what no peer sends */
    uint64_t ended_ns; /* when */
};

/** One place of a link's FIFO. */
struct tcp_message {
    uint8_t head[WH_SLOT_HEAD_NBYTES] __attribute__((aligned(8)));
    uint8_t *slot; /* slot_nbytes of the link's own; NULL until used */
    uint8_t *data; /* slot, or memory of the user */
    size_t nbytes;
    size_t moved_nbytes; /* sender: cut into fragments; receiver: arrived */
    uint32_t nout;       /* sender: fragments on their way */
    uint32_t came;       /* receiver: fragments that have begun to come, one bit each */
    bool is_begun;       /* receiver: its first head is here; sender: all of it is cut */
    bool is_done;
};

struct tcp_link {
    struct wh_link base;
    struct tcp_pair *pair;        /* NULL: not open */
    struct tcp_message *messages; /* nslots */
    /* Numbers of messages, counted from 0. Sender: begin <= cut <= end: sent, cut, posted.
     * Receiver: begin: released. */
    uint64_t begin, cut, end;
    bool is_direct;      /* sender: the last message is one of send_from() */
    uint8_t *armed;      /* receiver: where message `begin` may be put; NULL: its slot */
    size_t armed_nbytes; /* what it is expected to have */
    bool is_armed;
};

struct tcp_pair {
    struct tcp_wire *wire;
    uint32_t peer, channel;
    uint32_t nended; /* of its connections */
    /* Memory of the user is the user's again: an error was told, or links were closed, before a
     * message that is in it was all sent, or received. */
    bool sends_no_more, receives_no_more;
    struct tcp_link send, recv;
    struct tcp_conn conns[]; /* wire->nconns */
};

/** A connection that came in and has not said who it is. */
struct tcp_caller {
    enum tcp_kind kind;
    struct tcp_caller *next;
    struct tcp_wire *wire;
    struct wh_addr peer;
    struct tcp_shake shake;
};

struct tcp_wire {
    struct wh_transport_wire base;
    const struct wh_wire_env *env;
    struct tcp_address address; /* this rank's */
    uint32_t nconns;            /* of each pair: the least of all ranks' */
    int listener, epoll;
    enum tcp_kind listener_kind;

    const uint8_t *addresses; /* of all ranks; NULL before connect() */
    struct tcp_pair **pairs;  /* in use */
    uint32_t npairs, pairs_capacity;
    struct tcp_caller *callers;
    uint32_t ncallers;
    uint64_t callers_due_ns; /* when they are looked at, if none of them says anything before */
    uint32_t nbusy;          /* connections that dial */
    uint32_t nblocked;       /* connections with a fragment that the kernel had no room for */
    uint32_t nturns;
    uint64_t sent_nbytes, memory_nbytes;
    bool is_zerocopy; /* is to be tried; slots are then memory that goes when the kernel lets go */
};

/* ---- tcp_conn.c: from nothing to TCP_UP, and the end ---- */

/** The pair, made if there is none. NULL: no memory. */
struct tcp_pair *tcp_pair_get(struct tcp_wire *wire, uint32_t peer, uint32_t channel);
void tcp_pair_destroy(struct tcp_pair *pair);

/** Starts to dial what this rank has to dial. */
whorl_result_t tcp_pair_dial(struct tcp_pair *pair);

/** Goes on with a connection that dials; WHORL_OK also while it does. */
whorl_result_t tcp_conn_advance(struct tcp_conn *conn);

/** Takes those that call, and goes on with those that have not said who they are. */
whorl_result_t tcp_accept(struct tcp_wire *wire);
void tcp_callers_close(struct tcp_wire *wire);

/** The connection is of no more use. */
void tcp_conn_end(struct tcp_conn *conn, int error);

/** WHORL_OK, or WHORL_E_PEER, reported, if what ended a while ago was needed. */
whorl_result_t tcp_pair_check(struct tcp_pair *pair);

/** Watches for what the connection waits for, before somebody sleeps. */
void tcp_conn_watch(struct tcp_conn *conn);

/** After events of epoll: watches no more what has ended while what came before has no room. */
void tcp_conn_let_sleep(struct tcp_conn *conn, uint32_t events);

/* ---- tcp_link.c ---- */

whorl_result_t tcp_link_open(struct wh_transport_wire *wire, uint32_t peer, uint32_t channel,
                             bool is_send, struct wh_link **link_out);
void tcp_link_close(struct wh_link *link);
void tcp_link_fini(struct tcp_link *link);
whorl_result_t tcp_link_acquire(struct wh_link *link, struct wh_slot *slot_out);
whorl_result_t tcp_link_post(struct wh_link *link, size_t nbytes);
whorl_result_t tcp_link_poll(struct wh_link *link, struct wh_slot *slot_out);
void tcp_link_release(struct wh_link *link);
whorl_result_t tcp_link_send_from(struct wh_link *link, const uint8_t head[WH_SLOT_HEAD_NBYTES],
                                  const void *data, size_t nbytes);
whorl_result_t tcp_link_recv_into(struct wh_link *link, void *data, size_t nbytes,
                                  struct wh_slot *slot_out);
whorl_result_t tcp_link_flush(struct wh_link *link);

/* ---- tcp_pump.c: bytes ---- */

/** Sends what can be sent of what was posted. */
whorl_result_t tcp_pump_out(struct tcp_pair *pair);

/** Receives what has come and has room, up to the end of a fragment. */
whorl_result_t tcp_pump_in(struct tcp_conn *conn);

/** Hears of what was sent without a copy, and frees the messages that are through. Returns whether
 *  there was something to hear. */
bool tcp_pump_land(struct tcp_conn *conn);

/** Sends no more: memory of the user that is on its way is to be the user's again, now. */
void tcp_pump_give_up(struct tcp_pair *pair);

/** Has it a head, of a message for which there is no room? */
bool tcp_conn_is_stalled(const struct tcp_conn *conn);

/** Slot memory of a message; NULL: no memory. */
uint8_t *tcp_message_slot(struct tcp_wire *wire, struct tcp_message *message);
void tcp_message_slot_free(const struct tcp_wire *wire, struct tcp_message *message);

#endif
