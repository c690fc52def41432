/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How ranks find each other, know each other, and talk beside the data.
 *
 * Ranks meet at the root, a thread in the process that made the id. Every connection, to the root
 * and between ranks, starts with a challenge and response in both directions (HMAC-SHA256 over
 * fresh nonces with the job's secret) before anything else is believed. The root tells each rank
 * whom to connect to: rank r connects to r + 1, r + 2, r + 4, ... (mod n), so that an all-gather
 * and a barrier take log2(n) rounds and a rank keeps about 2 log2(n) connections. In a large job
 * the root names only the neighbours, and ranks learn the others from each other.
 *
 * After the join one service thread per process reads all control connections of all communicators.
 * It notices dead peers even while no call is in progress, and passes failures on from rank to
 * rank.
 */
#ifndef WH_BOOTSTRAP_BOOT_H
#define WH_BOOTSTRAP_BOOT_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Makes an id with a random secret and starts its root in this process, on a free port; WHORL_ROOT
 * plays no part. The root ends by itself when all ranks have joined or cannot any more; the one of
 * an id that is never used ends with the process.
 */
WH_MUST_CHECK whorl_result_t wh_boot_id_create(whorl_id_t *id_out);

/**
 * The id of a job whose ranks meet at address ("host:port") with a secret that is any text. The
 * same arguments give the same id. Resolves the host name.
 */
WH_MUST_CHECK whorl_result_t wh_boot_id_from_address(const char *address, const char *secret,
                                                     whorl_id_t *id_out);

/** Starts the root of an id from wh_boot_id_from_address() in this process: rank 0 does. The port
 *  is free again when wh_boot_join() of a rank of this process returns successfully. */
WH_MUST_CHECK whorl_result_t wh_boot_root_start(const whorl_id_t *id);

/** Is id well-formed (magic, version, checksum)? */
bool wh_boot_id_valid(const whorl_id_t *id);

/** This rank's membership in a job. */
struct wh_boot;

enum { WH_STATUS_NBYTES = 512 };

struct wh_boot_join_args {
    const whorl_id_t *id;
    uint32_t nranks, rank;
    uint64_t timeout_ms; /* for the whole join */
    /* Called once, from the service thread, when the job has failed: a rank died, left early or
     * called wh_boot_fail(). rc is WHORL_E_PEER or what the failing rank reported, text the whole
     * story. It can come before wh_boot_join() has returned. May call wh_boot_fail(), not
     * wh_boot_leave(). May be NULL. */
    void (*on_failure)(void *ctx, whorl_result_t rc, const char *text);
    /* Called from the service thread when some rank asks for everyone's status: writes what this
     * rank is doing, WH_STATUS_NBYTES. Any time between the join and wh_boot_leave(); must not
     * wait. NULL: zeros. */
    void (*on_status)(void *ctx, uint8_t status_out[WH_STATUS_NBYTES]);
    void *ctx;
};

/**
 * Joins. Errors as whorl_comm_create(); "12 of 16 ranks joined; missing: 3, 7, 8, 15".
 *
 * Memory    *boot_out is given back with wh_boot_leave().
 * Threads   One thread per rank, also when several ranks of a process join at the same time.
 * Fork      In a child that is forked later the rank does not exist; wh_boot_leave() only frees.
 */
WH_MUST_CHECK whorl_result_t wh_boot_join(const struct wh_boot_join_args *args,
                                          struct wh_boot **boot_out);

/**
 * Every rank brings block_nbytes; blocks has nranks of them, this rank's already in place, and gets
 * all the others'. Collective. At most 64 KiB a block.
 *
 * Errors    WHORL_E_TIMEOUT, WHORL_E_PEER (the job has failed, or a rank left; the text says who),
 *           WHORL_E_MISMATCH (ranks brought different sizes), all reported.
 */
WH_MUST_CHECK whorl_result_t wh_boot_allgather(struct wh_boot *boot, void *blocks,
                                               size_t block_nbytes, uint64_t deadline_ns);

/** Returns when every rank has called it. Collective. */
WH_MUST_CHECK whorl_result_t wh_boot_barrier(struct wh_boot *boot, uint64_t deadline_ns);

/**
 * Tells every rank that the job has failed; their on_failure() gets rc and text. Any thread, does
 * not wait. Only the first failure of a job counts; on_failure() of this rank is not called.
 */
void wh_boot_fail(struct wh_boot *boot, whorl_result_t rc, const char *text);

/**
 * Asks every rank for its status over the control connections; the service threads answer, whatever
 * the ranks themselves are doing, and also after the job has failed. Not collective, any thread but
 * not from on_failure() or on_status(). Returns when all have answered, at the latest at the
 * deadline.
 * Writes nranks * WH_STATUS_NBYTES to statuses (zeros for a rank that did not answer in time) and
 * nranks flags to answered; this rank's own are among them. A stopped or dead rank keeps at most
 * those from answering that are reached through it only; others are asked around it.
 *
 * Errors    WHORL_E_NOMEM, reported. Ranks without an answer are no error.
 */
WH_MUST_CHECK whorl_result_t wh_boot_ask(struct wh_boot *boot, uint8_t *statuses, bool *answered,
                                         uint64_t deadline_ns);

/**
 * Agrees with the other survivors of a job, failed or not, on who is left, and makes an id for them
 * to join: collective over all ranks that are neither dead nor in excluded (nexcluded ranks, the
 * same list on all; may be empty). A rank is dead if its process is; one that does not come within
 * the deadline counts as dead too. alive_out gets nranks flags, the same on all survivors; *id_out
 * the id of the new job, with a root and a secret of its own.
 *
 * Errors    WHORL_E_TIMEOUT, WHORL_E_PEER (this rank was taken for dead, or excluded), reported.
 */
WH_MUST_CHECK whorl_result_t wh_boot_regroup(struct wh_boot *boot, const uint32_t *excluded,
                                             uint32_t nexcluded, bool *alive_out,
                                             whorl_id_t *id_out, uint64_t deadline_ns);

enum { WH_VENUE_NBYTES = 100 };

/**
 * Makes an id for some of the job's ranks, with a secret of its own, and starts its root in this
 * process. What the others need to make the same id is written to venue_out; it holds no secret and
 * may travel in clear. Not collective.
 *
 * Memory    The caller wipes *id_out.
 * Errors    As wh_boot_id_create().
 */
WH_MUST_CHECK whorl_result_t wh_boot_split_create(const struct wh_boot *boot,
                                                  uint8_t venue_out[WH_VENUE_NBYTES],
                                                  whorl_id_t *id_out);

/**
 * The id that wh_boot_split_create() of another rank of the job has made.
 *
 * Memory    The caller wipes *id_out.
 * Errors    WHORL_E_PEER (venue is none), WHORL_E_NOMEM, reported.
 */
WH_MUST_CHECK whorl_result_t wh_boot_split_read(const struct wh_boot *boot,
                                                const uint8_t venue[WH_VENUE_NBYTES],
                                                whorl_id_t *id_out);

/** How many collective operations this rank has started: tells an early leaver from a late one. Any
 *  thread. */
void wh_boot_set_nops(struct wh_boot *boot, uint64_t nops);

/**
 * Leaves in good order and frees boot: peers are told how many operations this rank has started,
 * and a peer that starts more fails with an error that names this rank. on_failure() is not running
 * and not called any more when it returns. Takes NULL. Waits for no peer, but up to 1 s for the
 * kernel to take the last bytes.
 */
void wh_boot_leave(struct wh_boot *boot);

#endif
