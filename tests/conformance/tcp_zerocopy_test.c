/* SPDX-License-Identifier: Apache-2.0 */
/* Sends without a copy: which are through, told by made-up completions; and over real connections,
 * where the kernel copies because both ends are here, and says so. */
#include "../../transports/tcp/tcp_zerocopy.h"
#include "base/clock.h"
#include "base/log.h"
#include "conformance/tcp_rig.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SEND_NBYTES = 256 << 10, PATIENCE_MS = 60000 };

/* ---- which are through ---------------------------------------------------------------------- */

/* Some sends in flight, whose numbers begin anywhere. */
static struct tcp_zerocopy flying(uint32_t first, uint32_t n)
{
    return (struct tcp_zerocopy){.state = TCP_ZEROCOPY_ON, .next = first + n, .done = first};
}

static const uint32_t firsts[] = {0,         1, 63, 255, 1u << 31, UINT32_MAX - 300, UINT32_MAX - 3,
                                  UINT32_MAX};

Test(tcp_zerocopy, what_stays_in_flight_holds_back_what_came_after_it)
{
    for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
        uint32_t at = firsts[i];
        struct tcp_zerocopy zerocopy = flying(at, 8);

        cr_expect_eq(tcp_zerocopy_nflying(&zerocopy), 8);
        cr_expect(tcp_zerocopy_is_done(&zerocopy, at));
        cr_expect_not(tcp_zerocopy_is_done(&zerocopy, at + 1));
        tcp_zerocopy_complete(&zerocopy, at + 2, at + 4, false);
        cr_expect_eq(tcp_zerocopy_nflying(&zerocopy), 5);
        cr_expect_not(tcp_zerocopy_is_done(&zerocopy, at + 1));
        cr_expect_not(tcp_zerocopy_is_done(&zerocopy, at + 5));
        tcp_zerocopy_complete(&zerocopy, at, at, false);
        cr_expect(tcp_zerocopy_is_done(&zerocopy, at + 1));
        cr_expect_not(tcp_zerocopy_is_done(&zerocopy, at + 2));
        tcp_zerocopy_complete(&zerocopy, at + 1, at + 1, false);
        cr_expect(tcp_zerocopy_is_done(&zerocopy, at + 5));
        cr_expect_not(tcp_zerocopy_is_done(&zerocopy, at + 6));
        cr_expect_eq(tcp_zerocopy_nflying(&zerocopy), 3);
        tcp_zerocopy_complete(&zerocopy, at + 5, at + 7, false);
        cr_expect(tcp_zerocopy_is_done(&zerocopy, tcp_zerocopy_ticket(&zerocopy)));
        cr_expect_eq(tcp_zerocopy_nflying(&zerocopy), 0);
        cr_expect_eq(zerocopy.state, TCP_ZEROCOPY_ON);
    }
}

Test(tcp_zerocopy, every_order_of_completions_ends_with_none_in_flight)
{
    enum { N = 6 };
    for (uint32_t order = 0; order < 720; order++) {
        struct tcp_zerocopy zerocopy = flying(UINT32_MAX - 2, N);
        bool is_through[N] = {false};
        uint32_t rest = order;

        for (uint32_t left = N; left > 0; left--) {
            uint32_t nth = rest % left, number = 0;
            rest /= left;
            while (is_through[number] || nth-- > 0) {
                number++;
            }
            is_through[number] = true;
            tcp_zerocopy_complete(&zerocopy, UINT32_MAX - 2 + number, UINT32_MAX - 2 + number,
                                  false);
            uint32_t front = 0;
            while (front < N && is_through[front]) {
                front++;
            }
            cr_assert_eq(zerocopy.done, UINT32_MAX - 2 + front, "order %u", order);
            cr_assert_eq(tcp_zerocopy_nflying(&zerocopy), left - 1);
        }
    }
}

Test(tcp_zerocopy, completions_of_what_is_not_in_flight_change_nothing)
{
    for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
        uint32_t at = firsts[i];
        struct tcp_zerocopy zerocopy = flying(at, 3);
        const struct tcp_zerocopy before = zerocopy;

        tcp_zerocopy_complete(&zerocopy, at + 3, at + 200, false);
        tcp_zerocopy_complete(&zerocopy, at - 5, at - 1, false);
        tcp_zerocopy_complete(&zerocopy, at - 1000, at - 700, false);
        cr_expect_arr_eq(&zerocopy, &before, sizeof(before));
        tcp_zerocopy_complete(&zerocopy, at, at + 2, false);
        tcp_zerocopy_complete(&zerocopy, at, at + 2, false); /* again */
        cr_expect_eq(zerocopy.done, at + 3);
        cr_expect_eq(tcp_zerocopy_nflying(&zerocopy), 0);
    }
}

Test(tcp_zerocopy, only_so_many_are_in_flight_as_can_be_told_apart)
{
    struct tcp_zerocopy zerocopy = flying(7, TCP_ZEROCOPY_NSENDS_MAX - 1);

    cr_expect(tcp_zerocopy_is_for(&zerocopy, SEND_NBYTES));
    zerocopy.next++;
    cr_expect_not(tcp_zerocopy_is_for(&zerocopy, SEND_NBYTES));
    tcp_zerocopy_complete(&zerocopy, 8, 7 + TCP_ZEROCOPY_NSENDS_MAX - 1, false);
    cr_expect_eq(tcp_zerocopy_nflying(&zerocopy), 1);
    cr_expect_not(tcp_zerocopy_is_for(&zerocopy, SEND_NBYTES), "the first holds up all numbers");
    tcp_zerocopy_complete(&zerocopy, 7, 7, false);
    cr_expect(tcp_zerocopy_is_for(&zerocopy, SEND_NBYTES));
    cr_expect_eq(tcp_zerocopy_nflying(&zerocopy), 0);
}

Test(tcp_zerocopy, one_send_asks_and_the_answer_decides)
{
    struct tcp_zerocopy zerocopy = {.state = TCP_ZEROCOPY_ASKS};

    cr_expect_not(tcp_zerocopy_is_for(&zerocopy, TCP_ZEROCOPY_NBYTES_MIN - 1));
    cr_expect(tcp_zerocopy_is_for(&zerocopy, TCP_ZEROCOPY_NBYTES_MIN));
    zerocopy.next++;
    cr_expect_not(tcp_zerocopy_is_for(&zerocopy, SEND_NBYTES));
    tcp_zerocopy_complete(&zerocopy, 0, 0, false);
    cr_expect_eq(zerocopy.state, TCP_ZEROCOPY_ON);
    cr_expect(tcp_zerocopy_is_for(&zerocopy, SEND_NBYTES));
    zerocopy.next += 2;
    tcp_zerocopy_complete(&zerocopy, 1, 1, true);
    cr_expect_eq(zerocopy.state, TCP_ZEROCOPY_OFF);
    cr_expect_not(tcp_zerocopy_is_for(&zerocopy, SEND_NBYTES));
    cr_expect_eq(tcp_zerocopy_nflying(&zerocopy), 1);
    tcp_zerocopy_complete(&zerocopy, 2, 2, false);
    cr_expect_eq(zerocopy.state, TCP_ZEROCOPY_OFF, "for good");
    cr_expect_eq(tcp_zerocopy_nflying(&zerocopy), 0);
}

/* ---- over connections ----------------------------------------------------------------------- */

struct lane {
    int out, in;
    struct tcp_zerocopy zerocopy;
    uint8_t *memory; /* SEND_NBYTES */
    uint64_t nsent, nread;
};

static void lane_open(struct lane *lane, struct wh_addr addr)
{
    struct wh_addr peer;
    int listener;

    memset(lane, 0, sizeof(*lane));
    cr_assert_eq(wh_sock_listen_at(&addr, 0, &listener, &addr.port), WHORL_OK);
    const int nbytes = 64 << 10; /* the system should not take all that is sent */
    cr_assert_eq(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &nbytes, sizeof(nbytes)), 0);
    lane->out = wh_sock_connect(&addr);
    cr_assert_geq(lane->out, 0);
    do {
        lane->in = wh_sock_accept(listener, &peer);
    } while (lane->in < 0);
    struct pollfd polled = {.fd = lane->out, .events = POLLOUT};
    cr_assert_eq(poll(&polled, 1, PATIENCE_MS), 1);
    cr_assert_eq(wh_sock_error(lane->out), 0);
    close(listener);
    lane->memory = malloc(SEND_NBYTES);
    cr_assert_not_null(lane->memory);
}

static void lane_close(struct lane *lane)
{
    close(lane->out);
    close(lane->in);
    free(lane->memory);
}

/* What the stream carries at a place. */
static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + offset / 4096);
}

/* Reads what has come and compares it. */
static void lane_read(struct lane *lane)
{
    static uint8_t bytes[64 << 10];
    ssize_t n = wh_sock_recv(lane->in, bytes, sizeof(bytes));
    cr_assert_geq(n, 0);
    for (ssize_t i = 0; i < n; i++, lane->nread++) {
        if (bytes[i] != byte_at(lane->nread)) { /* an assertion for every byte takes long */
            cr_assert_fail("byte %llu", (unsigned long long)lane->nread);
        }
    }
}

/* Fills the memory with what comes next of the stream, and sends what fits of it. */
static bool lane_send(struct lane *lane, size_t nbytes)
{
    struct iovec part = {lane->memory, nbytes};
    const struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};

    for (size_t i = 0; i < nbytes; i++) {
        lane->memory[i] = byte_at(lane->nsent + i);
    }
    ssize_t n = tcp_zerocopy_send(&lane->zerocopy, lane->out, &msg, nbytes);
    cr_assert(n > 0 || errno == EAGAIN, "%s", strerror(errno));
    lane->nsent += n > 0 ? (uint64_t)n : 0;
    return n > 0;
}

/* Reads until nothing is on its way, and nothing in flight. */
static void lane_drain(struct lane *lane)
{
    uint64_t until_ns = wh_deadline_after_ms(PATIENCE_MS);

    while (lane->nread < lane->nsent || tcp_zerocopy_nflying(&lane->zerocopy) > 0) {
        lane_read(lane);
        tcp_zerocopy_reap(&lane->zerocopy, lane->out);
        cr_assert_lt(wh_now_ns(), until_ns);
    }
}

/* Sends whose memory is overwritten by the next as soon as the kernel gives it back. */
static void lane_stream(struct lane *lane, uint32_t nsends)
{
    uint64_t until_ns = wh_deadline_after_ms(PATIENCE_MS);

    while (nsends > 0) {
        uint32_t ticket = tcp_zerocopy_ticket(&lane->zerocopy);
        tcp_zerocopy_reap(&lane->zerocopy, lane->out);
        if (tcp_zerocopy_is_done(&lane->zerocopy, ticket)) {
            nsends -= lane_send(lane, SEND_NBYTES);
        }
        lane_read(lane);
        cr_assert_lt(wh_now_ns(), until_ns);
    }
    lane_drain(lane);
}

/* A connection that the kernel lets try it. */
static void lane_start(struct lane *lane, const char *ip)
{
    if (strchr(ip, ':') != NULL && access("/proc/net/if_inet6", R_OK) != 0) {
        cr_skip_test("no IPv6 here");
    }
    tcp_zerocopy_is_forced = true;
    lane_open(lane, rig_addr(ip));
    tcp_zerocopy_start(&lane->zerocopy, lane->out);
    if (lane->zerocopy.state != TCP_ZEROCOPY_ASKS) {
        lane_close(lane);
        cr_skip_test("this kernel has no SO_ZEROCOPY for TCP");
    }
}

static void expect_memory_back_when_read(const char *ip)
{
    struct lane lane;

    lane_start(&lane, ip);
    cr_assert(lane_send(&lane, SEND_NBYTES));
    uint32_t ticket = tcp_zerocopy_ticket(&lane.zerocopy);
    cr_assert_eq(ticket, 1);
    /* Nobody reads, and the receiver's system has no room for all of it. */
    for (int i = 0; i < 20; i++) {
        tcp_zerocopy_reap(&lane.zerocopy, lane.out);
        cr_expect_not(tcp_zerocopy_is_done(&lane.zerocopy, ticket));
        cr_expect_eq(tcp_zerocopy_nflying(&lane.zerocopy), 1);
        usleep(1000);
    }
    lane_drain(&lane);
    cr_expect(tcp_zerocopy_is_done(&lane.zerocopy, ticket));
    cr_expect_eq(lane.zerocopy.state, TCP_ZEROCOPY_ON);
    cr_expect_not(tcp_zerocopy_reap(&lane.zerocopy, lane.out));
    lane_close(&lane);
}

Test(tcp_zerocopy, memory_comes_back_when_the_peer_has_the_data)
{
    expect_memory_back_when_read("127.0.0.1");
}

Test(tcp_zerocopy, memory_comes_back_over_ipv6_too)
{
    expect_memory_back_when_read("::1");
}

Test(tcp_zerocopy, a_stream_out_of_one_memory_arrives_as_it_was_sent)
{
    struct lane lane;

    lane_start(&lane, "127.0.0.1");
    lane_stream(&lane, 100);
    cr_expect_geq(lane.zerocopy.next, 100);
    cr_expect_eq(lane.zerocopy.state, TCP_ZEROCOPY_ON);
    lane_close(&lane);
}

Test(tcp_zerocopy, small_sends_are_copied)
{
    struct lane lane;

    lane_start(&lane, "127.0.0.1");
    cr_assert(lane_send(&lane, TCP_ZEROCOPY_NBYTES_MIN - 1));
    cr_expect_eq(tcp_zerocopy_nflying(&lane.zerocopy), 0);
    cr_expect(tcp_zerocopy_is_done(&lane.zerocopy, tcp_zerocopy_ticket(&lane.zerocopy)));
    lane_drain(&lane);
    lane_close(&lane);
}

static size_t count_in_file(const char *path, const char *text)
{
    char line[1024];
    size_t n = 0;
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        n += strstr(line, text) != NULL;
    }
    fclose(file);
    return n;
}

Test(tcp_zerocopy, where_the_kernel_copies_it_switches_itself_off_and_says_so_once)
{
    char path[] = "/tmp/whorl-zerocopy-XXXXXX";
    struct lane lane;

    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    wh_log_configure("INFO", "NET", path);
    lane_start(&lane, "127.0.0.1"); /* forced over a local route, */
    tcp_zerocopy_is_forced = false; /* and from now on what the kernel says counts */
    lane_stream(&lane, 50);
    cr_expect_eq(lane.zerocopy.state, TCP_ZEROCOPY_OFF);
    cr_expect_eq(lane.zerocopy.next, 1, "one asked");
    cr_expect_eq(count_in_file(path, "zero-copy is off"), 1);
    unlink(path);
    lane_close(&lane);
}

Test(tcp_zerocopy, where_no_memory_may_be_locked_data_is_copied_and_it_is_off)
{
    const struct rlimit none = {0, 0};
    struct lane lane;

    lane_start(&lane, "127.0.0.1");
    cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    uid_t user = geteuid();
    if (user == 0) { /* who may lock memory anyway has no limit */
        cr_assert_eq(seteuid(65534), 0);
    }
    lane_stream(&lane, 10);
    if (user == 0) { /* a process that changed its user is closed to debuggers and LeakSanitizer */
        cr_assert_eq(seteuid(user), 0);
        cr_assert_eq(prctl(PR_SET_DUMPABLE, 1), 0);
    }
    cr_expect_eq(lane.zerocopy.state, TCP_ZEROCOPY_OFF);
    cr_expect_eq(lane.zerocopy.next, 0);
    lane_close(&lane);
}

Test(tcp_zerocopy, a_connection_of_this_host_does_not_try)
{
    enum { NADDRS_MAX = 8 };
    struct wh_addr addrs[NADDRS_MAX + 1]; /* the host's own, loopback among them, and one more */
    uint32_t naddrs;

    cr_assert_eq(wh_sock_own_addrs("", WH_FAMILY_ANY, addrs, NADDRS_MAX, &naddrs), WHORL_OK);
    addrs[naddrs++] = rig_addr("127.0.0.2");
    for (uint32_t i = 0; i < naddrs; i++) {
        char text[WH_ADDR_TEXT_NBYTES];
        struct lane lane;
        lane_open(&lane, addrs[i]);
        cr_expect(tcp_zerocopy_is_local(lane.out), "%s", wh_addr_print(&addrs[i], text));
        tcp_zerocopy_start(&lane.zerocopy, lane.out);
        cr_expect_eq(lane.zerocopy.state, TCP_ZEROCOPY_OFF);
        lane_stream(&lane, 3);
        lane_close(&lane);
    }
}

/* That sends in flight are lost is the price; that they come altered would be worse. */
Test(tcp_zerocopy, after_an_abort_the_peer_gets_an_error_and_not_what_memory_became)
{
    uint64_t until_ns = wh_deadline_after_ms(PATIENCE_MS);
    uint8_t bytes[4096];
    struct lane lane;
    ssize_t n = 0;

    lane_start(&lane, "127.0.0.1");
    cr_assert(lane_send(&lane, SEND_NBYTES));
    tcp_zerocopy_abort(&lane.zerocopy, lane.out);
    cr_expect_eq(tcp_zerocopy_nflying(&lane.zerocopy), 0);
    memset(lane.memory, 0xee, SEND_NBYTES);
    while (n >= 0 && wh_now_ns() < until_ns) {
        n = wh_sock_recv(lane.in, bytes, sizeof(bytes));
        for (ssize_t i = 0; i < n; i++) {
            cr_assert_eq(bytes[i], byte_at(lane.nread++));
        }
    }
    cr_expect_eq(n, -ECONNRESET);
    cr_expect_lt(lane.nread, lane.nsent);
    lane_close(&lane);
}
