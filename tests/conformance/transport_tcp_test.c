/* SPDX-License-Identifier: Apache-2.0 */
/* The TCP transport: the suite, as it is, encrypted, over several connections and over IPv6 only;
 * and what only it can get wrong between ranks that mean well. */
#include "conformance/tcp_rig.h"
#include "conformance/wire_suite.h"
#include "conformance/wire_world.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

WIRE_SUITE_ANY(transport_tcp, tcp, threads)
WIRE_SUITE_ANY(transport_tcp, tcp, processes)
WIRE_SUITE_MESSAGES(transport_tcp, tcp, threads)
WIRE_SUITE_MESSAGES(transport_tcp, tcp, processes)

/* The settings are read when the first wire opens. */
static void encrypt(void)
{
    setenv("WHORL_ENCRYPT", "1", 1);
}

TestSuite(transport_tcp_encrypted, .init = encrypt);
WIRE_SUITE_ANY(transport_tcp_encrypted, tcp, threads)
WIRE_SUITE_MESSAGES(transport_tcp_encrypted, tcp, threads)

static void use_four_sockets(void)
{
    setenv("WHORL_SOCKETS", "4", 1);
}

TestSuite(transport_tcp_four, .init = use_four_sockets);
WIRE_SUITE_ANY(transport_tcp_four, tcp, threads)
WIRE_SUITE_MESSAGES(transport_tcp_four, tcp, processes)

static void use_four_encrypted(void)
{
    encrypt();
    use_four_sockets();
}

TestSuite(transport_tcp_four_encrypted, .init = use_four_encrypted);
WIRE_SUITE_MESSAGES(transport_tcp_four_encrypted, tcp, threads)

static void use_v6(void)
{
    setenv("WHORL_SOCKET_FAMILY", "AF_INET6", 1);
    setenv("WHORL_SOCKET_IFNAME", "lo", 1);
    if (access("/proc/net/if_inet6", R_OK) != 0) {
        cr_skip_test("no IPv6 here");
    }
}

TestSuite(transport_tcp_v6, .init = use_v6);
WIRE_TEST(transport_tcp_v6, tcp, threads, messages_arrive_complete_and_in_order)
WIRE_TEST(transport_tcp_v6, tcp, processes, eight_ranks_talk_to_all)
WIRE_TEST(transport_tcp_v6, tcp, threads, what_was_flushed_outlives_its_sender)

/* Over loopback, as if it were a route on which the kernel does not copy. */
static void send_without_copies(void)
{
    setenv("WHORL_ZEROCOPY", "1", 1);
    tcp_zerocopy_is_forced = true;
}

/* All but a_sender_is_held_back_and_loses_nothing, for which a slot is free when its message has
 * been received: here it is when the sender's kernel knows that. */
#define ZEROCOPY_SUITE_ANY(suite)                                              \
    WIRE_TEST(suite, tcp, threads, messages_arrive_complete_and_in_order)      \
    WIRE_TEST(suite, tcp, threads, a_slot_stays_until_it_is_given_away)        \
    WIRE_TEST(suite, tcp, threads, channels_and_directions_are_independent)    \
    WIRE_TEST(suite, tcp, threads, eight_ranks_talk_to_all)                    \
    WIRE_TEST(suite, tcp, threads, a_link_may_open_long_before_its_other_end)  \
    WIRE_TEST(suite, tcp, threads, messages_outlive_their_sender)              \
    WIRE_TEST(suite, tcp, threads, unread_messages_are_no_obstacle_to_closing) \
    WIRE_TEST(suite, tcp, threads, sleepers_are_woken)

TestSuite(transport_tcp_zerocopy, .init = send_without_copies);
ZEROCOPY_SUITE_ANY(transport_tcp_zerocopy)
WIRE_SUITE_MESSAGES(transport_tcp_zerocopy, tcp, threads)
WIRE_SUITE_MESSAGES(transport_tcp_zerocopy, tcp, processes)

static void send_without_copies_over_four(void)
{
    send_without_copies();
    use_four_sockets();
}

TestSuite(transport_tcp_zerocopy_four, .init = send_without_copies_over_four);
ZEROCOPY_SUITE_ANY(transport_tcp_zerocopy_four)
WIRE_SUITE_MESSAGES(transport_tcp_zerocopy_four, tcp, processes)

Test(tcp, sixteen_ranks_talk_to_all)
{
    struct world_spec spec = world_spec_of(&whorl_transport_tcp, wire_threads, wire_run_all_to_all);

    spec.nranks = 16;
    spec.nchannels = 2;
    spec.nslots = 2;
    spec.slot_nbytes = 64;
    world_run(&spec);
}

Test(tcp, who_uses_fewest_sockets_decides)
{
    struct rig rig;

    rig_open(&rig, &(struct rig_spec){.nconns = 3});
    rig_close(&rig);
    for (uint32_t fewer = 0; fewer < 2; fewer++) {
        struct world_spec spec = world_spec_of(&whorl_transport_tcp, wire_threads, NULL);
        struct world_pair pair;
        world_pair_open(&spec, &pair);
        for (uint32_t i = 0; i < 2; i++) {
            struct tcp_wire *wire = (struct tcp_wire *)pair.ranks[i].wire;
            wire->address.nconns = i == fewer ? 2 : 5;
        }
        cr_assert_eq(world_pair_connect(&pair, 2), WHORL_OK);
        struct wh_link *out = world_link(&pair.ranks[0], 1, 0, true);
        struct wh_link *in = world_link(&pair.ranks[1], 0, 0, false);
        for (uint64_t i = 0; i < 20; i++) {
            world_send(&pair.ranks[0], out, i, 4096);
            world_recv(&pair.ranks[1], in, i, 4096);
        }
        for (uint32_t i = 0; i < 2; i++) {
            cr_expect_eq(((struct tcp_wire *)pair.ranks[i].wire)->nconns, 2);
        }
        world_pair_close(&pair);
    }
}

/* ---- peers that do nothing ------------------------------------------------------------------ */

static bool is_readable(int fd)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    return poll(&polled, 1, 0) > 0;
}

/* Goes on with a rank until nothing but a wait is left: can it sleep? */
struct resting {
    struct rig *rig;
    uint32_t rank;
};

static bool is_at_rest(void *ctx)
{
    const struct resting *resting = ctx;
    struct wh_transport_wire *wire = resting->rig->pair.ranks[resting->rank].wire;
    int fd = wire->ops->wait_fd(wire);
    return fd >= 0 && !is_readable(fd);
}

static bool is_connected(void *ctx)
{
    struct rig *rig = ctx;
    return rig_wire(rig, 0)->nbusy == 0 && rig_wire(rig, 1)->nbusy == 0 &&
           rig_wire(rig, 1)->npairs == 1 && rig_conn(rig, 1)->state == TCP_UP;
}

/* Posts until there is no room, stepping sender and receiver meanwhile; how many. */
static uint64_t fill_up(struct rig *rig)
{
    uint64_t n = 0;
    for (uint32_t nfull = 0; nfull < 200; rig_step(rig)) {
        whorl_result_t rc = rig_post(rig, n, rig->pair.ranks[0].env.slot_nbytes);
        cr_assert(rc == WHORL_OK || rc == WHORL_IN_PROGRESS);
        n += rc == WHORL_OK;
        nfull = rc == WHORL_OK ? 0 : nfull + 1;
        cr_assert_lt(n, 1u << 16);
    }
    return n;
}

Test(tcp, who_takes_nothing_holds_the_sender_back_and_lets_everybody_sleep)
{
    for (int encrypts = 0; encrypts < 2; encrypts++) {
        struct rig rig;

        rig_open(&rig, &(struct rig_spec){.encrypts = encrypts, .slot_nbytes = 64 << 10});
        cr_assert(rig_until(&rig, is_connected, &rig));
        uint64_t n = fill_up(&rig);
        for (uint32_t rank = 0; rank < 2; rank++) {
            struct wh_transport_wire *wire = rig.pair.ranks[rank].wire;
            cr_expect(rig_until(&rig, is_at_rest, &(struct resting){&rig, rank}), "rank %u", rank);
            /* The FIFO, records, and little else. */
            cr_expect_leq(wire->ops->memory_nbytes(wire), 8 * (64 << 10));
        }
        for (uint64_t i = 0; i < n; i++) {
            cr_assert_eq(rig_wait_take(&rig, i, 64 << 10), WHORL_OK);
        }
        rig_close(&rig);
    }
}

Test(tcp, a_peer_whose_call_nobody_wants_yet_lets_everybody_sleep)
{
    struct world_spec spec = world_spec_of(&whorl_transport_tcp, wire_threads, NULL);
    struct rig rig;

    /* Rank 1 has a link to rank 0, and none from it. */
    spec.slot_nbytes = 64 << 10;
    memset(&rig, 0, sizeof(rig));
    world_pair_open(&spec, &rig.pair);
    for (uint32_t i = 0; i < 2; i++) {
        rig.pair.ranks[i].help = NULL;
    }
    cr_assert_eq(world_pair_connect(&rig.pair, 2), WHORL_OK);
    rig.out = world_link(&rig.pair.ranks[0], 1, 0, true);
    struct wh_link *other = world_link(&rig.pair.ranks[1], 0, 0, true);
    cr_assert(rig_until(&rig, is_connected, &rig));
    uint64_t n = fill_up(&rig);
    for (uint32_t rank = 0; rank < 2; rank++) {
        cr_expect(rig_until(&rig, is_at_rest, &(struct resting){&rig, rank}), "rank %u", rank);
    }
    cr_expect_eq(rig_wire(&rig, 1)->pairs[0]->recv.end, 0);
    rig.in = world_link(&rig.pair.ranks[1], 0, 0, false);
    for (uint64_t i = 0; i < n; i++) {
        cr_assert_eq(rig_wait_take(&rig, i, 64 << 10), WHORL_OK);
    }
    other->ops->link_close(other);
    rig_close(&rig);
}

/* Who waits for somebody else is not kept awake by a peer that has died with its messages. */
Test(tcp, a_dead_peer_whose_messages_nobody_takes_lets_others_sleep)
{
    struct rig rig;
    const struct linger at_once = {.l_onoff = 1};

    rig_open(&rig, &(struct rig_spec){.slot_nbytes = 64 << 10});
    cr_assert(rig_until(&rig, is_connected, &rig));
    fill_up(&rig);
    cr_assert_eq(setsockopt(rig_conn(&rig, 0)->fd, SOL_SOCKET, SO_LINGER, &at_once,
                            sizeof(at_once)),
                 0);
    tcp_conn_end(rig_conn(&rig, 0), 0);
    close(rig_conn(&rig, 0)->fd); /* resets it */
    rig_conn(&rig, 0)->fd = -1;
    cr_expect(rig_until(&rig, is_at_rest, &(struct resting){&rig, 1}));
    for (uint64_t i = 0; i < 4; i++) { /* what is here already is good */
        cr_expect_eq(rig_wait_take(&rig, i, 64 << 10), WHORL_OK);
    }
    rig_close(&rig);
}

/* ---- errors --------------------------------------------------------------------------------- */

Test(tcp, a_peer_that_left_is_an_error_after_what_it_sent)
{
    for (int encrypts = 0; encrypts < 2; encrypts++) {
        struct rig rig;

        rig_open(&rig, &(struct rig_spec){.encrypts = encrypts});
        for (uint64_t i = 0; i < 3; i++) {
            cr_assert_eq(rig_post(&rig, i, 100), WHORL_OK);
        }
        cr_assert_eq(rig_wait_take(&rig, 0, 100), WHORL_OK);
        shutdown(rig_conn(&rig, 0)->fd, SHUT_RDWR);
        cr_expect_eq(rig_wait_take(&rig, 1, 100), WHORL_OK);
        cr_expect_eq(rig_wait_take(&rig, 2, 100), WHORL_OK);
        cr_expect_eq(rig_wait_take(&rig, 3, 100), WHORL_E_PEER);
        cr_expect_eq(rig_wait_take(&rig, 3, 100), WHORL_E_PEER);
        cr_expect_eq(rig_wait_refusal(&rig), WHORL_E_PEER);
        rig_close(&rig);
    }
}

/* Waits until a large message cannot go on: what is left of it is in memory of the user. */
static whorl_result_t send_what_fits(struct rig *rig, const uint8_t *memory, size_t nbytes)
{
    static const uint8_t head[WH_SLOT_HEAD_NBYTES];
    whorl_result_t rc = WHORL_IN_PROGRESS;

    for (uint32_t i = 0; i < 100 && rc == WHORL_IN_PROGRESS; i++) {
        rc = whorl_transport_tcp.send_from(rig->out, head, memory, nbytes);
    }
    return rc;
}

/* AddressSanitizer tells when memory is used that its user has got back. */
Test(tcp, after_an_error_memory_is_the_users_again)
{
    const size_t nbytes = 12 << 20;

    for (uint32_t i = 0; i < 4; i++) {
        uint8_t *memory = malloc(nbytes), *into = malloc(nbytes);
        const struct rig_spec spec = {
            .encrypts = i % 2 != 0, .nconns = i < 2 ? 1 : 3, .slot_nbytes = nbytes};
        struct rig rig;
        struct wh_slot slot;

        cr_assert(memory != NULL && into != NULL);
        memset(memory, 1, nbytes);
        rig_open(&rig, &spec);
        cr_assert(rig_until(&rig, is_connected, &rig));
        cr_assert_eq(whorl_transport_tcp.recv_into(rig.in, into, nbytes, &slot),
                     WHORL_IN_PROGRESS);
        whorl_result_t rc = send_what_fits(&rig, memory, nbytes);
        /* One of the connections breaks; the others could go on. */
        shutdown(rig_conn(&rig, 0)->fd, SHUT_RDWR);
        for (uint32_t n = 0; n < 100000 && rc == WHORL_IN_PROGRESS; n++) {
            rig_step(&rig);
            rc = send_what_fits(&rig, memory, nbytes);
        }
        /* What is encrypted is a copy. */
        cr_expect_eq(rc, spec.encrypts ? WHORL_OK : WHORL_E_PEER, "sender: %d", (int)rc);
        free(memory);
        rc = WHORL_IN_PROGRESS;
        for (uint32_t n = 0; n < 100000 && rc == WHORL_IN_PROGRESS; n++) {
            rc = whorl_transport_tcp.recv_into(rig.in, into, nbytes, &slot);
            rig_step(&rig);
        }
        cr_expect_eq(rc, WHORL_E_PEER, "receiver: %d", (int)rc);
        free(into);
        for (uint32_t n = 0; n < 100; n++) {
            rig_step(&rig);
        }
        rig_close(&rig);
    }
}

/* An operation that was given up leaves messages half sent and half received. */
Test(tcp, after_links_are_closed_memory_is_the_users_again)
{
    const size_t nbytes = 12 << 20;

    for (uint32_t i = 0; i < 3; i++) {
        uint8_t *memory = malloc(nbytes), *into = malloc(nbytes);
        const struct rig_spec spec = {
            .encrypts = i % 2 != 0, .nconns = i < 2 ? 1 : 3, .slot_nbytes = nbytes};
        struct rig rig;
        struct wh_slot slot;

        cr_assert(memory != NULL && into != NULL);
        memset(memory, 1, nbytes);
        rig_open(&rig, &spec);
        cr_assert(rig_until(&rig, is_connected, &rig));
        cr_assert_eq(whorl_transport_tcp.recv_into(rig.in, into, nbytes, &slot),
                     WHORL_IN_PROGRESS);
        cr_assert_eq(send_what_fits(&rig, memory, nbytes),
                     spec.encrypts ? WHORL_OK : WHORL_IN_PROGRESS);
        whorl_transport_tcp.link_close(rig.out);
        whorl_transport_tcp.link_close(rig.in);
        rig.out = NULL;
        rig.in = NULL;
        free(memory);
        free(into);
        for (uint32_t n = 0; n < 100; n++) { /* as closing does for others' sake */
            rig_step(&rig);
        }
        rig_close(&rig);
    }
}

/* ---- counts --------------------------------------------------------------------------------- */

Test(tcp, what_was_sent_is_counted)
{
    struct rig rig;

    rig_open(&rig, &(struct rig_spec){.nslots = 4});
    struct wh_transport_wire *wire = rig.pair.ranks[0].wire;
    cr_assert(rig_until(&rig, is_connected, &rig));
    uint64_t before = wire->ops->sent_nbytes(wire);
    for (uint64_t i = 0; i < 4; i++) {
        cr_assert_eq(rig_post(&rig, i, 100), WHORL_OK);
        cr_assert_eq(rig_wait_take(&rig, i, 100), WHORL_OK);
    }
    cr_expect_eq(wire->ops->sent_nbytes(wire) - before, 4 * (TCP_HEAD_NBYTES + 100));
    rig_close(&rig);
}

/* ---- without copies ------------------------------------------------------------------------- */

static bool has_landed(void *ctx)
{
    struct rig *rig = ctx;
    const struct tcp_conn *conn = rig_conn(rig, 0);
    const struct tcp_link *link = &conn->pair->send;
    cr_assert_eq(tcp_pump_out(conn->pair), WHORL_OK);
    return conn->nflights == 0 && link->begin == link->end;
}

Test(transport_tcp_zerocopy, slots_are_free_when_the_peer_has_their_messages)
{
    enum { NMESSAGES = 64 };
    const size_t nbytes = 256 << 10;

    for (int encrypts = 0; encrypts < 2; encrypts++) {
        struct rig rig;
        uint64_t nposted = 0;

        rig_open(&rig, &(struct rig_spec){.encrypts = encrypts, .slot_nbytes = nbytes});
        cr_assert(rig_until(&rig, is_connected, &rig));
        if (!encrypts && rig_conn(&rig, 0)->zerocopy.state == TCP_ZEROCOPY_OFF) {
            rig_close(&rig);
            cr_skip_test("this kernel has no SO_ZEROCOPY for TCP");
        }
        for (uint64_t i = 0; i < NMESSAGES; i++) {
            while (nposted < NMESSAGES && rig_post(&rig, nposted, nbytes) == WHORL_OK) {
                nposted++;
                cr_assert_leq(rig_conn(&rig, 0)->nflights, 4);
            }
            cr_assert_eq(rig_wait_take(&rig, i, nbytes), WHORL_OK);
        }
        cr_expect(rig_until(&rig, has_landed, &rig));
        if (encrypts) {
            cr_expect_eq(rig_conn(&rig, 0)->zerocopy.next, 0);
        } else {
            cr_expect_eq(rig_conn(&rig, 0)->zerocopy.state, TCP_ZEROCOPY_ON);
            cr_expect_gt(rig_conn(&rig, 0)->zerocopy.next, NMESSAGES / 2);
        }
        rig_close(&rig);
    }
}

Test(transport_tcp_zerocopy, who_sleeps_is_not_kept_awake_by_what_went_well)
{
    struct rig rig;

    rig_open(&rig, &(struct rig_spec){.slot_nbytes = 256 << 10});
    cr_assert(rig_until(&rig, is_connected, &rig));
    cr_assert_eq(rig_post(&rig, 1, 256 << 10), WHORL_OK);
    cr_assert_eq(rig_wait_take(&rig, 1, 256 << 10), WHORL_OK);
    for (uint32_t rank = 0; rank < 2; rank++) {
        cr_expect(rig_until(&rig, is_at_rest, &(struct resting){&rig, rank}), "rank %u", rank);
    }
    rig_close(&rig);
}

/* Its user gets the memory back when the link closes, and writes to it. */
Test(transport_tcp_zerocopy, what_was_given_up_does_not_arrive_altered)
{
    const size_t nbytes = 12 << 20;

    for (uint32_t nconns = 1; nconns < 4; nconns += 2) {
        uint8_t *memory = malloc(nbytes);
        struct wh_slot slot;
        struct rig rig;

        cr_assert_not_null(memory);
        memset(memory, 1, nbytes);
        rig_open(&rig, &(struct rig_spec){.slot_nbytes = nbytes, .nconns = nconns});
        cr_assert(rig_until(&rig, is_connected, &rig));
        cr_assert_eq(send_what_fits(&rig, memory, nbytes), WHORL_IN_PROGRESS);
        cr_expect_gt(tcp_zerocopy_nflying(&rig_conn(&rig, 0)->zerocopy), 0);
        rig.out->ops->link_close(rig.out);
        rig.out = NULL;
        memset(memory, 0xee, nbytes);
        free(memory);
        whorl_result_t rc = WHORL_IN_PROGRESS;
        for (uint32_t n = 0; n < 100000 && rc == WHORL_IN_PROGRESS; n++) {
            rig_step(&rig);
            rc = rig.in->ops->poll(rig.in, &slot);
        }
        cr_expect_eq(rc, WHORL_E_PEER, "%d", (int)rc);
        rig_close(&rig);
    }
}
