/* SPDX-License-Identifier: Apache-2.0 */
/* What comes over an edge that no honest rank would send. */
#include "bootstrap/rank.h"
#include "bootstrap/service.h"
#include "crew.h"

#include <poll.h>

TestSuite(rank, .timeout = 60);

/* Rank 0 of two, whose incoming edge is a connection that the test holds the other end of. */
struct scene {
    struct wh_boot *boot;
    struct wh_conn peer;
};

static void advance(struct wh_conn *conn)
{
    struct pollfd pfd = {.fd = conn->fd, .events = wh_conn_events(conn)};
    if (poll(&pfd, 1, 10) > 0) {
        cr_assert_eq(wh_conn_advance(conn), WHORL_OK);
    }
}

static struct scene scene_create(bool encrypts)
{
    struct scene scene;
    const struct wh_trust trust = {.secret = "fifteen letters", .encrypts = encrypts};
    const struct wh_boot_join_args args = {.nranks = 2, .rank = 0};
    scene.boot = wh_rank_create(&args);
    cr_assert_not_null(scene.boot);
    struct wh_edge *edge = &scene.boot->edges[1];

    int listener;
    uint16_t port;
    struct wh_addr peer;
    cr_assert_eq(wh_sock_listen(WH_FAMILY_ANY, 0, &listener, &port), WHORL_OK);
    struct wh_addr addr = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, .port = port};
    int caller = wh_sock_connect(&addr);
    cr_assert_geq(caller, 0);
    cr_assert_eq(wh_conn_call(&scene.peer, caller, &addr, WH_PURPOSE_EDGE, &trust), WHORL_OK);
    struct pollfd pfd = {.fd = listener, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    int fd = wh_sock_accept(listener, &peer);
    cr_assert_eq(wh_conn_answer(&edge->conn, fd, &peer, WH_PURPOSE_EDGE, &trust), WHORL_OK);
    close(listener);
    while (!edge->conn.proved || !scene.peer.proved) {
        advance(&scene.peer);
        advance(&edge->conn);
    }
    edge->peer = (struct wh_member){.rank = 1, .nranks = 2, .pid = 8, .host = "there"};
    edge->up = true;
    return scene;
}

/* The rank takes what has come. */
static void scene_take(struct scene *scene)
{
    struct wh_edge *edge = &scene->boot->edges[1];
    struct pollfd pfd = {.fd = edge->conn.fd, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    wh_service_lock();
    wh_rank_edge_ready(scene->boot, 1);
    wh_service_unlock();
}

/* The peer sends one frame; the rank takes it. */
static void scene_send(struct scene *scene, const struct wh_frame *frame)
{
    cr_assert_eq(wh_conn_post(&scene->peer, frame), WHORL_OK);
    scene_take(scene);
}

static void scene_destroy(struct scene *scene)
{
    wh_conn_close(&scene->peer);
    wh_rank_destroy(scene->boot);
}

Test(rank, frames_that_make_no_sense_end_the_job_and_name_the_sender)
{
    static const uint8_t block[WH_BLOCKS_HEAD_NBYTES];
    static const uint8_t status[WH_ANSWER_NBYTES];
    const struct wh_frame frames[] = {
        {WH_FRAME_BLOCK, 0, 2, 1, sizeof(block), block},
        {WH_FRAME_BLOCK, 0, 1, 2, sizeof(block), block},
        {WH_FRAME_BLOCK, 1, 1, 1, sizeof(block), block},
        {WH_FRAME_BLOCK, 0, 1, UINT64_MAX, sizeof(block), block},
        {.type = WH_FRAME_BLOCK, .rank = 1, .tag = 1},
        {.type = WH_FRAME_WELCOME},
        {.type = WH_FRAME_HELD, .tag = 1},
        {.type = WH_FRAME_ASK, .rank = 2, .tag = 1},
        {WH_FRAME_STATUS, 0, 1, 1, sizeof(status), status},
    };
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        struct scene scene = scene_create(false);
        scene_send(&scene, &frames[i]);
        cr_assert(scene.boot->failed, "frame %zu", i);
        cr_assert_str_eq(scene.boot->failure.text,
                         "rank 1 (host there, pid 8) sent what is not this protocol");
        cr_assert_not(scene.boot->edges[1].up);
        scene_destroy(&scene);
    }
}

Test(rank, who_speaks_on_an_encrypted_connection_without_its_keys_ends_the_job)
{
    struct scene scene = scene_create(true);
    const struct wh_frame block = {WH_FRAME_BLOCK, 0, 1, 1, 4, "\0\0\0"};
    scene_send(&scene, &block);
    cr_assert_not(scene.boot->failed, "%s", scene.boot->failure.text);

    uint8_t bytes[WH_HEAD_NBYTES + WH_SEAL_TAG_NBYTES] = {0};
    const struct wh_frame bye = {.type = WH_FRAME_BYE, .tag = 1};
    wh_head_encode(&bye, bytes);
    cr_assert_eq(wh_sock_send(scene.peer.fd, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
    scene_take(&scene);
    cr_assert(scene.boot->failed);
    cr_expect_eq(scene.boot->failure.rc, WHORL_E_TRUST);
    cr_expect_str_eq(scene.boot->failure.text,
                     "what rank 1 (host there, pid 8) sent was changed on the way: somebody is "
                     "between the two");
    scene_destroy(&scene);
}

Test(rank, a_block_of_the_next_collective_is_kept)
{
    struct scene scene = scene_create(false);
    static const uint8_t block[WH_BLOCKS_HEAD_NBYTES];
    const struct wh_frame frame = {WH_FRAME_BLOCK, 0, 1, 1, sizeof(block), block};
    scene_send(&scene, &frame);
    cr_assert_not(scene.boot->failed);
    cr_assert_not_null(scene.boot->inbox);
    cr_assert_eq(scene.boot->inbox->tag, 1);
    scene_destroy(&scene);
}

Test(rank, a_farewell_is_no_death)
{
    struct scene scene = scene_create(false);
    const struct wh_frame frame = {.type = WH_FRAME_BYE, .tag = 3};
    scene_send(&scene, &frame);
    wh_conn_close(&scene.peer);
    struct pollfd pfd = {.fd = scene.boot->edges[1].conn.fd, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    wh_service_lock();
    wh_rank_edge_ready(scene.boot, 1);
    wh_service_unlock();
    cr_assert_not(scene.boot->failed, "%s", scene.boot->failure.text);
    cr_assert_eq(scene.boot->edges[1].left_nops, 3);
    wh_boot_set_nops(scene.boot, 3);
    cr_assert_not(scene.boot->failed);
    wh_boot_set_nops(scene.boot, 4);
    cr_assert(scene.boot->failed);
    scene_destroy(&scene);
}

Test(rank, only_the_first_failure_counts)
{
    struct scene scene = scene_create(false);
    struct wh_boot_failure failure = {.rc = WHORL_E_SYS, .text = "first"};
    uint8_t payload[WH_FAILURE_NBYTES_MAX];
    struct wh_frame frame = {.type = WH_FRAME_FAIL, .payload = payload};
    frame.payload_nbytes = (uint32_t)wh_failure_encode(&failure, payload);
    scene_send(&scene, &frame);
    failure = (struct wh_boot_failure){.rc = WHORL_E_ARG, .text = "second"};
    frame.payload_nbytes = (uint32_t)wh_failure_encode(&failure, payload);
    scene_send(&scene, &frame);
    cr_assert_eq(scene.boot->failure.rc, WHORL_E_SYS);
    cr_assert_str_eq(scene.boot->failure.text, "first");
    scene_destroy(&scene);
}
