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

enum { PATIENCE_MS = 60000 };

struct world_board {
    struct world_spec spec;
    _Atomic uint32_t narrived; /* at barriers, ever */
    _Atomic int32_t failed;
    char text[512]; /* of whoever failed first */
    uint8_t addresses[WORLD_RANKS_MAX][WH_ADDRESS_NBYTES_MAX];
    _Atomic uint64_t notes[WORLD_RANKS_MAX];
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
    uint32_t narrived, peer;
    uint64_t note;
    void *memory; /* of send_from() and recv_into() */
    size_t nbytes;
    const uint8_t *head;
    whorl_result_t (*poll)(struct look *look);
    bool is_link; /* what is waited for is a link, so that a descriptor of the wire can tell */
};

whorl_result_t world_progress(struct world_rank *rank)
{
    if (rank->wire == NULL || !rank->is_connected || rank->wire->ops->progress == NULL) {
        return WHORL_OK;
    }
    return rank->wire->ops->progress(rank->wire);
}

static whorl_result_t poll_and_go_on(void *ctx, bool *moved_out)
{
    struct look *look = ctx;

    (void)moved_out;
    whorl_result_t rc = look->poll(look);
    if (rc == WHORL_IN_PROGRESS) {
        whorl_result_t progressed = world_progress(look->rank);
        rc = progressed != WHORL_OK ? progressed : rc;
        if (look->rank->help != NULL) {
            look->rank->help(look->rank->help_ctx);
        }
    }
    return rc;
}

static uint32_t wait_fds(void *ctx, int *fds_out)
{
    const struct look *look = ctx;
    struct wh_transport_wire *wire = look->rank->wire;

    fds_out[0] = wire->ops->wait_fd(wire);
    return fds_out[0] >= 0 ? 1 : UINT32_MAX;
}

static whorl_result_t wait_for(struct look *look, whorl_result_t (*poll)(struct look *look))
{
    const struct world_rank *rank = look->rank;
    struct wh_doorbell *bell = look->is_link ? rank->bell : NULL;
    bool has_fd = look->is_link && rank->help == NULL && rank->wire->ops->wait_fd != NULL;
    const struct wh_wait wait = {.patience = {.nspins = 10, .nyields = 10},
                                 .poll = poll_and_go_on,
                                 .ctx = look,
                                 .bells = &bell,
                                 .nbells = bell != NULL,
                                 .fds = has_fd ? wait_fds : NULL,
                                 .stop = rank->board ? &rank->board->failed : NULL,
                                 .deadline_ns = wh_deadline_after_ms(PATIENCE_MS)};
    look->poll = poll;
    return wh_wait(&wait);
}

static whorl_result_t poll_barrier(struct look *look)
{
    return atomic_load(&look->rank->board->narrived) >= look->narrived ? WHORL_OK
                                                                       : WHORL_IN_PROGRESS;
}

void world_barrier(struct world_rank *rank)
{
    const uint32_t n = rank->env.nranks;
    uint32_t before = atomic_fetch_add(&rank->board->narrived, 1);
    struct look look = {.rank = rank, .narrived = before - before % n + n};

    REQUIRE(rank, wait_for(&look, poll_barrier) == WHORL_OK);
}

bool world_is_at_once(const struct world_rank *rank)
{
    return rank->wire->ops->progress == NULL;
}

void world_note(struct world_rank *rank, uint64_t value)
{
    atomic_store(&rank->board->notes[rank->env.rank], value);
}

uint64_t world_note_of(const struct world_rank *rank, uint32_t peer)
{
    return atomic_load(&rank->board->notes[peer]);
}

static whorl_result_t poll_note(struct look *look)
{
    return world_note_of(look->rank, look->peer) == look->note ? WHORL_OK : WHORL_IN_PROGRESS;
}

void world_wait_note(struct world_rank *rank, uint32_t peer, uint64_t value)
{
    struct look look = {.rank = rank, .peer = peer, .note = value};

    REQUIRE(rank, wait_for(&look, poll_note) == WHORL_OK);
}

static whorl_result_t poll_connect(struct look *look)
{
    struct wh_transport_wire *wire = look->rank->wire;

    return wire->ops->connect(wire, look->rank->board->addresses[0]);
}

static whorl_result_t poll_acquire(struct look *look)
{
    return look->link->ops->acquire(look->link, &look->slot);
}

static whorl_result_t poll_message(struct look *look)
{
    return look->link->ops->poll(look->link, &look->slot);
}

static whorl_result_t poll_send_from(struct look *look)
{
    return look->link->ops->send_from(look->link, look->head, look->memory, look->nbytes);
}

static whorl_result_t poll_recv_into(struct look *look)
{
    return look->link->ops->recv_into(look->link, look->memory, look->nbytes, &look->slot);
}

static whorl_result_t poll_flush(struct look *look)
{
    return look->link->ops->flush(look->link);
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
    struct look look = {.rank = rank, .link = link, .is_link = true};

    REQUIRE(rank, wait_for(&look, poll_acquire) == WHORL_OK);
    REQUIRE(rank, (uintptr_t)look.slot.head % 8 == 0);
    REQUIRE(rank, (uintptr_t)look.slot.data % 64 == 0);
    world_fill(&look.slot, seed, nbytes);
    REQUIRE(rank, link->ops->post(link, nbytes) == WHORL_OK);
}

struct wh_slot world_poll(struct world_rank *rank, struct wh_link *link)
{
    struct look look = {.rank = rank, .link = link, .is_link = true};

    REQUIRE(rank, wait_for(&look, poll_message) == WHORL_OK);
    REQUIRE(rank, (uintptr_t)look.slot.head % 8 == 0);
    REQUIRE(rank, (uintptr_t)look.slot.data % 64 == 0);
    return look.slot;
}

void world_recv(struct world_rank *rank, struct wh_link *link, uint64_t seed, size_t nbytes)
{
    struct wh_slot slot = world_poll(rank, link);

    REQUIRE(rank, world_is_filled(&slot, seed, nbytes));
    link->ops->release(link);
}

void world_send_from(struct world_rank *rank, struct wh_link *link, uint64_t seed, void *memory,
                     size_t nbytes)
{
    _Alignas(8) uint8_t head[WH_SLOT_HEAD_NBYTES];
    struct look look = {.rank = rank,
                        .link = link,
                        .is_link = true,
                        .memory = memory,
                        .nbytes = nbytes,
                        .head = head};

    world_fill(&(struct wh_slot){.head = head, .data = memory}, seed, nbytes);
    REQUIRE(rank, wait_for(&look, poll_send_from) == WHORL_OK);
    memset(memory, 0xee, nbytes);
    memset(head, 0xee, sizeof(head));
}

struct wh_slot world_recv_into(struct world_rank *rank, struct wh_link *link, void *memory,
                               size_t nbytes)
{
    struct look look = {
        .rank = rank, .link = link, .is_link = true, .memory = memory, .nbytes = nbytes};

    REQUIRE(rank, wait_for(&look, poll_recv_into) == WHORL_OK);
    REQUIRE(rank, (uintptr_t)look.slot.head % 8 == 0);
    REQUIRE(rank, look.slot.data == memory || (uintptr_t)look.slot.data % 64 == 0);
    return look.slot;
}

void world_flush(struct world_rank *rank, struct wh_link *link)
{
    struct look look = {.rank = rank, .link = link, .is_link = true};

    if (link->ops->flush != NULL) {
        REQUIRE(rank, wait_for(&look, poll_flush) == WHORL_OK);
    }
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
    for (size_t i = 0; i < sizeof(rank->env.secret); i++) {
        rank->env.secret[i] = (uint8_t)(3 + 7 * i);
    }
    rank->variant = spec->variant;
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
    REQUIRE(rank, wait_for(&look, poll_connect) == WHORL_OK);
    rank->is_connected = true;
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

static void help_other(void *other)
{
    REQUIRE(other, world_progress(other) == WHORL_OK);
}

void world_pair_open(const struct world_spec *spec, struct world_pair *pair)
{
    memset(pair, 0, sizeof(*pair));
    for (uint32_t i = 0; i < 2; i++) {
        struct world_rank *rank = &pair->ranks[i];
        rank_init(rank, spec, i);
        rank->help = help_other;
        rank->help_ctx = &pair->ranks[1 - i];
        REQUIRE(rank, spec->ops->open(&rank->env, &rank->wire) == WHORL_OK);
    }
}

whorl_result_t world_pair_connect_to(struct world_pair *pair, const uint8_t *addresses,
                                     uint32_t npolls)
{
    whorl_result_t rcs[2] = {WHORL_IN_PROGRESS, WHORL_IN_PROGRESS};

    for (uint32_t n = 0; n < npolls && (rcs[0] != WHORL_OK || rcs[1] != WHORL_OK); n++) {
        for (uint32_t i = 0; i < 2; i++) {
            struct wh_transport_wire *wire = pair->ranks[i].wire;
            if (rcs[i] == WHORL_IN_PROGRESS) {
                rcs[i] = wire->ops->connect(wire, addresses);
                pair->ranks[i].is_connected = rcs[i] == WHORL_OK;
            }
        }
    }
    return rcs[0] != WHORL_OK ? rcs[0] : rcs[1];
}

whorl_result_t world_pair_connect(struct world_pair *pair, uint32_t npolls)
{
    for (uint32_t i = 0; i < 2; i++) {
        pair->ranks[i].wire->ops->address(pair->ranks[i].wire, pair->addresses[i]);
    }
    return world_pair_connect_to(pair, pair->addresses[0], npolls);
}

void world_pair_close(struct world_pair *pair)
{
    for (uint32_t i = 0; i < 2; i++) {
        if (pair->ranks[i].wire != NULL) {
            pair->ranks[i].wire->ops->close(pair->ranks[i].wire);
        }
    }
}
