/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a struct wh_boot: one rank, its edges to other ranks, and what came over them.
 *
 * Edges 0..nrounds-1 go out, edge k to rank + 2^k; edges nrounds.. came in, edge nrounds + k from
 * rank - 2^k (mod nranks). Both carry frames both ways.
 *
 * One lock, wh_service_lock(), guards all that changes, for all ranks of the process: this is
 * control traffic, and one lock cannot be taken in the wrong order.
 */
#ifndef WH_BOOTSTRAP_RANK_H
#define WH_BOOTSTRAP_RANK_H

#include "bootstrap/boot.h"
#include "bootstrap/conn.h"
#include "bootstrap/frame.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { WH_EDGES_MAX = 2 * WH_ROUNDS_MAX, WH_NO_EDGE = WH_EDGES_MAX };

struct wh_edge {
    struct wh_conn conn;
    struct wh_member peer;
    bool up;      /* the peer is known and the connection not closed */
    bool left;    /* the peer said BYE */
    bool watched; /* by the service's epoll */
    short events; /* that it is watched for */
    uint64_t left_nops;
};

/** A BLOCK that nobody has asked for yet. */
struct wh_letter {
    struct wh_letter *next;
    uint64_t tag;
    uint32_t round, rank, nbytes;
    uint8_t bytes[];
};

struct wh_boot {
    /* Set by wh_boot_join(), read-only after. */
    uint32_t rank, nranks, nrounds;
    struct wh_member self;
    void (*on_failure)(void *ctx, whorl_result_t rc, const char *text);
    void *ctx;
    int pid; /* of the process that joined: a forked child does not talk */

    /* Any thread. set_nops() stores nops and then reads someone_left, both relaxed; who sets
     * someone_left looks at nops at once and again RECHECK_NS later, so one of the two sees. */
    _Atomic uint64_t nops;
    _Atomic bool someone_left;

    /* Holding wh_service_lock(). */
    struct wh_edge edges[WH_EDGES_MAX];
    struct wh_letter *inbox, **inbox_end;
    uint64_t ncollectives; /* begun by this rank */
    struct wh_failure failure;
    bool failed;
    bool told;        /* on_failure() was called, or must not be */
    bool in_callback; /* it is running */
    uint64_t recheck_at_ns;
    pthread_cond_t changed; /* inbox, failure, left or in_callback */

    /* Of the service. */
    uint64_t key;
    struct wh_boot *next;
};

/** A rank without edges. Freed with wh_rank_destroy(), NULL if there is no memory. */
struct wh_boot *wh_rank_create(const struct wh_boot_join_args *args);

/** Closes all edges and frees. Not while the service knows it. */
void wh_rank_destroy(struct wh_boot *boot);

enum { WH_MEMBER_TEXT_NBYTES = 128 };

/** Writes "rank 3 (host a, pid 123)" and returns text. */
const char *wh_member_print(const struct wh_member *member, char text[WH_MEMBER_TEXT_NBYTES]);

/* All of these: holding the lock. */

/** Takes what has come over an edge, and sends what waits. */
void wh_rank_edge_ready(struct wh_boot *boot, uint32_t index);

/** Queues a frame on an edge; nothing if its peer is gone. */
void wh_rank_post(struct wh_boot *boot, uint32_t index, const struct wh_frame *frame);

/**
 * The job has failed: remembers it if it is the first failure, tells all edges but skip
 * (WH_NO_EDGE: none), wakes whoever waits. origin is the rank where it began.
 */
void wh_rank_break(struct wh_boot *boot, const struct wh_failure *failure, uint32_t origin,
                   uint32_t skip);

/** Breaks if this rank has begun more operations than a peer had when it left. */
void wh_rank_check_left(struct wh_boot *boot);

#endif
