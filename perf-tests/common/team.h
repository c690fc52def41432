/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A team is a thread and the ranks that it drives. Calls for several ranks go into one group.
 *
 * Two communicators: `world` holds all ranks of the run and carries barriers, times and counts;
 * `comm` is what is measured, and is the same unless processes are coloured into groups.
 *
 * What teams tell each other goes through whorl_all_gather() on `world`, never through a reduction:
 * a library that reduces wrongly must not be able to hide its wrong results. Receive buffers are
 * filled with 0xff first, so a gather that delivers nothing is noticed too.
 */
#ifndef PERF_COMMON_TEAM_H
#define PERF_COMMON_TEAM_H

#include "common/args.h"
#include "common/launch.h"
#include "common/report.h"
#include "perf.h"

#include <pthread.h>

/** One rank. */
struct perf_rank {
    int world_rank;
    whorl_comm_t world, comm;
    int rank, nranks;          /**< in comm */
    char *mapped[2];           /**< send buffer, receive buffer; see buffers.h */
    int memfds[2];             /**< the file behind each that is mapped, if memory is registered */
    size_t buffer_nbytes;      /**< bytes mapped for each of the two */
    struct perf_blocks blocks; /**< of the size that is measured, if the collective has blocks() */
    whorl_redop_t mulsum;      /**< while a mulsum is measured */
};

/** One thread. Only that thread touches it, but for status, read after the thread has ended. */
struct perf_team {
    const struct perf_args *args;
    const struct perf_coll *coll;
    struct perf_world *world;
    int index;  /**< of this thread in its process */
    int number; /**< of this thread among those of all processes */
    int nranks;
    struct perf_rank *ranks;
    int nteams; /**< threads in all processes */
    int color;
    int nroots;                 /**< ranks of the smallest group: roots that all groups have */
    bool is_one_host;           /**< all teams have the same clock */
    size_t max_nbytes;          /**< args->max_nbytes, or less if memory is short */
    struct perf_report *report; /**< where to tell results; NULL but for the first thread of all */
    uint32_t seed;              /**< of the next checked iteration; the same in all teams */
    uint64_t nwrong;            /**< wrong elements so far, on all ranks */
    int status;
    pthread_t thread;
};

/** Joins all communicators of nteams teams of this process in one group. */
int perf_teams_connect(struct perf_team *teams, int nteams);

/** Colours processes: makes comm, rank and nranks of the team's ranks. */
int perf_team_split(struct perf_team *team);

/** Leaves all communicators; when the run went well after waiting for everybody. */
void perf_team_disconnect(struct perf_team *team);

/** Breaks all communicators, so that nobody waits for this team any more. */
void perf_team_abort(struct perf_team *team);

/** Returns when all ranks of the run are here. */
int perf_team_barrier(struct perf_team *team);

/**
 * Gives everybody a record of nbytes from every team: all_out[k] is that of team k, in the order of
 * ranks; all_out holds nteams records. A record must not be all 0xff bytes.
 */
int perf_team_gather(struct perf_team *team, const void *record, size_t nbytes, void *all_out);

#endif
