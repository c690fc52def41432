/* SPDX-License-Identifier: Apache-2.0 */
/* Test helper: the ranks of a job as threads of the test, each with what happened to it. */
#ifndef WH_TESTS_CREW_H
#define WH_TESTS_CREW_H

#include "base/clock.h"
#include "base/log.h"
#include "base/macros.h"
#include "bootstrap/boot.h"
#include "bootstrap/conn.h"
#include "bootstrap/ticket.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { CREW_MAX = 320, CREW_TIMEOUT_MS = 30000, CREW_TEXT_NBYTES = 2048 };

struct crew;

struct mate {
    struct crew *crew;
    uint32_t rank, nranks; /* as it will claim */
    uint64_t timeout_ms;
    pthread_t thread;
    struct wh_boot *boot;
    whorl_result_t rc;
    char error[CREW_TEXT_NBYTES]; /* of the join */
    /* What on_failure() said; nfailures is written last. */
    whorl_result_t failure_rc;
    char failure[CREW_TEXT_NBYTES];
    _Atomic uint32_t nfailures;
    _Atomic uint32_t nstatuses; /* how often on_status() was called */
};

struct crew {
    whorl_id_t id;
    uint32_t nmates;
    void (*body)(struct mate *mate); /* between join and leave; may be NULL */
    pthread_barrier_t all;           /* for bodies: all mates that joined */
    struct mate mates[CREW_MAX];
};

static inline void crew_on_failure(void *ctx, whorl_result_t rc, const char *text)
{
    struct mate *mate = ctx;
    mate->failure_rc = rc;
    snprintf(mate->failure, sizeof(mate->failure), "%s", text);
    atomic_fetch_add(&mate->nfailures, 1);
}

/* A status that tells the rank, and how often it was asked. */
static inline void crew_on_status(void *ctx, uint8_t status_out[WH_STATUS_NBYTES])
{
    struct mate *mate = ctx;
    uint32_t n = atomic_fetch_add(&mate->nstatuses, 1) + 1;
    memset(status_out, (int)(0x80 + mate->rank), WH_STATUS_NBYTES);
    memcpy(status_out, &mate->rank, sizeof(mate->rank));
    memcpy(status_out + 4, &n, sizeof(n));
}

static inline void mate_join(struct mate *mate)
{
    const struct wh_boot_join_args args = {
        .id = &mate->crew->id,
        .nranks = mate->nranks,
        .rank = mate->rank,
        .timeout_ms = mate->timeout_ms,
        .on_failure = crew_on_failure,
        .on_status = crew_on_status,
        .ctx = mate,
    };
    mate->rc = wh_boot_join(&args, &mate->boot);
    if (mate->rc != WHORL_OK) {
        snprintf(mate->error, sizeof(mate->error), "%s", wh_error_get());
    }
}

static inline void *mate_run(void *arg)
{
    struct mate *mate = arg;
    mate_join(mate);
    if (mate->rc == WHORL_OK) {
        if (mate->crew->body != NULL) {
            mate->crew->body(mate);
        }
        wh_boot_leave(mate->boot);
        mate->boot = NULL;
    }
    return NULL;
}

/* A crew of nmates ranks that do body; with an id of its own, whose root runs. */
static inline struct crew *crew_create(uint32_t nmates, void (*body)(struct mate *mate))
{
    struct crew *crew = calloc(1, sizeof(*crew));
    cr_assert_not_null(crew);
    cr_assert_leq(nmates, CREW_MAX);
    cr_assert_eq(wh_boot_id_create(&crew->id), WHORL_OK, "%s", wh_error_get());
    crew->nmates = nmates;
    crew->body = body;
    pthread_barrier_init(&crew->all, NULL, nmates);
    for (uint32_t i = 0; i < nmates; i++) {
        crew->mates[i].crew = crew;
        crew->mates[i].rank = i;
        crew->mates[i].nranks = nmates;
        crew->mates[i].timeout_ms = CREW_TIMEOUT_MS;
    }
    return crew;
}

static inline void crew_start(struct crew *crew)
{
    for (uint32_t i = 0; i < crew->nmates; i++) {
        cr_assert_eq(pthread_create(&crew->mates[i].thread, NULL, mate_run, &crew->mates[i]), 0);
    }
}

static inline void crew_wait(struct crew *crew)
{
    for (uint32_t i = 0; i < crew->nmates; i++) {
        pthread_join(crew->mates[i].thread, NULL);
    }
}

static inline void crew_destroy(struct crew *crew)
{
    pthread_barrier_destroy(&crew->all);
    free(crew);
}

/* All of it, and every join must succeed. */
static inline void crew_sail(uint32_t nmates, void (*body)(struct mate *mate))
{
    struct crew *crew = crew_create(nmates, body);
    crew_start(crew);
    crew_wait(crew);
    for (uint32_t i = 0; i < nmates; i++) {
        cr_assert_eq(crew->mates[i].rc, WHORL_OK, "rank %u of %u: %s", i, nmates,
                     crew->mates[i].error);
        cr_assert_eq(crew->mates[i].nfailures, 0, "rank %u: %s", i, crew->mates[i].failure);
    }
    crew_destroy(crew);
}

static inline uint64_t crew_soon(void)
{
    return wh_deadline_after_ms(CREW_TIMEOUT_MS);
}

/* glibc gives the stacks of threads that a fork left behind to new threads, which then have the ids
 * of threads that ThreadSanitizer takes to be alive. Stacks of another size are new ones. */
static inline void crew_use_new_stacks(void)
{
#ifdef __SANITIZE_THREAD__
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, (size_t)32 << 20);
    pthread_setattr_default_np(&attr);
    pthread_attr_destroy(&attr);
#endif
}

/*
 * Forks a process for every mate and lets all begin at once; each runs child, which does not
 * return.
 *
 * An allocator, AddressSanitizer's for one, need not survive a fork while another thread is inside
 * it. The root is a thread of the parent, so no rank begins before all are forked; Criterion has a
 * thread that carries assertions, so there is none in between, and none in the children.
 */
static inline void crew_fork(struct crew *crew, pid_t pids_out[], void (*child)(struct mate *mate))
{
    int gate[2];
    cr_assert_eq(pipe(gate), 0);
    usleep(50 * 1000);
    for (uint32_t i = 0; i < crew->nmates; i++) {
        pids_out[i] = fork();
        if (pids_out[i] == 0) {
            char byte;
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            crew_use_new_stacks();
            close(gate[1]);
            (void)!read(gate[0], &byte, 1);
            close(gate[0]);
            child(&crew->mates[i]);
            _exit(99);
        }
    }
    close(gate[0]);
    close(gate[1]);
}

/* Waits until on_failure() of mate has run; false if it never does. No assertion: Criterion's do
 * not work in a process that a test has forked. */
static inline bool mate_await_failure(struct mate *mate)
{
    uint64_t deadline_ns = crew_soon();
    while (atomic_load(&mate->nfailures) == 0) {
        if (wh_now_ns() >= deadline_ns) {
            return false;
        }
        const struct timespec nap = {.tv_nsec = 1000000};
        nanosleep(&nap, NULL);
    }
    return true;
}

/* The root's address as the machine itself reaches it: the last one is loopback. */
static inline struct wh_addr crew_root_addr(const whorl_id_t *id)
{
    struct wh_ticket ticket;
    cr_assert(wh_ticket_decode(id, &ticket));
    return ticket.addrs[ticket.naddrs - 1];
}

#endif
