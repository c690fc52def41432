/* SPDX-License-Identifier: Apache-2.0 */
/* The table of knobs: setting one from a text, describing what it takes, finding it by name. */
#include "base/knobs.h"

#include "base/crypto.h"
#include "base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct wh_knob wh_knobs[] = {
#define KNOB(kind, field, var, alias, dflt, least, most, help) \
    {WH_KNOB_##kind, var, alias, dflt, least, most, help, offsetof(struct wh_config, field)},
#include "base/config.def"
#undef KNOB
};
const size_t wh_nknobs = ARRAY_LEN(wh_knobs);

static const char *const other_vars[] = {
#define VAR(name, help) name,
#include "base/other_vars.def"
#undef VAR
};

/* ---- values ---------------------------------------------------------------------------------- */

static bool is_level(const char *text)
{
    enum wh_log_level level;
    return wh_log_parse_level(text, &level);
}

static bool is_family(const char *text)
{
    return strcmp(text, "") == 0 || strcmp(text, "AF_INET") == 0 || strcmp(text, "AF_INET6") == 0;
}

/* Texts of which only a few are right. Others are understood, or refused, by those who use them. */
static const struct {
    size_t offset;
    bool (*is)(const char *text);
    const char *accepted;
} words[] = {
    {offsetof(struct wh_config, debug), is_level, "NONE, VERSION, WARN, INFO, TRACE or ABORT"},
    {offsetof(struct wh_config, socket_family), is_family, "AF_INET or AF_INET6"},
};

static bool word_fits(const struct wh_knob *knob, const char *text, const char **accepted_out)
{
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (words[i].offset == knob->offset && !words[i].is(text)) {
            *accepted_out = words[i].accepted;
            return false;
        }
    }
    return true;
}

static bool is_secret(const struct wh_knob *knob)
{
    return knob->offset == offsetof(struct wh_config, secret);
}

static whorl_result_t set_text(const struct wh_knob *knob, const char *text,
                               struct wh_config *config, char why[WH_KNOB_WHY_NBYTES])
{
    const char *accepted;
    if (!word_fits(knob, text, &accepted)) {
        snprintf(why, WH_KNOB_WHY_NBYTES, "is not understood: use %s", accepted);
        return WHORL_E_CONFIG;
    }
    char *copy = is_secret(knob) ? wh_hidden_copy(text) : strdup(text);
    if (copy == NULL) {
        return WHORL_E_NOMEM;
    }
    wh_knob_clear(knob, config);
    *(const char **)((char *)config + knob->offset) = copy;
    return WHORL_OK;
}

static whorl_result_t set_flag(const struct wh_knob *knob, const char *text,
                               struct wh_config *config, char why[WH_KNOB_WHY_NBYTES])
{
    if (!wh_parse_flag(text, (bool *)((char *)config + knob->offset))) {
        snprintf(why, WH_KNOB_WHY_NBYTES,
                 "is not a flag: use 0, 1, false, true, no, yes, off or on");
        return WHORL_E_CONFIG;
    }
    return WHORL_OK;
}

static whorl_result_t set_number(const struct wh_knob *knob, const char *text,
                                 struct wh_config *config, char why[WH_KNOB_WHY_NBYTES])
{
    static const struct {
        bool (*parse)(const char *text, uint64_t *value_out);
        const char *what;
        const char *syntax;
    } numbers[] = {
        [WH_KNOB_nbytes] = {wh_parse_nbytes, "a size", "bytes with an optional K, M or G"},
        [WH_KNOB_count] = {wh_parse_count, "a number", "a whole number"},
        [WH_KNOB_msec] = {wh_parse_msec, "a duration",
                          "milliseconds, or a number with ms, s, min or h"},
    };
    assert(knob->kind < ARRAY_LEN(numbers));

    char range[96];
    wh_knob_put_range(knob, range, sizeof(range));
    uint64_t value;
    if (!numbers[knob->kind].parse(text, &value)) {
        snprintf(why, WH_KNOB_WHY_NBYTES, "is not %s: use %s (%s)", numbers[knob->kind].what,
                 numbers[knob->kind].syntax, range);
        return WHORL_E_CONFIG;
    }
    if (value < knob->least || value > knob->most) {
        snprintf(why, WH_KNOB_WHY_NBYTES, "is out of range: use %s", range);
        return WHORL_E_CONFIG;
    }
    *(uint64_t *)((char *)config + knob->offset) = value;
    return WHORL_OK;
}

whorl_result_t wh_knob_set(const struct wh_knob *knob, const char *text, struct wh_config *config,
                           char why[WH_KNOB_WHY_NBYTES])
{
    switch (knob->kind) {
    case WH_KNOB_text:
        return set_text(knob, text, config, why);
    case WH_KNOB_flag:
        return set_flag(knob, text, config, why);
    default:
        return set_number(knob, text, config, why);
    }
}

void wh_knob_clear(const struct wh_knob *knob, struct wh_config *config)
{
    if (knob->kind == WH_KNOB_text) {
        const char **text = (const char **)((char *)config + knob->offset);
        if (is_secret(knob)) {
            wh_hidden_free((char *)*text);
        } else {
            free((char *)*text);
        }
        *text = NULL;
    }
}

/* ---- descriptions ---------------------------------------------------------------------------- */

/* Writes value in the largest unit that needs no fraction. */
static void put_value(enum wh_knob_kind kind, uint64_t value, char *text, size_t text_nbytes)
{
    static const struct {
        enum wh_knob_kind kind;
        uint64_t factor;
        const char *unit;
    } units[] = {
        {WH_KNOB_nbytes, 1u << 30, "G"}, {WH_KNOB_nbytes, 1u << 20, "M"},
        {WH_KNOB_nbytes, 1u << 10, "K"}, {WH_KNOB_msec, 3600000, "h"},
        {WH_KNOB_msec, 60000, "min"},    {WH_KNOB_msec, 1000, "s"},
        {WH_KNOB_msec, 1, "ms"},
    };

    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (value > 0 && units[i].kind == kind && value % units[i].factor == 0) {
            snprintf(text, text_nbytes, "%" PRIu64 "%s", value / units[i].factor, units[i].unit);
            return;
        }
    }
    snprintf(text, text_nbytes, "%" PRIu64, value);
}

void wh_knob_put_range(const struct wh_knob *knob, char *text, size_t text_nbytes)
{
    const char *accepted = "any text";
    if (knob->kind == WH_KNOB_flag) {
        accepted = "0 or 1";
    } else if (knob->kind == WH_KNOB_text) {
        (void)word_fits(knob, "?", &accepted);
    } else {
        char least[40];
        char most[40];
        put_value(knob->kind, knob->least, least, sizeof(least));
        put_value(knob->kind, knob->most, most, sizeof(most));
        snprintf(text, text_nbytes, "%s to %s", least, most);
        return;
    }
    snprintf(text, text_nbytes, "%s", accepted);
}

/* ---- names ----------------------------------------------------------------------------------- */

enum { NAME_NBYTES_MOST = 64, WHORL_PREFIX_NBYTES = 6, NCCL_PREFIX_NBYTES = 5 };

bool wh_knob_is_name(const char *name)
{
    for (size_t i = 0; i < wh_nknobs; i++) {
        if (strcmp(name, wh_knobs[i].var) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(other_vars); i++) {
        size_t nbytes = strcspn(other_vars[i], "*");
        bool any_rest = other_vars[i][nbytes] == '*';
        if (strncmp(name, other_vars[i], nbytes) == 0 && (any_rest || name[nbytes] == '\0')) {
            return true;
        }
    }
    return false;
}

/* How many letters must be put in, taken out or replaced to make b of a; both at most
 * NAME_NBYTES_MOST bytes. One row of the usual table at a time. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[NAME_NBYTES_MOST + 1];
    size_t b_nbytes = strlen(b);
    assert(strlen(a) <= NAME_NBYTES_MOST && b_nbytes <= NAME_NBYTES_MOST);

    for (size_t j = 0; j <= b_nbytes; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b_nbytes; j++) {
            size_t replaced = diagonal + (a[i] != b[j]);
            size_t one_more = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = replaced < one_more ? replaced : one_more;
        }
    }
    return row[b_nbytes];
}

const char *wh_knob_nearest(const char *name)
{
    if (strncmp(name, "WHORL_", WHORL_PREFIX_NBYTES) != 0 || strlen(name) > NAME_NBYTES_MOST) {
        return NULL;
    }
    name += WHORL_PREFIX_NBYTES;

    /* A quarter of the letters wrong is a slip; more is another word. */
    size_t least = strlen(name) / 4 + 1;
    const char *nearest = NULL;
    for (size_t i = 0; i < wh_nknobs; i++) {
        size_t distance = edit_distance(name, wh_knobs[i].var + WHORL_PREFIX_NBYTES);
        if (wh_knobs[i].alias != NULL) {
            size_t other = edit_distance(name, wh_knobs[i].alias + NCCL_PREFIX_NBYTES);
            distance = other < distance ? other : distance;
        }
        if (distance < least) {
            least = distance;
            nearest = wh_knobs[i].var;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(other_vars); i++) {
        size_t distance = edit_distance(name, other_vars[i] + WHORL_PREFIX_NBYTES);
        if (distance < least && strchr(other_vars[i], '*') == NULL) {
            least = distance;
            nearest = other_vars[i];
        }
    }
    return nearest;
}
