/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sock.h"
#include "crew.h"

#include <stdlib.h>
#include <unistd.h>

Test(unique_id, two_ids_have_two_secrets_and_two_ports)
{
    whorl_id_t a, b;
    struct wh_ticket ta, tb;
    cr_assert_eq(wh_boot_id_create(&a), WHORL_OK);
    cr_assert_eq(wh_boot_id_create(&b), WHORL_OK);
    cr_assert(wh_boot_id_valid(&a));
    cr_assert(wh_ticket_decode(&a, &ta) && wh_ticket_decode(&b, &tb));
    cr_assert_arr_neq(ta.secret, tb.secret, WH_SECRET_NBYTES);
    cr_assert_neq(ta.port, tb.port);
}

Test(unique_id, an_address_and_a_secret_always_give_the_same_id)
{
    whorl_id_t a, b, c, d;
    cr_assert_eq(wh_boot_id_from_address("127.0.0.1:4711", "tea", &a), WHORL_OK);
    cr_assert_eq(wh_boot_id_from_address("127.0.0.1:4711", "tea", &b), WHORL_OK);
    cr_assert_eq(wh_boot_id_from_address("127.0.0.1:4711", "rum", &c), WHORL_OK);
    cr_assert_eq(wh_boot_id_from_address("127.0.0.1:4712", "tea", &d), WHORL_OK);
    cr_assert_arr_eq(a.bytes, b.bytes, WHORL_ID_NBYTES);
    cr_assert_arr_neq(a.bytes, c.bytes, WHORL_ID_NBYTES);
    cr_assert_arr_neq(a.bytes, d.bytes, WHORL_ID_NBYTES);
}

Test(unique_id, an_address_that_is_none_is_an_argument_error)
{
    whorl_id_t id;
    cr_assert_eq(wh_boot_id_from_address("nowhere", "tea", &id), WHORL_E_ARG);
    cr_assert_not_null(strstr(wh_error_get(), "\"nowhere\""));
    cr_assert_null(strstr(wh_error_get(), "tea"));
}

/* A port that is free now, and that nobody gets who asks for any: below those. */
static uint16_t free_port(void)
{
    int fd;
    uint16_t port = (uint16_t)(20000 + getpid() % 10000);
    while (wh_sock_listen(WH_FAMILY_ANY, port, &fd, &port) != WHORL_OK) {
        port++;
    }
    close(fd);
    return port;
}

Test(unique_id, a_port_in_use_is_named)
{
    int fd;
    uint16_t port;
    cr_assert_eq(wh_sock_listen(WH_FAMILY_ANY, 0, &fd, &port), WHORL_OK);
    char address[32], text[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    snprintf(text, sizeof(text), "port %u ", port);
    whorl_id_t id;
    cr_assert_eq(wh_boot_id_from_address(address, "tea", &id), WHORL_OK);
    cr_assert_eq(wh_boot_root_start(&id), WHORL_E_SYS);
    cr_assert_not_null(strstr(wh_error_get(), text), "%s", wh_error_get());
    close(fd);
}

Test(unique_id, a_mangled_id_starts_no_root)
{
    whorl_id_t id = {{1, 2, 3}};
    cr_assert_not(wh_boot_id_valid(&id));
    cr_assert_eq(wh_boot_root_start(&id), WHORL_E_ARG);
}

Test(unique_id, ranks_of_job_after_job_meet_at_one_address)
{
    char address[32];
    snprintf(address, sizeof(address), "localhost:%u", free_port());
    for (int job = 0; job < 5; job++) {
        struct crew *crew = crew_create(3, NULL);
        cr_assert_eq(wh_boot_id_from_address(address, "tea", &crew->id), WHORL_OK);
        cr_assert_eq(wh_boot_root_start(&crew->id), WHORL_OK, "job %d: %s", job, wh_error_get());
        crew_start(crew);
        crew_wait(crew);
        for (uint32_t i = 0; i < 3; i++) {
            cr_assert_eq(crew->mates[i].rc, WHORL_OK, "%s", crew->mates[i].error);
        }
        crew_destroy(crew);
    }
}

Test(unique_id, ranks_that_come_before_the_root_wait_for_it)
{
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", free_port());
    struct crew *crew = crew_create(2, NULL);
    cr_assert_eq(wh_boot_id_from_address(address, "tea", &crew->id), WHORL_OK);
    crew_start(crew);
    usleep(300 * 1000);
    cr_assert_eq(wh_boot_root_start(&crew->id), WHORL_OK);
    crew_wait(crew);
    cr_assert_eq(crew->mates[0].rc, WHORL_OK, "%s", crew->mates[0].error);
    cr_assert_eq(crew->mates[1].rc, WHORL_OK, "%s", crew->mates[1].error);
    crew_destroy(crew);
}

/* ---- out of a job --------------------------------------------------------------------------- */

static struct {
    uint8_t venues[2][WH_VENUE_NBYTES]; /* of rank 0 and of rank 1 */
    whorl_id_t ids[CREW_MAX];           /* that the ranks made of that of rank 1 */
} told;

/* Ranks 0 and 1 make an id each; all ranks join that of rank 1. */
static void split_off(struct mate *mate)
{
    whorl_id_t own, id, *mine = &told.ids[mate->rank];
    if (mate->rank < 2) {
        cr_expect_eq(wh_boot_split_create(mate->boot, told.venues[mate->rank], &own), WHORL_OK);
    }
    pthread_barrier_wait(&mate->crew->all);
    cr_expect_eq(wh_boot_split_read(mate->boot, told.venues[1], mine), WHORL_OK);
    cr_expect_eq(wh_boot_split_read(mate->boot, told.venues[0], &id), WHORL_OK);
    if (mate->rank < 2) {
        cr_expect_arr_eq(own.bytes, (mate->rank == 0 ? &id : mine)->bytes, WHORL_ID_NBYTES,
                         "who makes an id has the same as who reads of it");
    }

    struct wh_ticket old, other, new;
    cr_expect(wh_ticket_decode(&mate->crew->id, &old) && wh_ticket_decode(&id, &other) &&
              wh_ticket_decode(mine, &new));
    cr_expect_arr_neq(new.secret, old.secret, WH_SECRET_NBYTES);
    cr_expect_arr_neq(new.secret, other.secret, WH_SECRET_NBYTES);
    for (size_t i = 0; i + WH_SECRET_NBYTES <= WH_VENUE_NBYTES; i++) {
        cr_expect_neq(memcmp(told.venues[1] + i, new.secret, WH_SECRET_NBYTES), 0, "in clear");
        cr_expect_neq(memcmp(told.venues[1] + i, old.secret, WH_SECRET_NBYTES), 0, "in clear");
    }

    struct wh_boot *part;
    const struct wh_boot_join_args args = {
        .id = mine, .nranks = mate->nranks, .rank = mate->rank, .timeout_ms = CREW_TIMEOUT_MS};
    cr_expect_eq(wh_boot_join(&args, &part), WHORL_OK, "%s", wh_error_get());
    cr_expect_eq(wh_boot_barrier(part, crew_soon()), WHORL_OK);
    wh_boot_leave(part);
    pthread_barrier_wait(&mate->crew->all);
}

Test(unique_id, ranks_split_off_to_an_id_whose_secret_did_not_travel, .timeout = 60)
{
    crew_sail(3, split_off);
    for (uint32_t rank = 1; rank < 3; rank++) {
        cr_assert_arr_eq(told.ids[rank].bytes, told.ids[0].bytes, WHORL_ID_NBYTES);
    }
}

static void believe_anything(struct mate *mate)
{
    uint8_t venue[WH_VENUE_NBYTES];
    whorl_id_t right, wrong;
    struct wh_ticket a, b;
    cr_expect_eq(wh_boot_split_create(mate->boot, venue, &right), WHORL_OK);
    cr_expect(wh_ticket_decode(&right, &a));
    for (size_t i = 0; i < sizeof(venue); i++) {
        venue[i] ^= 1;
        whorl_result_t rc = wh_boot_split_read(mate->boot, venue, &wrong);
        if (rc == WHORL_OK) {
            cr_expect(wh_ticket_decode(&wrong, &b));
            cr_expect_arr_neq(b.secret, a.secret, WH_SECRET_NBYTES, "byte %zu", i);
        } else {
            cr_expect_eq(rc, WHORL_E_PEER);
        }
        venue[i] ^= 1;
    }
    memset(venue, 0, sizeof(venue));
    cr_expect_eq(wh_boot_split_read(mate->boot, venue, &wrong), WHORL_E_PEER);
    cr_expect_not_null(strstr(wh_error_get(), "makes no sense"), "%s", wh_error_get());
}

Test(unique_id, a_venue_that_was_changed_on_its_way_leads_to_another_secret)
{
    crew_sail(1, believe_anything);
}

static void stay(struct mate *mate)
{
    uint8_t venue[WH_VENUE_NBYTES];
    whorl_id_t id;
    struct wh_ticket ticket;
    cr_expect_eq(wh_boot_split_create(mate->boot, venue, &id), WHORL_OK);
    cr_expect(wh_ticket_decode(&id, &ticket));
    cr_expect_not_null(wh_ticket_loopback(&ticket), "nor does what is split off it");
}

Test(unique_id, a_job_on_loopback_opens_no_port_to_others)
{
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%u", free_port());
    struct crew *crew = crew_create(1, stay);
    cr_assert_eq(wh_boot_id_from_address(address, "tea", &crew->id), WHORL_OK);
    cr_assert_eq(wh_boot_root_start(&crew->id), WHORL_OK, "%s", wh_error_get());
    crew_start(crew);
    crew_wait(crew);
    cr_assert_eq(crew->mates[0].rc, WHORL_OK, "%s", crew->mates[0].error);
    crew_destroy(crew);
}
