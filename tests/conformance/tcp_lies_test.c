/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that proved who it is, and then sends what no rank sends: WHORL_E_PEER, and no harm. */
#include "conformance/tcp_rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { SLOT = RIG_SLOT_NBYTES, SHARED_SLOT = 4 * (64 << 10), UNIT = 64 << 10 };

static void say_nothing(void)
{
    setenv("WHORL_DEBUG", "NONE", 1);
}

TestSuite(tcp_lies, .init = say_nothing);

/* Two ranks between which one message has gone and come, so that all connections are up. */
static void lie_open(struct rig *rig, uint32_t nconns, size_t slot_nbytes)
{
    rig_open(rig, &(struct rig_spec){.nconns = nconns, .slot_nbytes = slot_nbytes});
    cr_assert_eq(rig_post(rig, 0, slot_nbytes), WHORL_OK);
    cr_assert_eq(rig_wait_take(rig, 0, slot_nbytes), WHORL_OK);
}

/* Writes to rank 0's end of a connection, behind the back of its wire. */
static void write_raw(struct rig *rig, uint32_t index, const void *bytes, size_t nbytes)
{
    for (size_t done = 0; done < nbytes;) {
        ssize_t n = wh_sock_send(rig_conn(rig, 0)[index].fd, (const uint8_t *)bytes + done,
                                 nbytes - done);
        cr_assert_geq(n, 0);
        done += (size_t)n;
    }
}

static void write_fragment(struct rig *rig, uint32_t index, const struct tcp_head *head)
{
    static const uint8_t zeros[SHARED_SLOT];
    uint8_t bytes[TCP_HEAD_NBYTES] = {0};

    tcp_head_encode(head, bytes);
    write_raw(rig, index, bytes, sizeof(bytes));
    write_raw(rig, index, zeros, head->nbytes < sizeof(zeros) ? head->nbytes : 0);
}

Test(tcp_lies, heads_that_make_no_sense)
{
    /* Message number 1 is next. */
    const struct tcp_head heads[] = {
        {.seq = 1, .offset = 101, .nbytes = 0, .total_nbytes = 100},
        {.seq = 1, .offset = 101, .nbytes = 1, .total_nbytes = 100},
        {.seq = 1, .offset = 50, .nbytes = 51, .total_nbytes = 100},
        {.seq = 1, .offset = UINT32_MAX, .nbytes = 2, .total_nbytes = 1},
        {.seq = 1, .offset = 1, .nbytes = UINT32_MAX, .total_nbytes = 100},
        {.seq = 1, .offset = 0, .nbytes = 0, .total_nbytes = 100},
        {.seq = 1, .offset = 100, .nbytes = 0, .total_nbytes = 100},
        {.seq = 1, .offset = 0, .nbytes = 1, .total_nbytes = 0},
        {.seq = 1, .offset = 0, .nbytes = SLOT + 1, .total_nbytes = SLOT + 1},
        {.seq = 1, .offset = 0, .nbytes = 1, .total_nbytes = SLOT + 1},
        {.seq = 1, .offset = 0, .nbytes = UINT32_MAX, .total_nbytes = UINT32_MAX},
        /* A part, where one connection brings whole messages. */
        {.seq = 1, .offset = 0, .nbytes = 50, .total_nbytes = 100},
        {.seq = 1, .offset = 50, .nbytes = 50, .total_nbytes = 100},
        /* Messages that were, and that cannot be yet. */
        {.seq = 0, .offset = 0, .nbytes = 100, .total_nbytes = 100},
        {.seq = 2, .offset = 0, .nbytes = 100, .total_nbytes = 100},
        {.seq = 3, .offset = 0, .nbytes = 0, .total_nbytes = 0},
        {.seq = 5, .offset = 0, .nbytes = 100, .total_nbytes = 100},
        {.seq = 1000, .offset = 0, .nbytes = 100, .total_nbytes = 100},
        {.seq = 1u << 31, .offset = 0, .nbytes = 100, .total_nbytes = 100},
        {.seq = UINT32_MAX, .offset = 0, .nbytes = 100, .total_nbytes = 100},
    };

    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        struct rig rig;
        lie_open(&rig, 1, SLOT);
        write_fragment(&rig, 0, &heads[i]);
        cr_expect_eq(rig_wait_take(&rig, 1, 100), WHORL_E_PEER, "head %zu", i);
        cr_expect_eq(rig_wait_take(&rig, 1, 100), WHORL_E_PEER, "head %zu, once more", i);
        rig_close(&rig);
    }
}

Test(tcp_lies, bytes_that_are_no_head)
{
    for (uint32_t byte = 0; byte < 4; byte++) {
        struct rig rig;
        const struct tcp_head head = {.seq = 1, .nbytes = 8, .total_nbytes = 8};
        uint8_t bytes[TCP_HEAD_NBYTES + 8] = {0};

        lie_open(&rig, 1, SLOT);
        tcp_head_encode(&head, bytes);
        bytes[byte] ^= 0x10;
        write_raw(&rig, 0, bytes, sizeof(bytes));
        cr_expect_eq(rig_wait_take(&rig, 1, 8), WHORL_E_PEER);
        rig_close(&rig);
    }
}

/* Wherever the memory is: in a slot, or the user's. */
Test(tcp_lies, nothing_is_written_beyond_what_was_offered)
{
    uint8_t memory[3 * 64];
    struct rig rig;
    struct wh_slot slot;
    const struct tcp_head longer = {.seq = 1, .nbytes = 100, .total_nbytes = 100};
    const struct tcp_head again = {.seq = 1, .nbytes = 100, .total_nbytes = 100};

    lie_open(&rig, 1, SLOT);
    memset(memory, 0x77, sizeof(memory));
    cr_assert_eq(whorl_transport_tcp.recv_into(rig.in, memory + 64, 64, &slot), WHORL_IN_PROGRESS);
    write_fragment(&rig, 0, &longer);
    write_fragment(&rig, 0, &again);
    whorl_result_t rc = WHORL_IN_PROGRESS;
    for (uint32_t i = 0; i < 1000 && rc == WHORL_IN_PROGRESS; i++) {
        rig_step(&rig);
        rc = whorl_transport_tcp.recv_into(rig.in, memory + 64, 64, &slot);
    }
    cr_expect_eq(rc, WHORL_OK);
    cr_expect_eq(slot.nbytes, 100);
    cr_expect_neq(slot.data, memory + 64);
    whorl_transport_tcp.release(rig.in);
    for (size_t i = 0; i < 64; i++) {
        cr_expect_eq(memory[i], 0x77);
        cr_expect_eq(memory[128 + i], 0x77);
    }
    cr_expect_eq(rig_wait_take(&rig, 2, 100), WHORL_E_PEER);
    rig_close(&rig);
}

/* ---- several connections: parts of one message ---------------------------------------------- */

/* The second head, after the first one, is the lie. */
Test(tcp_lies, parts_that_do_not_fit_together)
{
    const struct tcp_head pairs[][2] = {
        /* The same part twice, on two connections: one of them would still be written to the
         * message's memory when that is the user's again. */
        {{.seq = 1, .offset = 0, .nbytes = UNIT, .total_nbytes = 3 * UNIT},
         {.seq = 1, .offset = 0, .nbytes = UNIT, .total_nbytes = 3 * UNIT}},
        /* Parts that overlap, or leave a hole. */
        {{.seq = 1, .offset = 0, .nbytes = UNIT, .total_nbytes = 3 * UNIT},
         {.seq = 1, .offset = UNIT / 2, .nbytes = UNIT, .total_nbytes = 3 * UNIT}},
        {{.seq = 1, .offset = 0, .nbytes = UNIT, .total_nbytes = 3 * UNIT},
         {.seq = 1, .offset = UNIT, .nbytes = UNIT - 1, .total_nbytes = 3 * UNIT}},
        {{.seq = 1, .offset = 0, .nbytes = UNIT, .total_nbytes = 3 * UNIT},
         {.seq = 1, .offset = UNIT, .nbytes = 2 * UNIT, .total_nbytes = 3 * UNIT}},
        /* Two sizes. */
        {{.seq = 1, .offset = 0, .nbytes = UNIT, .total_nbytes = 3 * UNIT},
         {.seq = 1, .offset = UNIT, .nbytes = UNIT, .total_nbytes = 2 * UNIT}},
        /* Twice nothing. */
        {{.seq = 1, .offset = 0, .nbytes = 0, .total_nbytes = 0},
         {.seq = 1, .offset = 0, .nbytes = 0, .total_nbytes = 0}},
        /* What was. */
        {{.seq = 1, .offset = 0, .nbytes = UNIT, .total_nbytes = 3 * UNIT},
         {.seq = 0, .offset = 0, .nbytes = UNIT, .total_nbytes = 3 * UNIT}},
    };

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        for (uint32_t second = 0; second < 2; second++) { /* on another connection, or the same */
            struct rig rig;
            lie_open(&rig, 3, 3 * UNIT);
            write_fragment(&rig, 1, &pairs[i][0]);
            for (uint32_t step = 0; step < 100; step++) {
                rig_step(&rig);
            }
            write_fragment(&rig, 1 + second, &pairs[i][1]);
            whorl_result_t rc = WHORL_OK;
            /* A message of nothing is one, once. */
            for (uint32_t n = 0; n < 2 && rc != WHORL_E_PEER; n++) {
                rc = rig_wait_take(&rig, 1, 1);
            }
            cr_expect_eq(rc, WHORL_E_PEER, "lie %zu on connection %u: %d", i, second, (int)rc);
            rig_close(&rig);
        }
    }
}
