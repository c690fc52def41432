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
