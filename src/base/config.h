/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings: one table of knobs (config.def), read once per process from the environment and from
 * configuration files. Nothing else in the library reads the environment.
 *
 * Order: the WHORL_ variable, its NCCL_ alias, the configuration files in the same order (a file
 * may use either name), the default. Files are $WHORL_CONF_FILE, or else ~/.whorl.conf; then always
 * /etc/whorl.conf; lines NAME=VALUE, # in column 0 is a comment, the first that sets a name wins.
 * An empty value is as good as none. Programs with raised privileges (set-user-id) get defaults and
 * /etc/whorl.conf only.
 *
 * Files: parse.c reads numbers, knobs.c has the table, conffile.c reads files, config.c puts them
 * together, config_docs.c prints the reference page.
 */
#ifndef WH_BASE_CONFIG_H
#define WH_BASE_CONFIG_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t wh_knob_nbytes;
typedef uint64_t wh_knob_count;
typedef uint64_t wh_knob_msec;
typedef bool wh_knob_flag;
typedef const char *wh_knob_text; /* never NULL; lives as long as the process */

struct wh_config {
#define KNOB(kind, field, var, alias, dflt, least, most, help) wh_knob_##kind field;
#include "base/config.def"
#undef KNOB
};

/** Where values come from: the environment in the library, a table in tests. NULL: not set. */
typedef const char *(*wh_config_lookup_fn)(const char *name, void *ctx);

/**
 * Fills *config from lookup and the defaults.
 *
 * Memory    texts are copied; wh_config_fini() gives them back, also after a failure.
 * Errors    WHORL_E_CONFIG, reported with the variable, its value and what is accepted.
 */
WH_MUST_CHECK whorl_result_t wh_config_init(struct wh_config *config, wh_config_lookup_fn lookup,
                                            void *ctx);
void wh_config_fini(struct wh_config *config);

/** Everything that settings are read from. */
struct wh_config_world {
    wh_config_lookup_fn lookup; /* the environment */
    void *ctx;
    char *const *names;   /* NAME=VALUE of all that lookup knows, NULL at the end; or NULL */
    const char *etc_path; /* "/etc/whorl.conf" */
};

/**
 * The same from the environment and the files; also turns the log as the settings say, logs where
 * each setting came from, and warns about unknown WHORL_* names (with the nearest known one), about
 * lines that are no NAME=VALUE and about files that cannot be read.
 */
WH_MUST_CHECK whorl_result_t wh_config_load(struct wh_config *config,
                                            const struct wh_config_world *world);

/**
 * The settings of this process, by wh_config_load() on the first call.
 *
 * Errors    WHORL_E_CONFIG as wh_config_init(): logged once, the calling thread's last error each
 *           time.
 */
WH_MUST_CHECK whorl_result_t wh_config_get(const struct wh_config **config_out);

/** A variable of the launcher (RANK, PMI_SIZE, HOME ...), or NULL. For src/comm/launch.c. */
const char *wh_config_env(const char *name);

/**
 * Parsers: false, *value_out untouched, if text is not one or does not fit.
 *
 * nbytes  4096, 0x1000, 64K, 64KB, 64KiB, 1.5M, 2G; a unit is 1024 of the one before
 * count   12, 0xc
 * msec    1500, 1500ms, 1.5s, 2min, 1h
 * flag    0 1 true false yes no on off
 *
 * Units and words in any case; no blanks, no sign. A fraction of a byte or of a millisecond is
 * rounded up, so that what is not zero never becomes zero.
 */
bool wh_parse_nbytes(const char *text, uint64_t *value_out);
bool wh_parse_count(const char *text, uint64_t *value_out);
bool wh_parse_msec(const char *text, uint64_t *value_out);
bool wh_parse_flag(const char *text, bool *value_out);

/** The reference page of all knobs as Markdown, without a heading; returns the bytes that it needs,
 *  as snprintf. */
size_t wh_config_print_docs(char *text, size_t text_nbytes);

#endif
