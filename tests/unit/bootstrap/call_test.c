/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/macros.h"
#include "bootstrap/call.h"
#include "bootstrap/rank.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

TestSuite(call, .timeout = 60);

/* Rank 0 of two; rank 1 is said to be at port of loopback. */
static struct wh_boot *caller_create(uint16_t port)
{
    const struct wh_boot_join_args args = {.nranks = 2, .rank = 0};
    struct wh_boot *boot = wh_rank_create(&args);
    cr_assert_not_null(boot);
    boot->self.port = port;
    boot->self.naddrs = 1;
    boot->self.addrs[0] = (struct wh_addr){.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    boot->contacts = calloc(2, WH_CONTACT_NBYTES);
    wh_contact_encode(boot, boot->contacts + WH_CONTACT_NBYTES);
    memcpy(boot->trust.secret, "fifteen letters", WH_SECRET_NBYTES);
    boot->regroup.epoch = 5;
    return boot;
}

static uint16_t listen_somewhere(int *fd_out)
{
    uint16_t port;
    cr_assert_eq(wh_sock_listen(WH_FAMILY_V4, 0, fd_out, &port), WHORL_OK);
    return port;
}

/* Until something has happened; serves conn, the other end, meanwhile if it is there. */
static enum wh_call_state run(struct wh_call *call, struct wh_conn *other, struct wh_frame *frame)
{
    for (;;) {
        enum wh_call_state state = wh_call_advance(call, frame);
        if (state != WH_CALL_BUSY) {
            return state;
        }
        struct pollfd pfds[1 + WH_DIAL_NADDRS_MAX];
        nfds_t npfds = wh_call_pollfds(call, pfds + 1) + 1;
        pfds[0] = (struct pollfd){.fd = other != NULL ? other->fd : -1, .events = POLLIN};
        (void)poll(pfds, npfds, wh_ms_until(wh_call_due_ns(call), 1000));
        struct wh_frame heard;
        if (other != NULL && !other->ended && wh_conn_advance(other) == WHORL_OK &&
            wh_conn_next(other, &heard) == WHORL_OK) {
            cr_assert_eq(heard.type, WH_FRAME_SEEK);
            cr_assert_eq(heard.rank, 0);
            cr_assert_eq(heard.tag, 5);
            const struct wh_frame answer = {.type = WH_FRAME_LED, .rank = 7, .tag = 5};
            cr_assert_eq(wh_conn_post(other, &answer), WHORL_OK);
        }
    }
}

static const struct wh_come come = {.to = 1, .left_ms = 1000};

Test(call, nobody_at_the_address_means_gone)
{
    int fd;
    struct wh_call call;
    struct wh_frame frame;
    uint16_t port = listen_somewhere(&fd);
    close(fd);
    struct wh_boot *boot = caller_create(port);
    wh_call_begin(&call, boot, 1, WH_FRAME_COME, &come, wh_deadline_after_ms(30000));
    cr_assert_eq(run(&call, NULL, &frame), WH_CALL_GONE);
    wh_call_end(&call);
    wh_rank_destroy(boot);
}

Test(call, who_connects_but_does_not_prove_itself_is_silent)
{
    int fd;
    struct wh_call call;
    struct wh_frame frame;
    struct wh_boot *boot = caller_create(listen_somewhere(&fd));
    wh_call_begin(&call, boot, 1, WH_FRAME_COME, &come, wh_deadline_after_ms(200));
    cr_assert_eq(run(&call, NULL, &frame), WH_CALL_SILENT);
    wh_call_end(&call);
    close(fd);
    wh_rank_destroy(boot);
}

/* The other end of a call: takes the connection, with secret. */
static void take(int listener, struct wh_conn *conn, const char *secret)
{
    struct wh_addr peer;
    struct pollfd pfd = {.fd = listener, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    int fd = wh_sock_accept(listener, &peer);
    cr_assert_geq(fd, 0);
    struct wh_trust trust = {.encrypts = false};
    memcpy(trust.secret, secret, WH_SECRET_NBYTES);
    cr_assert_eq(wh_conn_answer(conn, fd, &peer, WH_PURPOSE_EDGE, &trust), WHORL_OK);
}

Test(call, what_is_said_is_heard_and_the_end_too)
{
    int fd;
    struct wh_call call;
    struct wh_conn other;
    struct wh_frame frame;
    struct wh_boot *boot = caller_create(listen_somewhere(&fd));
    wh_call_begin(&call, boot, 1, WH_FRAME_SEEK, &come, wh_deadline_after_ms(30000));
    cr_assert_eq(wh_call_advance(&call, &frame), WH_CALL_BUSY);
    take(fd, &other, "fifteen letters");
    cr_assert_eq(run(&call, &other, &frame), WH_CALL_SAID);
    cr_assert_eq(frame.type, WH_FRAME_LED);
    cr_assert_eq(frame.rank, 7);
    wh_conn_close(&other);
    cr_assert_eq(run(&call, NULL, &frame), WH_CALL_LOST);
    wh_call_end(&call);
    wh_call_end(&call);
    close(fd);
    wh_rank_destroy(boot);
}

Test(call, somebody_else_at_the_address_means_gone)
{
    int fd;
    struct wh_call call;
    struct wh_conn other;
    struct wh_frame frame;
    struct wh_boot *boot = caller_create(listen_somewhere(&fd));
    wh_call_begin(&call, boot, 1, WH_FRAME_SEEK, &come, wh_deadline_after_ms(30000));
    cr_assert_eq(wh_call_advance(&call, &frame), WH_CALL_BUSY);
    take(fd, &other, "another letters");
    cr_assert_eq(run(&call, &other, &frame), WH_CALL_GONE);
    wh_call_end(&call);
    wh_conn_close(&other);
    close(fd);
    wh_rank_destroy(boot);
}

Test(call, who_proves_itself_but_does_not_answer_is_silent)
{
    int fd;
    struct wh_call call;
    struct wh_conn other;
    struct wh_frame frame;
    struct wh_boot *boot = caller_create(listen_somewhere(&fd));
    wh_call_begin(&call, boot, 1, WH_FRAME_SEEK, &come, wh_deadline_after_ms(30000));
    cr_assert_eq(wh_call_advance(&call, &frame), WH_CALL_BUSY);
    take(fd, &other, "fifteen letters");
    while (!call.said) {
        cr_assert_eq(wh_conn_advance(&other), WHORL_OK);
        cr_assert_eq(wh_call_advance(&call, &frame), WH_CALL_BUSY);
    }
    call.patience_ns = wh_now_ns();
    cr_assert_eq(run(&call, NULL, &frame), WH_CALL_SILENT);
    wh_call_end(&call);
    wh_conn_close(&other);
    close(fd);
    wh_rank_destroy(boot);
}
