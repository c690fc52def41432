/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "bootstrap/self.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The settings are read once per process; Criterion gives every test its own. */

Test(self, the_interfaces_that_are_set_are_used)
{
    struct wh_addr addrs[WH_NADDRS_MAX];
    uint32_t naddrs;
    setenv("WHORL_SOCKET_IFNAME", "=lo", 1);
    setenv("WHORL_SOCKET_FAMILY", "AF_INET", 1);
    cr_assert_eq(wh_self_addrs(addrs, &naddrs), WHORL_OK);
    cr_assert_eq(naddrs, 1);
    cr_assert(wh_addr_is_loopback(&addrs[0]));
}

Test(self, an_interface_that_does_not_exist_is_a_setting_that_is_wrong)
{
    struct wh_addr addrs[WH_NADDRS_MAX];
    uint32_t naddrs;
    setenv("NCCL_SOCKET_IFNAME", "nosuch", 1);
    cr_assert_eq(wh_self_addrs(addrs, &naddrs), WHORL_E_CONFIG);
    cr_assert_not_null(strstr(wh_error_get(), "nosuch"), "%s", wh_error_get());
}

Test(self, a_family_that_does_not_exist_is_a_setting_that_is_wrong)
{
    enum wh_family family;
    setenv("WHORL_SOCKET_FAMILY", "IPX", 1);
    cr_assert_eq(wh_self_family(&family), WHORL_E_CONFIG);
    cr_assert_not_null(strstr(wh_error_get(), "IPX"), "%s", wh_error_get());
}

Test(self, a_job_of_one_host_listens_on_loopback_only)
{
    const struct wh_addr loopback = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    struct wh_addr at;
    int fds[2];
    uint16_t ports[2];
    cr_assert_eq(wh_self_listen(&loopback, 0, &fds[0], &ports[0]), WHORL_OK);
    cr_assert(wh_sock_own_addr(fds[0], &at));
    cr_assert(wh_addr_is_loopback(&at));
    cr_assert_eq(at.port, ports[0]);
    cr_assert_eq(wh_self_listen(NULL, 0, &fds[1], &ports[1]), WHORL_OK);
    cr_assert(wh_sock_own_addr(fds[1], &at));
    cr_assert_not(wh_addr_is_loopback(&at));
    cr_assert_eq(at.port, ports[1]);
    close(fds[0]);
    close(fds[1]);
}

Test(self, a_root_listens_where_its_rank_can_be_reached)
{
    const struct wh_addr loopback = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    const struct wh_addr far = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 1}};
    const struct wh_member near_one = {.naddrs = 1, .addrs = {loopback}};
    const struct wh_member both = {.naddrs = 2, .addrs = {far, loopback}};
    static const uint8_t zeros[WH_SECRET_NBYTES];
    struct wh_ticket ticket;
    struct wh_addr at;
    int fd;
    cr_assert_eq(wh_self_host(&near_one, &ticket, &fd), WHORL_OK);
    cr_assert(wh_sock_own_addr(fd, &at));
    cr_assert(wh_addr_is_loopback(&at));
    cr_assert_eq(at.port, ticket.port);
    cr_assert_eq(ticket.addrs[0].port, ticket.port);
    cr_assert_arr_eq(ticket.secret, zeros, sizeof(zeros));
    close(fd);
    cr_assert_eq(wh_self_host(&both, &ticket, &fd), WHORL_OK);
    cr_assert(wh_sock_own_addr(fd, &at));
    cr_assert_not(wh_addr_is_loopback(&at));
    cr_assert_eq(at.port, ticket.port);
    cr_assert_eq(ticket.naddrs, 2);
    close(fd);
}
