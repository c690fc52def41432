/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a function as the ranks of a job, and tells what became of each.
 *
 * A job is nprocesses processes of nthreads threads each; every thread is a rank. The processes are
 * forked from the test, so that nothing of the library has run in them and each job has an
 * environment of its own. Rank 0 makes the id and hands it on through memory that all share.
 *
 * Ranks report through that memory. RANK_CHECK() and its kin end the rank's process when they fail;
 * ranks_run() then fails the test with what every rank had to say. A rank that is still running
 * after WHORL_TESTS_LIMIT_S seconds (RANKS_LIMIT_S if not set) is killed, and the test fails with
 * its name and what it was doing.
 */
#ifndef WH_TESTS_HARNESS_RANKS_H
#define WH_TESTS_HARNESS_RANKS_H

#include <whorl/whorl.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RANKS_MAX = 64, RANKS_TEXT_NBYTES = 2048, RANKS_CELLS = 256, RANKS_LIMIT_S = 120 };

/** 1 in builds with a sanitizer that makes them slow: tests do less there. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { RANKS_SLOW_BUILD = 1 };
#else
enum { RANKS_SLOW_BUILD = 0 };
#endif

struct rank;
struct ranks_shared;

struct ranks_job {
    int nprocesses, nthreads; /* 0 means 1; ranks are their product, at most RANKS_MAX */
    void (*run)(struct rank *rank);
    const void *arg;        /* for run */
    const char *const *env; /* NAME=VALUE, NULL at the end; set in every process; may be NULL */
    bool no_comm;           /* run makes its communicator itself */
    void (*enter)(struct rank *rank); /* in every process before its threads; may be NULL */
    uint64_t may_die;                 /* a bit per process whose death by a signal is no failure */
    whorl_options_t options;
};

/** One rank, as its own thread sees it. */
struct rank {
    int rank, nranks;
    int process, thread;
    whorl_comm_t comm; /* destroyed after run, unless run made it NULL */
    const void *arg;
    const struct ranks_job *job;
    struct ranks_shared *shared;
};

/** Runs a job and waits for it. Fails the test if a rank failed. */
void ranks_run(const struct ranks_job *job);

/** The id of the job; the first call of rank 0 makes it, the others wait for that. */
whorl_id_t rank_job_id(struct rank *rank);

/** Makes rank->comm as the job says; done before run() unless no_comm. */
void rank_create_comm(struct rank *rank);

/** Waits until every rank of the job has come here as often as this one; not through the library.
 * */
void rank_meet(struct rank *rank);

/** Shared numbers for the test's own use, zero at the start; the index is 0 to RANKS_CELLS - 1. */
_Atomic int64_t *rank_cell(struct rank *rank, int index);

/** Sleeps until the cell is at least value. */
void rank_wait_cell(struct rank *rank, int index, int64_t value);

/** Says what this rank is doing, for the message if it does not end. */
void rank_at(struct rank *rank, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Waits until rank->comm has failed, without a call that could fail itself; returns with what. */
whorl_result_t rank_await_failure(struct rank *rank);

/** A millisecond's nap, for loops that wait for something outside the library. */
void rank_nap(void);

/** CLOCK_MONOTONIC in milliseconds. */
int64_t rank_now_ms(void);

_Noreturn void rank_fail(struct rank *rank, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/** Fails the rank unless got is want; call is the text of what was called. */
void rank_expect(struct rank *rank, const char *file, int line, const char *call,
                 whorl_result_t got, whorl_result_t want);

/** Fails the rank unless text contains part. */
void rank_expect_text(struct rank *rank, const char *file, int line, const char *text,
                      const char *part);

/** RANK_CHECK(rank, condition, "what %s is wrong", ...) */
#define RANK_CHECK(rank, condition, ...) \
    ((condition) ? (void)0 : rank_fail((rank), __FILE__, __LINE__, __VA_ARGS__))
#define RANK_EXPECT(rank, want, call) rank_expect((rank), __FILE__, __LINE__, #call, (call), (want))
#define RANK_OK(rank, call)           RANK_EXPECT(rank, WHORL_OK, call)
#define RANK_TEXT(rank, text, part)   rank_expect_text((rank), __FILE__, __LINE__, (text), (part))

/** What /proc says about this process. */
int rank_count_fds(void);
int rank_count_threads(void);
int rank_count_maps(void);

/** A figure of /proc/self/smaps_rollup in KiB ("Pss", "Private_Dirty"); -1 if there is none. */
long rank_smaps_kib(const char *name);

/** A TCP port that is free and whose next one is; not one that connections get by themselves. */
int ranks_free_port(void);

/** Seed of randomized tests: WHORL_TESTS_SEED, else a fixed one. Printed by who uses it. */
uint64_t ranks_seed(void);

/** A fixed sequence of random bits; *state is where it stands. */
uint64_t ranks_random(uint64_t *state);

#endif
