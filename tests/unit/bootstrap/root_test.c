/* SPDX-License-Identifier: Apache-2.0 */
/* The root among strangers, liars and ranks that never come. */
#include "base/bytes.h"
#include "base/sock.h"
#include "bootstrap/root.h"
#include "crew.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/* A connection to the root that knows nothing. */
static int stranger_connect(const whorl_id_t *id)
{
    struct wh_addr addr = crew_root_addr(id);
    int fd = wh_sock_connect(&addr);
    cr_assert_geq(fd, 0);
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    cr_assert_eq(poll(&pfd, 1, CREW_TIMEOUT_MS), 1);
    cr_assert_eq(wh_sock_error(fd), 0);
    return fd;
}

/* Waits until the root has closed; bytes that it sends before are counted. */
static size_t stranger_await_end(int fd)
{
    size_t total = 0;
    for (;;) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        cr_assert_eq(poll(&pfd, 1, CREW_TIMEOUT_MS), 1, "the root keeps a stranger");
        uint8_t bytes[256];
        ssize_t got = wh_sock_recv(fd, bytes, sizeof(bytes));
        if (got < 0) {
            close(fd);
            return total;
        }
        total += (size_t)got;
    }
}

static void crew_expect_success(struct crew *crew)
{
    crew_wait(crew);
    for (uint32_t i = 0; i < crew->nmates; i++) {
        cr_assert_eq(crew->mates[i].rc, WHORL_OK, "rank %u: %s", i, crew->mates[i].error);
    }
    crew_destroy(crew);
}

Test(root, garbage_is_dropped_and_disturbs_nothing)
{
    struct crew *crew = crew_create(3, NULL);
    for (int i = 0; i < 5; i++) {
        int fd = stranger_connect(&crew->id);
        const char text[] =
            "GET / HTTP/1.1\r\nHost: whoever\r\nUser-Agent: somebody who has lost the "
            "way, and is glad to say so at length, because it is that long a way\r\n"
            "Accept: everything\r\n\r\n";
        cr_assert_eq(wh_sock_send(fd, text, sizeof(text)), (ssize_t)sizeof(text));
        cr_assert_eq(stranger_await_end(fd), 0);
    }
    crew_start(crew);
    crew_expect_success(crew);
}

/* More than the root listens to at a time; they would stay for longer than a rank waits for one
 * answer. */
Test(root, a_crowd_of_silent_strangers_does_not_keep_ranks_out)
{
    struct crew *crew = crew_create(3, NULL);
    int strangers[WH_ROOT_HELD_MAX + 144];
    for (size_t i = 0; i < ARRAY_LEN(strangers); i++) {
        strangers[i] = stranger_connect(&crew->id);
    }
    crew_start(crew);
    crew_expect_success(crew);
    for (size_t i = 0; i < ARRAY_LEN(strangers); i++) {
        close(strangers[i]);
    }
}

Test(root, silent_and_half_open_connections_disturb_nothing)
{
    struct crew *crew = crew_create(3, NULL);
    int silent = stranger_connect(&crew->id);
    int half = stranger_connect(&crew->id);
    uint8_t hello[WH_HELLO_NBYTES] = {0};
    cr_assert_eq(wh_sock_send(half, hello, 3), 3);
    close(stranger_connect(&crew->id));
    crew_start(crew);
    crew_expect_success(crew);
    close(silent);
    close(half);
}

Test(root, who_has_heard_a_hello_but_not_the_secret_gets_a_challenge_and_no_more)
{
    struct crew *crew = crew_create(2, NULL);
    struct wh_shake shake;
    const uint8_t nonce[WH_NONCE_NBYTES] = {0}, secret[WH_SECRET_NBYTES] = {0};
    uint8_t hello[WH_HELLO_NBYTES];
    wh_shake_call(&shake, secret, WH_PURPOSE_JOIN, nonce, hello);
    int fd = stranger_connect(&crew->id);
    const uint8_t proof[WH_PROOF_NBYTES] = {0};
    cr_assert_eq(wh_sock_send(fd, hello, sizeof(hello)), (ssize_t)sizeof(hello));
    cr_assert_eq(wh_sock_send(fd, proof, sizeof(proof)), (ssize_t)sizeof(proof));
    cr_assert_eq(stranger_await_end(fd), WH_CHALLENGE_NBYTES);
    crew_start(crew);
    crew_expect_success(crew);
}

Test(root, a_rank_of_another_job_learns_so_and_the_job_goes_on)
{
    struct crew *crew = crew_create(2, NULL);
    struct wh_ticket ticket;
    cr_assert(wh_ticket_decode(&crew->id, &ticket));
    ticket.secret[0] ^= 1;
    struct crew *others = crew_create(1, NULL);
    wh_ticket_encode(&ticket, &others->id);
    others->mates[0].nranks = 2;
    crew_start(others);
    crew_wait(others);
    cr_assert_eq(others->mates[0].rc, WHORL_E_TRUST);
    cr_assert_not_null(strstr(others->mates[0].error, "does not know this job's secret"), "%s",
                       others->mates[0].error);
    crew_destroy(others);
    crew_start(crew);
    crew_expect_success(crew);
}

Test(root, ranks_that_never_come_are_listed)
{
    struct crew *crew = crew_create(12, NULL);
    static const uint32_t come[12] = {0, 1, 2, 4, 5, 6, 9, 10, 11, 12, 13, 14};
    for (uint32_t i = 0; i < 12; i++) {
        crew->mates[i].rank = come[i];
        crew->mates[i].nranks = 16;
        crew->mates[i].timeout_ms = 1500;
    }
    crew_start(crew);
    crew_wait(crew);
    for (uint32_t i = 0; i < 12; i++) {
        cr_assert_eq(crew->mates[i].rc, WHORL_E_TIMEOUT);
        cr_assert_str_eq(crew->mates[i].error, "12 of 16 ranks joined; missing: 3, 7, 8, 15");
    }
    crew_destroy(crew);
}

Test(root, two_ranks_with_one_number_are_both_named)
{
    struct crew *crew = crew_create(3, NULL);
    crew->mates[2].rank = 1;
    crew_start(crew);
    crew_wait(crew);
    char text[64];
    snprintf(text, sizeof(text), "rank 1 joined twice: pid %d on host ", (int)getpid());
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(crew->mates[i].rc, WHORL_E_MISMATCH);
        cr_assert_not_null(strstr(crew->mates[i].error, text), "%s", crew->mates[i].error);
    }
    crew_destroy(crew);
}

Test(root, ranks_that_disagree_about_their_number_are_all_told)
{
    struct crew *crew = crew_create(4, NULL);
    /* The odd one comes last, so that it is the one that is named. */
    for (uint32_t i = 0; i < 4; i++) {
        if (i == 3) {
            usleep(300 * 1000);
        }
        crew->mates[i].nranks = i == 3 ? 8 : 5;
        cr_assert_eq(pthread_create(&crew->mates[i].thread, NULL, mate_run, &crew->mates[i]), 0);
    }
    crew_wait(crew);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(crew->mates[i].rc, WHORL_E_MISMATCH);
        cr_assert_not_null(strstr(crew->mates[i].error, "rank 3 says 8 ranks, the others say 5"),
                           "%s", crew->mates[i].error);
    }
    crew_destroy(crew);
}

Test(root, who_comes_after_the_job_has_failed_is_told_why)
{
    struct crew *crew = crew_create(3, NULL);
    struct crew *late = crew_create(1, NULL);
    late->id = crew->id;
    late->mates[0].rank = 4;
    late->mates[0].nranks = 5;
    for (uint32_t i = 0; i < 3; i++) {
        crew->mates[i].nranks = 5;
    }
    crew->mates[2].rank = 1;
    crew_start(crew);
    crew_wait(crew);
    crew_start(late);
    crew_wait(late);
    cr_assert_eq(late->mates[0].rc, WHORL_E_MISMATCH);
    cr_assert_not_null(strstr(late->mates[0].error, "rank 1 joined twice"), "%s",
                       late->mates[0].error);
    crew_destroy(crew);
    crew_destroy(late);
}

/* Proves itself to the root and says that it is rank of nranks. */
static void impostor_join(struct wh_conn *conn, const whorl_id_t *id, uint32_t rank,
                          uint32_t nranks)
{
    struct wh_ticket ticket;
    cr_assert(wh_ticket_decode(id, &ticket));
    const struct wh_addr *addr = &ticket.addrs[ticket.naddrs - 1];
    int fd = wh_sock_connect(addr);
    cr_assert_geq(fd, 0);
    struct wh_trust trust = {.encrypts = false};
    memcpy(trust.secret, ticket.secret, sizeof(trust.secret));
    cr_assert_eq(wh_conn_call(conn, fd, addr, WH_PURPOSE_JOIN, &trust), WHORL_OK);
    while (!conn->proved) {
        struct pollfd pfd = {.fd = conn->fd, .events = wh_conn_events(conn)};
        cr_assert_eq(poll(&pfd, 1, CREW_TIMEOUT_MS), 1);
        cr_assert_eq(wh_conn_advance(conn), WHORL_OK);
        cr_assert_not(conn->ended);
    }
    struct wh_member member = {.rank = rank,
                               .nranks = nranks,
                               .timeout_ms = CREW_TIMEOUT_MS,
                               .pid = 99,
                               .port = 1,
                               .naddrs = 1,
                               .host = "elsewhere"};
    uint8_t payload[WH_MEMBER_NBYTES];
    wh_member_encode(&member, payload);
    const struct wh_frame frame = {
        .type = WH_FRAME_JOIN, .payload = payload, .payload_nbytes = sizeof(payload)};
    cr_assert_eq(wh_conn_post(conn, &frame), WHORL_OK);
}

Test(root, a_rank_that_dies_while_others_are_awaited_ends_the_job)
{
    struct crew *crew = crew_create(2, NULL);
    struct wh_conn conn;
    crew->mates[0].nranks = crew->mates[1].nranks = 4;
    impostor_join(&conn, &crew->id, 2, 4);
    crew_start(crew);
    usleep(200 * 1000);
    wh_conn_close(&conn);
    crew_wait(crew);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(crew->mates[i].rc, WHORL_E_PEER);
        cr_assert_not_null(strstr(crew->mates[i].error, "rank 2 (host elsewhere, pid 99) died"),
                           "%s", crew->mates[i].error);
    }
    crew_destroy(crew);
}

Test(root, a_rank_outside_the_job_is_refused_alone)
{
    struct crew *crew = crew_create(2, NULL);
    struct wh_conn conn;
    impostor_join(&conn, &crew->id, 7, 2);
    struct wh_frame frame;
    whorl_result_t rc = WHORL_IN_PROGRESS;
    while (rc == WHORL_IN_PROGRESS) {
        struct pollfd pfd = {.fd = conn.fd, .events = wh_conn_events(&conn)};
        cr_assert_eq(poll(&pfd, 1, CREW_TIMEOUT_MS), 1);
        cr_assert_eq(wh_conn_advance(&conn), WHORL_OK);
        rc = wh_conn_next(&conn, &frame);
    }
    cr_assert_eq(rc, WHORL_OK);
    cr_assert_eq(frame.type, WH_FRAME_REFUSE);
    wh_conn_close(&conn);
    crew_start(crew);
    crew_expect_success(crew);
}
