/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message there and back over a link of each transport, against the floor: one cache line handed
 * to another core and back. Two threads are the two ranks, on the first two cores that the process
 * may use; taskset chooses them.
 */
#include "base/clock.h"
#include "base/shmem.h"
#include "micro/micro.h"
#include "wire/wire.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic int32_t stop;

/* The floor: a number that two threads hand to each other. */
struct line {
    _Atomic uint64_t ping WH_LINE_ALIGNED;
    _Atomic uint64_t pong WH_LINE_ALIGNED;
};

static void pause_once(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void run_line(void *ctx)
{
    struct line *line = ctx;
    uint64_t next = atomic_load_explicit(&line->ping, memory_order_relaxed) + 1;
    atomic_store_explicit(&line->ping, next, memory_order_release);
    while (atomic_load_explicit(&line->pong, memory_order_acquire) != next) {
        pause_once();
    }
}

/* One rank of a pair. */
struct end {
    struct wh_wire *wire;
    struct wh_link *out, *in;
    size_t nbytes;
};

static void fail(const char *what)
{
    fprintf(stderr, "link_pingpong: %s failed\n", what);
    exit(1);
}

static void send_one(struct end *end)
{
    struct wh_slot slot;
    while (end->out->ops->acquire(end->out, &slot) != WHORL_OK) {
        pause_once();
    }
    memset(slot.data, 1, end->nbytes);
    if (end->out->ops->post(end->out, end->nbytes) != WHORL_OK) {
        fail("post");
    }
}

static bool receive_one(struct end *end)
{
    struct wh_slot slot;
    if (end->in->ops->poll(end->in, &slot) != WHORL_OK) {
        pause_once();
        return false;
    }
    volatile uint8_t sink = 0;
    for (size_t i = 0; i < slot.nbytes; i += 64) {
        sink = (uint8_t)(sink + ((const uint8_t *)slot.data)[i]);
    }
    end->in->ops->release(end->in);
    return true;
}

static void run_link(void *ctx)
{
    struct end *end = ctx;
    send_one(end);
    while (!receive_one(end)) {
    }
}

/* Answers both, so that they can be timed in turns. */
struct answerer {
    struct line *line;
    struct end *end;
};

static void *answer_main(void *ctx)
{
    const struct answerer *answerer = ctx;
    struct line *line = answerer->line;
    uint64_t seen = 0;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        uint64_t ping = atomic_load_explicit(&line->ping, memory_order_acquire);
        if (ping != seen) {
            seen = ping;
            atomic_store_explicit(&line->pong, ping, memory_order_release);
        }
        if (receive_one(answerer->end)) {
            send_one(answerer->end);
        }
    }
    return NULL;
}

struct connect_job {
    struct wh_wire *wire;
    const uint8_t *addresses;
};

static void *connect_main(void *arg)
{
    struct connect_job *job = arg;
    if (wh_wire_connect(job->wire, job->addresses, NULL, wh_deadline_after_ms(10000)) != WHORL_OK) {
        fail("connect");
    }
    return NULL;
}

static void connect_pair(struct end ends[2], const struct wh_config *config)
{
    const uint64_t host = wh_shmem_host_key();
    const uint64_t hosts[2] = {host, host}, processes[2] = {1, 1};
    size_t address_nbytes = wh_wire_address_nbytes();
    uint8_t *addresses = calloc(2, address_nbytes);
    for (uint32_t r = 0; r < 2; r++) {
        struct wh_wire_env env = {.rank = r,
                                  .nranks = 2,
                                  .host_keys = hosts,
                                  .process_keys = processes,
                                  .nchannels = 1,
                                  .nslots = 4,
                                  .slot_nbytes = 128 << 10};
        if (wh_wire_create(&env, config, &ends[r].wire) != WHORL_OK) {
            fail("open");
        }
        wh_wire_address(ends[r].wire, addresses + r * address_nbytes);
    }
    pthread_t threads[2];
    struct connect_job jobs[2];
    for (int r = 0; r < 2; r++) {
        jobs[r] = (struct connect_job){ends[r].wire, addresses};
        pthread_create(&threads[r], NULL, connect_main, &jobs[r]);
    }
    for (uint32_t r = 0; r < 2; r++) {
        pthread_join(threads[r], NULL);
    }
    for (uint32_t r = 0; r < 2; r++) {
        if (wh_wire_link(ends[r].wire, 1 - r, 0, true, &ends[r].out) != WHORL_OK ||
            wh_wire_link(ends[r].wire, 1 - r, 0, false, &ends[r].in) != WHORL_OK) {
            fail("link");
        }
    }
    free(addresses);
}

/* Ties a thread to the nth core of those that the process may use, if there are so many. */
static void pin(pthread_t thread, int nth, const cpu_set_t *usable)
{
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, usable) && nth-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            pthread_setaffinity_np(thread, sizeof(one), &one);
            return;
        }
    }
}

/* The line and the link in turns. */
static void compare(struct end ends[2], const char *name, size_t nbytes, const cpu_set_t *usable)
{
    static struct line line;
    memset(&line, 0, sizeof(line));
    ends[0].nbytes = ends[1].nbytes = nbytes;
    char link_name[64];
    snprintf(link_name, sizeof(link_name), "%s link there and back, %zu B", name, nbytes);
    const struct micro_case cases[] = {
        {"cache line there and back", run_line, &line, 0},
        {link_name, run_link, &ends[0], 2 * nbytes},
    };

    struct answerer answerer = {&line, &ends[1]};
    pthread_t thread;
    atomic_store(&stop, 0);
    pthread_create(&thread, NULL, answer_main, &answerer);
    pin(thread, 1, usable);
    micro_compare(cases, ARRAY_LEN(cases));
    atomic_store(&stop, 1);
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    micro_args(argc, argv, "messages over links against a bare cache line");
    const struct wh_config *global;
    if (wh_config_get(&global) != WHORL_OK) {
        return 1;
    }
    cpu_set_t usable;
    CPU_ZERO(&usable);
    sched_getaffinity(0, sizeof(usable), &usable);
    pin(pthread_self(), 0, &usable);
    micro_header();
    for (size_t t = 0; t < wh_ntransports; t++) {
        struct wh_config config = *global;
        config.transports = wh_transports[t]->name;
        struct end ends[2];
        memset(ends, 0, sizeof(ends));
        connect_pair(ends, &config);
        compare(ends, wh_transports[t]->name, 8, &usable);
        compare(ends, wh_transports[t]->name, 4096, &usable);
        compare(ends, wh_transports[t]->name, 128 << 10, &usable);
        wh_wire_destroy(ends[0].wire);
        wh_wire_destroy(ends[1].wire);
    }
    return 0;
}
