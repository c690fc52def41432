/* SPDX-License-Identifier: Apache-2.0 */
#include "bootstrap/conn.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct wh_trust trust = {.secret = "fifteen letters"};

/* Two connections to each other, before the handshake. */
static void connect_pair(struct wh_conn *caller, struct wh_conn *answerer)
{
    int listener;
    uint16_t port;
    cr_assert_eq(wh_sock_listen(WH_FAMILY_ANY, 0, &listener, &port), WHORL_OK);
    struct wh_addr addr = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, .port = port};
    struct wh_addr peer;
    int caller_fd = wh_sock_connect(&addr);
    cr_assert_geq(caller_fd, 0);
    cr_assert_eq(wh_conn_call(caller, caller_fd, &addr, WH_PURPOSE_EDGE, &trust), WHORL_OK);
    struct pollfd pfd = {.fd = listener, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    int fd = wh_sock_accept(listener, &peer);
    cr_assert_geq(fd, 0);
    cr_assert_eq(wh_conn_answer(answerer, fd, &peer, WH_PURPOSE_EDGE, &trust), WHORL_OK);
    close(listener);
}

/* Advances both until neither has anything to do for a while. */
static void advance_both(struct wh_conn *a, struct wh_conn *b)
{
    for (;;) {
        struct pollfd pfds[2] = {{.fd = a->fd, .events = wh_conn_events(a)},
                                 {.fd = b->fd, .events = wh_conn_events(b)}};
        if (poll(pfds, 2, 50) <= 0 || a->ended || b->ended) {
            return;
        }
        cr_assert_eq(wh_conn_advance(a), WHORL_OK);
        cr_assert_eq(wh_conn_advance(b), WHORL_OK);
    }
}

static void proved_pair(struct wh_conn *a, struct wh_conn *b)
{
    connect_pair(a, b);
    advance_both(a, b);
    cr_assert(a->proved);
    cr_assert(b->proved);
}

Test(conn, both_ends_are_proved_and_forget_the_secret)
{
    struct wh_conn a, b;
    const uint8_t zeros[WH_SECRET_NBYTES] = {0};
    proved_pair(&a, &b);
    cr_assert_arr_eq(a.shake.secret, zeros, WH_SECRET_NBYTES);
    cr_assert_arr_eq(b.shake.secret, zeros, WH_SECRET_NBYTES);
    wh_conn_close(&a);
    wh_conn_close(&b);
    wh_conn_close(&b);
}

ParameterizedTestParameters(conn, frames_arrive_whole_and_in_order)
{
    static bool encrypts[] = {false, true};
    return cr_make_param_array(bool, encrypts, ARRAY_LEN(encrypts));
}

ParameterizedTest(const bool *encrypts, conn, frames_arrive_whole_and_in_order)
{
    struct wh_conn a, b;
    trust.encrypts = *encrypts;
    proved_pair(&a, &b);
    uint8_t *payload = calloc(1, WH_BLOCK_NBYTES_MAX);
    enum { NFRAMES = 200 }; /* 6 MiB: more than the buffers of a connection hold */
    for (uint32_t i = 0; i < NFRAMES; i++) {
        memset(payload, (int)i, WH_BLOCK_NBYTES_MAX);
        const struct wh_frame frame = {
            .type = WH_FRAME_BLOCK,
            .tag = i,
            .payload = payload,
            .payload_nbytes = i % 2 == 0 ? WH_BLOCK_NBYTES_MAX : i + WH_BLOCKS_HEAD_NBYTES,
        };
        cr_assert_eq(wh_conn_post(&a, &frame), WHORL_OK);
    }
    cr_assert(wh_conn_has_output(&a), "more than a socket holds was to be posted");

    for (uint32_t i = 0; i < NFRAMES;) {
        struct wh_frame frame;
        whorl_result_t rc = wh_conn_next(&b, &frame);
        if (rc == WHORL_IN_PROGRESS) {
            cr_assert_eq(wh_conn_advance(&a), WHORL_OK);
            cr_assert_eq(wh_conn_advance(&b), WHORL_OK);
            continue;
        }
        cr_assert_eq(rc, WHORL_OK);
        cr_assert_eq(frame.tag, i);
        cr_assert_eq(frame.payload_nbytes,
                     i % 2 == 0 ? WH_BLOCK_NBYTES_MAX : i + WH_BLOCKS_HEAD_NBYTES);
        memset(payload, (int)i, WH_BLOCK_NBYTES_MAX);
        cr_assert_arr_eq(frame.payload, payload, frame.payload_nbytes);
        i++;
    }
    free(payload);
    wh_conn_close(&a);
    wh_conn_close(&b);
}

Test(conn, what_was_sent_before_the_end_is_still_read)
{
    struct wh_conn a, b;
    proved_pair(&a, &b);
    const struct wh_frame bye = {.type = WH_FRAME_BYE, .tag = 4};
    cr_assert_eq(wh_conn_post(&a, &bye), WHORL_OK);
    wh_conn_close(&a);
    while (!b.ended) {
        struct pollfd pfd = {.fd = b.fd, .events = POLLIN};
        cr_assert_eq(poll(&pfd, 1, 10000), 1);
        cr_assert_eq(wh_conn_advance(&b), WHORL_OK);
    }
    struct wh_frame frame;
    cr_assert_eq(wh_conn_next(&b, &frame), WHORL_OK);
    cr_assert_eq(frame.type, WH_FRAME_BYE);
    cr_assert_eq(frame.tag, 4);
    cr_assert_eq(wh_conn_next(&b, &frame), WHORL_IN_PROGRESS);
    wh_conn_close(&b);
}

Test(conn, bytes_that_are_no_frame_are_noticed)
{
    struct wh_conn a, b;
    proved_pair(&a, &b);
    const uint8_t junk[WH_HEAD_NBYTES] = {0xff, 0xff, 0xff, 0xff, 5};
    cr_assert_eq(wh_sock_send(a.fd, junk, sizeof(junk)), (ssize_t)sizeof(junk));
    struct pollfd pfd = {.fd = b.fd, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    cr_assert_eq(wh_conn_advance(&b), WHORL_OK);
    struct wh_frame frame;
    cr_assert_eq(wh_conn_next(&b, &frame), WHORL_E_ARG);
    wh_conn_close(&a);
    wh_conn_close(&b);
}

Test(conn, bytes_behind_a_proof_that_is_wrong_are_never_read_as_frames)
{
    struct wh_conn a, b;
    connect_pair(&a, &b);
    uint8_t bytes[WH_HELLO_NBYTES + WH_PROOF_NBYTES + WH_HEAD_NBYTES] = {0};
    const struct wh_frame bye = {.type = WH_FRAME_BYE};
    memcpy(bytes, a.shake.hello, WH_HELLO_NBYTES);
    wh_head_encode(&bye, bytes + WH_HELLO_NBYTES + WH_PROOF_NBYTES);
    struct pollfd pfd = {.fd = a.fd, .events = POLLOUT};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    cr_assert_eq(wh_sock_send(a.fd, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
    whorl_result_t rc = WHORL_OK;
    while (rc == WHORL_OK) {
        pfd = (struct pollfd){.fd = b.fd, .events = POLLIN};
        cr_assert_eq(poll(&pfd, 1, 10000), 1);
        rc = wh_conn_advance(&b);
    }
    struct wh_frame frame;
    cr_assert_eq(rc, WHORL_E_TRUST);
    cr_assert_not(b.proved);
    cr_assert_eq(wh_conn_next(&b, &frame), WHORL_IN_PROGRESS);
    wh_conn_close(&a);
    wh_conn_close(&b);
}

/* Sends what a stranger would, and nothing more. Returns what the answerer makes of it. */
static whorl_result_t say_to_answerer(struct wh_conn *b, const char *bytes, size_t nbytes)
{
    struct wh_conn a;
    connect_pair(&a, b);
    struct pollfd pfd = {.fd = a.fd, .events = POLLOUT};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    cr_assert_eq(wh_sock_send(a.fd, bytes, nbytes), (ssize_t)nbytes);
    pfd = (struct pollfd){.fd = b->fd, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    whorl_result_t rc = wh_conn_advance(b);
    wh_conn_close(&a);
    return rc;
}

Test(conn, a_stranger_is_known_by_its_first_bytes)
{
    static const struct {
        const char *bytes;
        whorl_result_t rc;
    } rows[] = {
        {"G", WHORL_E_ARG},    {"GET / HTTP/1.1\r\n\r\n", WHORL_E_ARG},
        {"WHRT", WHORL_E_ARG}, {"WHRx", WHORL_E_ARG},
        {"WHRS", WHORL_OK}, /* so far */
        {"WH", WHORL_OK},      {"WHRS and then", WHORL_OK},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wh_conn b;
        whorl_result_t rc = say_to_answerer(&b, rows[i].bytes, strlen(rows[i].bytes));
        cr_expect_eq(rc, rows[i].rc, "\"%s\": %d", rows[i].bytes, rc);
        cr_expect_not(b.proved);
        cr_expect(rc == WHORL_OK || !wh_conn_has_output(&b), "and gets no answer");
        wh_conn_close(&b);
    }
}

Test(conn, a_caller_does_not_wait_for_the_rest_of_a_banner_either)
{
    struct wh_conn a, b;
    static const char banner[] = "220 ready\r\n";
    connect_pair(&a, &b);
    cr_assert_eq(wh_sock_send(b.fd, banner, strlen(banner)), (ssize_t)strlen(banner));
    struct pollfd pfd = {.fd = a.fd, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    cr_assert_eq(wh_conn_advance(&a), WHORL_E_ARG);
    wh_conn_close(&a);
    wh_conn_close(&b);
}

Test(conn, a_peer_that_encrypts_is_told_apart_in_words)
{
    struct wh_conn a, b;
    connect_pair(&a, &b);
    const struct wh_shake_terms terms = {.encrypts = true, .private_key = {7}};
    cr_assert_eq(wh_shake_set_terms(&b.shake, &terms, NULL), WHORL_OK);
    whorl_result_t rc_a = WHORL_OK, rc_b = WHORL_OK;
    while (rc_a == WHORL_OK || rc_b == WHORL_OK) {
        struct pollfd pfds[2] = {{.fd = a.fd, .events = wh_conn_events(&a)},
                                 {.fd = b.fd, .events = wh_conn_events(&b)}};
        cr_assert_gt(poll(pfds, 2, 10000), 0);
        rc_a = rc_a == WHORL_OK ? wh_conn_advance(&a) : rc_a;
        rc_b = rc_b == WHORL_OK ? wh_conn_advance(&b) : rc_b;
    }
    cr_expect_eq(rc_a, WHORL_E_CONFIG);
    cr_expect_eq(rc_b, WHORL_E_CONFIG);
    cr_expect_str_eq(wh_conn_why(&a, rc_a), "it encrypts (WHORL_ENCRYPT), and this rank does not");
    cr_expect_str_eq(wh_conn_why(&b, rc_b),
                     "it does not encrypt (WHORL_ENCRYPT), and this rank does");
    wh_conn_close(&a);
    wh_conn_close(&b);
}
