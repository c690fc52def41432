/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"
#include "bootstrap/venue.h"

#include <criterion/criterion.h>
#include <string.h>

static struct wh_ticket ticket_for(uint32_t naddrs)
{
    struct wh_ticket ticket = {.port = 4711, .naddrs = naddrs, .secret = "fifteen letters"};
    for (uint32_t i = 0; i < naddrs; i++) {
        memset(ticket.addrs[i].ip, (int)i + 1, 16);
        ticket.addrs[i].port = ticket.port;
    }
    return ticket;
}

Test(venue, a_venue_survives_the_way_and_the_secret_stays_at_home)
{
    for (uint32_t naddrs = 1; naddrs <= WH_NADDRS_MAX; naddrs++) {
        struct wh_ticket in = ticket_for(naddrs), out;
        static const uint8_t zeros[WH_SECRET_NBYTES];
        uint8_t venue[WH_VENUE_NBYTES];
        cr_assert_eq(wh_venue_make(&in, venue), WHORL_OK);
        for (size_t i = 0; i + WH_SECRET_NBYTES <= sizeof(venue); i++) {
            cr_assert_neq(memcmp(venue + i, in.secret, WH_SECRET_NBYTES), 0);
        }
        cr_assert(wh_venue_read(venue, &out));
        cr_assert_eq(out.port, in.port);
        cr_assert_eq(out.naddrs, naddrs);
        cr_assert_arr_eq(out.secret, zeros, sizeof(zeros));
        for (uint32_t i = 0; i < naddrs; i++) {
            cr_assert_arr_eq(out.addrs[i].ip, in.addrs[i].ip, 16);
            cr_assert_eq(out.addrs[i].port, in.port);
        }
    }
}

Test(venue, two_of_one_place_differ)
{
    const struct wh_ticket ticket = ticket_for(2);
    uint8_t a[WH_VENUE_NBYTES], b[WH_VENUE_NBYTES];
    cr_assert_eq(wh_venue_make(&ticket, a), WHORL_OK);
    cr_assert_eq(wh_venue_make(&ticket, b), WHORL_OK);
    cr_assert_arr_neq(a, b, sizeof(a), "what is derived of them must differ");
}

Test(venue, what_is_none_is_refused)
{
    static const struct {
        size_t at;
        uint16_t value;
    } rows[] = {{0, 0}, {2, 0}, {2, WH_NADDRS_MAX + 1}, {2, UINT16_MAX}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wh_ticket in = ticket_for(2), out = {.port = 9};
        uint8_t venue[WH_VENUE_NBYTES];
        cr_assert_eq(wh_venue_make(&in, venue), WHORL_OK);
        wh_put_le16(venue + rows[i].at, rows[i].value);
        cr_expect_not(wh_venue_read(venue, &out), "row %zu", i);
        cr_expect_eq(out.port, 9, "row %zu: untouched", i);
    }
}
