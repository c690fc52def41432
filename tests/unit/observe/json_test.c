/* SPDX-License-Identifier: Apache-2.0 */
/* JSON comes out well-formed, whatever goes in. */
#include "observe/json.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct sink {
    char text[1 << 16];
    size_t nbytes, most;
};

static bool take(void *ctx, const char *bytes, size_t nbytes)
{
    struct sink *sink = ctx;
    if (sink->nbytes + nbytes > sink->most) {
        return false;
    }
    memcpy(sink->text + sink->nbytes, bytes, nbytes);
    sink->nbytes += nbytes;
    sink->text[sink->nbytes] = '\0';
    return true;
}

static struct sink *sink_new(void)
{
    struct sink *sink = calloc(1, sizeof(*sink));
    sink->most = sizeof(sink->text) - 1;
    return sink;
}

Test(json, an_empty_document_is_an_empty_object)
{
    struct sink *sink = sink_new();
    struct wh_json json;
    wh_json_init(&json, take, sink);
    cr_expect(wh_json_fini(&json));
    cr_expect_str_eq(sink->text, "{}\n");
    free(sink);
}

Test(json, members_and_elements_are_separated_and_nested)
{
    struct sink *sink = sink_new();
    struct wh_json json;
    wh_json_init(&json, take, sink);
    wh_json_text(&json, "a", "x");
    wh_json_open_array(&json, "list");
    wh_json_count(&json, NULL, UINT64_MAX);
    wh_json_int(&json, NULL, INT64_MIN);
    wh_json_open_row(&json, NULL);
    wh_json_flag(&json, "yes", true);
    wh_json_text(&json, "none", NULL);
    wh_json_close(&json);
    wh_json_close(&json);
    wh_json_open_object(&json, "o");
    wh_json_flag(&json, "no", false);
    wh_json_open_array(&json, "empty"); /* left open, as is o */
    cr_expect(wh_json_fini(&json));
    cr_expect_str_eq(sink->text, "{\n"
                                 "  \"a\": \"x\",\n"
                                 "  \"list\": [\n"
                                 "    18446744073709551615,\n"
                                 "    -9223372036854775808,\n"
                                 "    {\"yes\": true, \"none\": null}\n"
                                 "  ],\n"
                                 "  \"o\": {\n"
                                 "    \"no\": false,\n"
                                 "    \"empty\": []\n"
                                 "  }\n"
                                 "}\n");
    free(sink);
}

/* What `text` looks like as a value. */
static void expect_quoted(const char *text, const char *want)
{
    struct sink *sink = sink_new();
    struct wh_json json;
    wh_json_init(&json, take, sink);
    wh_json_text(&json, "t", text);
    cr_assert(wh_json_fini(&json));
    const char *value = strstr(sink->text, ": ") + 2;
    cr_expect_eq(strncmp(value, want, strlen(want)), 0, "%s is not %s", value, want);
    cr_expect_str_eq(value + strlen(want), "\n}\n");
    free(sink);
}

Test(json, texts_are_escaped)
{
    expect_quoted("", "\"\"");
    expect_quoted("a \"b\" \\ c", "\"a \\\"b\\\" \\\\ c\"");
    expect_quoted("line\nline\t\x01\x7f", "\"line\\u000aline\\u0009\\u0001\\u007f\"");
}

Test(json, what_is_no_utf8_becomes_the_character_for_that)
{
    expect_quoted("h\xc3\xa4\xe2\x82\xac\xf0\x9f\x8d\x89",
                  "\"h\xc3\xa4\xe2\x82\xac\xf0\x9f\x8d\x89\"");
    expect_quoted("\xff", "\"\\ufffd\"");
    expect_quoted("\xc3", "\"\\ufffd\"");                             /* cut */
    expect_quoted("\xe2\x82", "\"\\ufffd\\ufffd\"");                  /* cut */
    expect_quoted("\xc0\xaf", "\"\\ufffd\\ufffd\"");                  /* a detour */
    expect_quoted("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");       /* a surrogate */
    expect_quoted("\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""); /* beyond the end */
    expect_quoted("\xc3(", "\"\\ufffd(\"");
}

Test(json, more_than_the_buffer_holds_arrives_whole)
{
    struct sink *sink = sink_new();
    struct wh_json json;
    char long_text[3 * WH_JSON_BUFFER_NBYTES + 1];
    memset(long_text, 'y', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    wh_json_init(&json, take, sink);
    wh_json_text(&json, "t", long_text);
    cr_expect(wh_json_fini(&json));
    cr_expect_eq(sink->nbytes, sizeof(long_text) - 1 + strlen("{\n  \"t\": \"\"\n}\n"));
    cr_expect_eq(strspn(strchr(sink->text, 'y'), "y"), sizeof(long_text) - 1);
    free(sink);
}

Test(json, a_taker_that_refuses_ends_it)
{
    struct sink *sink = sink_new();
    struct wh_json json;
    sink->most = WH_JSON_BUFFER_NBYTES;
    wh_json_init(&json, take, sink);
    for (int i = 0; i < 2000; i++) {
        wh_json_count(&json, "number", 7);
    }
    cr_expect(!wh_json_fini(&json));
    cr_expect_eq(sink->nbytes, WH_JSON_BUFFER_NBYTES);
    free(sink);
}
