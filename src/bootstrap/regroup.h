/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Survivors of a job find each other again, over connections of their own: the mesh may be broken.
 *
 * Every rank learns the contact addresses of all others when it joins, and its listener stays open
 * until it leaves; the service thread (door.c) answers there, whatever the rank itself is doing. A
 * regroup is led by one survivor, who counts the others in and tells all the verdict. Who leads is
 * found by these rules, in which only ranks that are not excluded occur:
 *
 *  1  A rank asks the lower ranks, the lowest first, whether it may follow (COME). One whose
 *     process is gone refuses the connection, and the next is asked; so is the next when one does
 *     not answer for a while, or says WAIT (it lives, but has not called wh_boot_regroup()) for
 *     half of the time there is.
 *  2  A rank that finds no lower one leads. It answers COME with HELD, and counts in who answers
 *     that with HELD: it may have been stopped, and those who came may have gone elsewhere. It
 *     looks (SEEK) for those who have not come: who refuses the connection is dead; who lives is
 *     awaited to the deadline. If it finds itself beyond the deadline it has failed.
 *  3  A rank that follows answers COME and SEEK with whom it follows (LED), and who hears that goes
 *     there, if that is a lower rank than its own or it leads nobody.
 *  4  A leader that is looked for by a lower leader gives up: it sends its followers to that one
 *     (LED), and comes itself.
 *  5  When everyone has come or is dead, or at the deadline, the leader tells all followers the
 *     verdict (RESULT). It cannot be changed any more: who comes later is told (OVER) that it was
 *     taken for dead. So of two leaders who do not know of each other one ends with an error, and
 *     not with a job of its own, unless the network is cut in two between them for all that time.
 *
 * Regroups are numbered by each rank, from 1 (epoch); who is behind or ahead is told to wait or
 * that it is over.
 */
#ifndef WH_BOOTSTRAP_REGROUP_H
#define WH_BOOTSTRAP_REGROUP_H

#include "base/macros.h"
#include "bootstrap/conn.h"
#include "bootstrap/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wh_boot;

enum { WH_CONTACT_NADDRS = 2, WH_CONTACT_NBYTES = 2 + 16 * WH_CONTACT_NADDRS };

enum wh_regroup_phase {
    WH_REGROUP_IDLE,
    WH_REGROUP_SEEKS,
    WH_REGROUP_LEADS,
    WH_REGROUP_FOLLOWS,
    WH_REGROUP_OVER
};

/** What a rank that regroups knows about another. */
enum wh_survivor { WH_SURVIVOR_UNKNOWN, WH_SURVIVOR_EXCLUDED, WH_SURVIVOR_DEAD, WH_SURVIVOR_HELD };

/** Who knocked at the door of a rank. */
struct wh_guest {
    struct wh_conn conn;
    uint64_t deadline_ns; /* until it has said who it is */
    uint32_t rank;        /* WH_NOBODY until then */
    uint64_t epoch, digest;
    bool seeks;   /* SEEK, not COME */
    bool offered; /* this rank leads and has said HELD */
    bool held;    /* and the guest too: it is counted in */
    bool told_to_wait;
    short events; /* that its socket is watched for */
};

/** The regroup of a rank; holding wh_service_lock(). */
struct wh_regroup {
    uint64_t epoch; /* 0: none yet */
    enum wh_regroup_phase phase;
    uint32_t leader;   /* in FOLLOWS */
    uint32_t lower;    /* a lower rank that leads; WH_NOBODY: none is known */
    uint64_t digest;   /* of the list of excluded ranks */
    uint64_t close_ns; /* in LEADS: when the earliest follower wants the verdict */
    uint8_t *states;   /* enum wh_survivor of each rank */
    uint8_t *verdict;  /* in OVER; NULL: this rank has none */
    int bell;          /* an eventfd that wakes the regrouping thread; -1: none */
};

/* The door, holding the lock. */

/** Somebody knocks. */
void wh_door_knock(struct wh_boot *boot);

/** Something has come from a guest, or can go to it. */
void wh_door_guest_ready(struct wh_boot *boot, uint32_t slot);

/** Tells the guests what follows for them from a new phase. */
void wh_door_announce(struct wh_boot *boot);

/** Drops who is silent too long; opens a door that was shut for want of room. Returns when to call
 *  again. */
uint64_t wh_door_recheck(struct wh_boot *boot);

/** Closes everything. */
void wh_door_close(struct wh_boot *boot);

/** Writes where this rank can be found, which all others learn. */
void wh_contact_encode(const struct wh_boot *boot, uint8_t out[WH_CONTACT_NBYTES]);

/** Writes at most WH_CONTACT_NADDRS addresses of rank; returns how many. */
uint32_t wh_contact_addrs(const struct wh_boot *boot, uint32_t rank,
                          struct wh_addr addrs_out[WH_CONTACT_NADDRS]);

/** The payload of COME and SEEK. */
struct wh_come {
    uint64_t digest;
    uint32_t left_ms; /* until the sender's deadline */
    uint32_t to;      /* the rank that is meant */
};

void wh_come_encode(const struct wh_come *come, uint8_t out[WH_COME_NBYTES]);
void wh_come_decode(const uint8_t in[WH_COME_NBYTES], struct wh_come *come_out);

#endif
