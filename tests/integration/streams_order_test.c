/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many streams and communicators at once, and every rank makes its calls in another order.
 *
 * A program is a list of items: a call, a group of two calls, or one stream that waits for another
 * by an event. Items that share a stream or a communicator keep the order of the list on every
 * rank; in which order a rank comes to the others is drawn by lot. No such order may end in a
 * deadlock, every call must give its result, and each stream must run its items in the order in
 * which the rank came to them.
 */
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { NCOMMS = 4, NSTREAMS_MAX = 16, NITEMS = 120, COUNT_MAX = 30000 };

struct item {
    int ncalls; /* 0: streams[0] waits for streams[1] */
    int comms[2], streams[2];
    bool broadcasts[2];
    size_t counts[2];
};

struct program {
    int nstreams;
    struct item items[NITEMS];
};

/* One rank at work on a program. */
struct player {
    const struct program *program;
    whorl_comm_t comms[NCOMMS]; /* NULL: the rank is not in it */
    whorl_stream_t streams[NSTREAMS_MAX];
    whorl_event_t event;
    uint64_t random;
    bool is_issued[NITEMS];
    int nissued;
    int32_t *buffers[NITEMS][2];
    int issued[NSTREAMS_MAX][NITEMS], nissued_to[NSTREAMS_MAX];
    int ran[NSTREAMS_MAX][NITEMS], nran[NSTREAMS_MAX]; /* written by the stream's thread */
    int nfailed[NSTREAMS_MAX];
};

/* For callbacks. */
struct footprint {
    struct player *player;
    int item, stream;
};

static void write_program(struct program *program, int nstreams, uint64_t seed)
{
    memset(program, 0, sizeof(*program));
    program->nstreams = nstreams;
    for (int i = 0; i < NITEMS; i++) {
        struct item *item = &program->items[i];
        uint64_t kind = ranks_random(&seed) % 8;
        item->ncalls = kind == 0 ? 0 : kind == 1 ? 2 : 1;
        for (int k = 0; k < 2; k++) {
            item->comms[k] = (int)(ranks_random(&seed) % NCOMMS);
            item->streams[k] = (int)(ranks_random(&seed) % (uint64_t)nstreams);
            item->broadcasts[k] = ranks_random(&seed) % 3 == 0;
            bool is_small = ranks_random(&seed) % 2 == 0;
            item->counts[k] = 1 + ranks_random(&seed) % (is_small ? 16 : COUNT_MAX);
        }
    }
}

/* Streams and communicators that an item takes, a bit each. */
static uint64_t resources_of(const struct item *item)
{
    uint64_t bits = 0;
    for (int k = 0; k < (item->ncalls == 1 ? 1 : 2); k++) {
        bits |= UINT64_C(1) << item->streams[k];
        bits |= item->ncalls > 0 ? UINT64_C(1) << (NSTREAMS_MAX + item->comms[k]) : 0;
    }
    return bits;
}

/* An item, drawn from those that need not come after another one that is left. */
static int draw_item(struct player *p)
{
    int free_items[NITEMS], nfree = 0;
    uint64_t taken = 0;
    for (int i = 0; i < NITEMS; i++) {
        if (!p->is_issued[i]) {
            uint64_t needed = resources_of(&p->program->items[i]);
            if ((needed & taken) == 0) {
                free_items[nfree++] = i;
            }
            taken |= needed;
        }
    }
    return free_items[ranks_random(&p->random) % (uint64_t)nfree];
}

static void leave_footprint(whorl_result_t rc, void *ctx)
{
    struct footprint *f = ctx;
    struct player *p = f->player;
    p->ran[f->stream][p->nran[f->stream]++] = f->item;
    p->nfailed[f->stream] += rc != WHORL_OK;
    free(f);
}

static void issue_call(struct rank *rank, struct player *p, int i, int k)
{
    const struct item *item = &p->program->items[i];
    whorl_comm_t comm = p->comms[item->comms[k]];
    if (comm == NULL) {
        return;
    }
    int place, n;
    RANK_OK(rank, whorl_comm_rank(comm, &place));
    RANK_OK(rank, whorl_comm_size(comm, &n));
    int32_t *x = malloc(item->counts[k] * sizeof(*x));
    RANK_CHECK(rank, x != NULL, "no memory");
    for (size_t e = 0; e < item->counts[k]; e++) {
        x[e] = (int32_t)e + 1000 * i + place;
    }
    p->buffers[i][k] = x;
    whorl_stream_t stream = p->streams[item->streams[k]];
    if (item->broadcasts[k]) {
        RANK_OK(rank, whorl_broadcast(x, x, item->counts[k], WHORL_INT32, i % n, comm, stream));
    } else {
        RANK_OK(rank,
                whorl_all_reduce(x, x, item->counts[k], WHORL_INT32, WHORL_SUM, comm, stream));
    }
}

static void issue_item(struct rank *rank, struct player *p)
{
    int i = draw_item(p);
    const struct item *item = &p->program->items[i];
    rank_at(rank, "issues item %d as number %d", i, p->nissued);
    p->is_issued[i] = true;
    p->nissued++;
    if (item->ncalls == 0) {
        RANK_OK(rank, whorl_event_record(p->event, p->streams[item->streams[1]]));
        RANK_OK(rank, whorl_stream_wait_event(p->streams[item->streams[0]], p->event));
        return;
    }
    if (item->ncalls == 2) {
        RANK_OK(rank, whorl_group_start());
    }
    for (int k = 0; k < item->ncalls; k++) {
        issue_call(rank, p, i, k);
    }
    if (item->ncalls == 2) {
        RANK_OK(rank, whorl_group_end());
    }
    for (int k = 0; k < item->ncalls; k++) {
        int s = item->streams[k];
        if (p->buffers[i][k] == NULL ||
            (k == 1 && p->buffers[i][0] != NULL && s == item->streams[0])) {
            continue;
        }
        struct footprint *f = malloc(sizeof(*f));
        RANK_CHECK(rank, f != NULL, "no memory");
        *f = (struct footprint){p, i, s};
        p->issued[s][p->nissued_to[s]++] = i;
        RANK_OK(rank, whorl_stream_callback(p->streams[s], leave_footprint, f));
    }
}

static void check_result(struct rank *rank, const struct player *p, int i, int k)
{
    const struct item *item = &p->program->items[i];
    const int32_t *x = p->buffers[i][k];
    if (x == NULL) {
        return;
    }
    int n;
    RANK_OK(rank, whorl_comm_size(p->comms[item->comms[k]], &n));
    for (size_t e = 0; e < item->counts[k]; e++) {
        int32_t base = (int32_t)e + 1000 * i;
        int32_t want = item->broadcasts[k] ? base + i % n : n * base + n * (n - 1) / 2;
        RANK_CHECK(rank, x[e] == want, "item %d, call %d, element %zu: %d is not %d", i, k, e, x[e],
                   want);
    }
}

static void open_player(struct rank *rank, struct player *p, const struct program *program,
                        uint64_t seed)
{
    p->program = program;
    p->random = seed;
    RANK_OK(rank, whorl_event_create(&p->event));
    for (int s = 0; s < program->nstreams; s++) {
        RANK_OK(rank, whorl_stream_create(&p->streams[s]));
    }
}

/* Waits for the end, checks everything, and frees what open_player() made. */
static void close_player(struct rank *rank, struct player *p)
{
    for (int s = 0; s < p->program->nstreams; s++) {
        rank_at(rank, "waits for stream %d of %d", s, p->program->nstreams);
        RANK_OK(rank, whorl_stream_synchronize(p->streams[s]));
        RANK_OK(rank, whorl_stream_destroy(p->streams[s]));
        RANK_CHECK(rank, p->nfailed[s] == 0, "%d callbacks were told errors", p->nfailed[s]);
        RANK_CHECK(rank, p->nran[s] == p->nissued_to[s], "stream %d ran %d of %d", s, p->nran[s],
                   p->nissued_to[s]);
        for (int i = 0; i < p->nran[s]; i++) {
            RANK_CHECK(rank, p->ran[s][i] == p->issued[s][i], "stream %d ran item %d, not %d", s,
                       p->ran[s][i], p->issued[s][i]);
        }
    }
    RANK_OK(rank, whorl_event_destroy(p->event));
    for (int i = 0; i < NITEMS; i++) {
        for (int k = 0; k < 2; k++) {
            check_result(rank, p, i, k);
            free(p->buffers[i][k]);
        }
    }
}

struct storm {
    int nstreams, nprograms;
};

/* All ranks twice, even and odd ranks, and all but rank 0. */
static void split_comms(struct rank *rank, whorl_comm_t comms[NCOMMS])
{
    const int colors[NCOMMS] = {0, 0, rank->rank % 2, rank->rank == 0 ? WHORL_SPLIT_NOCOLOR : 0};
    for (int c = 0; c < NCOMMS; c++) {
        RANK_OK(rank, whorl_comm_split(rank->comm, colors[c], rank->rank, NULL, &comms[c]));
    }
}

static void play_storm(struct rank *rank)
{
    const struct storm *storm = rank->arg;
    uint64_t seed = ranks_seed(), own = seed * 31 + (uint64_t)rank->rank;
    struct program *program = malloc(sizeof(*program));
    whorl_comm_t comms[NCOMMS] = {NULL};
    RANK_CHECK(rank, program != NULL, "no memory");
    split_comms(rank, comms);
    int nprograms = RANKS_SLOW_BUILD ? (storm->nprograms + 3) / 4 : storm->nprograms;
    for (int i = 0; i < nprograms; i++) {
        struct player *p = calloc(1, sizeof(*p));
        RANK_CHECK(rank, p != NULL, "no memory");
        write_program(program, storm->nstreams, ranks_random(&seed));
        memcpy(p->comms, comms, sizeof(comms));
        open_player(rank, p, program, ranks_random(&own));
        while (p->nissued < NITEMS) {
            issue_item(rank, p);
            if (ranks_random(&own) % 4 == 0) {
                sched_yield(); /* so that not every rank issues everything at once */
            }
        }
        close_player(rank, p);
        free(p);
    }
    for (int c = 0; c < NCOMMS; c++) {
        RANK_OK(rank, whorl_comm_destroy(comms[c]));
    }
    free(program);
}

Test(streams_order, of_forked_ranks_may_be_any)
{
    static const struct storm storm = {.nstreams = 5, .nprograms = 12};
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = play_storm, .arg = &storm});
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = play_storm, .arg = &storm});
}

Test(streams_order, of_ranks_that_are_threads_may_be_any)
{
    static const struct storm storm = {.nstreams = 5, .nprograms = 12};
    ranks_run(&(struct ranks_job){.nthreads = 3, .run = play_storm, .arg = &storm});
    ranks_run(
        &(struct ranks_job){.nprocesses = 2, .nthreads = 2, .run = play_storm, .arg = &storm});
}

Test(streams_order, may_be_any_with_many_more_streams_than_cores)
{
    static const struct storm storm = {.nstreams = NSTREAMS_MAX, .nprograms = 6};
    ranks_run(&(struct ranks_job){.nprocesses = 4, .run = play_storm, .arg = &storm});
    ranks_run(&(struct ranks_job){.nthreads = 4, .run = play_storm, .arg = &storm});
}

/* Without sleeping streams every call would wait for its own end, and the ranks for each other. */
static void cross(struct rank *rank)
{
    whorl_comm_t comms[2];
    whorl_stream_t streams[2];
    int64_t x[2] = {1, 1};
    for (int i = 0; i < 2; i++) {
        RANK_OK(rank, whorl_comm_split(rank->comm, 0, rank->rank, NULL, &comms[i]));
        RANK_OK(rank, whorl_stream_create(&streams[i]));
    }
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 2; i++) {
            int c = (i + rank->rank) % 2;
            RANK_OK(rank, whorl_all_reduce(&x[c], &x[c], 1, WHORL_INT64, WHORL_SUM, comms[c],
                                           streams[c]));
        }
    }
    for (int i = 0; i < 2; i++) {
        RANK_OK(rank, whorl_stream_synchronize(streams[(i + rank->rank) % 2]));
    }
    for (int i = 0; i < 2; i++) {
        RANK_CHECK(rank, x[i] == 1 << 20, "%lld", (long long)x[i]);
        RANK_OK(rank, whorl_stream_destroy(streams[i]));
        RANK_OK(rank, whorl_comm_destroy(comms[i]));
    }
}

Test(streams_order, of_two_communicators_may_be_opposite)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = cross});
    ranks_run(&(struct ranks_job){.nthreads = 2, .run = cross});
}

/* One thread makes the calls of three ranks, each on streams of its own, without a group around
 * them. */
static void drive_three(struct rank *rank)
{
    enum { NDRIVEN = 3 };
    uint64_t seed = ranks_seed();
    struct program *program = malloc(sizeof(*program));
    struct player *players = calloc(NDRIVEN, sizeof(*players));
    RANK_CHECK(rank, program != NULL && players != NULL, "no memory");
    write_program(program, 4, seed);
    for (int c = 0; c < NCOMMS; c++) {
        whorl_comm_t comms[NDRIVEN];
        RANK_OK(rank, whorl_comm_create_local(NDRIVEN, NULL, comms));
        for (int r = 0; r < NDRIVEN; r++) {
            players[r].comms[c] = comms[r];
        }
    }
    for (int r = 0; r < NDRIVEN; r++) {
        open_player(rank, &players[r], program, seed + (uint64_t)r);
    }
    for (int nleft = NDRIVEN * NITEMS; nleft > 0;) {
        struct player *p = &players[ranks_random(&seed) % NDRIVEN];
        if (p->nissued < NITEMS) {
            issue_item(rank, p);
            nleft--;
        }
    }
    for (int r = 0; r < NDRIVEN; r++) {
        close_player(rank, &players[r]);
    }
    for (int c = 0; c < NCOMMS; c++) {
        for (int r = 0; r < NDRIVEN; r++) {
            RANK_OK(rank, whorl_comm_destroy(players[r].comms[c]));
        }
    }
    free(players);
    free(program);
}

Test(streams_order, of_ranks_that_one_thread_drives_may_be_any)
{
    ranks_run(&(struct ranks_job){.run = drive_three, .no_comm = true});
}

/* What a thread of one rank does, beside others with the same two streams. */
struct feeder {
    struct rank *rank;
    whorl_stream_t streams[2];
    pthread_t thread;
    bool with_events;
};

static void *feed(void *arg)
{
    struct feeder *f = arg;
    int n = RANKS_SLOW_BUILD ? 1000 : 10000;
    int32_t x[2] = {1, 1};
    whorl_comm_t comm = NULL;
    whorl_event_t event;
    RANK_OK(f->rank, whorl_event_create(&event));
    RANK_OK(f->rank, whorl_comm_create_local(1, NULL, &comm));
    for (int i = 0; i < n; i++) {
        whorl_stream_t first = f->streams[i % 2], second = f->streams[1 - i % 2];
        if (f->with_events) {
            RANK_OK(f->rank, whorl_event_record(event, first));
            RANK_OK(f->rank, whorl_stream_wait_event(second, event));
        } else {
            RANK_OK(f->rank, whorl_group_start());
            RANK_OK(f->rank,
                    whorl_all_reduce(&x[0], &x[0], 1, WHORL_INT32, WHORL_SUM, comm, first));
            RANK_OK(f->rank,
                    whorl_all_reduce(&x[1], &x[1], 1, WHORL_INT32, WHORL_SUM, comm, second));
            RANK_OK(f->rank, whorl_group_end());
        }
        if (i % 64 == 0) {
            RANK_OK(f->rank, whorl_stream_synchronize(second)); /* the queues stay short */
        }
    }
    RANK_OK(f->rank, whorl_event_destroy(event));
    RANK_OK(f->rank, whorl_comm_destroy(comm));
    return NULL;
}

static void feed_side_by_side(struct rank *rank)
{
    whorl_stream_t streams[2];
    struct feeder feeders[3];
    RANK_OK(rank, whorl_stream_create(&streams[0]));
    RANK_OK(rank, whorl_stream_create(&streams[1]));
    rank_at(rank, "waits for threads with groups and events over the same streams");
    for (int i = 0; i < 3; i++) {
        feeders[i] = (struct feeder){rank, {streams[i % 2], streams[1 - i % 2]}, 0, i == 2};
        RANK_CHECK(rank, pthread_create(&feeders[i].thread, NULL, feed, &feeders[i]) == 0,
                   "no thread");
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(feeders[i].thread, NULL);
    }
    RANK_OK(rank, whorl_stream_destroy(streams[0]));
    RANK_OK(rank, whorl_stream_destroy(streams[1]));
}

Test(streams_order, of_groups_and_events_by_several_threads_of_a_rank_may_be_any)
{
    ranks_run(&(struct ranks_job){.run = feed_side_by_side, .no_comm = true});
}
