/* SPDX-License-Identifier: Apache-2.0 */
/* Who calls a rank over TCP, and who answers where a rank was expected. */
#include "conformance/tcp_rig.h"

#include "base/bytes.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void say_nothing(void)
{
    setenv("WHORL_DEBUG", "NONE", 1);
}

TestSuite(tcp_strangers, .init = say_nothing);

/* A message gets through: nothing that came before has done harm. */
static void require_service(struct rig *rig, uint64_t seed)
{
    cr_assert_eq(rig_post(rig, seed, 100), WHORL_OK);
    cr_assert_eq(rig_wait_take(rig, seed, 100), WHORL_OK);
}

/* ---- those that do not know the protocol ---------------------------------------------------- */

Test(tcp_strangers, garbage_is_hung_up_on)
{
    struct rig rig;
    uint8_t bytes[4096];

    rig_open(&rig, &(struct rig_spec){.nslots = 4});
    for (uint32_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 37 + 1);
    }
    for (size_t nbytes = WH_HELLO_NBYTES; nbytes <= sizeof(bytes); nbytes *= 2) {
        int fd = rig_call(&rig);
        cr_assert_eq(send(fd, bytes, nbytes, MSG_NOSIGNAL), nbytes);
        cr_expect(rig_is_hung_up(&rig, fd), "%zu bytes", nbytes);
        close(fd);
    }
    require_service(&rig, 1);
    rig_close(&rig);
}

static void make_hello(struct wh_shake *shake, const uint8_t *secret, enum wh_purpose purpose,
                       const struct tcp_intro *intro, uint8_t hello[WH_HELLO_NBYTES])
{
    static uint8_t nonce[WH_NONCE_NBYTES];
    struct wh_shake_terms terms = {.encrypts = false};

    nonce[0]++;
    tcp_intro_encode(intro, terms.data);
    wh_shake_call(shake, secret, purpose, nonce, hello);
    cr_assert_eq(wh_shake_set_terms(shake, &terms, hello), WHORL_OK);
}

static const struct tcp_intro rank_0 = {.from = 0, .to = 1, .channel = 0, .index = 0};

Test(tcp_strangers, half_a_hello_holds_nobody_up)
{
    struct rig rig;
    uint8_t hello[WH_HELLO_NBYTES];
    struct wh_shake shake;
    int fds[WH_HELLO_NBYTES];

    rig_open(&rig, &(struct rig_spec){.nslots = 4});
    make_hello(&shake, rig.pair.ranks[1].env.secret, WH_PURPOSE_DATA, &rank_0, hello);
    for (size_t i = 0; i < WH_HELLO_NBYTES; i++) {
        fds[i] = rig_call(&rig);
        cr_assert_eq(send(fds[i], hello, i, MSG_NOSIGNAL), i);
        if (i % 2 == 0) {
            close(fds[i]);
        }
    }
    require_service(&rig, 1);
    for (size_t i = 1; i < WH_HELLO_NBYTES; i += 2) {
        close(fds[i]);
    }
    wh_shake_fini(&shake);
    rig_close(&rig);
}

/* A wire with callers in the middle of their handshakes sleeps as soundly as any other, and wakes
 * when one of them goes on. */
Test(tcp_strangers, who_says_nothing_does_not_keep_a_rank_awake)
{
    struct rig rig;
    uint8_t hello[WH_HELLO_NBYTES], challenge[WH_CHALLENGE_NBYTES];
    struct wh_shake shake;

    rig_open(&rig, &(struct rig_spec){.nslots = 4});
    struct tcp_wire *wire = rig_wire(&rig, 1);
    int fds[] = {rig_call(&rig), rig_call(&rig)};
    for (int i = 0; wire->ncallers < ARRAY_LEN(fds) && i < 100000; i++) {
        cr_assert_eq(world_progress(&rig.pair.ranks[1]), WHORL_OK);
    }
    cr_assert_eq(wire->ncallers, ARRAY_LEN(fds));
    struct pollfd pfd = {.fd = whorl_transport_tcp.wait_fd(&wire->base), .events = POLLIN};
    cr_assert_geq(pfd.fd, 0, "it would nap");
    cr_expect_eq(poll(&pfd, 1, 0), 0, "it would be woken for nothing");

    make_hello(&shake, rig.pair.ranks[1].env.secret, WH_PURPOSE_DATA, &rank_0, hello);
    cr_assert_eq(send(fds[0], hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
    cr_assert_eq(poll(&pfd, 1, 10000), 1, "a hello does not wake it");
    size_t got = 0;
    for (int i = 0; got < sizeof(challenge) && i < 100000; i++) {
        cr_assert_eq(world_progress(&rig.pair.ranks[1]), WHORL_OK);
        ssize_t n = recv(fds[0], challenge + got, sizeof(challenge) - got, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
    }
    cr_expect_eq(got, sizeof(challenge));
    close(fds[0]);
    close(fds[1]);
    require_service(&rig, 1);
    cr_expect_eq(wire->ncallers, 0, "whose connection ended stays");
    wh_shake_fini(&shake);
    rig_close(&rig);
}

static void want_descriptors(rlim_t n)
{
    struct rlimit limit;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = n < limit.rlim_max ? n : limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < n) {
        cr_skip_test("only %llu descriptors", (unsigned long long)limit.rlim_cur);
    }
}

Test(tcp_strangers, thousands_that_say_nothing_keep_no_rank_out)
{
    enum { NCALLS = 2000 };
    static int fds[NCALLS];
    struct rig rig;

    want_descriptors(NCALLS + 500);
    rig_open(&rig, &(struct rig_spec){.nslots = 4});
    /* The rank's own call stands in the middle of the queue. */
    for (uint32_t i = 0; i < NCALLS; i++) {
        fds[i] = rig_call(&rig);
        if (i == NCALLS / 2) {
            cr_assert_eq(world_progress(&rig.pair.ranks[0]), WHORL_OK);
        }
    }
    require_service(&rig, 1);
    cr_expect_leq(rig_wire(&rig, 1)->ncallers, 256);
    for (uint32_t i = 0; i < NCALLS; i++) {
        close(fds[i]);
    }
    require_service(&rig, 2);
    rig_close(&rig);
}

/* ---- those that know the protocol, and not the secret --------------------------------------- */

/* Goes on as a caller up to the proof: has the other end hung up on it? */
static bool is_refused(struct rig *rig, const uint8_t *secret, enum wh_purpose purpose,
                       const struct tcp_intro *intro)
{
    struct wh_shake shake;
    uint8_t hello[WH_HELLO_NBYTES], challenge[WH_CHALLENGE_NBYTES], reply[WH_SHAKE_NBYTES_MAX];
    size_t nreply = WH_PROOF_NBYTES, got = 0;
    bool is_up = false;

    make_hello(&shake, secret, purpose, intro, hello);
    int fd = rig_call(rig);
    cr_assert_eq(send(fd, hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
    while (got < sizeof(challenge) && !is_up) {
        rig_step(rig);
        ssize_t n = wh_sock_recv(fd, challenge + got, sizeof(challenge) - got);
        is_up = n < 0; /* hung up on already */
        got += n > 0 ? (size_t)n : 0;
    }
    if (!is_up) {
        memset(reply, 0x5a, sizeof(reply));
        size_t n = 0;
        if (wh_shake_take(&shake, challenge, reply, &n) == WHORL_OK) {
            nreply = n;
        }
        (void)send(fd, reply, nreply, MSG_NOSIGNAL);
    }
    bool is = is_up || rig_is_hung_up(rig, fd);
    close(fd);
    wh_shake_fini(&shake);
    return is;
}

Test(tcp_strangers, who_does_not_know_the_secret_is_refused)
{
    struct rig rig;
    uint8_t secret[WH_SECRET_NBYTES];

    rig_open(&rig, &(struct rig_spec){.nslots = 4});
    memcpy(secret, rig.pair.ranks[1].env.secret, sizeof(secret));
    secret[15] ^= 1;
    cr_expect(is_refused(&rig, secret, WH_PURPOSE_DATA, &rank_0));
    require_service(&rig, 1);
    cr_expect(is_refused(&rig, secret, WH_PURPOSE_DATA, &rank_0));
    require_service(&rig, 2);
    rig_close(&rig);
}

Test(tcp_strangers, a_call_for_something_else_is_refused)
{
    struct rig rig;
    const uint8_t *secret;

    rig_open(&rig, &(struct rig_spec){.nslots = 4});
    secret = rig.pair.ranks[1].env.secret;
    cr_expect(is_refused(&rig, secret, WH_PURPOSE_JOIN, &rank_0));
    cr_expect(is_refused(&rig, secret, WH_PURPOSE_EDGE, &rank_0));
    require_service(&rig, 1);
    rig_close(&rig);
}

Test(tcp_strangers, a_member_that_calls_for_nonsense_is_refused)
{
    const struct tcp_intro intros[] = {
        {.from = 0, .to = 0},
        {.from = 0, .to = 2},
        {.from = 0, .to = UINT32_MAX},
        {.from = 1, .to = 1},
        {.from = 2, .to = 1},
        {.from = UINT32_MAX, .to = 1},
        {.from = 0, .to = 1, .channel = 1},
        {.from = 0, .to = 1, .channel = UINT32_MAX},
        {.from = 0, .to = 1, .index = 1},
        {.from = 0, .to = 1, .index = UINT32_MAX},
    };
    struct rig rig;

    rig_open(&rig, &(struct rig_spec){.nslots = 4});
    for (size_t i = 0; i < ARRAY_LEN(intros); i++) {
        cr_expect(is_refused(&rig, rig.pair.ranks[1].env.secret, WH_PURPOSE_DATA, &intros[i]),
                  "call %zu", i);
    }
    require_service(&rig, 1);
    /* Now that rank 0 is connected, the same call once more is one too many. */
    cr_expect(is_refused(&rig, rig.pair.ranks[1].env.secret, WH_PURPOSE_DATA, &rank_0));
    require_service(&rig, 2);
    rig_close(&rig);
}

Test(tcp_strangers, a_recorded_call_does_not_work_again)
{
    struct rig rig;
    uint8_t bytes[WH_CHALLENGE_NBYTES];
    size_t got = 0;

    rig_open(&rig, &(struct rig_spec){.nslots = 4, .nconns = 1, .has_middle = true});
    require_service(&rig, 1);
    int fd = rig_call(&rig);
    cr_assert_eq(send(fd, rig.middle.first, WH_HELLO_NBYTES, MSG_NOSIGNAL), WH_HELLO_NBYTES);
    while (got < sizeof(bytes)) { /* the answer to a hello is another one each time */
        rig_step(&rig);
        ssize_t n = wh_sock_recv(fd, bytes + got, sizeof(bytes) - got);
        cr_assert_geq(n, 0);
        got += (size_t)n;
    }
    cr_assert_eq(send(fd, rig.middle.first + WH_HELLO_NBYTES, WH_PROOF_NBYTES, MSG_NOSIGNAL),
                 WH_PROOF_NBYTES);
    cr_expect(rig_is_hung_up(&rig, fd));
    close(fd);
    require_service(&rig, 2);
    rig_close(&rig);
}

/* ---- two communicators ---------------------------------------------------------------------- */

static void other_secret_of_rank_1(struct world_rank *rank)
{
    rank->env.secret[7] ^= (uint8_t)(rank->env.rank << 3);
}

Test(tcp_strangers, another_communicator_is_refused_by_both_ends)
{
    for (int encrypts = 0; encrypts < 2; encrypts++) {
        struct rig rig;

        rig_open(&rig, &(struct rig_spec){.encrypts = encrypts, .alter = other_secret_of_rank_1});
        whorl_result_t rc = rig_wait_refusal(&rig);
        cr_expect_eq(rc, WHORL_E_PEER, "%d", (int)rc);
        /* It stays so. */
        cr_expect_eq(rig_wait_refusal(&rig), WHORL_E_PEER);
        cr_expect_eq(rig_take(&rig, 0, 1), WHORL_IN_PROGRESS);
        cr_expect_eq(rig_wire(&rig, 1)->npairs, 1);
        cr_expect_eq(rig_conn(&rig, 1)->state, TCP_IDLE);
        rig_close(&rig);
    }
}

static void encrypt_on_rank_1(struct world_pair *pair)
{
    ((struct tcp_wire *)pair->ranks[1].wire)->address.encrypts = true;
}

Test(tcp_strangers, who_encrypts_alone_is_out_of_reach)
{
    struct world_spec spec = world_spec_of(&whorl_transport_tcp, wire_threads, NULL);
    struct world_pair pair;

    world_pair_open(&spec, &pair);
    encrypt_on_rank_1(&pair);
    cr_assert_eq(world_pair_connect(&pair, 2), WHORL_OK);
    for (uint32_t i = 0; i < 2; i++) {
        const char *why = "";
        cr_expect_not(whorl_transport_tcp.reaches(pair.ranks[i].wire, 1 - i, &why));
        cr_expect_not_null(strstr(why, "WHORL_ENCRYPT"), "%s", why);
    }
    world_pair_close(&pair);
}

/* An address that was changed on its way does not get an encrypting rank to talk in the clear. */
Test(tcp_strangers, nobody_is_talked_out_of_encryption)
{
    struct rig rig;

    rig_open(&rig, &(struct rig_spec){.before = encrypt_on_rank_1});
    whorl_result_t rc = rig_wait_refusal(&rig);
    cr_expect_eq(rc, WHORL_E_CONFIG, "%d", (int)rc);
    cr_expect_eq(rig_conn(&rig, 1)->state, TCP_IDLE);
    rig_close(&rig);
}

/* ---- who answers ---------------------------------------------------------------------------- */

/* Rank 1 listens on 127.0.0.1 only. */
static void listen_on_one(struct world_pair *pair)
{
    struct tcp_wire *wire = (struct tcp_wire *)pair->ranks[1].wire;
    struct wh_addr addr = rig_addr("127.0.0.1");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &wire->listener_kind};

    close(wire->listener);
    cr_assert_eq(wh_sock_listen_at(&addr, 0, &wire->listener, &wire->address.port), WHORL_OK);
    cr_assert_eq(epoll_ctl(wire->epoll, EPOLL_CTL_ADD, wire->listener, &event), 0);
}

Test(tcp_strangers, dead_addresses_are_passed_by)
{
    struct rig rig;

    /* Refused; without a route, or without an answer; the right one. */
    rig_open(&rig, &(struct rig_spec){.before = listen_on_one,
                                      .naddrs = 4,
                                      .addrs = {"::1", "240.0.0.1", "127.0.0.3", "127.0.0.1"}});
    require_service(&rig, 1);
    rig_close(&rig);
}

Test(tcp_strangers, where_nothing_answers_there_is_an_error)
{
    struct rig rig;

    rig_open(&rig, &(struct rig_spec){.before = listen_on_one,
                                      .naddrs = 2,
                                      .addrs = {"127.0.0.3", "127.0.0.4"}});
    cr_expect_eq(rig_wait_refusal(&rig), WHORL_E_PEER);
    cr_expect_eq(rig_wait_refusal(&rig), WHORL_E_PEER);
    rig_close(&rig);
}

/* Only rank 0 goes on, and whenever it shakes hands, the time for that is over. */
struct waiting {
    struct rig *rig;
    uint32_t ntimeouts;
};

static bool has_waited_long(void *ctx)
{
    struct waiting *waiting = ctx;
    struct tcp_conn *conn = rig_conn(waiting->rig, 0);

    if (conn->shake != NULL && conn->shake->deadline_ns != 0) {
        conn->shake->deadline_ns = 0;
        waiting->ntimeouts++;
    }
    return waiting->ntimeouts > 10 || conn->state != TCP_DIALS;
}

Test(tcp_strangers, a_rank_that_is_late_is_asked_again_and_again)
{
    struct rig rig;
    struct waiting waiting = {.rig = &rig};

    rig_open(&rig, &(struct rig_spec){.nslots = 4});
    rig.pair.ranks[1].is_connected = false; /* is busy with something else */
    cr_expect(rig_until(&rig, has_waited_long, &waiting));
    cr_expect_eq(waiting.ntimeouts, 11);
    cr_expect_eq(rig.rcs[0], WHORL_OK);
    rig.pair.ranks[1].is_connected = true;
    require_service(&rig, 1);
    rig_close(&rig);
}

/* Somebody else at 127.0.0.2, where rank 1 is expected first. */
struct impostor {
    int listener, fd;
    enum { SAYS_GARBAGE, HANGS_UP, IS_ANOTHER_RANK, KNOWS_NO_SECRET } how;
    struct wh_shake shake;
    uint8_t in[WH_SHAKE_NBYTES_MAX];
    size_t got;
    uint32_t ncalls;
    struct rig *rig;
};

static void impostor_step(void *ctx)
{
    struct impostor *impostor = ctx;
    struct wh_addr addr;
    uint8_t out[WH_SHAKE_NBYTES_MAX] = {0};
    uint8_t nonce[WH_NONCE_NBYTES] = {7};
    size_t nout = sizeof(out);

    rig_step(impostor->rig);
    if (impostor->fd < 0) {
        impostor->fd = wh_sock_accept(impostor->listener, &addr);
        impostor->got = 0;
        impostor->ncalls += impostor->fd >= 0;
        return;
    }
    ssize_t n = wh_sock_recv(impostor->fd, impostor->in + impostor->got,
                             WH_HELLO_NBYTES - impostor->got);
    impostor->got += n > 0 ? (size_t)n : 0;
    if (impostor->got < WH_HELLO_NBYTES) {
        return;
    }
    if (impostor->how == IS_ANOTHER_RANK || impostor->how == KNOWS_NO_SECRET) {
        const struct tcp_intro intro = {.from = 2, .to = UINT32_MAX};
        struct wh_shake_terms terms = {.encrypts = false};
        uint8_t secret[WH_SECRET_NBYTES];
        memcpy(secret, impostor->rig->pair.ranks[0].env.secret, sizeof(secret));
        secret[0] ^= impostor->how == KNOWS_NO_SECRET;
        tcp_intro_encode(&intro, terms.data);
        wh_shake_answer(&impostor->shake, secret, WH_PURPOSE_DATA, nonce);
        cr_assert_eq(wh_shake_set_terms(&impostor->shake, &terms, NULL), WHORL_OK);
        cr_assert_eq(wh_shake_take(&impostor->shake, impostor->in, out, &nout), WHORL_IN_PROGRESS);
        wh_shake_fini(&impostor->shake);
    }
    if (impostor->how != HANGS_UP) {
        (void)wh_sock_send(impostor->fd, out, nout);
    }
    if (impostor->how == HANGS_UP) {
        close(impostor->fd);
        impostor->fd = -1;
    } else {
        impostor->got = 0;
        uint8_t rest[64];
        while (wh_sock_recv(impostor->fd, rest, sizeof(rest)) > 0) {
        }
    }
}

static bool impostor_goes_on(void *ctx)
{
    struct impostor *impostor = ctx;
    impostor_step(impostor);
    return rig_take(impostor->rig, 1, 100) == WHORL_OK;
}

Test(tcp_strangers, who_answers_instead_of_a_rank_is_passed_by)
{
    for (int how = SAYS_GARBAGE; how <= KNOWS_NO_SECRET; how++) {
        struct rig rig;
        struct impostor impostor = {.fd = -1, .how = how, .rig = &rig};
        struct wh_addr addr = rig_addr("127.0.0.2");
        uint16_t port;

        rig_open(&rig, &(struct rig_spec){.before = listen_on_one,
                                          .naddrs = 2,
                                          .addrs = {"127.0.0.2", "127.0.0.1"}});
        cr_assert_eq(wh_sock_listen_at(&addr, rig_wire(&rig, 1)->address.port, &impostor.listener,
                                       &port),
                     WHORL_OK);
        cr_assert_eq(rig_post(&rig, 1, 100), WHORL_OK);
        cr_expect(rig_until(&rig, impostor_goes_on, &impostor), "kind %d", how);
        cr_expect_gt(impostor.ncalls, 0);
        if (impostor.fd >= 0) {
            close(impostor.fd);
        }
        close(impostor.listener);
        rig_close(&rig);
    }
}
