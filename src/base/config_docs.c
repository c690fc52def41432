/* SPDX-License-Identifier: Apache-2.0 */
/* docs/reference/config.md, printed from the table, but for its heading. */
#include "base/knobs.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A text that grows; counts on when it is full, as snprintf does. */
struct page {
    char *text;
    size_t text_nbytes;
    size_t used;
};

static void put_byte(struct page *page, char byte)
{
    if (page->used + 1 < page->text_nbytes) {
        page->text[page->used] = byte;
        page->text[page->used + 1] = '\0';
    }
    page->used++;
}

static void put(struct page *page, const char *text)
{
    for (; *text != '\0'; text++) {
        put_byte(page, *text);
    }
}

/* A cell of a table: a bar in it would end it. */
static void put_cell(struct page *page, const char *before, const char *text, const char *after)
{
    put(page, before);
    for (; *text != '\0'; text++) {
        if (*text == '|') {
            put_byte(page, '\\');
        }
        put_byte(page, *text);
    }
    put(page, after);
}

static const char *kind_name(enum wh_knob_kind kind)
{
    switch (kind) {
    case WH_KNOB_nbytes:
        return "size";
    case WH_KNOB_count:
        return "number";
    case WH_KNOB_msec:
        return "duration";
    case WH_KNOB_flag:
        return "flag";
    case WH_KNOB_text:
        break;
    }
    return "text";
}

static void put_knob(struct page *page, const struct wh_knob *knob)
{
    char range[96];
    wh_knob_put_range(knob, range, sizeof(range));

    put_cell(page, "| `", knob->var, "` | ");
    if (knob->alias != NULL) {
        put_cell(page, "`", knob->alias, "`");
    }
    put_cell(page, " | ", kind_name(knob->kind), "");
    put_cell(page, ": ", range, " | ");
    if (knob->dflt[0] != '\0') {
        put_cell(page, "`", knob->dflt, "`");
    }
    put_cell(page, " | ", knob->help, " |\n");
}

static void put_other_vars(struct page *page)
{
    static const char *const rows[][2] = {
#define VAR(name, help) {name, help},
#include "base/other_vars.def"
#undef VAR
    };

    put(page, "\n## Other variables\n\n| variable | meaning |\n| --- | --- |\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        put_cell(page, "| `", rows[i][0], "` | ");
        put_cell(page, "", rows[i][1], " |\n");
    }
}

size_t wh_config_print_docs(char *text, size_t text_nbytes)
{
    struct page page = {text, text_nbytes, 0};
    if (text_nbytes > 0) {
        text[0] = '\0';
    }

    put(&page,
        "A setting is taken from the environment: its variable, else its NCCL alias. Else from\n"
        "the file that `WHORL_CONF_FILE` names, or `~/.whorl.conf` without it; else from\n"
        "`/etc/whorl.conf`. Files hold lines `NAME=VALUE`; a line that begins with `#` is a\n"
        "comment. An empty value counts as not set. A value that is not understood is an error.\n\n"
        "Sizes are bytes, or a number with K, M or G (1024 each). Durations are milliseconds, or\n"
        "a number with ms, s, min or h. Flags are 0, 1, false, true, no, yes, off or on.\n\n"
        "| variable | alias | takes | default | meaning |\n"
        "| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < wh_nknobs; i++) {
        put_knob(&page, &wh_knobs[i]);
    }
    put_other_vars(&page);
    return page.used;
}
