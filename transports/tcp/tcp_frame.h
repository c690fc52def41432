/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the TCP transport writes on a wire: the address of a rank, who calls on a new connection,
 * and the head of a fragment. Pure values; every byte that comes from a peer is checked here.
 *
 * A message is cut into fragments, each behind a head of its own, so that several connections can
 * carry parts of one message and it does not matter which part comes first.
 */
#ifndef WH_TRANSPORTS_TCP_FRAME_H
#define WH_TRANSPORTS_TCP_FRAME_H

#include "base/sock.h"
#include "wire/transport.h"

enum {
    TCP_NADDRS_MAX = 6,
    TCP_CONNS_MAX = 16, /* of one pair of ranks and channel */
    TCP_PREFIX_NBYTES = 20,
    TCP_HEAD_NBYTES = TCP_PREFIX_NBYTES + WH_SLOT_HEAD_NBYTES,
    TCP_INTRO_NBYTES = 32,
};

/** Where a rank listens, and what both ends must have alike. */
struct tcp_address {
    uint16_t port;
    bool encrypts;
    uint8_t nconns;
    uint32_t naddrs; /* at least 1 */
    uint32_t slot_nbytes, nslots, nchannels;
    uint32_t nalike; /* of them, from the first on: used together, see wh_sock_nalike() */
    struct wh_addr addrs[TCP_NADDRS_MAX]; /* best first; their ports are `port` */
};

void tcp_address_encode(const struct tcp_address *address, uint8_t out[WH_ADDRESS_NBYTES_MAX]);

/** False, *address_out untouched, if it is none. */
bool tcp_address_decode(const uint8_t in[WH_ADDRESS_NBYTES_MAX], struct tcp_address *address_out);

/** Leaves out loopback, which leads to no other host, unless nothing else is there. */
void tcp_address_drop_loopback(struct tcp_address *address);

/** Who calls, and for what. */
struct tcp_intro {
    uint32_t from, to; /* ranks */
    uint32_t channel;
    uint32_t index; /* of the connection among those of the pair */
};

void tcp_intro_encode(const struct tcp_intro *intro, uint8_t out[TCP_INTRO_NBYTES]);
bool tcp_intro_decode(const uint8_t in[TCP_INTRO_NBYTES], struct tcp_intro *intro_out);

/** A fragment: bytes offset..offset+nbytes of message number seq, of total_nbytes. */
struct tcp_head {
    uint32_t seq; /* low bits */
    uint32_t offset, nbytes, total_nbytes;
};

/** The first TCP_PREFIX_NBYTES of a head; the message's own head follows. */
void tcp_head_encode(const struct tcp_head *head, uint8_t out[TCP_PREFIX_NBYTES]);

/** False if it is none, or of a message larger than slot_nbytes. */
bool tcp_head_decode(const uint8_t in[TCP_PREFIX_NBYTES], size_t slot_nbytes,
                     struct tcp_head *head_out);

#endif
