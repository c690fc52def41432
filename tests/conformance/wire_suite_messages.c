/* SPDX-License-Identifier: Apache-2.0 */
/* Messages sent straight from memory of the user, and received straight to it. */
#include "conformance/wire_suite.h"
#include "conformance/wire_world.h"

#include <stdlib.h>
#include <string.h>

enum { LARGE_NBYTES = 12 << 20 }; /* more than both ends' systems buffer */

static void link_close(struct wh_link *link)
{
    link->ops->link_close(link);
}

static uint8_t *take_memory(struct world_rank *rank, size_t nbytes)
{
    uint8_t *memory = malloc(nbytes);
    REQUIRE(rank, memory != NULL);
    memset(memory, 0, nbytes);
    return memory;
}

/* ---- sending -------------------------------------------------------------------------------- */

static const size_t some_nbytes[] = {0, 1, 63, 64, 65, 1000, 4095, 4096};

static void run_sent_from(struct world_rank *rank)
{
    bool is_sender = rank->env.rank == rank->variant;
    struct wh_link *link = world_link(rank, 1 - rank->env.rank, 0, is_sender);
    uint8_t memory[4096];

    for (uint64_t i = 0; i < 200; i++) {
        size_t nbytes = some_nbytes[i * 5 % ARRAY_LEN(some_nbytes)];
        if (is_sender) {
            world_send_from(rank, link, i, memory, nbytes);
        } else {
            world_recv(rank, link, i, nbytes);
        }
    }
    link_close(link);
    world_barrier(rank);
}

void wire_case_what_was_sent_from_is_the_senders_again(const struct whorl_transport_ops *ops,
                                                       enum wire_ranks ranks)
{
    for (uint32_t sender = 0; sender < 2; sender++) {
        struct world_spec spec = world_spec_of(ops, ranks, run_sent_from);
        spec.variant = sender;
        world_run(&spec);
    }
}

/* The receiver looks only after the sender has found that it cannot go on. */
static void run_large(struct world_rank *rank)
{
    const size_t nbytes = rank->env.slot_nbytes;
    bool is_sender = rank->env.rank == rank->variant;
    struct wh_link *link = world_link(rank, 1 - rank->env.rank, 0, is_sender);
    uint8_t *memory = take_memory(rank, nbytes);
    _Alignas(8) uint8_t head[WH_SLOT_HEAD_NBYTES];

    if (is_sender) {
        /* As send_from() is called again and again with the same arguments. */
        world_fill(&(struct wh_slot){.head = head, .data = memory}, 1, nbytes);
        for (uint32_t i = 0; i < 50; i++) {
            REQUIRE(rank, link->ops->send_from(link, head, memory, nbytes) == WHORL_IN_PROGRESS);
        }
    }
    world_barrier(rank);
    for (uint64_t i = 1; i <= 3; i++) {
        if (is_sender) {
            world_send_from(rank, link, i, memory, nbytes);
        } else {
            struct wh_slot slot = i == 2 ? world_recv_into(rank, link, memory, nbytes)
                                         : world_poll(rank, link);
            REQUIRE(rank, world_is_filled(&slot, i, nbytes));
            link->ops->release(link);
        }
    }
    world_barrier(rank);
    link_close(link);
    free(memory);
}

void wire_case_messages_larger_than_any_buffer_get_through(const struct whorl_transport_ops *ops,
                                                           enum wire_ranks ranks)
{
    for (uint32_t sender = 0; sender < 2; sender++) {
        struct world_spec spec = world_spec_of(ops, ranks, run_large);
        spec.variant = sender;
        spec.slot_nbytes = LARGE_NBYTES;
        spec.nslots = 2;
        world_run(&spec);
    }
}

static void run_both_large(struct world_rank *rank)
{
    const size_t nbytes = rank->env.slot_nbytes;
    struct wh_link *out = world_link(rank, 1 - rank->env.rank, 0, true);
    struct wh_link *in = world_link(rank, 1 - rank->env.rank, 0, false);
    uint8_t *memory = take_memory(rank, nbytes);

    /* Both send before they receive: each has to take what comes while it waits. */
    for (uint64_t i = 0; i < 4; i++) {
        world_send_from(rank, out, 2 * i + rank->env.rank, memory, nbytes);
        world_recv(rank, in, 2 * i + 1 - rank->env.rank, nbytes);
    }
    world_barrier(rank);
    link_close(out);
    link_close(in);
    free(memory);
}

void wire_case_both_directions_carry_large_messages_at_once(const struct whorl_transport_ops *ops,
                                                            enum wire_ranks ranks)
{
    struct world_spec spec = world_spec_of(ops, ranks, run_both_large);

    spec.slot_nbytes = LARGE_NBYTES / 2;
    spec.nslots = 2;
    world_run(&spec);
}

/* ---- receiving ------------------------------------------------------------------------------ */

/* Tells the peer to send, once recv_into() has said that nothing is there. */
static void arm_and_ask(struct world_rank *rank, struct wh_link *link, void *memory, size_t nbytes)
{
    struct wh_slot slot;

    world_barrier(rank);
    for (uint32_t i = 0; i < 3; i++) {
        REQUIRE(rank, link->ops->recv_into(link, memory, nbytes, &slot) == WHORL_IN_PROGRESS);
    }
    world_barrier(rank);
}

static void wait_to_be_asked(struct world_rank *rank)
{
    world_barrier(rank);
    world_barrier(rank);
}

/* Sender and receiver of messages of sent_nbytes, where the receiver hopes for hoped_nbytes. */
static void run_hope(struct world_rank *rank, size_t sent_nbytes, size_t hoped_nbytes)
{
    bool is_sender = rank->env.rank == 0;
    struct wh_link *link = world_link(rank, 1 - rank->env.rank, 0, is_sender);
    uint8_t memory[4096];

    for (uint64_t i = 0; i < 6; i++) {
        if (is_sender) {
            wait_to_be_asked(rank);
            world_send(rank, link, i, sent_nbytes);
            world_send(rank, link, i, 7);
            world_flush(rank, link);
            continue;
        }
        arm_and_ask(rank, link, memory, hoped_nbytes);
        struct wh_slot slot = world_recv_into(rank, link, memory, hoped_nbytes);
        REQUIRE(rank, world_is_filled(&slot, i, sent_nbytes));
        REQUIRE(rank, (slot.data == memory) == (sent_nbytes == hoped_nbytes));
        memset(memory, 0xcc, sizeof(memory));
        link->ops->release(link);
        world_recv(rank, link, i, 7); /* was not mistaken for a part of it */
        for (size_t b = 0; b < sizeof(memory); b++) {
            REQUIRE(rank, memory[b] == 0xcc); /* the user's again */
        }
    }
    world_barrier(rank);
    link_close(link);
}

static void run_wanted(struct world_rank *rank)
{
    run_hope(rank, 1000, 1000);
}

static void run_wanted_shorter(struct world_rank *rank)
{
    run_hope(rank, 100, 3000);
}

static void run_wanted_longer(struct world_rank *rank)
{
    run_hope(rank, 3000, 100);
}

static void run_wanted_empty(struct world_rank *rank)
{
    run_hope(rank, 0, 3000);
}

void wire_case_a_message_goes_where_it_is_wanted(const struct whorl_transport_ops *ops,
                                                 enum wire_ranks ranks)
{
    struct world_spec spec = world_spec_of(ops, ranks, run_wanted);

    world_run(&spec);
}

void wire_case_a_message_of_another_size_goes_to_a_slot(const struct whorl_transport_ops *ops,
                                                        enum wire_ranks ranks)
{
    void (*const runs[])(struct world_rank *) = {run_wanted_shorter, run_wanted_longer,
                                                 run_wanted_empty};

    for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
        struct world_spec spec = world_spec_of(ops, ranks, runs[i]);
        world_run(&spec);
    }
}

/* Several messages wait before anybody says where they are wanted. */
static void run_came_first(struct world_rank *rank)
{
    bool is_sender = rank->env.rank == 0;
    struct wh_link *link = world_link(rank, 1 - rank->env.rank, 0, is_sender);
    uint8_t memory[4096];

    for (uint64_t i = 0; is_sender && i < 2 * rank->env.nslots; i++) {
        world_send(rank, link, i, 500);
    }
    if (is_sender) {
        world_flush(rank, link);
    } else {
        /* The first is here for sure; the others most likely. */
        struct wh_slot slot = world_poll(rank, link);
        REQUIRE(rank, world_is_filled(&slot, 0, 500));
        world_barrier(rank);
        slot = world_recv_into(rank, link, memory, 500);
        REQUIRE(rank, slot.data != memory);
        for (uint64_t i = 0; i < 2 * rank->env.nslots; i++) {
            slot = world_recv_into(rank, link, memory, i % 2 == 0 ? 500 : 400);
            REQUIRE(rank, world_is_filled(&slot, i, 500));
            link->ops->release(link);
        }
    }
    if (is_sender) {
        world_barrier(rank);
    }
    world_barrier(rank);
    link_close(link);
}

void wire_case_a_message_that_came_first_is_where_it_is(const struct whorl_transport_ops *ops,
                                                        enum wire_ranks ranks)
{
    struct world_spec spec = world_spec_of(ops, ranks, run_came_first);

    world_run(&spec);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* What is sent is known to both; how it is sent and received, each decides for itself. */
static size_t mixed_nbytes(const struct world_rank *rank, uint64_t i)
{
    uint64_t state = i * 77 + 5;
    uint32_t dice = next_random(&state);

    return dice % 4 == 0 ? 0 : dice % 4 == 1 ? dice % 100 : dice % (rank->env.slot_nbytes + 1);
}

static void send_mixed(struct world_rank *rank, struct wh_link *link, uint64_t i, uint32_t dice,
                       uint8_t *memory)
{
    size_t nbytes = mixed_nbytes(rank, i);

    if (dice % 2 == 0) {
        world_send(rank, link, i, nbytes);
    } else {
        world_send_from(rank, link, i, memory, nbytes);
    }
}

static void recv_mixed(struct world_rank *rank, struct wh_link *link, uint64_t i, uint32_t dice,
                       uint8_t *memory)
{
    size_t nbytes = mixed_nbytes(rank, i);
    struct wh_slot slot;

    if (dice % 4 == 0) {
        slot = world_poll(rank, link);
    } else if (dice % 4 == 1) {
        slot = world_recv_into(rank, link, memory, rank->env.slot_nbytes / 2);
    } else {
        slot = world_recv_into(rank, link, dice % 4 == 2 ? NULL : memory, nbytes);
    }
    REQUIRE(rank, world_is_filled(&slot, i, nbytes));
    link->ops->release(link);
}

static void run_mix(struct world_rank *rank)
{
    struct wh_link *out = world_link(rank, 1 - rank->env.rank, 0, true);
    struct wh_link *in = world_link(rank, 1 - rank->env.rank, 0, false);
    uint8_t *memory = take_memory(rank, 2 * rank->env.slot_nbytes);
    uint64_t state = rank->env.rank + 1;

    for (uint64_t i = 0; i < 300; i++) {
        send_mixed(rank, out, i, next_random(&state), memory);
        recv_mixed(rank, in, i, next_random(&state), memory + rank->env.slot_nbytes);
    }
    world_flush(rank, out);
    world_barrier(rank);
    link_close(out);
    link_close(in);
    free(memory);
}

void wire_case_all_ways_to_send_and_receive_mix(const struct whorl_transport_ops *ops,
                                                enum wire_ranks ranks)
{
    const size_t slots_nbytes[] = {192, 4096, 300 << 10};

    for (size_t i = 0; i < ARRAY_LEN(slots_nbytes); i++) {
        struct world_spec spec = world_spec_of(ops, ranks, run_mix);
        spec.slot_nbytes = slots_nbytes[i];
        spec.nslots = 2 + (uint32_t)i;
        world_run(&spec);
    }
}

/* ---- flush ---------------------------------------------------------------------------------- */

static void run_flushed(struct world_rank *rank)
{
    bool is_sender = rank->env.rank == rank->variant;
    struct wh_link *link = world_link(rank, 1 - rank->env.rank, 0, is_sender);

    for (uint64_t i = 0; is_sender && i < rank->env.nslots; i++) {
        world_send(rank, link, i, rank->env.slot_nbytes);
    }
    if (is_sender) {
        world_flush(rank, link);
        link_close(link);
        rank->wire->ops->close(rank->wire);
        rank->wire = NULL;
    }
    world_barrier(rank);
    for (uint64_t i = 0; !is_sender && i < rank->env.nslots; i++) {
        world_recv(rank, link, i, rank->env.slot_nbytes);
    }
    if (!is_sender) {
        link_close(link);
    }
}

void wire_case_what_was_flushed_outlives_its_sender(const struct whorl_transport_ops *ops,
                                                    enum wire_ranks ranks)
{
    for (uint32_t sender = 0; sender < 2; sender++) {
        struct world_spec spec = world_spec_of(ops, ranks, run_flushed);
        spec.variant = sender;
        spec.slot_nbytes = 256 << 10;
        world_run(&spec);
    }
}
