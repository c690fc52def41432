/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/links.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* A transport that can do nothing but open and close links. */
static int nopen, nopened;
static bool is_broken;

struct fake_link {
    struct wh_link base;
    struct wh_link_name name;
};

static void fake_link_close(struct wh_link *link)
{
    nopen--;
    free(link);
}

static whorl_result_t fake_link_open(struct wh_transport_wire *wire, uint32_t peer,
                                     uint32_t channel, bool is_send, struct wh_link **link_out)
{
    if (is_broken) {
        return WHORL_E_SYS;
    }
    struct fake_link *link = calloc(1, sizeof(*link));
    cr_assert_not_null(link);
    link->base.ops = wire->ops;
    link->name = (struct wh_link_name){peer, channel, is_send};
    nopen++;
    nopened++;
    *link_out = &link->base;
    return WHORL_OK;
}

static const struct whorl_transport_ops fake_ops = {.link_open = fake_link_open,
                                                    .link_close = fake_link_close};
static struct wh_transport_wire fake = {.ops = &fake_ops};

Test(links, a_link_is_opened_once_and_closed_with_the_table)
{
    struct wh_links links;
    struct wh_link *seen[3][2][2];

    cr_assert_eq(wh_links_init(&links, 3, 2), WHORL_OK);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 12; i++) {
            const struct wh_link_name name = {i / 4, i / 2 % 2, i % 2};
            struct wh_link **link = &seen[i / 4][i / 2 % 2][i % 2];
            struct wh_link *got = NULL;
            cr_assert_eq(wh_links_get(&links, &fake, name, &got), WHORL_OK);
            const struct fake_link *it = (const struct fake_link *)got;
            cr_expect_eq(it->name.peer, name.peer);
            cr_expect_eq(it->name.channel, name.channel);
            cr_expect_eq(it->name.is_send, name.is_send);
            cr_expect(round == 0 || got == *link);
            *link = got;
        }
    }
    cr_expect_eq(nopened, 12);
    wh_links_fini(&links);
    cr_expect_eq(nopen, 0);
}

Test(links, rows_are_made_when_they_are_needed)
{
    struct wh_links links;
    struct wh_link *link;

    cr_assert_eq(wh_links_init(&links, 1000, 16), WHORL_OK);
    cr_assert_eq(wh_links_get(&links, &fake, (struct wh_link_name){700, 3, true}, &link), WHORL_OK);
    for (uint32_t peer = 0; peer < 1000; peer++) {
        cr_expect_eq(links.by_peer[peer] != NULL, peer == 700);
    }
    wh_links_fini(&links);
}

Test(links, a_link_that_failed_can_be_asked_for_again)
{
    struct wh_links links;
    struct wh_link *link = NULL;

    cr_assert_eq(wh_links_init(&links, 2, 1), WHORL_OK);
    is_broken = true;
    cr_expect_eq(wh_links_get(&links, &fake, (struct wh_link_name){1, 0, true}, &link),
                 WHORL_E_SYS);
    cr_expect_null(link);
    is_broken = false;
    cr_expect_eq(wh_links_get(&links, &fake, (struct wh_link_name){1, 0, true}, &link), WHORL_OK);
    wh_links_fini(&links);
    cr_expect_eq(nopen, 0);
}

Test(links, fini_works_on_zeros_and_twice)
{
    struct wh_links links = {.nranks = 0};

    wh_links_fini(&links);
    cr_assert_eq(wh_links_init(&links, 2, 1), WHORL_OK);
    wh_links_fini(&links);
    wh_links_fini(&links);
}
