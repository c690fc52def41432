/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "bootstrap/self.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

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
