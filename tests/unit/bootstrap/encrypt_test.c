/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs whose ranks encrypt, and ranks that do not all. */
#include "crew.h"

#include <poll.h>
#include <unistd.h>

/* Before the process reads its settings: every test is a process of its own. */
static void encrypt(void)
{
    setenv("WHORL_ENCRYPT", "1", 1);
}

TestSuite(encrypt, .timeout = 120, .init = encrypt);

static void gather(struct mate *mate)
{
    uint8_t blocks[9 * 100];
    memset(blocks, 0, sizeof(blocks));
    memset(blocks + (size_t)mate->rank * 100, (int)mate->rank + 1, 100);
    cr_expect_eq(wh_boot_allgather(mate->boot, blocks, 100, crew_soon()), WHORL_OK);
    for (uint32_t i = 0; i < sizeof(blocks); i++) {
        cr_assert_eq(blocks[i], i / 100 + 1, "rank %u, byte %u", mate->rank, i);
    }
}

Test(encrypt, a_job_joins_and_gathers_as_any_other)
{
    crew_sail(9, gather);
}

static void one_fails(struct mate *mate)
{
    pthread_barrier_wait(&mate->crew->all);
    if (mate->rank == 0) {
        wh_boot_fail(mate->boot, WHORL_E_SYS, "rank 0 has had enough");
    } else {
        cr_expect(mate_await_failure(mate), "rank %u was never told", mate->rank);
        cr_expect_str_eq(mate->failure, "rank 0 has had enough");
    }
    pthread_barrier_wait(&mate->crew->all);
}

Test(encrypt, a_failure_reaches_everyone)
{
    struct crew *crew = crew_create(9, one_fails);
    crew_start(crew);
    crew_wait(crew);
    crew_destroy(crew);
}

/* Speaks to conn until its handshake is over. */
static whorl_result_t shake_hands(struct wh_conn *conn)
{
    whorl_result_t rc = WHORL_OK;
    while (rc == WHORL_OK && !conn->proved) {
        struct pollfd pfd = {.fd = conn->fd, .events = wh_conn_events(conn)};
        cr_assert_eq(poll(&pfd, 1, CREW_TIMEOUT_MS), 1);
        rc = wh_conn_advance(conn);
        cr_assert_not(conn->ended);
    }
    return rc;
}

static struct wh_trust in_clear(const struct wh_ticket *ticket)
{
    struct wh_trust trust = {.encrypts = false};
    memcpy(trust.secret, ticket->secret, sizeof(trust.secret));
    return trust;
}

Test(encrypt, a_rank_in_clear_ends_the_wait_of_all)
{
    struct crew *crew = crew_create(1, NULL);
    struct wh_ticket ticket;
    struct wh_conn conn;
    cr_assert(wh_ticket_decode(&crew->id, &ticket));
    crew->mates[0].nranks = 2;
    crew_start(crew);
    /* The root knows of nobody to tell before rank 0 has come. */
    usleep(200 * 1000);
    const struct wh_addr *addr = &ticket.addrs[ticket.naddrs - 1];
    const struct wh_trust trust = in_clear(&ticket);
    int fd = wh_sock_connect(addr);
    cr_assert_geq(fd, 0);
    cr_assert_eq(wh_conn_call(&conn, fd, addr, WH_PURPOSE_JOIN, &trust), WHORL_OK);
    cr_expect_eq(shake_hands(&conn), WHORL_E_CONFIG);
    crew_wait(crew);
    cr_expect_eq(crew->mates[0].rc, WHORL_E_CONFIG);
    cr_expect_not_null(strstr(crew->mates[0].error, "WHORL_ENCRYPT=1 at the root, but not on"), "%s",
                       crew->mates[0].error);
    wh_conn_close(&conn);
    crew_destroy(crew);
}

Test(encrypt, a_root_in_clear_is_told_from_a_stranger)
{
    struct crew *crew = crew_create(1, NULL);
    struct wh_ticket ticket;
    struct wh_conn conn;
    struct wh_addr peer;
    int listener;
    cr_assert(wh_ticket_decode(&crew->id, &ticket));
    cr_assert_eq(wh_sock_listen(WH_FAMILY_ANY, 0, &listener, &ticket.port), WHORL_OK);
    wh_ticket_encode(&ticket, &crew->id);
    crew->mates[0].nranks = 2;
    crew_start(crew);
    struct pollfd pfd = {.fd = listener, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, CREW_TIMEOUT_MS), 1);
    const struct wh_trust trust = in_clear(&ticket);
    int fd = wh_sock_accept(listener, &peer);
    close(listener);
    cr_assert_eq(wh_conn_answer(&conn, fd, &peer, WH_PURPOSE_JOIN, &trust), WHORL_OK);
    cr_expect_eq(shake_hands(&conn), WHORL_E_CONFIG);
    crew_wait(crew);
    cr_expect_eq(crew->mates[0].rc, WHORL_E_CONFIG);
    cr_expect_not_null(
        strstr(crew->mates[0].error, "WHORL_ENCRYPT=1 here, but not at the root at"), "%s",
        crew->mates[0].error);
    wh_conn_close(&conn);
    crew_destroy(crew);
}
