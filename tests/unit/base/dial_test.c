/* SPDX-License-Identifier: Apache-2.0 */
/* Real sockets on loopback: ports that refuse, that answer, and one that stays silent because
 * nobody takes its connections and its queue is full. No test waits for a time that matters: where
 * time decides, the test sets the moment back. */
#include "base/clock.h"
#include "base/dial.h"
#include "base/macros.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(dial, .timeout = 60);

static struct wh_addr local(uint16_t port)
{
    return (struct wh_addr){.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, .port = port};
}

static uint64_t soon(void)
{
    return wh_deadline_after_ms(30 * 1000);
}

/* A socket that has a port of its own but does not listen. */
static int reserve(struct wh_addr *addr_out)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t sa_nbytes = sizeof(sa);
    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&sa, &sa_nbytes), 0);
    *addr_out = local(ntohs(sa.sin_port));
    return fd;
}

static int answer(struct wh_addr *addr_out)
{
    int fd = reserve(addr_out);
    cr_assert_eq(listen(fd, 16), 0);
    return fd;
}

/* A listener whose queue the two fillers keep full: who calls now gets no answer. */
struct silent {
    int listener, fillers[4];
    struct wh_addr addr;
};

static struct silent silent_open(void)
{
    struct silent silent;
    silent.listener = reserve(&silent.addr);
    cr_assert_eq(listen(silent.listener, 0), 0);
    bool full = false;
    for (size_t i = 0; i < ARRAY_LEN(silent.fillers); i++) {
        silent.fillers[i] = wh_sock_connect(&silent.addr);
        cr_assert_geq(silent.fillers[i], 0);
        struct pollfd pfd = {.fd = silent.fillers[i], .events = POLLOUT};
        full = poll(&pfd, 1, 100) == 0;
    }
    cr_assert(full, "the queue takes more than %zu", ARRAY_LEN(silent.fillers));
    return silent;
}

static void silent_close(struct silent *silent)
{
    for (size_t i = 0; i < ARRAY_LEN(silent->fillers); i++) {
        close(silent->fillers[i]);
    }
    close(silent->listener);
}

/* Until it is over. */
static whorl_result_t run(struct wh_dial *dial, int *fd_out, struct wh_addr *addr_out)
{
    whorl_result_t rc;
    while ((rc = wh_dial_advance(dial, fd_out, addr_out)) == WHORL_IN_PROGRESS) {
        int fds[WH_DIAL_NADDRS_MAX];
        struct pollfd pfds[WH_DIAL_NADDRS_MAX];
        uint32_t nfds = wh_dial_fds(dial, fds, WH_DIAL_NADDRS_MAX);
        for (uint32_t i = 0; i < nfds; i++) {
            pfds[i] = (struct pollfd){.fd = fds[i], .events = POLLOUT};
        }
        (void)poll(pfds, nfds, wh_ms_until(dial->next_ns, 60 * 1000));
    }
    return rc;
}

static uint32_t count_fds(void)
{
    uint32_t nentries = 0;
    DIR *dir = opendir("/proc/self/fd");
    cr_assert_not_null(dir);
    while (readdir(dir) != NULL) {
        nentries++;
    }
    closedir(dir);
    return nentries;
}

Test(dial, a_listener_is_reached_and_told_where)
{
    struct wh_addr addr, at;
    struct wh_dial dial;
    int listener = answer(&addr), fd;
    wh_dial_start(&dial, &addr, 1, soon());
    cr_assert_eq(run(&dial, &fd, &at), WHORL_OK);
    cr_assert_eq(at.port, addr.port);
    struct pollfd pfd = {.fd = listener, .events = POLLIN};
    cr_assert_eq(poll(&pfd, 1, 10000), 1);
    struct wh_addr peer;
    int taken = wh_sock_accept(listener, &peer);
    cr_assert_geq(taken, 0);
    cr_assert_eq(wh_sock_send(fd, "x", 1), 1);
    close(fd);
    close(taken);
    close(listener);
    wh_dial_fini(&dial);
}

Test(dial, an_address_that_refuses_does_not_keep_the_next_one_waiting)
{
    struct wh_addr addrs[2], at;
    struct wh_dial dial;
    int refuser = reserve(&addrs[0]), listener = answer(&addrs[1]), fd = -1;
    wh_dial_start(&dial, addrs, 2, soon());
    whorl_result_t rc = WHORL_IN_PROGRESS;
    while (rc == WHORL_IN_PROGRESS) {
        rc = wh_dial_advance(&dial, &fd, &at);
        dial.begin_ns = WH_NEVER; /* were it for the time, the second would never begin */
    }
    cr_assert_eq(rc, WHORL_OK);
    cr_assert_eq(at.port, addrs[1].port);
    close(fd);
    close(refuser);
    close(listener);
    wh_dial_fini(&dial);
}

Test(dial, the_error_lists_every_address_and_why)
{
    struct wh_addr addrs[3];
    struct wh_dial dial;
    struct silent silent = silent_open();
    int refuser = reserve(&addrs[0]), fd = -1;
    addrs[1] = silent.addr;
    addrs[2] = (struct wh_addr){.ip = {[15] = 1}, .port = addrs[0].port};
    wh_dial_start(&dial, addrs, 3, soon());
    whorl_result_t rc = WHORL_IN_PROGRESS;
    while (rc == WHORL_IN_PROGRESS) {
        rc = wh_dial_advance(&dial, &fd, NULL);
        dial.begin_ns = 0;
        dial.tries[1].at_ns = dial.tries[2].nfailed > 0 ? 0 : dial.tries[1].at_ns;
    }
    cr_assert_eq(rc, WHORL_E_SYS);
    char text[WH_DIAL_WHY_NBYTES], expected[WH_DIAL_WHY_NBYTES];
    snprintf(expected, sizeof(expected),
             "127.0.0.1:%u: Connection refused; 127.0.0.1:%u: no answer; [::1]:%u: ", addrs[0].port,
             addrs[1].port, addrs[2].port);
    wh_dial_why(&dial, text);
    cr_assert_eq(strncmp(text, expected, strlen(expected)), 0, "%s\n%s", text, expected);
    cr_assert_gt(strlen(text), strlen(expected));
    close(refuser);
    silent_close(&silent);
    wh_dial_fini(&dial);
}

Test(dial, a_silent_address_stays_open_while_the_next_is_tried)
{
    struct wh_addr addrs[2], at;
    struct wh_dial dial;
    struct silent silent = silent_open();
    int listener = answer(&addrs[1]), fd, fds[4];
    addrs[0] = silent.addr;
    wh_dial_start(&dial, addrs, 2, soon());
    cr_assert_eq(wh_dial_advance(&dial, &fd, &at), WHORL_IN_PROGRESS);
    cr_assert_eq(wh_dial_fds(&dial, fds, 4), 1);
    uint32_t nfds = 0;
    whorl_result_t rc = WHORL_IN_PROGRESS;
    while (rc == WHORL_IN_PROGRESS) {
        uint32_t now = wh_dial_fds(&dial, fds, 4);
        nfds = now > nfds ? now : nfds;
        rc = run(&dial, &fd, &at);
    }
    cr_assert_eq(rc, WHORL_OK);
    cr_assert_eq(at.port, addrs[1].port);
    cr_assert_eq(dial.tries[0].nfailed, 0, "it was never given up");
    cr_assert_eq(wh_dial_fds(&dial, fds, 4), 0, "but is closed when another won");
    close(fd);
    close(listener);
    silent_close(&silent);
    wh_dial_fini(&dial);
}

Test(dial, a_silent_address_may_still_win)
{
    struct wh_addr addrs[2], at;
    struct wh_dial dial;
    struct silent silent = silent_open();
    int refuser = reserve(&addrs[1]), fd;
    addrs[0] = silent.addr;
    wh_dial_start(&dial, addrs, 2, soon());
    while (dial.tries[1].nfailed == 0) {
        cr_assert_eq(wh_dial_advance(&dial, &fd, &at), WHORL_IN_PROGRESS);
        dial.begin_ns = 0;
    }
    /* Its owner begins to take connections: those before us in the queue, then ours. */
    struct wh_addr peer;
    cr_assert_eq(fcntl(silent.listener, F_SETFL, O_NONBLOCK), 0);
    int taken[8], ntaken = 0;
    whorl_result_t rc = WHORL_IN_PROGRESS;
    while (rc == WHORL_IN_PROGRESS) {
        struct pollfd pfd = {.fd = silent.listener, .events = POLLIN};
        (void)poll(&pfd, 1, 1);
        taken[ntaken] = wh_sock_accept(silent.listener, &peer);
        ntaken += taken[ntaken] >= 0;
        rc = wh_dial_advance(&dial, &fd, &at);
    }
    cr_assert_eq(rc, WHORL_OK);
    cr_assert_eq(at.port, silent.addr.port);
    close(fd);
    while (ntaken > 0) {
        close(taken[--ntaken]);
    }
    close(refuser);
    silent_close(&silent);
    wh_dial_fini(&dial);
}

Test(dial, a_listener_that_comes_a_little_later_is_found)
{
    struct wh_addr addr;
    struct wh_dial dial;
    int fd = -1, listener = reserve(&addr);
    wh_dial_start(&dial, &addr, 1, soon());
    while (dial.tries[0].nfailed == 0) {
        cr_assert_eq(wh_dial_advance(&dial, &fd, NULL), WHORL_IN_PROGRESS);
    }
    cr_assert_eq(listen(listener, 4), 0);
    cr_assert_eq(run(&dial, &fd, NULL), WHORL_OK);
    close(fd);
    close(listener);
    wh_dial_fini(&dial);
}

Test(dial, the_deadline_ends_it)
{
    struct wh_dial dial;
    struct silent silent = silent_open();
    int fd;
    wh_dial_start(&dial, &silent.addr, 1, soon());
    cr_assert_eq(wh_dial_advance(&dial, &fd, NULL), WHORL_IN_PROGRESS);
    cr_assert_leq(dial.next_ns, dial.deadline_ns);
    dial.deadline_ns = wh_now_ns();
    cr_assert_eq(wh_dial_advance(&dial, &fd, NULL), WHORL_E_TIMEOUT);
    char text[WH_DIAL_WHY_NBYTES];
    cr_assert_not_null(strstr(wh_dial_why(&dial, text), ": no answer"), "%s", text);
    wh_dial_fini(&dial);
    silent_close(&silent);
}

Test(dial, who_is_not_the_one_sought_is_passed_over)
{
    struct wh_addr addrs[2], at;
    struct wh_dial dial;
    int listeners[2] = {answer(&addrs[0]), answer(&addrs[1])}, fd;
    wh_dial_start(&dial, addrs, 2, soon());
    cr_assert_eq(run(&dial, &fd, &at), WHORL_OK);
    cr_assert_eq(at.port, addrs[0].port);
    close(fd);
    wh_dial_reject(&dial, "another rank answers there", false);
    cr_assert_eq(run(&dial, &fd, &at), WHORL_OK);
    cr_assert_eq(at.port, addrs[1].port, "the other one is next");
    close(fd);

    /* If it is nobody's, it ends. */
    whorl_result_t rc = WHORL_OK;
    while (rc == WHORL_OK) {
        wh_dial_reject(&dial, "a stranger answers there", false);
        rc = run(&dial, &fd, &at);
        if (rc == WHORL_OK) {
            close(fd);
        }
    }
    cr_assert_eq(rc, WHORL_E_SYS);
    char text[WH_DIAL_WHY_NBYTES], expected[WH_DIAL_WHY_NBYTES];
    snprintf(expected, sizeof(expected),
             "127.0.0.1:%u: a stranger answers there; 127.0.0.1:%u: a stranger answers there",
             addrs[0].port, addrs[1].port);
    cr_assert_str_eq(wh_dial_why(&dial, text), expected);
    close(listeners[0]);
    close(listeners[1]);
    wh_dial_fini(&dial);
}

Test(dial, many_addresses_are_cut_and_none_is_said)
{
    struct wh_addr addrs[WH_DIAL_NADDRS_MAX + 3];
    struct wh_dial dial;
    int refuser = reserve(&addrs[0]), fd;
    for (size_t i = 1; i < ARRAY_LEN(addrs); i++) {
        addrs[i] = addrs[0];
    }
    wh_dial_start(&dial, addrs, ARRAY_LEN(addrs), soon());
    cr_assert_eq(dial.naddrs, WH_DIAL_NADDRS_MAX);
    cr_assert_eq(run(&dial, &fd, NULL), WHORL_E_SYS);
    wh_dial_start(&dial, addrs, 0, soon());
    cr_assert_eq(run(&dial, &fd, NULL), WHORL_E_SYS);
    char text[WH_DIAL_WHY_NBYTES];
    cr_assert_str_eq(wh_dial_why(&dial, text), "it has no address");
    close(refuser);
    wh_dial_fini(&dial);
}

Test(dial, a_long_list_of_reasons_is_cut_cleanly)
{
    struct wh_dial dial;
    struct wh_addr addrs[WH_DIAL_NADDRS_MAX];
    memset(addrs, 0xfe, sizeof(addrs));
    wh_dial_start(&dial, addrs, WH_DIAL_NADDRS_MAX, soon());
    dial.nbegun = WH_DIAL_NADDRS_MAX;
    for (uint32_t i = 0; i < WH_DIAL_NADDRS_MAX; i++) {
        dial.tries[i].why = "it said so much that there is no room for all of what it said";
    }
    char text[WH_DIAL_WHY_NBYTES];
    wh_dial_why(&dial, text);
    cr_assert_eq(strlen(text), WH_DIAL_WHY_NBYTES - 1);
    cr_assert_str_eq(text + WH_DIAL_WHY_NBYTES - 4, "...");
}

Test(dial, nothing_stays_open)
{
    struct wh_dial dial;
    struct silent silent = silent_open();
    int fd;
    uint32_t nfds = count_fds();
    const struct wh_addr addrs[3] = {silent.addr, silent.addr, silent.addr};
    wh_dial_start(&dial, addrs, 3, soon());
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(wh_dial_advance(&dial, &fd, NULL), WHORL_IN_PROGRESS);
        dial.begin_ns = 0;
    }
    cr_assert_eq(count_fds(), nfds + 3);
    wh_dial_fini(&dial);
    cr_assert_eq(count_fds(), nfds);
    wh_dial_fini(&dial);
    silent_close(&silent);
}

Test(dial, who_can_never_be_the_one_is_not_asked_again)
{
    struct wh_addr addr;
    struct wh_dial dial;
    int listener = answer(&addr), fd;
    wh_dial_start(&dial, &addr, 1, soon());
    cr_assert_eq(run(&dial, &fd, NULL), WHORL_OK);
    close(fd);
    wh_dial_reject(&dial, "another job's rank answers there", true);
    cr_assert_eq(wh_dial_advance(&dial, &fd, NULL), WHORL_E_SYS);
    char text[WH_DIAL_WHY_NBYTES];
    cr_assert_not_null(strstr(wh_dial_why(&dial, text), ": another job's rank answers there"));
    close(listener);
    wh_dial_fini(&dial);
}
