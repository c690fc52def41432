/* SPDX-License-Identifier: Apache-2.0 */
/* Edges: strangers at a rank's door, peers that cannot be reached. */
#include "base/sock.h"
#include "bootstrap/join.h"
#include "crew.h"

#include <unistd.h>

TestSuite(mesh, .timeout = 60);

/* A rank of a job of two, in the middle of a join: its peer is said to listen at port. */
struct half {
    struct crew *crew;
    struct wh_boot *boot;
    int listener;
};

static struct half half_create(uint32_t rank, uint16_t peer_port)
{
    struct half half = {.crew = crew_create(1, NULL)};
    const struct wh_boot_join_args args = {.id = &half.crew->id, .nranks = 2, .rank = rank};
    half.boot = wh_rank_create(&args);
    cr_assert_not_null(half.boot);
    struct wh_ticket ticket;
    cr_assert(wh_ticket_decode(&half.crew->id, &ticket));
    memcpy(half.boot->trust.secret, ticket.secret, WH_SECRET_NBYTES);
    struct wh_member *self = &half.boot->self;
    *self = (struct wh_member){.rank = rank, .nranks = 2, .pid = 7, .host = "here"};
    cr_assert_eq(wh_sock_listen(WH_FAMILY_ANY, 0, &half.listener, &self->port), WHORL_OK);
    half.boot->edges[0].peer = (struct wh_member){
        .rank = 1 - rank,
        .nranks = 2,
        .pid = 8,
        .naddrs = 1,
        .port = peer_port,
        .addrs = {{.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, .port = peer_port}},
        .host = "there",
    };
    half.boot->edges[0].known = true;
    return half;
}

Test(mesh, a_peer_that_cannot_be_reached_is_named)
{
    int fd;
    uint16_t port;
    cr_assert_eq(wh_sock_listen(WH_FAMILY_V4, 0, &fd, &port), WHORL_OK);
    close(fd);
    struct half half = half_create(0, port);
    cr_assert_eq(wh_join_mesh(half.boot, half.listener, crew_soon()), WHORL_E_PEER);
    cr_assert_not_null(
        strstr(wh_error_get(), "rank 0 cannot connect to rank 1 (host there, pid 8)"), "%s",
        wh_error_get());
    close(half.listener);
    wh_rank_destroy(half.boot);
    crew_destroy(half.crew);
}

Test(mesh, a_peer_that_never_connects_is_named)
{
    int fd;
    uint16_t port;
    cr_assert_eq(wh_sock_listen(WH_FAMILY_V4, 0, &fd, &port), WHORL_OK);
    struct half half = half_create(0, port);
    cr_assert_eq(wh_join_mesh(half.boot, half.listener, wh_deadline_after_ms(300)),
                 WHORL_E_TIMEOUT);
    cr_assert_not_null(strstr(wh_error_get(), "these ranks did not connect to it: 1;"), "%s",
                       wh_error_get());
    close(fd);
    close(half.listener);
    wh_rank_destroy(half.boot);
    crew_destroy(half.crew);
}

struct half_thread {
    struct half *half;
    whorl_result_t rc;
};

static void *half_run(void *arg)
{
    struct half_thread *thread = arg;
    struct half *half = thread->half;
    thread->rc = wh_join_mesh(half->boot, half->listener, crew_soon());
    /* As wh_boot_join() does: who still dials here is refused. */
    close(half->listener);
    return NULL;
}

Test(mesh, garbage_at_a_ranks_door_disturbs_nothing)
{
    struct half a = half_create(0, 1), b = half_create(1, a.boot->self.port);
    b.boot->trust = a.boot->trust;
    a.boot->edges[0].peer.addrs[0].port = b.boot->self.port;

    /* Strangers stand in line before the ranks look at their doors. */
    int strangers[8];
    struct wh_addr door = b.boot->edges[0].peer.addrs[0];
    for (uint32_t i = 0; i < ARRAY_LEN(strangers); i++) {
        door.port = i % 2 == 0 ? a.boot->self.port : b.boot->self.port;
        strangers[i] = wh_sock_connect(&door);
        cr_assert_geq(strangers[i], 0);
        if (i < 6) {
            (void)wh_sock_send(strangers[i], "SSH-2.0-whatever-and-more-of-it", 31);
        }
    }

    struct half_thread threads[2] = {{.half = &a}, {.half = &b}};
    pthread_t ids[2];
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(pthread_create(&ids[i], NULL, half_run, &threads[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(ids[i], NULL);
        cr_assert_eq(threads[i].rc, WHORL_OK);
    }
    cr_assert(a.boot->edges[0].up && a.boot->edges[1].up);
    for (uint32_t i = 0; i < ARRAY_LEN(strangers); i++) {
        close(strangers[i]);
    }
    wh_rank_destroy(a.boot);
    wh_rank_destroy(b.boot);
    crew_destroy(a.crew);
    crew_destroy(b.crew);
}

Test(mesh, another_rank_at_the_address_of_a_peer_is_recognized)
{
    /* Both think they are rank 0 and look for rank 1, and find each other. */
    struct half a = half_create(0, 1), b = half_create(0, a.boot->self.port);
    b.boot->trust = a.boot->trust;
    a.boot->edges[0].peer.addrs[0].port = b.boot->self.port;
    struct half_thread threads[2] = {{.half = &a}, {.half = &b}};
    pthread_t ids[2];
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(pthread_create(&ids[i], NULL, half_run, &threads[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(ids[i], NULL);
        cr_assert_eq(threads[i].rc, WHORL_E_PEER);
    }
    wh_rank_destroy(a.boot);
    wh_rank_destroy(b.boot);
    crew_destroy(a.crew);
    crew_destroy(b.crew);
}
