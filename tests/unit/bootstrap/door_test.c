/* SPDX-License-Identifier: Apache-2.0 */
/* Who knocks at a rank's door without being a survivor of its job, or talks nonsense there. */
#include "base/dial.h"
#include "bootstrap/rank.h"
#include "bootstrap/service.h"
#include "crew.h"

#include <poll.h>

TestSuite(door, .timeout = 60);

Test(door, a_greeting_survives_the_way)
{
    const struct wh_come in = {.digest = 0x0123456789abcdef, .left_ms = 4711, .to = 12};
    struct wh_come out;
    uint8_t bytes[WH_COME_NBYTES];
    wh_come_encode(&in, bytes);
    wh_come_decode(bytes, &out);
    cr_assert_eq(out.digest, in.digest);
    cr_assert_eq(out.left_ms, in.left_ms);
    cr_assert_eq(out.to, in.to);
}

/* Connects to the door of rank. */
static int knock(const struct mate *mate, uint32_t rank, struct wh_addr *addr_out)
{
    struct wh_addr addrs[WH_CONTACT_NADDRS];
    cr_expect_geq(wh_contact_addrs(mate->boot, rank, addrs), 1);
    int fd = wh_sock_connect(&addrs[0]);
    cr_expect_geq(fd, 0);
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    cr_expect_eq(poll(&pfd, 1, CREW_TIMEOUT_MS), 1);
    cr_expect_eq(wh_sock_error(fd), 0);
    *addr_out = addrs[0];
    return fd;
}

/* Until the connection ends, or has something to say. */
static whorl_result_t listen_to(struct wh_conn *conn, struct wh_frame *frame)
{
    for (;;) {
        whorl_result_t rc = wh_conn_advance(conn);
        rc = rc != WHORL_OK ? rc : wh_conn_next(conn, frame);
        if (rc != WHORL_IN_PROGRESS || conn->ended) {
            return rc;
        }
        struct pollfd pfd = {.fd = conn->fd, .events = wh_conn_events(conn)};
        if (poll(&pfd, 1, CREW_TIMEOUT_MS) != 1) {
            return WHORL_E_TIMEOUT;
        }
    }
}

static void be_rude(struct mate *mate, uint32_t door)
{
    struct wh_addr addr;
    struct wh_conn conn;
    struct wh_frame frame;
    static const struct wh_trust wrong = {.secret = "not the secret!"};
    int fd = knock(mate, door, &addr);
    cr_expect_eq(wh_conn_call(&conn, fd, &addr, WH_PURPOSE_EDGE, &wrong), WHORL_OK);
    cr_expect_eq(listen_to(&conn, &frame), WHORL_E_TRUST, "an outsider is shown nothing");
    wh_conn_close(&conn);

    /* A rank of the job that says what no rank would. */
    uint8_t payload[WH_COME_NBYTES], other[WH_COME_NBYTES];
    wh_come_encode(&(struct wh_come){.to = door, .left_ms = 1000}, payload);
    wh_come_encode(&(struct wh_come){.to = door + 1, .left_ms = 1000}, other);
    const struct wh_frame frames[] = {
        {WH_FRAME_COME, 0, mate->nranks, 1, sizeof(payload), payload},
        {WH_FRAME_COME, 0, door, 1, sizeof(payload), payload},
        {WH_FRAME_COME, 0, mate->rank, 0, sizeof(payload), payload},
        {WH_FRAME_COME, 0, mate->rank, 1, sizeof(other), other},
        {.type = WH_FRAME_HELD, .tag = 1},
        {.type = WH_FRAME_BYE},
    };
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        fd = knock(mate, door, &addr);
        cr_expect_eq(wh_conn_call(&conn, fd, &addr, WH_PURPOSE_EDGE, &mate->boot->trust), WHORL_OK);
        while (!conn.proved && !conn.ended) {
            struct pollfd pfd = {.fd = conn.fd, .events = wh_conn_events(&conn)};
            (void)poll(&pfd, 1, CREW_TIMEOUT_MS);
            cr_expect_eq(wh_conn_advance(&conn), WHORL_OK);
        }
        cr_expect_eq(wh_conn_post(&conn, &frames[i]), WHORL_OK);
        cr_expect_eq(listen_to(&conn, &frame), WHORL_IN_PROGRESS, "frame %zu is answered", i);
        cr_expect(conn.ended);
        wh_conn_close(&conn);
    }

    /* And one that is right is told to wait, for nobody regroups. */
    fd = knock(mate, door, &addr);
    cr_expect_eq(wh_conn_call(&conn, fd, &addr, WH_PURPOSE_EDGE, &mate->boot->trust), WHORL_OK);
    while (!conn.proved) {
        struct pollfd pfd = {.fd = conn.fd, .events = wh_conn_events(&conn)};
        (void)poll(&pfd, 1, CREW_TIMEOUT_MS);
        cr_expect_eq(wh_conn_advance(&conn), WHORL_OK);
    }
    const struct wh_frame come = {WH_FRAME_COME, 0, mate->rank, 1, sizeof(payload), payload};
    cr_expect_eq(wh_conn_post(&conn, &come), WHORL_OK);
    cr_expect_eq(listen_to(&conn, &frame), WHORL_OK);
    cr_expect_eq(frame.type, WH_FRAME_WAIT);
    cr_expect_eq(frame.tag, 1);
    wh_conn_close(&conn);
}

static void one_is_rude(struct mate *mate)
{
    if (mate->rank == 2) {
        be_rude(mate, 0);
    }
    pthread_barrier_wait(&mate->crew->all);
    bool alive[CREW_MAX];
    whorl_id_t id;
    cr_expect_eq(wh_boot_regroup(mate->boot, NULL, 0, alive, &id, crew_soon()), WHORL_OK, "%s",
                 wh_error_get());
    pthread_barrier_wait(&mate->crew->all);
}

Test(door, outsiders_and_nonsense_get_nothing_and_disturb_nothing)
{
    crew_sail(3, one_is_rude);
}

enum { NSTRANGERS = 100 };

/* More than the door lets in at a time. */
static void a_crowd_stands_there(struct mate *mate)
{
    int strangers[NSTRANGERS];
    struct wh_addr addr;
    if (mate->rank == 1) {
        for (int i = 0; i < NSTRANGERS; i++) {
            strangers[i] = knock(mate, 0, &addr);
        }
    }
    pthread_barrier_wait(&mate->crew->all);
    bool alive[CREW_MAX];
    whorl_id_t id;
    cr_expect_eq(wh_boot_regroup(mate->boot, NULL, 0, alive, &id, crew_soon()), WHORL_OK, "%s",
                 wh_error_get());
    for (uint32_t rank = 0; rank < mate->nranks; rank++) {
        cr_expect(alive[rank]);
    }
    pthread_barrier_wait(&mate->crew->all);
    for (int i = 0; mate->rank == 1 && i < NSTRANGERS; i++) {
        close(strangers[i]);
    }
}

Test(door, a_crowd_of_silent_strangers_does_not_keep_survivors_out)
{
    crew_sail(3, a_crowd_stands_there);
}
