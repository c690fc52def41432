/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

void perf_json_init(struct perf_json *json, FILE *out)
{
    *json = (struct perf_json){.out = out};
}

static void write_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            fprintf(out, "\\%c", c);
        } else if (c < 0x20 || c >= 0x7f) {
            fprintf(out, "\\u%04x", c);
        } else {
            fputc(c, out);
        }
    }
    fputc('"', out);
}

/* The comma, the new line and the key before a value. */
static void start_value(struct perf_json *json, const char *key)
{
    if (json->depth > 0) {
        fprintf(json->out, "%s\n%*s", json->has_member[json->depth] ? "," : "", 2 * json->depth,
                "");
    }
    json->has_member[json->depth] = true;
    if (key != NULL) {
        write_text(json->out, key);
        fputs(": ", json->out);
    }
}

static void open_level(struct perf_json *json, const char *key, char bracket)
{
    start_value(json, key);
    fputc(bracket, json->out);
    json->depth++;
    assert(json->depth < PERF_JSON_DEPTH_MAX);
    json->has_member[json->depth] = false;
}

static void close_level(struct perf_json *json, char bracket)
{
    assert(json->depth > 0);
    bool had_member = json->has_member[json->depth];
    json->depth--;
    if (had_member) {
        fprintf(json->out, "\n%*s", 2 * json->depth, "");
    }
    fputc(bracket, json->out);
    if (json->depth == 0) {
        fputc('\n', json->out);
    }
}

void perf_json_open_object(struct perf_json *json, const char *key)
{
    open_level(json, key, '{');
}

void perf_json_close_object(struct perf_json *json)
{
    close_level(json, '}');
}

void perf_json_open_array(struct perf_json *json, const char *key)
{
    open_level(json, key, '[');
}

void perf_json_close_array(struct perf_json *json)
{
    close_level(json, ']');
}

void perf_json_string(struct perf_json *json, const char *key, const char *value)
{
    start_value(json, key);
    write_text(json->out, value);
}

void perf_json_int(struct perf_json *json, const char *key, int64_t value)
{
    start_value(json, key);
    fprintf(json->out, "%" PRId64, value);
}

void perf_json_number(struct perf_json *json, const char *key, double value)
{
    char text[32];

    if (!isfinite(value)) {
        perf_json_null(json, key);
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    start_value(json, key);
    fputs(text, json->out);
}

void perf_json_bool(struct perf_json *json, const char *key, bool value)
{
    start_value(json, key);
    fputs(value ? "true" : "false", json->out);
}

void perf_json_null(struct perf_json *json, const char *key)
{
    start_value(json, key);
    fputs("null", json->out);
}
