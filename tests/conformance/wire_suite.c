/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: order, back pressure, many links, early and late ends, sleepers. */
#include "conformance/wire_suite.h"

#include "conformance/wire_world.h"

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

static void take_one(struct world_rank *rank, struct wh_link *link, uint64_t seed)
{
    struct wh_slot slot;

    REQUIRE(rank, link->ops->poll(link, &slot) == WHORL_OK);
    REQUIRE(rank, world_is_filled(&slot, seed, 10));
    link->ops->release(link);
}

static void require_full(struct world_rank *rank, struct wh_link *link)
{
    struct wh_slot slot;

    REQUIRE(rank, link->ops->acquire(link, &slot) == WHORL_IN_PROGRESS);
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
            REQUIRE(rank, link->ops->poll(link, &first) == WHORL_OK);
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
    const uint64_t base = 1000 * rank->env.rank;
    const uint64_t peer_base = 1000 - base;
    struct wh_link *out[NCHANNELS], *in[NCHANNELS];

    for (uint32_t c = 0; c < NCHANNELS; c++) {
        out[c] = world_link(rank, 1 - rank->env.rank, c, true);
        in[c] = world_link(rank, 1 - rank->env.rank, c, false);
    }
    for (uint32_t i = 0; i < rank->env.nslots; i++) {
        post_one(rank, out[0], base + i);
    }
    require_full(rank, out[0]);
    world_barrier(rank);

    /* Channel 1 is empty, and channel 2 moves though 0 is stuck. */
    require_empty(rank, in[1]);
    for (uint32_t i = 0; i < 3 * rank->env.nslots; i++) {
        world_send(rank, out[2], base + 100 + i, 65);
        world_recv(rank, in[2], peer_base + 100 + i, 65);
    }
    world_barrier(rank);
    require_full(rank, out[0]);
    world_barrier(rank);
    for (uint32_t i = 0; i < rank->env.nslots; i++) {
        take_one(rank, in[0], peer_base + i);
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
    return ((uint64_t)sender * 8 + receiver) * 1000 + channel * 100 + n;
}

static void run_all_to_all(struct world_rank *rank)
{
    enum { NCHANNELS = 2, NMESSAGES = 12 };
    const uint32_t self = rank->env.rank;
    struct wh_link *out[WORLD_RANKS_MAX][NCHANNELS], *in[WORLD_RANKS_MAX][NCHANNELS];

    for (uint32_t peer = 0; peer < rank->env.nranks; peer++) {
        for (uint32_t c = 0; c < NCHANNELS; c++) {
            out[peer][c] = world_link(rank, peer, c, true);
            in[peer][c] = world_link(rank, peer, c, false);
        }
    }
    /* A rank is at most one message ahead of those that it waits for, so no FIFO stays full. */
    for (uint32_t n = 0; n < NMESSAGES; n++) {
        for (uint32_t i = 0; i < rank->env.nranks * NCHANNELS; i++) {
            uint32_t peer = (self + i) % rank->env.nranks;
            uint32_t c = i / rank->env.nranks;
            world_send(rank, out[peer][c], seed_of(self, peer, c, n), 40 + n);
        }
        for (uint32_t i = 0; i < rank->env.nranks * NCHANNELS; i++) {
            uint32_t peer = (self + i) % rank->env.nranks;
            uint32_t c = i / rank->env.nranks;
            world_recv(rank, in[peer][c], seed_of(peer, self, c, n), 40 + n);
        }
    }
    for (uint32_t peer = 0; peer < rank->env.nranks; peer++) {
        for (uint32_t c = 0; c < NCHANNELS; c++) {
            link_close(out[peer][c]);
            link_close(in[peer][c]);
        }
    }
}

void wire_case_eight_ranks_talk_to_all(const struct whorl_transport_ops *ops, enum wire_ranks ranks)
{
    struct world_spec spec = world_spec_of(ops, ranks, run_all_to_all);

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
        require_full(rank, early);
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
    REQUIRE(rank, in->ops->poll(in, &slot) == WHORL_OK);
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

/* Pretends to sleep while the peer makes something ready: the bell must have been rung. */
static void run_sleepers(struct world_rank *rank)
{
    bool is_sender = rank->env.rank == 0;
    struct wh_link *link = world_link(rank, 1 - rank->env.rank, 0, is_sender);
    struct wh_doorbell *bell = rank->bell;
    uint32_t rings;

    if (bell == NULL) { /* this transport has none: its users nap */
        link_close(link);
        return;
    }
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

    spec.nslots = 1; /* so that the sender is the one that a release wakes */
    world_run(&spec);
}
