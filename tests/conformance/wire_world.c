/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance/wire_world.h"

#include "base/clock.h"
#include "base/shmem.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

struct world_board {
    struct world_spec spec;
    _Atomic uint32_t narrived; /* at barriers, ever */
    _Atomic int32_t failed;
    char text[512]; /* of whoever failed first */
    uint8_t addresses[WORLD_RANKS_MAX][WH_ADDRESS_NBYTES_MAX];
};

struct world_spec world_spec_of(const struct whorl_transport_ops *ops, enum wire_ranks ranks,
                                void (*run)(struct world_rank *rank))
{
    return (struct world_spec){.ops = ops,
                               .ranks = ranks,
                               .nranks = 2,
                               .nchannels = 1,
                               .nslots = 4,
                               .slot_nbytes = 4096,
                               .run = run};
}

/* ---- failing -------------------------------------------------------------------------------- */

/* Ends this rank, whatever it is. The others notice at their next wait. */
static _Noreturn void rank_exit(struct world_rank *rank)
{
    if (rank->board->spec.ranks == wire_processes) {
        _exit(1);
    }
    pthread_exit(NULL);
}

void world_require(struct world_rank *rank, bool holds, const char *condition, const char *file,
                   int line)
{
    if (holds) {
        return;
    }
    int32_t expected = 0;
    if (rank->board == NULL) {
        cr_assert_fail("%s:%d: rank %u: %s", file, line, rank->env.rank, condition);
    }
    if (atomic_compare_exchange_strong(&rank->board->failed, &expected, 1)) {
        snprintf(rank->board->text, sizeof(rank->board->text), "%s:%d: rank %u: %s", file, line,
                 rank->env.rank, condition);
    }
    rank_exit(rank);
}

/* ---- waiting -------------------------------------------------------------------------------- */

struct look {
    struct world_rank *rank;
    struct wh_link *link;
    struct wh_slot slot;
    uint32_t narrived;
};

static whorl_result_t wait_for(struct look *look, struct wh_doorbell *bell,
                               whorl_result_t (*poll)(void *ctx, bool *moved_out))
{
    const struct wh_wait wait = {.patience = {.nspins = 10, .nyields = 10},
                                 .poll = poll,
                                 .ctx = look,
                                 .bells = &bell,
                                 .nbells = bell != NULL,
                                 .stop = look->rank->board ? &look->rank->board->failed : NULL,
                                 .deadline_ns = wh_deadline_after_ms(PATIENCE_MS)};
    return wh_wait(&wait);
}

static whorl_result_t poll_barrier(void *ctx, bool *moved_out)
{
    struct look *look = ctx;

    (void)moved_out;
    return atomic_load(&look->rank->board->narrived) >= look->narrived ? WHORL_OK
                                                                       : WHORL_IN_PROGRESS;
}

void world_barrier(struct world_rank *rank)
{
    const uint32_t n = rank->env.nranks;
    uint32_t before = atomic_fetch_add(&rank->board->narrived, 1);
    struct look look = {.rank = rank, .narrived = before - before % n + n};

    REQUIRE(rank, wait_for(&look, NULL, poll_barrier) == WHORL_OK);
}

static whorl_result_t poll_connect(void *ctx, bool *moved_out)
{
    struct look *look = ctx;
    struct wh_transport_wire *wire = look->rank->wire;

    (void)moved_out;
    return wire->ops->connect(wire, look->rank->board->addresses[0]);
}

static whorl_result_t poll_acquire(void *ctx, bool *moved_out)
{
    struct look *look = ctx;

    (void)moved_out;
    return look->link->ops->acquire(look->link, &look->slot);
}

static whorl_result_t poll_message(void *ctx, bool *moved_out)
{
    struct look *look = ctx;

    (void)moved_out;
    return look->link->ops->poll(look->link, &look->slot);
}

/* ---- messages ------------------------------------------------------------------------------- */

static uint8_t pattern(uint64_t seed, size_t i)
{
    uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15u + i * 0xbf58476d1ce4e5b9u;

    return (uint8_t)(x >> 56);
}

void world_fill(const struct wh_slot *slot, uint64_t seed, size_t nbytes)
{
    for (size_t i = 0; i < WH_SLOT_HEAD_NBYTES; i++) {
        ((uint8_t *)slot->head)[i] = pattern(~seed, i);
    }
    for (size_t i = 0; i < nbytes; i++) {
        ((uint8_t *)slot->data)[i] = pattern(seed, i);
    }
}

bool world_is_filled(const struct wh_slot *slot, uint64_t seed, size_t nbytes)
{
    bool is_same = slot->nbytes == nbytes;

    for (size_t i = 0; is_same && i < WH_SLOT_HEAD_NBYTES; i++) {
        is_same = ((uint8_t *)slot->head)[i] == pattern(~seed, i);
    }
    for (size_t i = 0; is_same && i < nbytes; i++) {
        is_same = ((uint8_t *)slot->data)[i] == pattern(seed, i);
    }
    return is_same;
}

struct wh_link *world_link(struct world_rank *rank, uint32_t peer, uint32_t channel, bool is_send)
{
    struct wh_link *link = NULL;

    whorl_result_t rc = rank->wire->ops->link_open(rank->wire, peer, channel, is_send, &link);
    REQUIRE(rank, rc == WHORL_OK);
    return link;
}

void world_send(struct world_rank *rank, struct wh_link *link, uint64_t seed, size_t nbytes)
{
    struct look look = {.rank = rank, .link = link};

    REQUIRE(rank, wait_for(&look, rank->bell, poll_acquire) == WHORL_OK);
    REQUIRE(rank, (uintptr_t)look.slot.head % 8 == 0);
    REQUIRE(rank, (uintptr_t)look.slot.data % 64 == 0);
    world_fill(&look.slot, seed, nbytes);
    REQUIRE(rank, link->ops->post(link, nbytes) == WHORL_OK);
}

void world_recv(struct world_rank *rank, struct wh_link *link, uint64_t seed, size_t nbytes)
{
    struct look look = {.rank = rank, .link = link};

    REQUIRE(rank, wait_for(&look, rank->bell, poll_message) == WHORL_OK);
    REQUIRE(rank, (uintptr_t)look.slot.head % 8 == 0);
    REQUIRE(rank, (uintptr_t)look.slot.data % 64 == 0);
    REQUIRE(rank, world_is_filled(&look.slot, seed, nbytes));
    link->ops->release(link);
}

/* ---- ranks ---------------------------------------------------------------------------------- */

static void rank_init(struct world_rank *rank, const struct world_spec *spec, uint32_t number)
{
    for (uint32_t i = 0; i < spec->nranks; i++) {
        rank->host_keys[i] = spec->is_apart ? i : wh_shmem_host_key();
        rank->process_keys[i] = spec->is_apart || spec->ranks == wire_processes ? i : 1;
    }
    rank->env = (struct wh_wire_env){.rank = number,
                                     .nranks = spec->nranks,
                                     .host_keys = rank->host_keys,
                                     .process_keys = rank->process_keys,
                                     .nchannels = spec->nchannels,
                                     .nslots = spec->nslots,
                                     .slot_nbytes = spec->slot_nbytes};
    if (spec->alter != NULL) {
        spec->alter(rank);
    }
}

static void *rank_main(void *arg)
{
    struct world_rank *rank = arg;
    struct world_board *board = rank->board;
    const struct whorl_transport_ops *ops = board->spec.ops;
    struct look look = {.rank = rank};

    REQUIRE(rank, ops->open(&rank->env, &rank->wire) == WHORL_OK);
    ops->address(rank->wire, board->addresses[rank->env.rank]);
    world_barrier(rank);
    REQUIRE(rank, wait_for(&look, NULL, poll_connect) == WHORL_OK);
    rank->bell = ops->bell != NULL ? ops->bell(rank->wire) : NULL;
    world_barrier(rank);
    board->spec.run(rank);
    if (rank->wire != NULL) {
        ops->close(rank->wire);
    }
    return NULL;
}

static void run_threads(struct world_rank *ranks, uint32_t nranks)
{
    pthread_t threads[WORLD_RANKS_MAX];

    for (uint32_t i = 0; i < nranks; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, rank_main, &ranks[i]), 0);
    }
    for (uint32_t i = 0; i < nranks; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void run_processes(struct world_rank *ranks, uint32_t nranks)
{
    pid_t pids[WORLD_RANKS_MAX];
    bool all_well = true;

    for (uint32_t i = 0; i < nranks; i++) {
        pids[i] = fork();
        cr_assert_geq(pids[i], 0);
        if (pids[i] == 0) {
            rank_main(&ranks[i]);
            _exit(0);
        }
    }
    for (uint32_t i = 0; i < nranks; i++) {
        int status = -1;
        waitpid(pids[i], &status, 0);
        all_well = all_well && status == 0;
    }
    cr_expect(all_well || atomic_load(&ranks[0].board->failed), "a rank's process died");
}

void world_run(const struct world_spec *spec)
{
    struct world_rank ranks[WORLD_RANKS_MAX];
    struct world_board *board =
        mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    cr_assert(board != MAP_FAILED);
    cr_assert_leq(spec->nranks, WORLD_RANKS_MAX);
    board->spec = *spec;
    memset(ranks, 0, sizeof(ranks));
    for (uint32_t i = 0; i < spec->nranks; i++) {
        ranks[i].board = board;
        rank_init(&ranks[i], spec, i);
    }

    if (spec->ranks == wire_processes) {
        run_processes(ranks, spec->nranks);
    } else {
        run_threads(ranks, spec->nranks);
    }
    cr_assert_eq(atomic_load(&board->failed), 0, "%s", board->text);
    munmap(board, sizeof(*board));
}

/* ---- pairs ---------------------------------------------------------------------------------- */

void world_pair_open(const struct world_spec *spec, struct world_pair *pair)
{
    memset(pair, 0, sizeof(*pair));
    for (uint32_t i = 0; i < 2; i++) {
        struct world_rank *rank = &pair->ranks[i];
        rank_init(rank, spec, i);
        REQUIRE(rank, spec->ops->open(&rank->env, &rank->wire) == WHORL_OK);
    }
}

whorl_result_t world_pair_connect(struct world_pair *pair, uint32_t npolls)
{
    uint8_t addresses[2][WH_ADDRESS_NBYTES_MAX] = {{0}};
    whorl_result_t rcs[2] = {WHORL_IN_PROGRESS, WHORL_IN_PROGRESS};

    for (uint32_t i = 0; i < 2; i++) {
        pair->ranks[i].wire->ops->address(pair->ranks[i].wire, addresses[i]);
    }
    for (uint32_t n = 0; n < npolls && (rcs[0] != WHORL_OK || rcs[1] != WHORL_OK); n++) {
        for (uint32_t i = 0; i < 2; i++) {
            struct wh_transport_wire *wire = pair->ranks[i].wire;
            if (rcs[i] == WHORL_IN_PROGRESS) {
                rcs[i] = wire->ops->connect(wire, addresses[0]);
            }
        }
    }
    return rcs[0] != WHORL_OK ? rcs[0] : rcs[1];
}

void world_pair_close(struct world_pair *pair)
{
    for (uint32_t i = 0; i < 2; i++) {
        if (pair->ranks[i].wire != NULL) {
            pair->ranks[i].wire->ops->close(pair->ranks[i].wire);
        }
    }
}
