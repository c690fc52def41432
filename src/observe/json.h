/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing JSON, piece by piece, to whoever takes the bytes.
 *
 * What comes out is well-formed whatever goes in: commas and brackets are the writer's business,
 * texts are escaped, and bytes that are no UTF-8 become U+FFFD. A taker that refuses ends the
 * writing; the rest of the calls do nothing.
 */
#ifndef WH_OBSERVE_JSON_H
#define WH_OBSERVE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Takes nbytes of text; false: no more, please. */
typedef bool (*wh_json_put_fn)(void *ctx, const char *bytes, size_t nbytes);

enum { WH_JSON_DEPTH_MAX = 16, WH_JSON_BUFFER_NBYTES = 4096 };

struct wh_json {
    wh_json_put_fn put;
    void *ctx;
    bool failed;
    uint32_t depth;
    struct {
        char closer;
        bool has_some; /* the next one needs a comma */
        bool is_row;   /* on one line */
    } levels[WH_JSON_DEPTH_MAX];
    size_t nbytes; /* in buffer */
    char buffer[WH_JSON_BUFFER_NBYTES];
};

/** Starts a document, which is one object: members follow. */
void wh_json_init(struct wh_json *json, wh_json_put_fn put, void *ctx);

/** Closes everything that is open and hands on what is left. Was everything taken? */
bool wh_json_fini(struct wh_json *json);

/* Members of the object that is open, or, with name NULL, elements of the array that is open. */

void wh_json_open_object(struct wh_json *json, const char *name);
/** The same, and all of it on one line. */
void wh_json_open_row(struct wh_json *json, const char *name);
void wh_json_open_array(struct wh_json *json, const char *name);
/** Closes what was opened last. */
void wh_json_close(struct wh_json *json);

/** text NULL: null. */
void wh_json_text(struct wh_json *json, const char *name, const char *text);
void wh_json_count(struct wh_json *json, const char *name, uint64_t value);
void wh_json_int(struct wh_json *json, const char *name, int64_t value);
void wh_json_flag(struct wh_json *json, const char *name, bool value);
void wh_json_null(struct wh_json *json, const char *name);

#endif
