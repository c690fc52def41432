/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks for the tests of transports: threads or forked processes that have opened and connected a
 * wire each and run the same function.
 */
#ifndef WH_TESTS_WIRE_WORLD_H
#define WH_TESTS_WIRE_WORLD_H

#include "conformance/wire_suite.h"

enum { WORLD_RANKS_MAX = 16 };

struct world_board; /* what the ranks share beside the transport */

/** One rank's view. */
struct world_rank {
    struct wh_wire_env env;
    uint64_t host_keys[WORLD_RANKS_MAX], process_keys[WORLD_RANKS_MAX];
    struct wh_transport_wire *wire;
    struct wh_doorbell *bell;
    struct world_board *board;
    bool is_connected;
    uint32_t variant; /* of the spec */
    /* NULL, or what else goes on while this rank waits: all that shares its thread. */
    void (*help)(void *ctx);
    void *help_ctx;
};

struct world_spec {
    const struct whorl_transport_ops *ops;
    enum wire_ranks ranks;
    uint32_t nranks, nchannels, nslots;
    size_t slot_nbytes;
    bool is_apart;                          /* all host and process keys differ */
    uint32_t variant;                       /* for run */
    void (*alter)(struct world_rank *rank); /* NULL, or changes env before open */
    void (*run)(struct world_rank *rank);   /* may close the wire: then sets it to NULL */
};

/** Two ranks, one channel, four slots of 4096 bytes. */
struct world_spec world_spec_of(const struct whorl_transport_ops *ops, enum wire_ranks ranks,
                                void (*run)(struct world_rank *rank));

/** Runs all ranks; a failed REQUIRE of any fails the test. */
void world_run(const struct world_spec *spec);

/** Waits until all ranks are here; goes on with this rank's wire meanwhile. */
void world_barrier(struct world_rank *rank);

/** Does this transport bring a message to its receiver at once, and count what is under way? Else
 *  it needs progress(), and more than nslots messages may be on their way. */
bool world_is_at_once(const struct world_rank *rank);

/** Tells all ranks a number; they have it after the next barrier. */
void world_note(struct world_rank *rank, uint64_t value);
uint64_t world_note_of(const struct world_rank *rank, uint32_t peer);
void world_wait_note(struct world_rank *rank, uint32_t peer, uint64_t value);

/** A condition of the test, on any rank. A rank that misses one ends there. */
void world_require(struct world_rank *rank, bool holds, const char *condition, const char *file,
                   int line);
#define REQUIRE(rank, condition) world_require(rank, condition, #condition, __FILE__, __LINE__)

/** Goes on with what is under way on this rank's wire, if it needs that. */
whorl_result_t world_progress(struct world_rank *rank);

/** A link over the rank's wire; closed by the test, or with world_close(). */
struct wh_link *world_link(struct world_rank *rank, uint32_t peer, uint32_t channel, bool is_send);

/** Waits for a free slot and sends a message whose head and data follow from seed and nbytes. */
void world_send(struct world_rank *rank, struct wh_link *link, uint64_t seed, size_t nbytes);
/** Waits for a message, and requires that it is the one that world_send() sends. */
void world_recv(struct world_rank *rank, struct wh_link *link, uint64_t seed, size_t nbytes);

/** Waits for a message: where it is. */
struct wh_slot world_poll(struct world_rank *rank, struct wh_link *link);

/** As world_send(), from memory of nbytes that it fills, and spoils when it was sent. */
void world_send_from(struct world_rank *rank, struct wh_link *link, uint64_t seed,
                     void *memory, size_t nbytes);
/** As world_poll(), with memory that a message of nbytes may be put to. */
struct wh_slot world_recv_into(struct world_rank *rank, struct wh_link *link,
                               void *memory, size_t nbytes);
/** Waits until all that was posted is out of this rank's hands. */
void world_flush(struct world_rank *rank, struct wh_link *link);

/** The same for a slot in hand. */
void world_fill(const struct wh_slot *slot, uint64_t seed, size_t nbytes);
bool world_is_filled(const struct wh_slot *slot, uint64_t seed, size_t nbytes);

/** A run of the suite for other specs: two channels, and slots of 64 bytes or more. */
void wire_run_all_to_all(struct world_rank *rank);

/** Two wires of one thread: opened, connected if that works at all. Stays where it is. While one
 *  rank waits, the other one's wire goes on. */
struct world_pair {
    struct world_rank ranks[2];
    uint8_t addresses[2][WH_ADDRESS_NBYTES_MAX];
};
void world_pair_open(const struct world_spec *spec, struct world_pair *pair);
/** Connects both in turns with their own addresses; at most npolls turns. */
whorl_result_t world_pair_connect(struct world_pair *pair, uint32_t npolls);
/** The same with the addresses that are given: 2 * WH_ADDRESS_NBYTES_MAX bytes that stay. */
whorl_result_t world_pair_connect_to(struct world_pair *pair, const uint8_t *addresses,
                                     uint32_t npolls);
void world_pair_close(struct world_pair *pair);

#endif
