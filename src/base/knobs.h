/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of config.def as a table, for those who read or print settings. */
#ifndef WH_BASE_KNOBS_H
#define WH_BASE_KNOBS_H

#include "base/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wh_knob_kind { WH_KNOB_nbytes, WH_KNOB_count, WH_KNOB_msec, WH_KNOB_flag, WH_KNOB_text };

struct wh_knob {
    enum wh_knob_kind kind;
    const char *var;
    const char *alias; /* NULL: none */
    const char *dflt;
    uint64_t least, most;
    const char *help;
    size_t offset; /* of the field in struct wh_config */
};

extern const struct wh_knob wh_knobs[];
extern const size_t wh_nknobs;

/** How a setting that a knob refused is described. */
enum { WH_KNOB_WHY_NBYTES = 512 };

/**
 * Stores the value that text means in the knob's field of config.
 *
 * Memory    a text is copied; wh_knob_clear() frees the copy.
 * Errors    WHORL_E_CONFIG with why filled, to be put behind "NAME=VALUE ":
 *           "is not a size: use bytes with an optional K, M or G (4096 to 1G)"; WHORL_E_NOMEM
 */
WH_MUST_CHECK whorl_result_t wh_knob_set(const struct wh_knob *knob, const char *text,
                                         struct wh_config *config, char why[WH_KNOB_WHY_NBYTES]);
void wh_knob_clear(const struct wh_knob *knob, struct wh_config *config);

/** Writes the values that the knob takes, such as "4096 to 1G". */
void wh_knob_put_range(const struct wh_knob *knob, char *text, size_t text_nbytes);

/** Is name the variable of a knob, or another that this project reads (see other_vars.def)? */
bool wh_knob_is_name(const char *name);

/** The WHORL_ variable that somebody who wrote `name` may have meant; NULL: nothing is near. */
const char *wh_knob_nearest(const char *name);

#endif
