/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes JSON, indented by two spaces. The caller opens and closes; the writer places commas,
 * quotes and escapes. A key is NULL inside arrays and at the top.
 */
#ifndef PERF_COMMON_JSON_H
#define PERF_COMMON_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { PERF_JSON_DEPTH_MAX = 16 };

struct perf_json {
    FILE *out;
    int depth;
    bool has_member[PERF_JSON_DEPTH_MAX];
};

void perf_json_init(struct perf_json *json, FILE *out);

void perf_json_open_object(struct perf_json *json, const char *key);
void perf_json_close_object(struct perf_json *json);
void perf_json_open_array(struct perf_json *json, const char *key);
void perf_json_close_array(struct perf_json *json);

/** Bytes that are no ASCII text are escaped one by one, as Latin-1. */
void perf_json_string(struct perf_json *json, const char *key, const char *value);
void perf_json_int(struct perf_json *json, const char *key, int64_t value);
/** Shortest form that reads back the same; null if value is not finite, which JSON cannot say. */
void perf_json_number(struct perf_json *json, const char *key, double value);
void perf_json_bool(struct perf_json *json, const char *key, bool value);
void perf_json_null(struct perf_json *json, const char *key);

#endif
