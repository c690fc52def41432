/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: order, back pressure, many links, early and late ends, sleepers. */
#include "conformance/wire_suite.h"

#include "conformance/wire_world.h"

#include <poll.h>
#include <unistd.h>

static void link_close(struct wh_link *link)
{
    link->ops->link_close(link);
}

/* ---- order and completeness ----------------------------------------------------------------- */

static const size_t some_nbytes[] = {0, 1, 7, 63, 64, 65, 127, 128, 129, 1000, 4095, 4096};

static void run_messages(struct world_rank *rank)
{
    bool is_sender = rank->env.rank == 0;
    struct wh_link *link = world_link(rank, 1 - rank->env.rank, 0, is_sender);

    for (uint64_t i = 0; i < 40 * ARRAY_LEN(some_nbytes); i++) {
        size_t nbytes = some_nbytes[i * 7 % ARRAY_LEN(some_nbytes)];
        if (is_sender) {
            world_send(rank, link, i, nbytes);
        } else {
            world_recv(rank, link, i, nbytes);
        }
    }
    link_close(link);
}

void wire_case_messages_arrive_complete_and_in_order(const struct whorl_transport_ops *ops,
                                                     enum wire_ranks ranks)
{
    for (uint32_t nslots = 1; nslots <= 5; nslots += 2) {
        struct world_spec spec = world_spec_of(ops, ranks, run_messages);
        spec.nslots = nslots;
        world_run(&spec);
    }
}

/* ---- back pressure -------------------------------------------------------------------------- */

static void post_one(struct world_rank *rank, struct wh_link *link, uint64_t seed)
{
    struct wh_slot slot;

    REQUIRE(rank, link->ops->acquire(link, &slot) == WHORL_OK);
    world_fill(&slot, seed, 10);
    REQUIRE(rank, link->ops->post(link, 10) == WHORL_OK);
}

/* The message is here, or on its way where that takes time. */
static struct wh_slot find_one(struct world_rank *rank, struct wh_link *link)
{
    struct wh_slot slot;

    if (!world_is_at_once(rank)) {
        return world_poll(rank, link);
    }
    REQUIRE(rank, link->ops->poll(link, &slot) == WHORL_OK);
    return slot;
}

static void take_one(struct world_rank *rank, struct wh_link *link, uint64_t seed)
{
    struct wh_slot slot = find_one(rank, link);

    REQUIRE(rank, world_is_filled(&slot, seed, 10));
    link->ops->release(link);
}

static void require_full(struct world_rank *rank, struct wh_link *link)
{
    struct wh_slot slot;

    REQUIRE(rank, link->ops->acquire(link, &slot) == WHORL_IN_PROGRESS);
}

/* Posts messages of all that a slot holds until there is no room; returns how many. */
static uint64_t fill_up(struct world_rank *rank, struct wh_link *link, uint64_t seed)
{
    const uint64_t most = (256u << 20) / rank->env.slot_nbytes; /* more than any system buffers */
    uint64_t n = 0;
    struct wh_slot slot;

    for (;;) {
        whorl_result_t rc = link->ops->acquire(link, &slot);
        if (rc == WHORL_IN_PROGRESS) {
            return n;
        }
        REQUIRE(rank, rc == WHORL_OK);
        REQUIRE(rank, n < most);
        world_fill(&slot, seed + n, rank->env.slot_nbytes);
        REQUIRE(rank, link->ops->post(link, rank->env.slot_nbytes) == WHORL_OK);
        n++;
    }
}

static void require_empty(struct world_rank *rank, struct wh_link *link)
{
    struct wh_slot slot;

    REQUIRE(rank, link->ops->poll(link, &slot) == WHORL_IN_PROGRESS);
}

static void run_full(struct world_rank *rank)
{
    const uint32_t nslots = rank->env.nslots;
    bool is_sender = rank->env.rank == 0;
    struct wh_link *link = world_link(rank, 1 - rank->env.rank, 0, is_sender);
    uint64_t nsent = 0;
    uint64_t ntaken = 0;

    if (!is_sender) {
        require_empty(rank, link);
    }
    world_barrier(rank);
    for (uint32_t round = 0; round < 3 * nslots + 2; round++) {
        while (is_sender && nsent < nslots + round) {
            post_one(rank, link, nsent++);
        }
        if (is_sender) {
            require_full(rank, link);
        }
        world_barrier(rank);
        if (!is_sender) {
            take_one(rank, link, ntaken++);
        }
        world_barrier(rank);
    }
    while (!is_sender && ntaken < 4 * nslots + 1) {
        take_one(rank, link, ntaken++);
    }
    if (!is_sender) {
        require_empty(rank, link);
    }
    link_close(link);
}

void wire_case_a_full_fifo_says_so_and_recovers(const struct whorl_transport_ops *ops,
                                                enum wire_ranks ranks)
{
    for (uint32_t nslots = 1; nslots <= 4; nslots++) {
        struct world_spec spec = world_spec_of(ops, ranks, run_full);
        spec.nslots = nslots;
        world_run(&spec);
    }
}

static void run_held_back(struct world_rank *rank)
{
    bool is_sender = rank->env.rank == rank->variant;
    struct wh_link *link = world_link(rank, 1 - rank->env.rank, 0, is_sender);
    uint64_t n = 0;

    for (uint32_t round = 0; round < 3; round++) {
        /* Nobody knows anything about the other end in the first round. */
        world_note(rank, is_sender ? fill_up(rank, link, 0) : 0);
        world_barrier(rank);
        n = world_note_of(rank, rank->variant);
        REQUIRE(rank, n >= rank->env.nslots);
        for (uint64_t i = 0; !is_sender && i < n; i++) {
            world_recv(rank, link, i, rank->env.slot_nbytes);
        }
        if (!is_sender) {
            require_empty(rank, link);
        }
        world_barrier(rank);
    }
    link_close(link);
}

void wire_case_a_sender_is_held_back_and_loses_nothing(const struct whorl_transport_ops *ops,
                                                       enum wire_ranks ranks)
{
    for (uint32_t sender = 0; sender < 2; sender++) {
        struct world_spec spec = world_spec_of(ops, ranks, run_held_back);
        spec.variant = sender;
        spec.slot_nbytes = 64 << 10;
        world_run(&spec);
    }
}

static void run_stays(struct world_rank *rank)
{
    bool is_sender = rank->env.rank == 0;
    struct wh_link *link = world_link(rank, 1 - rank->env.rank, 0, is_sender);
    struct wh_slot first, again;

    for (uint64_t i = 0; i < 2 * rank->env.nslots; i++) {
        if (is_sender) {
            REQUIRE(rank, link->ops->acquire(link, &first) == WHORL_OK);
            world_fill(&first, i, 100);
            REQUIRE(rank, link->ops->acquire(link, &again) == WHORL_OK);
            REQUIRE(rank, again.head == first.head && again.data == first.data);
            again.nbytes = 100;
            REQUIRE(rank, world_is_filled(&again, i, 100));
            REQUIRE(rank, link->ops->post(link, 100) == WHORL_OK);
        }
        world_barrier(rank);
        if (!is_sender) {
            first = find_one(rank, link);
            REQUIRE(rank, link->ops->poll(link, &again) == WHORL_OK);
            REQUIRE(rank, again.head == first.head && again.data == first.data);
            REQUIRE(rank, world_is_filled(&again, i, 100));
            link->ops->release(link);
            require_empty(rank, link);
        }
        world_barrier(rank);
    }
    link_close(link);
}

void wire_case_a_slot_stays_until_it_is_given_away(const struct whorl_transport_ops *ops,
                                                   enum wire_ranks ranks)
{
    struct world_spec spec = world_spec_of(ops, ranks, run_stays);

    world_run(&spec);
}

/* ---- many links ----------------------------------------------------------------------------- */

static void run_independent(struct world_rank *rank)
{
    enum { NCHANNELS = 3 };
    const uint64_t base = 1000000 * rank->env.rank;
    const uint64_t peer_base = 1000000 - base;
    struct wh_link *out[NCHANNELS], *in[NCHANNELS];

    for (uint32_t c = 0; c < NCHANNELS; c++) {
        out[c] = world_link(rank, 1 - rank->env.rank, c, true);
        in[c] = world_link(rank, 1 - rank->env.rank, c, false);
    }
    world_note(rank, fill_up(rank, out[0], base));
    world_barrier(rank);

    /* Channel 1 is empty, and channel 2 moves though 0 is stuck. */
    require_empty(rank, in[1]);
    for (uint32_t i = 0; i < 3 * rank->env.nslots; i++) {
        world_send(rank, out[2], base + 100 + i, 65);
        world_recv(rank, in[2], peer_base + 100 + i, 65);
    }
    world_barrier(rank);
    if (world_is_at_once(rank)) {
        require_full(rank, out[0]);
    }
    world_barrier(rank);
    for (uint64_t i = 0; i < world_note_of(rank, 1 - rank->env.rank); i++) {
        world_recv(rank, in[0], peer_base + i, rank->env.slot_nbytes);
    }
    for (uint32_t c = 0; c < NCHANNELS; c++) {
        require_empty(rank, in[c]);
        link_close(out[c]);
        link_close(in[c]);
    }
}

void wire_case_channels_and_directions_are_independent(const struct whorl_transport_ops *ops,
                                                       enum wire_ranks ranks)
{
    struct world_spec spec = world_spec_of(ops, ranks, run_independent);

    spec.nchannels = 3;
    world_run(&spec);
}

static uint64_t seed_of(uint32_t sender, uint32_t receiver, uint32_t channel, uint32_t n)
{
    return ((uint64_t)sender * WORLD_RANKS_MAX + receiver) * 1000 + channel * 100 + n;
}

void wire_run_all_to_all(struct world_rank *rank)
{
    enum { NCHANNELS = 2, NMESSAGES = 12 };
    const uint32_t self = rank->env.rank;
    const char *why = NULL;
    uint32_t first = rank->wire->ops->reaches(rank->wire, self, &why) ? 0 : 1;
    struct wh_link *out[WORLD_RANKS_MAX][NCHANNELS], *in[WORLD_RANKS_MAX][NCHANNELS];

    for (uint32_t i = first; i < rank->env.nranks; i++) {
        for (uint32_t c = 0; c < NCHANNELS; c++) {
            uint32_t peer = (self + i) % rank->env.nranks;
            out[i][c] = world_link(rank, peer, c, true);
            in[i][c] = world_link(rank, peer, c, false);
        }
    }
    /* A rank is at most one message ahead of those that it waits for, so no FIFO stays full. */
    for (uint32_t n = 0; n < NMESSAGES * NCHANNELS; n++) {
        uint32_t c = n % NCHANNELS;
        for (uint32_t i = first; i < rank->env.nranks; i++) {
            uint32_t peer = (self + i) % rank->env.nranks;
            world_send(rank, out[i][c], seed_of(self, peer, c, n), 40 + n / NCHANNELS);
        }
        for (uint32_t i = first; i < rank->env.nranks; i++) {
            uint32_t peer = (self + i) % rank->env.nranks;
            world_recv(rank, in[i][c], seed_of(peer, self, c, n), 40 + n / NCHANNELS);
        }
    }
    for (uint32_t i = first; i < rank->env.nranks; i++) {
        for (uint32_t c = 0; c < NCHANNELS; c++) {
            link_close(out[i][c]);
            link_close(in[i][c]);
        }
    }
}

void wire_case_eight_ranks_talk_to_all(const struct whorl_transport_ops *ops, enum wire_ranks ranks)
{
    struct world_spec spec = world_spec_of(ops, ranks, wire_run_all_to_all);

    spec.nranks = 8;
    spec.nchannels = 2;
    spec.nslots = 2;
    spec.slot_nbytes = 64;
    world_run(&spec);
}

static void run_self(struct world_rank *rank)
{
    const char *why = NULL;
    struct wh_link *out, *in;

    REQUIRE(rank, rank->wire->ops->reaches(rank->wire, rank->env.rank, &why));
    out = world_link(rank, rank->env.rank, 0, true);
    in = world_link(rank, rank->env.rank, 0, false);
    for (uint64_t i = 0; i < 10; i++) {
        post_one(rank, out, i);
        take_one(rank, in, i);
    }
    link_close(out);
    link_close(in);
}

void wire_case_a_rank_can_send_to_itself(const struct whorl_transport_ops *ops,
                                         enum wire_ranks ranks)
{
    for (uint32_t nranks = 1; nranks <= 2; nranks++) {
        struct world_spec spec = world_spec_of(ops, ranks, run_self);
        spec.nranks = nranks;
        world_run(&spec);
    }
}

/* ---- opening and closing at different times -------------------------------------------------- */

static void run_early(struct world_rank *rank)
{
    bool is_sender = rank->env.rank == 0;
    uint32_t peer = 1 - rank->env.rank;
    struct wh_link *early = NULL;
    struct wh_link *late = NULL;

    /* On channel 0 the sender is early, on channel 1 the receiver. */
    if (is_sender) {
        early = world_link(rank, peer, 0, true);
        for (uint32_t i = 0; i < rank->env.nslots; i++) {
            post_one(rank, early, i);
        }
        if (world_is_at_once(rank)) {
            require_full(rank, early);
        }
    } else {
        early = world_link(rank, peer, 1, false);
        require_empty(rank, early);
    }
    world_barrier(rank);

    late = world_link(rank, peer, is_sender ? 1 : 0, is_sender);
    for (uint32_t i = 0; i < rank->env.nslots; i++) {
        if (is_sender) {
            post_one(rank, late, 100 + i);
        } else {
            take_one(rank, late, i);
        }
    }
    world_barrier(rank);
    for (uint32_t i = 0; i < rank->env.nslots; i++) {
        if (is_sender) {
            post_one(rank, early, 200 + i);
        } else {
            take_one(rank, early, 100 + i);
        }
    }
    link_close(early);
    link_close(late);
}

void wire_case_a_link_may_open_long_before_its_other_end(const struct whorl_transport_ops *ops,
                                                         enum wire_ranks ranks)
{
    struct world_spec spec = world_spec_of(ops, ranks, run_early);

    spec.nchannels = 2;
    world_run(&spec);
}

static void run_outlive(struct world_rank *rank)
{
    bool is_sender = rank->env.rank == 0;
    struct wh_link *link = NULL;

    if (is_sender) {
        link = world_link(rank, 1, 0, true);
        for (uint32_t i = 0; i < rank->env.nslots; i++) {
            post_one(rank, link, i);
        }
        world_flush(rank, link); /* where that takes a while */
        link_close(link);
        rank->wire->ops->close(rank->wire);
        rank->wire = NULL;
    }
    world_barrier(rank);
    if (!is_sender) {
        link = world_link(rank, 0, 0, false);
        for (uint32_t i = 0; i < rank->env.nslots; i++) {
            take_one(rank, link, i);
        }
        link_close(link);
    }
}

void wire_case_messages_outlive_their_sender(const struct whorl_transport_ops *ops,
                                             enum wire_ranks ranks)
{
    struct world_spec spec = world_spec_of(ops, ranks, run_outlive);

    world_run(&spec);
}

static void run_unread(struct world_rank *rank)
{
    struct wh_link *out = world_link(rank, 1 - rank->env.rank, 0, true);
    struct wh_link *in = world_link(rank, 1 - rank->env.rank, 0, false);
    struct wh_slot slot;

    for (uint32_t i = 0; i < 3; i++) {
        post_one(rank, out, i);
    }
    world_barrier(rank);
    take_one(rank, in, 0);
    (void)find_one(rank, in);
    REQUIRE(rank, out->ops->acquire(out, &slot) == WHORL_OK);
    link_close(out);
    link_close(in);
}

void wire_case_unread_messages_are_no_obstacle_to_closing(const struct whorl_transport_ops *ops,
                                                          enum wire_ranks ranks)
{
    struct world_spec spec = world_spec_of(ops, ranks, run_unread);

    world_run(&spec);
}

/* ---- sleeping ------------------------------------------------------------------------------- */

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};

    return poll(&polled, 1, timeout_ms) > 0;
}

/* Goes on until nothing is left to be done but wait: the descriptor that tells. */
static int fall_asleep(struct world_rank *rank, struct wh_link *link, bool is_sender)
{
    struct wh_transport_wire *wire = rank->wire;
    struct wh_slot slot;

    for (uint32_t i = 0; i < 20000; i++) {
        whorl_result_t rc =
            is_sender ? link->ops->acquire(link, &slot) : link->ops->poll(link, &slot);
        REQUIRE(rank, rc == WHORL_IN_PROGRESS);
        REQUIRE(rank, world_progress(rank) == WHORL_OK);
        int fd = wire->ops->wait_fd(wire);
        if (fd >= 0 && !is_readable(fd, 0)) {
            return fd;
        }
        usleep(100);
    }
    REQUIRE(rank, !"there is always something to do");
    return -1;
}

static void take_any(void *ctx)
{
    struct wh_link *link = ctx;
    struct wh_slot slot;

    if (link->ops->poll(link, &slot) == WHORL_OK) {
        link->ops->release(link);
    }
}

/* Sleeps on the descriptor while the peer makes something ready. */
static void run_sleepers_on_descriptors(struct world_rank *rank)
{
    enum { PATIENCE_MS = 20000 };
    bool is_sender = rank->env.rank == 0;
    struct wh_link *link = world_link(rank, 1 - rank->env.rank, 0, is_sender);

    if (!is_sender) {
        world_send(rank, world_link(rank, 0, 0, true), 7, 1); /* connects */
        int fd = fall_asleep(rank, link, false);
        world_note(rank, 1);
        REQUIRE(rank, is_readable(fd, PATIENCE_MS));
        world_recv(rank, link, 8, 10);
        world_barrier(rank);
        world_barrier(rank); /* the sender has filled up what it can */
        rank->help = take_any;
        rank->help_ctx = link;
        world_wait_note(rank, 0, 1); /* has awoken */
        rank->help = NULL;
        world_barrier(rank);
        return;
    }
    world_recv(rank, world_link(rank, 1, 0, false), 7, 1);
    world_wait_note(rank, 1, 1);
    world_send(rank, link, 8, 10);
    world_flush(rank, link);
    world_barrier(rank);
    fill_up(rank, link, 0);
    int fd = fall_asleep(rank, link, true);
    world_barrier(rank);
    REQUIRE(rank, is_readable(fd, PATIENCE_MS));
    world_note(rank, 1);
    world_barrier(rank);
}

/* Pretends to sleep while the peer makes something ready: the bell must have been rung. */
static void run_sleepers(struct world_rank *rank)
{
    bool is_sender = rank->env.rank == 0;
    struct wh_link *link = world_link(rank, 1 - rank->env.rank, 0, is_sender);
    struct wh_doorbell *bell = rank->bell;
    uint32_t rings;

    atomic_fetch_add(&bell->sleepers, 1);
    rings = atomic_load(&bell->rings);
    world_barrier(rank);

    if (is_sender) {
        post_one(rank, link, 0);
        require_full(rank, link);
    }
    world_barrier(rank);
    REQUIRE(rank, is_sender == (atomic_load(&bell->rings) == rings));
    world_barrier(rank);

    if (!is_sender) {
        take_one(rank, link, 0);
    }
    world_barrier(rank);
    REQUIRE(rank, !is_sender || atomic_load(&bell->rings) != rings);
    atomic_fetch_sub(&bell->sleepers, 1);
    link_close(link);
}

void wire_case_sleepers_are_woken(const struct whorl_transport_ops *ops, enum wire_ranks ranks)
{
    struct world_spec spec = world_spec_of(ops, ranks, run_sleepers);

    if (ops->bell == NULL) {
        cr_assert_not_null(ops->wait_fd);
        spec.run = run_sleepers_on_descriptors;
        spec.slot_nbytes = 64 << 10;
    }
    spec.nslots = 1; /* so that the sender is the one that a release wakes */
    world_run(&spec);
}
