/* SPDX-License-Identifier: Apache-2.0 */
/* The table of knobs itself, the texts of refusals, and the search for the name that was meant. */
#include "base/knobs.h"
#include "base/macros.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct wh_knob *find(const char *var)
{
    for (size_t i = 0; i < wh_nknobs; i++) {
        if (strcmp(wh_knobs[i].var, var) == 0) {
            return &wh_knobs[i];
        }
    }
    cr_assert_fail("no knob %s", var);
    return NULL;
}

Test(knobs, every_row_is_well_formed)
{
    for (size_t i = 0; i < wh_nknobs; i++) {
        const struct wh_knob *knob = &wh_knobs[i];
        cr_expect(strncmp(knob->var, "WHORL_", 6) == 0, "%s", knob->var);
        cr_expect(knob->alias == NULL || strncmp(knob->alias, "NCCL_", 5) == 0, "%s", knob->var);
        cr_expect(knob->help[0] != '\0' && knob->help[strlen(knob->help) - 1] == '.',
                  "the help of %s is no sentence", knob->var);
        cr_expect(knob->least <= knob->most, "%s", knob->var);
        for (size_t j = 0; j < i; j++) {
            cr_expect_str_neq(knob->var, wh_knobs[j].var);
            cr_expect(knob->offset != wh_knobs[j].offset, "%s", knob->var);
            cr_expect(knob->alias == NULL || wh_knobs[j].alias == NULL ||
                          strcmp(knob->alias, wh_knobs[j].alias) != 0,
                      "%s has the alias of %s", knob->var, wh_knobs[j].var);
        }

        struct wh_config config = {0};
        char why[WH_KNOB_WHY_NBYTES] = "";
        cr_expect(wh_knob_set(knob, knob->dflt, &config, why) == WHORL_OK, "the default of %s %s",
                  knob->var, why);
        wh_knob_clear(knob, &config);
    }
}

Test(knobs, a_refusal_says_what_is_accepted)
{
    static const struct {
        const char *var, *text, *why;
    } rows[] = {
        {"WHORL_BUFFSIZE", "4Q", "is not a size: use bytes with an optional K, M or G (4K to 1G)"},
        {"WHORL_BUFFSIZE", "4095", "is out of range: use 4K to 1G"},
        {"WHORL_BUFFSIZE", "1.1G", "is out of range: use 4K to 1G"},
        {"WHORL_SLOTS", "many", "is not a number: use a whole number (2 to 64)"},
        {"WHORL_SLOTS", "0", "is out of range: use 2 to 64"},
        {"WHORL_INIT_TIMEOUT", "2m",
         "is not a duration: use milliseconds, or a number with ms, s, min or h (1ms to 24h)"},
        {"WHORL_SHM_DISABLE", "2", "is not a flag: use 0, 1, false, true, no, yes, off or on"},
        {"WHORL_DEBUG", "LOUD", "is not understood: use NONE, VERSION, WARN, INFO, TRACE or ABORT"},
        {"WHORL_SOCKET_FAMILY", "ipv4", "is not understood: use AF_INET or AF_INET6"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wh_config config = {0};
        char why[WH_KNOB_WHY_NBYTES] = "";
        cr_expect(wh_knob_set(find(rows[i].var), rows[i].text, &config, why) == WHORL_E_CONFIG);
        cr_expect_str_eq(why, rows[i].why);
    }
}

Test(knobs, a_text_that_is_set_again_replaces_the_first)
{
    struct wh_config config = {0};
    char why[WH_KNOB_WHY_NBYTES];
    const struct wh_knob *knob = find("WHORL_ALGO");
    cr_expect(wh_knob_set(knob, "ring", &config, why) == WHORL_OK);
    cr_expect(wh_knob_set(knob, "tree", &config, why) == WHORL_OK);
    cr_expect_str_eq(config.algo, "tree");
    wh_knob_clear(knob, &config);
    cr_expect(config.algo == NULL);
}

Test(knobs, names_of_launchers_and_tests_are_known)
{
    static const char *const known[] = {"WHORL_TIMEOUT", "WHORL_RANK", "WHORL_LOCAL_RANK",
                                        "WHORL_TESTS_SEED", "WHORL_PERF_MIN_BW"};
    static const char *const unknown[] = {"WHORL_TIMEOUTS", "WHORL_", "WHORL_RANKS", "NCCL_ALGO",
                                          "WHORL_TEST_SEED"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        cr_expect(wh_knob_is_name(known[i]), "%s", known[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        cr_expect(!wh_knob_is_name(unknown[i]), "%s", unknown[i]);
    }
}

Test(knobs, a_slip_finds_the_name_that_was_meant)
{
    static const struct {
        const char *name, *nearest;
    } rows[] = {
        {"WHORL_TIMOUT", "WHORL_TIMEOUT"},
        {"WHORL_BUF_SIZE", "WHORL_BUFFSIZE"},
        {"WHORL_ALGOS", "WHORL_ALGO"},
        {"WHORL_TRANSPORT", "WHORL_TRANSPORTS"},
        {"WHORL_COMM_ID", "WHORL_ROOT"},
        {"WHORL_NRANK", "WHORL_RANK"},
        {"WHORL_INIT_TIMOUT", "WHORL_INIT_TIMEOUT"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *nearest = wh_knob_nearest(rows[i].name);
        cr_expect(nearest != NULL, "nothing is near %s", rows[i].name);
        cr_expect_str_eq(nearest != NULL ? nearest : "", rows[i].nearest);
    }
}

Test(knobs, another_word_finds_nothing)
{
    static const char *const names[] = {
        "WHORL_XYZZY",
        "WHORL_",
        "WHORL_IB_DISABLE",
        "PATH",
        "WHORL_A_NAME_THAT_IS_MUCH_LONGER_THAN_ANY_NAME_OF_A_SETTING_OF_THIS_LIBRARY",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *nearest = wh_knob_nearest(names[i]);
        cr_expect(nearest == NULL, "%s finds %s", names[i], nearest);
    }
}
