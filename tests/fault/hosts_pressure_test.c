/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Full sockets: one rank sends far more than all buffers between two hosts hold, while the other
 * does not read. Nothing may be lost, no memory may pile up, and other peers go on meanwhile.
 */
#include "harness/cases.h"
#include "harness/hosts.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGE_NBYTES = 48 << 20, LATE_S = 1, ROUNDS = 20 };
enum { CELL_ENTERED };

static struct hosts *hosts;

static void make_hosts(void)
{
    hosts = hosts_create(3, NULL);
}

static void remove_hosts(void)
{
    hosts_destroy(hosts);
}

TestSuite(hosts_pressure, .init = make_hosts, .fini = remove_hosts);

static unsigned char byte_at(size_t i)
{
    return (unsigned char)(i * 7 + i / 253 + i / 65521);
}

/* Nothing of a memory figure is exact; half of what was sent would be a pile. */
static void expect_no_pile(struct rank *rank, long before_kib)
{
    long grown_kib = rank_smaps_kib("Private_Dirty") - before_kib;
    RANK_CHECK(rank, RANKS_SLOW_BUILD || before_kib < 0 || grown_kib < LARGE_NBYTES / 2 / 1024,
               "%ld KiB more than before", grown_kib);
}

static void read_late(struct rank *rank)
{
    unsigned char *bytes = malloc(LARGE_NBYTES);
    RANK_CHECK(rank, bytes != NULL, "no memory");
    for (size_t i = 0; i < LARGE_NBYTES; i++) {
        bytes[i] = rank->rank == 0 ? byte_at(i) : 0;
    }
    long before_kib = rank_smaps_kib("Private_Dirty");
    if (rank->rank == 0) {
        rank_at(rank, "sends much");
        atomic_store(rank_cell(rank, CELL_ENTERED), 1);
        RANK_OK(rank, whorl_send(bytes, LARGE_NBYTES, WHORL_UINT8, 1, rank->comm, NULL));
        expect_no_pile(rank, before_kib);
    } else {
        rank_wait_cell(rank, CELL_ENTERED, 1);
        sleep(LATE_S);
        rank_at(rank, "reads late");
        RANK_OK(rank, whorl_recv(bytes, LARGE_NBYTES, WHORL_UINT8, 0, rank->comm, NULL));
        expect_no_pile(rank, before_kib);
        for (size_t i = 0; i < LARGE_NBYTES; i++) {
            RANK_CHECK(rank, bytes[i] == byte_at(i), "byte %zu is wrong", i);
        }
    }
    free(bytes);
    struct coll_case c = {.kind = CASE_ALL_REDUCE, .count = 1000, .dtype = WHORL_FLOAT32};
    case_do(rank, rank->comm, &c);
}

Test(hosts_pressure, a_rank_that_reads_late_gets_everything)
{
    hosts_run(&(struct hosts_job){.job = {.run = read_late}, .hosts = hosts, .nprocesses = {1, 1}});
}

/* Both send to each other at once, and each is late in turn. */
static void exchange_late(struct rank *rank)
{
    size_t count = LARGE_NBYTES / 8 / sizeof(float);
    for (int i = 0; i < 4; i++) {
        struct coll_case c = {.kind = i % 2 == 0 ? CASE_SENDRECV : CASE_ALL_TO_ALL,
                              .count = count,
                              .dtype = WHORL_FLOAT32,
                              .root = 1,
                              .seed = (uint64_t)i};
        if (i % 2 == rank->rank % 2) {
            usleep(300000);
        }
        case_do(rank, rank->comm, &c);
    }
}

Test(hosts_pressure, ranks_that_are_late_in_turn_lose_nothing)
{
    hosts_run(&(struct hosts_job){
        .job = {.run = exchange_late}, .hosts = hosts, .nprocesses = {1, 1, 1}});
}

/* Rank 0 has a queue of large messages to rank 1, which does not read; with rank 2 it talks in
 * between, on another communicator. */
static void talk_beside_a_full_socket(struct rank *rank)
{
    whorl_comm_t pair = NULL;
    whorl_stream_t stream = NULL;
    unsigned char *bytes = calloc(1, LARGE_NBYTES);
    RANK_CHECK(rank, bytes != NULL, "no memory");
    RANK_OK(rank, whorl_comm_split(rank->comm, rank->rank == 1 ? WHORL_SPLIT_NOCOLOR : 0, 0, NULL,
                                   &pair));
    if (rank->rank == 0) {
        memset(bytes, 7, LARGE_NBYTES);
        RANK_OK(rank, whorl_stream_create(&stream));
        RANK_OK(rank, whorl_send(bytes, LARGE_NBYTES, WHORL_UINT8, 1, rank->comm, stream));
    }
    for (int i = 0; pair != NULL && i < ROUNDS; i++) {
        struct coll_case c = {.kind = CASE_ALL_REDUCE,
                              .count = i % 2 == 0 ? 3 : 100003,
                              .dtype = WHORL_FLOAT32,
                              .seed = (uint64_t)i};
        case_do(rank, pair, &c);
    }
    if (rank->rank == 0) {
        RANK_EXPECT(rank, WHORL_IN_PROGRESS, whorl_stream_query(stream));
    }
    rank_meet(rank);
    if (rank->rank == 1) {
        RANK_OK(rank, whorl_recv(bytes, LARGE_NBYTES, WHORL_UINT8, 0, rank->comm, NULL));
        for (size_t i = 0; i < LARGE_NBYTES; i++) {
            RANK_CHECK(rank, bytes[i] == 7, "byte %zu is wrong", i);
        }
    }
    if (stream != NULL) {
        rank_at(rank, "waits for its message to be taken");
        RANK_OK(rank, whorl_stream_synchronize(stream));
        RANK_OK(rank, whorl_stream_destroy(stream));
    }
    RANK_OK(rank, whorl_comm_destroy(pair));
    free(bytes);
}

Test(hosts_pressure, a_peer_that_does_not_read_does_not_stop_another)
{
    hosts_run(&(struct hosts_job){
        .job = {.run = talk_beside_a_full_socket}, .hosts = hosts, .nprocesses = {1, 1, 1}});
}

/* Over a thin cable all queues are full all the time. */
static void push_through_a_thin_cable(struct rank *rank)
{
    for (int kind = 0; kind < CASE_KINDS; kind++) {
        struct coll_case c = {
            .kind = (enum case_kind)kind, .count = 100003, .dtype = WHORL_FLOAT32, .root = 1};
        case_do(rank, rank->comm, &c);
    }
}

Test(hosts_thin, a_thin_cable_carries_everything)
{
    hosts = hosts_create(2, "100mbit");
    hosts_run(&(struct hosts_job){
        .job = {.run = push_through_a_thin_cable}, .hosts = hosts, .nprocesses = {2, 1}});
    hosts_destroy(hosts);
}
