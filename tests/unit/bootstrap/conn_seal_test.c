/* SPDX-License-Identifier: Apache-2.0 */
/* Control connections that encrypt, with somebody between the two ends. */
#include "base/macros.h"
#include "bootstrap/conn.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Two ends; what one sends reaches the other through the test's hands. */
struct wire {
    struct wh_conn a, b;
    int to_a, to_b;
};

static int pair_of(int *other_out)
{
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *other_out = fds[1];
    return fds[0];
}

/* What has come out of an end so far. */
static size_t take(int fd, uint8_t *bytes, size_t room)
{
    ssize_t n = recv(fd, bytes, room, MSG_DONTWAIT);
    return n > 0 ? (size_t)n : 0;
}

static void give(int fd, const uint8_t *bytes, size_t nbytes)
{
    cr_assert_eq(send(fd, bytes, nbytes, MSG_NOSIGNAL), (ssize_t)nbytes);
}

static void wire_open(struct wire *wire)
{
    static const struct wh_trust trust = {.secret = "fifteen letters", .encrypts = true};
    const struct wh_addr addr = {.port = 1};
    int a = pair_of(&wire->to_a), b = pair_of(&wire->to_b);
    cr_assert_eq(wh_conn_call(&wire->a, a, &addr, WH_PURPOSE_EDGE, &trust), WHORL_OK);
    cr_assert_eq(wh_conn_answer(&wire->b, b, &addr, WH_PURPOSE_EDGE, &trust), WHORL_OK);
    for (int i = 0; i < 4; i++) {
        uint8_t bytes[2 * WH_SHAKE_NBYTES_MAX];
        cr_assert_eq(wh_conn_advance(&wire->a), WHORL_OK);
        give(wire->to_b, bytes, take(wire->to_a, bytes, sizeof(bytes)));
        cr_assert_eq(wh_conn_advance(&wire->b), WHORL_OK);
        give(wire->to_a, bytes, take(wire->to_b, bytes, sizeof(bytes)));
    }
    cr_assert(wire->a.proved && wire->b.proved);
}

static void wire_close(struct wire *wire)
{
    wh_conn_close(&wire->a);
    wh_conn_close(&wire->b);
    close(wire->to_a);
    close(wire->to_b);
}

enum { PAYLOAD_NBYTES = 4 + sizeof("lion"), RECORD_NBYTES = WH_HEAD_NBYTES + PAYLOAD_NBYTES + 16 };

/* What goes out of a when it says something; tag tells one from another. */
static void say(struct wire *wire, uint64_t tag, uint8_t record_out[RECORD_NBYTES])
{
    static const uint8_t payload[PAYLOAD_NBYTES] = "\0\0\0\0lion";
    const struct wh_frame frame = {WH_FRAME_BLOCK, 0, 1, tag, PAYLOAD_NBYTES, payload};
    uint8_t more;
    cr_assert_eq(wh_conn_post(&wire->a, &frame), WHORL_OK);
    cr_assert_eq(take(wire->to_a, record_out, RECORD_NBYTES), RECORD_NBYTES);
    cr_assert_eq(take(wire->to_a, &more, 1), 0, "a record is longer than was thought");
}

/* What an end makes of bytes that reach it. */
static whorl_result_t hear(struct wh_conn *conn, int fd, const uint8_t *bytes, size_t nbytes,
                           struct wh_frame *frame_out)
{
    give(fd, bytes, nbytes);
    cr_assert_eq(wh_conn_advance(conn), WHORL_OK);
    return wh_conn_next(conn, frame_out);
}

Test(conn_seal, what_is_said_is_heard_by_the_other_end_alone)
{
    struct wire wire;
    struct wh_frame frame;
    uint8_t record[RECORD_NBYTES];
    wire_open(&wire);
    for (uint64_t tag = 0; tag < 3; tag++) {
        say(&wire, tag, record);
        cr_expect_null(memmem(record, sizeof(record), "lion", 4));
        cr_assert_eq(hear(&wire.b, wire.to_b, record, sizeof(record), &frame), WHORL_OK);
        cr_expect_eq(frame.tag, tag);
        cr_expect_eq(frame.payload_nbytes, PAYLOAD_NBYTES);
        cr_expect_str_eq((const char *)frame.payload + 4, "lion");
        cr_expect_eq(wh_conn_next(&wire.b, &frame), WHORL_IN_PROGRESS);
    }
    wire_close(&wire);
}

Test(conn_seal, a_record_that_comes_byte_by_byte_is_one_frame)
{
    struct wire wire;
    struct wh_frame frame;
    uint8_t record[RECORD_NBYTES];
    wire_open(&wire);
    say(&wire, 5, record);
    for (size_t i = 0; i + 1 < sizeof(record); i++) {
        cr_assert_eq(hear(&wire.b, wire.to_b, record + i, 1, &frame), WHORL_IN_PROGRESS);
    }
    cr_assert_eq(hear(&wire.b, wire.to_b, record + sizeof(record) - 1, 1, &frame), WHORL_OK);
    cr_expect_eq(frame.tag, 5);
    wire_close(&wire);
}

Test(conn_seal, no_byte_can_be_changed)
{
    for (size_t at = 0; at < RECORD_NBYTES; at++) {
        struct wire wire;
        struct wh_frame frame;
        uint8_t record[RECORD_NBYTES];
        wire_open(&wire);
        say(&wire, 1, record);
        record[at] ^= 1;
        whorl_result_t rc = hear(&wire.b, wire.to_b, record, sizeof(record), &frame);
        if (at < 2 && rc == WHORL_IN_PROGRESS) {
            /* The length: what is taken for the rest of it does not make it right. */
            static const uint8_t more[65536];
            rc = hear(&wire.b, wire.to_b, more, sizeof(more), &frame);
        }
        cr_expect_eq(rc, WHORL_E_TRUST, "byte %zu: %d", at, rc);
        cr_expect_str_eq(wh_conn_why(&wire.b, rc), "what it sent was changed on the way");
        wire_close(&wire);
    }
}

Test(conn_seal, nothing_can_be_repeated_left_out_or_sent_back)
{
    struct wire wire;
    struct wh_frame frame;
    uint8_t first[RECORD_NBYTES], second[RECORD_NBYTES];

    wire_open(&wire);
    say(&wire, 1, first);
    cr_assert_eq(hear(&wire.b, wire.to_b, first, sizeof(first), &frame), WHORL_OK);
    cr_expect_eq(hear(&wire.b, wire.to_b, first, sizeof(first), &frame), WHORL_E_TRUST, "repeated");
    wire_close(&wire);

    wire_open(&wire);
    say(&wire, 1, first);
    say(&wire, 2, second);
    cr_expect_eq(hear(&wire.b, wire.to_b, second, sizeof(second), &frame), WHORL_E_TRUST,
                 "the first left out");
    cr_expect_eq(wh_conn_next(&wire.b, &frame), WHORL_E_TRUST, "and nothing is right after it");
    wire_close(&wire);

    wire_open(&wire);
    say(&wire, 1, first);
    cr_expect_eq(hear(&wire.a, wire.to_a, first, sizeof(first), &frame), WHORL_E_TRUST,
                 "sent back");
    wire_close(&wire);

    struct wire other;
    wire_open(&wire);
    wire_open(&other);
    say(&wire, 1, first);
    cr_expect_eq(hear(&other.b, other.to_b, first, sizeof(first), &frame), WHORL_E_TRUST,
                 "of another connection of the same two");
    wire_close(&other);
    wire_close(&wire);
}

Test(conn_seal, a_frame_in_clear_is_refused)
{
    struct wire wire;
    struct wh_frame frame;
    uint8_t bytes[WH_HEAD_NBYTES + WH_SEAL_TAG_NBYTES] = {0};
    const struct wh_frame bye = {.type = WH_FRAME_BYE};
    wire_open(&wire);
    wh_head_encode(&bye, bytes);
    cr_expect_eq(hear(&wire.b, wire.to_b, bytes, sizeof(bytes), &frame), WHORL_E_TRUST);
    wire_close(&wire);
}
