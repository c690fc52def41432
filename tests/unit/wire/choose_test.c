/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "wire/choose.h"
#include "wire/wire.h"

#include <criterion/criterion.h>
#include <string.h>

/* The names of a choice, separated by spaces. */
static const char *names_of(const struct wh_choice *choice)
{
    static char text[256];

    text[0] = '\0';
    for (uint32_t i = 0; i < choice->n; i++) {
        strcat(text, i == 0 ? "" : " ");
        strcat(text, wh_transports[choice->index[i]]->name);
    }
    return text;
}

static whorl_result_t parse(const char *transports, bool shm_disable, struct wh_choice *choice)
{
    struct wh_config config = {.transports = transports, .shm_disable = shm_disable};

    return wh_choice_parse(&config, choice);
}

static void expect_choice(const char *transports, bool shm_disable, const char *names)
{
    struct wh_choice choice;

    cr_assert_eq(parse(transports, shm_disable, &choice), WHORL_OK, "%s", transports);
    cr_expect_str_eq(names_of(&choice), names, "%s", transports);
}

Test(choose, auto_is_all_in_the_order_of_the_registry)
{
    struct wh_choice choice;

    cr_assert_eq(parse("auto", false, &choice), WHORL_OK);
    cr_assert_eq(choice.n, wh_ntransports);
    for (uint32_t i = 0; i < choice.n; i++) {
        cr_expect_eq(choice.index[i], i);
    }
}

Test(choose, a_list_is_tried_in_its_own_order)
{
    expect_choice("shm", false, "shm");
    expect_choice("loop,shm", false, "loop shm");
    expect_choice(" shm , loop,", false, "shm loop");
    expect_choice("loop,loop,shm,loop", false, "loop shm");
    expect_choice("loop,auto", false, "loop shm tcp");
}

Test(choose, shm_can_be_taken_out)
{
    expect_choice("auto", true, "tcp loop");
    expect_choice("shm,loop", true, "loop");
}

Test(choose, an_unknown_name_is_an_error_that_names_the_known_ones)
{
    struct wh_choice choice;

    cr_expect_eq(parse("shm,carrier-pigeon", false, &choice), WHORL_E_CONFIG);
    cr_expect_not_null(strstr(wh_error_get(), "carrier-pigeon"), "%s", wh_error_get());
    cr_expect_not_null(strstr(wh_error_get(), "auto, shm, tcp, loop"), "%s", wh_error_get());
    cr_expect_eq(parse("sh", false, &choice), WHORL_E_CONFIG);
    cr_expect_eq(parse("shmm", false, &choice), WHORL_E_CONFIG);
}

Test(choose, nothing_left_is_an_error)
{
    struct wh_choice choice;

    cr_expect_eq(parse("", false, &choice), WHORL_E_CONFIG);
    cr_expect_eq(parse(" , ", false, &choice), WHORL_E_CONFIG);
    cr_expect_eq(parse("shm", true, &choice), WHORL_E_CONFIG);
}

Test(choose, a_choice_survives_the_way_to_another_rank)
{
    struct wh_choice choice, read;
    uint8_t bytes[WH_CHOICE_NBYTES];

    cr_assert_eq(parse("loop,shm", false, &choice), WHORL_OK);
    wh_choice_encode(&choice, bytes);
    wh_choice_decode(bytes, &read);
    cr_expect_str_eq(names_of(&read), "loop shm");
    cr_expect(wh_choice_has(&read, 0));
    cr_expect_not(wh_choice_has(&read, 1), "tcp is not in the list");
    cr_expect(wh_choice_has(&read, 2));
}

Test(choose, senseless_bytes_are_left_out)
{
    struct wh_choice read;
    uint8_t bytes[WH_CHOICE_NBYTES];

    memset(bytes, 0xff, sizeof(bytes));
    wh_choice_decode(bytes, &read);
    cr_expect_eq(read.n, 0);

    bytes[7] = 1;
    bytes[9] = 1;
    bytes[WH_CHOICE_NBYTES - 1] = 0; /* beyond the longest list */
    wh_choice_decode(bytes, &read);
    cr_assert_eq(read.n, 1);
    cr_expect_eq(read.index[0], 1);
}
