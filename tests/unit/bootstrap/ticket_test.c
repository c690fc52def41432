/* SPDX-License-Identifier: Apache-2.0 */
#include "bootstrap/ticket.h"

#include <criterion/criterion.h>
#include <string.h>

static struct wh_ticket example(uint32_t naddrs)
{
    struct wh_ticket ticket = {.port = 4711, .naddrs = naddrs};
    for (uint8_t i = 0; i < WH_SECRET_NBYTES; i++) {
        ticket.secret[i] = (uint8_t)(i * 17 + 3);
    }
    for (uint32_t i = 0; i < naddrs; i++) {
        memset(ticket.addrs[i].ip, (int)(i + 1), 16);
        ticket.addrs[i].port = 4711;
    }
    return ticket;
}

Test(ticket, what_is_encoded_is_decoded)
{
    for (uint32_t naddrs = 1; naddrs <= WH_NADDRS_MAX; naddrs++) {
        struct wh_ticket in = example(naddrs), out;
        whorl_id_t id;
        wh_ticket_encode(&in, &id);
        cr_assert(wh_ticket_decode(&id, &out));
        cr_assert_eq(out.port, in.port);
        cr_assert_eq(out.naddrs, naddrs);
        cr_assert_arr_eq(out.secret, in.secret, WH_SECRET_NBYTES);
        for (uint32_t i = 0; i < naddrs; i++) {
            cr_assert_arr_eq(out.addrs[i].ip, in.addrs[i].ip, 16);
            cr_assert_eq(out.addrs[i].port, 4711);
        }
    }
}

Test(ticket, any_flipped_bit_is_noticed)
{
    struct wh_ticket in = example(3), out;
    whorl_id_t id;
    wh_ticket_encode(&in, &id);
    for (uint32_t bit = 0; bit < 8 * WHORL_ID_NBYTES; bit++) {
        id.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_not(wh_ticket_decode(&id, &out), "bit %u", bit);
        id.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert(wh_ticket_decode(&id, &out));
}

Test(ticket, zeros_are_no_id)
{
    whorl_id_t id = {{0}};
    struct wh_ticket out;
    cr_assert_not(wh_ticket_decode(&id, &out));
}

Test(ticket, fini_forgets_the_secret)
{
    struct wh_ticket ticket = example(1);
    const struct wh_ticket zero = {0};
    wh_ticket_fini(&ticket);
    cr_assert_arr_eq(ticket.secret, zero.secret, WH_SECRET_NBYTES);
}
