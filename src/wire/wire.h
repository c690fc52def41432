/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rank's links to its peers, each over the first transport that reaches the peer.
 *
 * Both ends must choose the same transport, though WHORL_TRANSPORTS may differ between them. So a
 * rank's address says in which order it tries transports, and for every pair the order of the lower
 * rank counts, without those that the other rank does not have.
 *
 * Not thread safe: the one thread that runs the communicator's operations uses it.
 */
#ifndef WH_WIRE_WIRE_H
#define WH_WIRE_WIRE_H

#include "base/config.h"
#include "wire/transport.h"

struct wh_wire;

/** All built-in transports, in the order in which they are tried. */
extern const struct whorl_transport_ops *const wh_transports[];
extern const size_t wh_ntransports;

/** Bytes of the address of one rank: its order of transports, and their addresses side by side. The
 *  same for all ranks, whatever their configuration. */
size_t wh_wire_address_nbytes(void);

/**
 * Opens the transports that config allows. One that cannot be opened here is left out.
 *
 * Memory    env and what it points to are copied. Given back with wh_wire_destroy().
 * Errors    WHORL_E_CONFIG if WHORL_TRANSPORTS names one that does not exist, or none.
 */
WH_MUST_CHECK whorl_result_t wh_wire_create(const struct wh_wire_env *env,
                                            const struct wh_config *config,
                                            struct wh_wire **wire_out);

/** Closes all links and transports. Takes NULL. Not while another rank still connects, unless this
 *  one gives up; comm has a barrier for that. */
void wh_wire_destroy(struct wh_wire *wire);

/** The communicator has failed: wh_wire_destroy() will not wait until messages have left. */
void wh_wire_give_up(struct wh_wire *wire);

/** Writes wh_wire_address_nbytes() bytes. */
void wh_wire_address(struct wh_wire *wire, uint8_t *address);

/**
 * Connects, given the addresses of all ranks in rank order. Once.
 *
 * Blocking  until deadline_ns or until *stop is set (NULL: never). Every rank must come here, each
 *           in a thread of its own.
 * Errors    WHORL_E_TIMEOUT, WHORL_E_ABORTED; WHORL_E_UNSUPPORTED if a peer is out of reach: the
 *           report names the peer and says for every transport why.
 */
WH_MUST_CHECK whorl_result_t wh_wire_connect(struct wh_wire *wire, const uint8_t *addresses,
                                             const _Atomic int32_t *stop, uint64_t deadline_ns);

/** The link, opened on first use; it belongs to the wire. WHORL_E_UNSUPPORTED if nothing reaches
 *  peer, which after wh_wire_connect() can only be this rank itself. */
WH_MUST_CHECK whorl_result_t wh_wire_link(struct wh_wire *wire, uint32_t peer, uint32_t channel,
                                          bool is_send, struct wh_link **link_out);

/** What one link holds: so many messages of so many bytes at most. */
uint32_t wh_wire_nslots(const struct wh_wire *wire);
size_t wh_wire_slot_nbytes(const struct wh_wire *wire);

/** Does the wire reach peer through shared memory or the like, on this host? After connect. */
bool wh_wire_is_local(const struct wh_wire *wire, uint32_t peer);

/** What rings when a link may be ready; NULL if no one bell does: then waits must nap. After
 *  connect; stays the same, and may be rung by any thread until wh_wire_destroy(). */
struct wh_doorbell *wh_wire_bell(struct wh_wire *wire);

/** Does nobody but this process ring that bell? What peers do is then told by wh_wire_wait_fds(). */
bool wh_wire_bell_is_quiet(const struct wh_wire *wire);

/** Maps what the ranks of this host share, if all of them use one transport that has such memory;
 *  WHORL_E_UNSUPPORTED, not reported, if not: all ranks of the host come to the same answer. After
 *  connect, once; gone with the wire. */
WH_MUST_CHECK whorl_result_t wh_wire_region(struct wh_wire *wire, struct wh_region *region_out);

/** Goes on with what is under way in transports that need it; for whoever waits for a link and saw
 *  nothing move. Cheap where no transport needs it. */
WH_MUST_CHECK whorl_result_t wh_wire_progress(struct wh_wire *wire);

/** As wh_wait.fds, for the transports in use: descriptors to sleep on. */
uint32_t wh_wire_wait_fds(struct wh_wire *wire, int *fds_out, uint32_t nfds_max);

/** Bytes that this rank has sent over networks so far; what stays on the host does not count. */
uint64_t wh_wire_sent_nbytes(struct wh_wire *wire);

/** Bytes of memory taken so far, at most. */
uint64_t wh_wire_memory_nbytes(struct wh_wire *wire);

#endif
