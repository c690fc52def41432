/* SPDX-License-Identifier: Apache-2.0 */
/* See json.h. */
#include "observe/json.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void flush(struct wh_json *json)
{
    if (!json->failed && json->nbytes > 0) {
        json->failed = !json->put(json->ctx, json->buffer, json->nbytes);
    }
    json->nbytes = 0;
}

static void put(struct wh_json *json, const char *bytes, size_t nbytes)
{
    while (nbytes > 0) {
        size_t room = sizeof(json->buffer) - json->nbytes;
        size_t now = nbytes < room ? nbytes : room;
        memcpy(json->buffer + json->nbytes, bytes, now);
        json->nbytes += now;
        bytes += now;
        nbytes -= now;
        if (json->nbytes == sizeof(json->buffer)) {
            flush(json);
        }
    }
}

static void put_text(struct wh_json *json, const char *text)
{
    put(json, text, strlen(text));
}

/* Bytes of the UTF-8 character that text begins with; 0 if it begins with none. */
static size_t character_nbytes(const unsigned char *text)
{
    /* The first byte's range, and the second's: no detours, no surrogates, no end of the range. */
    static const struct {
        unsigned char first, last, least, most;
        size_t nbytes;
    } kinds[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    if (text[0] < 0x80) {
        return 1;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (text[0] < kinds[i].first || text[0] > kinds[i].last || text[1] < kinds[i].least ||
            text[1] > kinds[i].most) {
            continue;
        }
        for (size_t j = 2; j < kinds[i].nbytes; j++) {
            if ((text[j] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return kinds[i].nbytes;
    }
    return 0;
}

static void put_quoted(struct wh_json *json, const char *text)
{
    put_text(json, "\"");
    const unsigned char *c = (const unsigned char *)text;
    while (*c != '\0') {
        size_t nbytes = character_nbytes(c);
        if (nbytes == 0) {
            put_text(json, "\\ufffd");
            c++;
        } else if (*c < 0x20 || *c == 0x7f) {
            char escaped[8];
            snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned)*c);
            put_text(json, escaped);
            c++;
        } else {
            if (*c == '"' || *c == '\\') {
                put_text(json, "\\");
            }
            put(json, (const char *)c, nbytes);
            c += nbytes;
        }
    }
    put_text(json, "\"");
}

static void new_line(struct wh_json *json)
{
    put_text(json, "\n");
    for (uint32_t i = 0; i < json->depth; i++) {
        put_text(json, "  ");
    }
}

/* What comes before a value: a comma, a place, a name. */
static void begin_value(struct wh_json *json, const char *name)
{
    assert(json->depth > 0);
    uint32_t top = json->depth - 1;
    assert((name != NULL) == (json->levels[top].closer == '}'));
    if (json->levels[top].has_some) {
        put_text(json, ",");
    }
    if (!json->levels[top].is_row) {
        new_line(json);
    } else if (json->levels[top].has_some) {
        put_text(json, " ");
    }
    json->levels[top].has_some = true;
    if (name != NULL) {
        put_quoted(json, name);
        put_text(json, ": ");
    }
}

static void push(struct wh_json *json, char opener, char closer, bool is_row)
{
    assert(json->depth < WH_JSON_DEPTH_MAX);
    put(json, &opener, 1);
    json->levels[json->depth].closer = closer;
    json->levels[json->depth].has_some = false;
    json->levels[json->depth].is_row = is_row;
    json->depth++;
}

void wh_json_init(struct wh_json *json, wh_json_put_fn put_fn, void *ctx)
{
    json->put = put_fn;
    json->ctx = ctx;
    json->failed = false;
    json->depth = 0;
    json->nbytes = 0;
    push(json, '{', '}', false);
}

bool wh_json_fini(struct wh_json *json)
{
    while (json->depth > 0) {
        wh_json_close(json);
    }
    put_text(json, "\n");
    flush(json);
    return !json->failed;
}

void wh_json_open_object(struct wh_json *json, const char *name)
{
    begin_value(json, name);
    push(json, '{', '}', false);
}

void wh_json_open_row(struct wh_json *json, const char *name)
{
    begin_value(json, name);
    push(json, '{', '}', true);
}

void wh_json_open_array(struct wh_json *json, const char *name)
{
    begin_value(json, name);
    push(json, '[', ']', false);
}

void wh_json_close(struct wh_json *json)
{
    assert(json->depth > 0);
    json->depth--;
    if (json->levels[json->depth].has_some && !json->levels[json->depth].is_row) {
        new_line(json);
    }
    put(json, &json->levels[json->depth].closer, 1);
}

void wh_json_text(struct wh_json *json, const char *name, const char *text)
{
    if (text == NULL) {
        wh_json_null(json, name);
        return;
    }
    begin_value(json, name);
    put_quoted(json, text);
}

void wh_json_count(struct wh_json *json, const char *name, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%" PRIu64, value);
    begin_value(json, name);
    put_text(json, digits);
}

void wh_json_int(struct wh_json *json, const char *name, int64_t value)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%" PRId64, value);
    begin_value(json, name);
    put_text(json, digits);
}

void wh_json_flag(struct wh_json *json, const char *name, bool value)
{
    begin_value(json, name);
    put_text(json, value ? "true" : "false");
}

void wh_json_null(struct wh_json *json, const char *name)
{
    begin_value(json, name);
    put_text(json, "null");
}
