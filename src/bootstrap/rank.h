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
#include "bootstrap/regroup.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { WH_EDGES_MAX = 2 * WH_ROUNDS_MAX, WH_NO_EDGE = WH_EDGES_MAX };

/** A rank that is none. */
#define WH_NOBODY UINT32_MAX

struct wh_edge {
    struct wh_conn conn;
    struct wh_member peer;
    bool known;   /* peer is set: it can be dialled */
    bool up;      /* the peer is connected */
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

/** The last request of one asker; see ask.c. */
struct wh_asked {
    uint64_t tag;  /* 0: none yet */
    uint32_t edge; /* over which it came first; WH_NO_EDGE: this rank's own */
    uint32_t next; /* the next asker who waits for this rank's answer */
    bool waits;
    uint64_t waits_tag; /* for which request */
};

struct wh_ask;

struct wh_boot {
    /* Set by wh_boot_join(), read-only after. */
    uint32_t rank, nranks, nrounds;
    struct wh_member self;
    struct wh_trust trust;
    uint8_t *contacts; /* WH_CONTACT_NBYTES for each rank; NULL if it is alone */
    void (*on_failure)(void *ctx, whorl_result_t rc, const char *text);
    void (*on_status)(void *ctx, uint8_t status_out[WH_STATUS_NBYTES]);
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
    struct wh_boot_failure failure;
    bool failed;
    bool told;        /* on_failure() was called, or must not be */
    bool in_callback; /* it, or on_status(), is running */
    bool joined;      /* on_status() may be called */
    uint64_t recheck_at_ns;
    struct wh_asked *asked; /* by asker; NULL until the first asks */
    uint32_t first_waiting; /* asker; WH_NOBODY: none waits */
    struct wh_ask *asks;    /* of this rank, under way */
    uint64_t nasks;
    int listener; /* -1: none; watched while door_watched */
    bool door_watched;
    struct wh_guest **guests; /* by slot; some NULL */
    uint32_t nguest_slots, nstrangers;
    struct wh_regroup regroup;
    pthread_cond_t changed; /* inbox, failure, left, in_callback or asks */

    /* Of the service. */
    bool known; /* to it */
    uint32_t slot;
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
void wh_rank_break(struct wh_boot *boot, const struct wh_boot_failure *failure, uint32_t origin,
                   uint32_t skip);

/** Breaks if this rank has begun more operations than a peer had when it left. */
void wh_rank_check_left(struct wh_boot *boot);

/* What ask.c does with frames ASK and STATUS; false: a rank of this job would not send that. */
bool wh_ask_take(struct wh_boot *boot, uint32_t index, const struct wh_frame *frame);
bool wh_ask_take_status(struct wh_boot *boot, const struct wh_frame *frame);

/** Answers all who wait for this rank's status. */
void wh_ask_answer(struct wh_boot *boot, const uint8_t status[WH_STATUS_NBYTES]);

#endif
